"""How long raw events are kept, and how they go. Stays and figures stay.

An organisation's day is *closed* when it is more than `raw_days` ago. History that was imported long after it happened holds its day, and the
days after it, until it has been here for `raw_days` itself, since it may still be corrected; but nothing is kept longer than twice that after
it came. Days are closed in order, so one date says it all: `raw_closed_before`. Events that happened before it are not read by anybody any
more, and those that are told of later are refused as too old. It moves forwards only, in the transaction that drops the first of them.

    every event of a day's table is past its time  ->  the table is dropped
    other organisations still need some of it      ->  the rows that are past are deleted, some pages at a time

The transaction that closes a day holds the locks of all the stream's shards (`hold`), so nobody is in the middle of reading what goes.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from engagement import partitions
from engagement.faults import point

Connection = psycopg.Connection[Any]

DEFAULT: Final = "engagement_event_default"
LATE: Final = timedelta(days=partitions.DAYS_BACK + 1)  # what came later than this after it happened was imported
HELD_AT_MOST: Final = 2  # times raw_days
PAGES: Final = 2_000  # of a table in one transaction: 16 MB
MOVED_AT_MOST: Final = 50_000  # rows of phones with wrong clocks, moved out of a table that is dropped
_EMPTYING: Final = "emptied of "  # a table's comment, from the closing until the last of its rows is deleted
_SHARDS_TIMEOUT: Final = "10s"
_LOCK_TIMEOUT: Final = "500ms"  # whoever waits for this lock makes all others wait behind it
_TRIES: Final = 8
_LONGEST_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an organisation's events are kept."""

    raw_days: int
    closed: date | None

    def is_past(self, day: date, found: "Content", now: datetime) -> bool:
        if self.closed is not None and day < self.closed:
            return True
        keeps = timedelta(days=self.raw_days)
        held = found.imported is not None and found.imported >= now - keeps
        return not held or found.earliest < now - HELD_AT_MOST * keeps


@dataclass(frozen=True, slots=True)
class Content:
    """An organisation's events that happened on a day or before: how many, when the first of them came, and the last of those imported."""

    events: int
    earliest: datetime
    imported: datetime | None
    later: int = 0  # beside them: those that happened later, as a phone says whose clock is wrong


@dataclass(frozen=True, slots=True)
class Part:
    """What goes of one day: some organisations' rows of a table, or the table."""

    table: str
    day: date
    organisations: tuple[int, ...]
    events: int
    whole: bool
    begun: bool  # its day is closed for all of them: who did that did not finish
    seen_at: datetime

    @property
    def before(self) -> datetime:
        """What happened from here on stays."""
        return datetime.combine(self.day + timedelta(days=1), datetime.min.time(), UTC)


def due(connection: Connection, *, now: datetime | None = None) -> list[Part]:
    """What is past its time, the oldest day first. Reads tables of days that somebody may be done with, and nothing else."""
    now = now or datetime.now(UTC)
    terms, all_keep = _terms(connection, now)
    tables = _tables(connection)
    stray = _stray(connection, max((now.date() - timedelta(days=one.raw_days) for one in terms.values()), default=None))
    parts: list[Part] = []
    held: set[int] = set()
    for day in sorted({*(day for day, _ in tables), *stray}):
        for table, emptying in [*((name, more) for (known, name), more in tables.items() if known == day), (DEFAULT, False)]:
            concerned = {id for id, one in terms.items() if id not in held and _may_go(one, day, now)}
            if table == DEFAULT:
                found = stray.get(day, {})
            elif concerned or emptying:
                found = _contents(connection, table, day)
            elif day < all_keep and _is_empty(connection, table):
                found = {}
            else:
                continue
            asked = {id for id, one in found.items() if id in terms and one.events and (id in concerned or _is_closed(terms[id], day))}
            gone = tuple(sorted(id for id in asked if terms[id].is_past(day, found[id], now)))
            held |= asked - set(gone)
            parts += _part(table, day, gone, found, now, begun=all(_is_closed(terms[id], day) for id in gone))
    return parts


