"""What the console shows is there tomorrow too: in a file a day, without colours and secrets."""

import io
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engagement import logbook
from engagement.console import Console
from engagement.logbook import Logbook

EVENING = datetime(2026, 11, 21, 23, 59, 58, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_day_has_its_file_which_others_cannot_read(tmp_path: Path) -> None:
    times = [EVENING, EVENING.replace(day=22)]
    book = Logbook(tmp_path / "log", clock=lambda: times[0])
    console = Console(Terminal(), book=book)
    console.say("web", "hello")
    console.say("demo", "10 %", passing=True)
    times.pop(0)
    console.say("stream", "good morning")
    first, second = sorted((tmp_path / "log").iterdir())
    assert (first.name, first.read_text()) == ("2026-11-21.log", "23:59:58 web | hello\n")
    assert (second.name, second.read_text()) == ("2026-11-22.log", "23:59:58 stream | good morning\n")
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_lines_for_machines_are_kept_as_they_are(tmp_path: Path) -> None:
    console = Console(io.StringIO(), objects=True, book=Logbook(tmp_path, clock=lambda: EVENING))
    console.say("database", "ready")
    assert json.loads((tmp_path / "2026-11-21.log").read_text())["process"] == "database"


def test_no_login_and_no_address_is_kept(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(out, book=Logbook(tmp_path, clock=lambda: EVENING))
    console.say("atrium", "User demo, password hunter2hunter2")
    console.say("worker", "somebody@example.com was not told")
    assert "hunter2" in out.getvalue()
    kept = (tmp_path / "2026-11-21.log").read_text()
    assert "hunter2" not in kept
    assert "somebody@" not in kept


def test_a_storm_of_lines_keeps_the_latest_and_a_bounded_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbook, "LARGEST", 100)
    book = Logbook(tmp_path, clock=lambda: EVENING)
    for number in range(100):
        book.stamped("web", f"line {number} {'x' * 60}")
    assert len(list(tmp_path.iterdir())) <= logbook.MOST + 1
    assert "line 99" in "".join(path.read_text() for path in tmp_path.iterdir())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300 * (logbook.MOST + 1)


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    out = io.StringIO()
    Console(out, book=Logbook(tmp_path / "log")).say("web", "hello")
    assert out.getvalue() == "web       | hello\n"
