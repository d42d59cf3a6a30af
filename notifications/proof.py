"""Did it bring anyone? Everybody a campaign meant to reach, beside those it held out.

Meant to reach is who got a message planned for him (it has a variant), whatever became of it: bounced, failed, capped or unsubscribed before it
left. To count only who got it would compare people who were there to be reached with people of whom nobody knows. Who is not come to yet, or was
not before the campaign was cancelled, is left aside, and so are those held out whose turn would have been then.

Everybody's window begins when his message left. Where none left (held out, failed, skipped) it begins when it would have: with the message before
his in the order of the run, and not before the time planned for him. Read as it is now: merges, late events and erasures change it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analytics import attribution, binary
from analytics.attribution import DAY_US, Claims, Deeds, Told
from analytics.lift import Group, Lift, lift
from analytics.stays import Bools, Columns, Ints
from notifications.models import Campaign, MessageState

Cursor = binary.Cursor
STATES: Final = tuple(MessageState.values)
_HELD: Final = STATES.index(MessageState.HELD_OUT)
_PENDING: Final = (STATES.index(MessageState.PLANNED), STATES.index(MessageState.CLAIMED))
_ROLL: Final = {
    "id": ("int8", "m.id"),
    "shopper": ("int8", "m.shopper_id"),
    "run": ("int8", "m.run_id"),
    "variant": ("int8", "coalesce(m.variant_id, 0)"),
    "state": ("int2", "array_position(%(states)s::text[], m.state::text)::int2"),
    "cancelled": ("bool", "(m.reason = 'cancelled')"),
    "planned_at": ("timestamptz", "m.send_after"),
    "sent_at": ("timestamptz", "coalesce(m.sent_at, 'epoch')"),
}


@dataclass(frozen=True, slots=True)
class Roll(Columns):
    """Of some runs: everybody meant to reach, and everybody held out, in the order of the messages. `state` indexes STATES; 0: never sent."""

    id: Ints
    shopper: Ints
    run: Ints
    variant: Ints
    state: Ints
    cancelled: Bools
    planned_at: Ints
    sent_at: Ints

    @property
    def held(self) -> Bools:
        held: Bools = self.state == _HELD
        return held

    def instants(self) -> Ints:
        """When each one's window begins."""
        order = np.lexsort((self.id, self.planned_at, self.run)) if len(np.unique(self.planned_at)) > 1 else np.arange(len(self.id))
        run, planned, sent = self.run[order], self.planned_at[order], self.sent_at[order]
        heads = np.ones(len(order), np.bool_)
        heads[1:] = (run[1:] != run[:-1]) | (planned[1:] != planned[:-1])
        # The place of the last message that left so far, not further back than the first of the same run and time.
        place = np.arange(len(order))
        last = np.maximum.accumulate(np.where((sent > 0) | heads, place, 0))
        found = np.empty(len(order), np.int64)
        found[order] = np.where(sent > 0, sent, np.maximum(planned, sent[last]))
        return found

    def come_to(self) -> Bools:
        """Whose turn it was: the told, where something became of their message; the held out, up to the last of those beside whom they stand."""
        open_ = np.isin(self.state, _PENDING) | self.cancelled
        there = ~open_
        if not open_.any():
            return there
        _, group = np.unique(np.stack([self.run, self.planned_at]), axis=1, return_inverse=True)
        group = group.ravel()
        limit = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
        limit[group[open_]] = 0
        done = there & ~self.held & (limit[group] == 0)
        reached = np.zeros(len(limit), np.int64)
        np.maximum.at(reached, group[done], self.id[done])
        limit = np.where(limit == 0, reached, limit)
        return there & (~self.held | (self.id <= limit[group]))


@dataclass(frozen=True, slots=True)
class Proof:
    """`variants`: who of each variant's people did it. None where nobody was told yet."""

    visits: Lift
    purchases: Lift
    variants: dict[int, tuple[Group, Group]]  # who came, who bought
    reached: int  # of the told, whose message left
    staff: int  # left out of both groups
    since: int
    until: int  # when the last window ends
    zones: tuple[int, ...]
    credit: attribution.Credit


def roll(cursor: Cursor, runs: Sequence[int]) -> Roll:
    source = "FROM notifications_message m WHERE m.run_id = ANY(%(runs)s) AND (m.variant_id IS NOT NULL OR m.state = 'held_out')"
    found = binary.fetch(cursor, _ROLL, source, {"runs": list(runs), "states": list(STATES)})
    found["state"] -= 1
    everybody = Roll(**found)
    return everybody.take(np.argsort(everybody.id, kind="stable"))


