"""What marketers are told in their organisation's own channel: a campaign has finished, or paused itself; the week's figures on Monday morning.

`look` finds what is new and leaves a post for it, once each, however many processes look: the reference is unique. Nothing here speaks of
fewer than ten shoppers: a channel of Slack's is outside.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall_time
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import CharField, Exists, F, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics import small_cells, weekly
from analytics.reports.reading import Subject
from engagement import display
from engagement.models import Organisation, Venue, Zone
from notifications import reports
from notifications.models import Campaign, CampaignState, MessageState, Run
from operations.blocks import Notice
from operations.models import Kind, NewsChannel, Post

log = logging.getLogger("atrium.news")

LATEST: Final = timedelta(days=7)  # what ended earlier is no news
MORNING: Final = wall_time(8)
MONDAY_FOR: Final = timedelta(days=2)  # whoever was away on Monday morning is told until Wednesday morning
WEEKLY_FOR_S: Final = 5.0  # in one go: many organisations have the same Monday
FINISHED, PAUSED, WEEK = "run-finished:", "campaign-paused:", "week:"
# Every message of a run ends as one of these; together they are its audience.
COUNTED: Final[dict[str, Any]] = {
    MessageState.DELIVERED: gettext_lazy("delivered"),
    MessageState.SENT: gettext_lazy("sent, no word yet"),
    MessageState.BOUNCED: gettext_lazy("bounced"),
    MessageState.COMPLAINED: gettext_lazy("complained"),
    MessageState.FAILED: gettext_lazy("failed"),
    MessageState.SKIPPED: gettext_lazy("skipped"),
    MessageState.UNKNOWN: gettext_lazy("unknown"),
    MessageState.HELD_OUT: gettext_lazy("held out"),
}
# One count that is small would be told by the whole and the others. Of a small audience all are small.
RULE: Final = small_cells.Rule(
    over={"audience": ("audience",), **{str(state): (str(state), "audience") for state in COUNTED}},
    empty=tuple(map(str, COUNTED)),
    parts=(tuple(map(str, COUNTED)),),
)


def look(now: datetime) -> int:
    """Returns how many posts were left. What fails for one organisation is tried again at the next look, and keeps no other waiting."""
    return sum(part(now) for part in (_finished, _paused, _weekly))


def _each(found: Iterable[Any], leave: Callable[[Any], int]) -> int:
    left = 0
    for one in found:
        try:
            left += leave(one)
        except Exception as error:  # the others have theirs
            log.error("News could not be made: %s", type(error).__name__)
    return left


def _leave(organisation: int, reference: str, notice: Notice, now: datetime) -> int:
    """Whether this process is the one that left it."""
    fields: dict[str, Any] = {"kind": Kind.NEWS, "reference": reference, "notice": asdict(notice), "created_at": now, "not_before": now}
    before = Post.objects.filter(organisation=organisation, reference=reference)
    if before.exists():
        return 0
    Post.objects.bulk_create([Post(organisation_id=organisation, **fields)], ignore_conflicts=True)
    return 1


def _told(reference: str, pk: str, organisation: str) -> Exists:
    return Exists(Post.objects.filter(organisation=OuterRef(organisation), reference=Concat(Value(reference), Cast(OuterRef(pk), CharField()))))


# --- A campaign has finished ------------------------------------------------------------------------------------------------


def _finished(now: datetime) -> int:
    """One post for each run, also of a campaign that has more to come; none for what somebody cancelled."""
    runs = Run.objects.filter(
        finished_at__gte=now - LATEST,
        finished_at__gt=F("campaign__organisation__newschannel__set_at"),
        campaign__organisation__newschannel__campaigns=True,
    ).exclude(campaign__state=CampaignState.CANCELLED)
    new = runs.exclude(_told(FINISHED, "pk", "campaign__organisation")).select_related("campaign").order_by("finished_at")
    return _each(new, lambda run: _leave(run.campaign.organisation_id, f"{FINISHED}{run.pk}", finished(run), now))


def finished(run: Run) -> Notice:
    campaign = run.campaign
    counts = next(one["counts"] for one in reports.runs(campaign) if one["id"] == str(run.pk))
    row = {"audience": run.audience_count or 0, **{str(state): counts[state] for state in COUNTED}}
    _rows, shown = small_cells.hide(RULE, [], row, [], {})
    audience = _number(shown["audience"])
    return Notice(
        mark="📣",
        title=_("Campaign finished: %(name)s") % {"name": campaign.name},
        body=_("It was meant for %(audience)s people. This is what came of it so far; what is delivered and what bounces is still being heard of.")
        % {"audience": audience},
        remedy="",
        footer=_moment(run.finished_at, campaign.time_zone),
        lines=tuple(f"{label}: {_number(shown[str(state)])}" for state, label in COUNTED.items() if row[str(state)]),
        links=((_("Report"), _address(reverse("campaign", args=[campaign.pk]))),),
    )


def _number(value: Any) -> str:
    if value == small_cells.HIDDEN:
        return _("hidden")
    return value if isinstance(value, str) else display.number(value)


# --- A campaign has paused itself -------------------------------------------------------------------------------------------


def _paused(now: datetime) -> int:
    """Told again where it was resumed, and pauses itself again."""
    itself: dict[str, Any] = {"state": CampaignState.PAUSED, "paused_itself": True}
    for post in Post.objects.filter(kind=Kind.NEWS, reference__regex=rf"^{PAUSED}\d+$"):
        if not Campaign.objects.filter(pk=int(post.reference.removeprefix(PAUSED)), **itself).exists():
            Post.objects.filter(pk=post.pk).update(reference=f"{post.reference}:{post.pk}")
    campaigns = Campaign.objects.filter(**itself, organisation__newschannel__campaigns=True).exclude(_told(PAUSED, "pk", "organisation"))
    return _each(campaigns.order_by("pk"), lambda one: _leave(one.organisation_id, f"{PAUSED}{one.pk}", paused(one, now), now))


def paused(campaign: Campaign, now: datetime) -> Notice:
    return Notice(
        mark="⏸",
        title=_("Campaign paused itself: %(name)s") % {"name": campaign.name},
        body=campaign.pause_reason,
        remedy=_("Nothing of it leaves until somebody resumes or cancels it on its page."),
        footer=_moment(now, campaign.time_zone),
        links=((_("Campaign"), _address(reverse("campaign", args=[campaign.pk]))),),
    )


# --- The week ---------------------------------------------------------------------------------------------------------------


def _weekly(now: datetime) -> int:
    zones = Venue.objects.filter(organisation=OuterRef("organisation")).order_by("pk").values("time_zone")[:1]
    channels = NewsChannel.objects.filter(weekly=True).annotate(clock=Subquery(zones)).exclude(clock=None).select_related("organisation")
    due = {channel.pk: _due(channel, channel.clock, now) for channel in channels}
    wanted = [channel for channel in channels if due[channel.pk] is not None]
    told = set(Post.objects.filter(organisation__in=[one.pk for one in wanted], reference__startswith=WEEK).values_list("organisation", "reference"))
    new = [(channel, monday) for channel in wanted if (monday := due[channel.pk]) and (channel.pk, _reference(monday)) not in told]
    until = time.monotonic() + WEEKLY_FOR_S

    def leave(entry: tuple[NewsChannel, date]) -> int:
        channel, monday = entry
        return 0 if time.monotonic() > until else _leave(channel.pk, _reference(monday), week(channel.organisation, monday, now), now)

    return _each(new, leave)


def _due(channel: NewsChannel, clock: str, now: datetime) -> date | None:
    """The Monday of the week that is to be told now, where one is."""
    monday = weekly.last_full(now, clock)
    at = datetime.combine(monday + weekly.WEEK, MORNING, ZoneInfo(clock)).astimezone(UTC)
    return monday if max(at, channel.set_at) == at and at <= now < at + MONDAY_FOR else None


def _reference(monday: date) -> str:
    year, number, _weekday = monday.isocalendar()
    return f"{WEEK}{year}-W{number:02}"


def week(organisation: Organisation, monday: date, now: datetime) -> Notice:
    """Each venue's visitors, visits and dwell, beside the week before. Figures over few shoppers are hidden, as in every export."""
    roots = Zone.objects.filter(organisation=organisation, key=F("venue__key")).order_by("venue_id")
    name = _reference(monday).removeprefix(WEEK)
    return Notice(
        mark="📈",
        title=_("The week %(week)s") % {"week": name},
        body=_("From %(first)s to %(last)s, beside the week before.")
        % {"first": display.day(monday), "last": display.day(monday + weekly.WEEK - timedelta(days=1))},
        remedy="",
        footer=organisation.name,
        lines=tuple(_venue(organisation, root, monday, now) for root in roots),
        links=((_("The week"), _address(f"{reverse('figures_week')}?week={name}")),),
    )


def _venue(organisation: Organisation, root: Zone, monday: date, now: datetime) -> str:
    place = Subject("zone", root.key, root.name, (root.pk,))
    visitors, visits, dwell = weekly.summary(organisation=organisation, place=place, stores=[], monday=monday, now=now).figures[:3]
    told = (f"{cell.label} {cell.text}" + (f" ({cell.change})" if cell.change else "") for cell in (visitors, visits, dwell))
    return f"{root.name}: {' · '.join(told)}"


# --- Words ------------------------------------------------------------------------------------------------------------------


def trial(organisation: Organisation) -> Notice:
    """What an owner sends to see whether the channel works."""
    body = _("News of %(organisation)s will be told here: campaigns that have finished or paused themselves, and the week's figures.")
    return Notice(mark="👋", title=_("This channel works"), body=body % {"organisation": organisation.name}, remedy="", footer="Atrium")


def _moment(value: datetime | None, clock: str) -> str:
    local = (value or datetime.now(UTC)).astimezone(ZoneInfo(clock))
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def _address(path: str) -> str:
    return f"{settings.ATRIUM_URL}{path}"
