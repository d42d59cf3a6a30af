"""What is partitioned, how far ahead, kept how long: events by the UTC day of the client's `at`, one partition a day.

Days for which nobody made a partition go to the default partition, so nothing is lost; making the partition later takes
them out of it. Nothing is dropped here: see retention.py.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import errors, sql

log = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]

DAYS_BACK: Final = 35  # the window of the definitions: the oldest event the door accepts
DAYS_AHEAD: Final = 7
ALARM_AHEAD: Final = 3  # fewer days than this ahead means that making them has failed for days
_PREFIX: Final = "engagement_event_"
_TOGETHER: Final = 32  # days in one transaction: the lock is asked for once, and held for some milliseconds a day
_LOCK_TIMEOUT: Final = "500ms"  # whoever waits for this lock makes all writers wait behind it
_TRIES: Final = 20
_LONGEST_PAUSE_S: Final = 2.0


def name_of(day: date) -> str:
    return _PREFIX + day.isoformat().replace("-", "")


def day_of(name: str) -> date:
    return date.fromisoformat(name.removeprefix(_PREFIX))


def ensure(connection: Connection, *, first: date | None = None, last: date | None = None, pause: Callable[[float], None] = time.sleep) -> list[str]:
    """Make the missing daily partitions from `first` to `last`; by default the window and a week ahead. Returns their names.

    Safe to run twice and by several processes at once. Raises psycopg.errors.LockNotAvailable when the writers left
    no gap in all tries; what was made until then stays.
    """
    today = datetime.now(UTC).date()
    wanted = list(_days(first or today - timedelta(days=DAYS_BACK + 1), last or today + timedelta(days=DAYS_AHEAD)))
    lacking = _without(connection, wanted)
    made = []
    for start in range(0, len(lacking), _TOGETHER):
        made += _patiently(connection, lacking[start : start + _TOGETHER], pause)
    return [name_of(day) for day in made]


def missing(connection: Connection, *, first: date, last: date) -> list[date]:
    """The days from `first` to `last` whose events would go to the default partition."""
    return _without(connection, list(_days(first, last)))


def missing_ahead(connection: Connection, *, days: int = ALARM_AHEAD) -> list[date]:
    """The days from today to `days` ahead without a partition: none, unless making them fails. For an alarm."""
    today = datetime.now(UTC).date()
    return missing(connection, first=today, last=today + timedelta(days=days))


def _days(first: date, last: date) -> Iterator[date]:
    for ahead in range((last - first).days + 1):
        yield first + timedelta(days=ahead)


def _without(connection: Connection, days: list[date]) -> list[date]:
    """Attached is what counts, not that a table of the name exists."""
    rows = connection.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = 'engagement_event'::regclass"
    )
    attached = {name for (name,) in rows}
    return [day for day in days if name_of(day) not in attached]


def _patiently(connection: Connection, days: list[date], pause: Callable[[float], None]) -> list[date]:
    """Try until the lock is had. Between the tries the writers go on; the last try raises what it meets."""
    for attempt in range(1, _TRIES):
        try:
            return _make(connection, days)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            log.info("Making %d partitions of events waits for a gap between writers, try %d.", len(days), attempt)
            pause(min(0.05 * 2**attempt, _LONGEST_PAUSE_S))
    return _make(connection, days)


def _make(connection: Connection, days: list[date]) -> list[date]:
    """Make these days' partitions in one transaction, and move what the default partition holds of them.

    The lock on the parent keeps writers away for these milliseconds, readers not. Without it a writer that had already
    chosen the default partition for one of these days would be refused by it the moment the day's own is attached.
    """
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        connection.execute("LOCK TABLE ONLY engagement_event IN SHARE ROW EXCLUSIVE MODE")
        lacking = _without(connection, days)  # again, under the lock: another process may have made them meanwhile
        stray = _in_default(connection, lacking)
        for day in lacking:
            _make_day(connection, day, move=day in stray)
    return lacking


def _in_default(connection: Connection, days: list[date]) -> set[date]:
    if not days:
        return set()
    connection.execute("LOCK TABLE engagement_event_default IN ACCESS EXCLUSIVE MODE")  # attaching needs it; asked for once
    rows = connection.execute("SELECT DISTINCT day FROM engagement_event_default WHERE day BETWEEN %s AND %s", [days[0], days[-1]])
    return {day for (day,) in rows}


def _make_day(connection: Connection, day: date, *, move: bool) -> None:
    """CREATE .. PARTITION OF would lock the parent against readers too; a table made beside it and attached does not."""
    table = sql.Identifier(name_of(day))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE engagement_event INCLUDING ALL)").format(table))
    if move:
        connection.execute(
            sql.SQL("WITH moved AS (DELETE FROM engagement_event_default WHERE day = {} RETURNING *) INSERT INTO {} SELECT * FROM moved").format(day, table)
        )
    bounds = {"day": day, "next": day + timedelta(days=1), "table": table}
    connection.execute(sql.SQL("ALTER TABLE engagement_event ATTACH PARTITION {table} FOR VALUES FROM ({day}) TO ({next})").format(**bounds))
