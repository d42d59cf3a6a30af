"""What follows from what was heard, for a whole set at once: events, states, the ledger, suppressions. In the caller's transaction.

A state is the furthest that the events of a message say, by the table of moves; so their order, and how often they come, do not matter. What is
written belongs to the organisation of the message, whatever the notice says.

Locks are taken as an erasure takes them: shoppers, then messages, then what hangs on them, each in the order of its numbers.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.backends.utils import CursorWrapper

from engagement.models import Channel
from engagement.profiles import consents
from notifications import machines, suppressions
from notifications.feedback import ses
from notifications.feedback.ses import Heard
from notifications.models import MESSAGE_MOVES, MessageState, Reason, Suppression
from notifications.suppressions import Noted

# How far each event takes a message. Whatever is heard of a mail says at least that the provider took it.
TAKES_TO: Final[dict[str, str]] = {
    ses.REJECT: MessageState.FAILED,
    ses.RENDERING: MessageState.FAILED,
    ses.DELIVERY: MessageState.DELIVERED,
    ses.BOUNCE: MessageState.BOUNCED,
    ses.COMPLAINT: MessageState.COMPLAINED,
}
FURTHER: Final = (MessageState.SENT, MessageState.FAILED, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED)
MOVES: Final = [f"{before}>{after}" for before, moves in MESSAGE_MOVES.items() for after in moves if after in FURTHER]
SUPPRESSES: Final = {ses.BOUNCE: Suppression.Why.BOUNCE, ses.COMPLAINT: Suppression.Why.COMPLAINT, ses.UNSUBSCRIBE: Suppression.Why.UNSUBSCRIBE}
WITHDRAWS: Final = frozenset({ses.COMPLAINT, ses.UNSUBSCRIBE})
FOLLOWED: Final = frozenset({ses.OPEN, ses.CLICK})  # an erasure removes them
NEAR: Final = timedelta(minutes=10)  # between the provider's clock and ours
_AN_ID_OF_SES: Final = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{6}")

_BY_PROVIDER: Final = "SELECT provider_id, id FROM notifications_message WHERE sent_at BETWEEN %s AND %s AND provider_id = ANY(%s)"
_SHOPPERS: Final = """
SELECT id FROM engagement_shopper WHERE id IN (SELECT shopper_id FROM notifications_message WHERE id = ANY(%s)) ORDER BY id FOR KEY SHARE
"""
_MESSAGES: Final = """
SELECT m.id, m.organisation_id, m.shopper_id, m.provider_id, coalesce(c.purpose, '') FROM notifications_message m
LEFT JOIN notifications_campaign c ON c.id = m.campaign_id WHERE m.id = ANY(%s) ORDER BY m.id FOR NO KEY UPDATE OF m
"""
_EVENTS: Final = """
INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, detail)
SELECT * FROM unnest(%(organisations)s::bigint[], %(messages)s::bigint[], %(kinds)s::text[], %(at)s::timestamptz[], %(sources)s::text[],
                     %(by)s::text[], %(details)s::text[])
ON CONFLICT (message_id, kind, source) DO NOTHING
"""
# What failed is no longer counted for caps (claimed_at); what did arrive is, since when it was taken.
_STATES: Final = """
UPDATE notifications_message m
   SET state = u.state, reason = CASE u.state WHEN 'failed' THEN %(refused)s ELSE '' END,
       sent_at = CASE u.state WHEN 'failed' THEN m.sent_at ELSE coalesce(m.sent_at, u.taken) END,
       claimed_at = CASE u.state WHEN 'failed' THEN NULL ELSE coalesce(m.claimed_at, u.taken) END,
       provider_id = CASE WHEN m.provider_id = '' AND m.shopper_id > 0 THEN u.provider ELSE m.provider_id END, updated_at = %(now)s
  FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(taken)s::timestamptz[], %(providers)s::text[]) AS u(id, state, taken, provider)
 WHERE m.id = u.id AND m.state || '>' || u.state = ANY(%(moves)s)
