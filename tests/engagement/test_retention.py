"""Raw events go when their time is over, and nothing else does. Acme keeps them for 90 days; the rival's time is said in each test."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client
from psycopg import errors

from analytics.stream import closing
from engagement import database, partitions, retention
from engagement.models import Organisation
from tests.servers import ROOT, until

Connection = psycopg.Connection[Any]
NOW: Final = datetime.now(UTC)
TODAY: Final = NOW.date()
INSERT: Final = """
INSERT INTO engagement_event (day, organisation_id, device_id, event_id, kind, at, occurred_at, received_at) VALUES (%s, %s, 1, %s, 1, %s, %s, %s)
"""
HEARD: Final = "INSERT INTO engagement_outcome (organisation_id, hour, shard, outcome, events) VALUES (%s, %s, 0, 'accepted', 1)"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@pytest.fixture
def connection(transactional_db: None, acme: Organisation, rival: Organisation) -> Iterator[Connection]:
    with database.connect(application_name="test retention") as connection:
        before = tables(connection)
        partitions.ensure(connection, first=ago(100), last=ago(88))
        for organisation in (acme, rival):
            connection.execute(HEARD, [organisation.pk, NOW - timedelta(days=500)])
        yield connection
        for name in tables(connection) - before:
            connection.execute(f"DROP TABLE {name}")


def tables(connection: Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'engagement_event'::regclass")}


def put(connection: Connection, organisation: Organisation, happened: date, *, came: date | None = None, said: date | None = None, number: int = 1) -> None:
    """Events of a day; `said` by the phone's clock."""
    for _ in range(number):
        at = noon(said or happened)
        connection.execute(INSERT, [at.date(), organisation.pk, uuid.uuid4(), at, noon(happened), noon(came or happened)])


def drop(connection: Connection, **more: Any) -> int:
    return retention.drop(connection, retention.due(connection, now=NOW), hold=closing.hold, pause=lambda _s: None, **more)


def kept(connection: Connection, organisation: Organisation) -> list[int]:
    """How many days ago what is stored happened."""
    rows = connection.execute("SELECT occurred_at FROM engagement_event WHERE organisation_id = %s ORDER BY 1", [organisation.pk])
    return [(TODAY - at.date()).days for (at,) in rows]


def closed(organisation: Organisation) -> date | None:
    organisation.refresh_from_db()
    return organisation.raw_closed_before


def keeps(organisation: Organisation, days: int) -> None:
    organisation.raw_days = days
    organisation.save()


def test_a_day_that_everybody_is_done_with_goes_with_its_table(connection: Connection, acme: Organisation, rival: Organisation) -> None:
    for organisation in (acme, rival):
        for days in (92, 91, 90, 89):
            put(connection, organisation, ago(days))
    assert drop(connection) == 4
    assert kept(connection, acme) == kept(connection, rival) == [90, 89]
    assert closed(acme) == closed(rival) == ago(90)
    assert partitions.name_of(ago(91)) not in tables(connection)
    assert partitions.name_of(ago(90)) in tables(connection)
    assert drop(connection) == 0


def test_organisations_keep_their_own_times(connection: Connection, acme: Organisation, rival: Organisation) -> None:
    keeps(rival, 3660)
    for organisation in (acme, rival):
        put(connection, organisation, ago(95), number=3)
    assert drop(connection) == 3
    assert (kept(connection, acme), kept(connection, rival)) == ([], [95, 95, 95])
    assert (closed(acme), closed(rival)) == (ago(94), None)
    keeps(rival, 90)
    assert drop(connection) == 3
    assert partitions.name_of(ago(95)) not in tables(connection)


def test_an_organisation_that_has_just_come_loses_nothing_and_may_bring_its_history(connection: Connection, acme: Organisation) -> None:
    connection.execute("UPDATE engagement_outcome SET hour = %s WHERE organisation_id = %s", [NOW - timedelta(days=3), acme.pk])
    put(connection, acme, ago(95), came=ago(3))
    assert drop(connection) == 0
    assert (kept(connection, acme), closed(acme)) == ([95], None)


def test_imported_history_is_kept_for_its_time_since_it_came_and_holds_the_days_after_it(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(98))
    put(connection, acme, ago(97), came=ago(10))
    put(connection, acme, ago(95))
    assert drop(connection) == 1
    assert (kept(connection, acme), closed(acme)) == ([97, 95], ago(97))


def test_what_was_merely_late_holds_nothing(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(95), came=ago(61))
    assert drop(connection) == 1


def test_nothing_is_held_for_longer_than_twice_its_time(connection: Connection, acme: Organisation) -> None:
    keeps(acme, 40)
    put(connection, acme, ago(98), came=ago(10))
    put(connection, acme, ago(98), came=ago(97))
    put(connection, acme, ago(95))
    assert drop(connection) == 3


def test_days_without_a_table_and_phones_with_wrong_clocks(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(200))  # in the default table
    put(connection, acme, ago(1), said=ago(5000))  # there too, and of yesterday
    put(connection, acme, ago(1), said=ago(95))  # in the table of a day that goes
    put(connection, acme, ago(95))
    assert drop(connection) == 2
    assert kept(connection, acme) == [1, 1]
    assert partitions.name_of(ago(95)) not in tables(connection)
    assert drop(connection) == 0


def test_empty_days_go_too(connection: Connection) -> None:
    drop(connection)
    assert partitions.missing(connection, first=ago(100), last=ago(88)) == [ago(days) for days in range(100, 90, -1)]


def test_looking_changes_nothing(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(95))
    (part, *_) = [part for part in retention.due(connection, now=NOW) if part.events]
    assert (part.day, part.organisations, part.events, part.whole) == (ago(95), (acme.pk,), 1, True)
    assert (kept(connection, acme), closed(acme)) == ([95], None)


