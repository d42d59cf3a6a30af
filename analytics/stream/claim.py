"""Which shards to work on, and the rows that are taken from them. Locks are transaction-level and in statements of their own:
a statement that locks reads a snapshot older than the lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from engagement import inbox

MAX_ROWS: Final = 400
MAX_EVENTS: Final = 5_000
TRIES: Final = 3  # of a shard before its rows are tried one by one, and of a row alone before it is set aside
_LOCK_CLASS: Final = 0x41545249  # 'ATRI': the first half of every shard's advisory lock
_GUARD_CLASS: Final = _LOCK_CLASS + 1  # of the lock of whoever tries a shard's rows one by one

# Whoever begins or finishes shards and whoever forgives them may meet: in one order they never wait for each other crosswise.
_IN_ORDER: Final = "WITH mine AS MATERIALIZED (SELECT shard FROM engagement_shardstate WHERE shard = ANY(%s) ORDER BY shard FOR NO KEY UPDATE)"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An inbox row in hand."""

    id: int
    organisation: int
    shard: int
    received_at: datetime
    imported: bool
    payload: bytes


def ready(connection: Connection) -> dict[int, int]:
    """Shards that have rows, with the attempts begun on them without success."""
    return dict(
        connection.execute(
            "SELECT shard, attempts FROM engagement_shardstate s WHERE EXISTS (SELECT 1 FROM engagement_inbox i WHERE i.shard = s.shard)"
        ).fetchall()
    )


def begin(connection: Connection, shards: list[int]) -> list[int]:
    """Count an attempt on those shards that nobody is working on, and commit it before the work: a row that kills the process is counted too.

    The commit need not wait for the disk: what this counts is processes dying, and the server lives on then.
    """
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        free = lock(connection, shards)
        connection.execute(f"{_IN_ORDER} UPDATE engagement_shardstate t SET attempts = t.attempts + 1 FROM mine WHERE t.shard = mine.shard", [free])
    return free


@contextmanager
def guard(session: Connection, shard: int) -> Iterator[bool]:
    """Whether we alone try this shard's rows one by one, while the block lasts. `session` is a connection for nothing else.

    The attempts on a row are only worth counting if nobody counts beside us; the shard's own lock is let go between attempts.
    """
    with session.transaction():
        found = session.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_GUARD_CLASS, shard]).fetchone()
        yield bool(found and found[0])


def suspect(connection: Connection, shard: int, row: int) -> int:
    """Count an attempt on one row alone, committed; returns the count with this one."""
    found = connection.execute(
        """UPDATE engagement_shardstate SET suspect_attempts = CASE WHEN suspect = %(row)s THEN suspect_attempts + 1 ELSE 1 END, suspect = %(row)s
           WHERE shard = %(shard)s RETURNING suspect_attempts""",
        {"row": row, "shard": shard},
    ).fetchone()
    return int(found[0]) if found else 0


def unsuspect(connection: Connection, shard: int) -> None:
    """The attempt on the row alone came to nothing for a reason that says nothing of it: do not count it."""
    connection.execute("UPDATE engagement_shardstate SET suspect_attempts = greatest(suspect_attempts - 1, 0) WHERE shard = %s", [shard])


def lock(connection: Connection, shards: list[int]) -> list[int]:
    """Those of the shards whose lock could be had at once; held until the transaction ends."""
    rows = connection.execute("SELECT s FROM unnest(%s::int[]) AS s WHERE pg_try_advisory_xact_lock(%s, s)", [sorted(shards), _LOCK_CLASS])
    return [row[0] for row in rows]


def wait_for(connection: Connection, shards: list[int]) -> None:
    """All of the shards' locks, waiting for them in order (bounded by lock_timeout)."""
    for shard in sorted(shards):
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, shard])


def oldest(connection: Connection, shard: int) -> int | None:
    found = connection.execute("SELECT min(id) FROM engagement_inbox WHERE shard = %s", [shard]).fetchone()
    return found[0] if found else None


