"""Moves of campaigns: each by CAMPAIGN_MOVES, under the campaign's row, so of two people who press at once one is told what state it is in.

Refused
├── WrongState    the state that it is in forbids it
├── NotApproved   a second person has to approve it first
├── SamePerson    whoever made the last change cannot approve it
└── NotReady      something that it needs is missing
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from pyroaring import BitMap

from analytics.audiences import evaluate, rules
from engagement.models import Venue
from notifications import schedule
from notifications.models import CAMPAIGN_MOVES, Campaign, CampaignState, MessageState, Run, SendingPolicy, Variant

logger = logging.getLogger("atrium.campaign")

# What was due so long ago does not go by itself: nobody wants Friday's offer on Sunday because a machine stood still. Somebody is asked.
STALE: Final = timedelta(hours=12)
_AHEAD: Final = schedule.EASTERNMOST + timedelta(hours=12)  # how long before its time a campaign may begin, where each shopper's clock counts


class Refused(Exception):
    """A campaign was not moved; why is a sentence for a person."""


class WrongState(Refused):
    """What the state of the campaign forbids."""

    def __init__(self, state: str) -> None:
        super().__init__(_("The campaign is %(state)s.") % {"state": CampaignState(state).label.lower()})
        self.state = state


class NotApproved(Refused):
    def __init__(self) -> None:
        super().__init__(_("A second person has to approve the campaign as it is now."))


class SamePerson(Refused):
    def __init__(self) -> None:
        super().__init__(_("Whoever made the last change cannot approve it. Ask somebody else."))


class NotReady(Refused):
    pass


def send(campaign: Campaign, *, by: str, at: datetime | None = None, now: datetime | None = None) -> Campaign:
    """As it says: at its time or its times, or now where it has none. `at` replaces its time."""
    now = now or timezone.now()
    with transaction.atomic():
        locked = _held(campaign, CampaignState.DRAFT)
        if not Variant.objects.filter(campaign=locked).exists():
            raise NotReady(_("The campaign has no text yet."))
        if needs_approval(locked):
            raise NotApproved
        locked.send_at = at or locked.send_at or _next(locked, now)
        if locked.send_at and now - locked.send_at > STALE:
            raise NotReady(_("The campaign's time is long past. Give it another."))
        if locked.send_at is None or begins_at(locked) <= now:
            return _start(locked, locked.send_at or now, now, by)
        return _move(locked, CampaignState.SCHEDULED, by)


def unschedule(campaign: Campaign, *, by: str) -> Campaign:
    """A draft again."""
    with transaction.atomic():
        locked = _held(campaign, CampaignState.SCHEDULED)
        if Run.objects.filter(campaign=locked).exists():
            raise WrongState(locked.state)  # what was sent already must keep saying what it said
        return _move(locked, CampaignState.DRAFT, by)


def pause(campaign: Campaign, *, by: str, reason: str = "") -> Campaign:
    """Senders stop within a second or so; what they hold and did not send yet is planned again."""
    with transaction.atomic():
        locked = _held(campaign, CampaignState.SCHEDULED, CampaignState.SENDING)
        return _move(locked, CampaignState.PAUSED, by, paused_itself=False, pause_reason=(reason or _("Paused by %(who)s.") % {"who": by})[:200])


def pause_itself(campaign: int, reason: str) -> bool:
    """Without a person; whether there was something to pause."""
    going = Campaign.objects.filter(pk=campaign, state__in=[CampaignState.SCHEDULED, CampaignState.SENDING])
    return bool(going.update(state=CampaignState.PAUSED, paused_itself=True, pause_reason=reason[:200]))


def resume(campaign: Campaign, *, by: str, now: datetime | None = None) -> Campaign:
    """Goes on with the run that is open; else at its time; else, where that is past, now: a person says so."""
    now = now or timezone.now()
    with transaction.atomic():
        locked = _held(campaign, CampaignState.PAUSED)
        if needs_approval(locked):
            raise NotApproved
        if Run.objects.filter(campaign=locked, finished_at=None).exists():
            return _move(locked, CampaignState.SENDING, by, pause_reason="", judged_from=now)
        if locked.recurrence and (locked.send_at is None or begins_at(locked) <= now):
            locked.send_at = _next(locked, now)
        if locked.send_at is None or begins_at(locked) <= now:
            return _start(locked, locked.send_at or now, now, by)
        return _move(locked, CampaignState.SCHEDULED, by, pause_reason="")


def cancel(campaign: Campaign, *, by: str, now: datetime | None = None) -> Campaign:
    """For good. What was planned is skipped, by and by (notifications.delivery.sweep); what has left has left."""
    with transaction.atomic():
        locked = _held(campaign, CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.PAUSED)
        return _move(locked, CampaignState.CANCELLED, by, finished_at=now or timezone.now(), pause_reason=_("Cancelled by %(who)s.") % {"who": by})


def approve(campaign: Campaign, *, by: str) -> Campaign:
    """The campaign as it is now; its next change asks for approval again."""
    with transaction.atomic():
        locked = _held(campaign, CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.PAUSED)
        if by == (locked.changed_by or locked.created_by):
            raise SamePerson
        locked.approved_revision, locked.approved_by = locked.revision, by
        locked.save(update_fields=["approved_revision", "approved_by"])
    return locked


def needs_approval(campaign: Campaign) -> bool:
    policy = SendingPolicy.objects.filter(organisation=campaign.organisation_id).first()
    return bool(policy and policy.needs_approval and campaign.approved_revision != campaign.revision)


# In the order of the ids, as everybody locks messages.
_RELEASE: Final = """WITH held AS MATERIALIZED (
        SELECT id FROM notifications_message WHERE campaign_id = %(campaign)s AND run_id = ANY(%(runs)s::bigint[]) AND state = 'failed'
           AND (%(reason)s::text IS NULL OR reason = %(reason)s) AND (%(only)s::bigint[] IS NULL OR id = ANY(%(only)s::bigint[]))
         ORDER BY id FOR NO KEY UPDATE)
    UPDATE notifications_message m SET state = 'planned', reason = '', attempts = %(attempts)s, send_after = %(now)s, updated_at = %(now)s
      FROM held WHERE m.id = held.id AND m.state = 'failed' RETURNING m.id, m.run_id"""


def release(campaign: Campaign, *, by: str, reason: str | None = None, now: datetime | None = None) -> int:
    """Messages that failed are planned again, because somebody says that they can arrive now. Returns how many. `reason`: those alone."""
    return len(release_some(campaign, by=by, reason=reason, now=now or timezone.now()))


def release_some(campaign: Campaign, *, by: str, now: datetime, reason: str | None = None, only: Sequence[int] | None = None, attempts: int = 0) -> list[int]:
    """As `release`, of these numbers `only`; returns those that went. `attempts`: how many they count as having made."""
    with transaction.atomic():
        locked = _held(campaign, CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.FINISHED)
        runs = list(Run.objects.filter(campaign=locked).values_list("pk", flat=True))
        told: dict[str, Any] = {"campaign": locked.pk, "runs": runs, "reason": reason, "only": only, "attempts": attempts, "now": now}
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, told)
            released = cursor.fetchall()
        Run.objects.filter(pk__in={run for _id, run in released}).update(finished_at=None)
        Campaign.objects.filter(pk=locked.pk).update(judged_from=now)
        if released and locked.state in (CampaignState.SCHEDULED, CampaignState.FINISHED):
            _move(locked, CampaignState.SENDING, by, finished_at=None)
    return [id for id, _run in released]


def start_due(now: datetime) -> int:
    """Campaigns whose time has come get their run; those whose time is long past wait for somebody. Returns how many were started."""
    waiting = Campaign.objects.filter(state=CampaignState.SCHEDULED, send_at__lte=now + _AHEAD).order_by("send_at").values_list("pk", flat=True)
    return sum(_start_one(pk, now) for pk in waiting[:1000])


def _start_one(pk: int, now: datetime) -> bool:
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(skip_locked=True).filter(pk=pk, state=CampaignState.SCHEDULED).first()
        if locked is None or locked.send_at is None or begins_at(locked) > now:
            return False
        if now - locked.send_at > STALE:
            hours = (now - locked.send_at) // timedelta(hours=1)
            pause_itself(pk, _("Its time passed %(hours)s hours ago, and nothing was sent. Resume it if it should still go.") % {"hours": hours})
            return False
        if needs_approval(locked):
            pause_itself(pk, _("Its time has come, and it is not approved."))
            return False
        _start(locked, locked.send_at, now, "its time")
    return True


def finish(campaign: int, *, now: datetime) -> bool:
    """Where no run is open any more: finished, or waiting for its next time. Whether it moved."""
    with transaction.atomic():
        locked = Campaign.objects.select_for_update().get(pk=campaign)
        if locked.state != CampaignState.SENDING or Run.objects.filter(campaign=locked, finished_at=None).exists():
            return False
        following = _next(locked, max(now, locked.send_at or now))
        if following is not None:
            _move(locked, CampaignState.SCHEDULED, send_at=following)
        else:
            _move(locked, CampaignState.FINISHED, finished_at=now)
    return True


def begins_at(campaign: Campaign) -> datetime:
    """When planning begins: at its time, or when the first clock of the world shows it."""
    assert campaign.send_at is not None
    return schedule.first_clock_at(campaign.send_at, clock_of(campaign)) if campaign.in_shopper_time else campaign.send_at


def clock_of(campaign: Campaign) -> ZoneInfo:
    """The shop's."""
    return schedule.zone_of(campaign.time_zone) or ZoneInfo("UTC")


