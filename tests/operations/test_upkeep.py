"""What Atrium does by itself: each action does it when it is on, says what it would do in a dry run, and leaves it alone when it is off."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement import database, disk, partitions
from engagement.models import Organisation
from operations import upkeep
from operations.models import Action, Kind, Mode, Post, Result
from operations.upkeep import files, round, sessions
from tests.servers import ROOT, until

NOW: Final = timezone.now()


@pytest.fixture(autouse=True)
def from_the_beginning(settings: Settings, tmp_path: Path) -> None:
    round._due.clear()
    settings.VAR = tmp_path


def act(name: str, now: datetime = NOW) -> int:
    round._due.clear()
    return upkeep.look(now, actions=tuple(action for action in upkeep.ACTIONS if action.name == name))


def rows(name: str) -> list[tuple[str, str]]:
    """Results and outcomes, the oldest first."""
    return list(Action.objects.filter(action=name).order_by("pk").values_list("result", "outcome"))


# --- Each action, in each mode ------------------------------------------------------------------------------------------------


@contextmanager
def a_day_without_a_table(_acme: Organisation, _folder: Path) -> Iterator[Callable[[], bool]]:
    name = partitions.name_of(NOW.date() + timedelta(days=partitions.DAYS_AHEAD))
    with database.connect(application_name="test") as session:
        partitions.ensure(session)
        session.execute(f"DROP TABLE {name}")
        yield lambda: session.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone() == (True,)


@contextmanager
def an_old_event(acme: Organisation, _folder: Path) -> Iterator[Callable[[], bool]]:
    at = datetime.combine(NOW.date() - timedelta(days=100), time(12), UTC)
    with database.connect(application_name="test") as session:
        session.execute(
            """INSERT INTO engagement_event (day, organisation_id, device_id, event_id, kind, at, occurred_at, received_at)
               VALUES (%s, %s, 1, %s, 1, %s, %s, %s)""",
            [at.date(), acme.pk, uuid.uuid4(), at, at, at],
        )
        session.execute("INSERT INTO engagement_outcome (organisation_id, hour, shard, outcome, events) VALUES (%s, %s, 0, 'accepted', 1)", [acme.pk, at])
        yield lambda: session.execute("SELECT count(*) FROM engagement_event").fetchone() == (0,)


@contextmanager
def an_old_log(_acme: Organisation, folder: Path) -> Iterator[Callable[[], bool]]:
    kept, old = put(folder / "log" / "2026-11-20.log", days=3), put(folder / "log" / "2026-10-01.log", days=50)
    yield lambda: kept.exists() and not old.exists()


@contextmanager
def a_disk_that_fills(_acme: Organisation, folder: Path) -> Iterator[Callable[[], bool]]:
    """A megabyte more and it would be well."""
    younger, older = put(folder / "log" / "b.log", days=3), put(folder / "log" / "a.log", days=4)
    with pytest.MonkeyPatch.context() as patch:
        total = 10 * 1024**3
        patch.setattr(disk, "measured", lambda _path: disk.Disk(3 * round_up(total) - (1 if older.exists() else -1), total))
        yield lambda: younger.exists() and not older.exists()


def round_up(total: int) -> int:
    return disk.Disk(0, total).reserve


@contextmanager
def a_session_that_forgot_itself(_acme: Organisation, _folder: Path) -> Iterator[Callable[[], bool]]:
    with (
        pytest.MonkeyPatch.context() as patch,
        closing(database.connect(application_name="psql")) as idle,
        database.connect(application_name="test") as other,
    ):
        patch.setattr(sessions, "IDLE", timedelta(0))
        idle.execute("BEGIN")
        idle.execute("SELECT count(*) FROM engagement_inbox")
        yield lambda: other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [idle.info.backend_pid]).fetchone() == (0,)


def put(path: Path, *, days: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))
    return path


WORLDS: Final[dict[str, Any]] = {
    "partitions-made": a_day_without_a_table,
    "events-dropped": an_old_event,
    "old-files-deleted": an_old_log,
    "disk-cleaned": a_disk_that_fills,
    "sessions-ended": a_session_that_forgot_itself,
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", WORLDS)
def test_each_action_does_its_deed_when_it_is_on_and_only_then(name: str, acme: Organisation, tmp_path: Path) -> None:
    with WORLDS[name](acme, tmp_path) as is_done:
        upkeep.switch(name, Mode.OFF, "alice")
        assert act(name) == 0
        assert (rows(name), is_done()) == ([], False)

        upkeep.switch(name, Mode.DRY_RUN, "alice")
        for _twice in range(2):
            assert act(name) == 0
        assert not is_done()
        (row,) = Action.objects.all()
        assert (row.result, row.outcome, row.ended_at) == (Result.DRY_RUN, "", NOW)
        assert row.seen and row.done

        upkeep.switch(name, Mode.ON, "alice")
        assert act(name) == 1
        until(is_done)
        assert [result for result, _ in rows(name)] == [Result.DRY_RUN, Result.DONE]
        assert rows(name)[-1][1]
        assert act(name) == 0
        declared = next(action for action in upkeep.ACTIONS if action.name == name)
        assert [post.kind for post in Post.objects.all()] == ([Kind.DONE] if declared.tells else [])


def test_every_action_that_is_declared_is_tried() -> None:
    """Or has tests beside what it stands on."""
    assert WORLDS.keys() <= {action.name for action in upkeep.ACTIONS} <= WORLDS.keys() | {"backup-made"}


# --- The round ----------------------------------------------------------------------------------------------------------------


def declared(sees: Callable[[datetime], upkeep.Seen | None], does: Callable[[upkeep.Seen, datetime], str] = lambda _s, _n: "Done.") -> upkeep.Action:
    return upkeep.Action("a-deed", "A deed", "looks", "does", sees, does, timedelta(hours=1))


def seeing(_now: datetime) -> upkeep.Seen:
    return upkeep.Seen("Something.", "Mend it.")


@pytest.mark.django_db
def test_nothing_seen_leaves_no_row() -> None:
    assert upkeep.look(NOW, actions=(declared(lambda _now: None),)) == 0
    assert not Action.objects.exists()


@pytest.mark.django_db
def test_each_is_looked_at_in_its_own_time_and_again_soon_after_it_did_something() -> None:
    looked: list[datetime] = []
    action = declared(lambda now: looked.append(now) or (seeing(now) if len(looked) == 1 else None))
    for minutes in range(0, 90, 1):
        upkeep.look(NOW + timedelta(minutes=minutes), actions=(action,))
    assert [(at - NOW) // timedelta(minutes=1) for at in looked] == [0, 1, 61]


@pytest.mark.django_db
def test_one_that_fails_keeps_no_other_from_its_deed_and_is_told_once_a_day() -> None:
    def fails(_seen: upkeep.Seen, _now: datetime) -> str:
        raise ValueError("somebody@example.com")

    bad, good = declared(seeing, fails), upkeep.Action("another", "", "", "", seeing, lambda _s, _n: "Done.", timedelta(0))
    for minutes in range(0, 60, 6):
        assert upkeep.look(NOW + timedelta(minutes=minutes), actions=(bad, good)) == 1
        round._due.clear()
    assert rows("a-deed") == [(Result.FAILED, "It failed (ValueError), and is tried again.")]
    upkeep.look(NOW + timedelta(days=1), actions=(bad,))
    assert len(rows("a-deed")) == 2


@pytest.mark.django_db
def test_one_that_cannot_look_says_so() -> None:
    def blind(_now: datetime) -> None:
        raise OSError

    assert upkeep.look(NOW, actions=(declared(blind),)) == 0
    assert rows("a-deed") == [(Result.FAILED, "It failed (OSError), and is tried again.")]


@pytest.mark.django_db
def test_rows_are_kept_for_ninety_days() -> None:
    for days in (1, 89, 91):
        Action.objects.create(action="a-deed", at=NOW - timedelta(days=days), seen="", done="", result=Result.DONE)
    upkeep.look(NOW, actions=())
    assert Action.objects.count() == 2


@pytest.mark.django_db
def test_a_switch_is_of_an_action_that_there_is() -> None:
    with pytest.raises(upkeep.NoSuchAction):
        upkeep.switch("no-such", Mode.OFF, "alice")
    with pytest.raises(ValueError, match="perhaps"):
        upkeep.switch("disk-cleaned", "perhaps", "alice")
    assert upkeep.mode("disk-cleaned") == Mode.ON


@pytest.mark.django_db(transaction=True)
def test_of_two_who_look_at_once_one_acts() -> None:
    with database.connect(application_name="test") as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [round.LOCK])
        assert upkeep.look(NOW, actions=(declared(seeing),)) == 0
    until(lambda: upkeep.look(NOW, actions=(declared(seeing),)) == 1)


@pytest.mark.django_db(transaction=True)
def test_one_that_is_killed_in_the_middle_is_told_as_failed_and_done_by_the_next(acme: Organisation, environment: dict[str, str], tmp_path: Path) -> None:
    with an_old_event(acme, tmp_path) as is_done:
        program = "import django; django.setup()\nfrom django.utils import timezone\nfrom operations import upkeep\nupkeep.look(timezone.now())"
        own = {**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings", "FAULT": "retention.closed:kill"}
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=own, check=False)
        assert [result for result, _ in rows("events-dropped")] == [Result.UNDER_WAY]
        until(lambda: act("events-dropped") == 1)
        assert is_done()
    assert rows("events-dropped") == [(Result.FAILED, "The process ended while it did this. What it left is seen again."), (Result.DONE, "1 events are gone.")]


# --- Files and sessions -------------------------------------------------------------------------------------------------------


def test_files_go_in_their_order_and_what_is_young_or_not_listed_never_does(settings: Settings, tmp_path: Path) -> None:
    for name in ("secret_key", "demo.json", "backups/2026-01-01/base", "pg/PG_VERSION", "timetable"):
        put(tmp_path / name, days=400)
    put(tmp_path / "log/today.log", days=0.1)
    put(tmp_path / "mail/now.eml", days=0.01)
    for name, days in (("mail/b.eml", 2), ("mail/a.eml", 1), ("log/y.log", 2), ("log/x.log.1", 9), ("exports/e.csv", 3), ("restore-1/base/1", 3)):
        put(tmp_path / name, days=days)
    os.utime(tmp_path / "restore-1", (0, 0))
    names = [str(one.path.relative_to(tmp_path)) for one in files.spare(NOW)]
    assert names == ["restore-1", "log/x.log.1", "log/y.log", "exports/e.csv", "mail/b.eml", "mail/a.eml"]
    assert [one.path.name for one in files.old(NOW)] == ["restore-1"]
    for one in files.spare(NOW):
        files.delete(one)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "backups/2026-01-01/base", "demo.json", "log/today.log", "mail/now.eml", "pg/PG_VERSION", "secret_key", "timetable",
    ]  # fmt: skip


def test_the_databases_own_log_is_emptied_and_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = put(tmp_path / "pg" / "log", days=0, size=1000)
    monkeypatch.setattr(files, "LARGE_LOG", 999)
    (found,) = files.old(NOW)
    assert files.delete(found) == 1000
    assert (log.exists(), log.stat().st_size) == (True, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "statement", "is_ended"),
    [
        ("a report tool", "SELECT pg_sleep(60)", True),
        ("a report tool", "CREATE INDEX CONCURRENTLY x ON engagement_inbox (received_at)", False),
        ("atrium-recount", "SELECT pg_sleep(60)", False),
        ("pg_dump", "COPY (SELECT pg_sleep(60)) TO STDOUT", False),
    ],
)
def test_long_readers_are_ended_and_our_own_work_backups_and_builders_are_not(
    monkeypatch: pytest.MonkeyPatch, name: str, statement: str, is_ended: bool
) -> None:
    monkeypatch.setattr(sessions, "READING", timedelta(0))
    with closing(database.connect(application_name=name)) as session, database.connect(application_name="test") as writer:
        if statement.startswith("CREATE"):
            writer.execute("BEGIN; LOCK TABLE engagement_inbox IN ROW EXCLUSIVE MODE")  # so that it is not finished at once
        session.pgconn.send_query(statement.encode())
        until(lambda: _is_active(session.info.backend_pid))
        assert [one.pid for one in sessions.holding()].count(session.info.backend_pid) == is_ended
        if statement.startswith("CREATE"):
            writer.execute("ROLLBACK")
        writer.execute("SELECT pg_terminate_backend(%s, 5000)", [session.info.backend_pid])


def _is_active(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone() == (True,)


def test_a_session_is_ended_by_its_beginning_too_since_numbers_are_used_again(transactional_db: None) -> None:
    with database.connect(application_name="test") as session:
        assert sessions.end([sessions.Session(session.info.backend_pid, datetime(2020, 1, 1, tzinfo=UTC), 0.0)]) == 0
        assert session.execute("SELECT 1").fetchone() == (1,)
