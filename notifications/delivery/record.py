"""What became of claimed messages, written in batches. Only the claim that took a message may write of it; whoever lost it changes nothing."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from engagement.faults import point
from notifications.models import MessageEvent, MessageState, Reason

BEATEN: Final = timedelta(seconds=5)  # after which a message is tried again that the provider found too fast


@dataclass(frozen=True)
class Strategy:
    """How often a message is tried that was refused for now, and when: after `first`, then `factor` times as long each time."""

    tries: int
    first: timedelta
    factor: int

    def after(self, attempts: int) -> timedelta | None:
        """The wait after so many attempts; None: it is parked, and a person decides."""
        return None if attempts >= self.tries else self.first * self.factor ** (attempts - 1)


EMAIL: Final = Strategy(tries=5, first=timedelta(minutes=1), factor=4)  # over an hour and a half


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a claimed message goes. `tried`: it counts as an attempt. `detail`: why it was refused; holds no address."""

    id: int
    state: str
    reason: str = ""
    send_after: datetime | None = None
    tried: bool = True
    provider_id: str = ""
    detail: str = ""


def sent(id_: int, provider_id: str) -> Outcome:
    return Outcome(id_, MessageState.SENT, provider_id=provider_id[:128])


def unknown(id_: int) -> Outcome:
    return Outcome(id_, MessageState.UNKNOWN)


def refused(id_: int, detail: str) -> Outcome:
    return Outcome(id_, MessageState.FAILED, Reason.REFUSED, detail=detail)


def back(id_: int, at: datetime) -> Outcome:
    """It certainly did not leave, for no fault of its own."""
    return Outcome(id_, MessageState.PLANNED, send_after=at, tried=False)


def skipped(id_: int, reason: str) -> Outcome:
    return Outcome(id_, MessageState.SKIPPED, reason, tried=False)


def refused_for_now(id_: int, attempts: int, now: datetime, detail: str, strategy: Strategy = EMAIL) -> Outcome:
    """`attempts`: before this one."""
    wait = strategy.after(attempts + 1)
    if wait is None:
        return Outcome(id_, MessageState.FAILED, Reason.TRIED_ENOUGH, detail=detail)
    return Outcome(id_, MessageState.PLANNED, send_after=now + wait)


# A claim that was swept while its mail was still under way is `unknown`: what is certain after all is written over it. In the order of the ids, as
# everybody locks messages.
_WRITE: Final = """WITH held AS (SELECT id FROM notifications_message WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE)
    UPDATE notifications_message m
    SET state = u.state, reason = u.reason, send_after = coalesce(u.send_after, m.send_after), attempts = m.attempts + u.tried,
        claimed_at = CASE WHEN u.state IN ('sent', 'unknown') THEN m.claimed_at END, sent_at = CASE u.state WHEN 'sent' THEN %(now)s END,
        provider_id = u.provider_id, updated_at = %(now)s
    FROM held, unnest(%(ids)s::bigint[], %(states)s::text[], %(reasons)s::text[], %(afters)s::timestamptz[], %(tried)s::int[], %(provider_ids)s::text[])
         u (id, state, reason, send_after, tried, provider_id)
    WHERE m.id = u.id AND held.id = u.id AND m.claim = %(claim)s AND (m.state = 'claimed' OR (m.state = 'unknown' AND u.state IN ('sent', 'failed')))
    RETURNING m.id"""
# Its provider told of it before we did.
_FILL: Final = """UPDATE notifications_message m SET sent_at = coalesce(m.sent_at, %(now)s), provider_id = u.provider_id, attempts = m.attempts + 1
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(provider_ids)s::text[]) u (id, state, provider_id)
    WHERE m.id = u.id AND m.claim = %(claim)s AND m.state IN ('delivered', 'bounced', 'complained') AND m.provider_id = '' AND u.state = 'sent'"""


def write(claim: uuid.UUID, outcomes: Sequence[Outcome], *, organisation: int, now: datetime) -> None:
    """All of them in one commit."""
    if not outcomes:
        return
    told: dict[str, Any] = {
        "claim": claim, "now": now, "ids": [one.id for one in outcomes], "states": [one.state for one in outcomes],
        "reasons": [one.reason for one in outcomes], "afters": [one.send_after for one in outcomes], "tried": [int(one.tried) for one in outcomes],
        "provider_ids": [one.provider_id for one in outcomes],
    }  # fmt: skip
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_WRITE, told)
        written = {row[0] for row in cursor.fetchall()}
        if len(written) < len(outcomes):
            cursor.execute(_FILL, told)
        MessageEvent.objects.bulk_create(
            [
                MessageEvent(
                    organisation_id=organisation, message_id=one.id, kind=MessageEvent.Kind.REJECT, at=now, source=f"sender:{claim}", detail=one.detail[:200]
                )
                for one in outcomes
                if one.detail and one.id in written
            ],
            ignore_conflicts=True,
        )
        point("send.before_record")
    point("send.recorded")