def _may_go(terms: Terms, day: date, now: datetime) -> bool:
    """Days that are closed already have been seen to: only what a killed process left is not, and its table says so."""
    return day < now.date() - timedelta(days=terms.raw_days) and not _is_closed(terms, day)


def _is_closed(terms: Terms, day: date) -> bool:
    return terms.closed is not None and day < terms.closed


def _part(table: str, day: date, gone: tuple[int, ...], found: dict[int, Content], now: datetime, *, begun: bool) -> Iterator[Part]:
    left = [one for id, one in found.items() if id not in gone and one.events]
    later = sum(one.later for one in found.values())
    whole = table != DEFAULT and not left and later <= MOVED_AT_MOST
    if gone or whole:
        yield Part(table, day, gone, sum(found[id].events for id in gone), whole, begun, now)


def _terms(connection: Connection, now: datetime) -> tuple[dict[int, Terms], date]:
    """Organisations of which something may be past its time, by the hour of their first event; and the day before which nobody keeps anything."""
    rows = connection.execute(
        """SELECT o.id, o.raw_days, o.raw_closed_before, (SELECT min(hour) FROM engagement_outcome t WHERE t.organisation_id = o.id)
           FROM engagement_organisation o"""
    ).fetchall()
    longest = max((raw_days for _, raw_days, *_ in rows), default=0)
    terms = {id: Terms(raw_days, closed) for id, raw_days, closed, first in rows if closed or (first and first < now - timedelta(days=raw_days))}
    return terms, now.date() - timedelta(days=max(longest, partitions.DAYS_BACK + 5))


def _tables(connection: Connection) -> dict[tuple[date, str], bool]:
    """The days' tables, and whether the deleting of rows in it was begun and not finished."""
    rows = connection.execute(
        """SELECT child.relname, coalesce(obj_description(child.oid, 'pg_class'), '') FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
           WHERE inhparent = 'engagement_event'::regclass AND child.relname ~ '^engagement_event_[0-9]{8}$'"""
    ).fetchall()
    return {(partitions.day_of(name), name): comment.startswith(_EMPTYING) for name, comment in rows}


_CONTENT: Final = """
SELECT organisation_id, count(*) FILTER (WHERE mine), min(received_at) FILTER (WHERE mine),
       max(received_at) FILTER (WHERE mine AND received_at > occurred_at + %(late)s), count(*) FILTER (WHERE NOT mine)
FROM (SELECT organisation_id, received_at, occurred_at, occurred_at < %(until)s AS mine FROM {table}) e GROUP BY 1
"""
_STRAY: Final = f"""
SELECT (occurred_at AT TIME ZONE 'UTC')::date, organisation_id, count(*), min(received_at), max(received_at) FILTER (WHERE received_at > occurred_at + %s)
FROM {DEFAULT} WHERE occurred_at < %s GROUP BY 1, 2
"""


def _contents(connection: Connection, table: str, day: date) -> dict[int, Content]:
    until = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    rows = connection.execute(sql.SQL(_CONTENT).format(table=sql.Identifier(table)), {"late": LATE, "until": until})
    return {id: Content(events, earliest, imported, later) for id, events, earliest, imported, later in rows}


def _stray(connection: Connection, before: date | None) -> dict[date, dict[int, Content]]:
    """Of the default table, what happened long ago, by the day on which it happened."""
    if before is None:
        return {}
    rows = connection.execute(_STRAY, [LATE, datetime.combine(before, datetime.min.time(), UTC)]).fetchall()
    by_day = groupby(sorted(rows, key=lambda row: (row[0], row[1])), key=lambda row: row[0])
    return {day: {id: Content(events, earliest, imported) for _, id, events, earliest, imported in some} for day, some in by_day}


def _is_empty(connection: Connection, table: str) -> bool:
    return connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone() is None