def prove(cursor: Cursor, campaign: Campaign, everybody: Roll) -> Proof | None:
    """None where nothing has left."""
    at = everybody.instants()
    staff = np.isin(everybody.shopper, attribution.left_out(cursor, organisation=campaign.organisation_id))
    chosen = everybody.come_to() & ~staff & (everybody.shopper > 0)  # of the erased nothing is known, in either group
    there, at = everybody.take(chosen), at[chosen]
    if not (there.sent_at > 0).any():
        return None
    days, brand = campaign.outcome_days, campaign.brand_id
    since, until = int(at.min()), int(at.max()) + days * DAY_US
    zones = attribution.places(cursor, organisation=campaign.organisation_id, brand=brand)
    visits = attribution.visits(cursor, organisation=campaign.organisation_id, zones=zones, start=since, end=until)
    purchases = attribution.purchases(cursor, organisation=campaign.organisation_id, brand=brand, start=since, end=until)

    told, held = ~there.held, there.held
    came, bought = (attribution.did(Told(there.shopper, at), deeds, days=days) for deeds in (visits, purchases))
    once = len(np.unique(there.run)) == 1  # nobody is twice in one run

    def group(rows: Bools, did: Bools) -> Group:
        did = did & rows
        return Group(int(rows.sum()), int(did.sum())) if once else Group(len(np.unique(there.shopper[rows])), len(np.unique(there.shopper[did])))

    by_variant = {int(one): there.variant == one for one in np.unique(there.variant[told])}
    sent = there.sent_at > 0
    return Proof(
        visits=lift(group(told, came), group(held, came)),
        purchases=lift(group(told, bought), group(held, bought)),
        variants={variant: (group(rows, came), group(rows, bought)) for variant, rows in by_variant.items()},
        reached=int((sent & told).sum()),
        staff=len(np.unique(everybody.shopper[staff])),
        since=since,
        until=until,
        zones=tuple(zones),
        credit=_credit(cursor, campaign, Told(there.shopper[sent], there.sent_at[sent]), visits),
    )


def _credit(cursor: Cursor, campaign: Campaign, told: Told, visits: Deeds) -> attribution.Credit:
    own = attribution.claims(told, visits, days=campaign.outcome_days, by=campaign.pk)
    return attribution.credit(own, _others(cursor, campaign, own))


def _others(cursor: Cursor, campaign: Campaign, own: Claims) -> Claims:
    """What other campaigns of the organisation claim of the people whose visits this one claims."""
    nothing = np.empty(0, np.int64)
    found = Claims(nothing, nothing, nothing, nothing, nothing)
    if not len(own.shopper):
        return found
    people = np.unique(own.shopper)
    # A visit is one coming for two campaigns where it touches the other's in time: a visit to the mall may begin a day before that to the store.
    first, last = int(own.started.min()) - DAY_US, int(own.ended.max())
    known: dict[int | None, Deeds] = {}
    for number, brand, days in _beside(cursor, campaign, first, last):
        sent = binary.fetch(
            cursor,
            {"shopper": ("int8", "m.shopper_id"), "at": ("timestamptz", "m.sent_at")},
            """FROM notifications_message m WHERE m.run_id IN (SELECT id FROM notifications_run WHERE campaign_id = %(campaign)s) AND m.shopper_id > 0
                AND m.sent_at >= atrium_instant(%(first)s) AND m.sent_at <= atrium_instant(%(last)s)""",
            {"campaign": number, "first": first - days * DAY_US, "last": last},
        )
        told = Told(**sent)
        told = told.take(np.isin(told.shopper, people))
        if len(told.shopper) and brand not in known:
            zones = attribution.places(cursor, organisation=campaign.organisation_id, brand=brand)
            known[brand] = attribution.visits(cursor, organisation=campaign.organisation_id, zones=zones, start=first, end=last + 1)
        if len(told.shopper):
            found = found.join(attribution.claims(told, known[brand], days=days, by=number))
    return found


def _beside(cursor: Cursor, campaign: Campaign, first: int, last: int) -> Iterable[tuple[int, int | None, int]]:
    """Other campaigns that may have sent something whose window reaches into the time: number, brand, days."""
    rows: list[Any] = cursor.execute(
        """SELECT c.id, c.brand_id, c.outcome_days FROM notifications_campaign c
           WHERE c.organisation_id = %(organisation)s AND c.id <> %(campaign)s AND c.started_at <= atrium_instant(%(last)s)
             AND coalesce(c.finished_at, 'infinity') + c.outcome_days * interval '24 hours' >= atrium_instant(%(first)s) ORDER BY c.id""",
        {"organisation": campaign.organisation_id, "campaign": campaign.pk, "first": first, "last": last},
    ).fetchall()
    return [(int(number), brand, int(days)) for number, brand, days in rows]