"""


@dataclass(frozen=True, slots=True)
class Addressed:
    """The message that something was heard of. `shopper` below zero: he was erased."""

    id: int
    organisation: int
    shopper: int
    provider_id: str
    purpose: str


def apply(cursor: CursorWrapper, heard: Sequence[Heard], now: datetime) -> list[bool]:
    """Of each, whether its message is known."""
    numbers = _numbers(cursor, heard)
    known = _held(cursor, {number for number in numbers if number is not None})
    found: list[tuple[Heard, Addressed]] = []
    answers = []
    for one, number in zip(heard, numbers, strict=True):
        message = known.get(number) if number is not None else None
        ours = message is not None and _is_of(one, message)
        answers.append(ours)
        if message is not None and ours and not (message.shopper < 0 and one.kind in FOLLOWED):
            found.append((one, message))
    if found:
        _write_events(cursor, found)
        _withdraw(cursor, found)
        suppressions.suppress(cursor, list(_suppressed(found)))
        _move(cursor, found, now)
    return answers


def _numbers(cursor: CursorWrapper, heard: Sequence[Heard]) -> list[int | None]:
    """The message of each: as the mail says it, else by the provider's id, looked for around the time at which the provider took it."""
    by_time: dict[int, list[Heard]] = defaultdict(list)
    for one in heard:
        if one.message is None and one.provider_id and one.taken_at:
            by_time[int(one.taken_at.timestamp() // NEAR.total_seconds())].append(one)
    found: dict[str, int] = {}
    for together in by_time.values():
        times = [one.taken_at for one in together if one.taken_at]
        cursor.execute(_BY_PROVIDER, [min(times) - NEAR, max(times) + NEAR, [one.provider_id for one in together]])
        found.update(cursor.fetchall())
    return [one.message if one.message is not None else found.get(one.provider_id) for one in heard]


def _held(cursor: CursorWrapper, numbers: set[int]) -> dict[int, Addressed]:
    ordered = sorted(numbers)
    cursor.execute(_SHOPPERS, [ordered])
    cursor.execute(_MESSAGES, [ordered])  # a statement of its own: an erasure that was waited for is seen
    return {row[0]: Addressed(*row) for row in cursor.fetchall()}


def _is_of(one: Heard, message: Addressed) -> bool:
    """Not where the message was sent under another id of the provider: then it is the message of another installation with the same number."""
    return not (message.provider_id and one.provider_id and message.provider_id != one.provider_id and _AN_ID_OF_SES.fullmatch(message.provider_id))


def _write_events(cursor: CursorWrapper, found: Iterable[tuple[Heard, Addressed]]) -> None:
    once = {(message.id, one.kind, one.source): (one, message) for one, message in found}
    rows = [once[key] for key in sorted(once)]
    cursor.execute(
        _EVENTS,
        {
            "organisations": [message.organisation for _, message in rows],
            "messages": [message.id for _, message in rows],
            "kinds": [one.kind for one, _ in rows],
            "at": [one.at for one, _ in rows],
            "sources": [one.source for one, _ in rows],
            "by": [machines.who("GET", {"User-Agent": one.agent})[0] if one.kind in FOLLOWED else "" for one, _ in rows],
            "details": [one.detail for one, _ in rows],
        },
    )


def _withdraw(cursor: CursorWrapper, found: Iterable[tuple[Heard, Addressed]]) -> None:
    said = {
        (message.shopper, message.purpose, one.at, one.kind): message.organisation for one, message in found if one.kind in WITHDRAWS and message.shopper > 0
    }
    for (shopper, purpose, at, kind), organisation in sorted(said.items()):
        if purpose:
            consents.withdraw(cursor, organisation, shopper, Channel.EMAIL.value, purpose, at, kind)


def _suppressed(found: Iterable[tuple[Heard, Addressed]]) -> Iterable[Noted]:
    for one, message in found:
        if one.kind in SUPPRESSES and message.shopper > 0:
            yield from (Noted(message.organisation, address, SUPPRESSES[one.kind].value, one.at, message.id) for address in one.addresses)


def _move(cursor: CursorWrapper, found: Iterable[tuple[Heard, Addressed]], now: datetime) -> None:
    furthest: dict[int, tuple[int, datetime, str]] = {}
    for one, message in found:
        step = FURTHER.index(_taken_to(one)), one.taken_at or one.at, one.provider_id
        furthest[message.id] = max(furthest.get(message.id, step), step, key=lambda step: step[0])
    ids = sorted(furthest)
    cursor.execute(
        _STATES,
        {
            "now": now,
            "moves": MOVES,
            "refused": Reason.REFUSED.value,
            "ids": ids,
            "states": [FURTHER[furthest[pk][0]].value for pk in ids],
            "taken": [furthest[pk][1] for pk in ids],
            "providers": [furthest[pk][2] for pk in ids],
        },
    )


def _taken_to(one: Heard) -> MessageState:
    if one.kind == ses.SOFT_BOUNCE and one.final:
        return MessageState.BOUNCED
    return MessageState(TAKES_TO.get(one.kind, MessageState.SENT))