def test_what_came_after_the_look_is_not_dropped_unseen(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(95))
    seen = retention.due(connection, now=NOW)
    put(connection, acme, ago(95), came=TODAY + timedelta(days=1))
    assert retention.drop(connection, seen, hold=closing.hold) == 0
    assert kept(connection, acme) == [95, 95]


def test_what_is_too_much_for_once_goes_bit_by_bit(connection: Connection, acme: Organisation, rival: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGES", 1)
    keeps(rival, 3660)
    put(connection, acme, ago(95), number=200)
    put(connection, rival, ago(95))
    before = connection.execute("SELECT pg_relation_size(%s::regclass) / 8192", [partitions.name_of(ago(95))]).fetchone()
    gone = []
    while not gone or gone[-1]:
        parts = retention.due(connection, now=NOW)
        gone.append(retention.drop(connection, [part for part in parts if part.events], hold=closing.hold, within_s=0.0))
        assert closed(acme) == ago(94)
    assert before is not None
    assert (len(gone), sum(gone)) == (before[0] + 1, 200)
    assert kept(connection, rival) == [95]


def test_the_closing_goes_forwards_only(connection: Connection, acme: Organisation) -> None:
    connection.execute("UPDATE engagement_organisation SET raw_closed_before = %s WHERE id = %s", [ago(92), acme.pk])
    put(connection, acme, ago(95))  # left by a killed process
    connection.execute(f"COMMENT ON TABLE {partitions.name_of(ago(95))} IS 'emptied of {acme.pk}'")
    assert drop(connection) == 1
    assert closed(acme) == ago(92)


def test_who_saves_an_organisation_that_he_read_before_does_not_open_a_day_again(connection: Connection, acme: Organisation) -> None:
    connection.execute("UPDATE engagement_organisation SET raw_closed_before = %s WHERE id = %s", [ago(92), acme.pk])
    acme.name = "Acme & Daughters"
    acme.save()
    assert closed(acme) == ago(92)


def test_whoever_runs_the_installation_says_for_how_long(connection: Connection, acme: Organisation, client: Client, alice: User) -> None:
    page = f"/admin/engagement/organisation/{acme.pk}/change/"
    client.force_login(User.objects.create_superuser("root"))
    form = {"name": acme.name, **{f"memberships-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}}
    for days, status in (("39", 200), ("3661", 200), ("120", 302)):
        assert client.post(page, {**form, "raw_days": days}).status_code == status
    acme.refresh_from_db()
    assert acme.raw_days == 120
    assert "raw events are gone before" in client.get(page).content.decode().lower()
    client.force_login(alice)
    assert client.post(page, {**form, "raw_days": "40"}).status_code in (302, 403, 404)
    acme.refresh_from_db()
    assert acme.raw_days == 120


@pytest.mark.parametrize("point", ["retention.before_commit", "retention.closed", "retention.deleted"])
def test_who_is_killed_in_the_middle_leaves_nothing_by_halves(
    connection: Connection, environment: dict[str, str], acme: Organisation, rival: Organisation, point: str
) -> None:
    """Before the table is gone nothing is; once a day is closed, the next one finds the rest."""
    put(connection, acme, ago(95), number=2)
    if point != "retention.before_commit":
        keeps(rival, 3660)
        put(connection, rival, ago(95))
    program = (
        "import django; django.setup()\nfrom analytics.stream import closing\nfrom engagement import database, retention\n"
        "c = database.connect(application_name='dropper')\nretention.drop(c, retention.due(c), hold=closing.hold)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings", "FAULT": f"{point}:kill"}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    half = closed(acme), len(kept(connection, acme))
    assert half == {"retention.before_commit": (None, 2), "retention.closed": (ago(94), 2), "retention.deleted": (ago(94), 0)}[point]
    drop(connection)
    assert (closed(acme), kept(connection, acme)) == (ago(94), [])


def test_a_long_reader_is_waited_for_in_short_tries(connection: Connection, acme: Organisation) -> None:
    """Who waits for the lock makes everybody wait: it is asked for half a second at a time, and writers come in between."""
    put(connection, acme, ago(95))
    with database.connect(application_name="test reader") as reader, database.connect(application_name="test writer") as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM engagement_event").fetchone()
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            writer.execute("SET lock_timeout = '100ms'")
            put(writer, acme, ago(1))
            if len(pauses) == 2:
                reader.execute("ROLLBACK")

        assert retention.drop(connection, retention.due(connection, now=NOW), hold=closing.hold, pause=pause) == 1
    assert len(pauses) == 2
    assert kept(connection, acme) == [1, 1]


def test_it_gives_up_for_now_where_readers_leave_no_gap(connection: Connection, acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_TRIES", 1)
    put(connection, acme, ago(95))
    with database.connect(application_name="test reader") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM engagement_event").fetchone()
        with pytest.raises(errors.LockNotAvailable):
            drop(connection)
    assert kept(connection, acme) == [95]


def test_whoever_reads_or_stores_events_under_a_shard_is_waited_for(connection: Connection, acme: Organisation) -> None:
    put(connection, acme, ago(95))
    with database.connect(application_name="test stream") as stream, ThreadPoolExecutor(1) as pool:
        stream.execute("BEGIN")
        closing.claim.wait_for(stream, [7])
        dropping = pool.submit(drop, connection)
        waits = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
        until(lambda: stream.execute(waits, [connection.info.backend_pid]).fetchone() == ("advisory",))
        assert stream.execute("SELECT count(*) FROM engagement_event").fetchone() == (1,)
        stream.execute("COMMIT")
        assert dropping.result() == 1
