"""Partitions of the events. The days lie in 2001, where no other test has events."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from engagement import database, partitions

FIRST, LAST = date(2001, 3, 1), date(2001, 3, 5)
INSERT = """
INSERT INTO engagement_event (day, organisation_id, device_id, event_id, kind, at, occurred_at, received_at)
VALUES (%s, 1, 1, %s, 1, now(), now(), now()) ON CONFLICT DO NOTHING
"""
Connection = psycopg.Connection[Any]


def attached(connection: Connection) -> set[str]:
    rows = connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'engagement_event'::regclass")
    return {name for (name,) in rows}


@pytest.fixture
def connection(transactional_db: None) -> Iterator[Connection]:
    with database.connect(application_name="test partitions") as connection:
        before = attached(connection)
        yield connection
        for name in attached(connection) - before:
            connection.execute(f"DROP TABLE {name}")


def insert(connection: Connection, day: date, event: uuid.UUID | None = None) -> int:
    return connection.execute(INSERT, [day, event or uuid.uuid4()]).rowcount


def where_they_lie(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT tableoid::regclass::text, count(*) FROM engagement_event WHERE day BETWEEN %s AND %s GROUP BY 1", [FIRST, LAST])
    return dict(rows.fetchall())


def test_each_day_is_made_once_and_asking_again_makes_nothing(connection: Connection) -> None:
    assert partitions.ensure(connection, first=FIRST, last=LAST) == [f"engagement_event_2001030{n}" for n in range(1, 6)]
    assert partitions.ensure(connection, first=FIRST, last=LAST) == []
    assert partitions.ensure(connection, first=FIRST - timedelta(days=1), last=LAST) == ["engagement_event_20010228"]


def test_by_default_the_whole_window_and_a_week_ahead_are_there(connection: Connection) -> None:
    partitions.ensure(connection)
    today = datetime.now(UTC).date()
    assert partitions.missing(connection, first=today - timedelta(days=35), last=today + timedelta(days=7)) == []


def test_days_missing_ahead_are_named_for_the_alarm(connection: Connection) -> None:
    partitions.ensure(connection)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert partitions.missing_ahead(connection) == []
    connection.execute(f"DROP TABLE {partitions.name_of(tomorrow)}")
    assert partitions.missing_ahead(connection) == [tomorrow]


def test_a_table_of_the_name_that_is_not_attached_does_not_count(connection: Connection) -> None:
    partitions.ensure(connection, first=FIRST, last=FIRST)
    connection.execute("ALTER TABLE engagement_event DETACH PARTITION engagement_event_20010301")
    try:
        assert partitions.missing(connection, first=FIRST, last=FIRST) == [FIRST]
    finally:
        connection.execute("DROP TABLE engagement_event_20010301")


def test_rows_that_came_before_their_partition_move_into_it_and_stay_unique(connection: Connection) -> None:
    event = uuid.uuid4()
    assert [insert(connection, FIRST, event), insert(connection, LAST), insert(connection, LAST)] == [1, 1, 1]
    assert where_they_lie(connection) == {"engagement_event_default": 3}
    partitions.ensure(connection, first=FIRST, last=LAST)
    assert where_they_lie(connection) == {"engagement_event_20010301": 1, "engagement_event_20010305": 2}
    assert insert(connection, FIRST, event) == 0


def test_many_days_are_made_in_several_transactions(connection: Connection) -> None:
    insert(connection, FIRST)
    made = partitions.ensure(connection, first=FIRST - timedelta(days=40), last=LAST)
    assert len(made) == 45
    assert where_they_lie(connection) == {"engagement_event_20010301": 1}


def test_several_processes_may_make_the_same_days_at_once(connection: Connection) -> None:
    barrier = threading.Barrier(4)

    def make(_number: int) -> list[str]:
        with database.connect(application_name="test partitions") as other:
            barrier.wait()
            return partitions.ensure(other, first=FIRST, last=LAST)

    with ThreadPoolExecutor(4) as pool:
        made = [name for names in pool.map(make, range(4)) for name in names]
    assert sorted(made) == [f"engagement_event_2001030{n}" for n in range(1, 6)]


def test_writers_go_on_while_their_partitions_are_made_and_nothing_is_lost(connection: Connection) -> None:
    """Without the lock on the parent, some of these writers are refused by the default partition."""
    stop = threading.Event()

    def write(_number: int) -> int:
        written = 0
        with database.connect(application_name="test writer") as own:
            while not stop.is_set():
                with own.transaction():
                    written += sum(insert(own, FIRST + timedelta(days=n)) for n in range(5))
        return written

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(3)]
        try:
            for day in range(5):
                until(lambda: sum(where_they_lie(connection).values()) > 0)
                partitions.ensure(connection, first=FIRST, last=FIRST + timedelta(days=day))
        finally:
            stop.set()
        written = sum(writer.result() for writer in writers)
    found = where_they_lie(connection)
    assert sum(found.values()) == written
    assert "engagement_event_default" not in found


def test_a_long_writer_is_waited_for_in_short_tries(connection: Connection) -> None:
    with database.connect(application_name="test writer") as writer:
        writer.execute("BEGIN")
        insert(writer, FIRST)
        pauses = []

        def pause(seconds: float) -> None:
            """Between two tries anybody may write at once; then the long writer ends."""
            pauses.append(seconds)
            with database.connect(application_name="test other", options="-c lock_timeout=100ms") as other:
                assert insert(other, LAST) == 1
            writer.execute("COMMIT")

        made = partitions.ensure(connection, first=FIRST, last=LAST, pause=pause)
    assert (len(made), len(pauses)) == (5, 1)
    assert where_they_lie(connection) == {"engagement_event_20010301": 1, "engagement_event_20010305": 1}


def test_a_writer_without_end_is_told_and_costs_nothing(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_TRIES", 2)
    with database.connect(application_name="test writer") as writer:
        writer.execute("BEGIN")
        insert(writer, FIRST)
        began = time.monotonic()
        with pytest.raises(errors.LockNotAvailable):
            partitions.ensure(connection, first=FIRST, last=LAST, pause=lambda seconds: None)
        assert time.monotonic() - began < 5, "Everybody who writes waits behind a lock that is waited for."
        writer.execute("COMMIT")
    assert where_they_lie(connection) == {"engagement_event_default": 1}


def test_readers_are_not_kept_away_while_partitions_are_made(connection: Connection) -> None:
    partitions.ensure(connection, first=FIRST, last=FIRST)
    with database.connect(application_name="test reader") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM engagement_event WHERE day = %s", [FIRST])
        reader.execute("LOCK TABLE ONLY engagement_event IN ACCESS SHARE MODE")
        assert len(partitions.ensure(connection, first=FIRST, last=LAST, pause=lambda seconds: None)) == 4
        reader.execute("ROLLBACK")


def until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.01)