# Fair between organisations: each has its own oldest rows of the shards looked at, and they take turns by rank. So one with a
# long queue cannot keep another's only row waiting. Deleting is claiming: what this transaction does not commit comes back.
_TAKE: Final = """
WITH RECURSIVE pair AS (
    SELECT s AS shard, (SELECT min(organisation_id) FROM engagement_inbox WHERE shard = s) AS organisation_id FROM unnest(%(shards)s::int[]) AS s
    UNION ALL
    SELECT shard, (SELECT min(i.organisation_id) FROM engagement_inbox i WHERE i.shard = p.shard AND i.organisation_id > p.organisation_id)
    FROM pair p WHERE organisation_id IS NOT NULL
), candidate AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.organisation_id ORDER BY c.id) AS turn
    FROM pair p CROSS JOIN LATERAL (
        SELECT i.id, i.organisation_id, i.events FROM engagement_inbox i
        WHERE i.shard = p.shard AND i.organisation_id = p.organisation_id ORDER BY i.id LIMIT %(each)s) c
), chosen AS (
    SELECT id, turn, sum(events) OVER (ORDER BY turn, id) - events AS before, row_number() OVER (ORDER BY turn, id) AS place FROM candidate
)
DELETE FROM engagement_inbox USING chosen
WHERE engagement_inbox.id = chosen.id AND chosen.before < %(events)s AND chosen.place <= %(rows)s
RETURNING engagement_inbox.id, organisation_id, shard, received_at, imported, payload
"""


def take(connection: Connection, shards: list[int], *, rows: int = MAX_ROWS, events: int = MAX_EVENTS) -> list[Claimed]:
    """Delete and return the next rows of the locked shards, oldest first."""
    each = rows // len(shards) + 8  # of a shard and organisation: looking at all their rows would cost more than the work
    found = connection.execute(_TAKE, {"shards": shards, "rows": rows, "events": events, "each": each}, binary=True).fetchall()
    return sorted((Claimed(*row) for row in found), key=lambda row: row.id)


def take_one(connection: Connection, row: int) -> list[Claimed]:
    found = connection.execute(
        "DELETE FROM engagement_inbox WHERE id = %s RETURNING id, organisation_id, shard, received_at, imported, payload", [row], binary=True
    ).fetchall()
    return [Claimed(*row) for row in found]


def put_back(connection: Connection, rows: list[tuple[Claimed, int, int]]) -> None:
    """Forward: the rows (with their new shard and number of events) belong to another shard. The id, and so the order, is kept."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO engagement_inbox (id, organisation_id, shard, received_at, events, imported, payload)
                   OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s, %s)""",
                [(r.id, r.organisation, shard, r.received_at, events, r.imported, r.payload) for r, shard, events in rows],
            )


def finish(connection: Connection, shards: list[int]) -> None:
    """The work of this transaction is good: the shards' attempts start again."""
    connection.execute(
        f"""{_IN_ORDER} UPDATE engagement_shardstate t SET attempts = 0, suspect = NULL, suspect_attempts = 0
            FROM mine WHERE t.shard = mine.shard AND (t.attempts > 0 OR t.suspect IS NOT NULL)""",
        [shards],
    )


def forgive(connection: Connection, shards: list[int]) -> None:
    """The attempt failed for a passing reason that says nothing of the rows: do not count it."""
    if shards:
        connection.execute(
            f"{_IN_ORDER} UPDATE engagement_shardstate t SET attempts = greatest(t.attempts - 1, 0) FROM mine WHERE t.shard = mine.shard", [shards]
        )


def set_aside(connection: Connection, row: int, error: str) -> None:
    """Move the row out of the way, with its error, its bytes and its number: by that, whoever sent it on before knows it again."""
    with connection.transaction():
        connection.execute(
            """WITH gone AS (DELETE FROM engagement_inbox WHERE id = %(row)s RETURNING *)
               INSERT INTO engagement_setaside (organisation_id, shard, received_at, events, imported, payload, error, set_aside_at, inbox)
               SELECT organisation_id, shard, received_at, events, imported, payload, %(error)s, now(), id FROM gone""",
            {"row": row, "error": error},
        )


def all_shards() -> list[int]:
    return list(range(inbox.SHARDS))
