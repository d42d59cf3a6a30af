"""Taking planned messages: claimed and committed before anything leaves, so that whatever happens then, nobody takes them again."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction

from engagement.faults import point
from notifications import eligibility
from notifications.eligibility import Later, Terms
from notifications.mail import Person
from notifications.models import Campaign, MessageState, Reason

HOLD_S: Final = 300.0  # a sender hands nothing to the wire so long after its claim
# An older claim is a dead one's: longer than a sender may hold on, and the longest that a mail can take after it (a few waits for the server).
LEASE: Final = timedelta(seconds=HOLD_S + max(600, 5 * settings.MAIL_TIMEOUT_S))


@dataclass(frozen=True, slots=True)
class Message:
    """One that is claimed, and whom it is for."""

    id: int
    variant: int
    attempts: int
    person: Person


@dataclass(frozen=True, slots=True)
class Batch:
    """What one claim took, all of one campaign. `touched`: with those that were skipped or put off."""

    claim: uuid.UUID
    campaign: Campaign
    run: int
    terms: Terms
    messages: Sequence[Message]
    touched: int


class Turns:
    """Whose turn it is: the organisation that was served longest ago, and of its runs the one that was."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, int], int] = {}
        self._count = 0

    def next(self, now: datetime, passed_over: set[int]) -> tuple[int, int] | None:
        """(campaign, run) with something to send; not one of the runs passed over."""
        with connection.cursor() as cursor:
            cursor.execute(_DUE, {"now": now, "passed_over": list(passed_over)})
            due = cursor.fetchall()
        if not due:
            return None
        chosen = min(due, key=lambda row: (self._served.get(("organisation", row[0]), 0), row[0], self._served.get(("run", row[2]), 0), row[2]))
        self._count += 1
        self._served[("organisation", chosen[0])] = self._served[("run", chosen[2])] = self._count
        return chosen[1], chosen[2]


_DUE: Final = """SELECT c.organisation_id, c.id, r.id FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
    WHERE r.finished_at IS NULL AND c.state = 'sending' AND r.id <> ALL(%(passed_over)s::bigint[])
      AND EXISTS (SELECT 1 FROM notifications_message m WHERE m.run_id = r.id AND m.state = 'planned' AND m.send_after <= %(now)s)"""
_CANDIDATES: Final = """SELECT m.id, m.shopper_id, m.variant_id, m.attempts FROM notifications_message m
    JOIN notifications_run r ON r.id = m.run_id JOIN notifications_campaign c ON c.id = r.campaign_id
    WHERE m.run_id = %(run)s AND m.state = 'planned' AND m.send_after <= %(now)s AND c.state = 'sending'
    ORDER BY m.send_after LIMIT %(most)s FOR UPDATE OF m SKIP LOCKED"""
# Never waited for, so there is no deadlock with anybody who holds people in another order; whom somebody else holds has his turn later.
_PEOPLE: Final = """SELECT p.shopper_id, coalesce(s.external_id, ''), p.email, p.language, p.time_zone, p.attributes
    FROM engagement_profile p JOIN engagement_shopper s ON s.id = p.shopper_id
    WHERE p.shopper_id = ANY(%(shoppers)s) AND p.organisation_id = %(organisation)s ORDER BY p.shopper_id FOR NO KEY UPDATE OF p SKIP LOCKED"""
_MARK: Final = """UPDATE notifications_message m
    SET state = u.state, reason = u.reason, send_after = coalesce(u.send_after, m.send_after), updated_at = %(now)s,
        claim = CASE u.state WHEN 'claimed' THEN %(claim)s::uuid ELSE m.claim END, claimed_at = CASE u.state WHEN 'claimed' THEN %(now)s END
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(reasons)s::text[], %(afters)s::timestamptz[]) u (id, state, reason, send_after)
    WHERE m.id = u.id"""


def take(campaign: Campaign, run: int, *, now: datetime, most: int) -> Batch:
    """Claim up to `most` messages of a run. Those that may not go are skipped or put off in the same transaction."""
    claim, terms = uuid.uuid4(), Terms.of(campaign)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, {"run": run, "now": now, "most": most})
        rows = cursor.fetchall()
        if not rows:
            return Batch(claim, campaign, run, terms, (), 0)
        shoppers = [row[1] for row in rows]
        cursor.execute(_PEOPLE, {"shoppers": shoppers, "organisation": campaign.organisation_id})
        people = {row[0]: Person(row[0], row[1], row[2], row[3], row[4], _attributes(row[5])) for row in cursor.fetchall()}
        verdicts = eligibility.judge(cursor, campaign, shoppers, now, terms=terms)
        marks = [(row[0], *mark) for row in rows if (mark := _mark(row[1] in people, verdicts[row[1]]))]
        ids, states, reasons, afters = (list(column) for column in zip(*marks, strict=True)) if marks else ([], [], [], [])
        cursor.execute(_MARK, {"now": now, "claim": claim, "ids": ids, "states": states, "reasons": reasons, "afters": afters})
        point("send.before_claim")
    point("send.claimed")
    claimed = {one for one, state, *_ in marks if state == MessageState.CLAIMED}
    messages = [Message(id_, variant, attempts, people[shopper]) for id_, shopper, variant, attempts in rows if id_ in claimed]
    return Batch(claim, campaign, run, terms, messages, len(marks))


def _mark(held: bool, verdict: Reason | Later | None) -> tuple[str, str, datetime | None] | None:
    """State, reason and when; None: it stays as it is, because somebody else holds the shopper."""
    match verdict:
        case None:
            return (MessageState.CLAIMED, "", None) if held else None
        case Later(at):
            return MessageState.PLANNED, Reason.QUIET_HOURS, at
        case _:
            return MessageState.SKIPPED, verdict, None


def _attributes(told: Any) -> dict[str, Any]:
    return dict(json.loads(told) if isinstance(told, str) else told)