def usual_clock(organisation: int) -> str:
    """The time zone of a campaign that names none: its first venue's."""
    return Venue.objects.filter(organisation=organisation).order_by("pk").values_list("time_zone", flat=True).first() or "UTC"


def audience_of(campaign: Campaign, now: datetime) -> BitMap:
    """Who meets its rule now. Raises rules.Fault where that names something that is gone."""
    return evaluate.members(campaign.organisation, rules.parse(campaign.audience.rule), now)


# In one statement, so that rows and cursor are of one instant: whoever has no row yet will get one.
_COUNTS: Final = """SELECT '', coalesce(sum(audience_count), 0)::bigint FROM notifications_run WHERE id = ANY(%(runs)s)
    UNION ALL SELECT state, count(*) FROM notifications_message WHERE run_id = ANY(%(runs)s) GROUP BY state"""


def counts(of: Campaign | Run) -> dict[str, int]:
    """How many messages are in each state: their sum is the audience, at every instant, also while it is being planned."""
    runs = list(of.runs.values_list("pk", flat=True)) if isinstance(of, Campaign) else [of.pk]
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"runs": runs})
        found = dict(cursor.fetchall())
    audience = found.pop("")
    return {state: found.get(state, 0) for state in MessageState.values} | {
        MessageState.PLANNED.value: found.get(MessageState.PLANNED, 0) + audience - sum(found.values())
    }


def _held(campaign: Campaign, *states: str) -> Campaign:
    """The campaign's row, locked, in one of these states."""
    locked = Campaign.objects.select_for_update().get(pk=campaign.pk, organisation=campaign.organisation_id)
    if locked.state not in states:
        raise WrongState(locked.state)
    return locked


def _start(locked: Campaign, due_at: datetime, now: datetime, by: str) -> Campaign:
    Run.objects.get_or_create(campaign=locked, due_at=due_at)
    return _move(locked, CampaignState.SENDING, by, started_at=locked.started_at or now, pause_reason="")


def _move(locked: Campaign, to: CampaignState, by: str = "itself", **fields: Any) -> Campaign:
    if to not in CAMPAIGN_MOVES[locked.state]:
        raise WrongState(locked.state)
    logger.info("Campaign %s goes from %s to %s, by %s.", locked.pk, locked.state, to, by)
    locked.state = to
    for name, value in fields.items():
        setattr(locked, name, value)
    locked.save(update_fields=["state", "send_at", *fields])
    return locked


def _next(campaign: Campaign, after: datetime) -> datetime | None:
    return schedule.next_time(campaign.recurrence, clock_of(campaign), after) if campaign.recurrence else None