def drop(
    connection: Connection, parts: Iterable[Part], *, hold: Callable[[Connection], None], pause: Callable[[float], None] = time.sleep, within_s: float = 60.0
) -> int:
    """Let these parts go; returns the events that are gone. `hold` takes the locks of all the stream's shards, for a transaction.

    May be killed anywhere: a table is dropped and its day closed in one commit, and of what is deleted bit by bit the rest is found again.
    Of what is left after `within_s` the same is true. Raises psycopg.errors.LockNotAvailable where readers left no gap in all tries.
    """
    until = time.monotonic() + within_s
    gone = 0
    for number, part in enumerate(parts):
        if number and time.monotonic() > until:
            break
        gone += _patiently(partial(_drop_whole, connection, part, hold), pause) if part.whole else _empty(connection, part, hold, pause, until)
    return gone


def _patiently(act: Callable[[], int], pause: Callable[[float], None]) -> int:
    for attempt in range(1, _TRIES):
        try:
            return act()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            pause(min(0.05 * 2**attempt, _LONGEST_PAUSE_S))
    return act()


def _drop_whole(connection: Connection, part: Part, hold: Callable[[Connection], None]) -> int:
    """Dropping locks the parent against readers too, for some milliseconds. A default partition is there, so nothing can be detached beside them."""
    table = sql.Identifier(part.table)
    with connection.transaction():
        _hold(connection, hold)
        if _has_news(connection, part):
            return 0  # an import told of this day meanwhile: looked at again next time
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        connection.execute("LOCK TABLE ONLY engagement_event IN ACCESS EXCLUSIVE MODE")
        connection.execute(sql.SQL("CREATE TEMP TABLE spared ON COMMIT DROP AS SELECT * FROM {} WHERE occurred_at >= {}").format(table, part.before))
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
        connection.execute("INSERT INTO engagement_event SELECT * FROM spared")
        _close(connection, part)
        point("retention.before_commit")
    return part.events


def _empty(connection: Connection, part: Part, hold: Callable[[Connection], None], pause: Callable[[float], None], until: float) -> int:
    """Delete the rows of some organisations. They are closed first, so that nobody sees a half of them. After `until` the rest is left for another time."""
    table = sql.Identifier(part.table)

    def close() -> int:
        with connection.transaction():
            _hold(connection, hold)
            if _has_news(connection, part):
                return 0
            if part.table != DEFAULT:
                connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, _EMPTYING + " ".join(map(str, part.organisations))))
            _close(connection, part)
            return 1

    if not part.begun and not _patiently(close, pause):
        return 0
    point("retention.closed")
    gone, row = 0, connection.execute("SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int", [part.table]).fetchone()
    delete = sql.SQL("DELETE FROM {} WHERE ctid >= %s::tid AND ctid < %s::tid AND organisation_id = ANY(%s) AND occurred_at < %s").format(table)
    for first in range(0, int(row[0]) + 1 if row else 0, PAGES):
        gone += connection.execute(delete, [f"({first},0)", f"({first + PAGES},0)", list(part.organisations), part.before]).rowcount
        point("retention.deleted")
        if gone and time.monotonic() > until:
            return gone
    if part.table != DEFAULT:
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(table))
    return gone


def _hold(connection: Connection, hold: Callable[[Connection], None]) -> None:
    connection.execute(f"SET LOCAL lock_timeout = '{_SHARDS_TIMEOUT}'")
    hold(connection)


def _has_news(connection: Connection, part: Part) -> bool:
    """Whether something came since the part was looked at. Nobody can write while the shards are held."""
    query = sql.SQL("SELECT 1 FROM {} WHERE received_at >= %s AND occurred_at < %s LIMIT 1").format(sql.Identifier(part.table))
    return connection.execute(query, [part.seen_at, part.before]).fetchone() is not None


def _close(connection: Connection, part: Part) -> None:
    connection.execute(
        """UPDATE engagement_organisation SET raw_closed_before = %(day)s
           WHERE id = ANY(%(organisations)s) AND (raw_closed_before IS NULL OR raw_closed_before < %(day)s)""",
        {"day": part.day + timedelta(days=1), "organisations": list(part.organisations)},
    )
