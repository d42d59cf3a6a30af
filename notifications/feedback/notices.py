"""Notices that were proved and wait to be applied. The row is the queue; told twice, it is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from notifications.feedback.sns import SUBSCRIPTION, Notice

EVENT: Final = "event"
CONFIRM: Final = "confirm"
KEPT: Final = timedelta(days=30)
TRIES: Final = 8  # the last one about ten minutes after it came

_KEEP: Final = """
INSERT INTO notifications_feedbacknotice (key, topic, body, received_at, attempts, problem) VALUES (%s, %s, %s, %s, 0, '') ON CONFLICT (key) DO NOTHING
"""
# Those that failed wait longer each time: 10 s after they came, 40 s, 90 s ...
_WAITING: Final = """
SELECT id, topic, body, received_at, attempts FROM notifications_feedbacknotice
WHERE applied_at IS NULL AND attempts < %(tries)s AND body {like} 'confirm%%' AND received_at <= %(now)s - attempts * attempts * interval '10 seconds'
  AND (%(only)s::bigint IS NULL OR id = %(only)s)
ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
# What was applied has nothing left to say, and addresses in it.
_DONE: Final = """
UPDATE notifications_feedbacknotice n SET applied_at = %(now)s, body = '', problem = u.problem
FROM unnest(%(ids)s::bigint[], %(problems)s::text[]) AS u(id, problem) WHERE n.id = u.id
"""
_FAILED: Final = "UPDATE notifications_feedbacknotice SET attempts = attempts + 1, problem = %s WHERE id = ANY(%s) AND applied_at IS NULL"
# A subscription counts as tried before it is asked to be confirmed, so one that has a single try left would look as given up meanwhile.
_RELEASE: Final = """
WITH held AS MATERIALIZED (
    SELECT id FROM notifications_feedbacknotice WHERE id = ANY(%(ids)s) AND applied_at IS NULL AND attempts >= %(tries)s ORDER BY id FOR UPDATE
)
UPDATE notifications_feedbacknotice n SET attempts = CASE WHEN n.body LIKE 'confirm%%' THEN 0 ELSE %(attempts)s END
FROM held WHERE n.id = held.id AND n.attempts >= %(tries)s RETURNING n.id
"""
_FORGET: Final = "DELETE FROM notifications_feedbacknotice WHERE applied_at < %s"


@dataclass(frozen=True, slots=True)
class Waiting:
    id: int
    topic: str
    said_at: datetime
    text: str
    received_at: datetime
    attempts: int


def keep(notice: Notice, now: datetime) -> None:
    confirms = notice.type == SUBSCRIPTION
    body = f"{CONFIRM if confirms else EVENT}\n{notice.at.isoformat()}\n{notice.subscribe_url if confirms else notice.message}"
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [notice.message_id, notice.topic_arn, body, now])


def waiting(cursor: Any, now: datetime, *, most: int, confirming: bool = False, only: int | None = None) -> list[Waiting]:
    """Held until the caller's transaction ends; nobody waits for them."""
    cursor.execute(_WAITING.format(like="LIKE" if confirming else "NOT LIKE"), {"now": now, "tries": TRIES, "most": most, "only": only})
    found = []
    for pk, topic, body, received_at, attempts in cursor.fetchall():
        _kind, said_at, text = body.split("\n", 2)
        found.append(Waiting(pk, topic, datetime.fromisoformat(said_at), text, received_at, attempts))
    return found


def done(cursor: Any, problems: dict[int, str], now: datetime) -> None:
    """`problems`: of each, why nothing came of it; empty where something did."""
    if problems:
        cursor.execute(_DONE, {"ids": sorted(problems), "problems": [problems[pk][:200] for pk in sorted(problems)], "now": now})


def failed(cursor: Any, ids: list[int], problem: str) -> None:
    """Tried once more for nothing."""
    if ids:
        cursor.execute(_FAILED, [problem[:200], ids])


def release(ids: Sequence[int], *, attempts: int = 0) -> list[int]:
    """Try those of them again that were given up; returns their numbers. `attempts`: how many they count as having made."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"ids": sorted(ids), "tries": TRIES, "attempts": attempts})
        return [row[0] for row in cursor.fetchall()]


def forget(now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - KEPT])
        return int(cursor.rowcount)
