"""Why did, or didn't, this shopper get it? Everything that bears on it, in the order in which it is asked, as it is stored.

Of a campaign that has not come to him yet: what would happen now. Of one that has: what stood in the way, or let it pass, and what was heard since.
Nothing is guessed: where several things are so now, the ledger says what was decided.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from analytics.audiences import evaluate, rules
from engagement import shoppers
from engagement.models import Consent, Profile, Shopper
from notifications import arms, eligibility, schedule
from notifications.eligibility import Cap, Later, Terms
from notifications.models import COUNTED, Campaign, Message, MessageEvent, MessageState, Preference, Reason, Suppression

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """`ok`: whether it let the message pass; None where it decides nothing. `at`: when it happened; None: it is so now."""

    what: str
    detail: str
    ok: bool | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    campaign: Campaign
    shopper: Shopper
    profile: Profile | None
    messages: list[Message]
    terms: Terms
    now: datetime

    @property
    def asked_at(self) -> datetime:
        """When it was last asked whether he may be told: of his latest message, else now."""
        last = self.messages[-1] if self.messages else None
        if last is None or last.state == MessageState.PLANNED:
            return self.now
        return last.claimed_at or last.updated_at


def explain(campaign: Campaign, shopper: Shopper, *, now: datetime | None = None) -> Json:
    """{"shopper", "verdict", "steps": [{"at", "what", "detail", "ok"}]}. The shopper is one of the campaign's organisation."""
    assert shopper.organisation_id == campaign.organisation_id
    profile = Profile.objects.filter(shopper=shopper, organisation=campaign.organisation_id).first()
    messages = list(Message.objects.filter(shopper=shopper, campaign=campaign).select_related("run", "variant").order_by("pk"))
    case = _Case(campaign, shopper, profile, messages, Terms.of(campaign), now or timezone.now())
    steps = [
        *_audience(case), *_address(case), *_consent(case), *_suppression(case), *_wishes(case), *_caps(case), *_quiet(case), *_arm(case), *_ledger(case)
    ]  # fmt: skip
    return {"shopper": shoppers.name_of(shopper), "verdict": _verdict(case), "steps": [asdict(step) for step in steps]}


def _verdict(case: _Case) -> str:
    if not case.messages:
        return _would(case)
    last = case.messages[-1]
    said = {
        MessageState.PLANNED: _("It is planned, and waits for its turn."),
        MessageState.CLAIMED: _("It is being sent at this moment."),
        MessageState.SENT: _("It was sent: the provider has taken it."),
        MessageState.DELIVERED: _("It was delivered."),
        MessageState.BOUNCED: _("It was sent, and came back."),
        MessageState.COMPLAINED: _("It was delivered, and the shopper complained."),
        MessageState.FAILED: _("It could not be sent."),
        MessageState.SKIPPED: _("It was not sent."),
        MessageState.HELD_OUT: _("It was not sent: the shopper is of the group that is left alone, so that the others can be compared with it."),
        MessageState.UNKNOWN: _("It may have been sent. Nobody can know, so it is not sent again."),
    }[MessageState(last.state)]
    return f"{said} {Reason(last.reason).label}." if last.reason else said


def _would(case: _Case) -> str:
    if case.campaign.runs.exclude(audience_count=None).exists():
        return _("It was not sent: the shopper was not in the audience when it was planned.")
    if not _is_member(case):
        return _("It would not be sent now: the shopper is not in the audience.")
    with connection.cursor() as cursor:
        found = eligibility.judge(cursor, case.campaign, [case.shopper.pk], case.now)[case.shopper.pk]
    if isinstance(found, Reason):
        return _("It would not be sent now: %(reason)s.") % {"reason": found.label}
    if _is_held(case):
        return _("It would not be sent: the shopper would be held out.")
    if isinstance(found, Later):
        return _("It would be sent when the quiet hours are over.")
    return _("It would be sent now.")


# --- Step by step ---------------------------------------------------------------------------------------------------------


def _audience(case: _Case) -> Iterator[Step]:
    what, name = _("Audience"), case.campaign.audience.name
    for message in case.messages:
        yield Step(what, _("The shopper was in “%(name)s” when it was planned.") % {"name": name}, True, message.run.due_at)
    for run in case.campaign.runs.exclude(audience_count=None).exclude(pk__in=[message.run_id for message in case.messages]).order_by("pk"):
        planned = run.planned_at is not None or run.cursor >= case.shopper.pk
        said = _("The shopper was not in “%(name)s” when it was planned.") if planned else _("It is being planned: the shopper's turn is still to come.")
        yield Step(what, said % {"name": name}, False if planned else None, run.due_at)
    inside = _is_member(case)
    decides = None if case.messages else inside
    yield Step(what, (_("The shopper is in “%(name)s” now.") if inside else _("The shopper is not in “%(name)s” now.")) % {"name": name}, decides)


def _is_member(case: _Case) -> bool:
    """Whether he meets the rule. One that names what is gone is met by nobody."""
    try:
        return case.shopper.pk in evaluate.members(case.campaign.organisation, rules.parse(case.campaign.audience.rule), case.now)
    except rules.Fault:
        return False


def _address(case: _Case) -> Iterator[Step]:
    known = bool(case.profile and case.profile.email)
    yield Step(_("Address"), _("An e-mail address is known.") if known else _("No e-mail address is known."), known)


def _consent(case: _Case) -> Iterator[Step]:
    what, terms = _("Consent"), case.terms
    rows = list(Consent.objects.filter(shopper=case.shopper, channel=terms.channel, purpose=terms.purpose).order_by("at", "-given", "pk"))
    for row in rows:
        said = _("Given") if row.given else _("Withdrawn")
        more = ", ".join(part for part in (row.source, row.wording) if part)
        yield Step(what, f"{said} ({more})." if more else f"{said}.", None, row.at)
    given = bool(rows) and rows[-1].given
    holds = _("The shopper agrees to “%(purpose)s”.") if given else _("The shopper does not agree to “%(purpose)s”.")
    yield Step(what, holds % {"purpose": terms.purpose}, given)


def _suppression(case: _Case) -> Iterator[Step]:
    what, address = _("Suppression"), case.profile.email.lower() if case.profile else ""
    row = Suppression.objects.filter(organisation=case.campaign.organisation_id, channel=case.terms.channel, address=address).first() if address else None
    if row is None:
        yield Step(what, _("The address may be sent to."), True)
        return
    yield Step(what, _("The address was suppressed: %(why)s.") % {"why": row.get_why_display()}, row.lifted_at is not None, row.at)
    if row.lifted_at:
        yield Step(what, _("That was lifted by %(who)s.") % {"who": row.lifted_by or "-"}, True, row.lifted_at)


def _wishes(case: _Case) -> Iterator[Step]:
    what, campaign = _("Wishes"), case.campaign
    rows = Preference.objects.filter(shopper=case.shopper, channel=case.terms.channel).select_related("brand", "topic").order_by("pk")
    mine = [row for row in rows if (row.brand_id and row.brand_id == campaign.brand_id) or (row.topic_id and row.topic_id == campaign.topic_id)]
    for row in mine:
        said = _("The shopper wishes to hear of “%(of)s”.") if row.wished else _("The shopper does not wish to hear of “%(of)s”.")
        yield Step(what, said % {"of": row.brand or row.topic}, row.wished, row.at)
    if not mine:
        yield Step(what, _("The shopper has said nothing against this brand or topic."), True)


def _caps(case: _Case) -> Iterator[Step]:
    what, terms = _("Frequency"), case.terms
    of_brand = _("of this brand") if terms.brand else _("of the organisation's own")
    for cap, of in ((terms.own, of_brand), (terms.all_brands, _("of all brands"))):
        if cap is None:
            continue
        counted = _counted(case, cap, own=cap is terms.own)
        limit = ngettext("At most %(n)s message in any %(days)s days, %(of)s", "At most %(n)s messages in any %(days)s days, %(of)s", cap.messages)
        said = ngettext("%(limit)s: there was %(count)s.", "%(limit)s: there were %(count)s.", len(counted))
        limit %= {"n": cap.messages, "days": cap.days, "of": of}
        yield Step(what, said % {"limit": limit, "count": len(counted)}, len(counted) < cap.messages, case.asked_at if case.messages else None)
        for message in counted:
            yield Step(what, _("“%(campaign)s” counts.") % {"campaign": message.campaign.name}, None, message.claimed_at)
    if terms.own is None and terms.all_brands is None:
        yield Step(what, _("There is no limit."), True)


def _counted(case: _Case, cap: Cap, *, own: bool) -> list[Message]:
    """The messages that count when it was asked; this one itself does not."""
    rows = Message.objects.filter(
        shopper=case.shopper, state__in=COUNTED, claimed_at__gt=cap.since(case.asked_at), claimed_at__lte=case.asked_at
    ).select_related("campaign")
    latest = case.messages[-1].pk if case.messages else None
    of = [row for row in rows.order_by("claimed_at") if row.pk != latest]
    return [row for row in of if row.campaign.brand_id == case.campaign.brand_id] if own else of


def _quiet(case: _Case) -> Iterator[Step]:
    what, quiet = _("Quiet hours"), case.terms.quiet
    if quiet is None:
        yield Step(what, _("There are none."), True)
        return
    own = schedule.zone_of(case.profile.time_zone) if case.profile else None
    clocks = quiet.clocks(own, case.terms.shop)
    hours = {"begin": f"{quiet.begin:%H:%M}", "end": f"{quiet.end:%H:%M}", "clocks": ", ".join(zone.key for zone in clocks)}
    yield Step(what, _("From %(begin)s until %(end)s on these clocks: %(clocks)s.") % hours)
    dropped = next((message for message in case.messages if message.reason == Reason.QUIET_HOURS), None)
    if dropped:
        yield Step(what, _("It fell into them, and the campaign does not wait."), False, dropped.updated_at)
    elif not case.messages or case.messages[-1].state == MessageState.PLANNED:
        free = quiet.free(case.now, clocks)
        yield Step(what, _("They do not hold now.") if free == case.now else _("They hold now."), free == case.now or None)


def _is_held(case: _Case) -> bool:
    return bool(arms.held(case.campaign.pk, np.array([case.shopper.pk]), float(case.campaign.holdout))[0])


def _arm(case: _Case) -> Iterator[Step]:
    what, held = _("Holdout"), _is_held(case)
    share = {"share": f"{float(case.campaign.holdout) * 100:g}"}
    out = _("The shopper is of the %(share)s %% that are left alone.") if held else _("The shopper is not of the %(share)s %% that are left alone.")
    yield Step(what, out % share, not held)
    variants = list(case.campaign.variants.order_by("pk"))
    if held or not variants:
        return
    told = next((message.variant for message in reversed(case.messages) if message.variant), None)
    drawn = arms.variants(case.campaign.pk, np.array([case.shopper.pk]), [variant.weight for variant in variants])
    yield Step(_("Variant"), _("The shopper's variant is “%(name)s”.") % {"name": (told or variants[int(drawn[0])]).name})


def _ledger(case: _Case) -> Iterator[Step]:
    """What became of his messages, and what was heard of them."""
    for message in case.messages:
        what = _("Message %(number)s") % {"number": message.pk}
        if message.state == MessageState.PLANNED:
            yield Step(what, _("It is planned for then."), None, message.send_after)
        if message.claimed_at:
            tries = ngettext("It was taken to be sent (%(n)s try).", "It was taken to be sent (%(n)s tries).", message.attempts) % {"n": message.attempts}
            yield Step(what, tries, None, message.claimed_at)
        if message.sent_at:
            by = _("The provider took it as %(id)s.") % {"id": message.provider_id} if message.provider_id else _("The provider took it.")
            yield Step(what, by, True, message.sent_at)
        for event in MessageEvent.objects.filter(message=message).select_related("link").order_by("at", "pk"):
            yield Step(what, _heard(event), None, event.at)
        stands = f"{MessageState(message.state).label}: {Reason(message.reason).label}" if message.reason else MessageState(message.state).label
        yield Step(what, f"{stands}.", message.state in COUNTED or None if not message.reason else False, message.updated_at)


def _heard(event: MessageEvent) -> str:
    kind, by = MessageEvent.Kind(event.kind), event.by
    more = [str(MessageEvent.By(by).label)] if by else []
    more += [event.link.url] if event.link else []
    more += [event.detail] if event.detail else []
    return f"{kind.label} ({', '.join(more)})." if more else f"{kind.label}."
