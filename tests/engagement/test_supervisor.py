"""The supervisor: what dies comes back and is told of in a sentence; what is asked to stop stops, and leaves nothing behind."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import psycopg
import pytest
from django.conf import settings

from engagement import heartbeats, supervisor
from engagement.console import Console
from engagement.processes import Keeper, Process

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 60.0


def wait_until(question: Callable[[], object], *, what: str, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline, f"Waited {within_s:.0f} s for {what}."
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class House:
    """A whole Atrium in a folder of its own, as `make run` starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.log = folder, free_port(), folder / "log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "ATRIUM_POSTGRES") if name in os.environ}
        self.environment = {**kept, "ATRIUM_VAR": str(folder / "var"), "PORT": str(self.port)}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen([sys.executable, "manage.py", "run"], cwd=ROOT, env=self.environment, stdout=out, stderr=out)

    def said(self, words: str) -> bool:
        return words in self.log.read_text()

    def answers(self, path: str = "/healthz/ready") -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process | None:
        for child in psutil.Process(self.process.pid).children():
            try:
                if words in " ".join(child.cmdline()):
                    return child
            except psutil.Error:
                continue
        return None

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.end()


CHILDREN: Final = {
    "web": "granian",
    "stream": "manage.py stream",
    "worker": "--queues atrium",
    "sender": "--queues sending",
    "scheduler": " beat ",
    "watch": "manage.py watch",
    "postgres": "postgres",
}


@pytest.mark.parametrize("name", CHILDREN)
def test_what_is_killed_comes_back_and_the_log_says_so(house: House, name: str) -> None:
    wait_until(house.answers, what="a house that is ready")
    before = house.child(CHILDREN[name])
    assert before
    before.kill()
    wait_until(lambda: house.said(f"{name} was ended by signal 9 (SIGKILL)"), what=f"a sentence about {name}")
    wait_until(lambda: (now := house.child(CHILDREN[name])) and now.pid != before.pid, what=f"another {name}")
    wait_until(house.answers, what="a house that is ready again")


def test_every_process_says_that_it_works_also_after_another_has_come_in_its_place(house: House) -> None:
    wait_until(house.answers, what="a house that is ready")
    names = {f"{name}@{heartbeats.HOST}" for name in ("web", "stream-0", "figures", "worker", "sender", "scheduler", "watch")}
    with psycopg.connect((house.folder / "var" / "pg.url").read_text(), autocommit=True) as asked:

        def said_since(moment: datetime) -> set[str]:
            return {name for (name,) in asked.execute("SELECT process FROM engagement_heartbeat WHERE host <> '' AND at > %s", [moment])}

        wait_until(lambda: said_since(datetime.now(UTC) - timedelta(seconds=30)) == names, what="a word of every process")
        [(wrong,)] = asked.execute("SELECT count(*) FROM engagement_heartbeat WHERE host <> '' AND (pid IS NULL OR started_at IS NULL OR version = '')")
        assert not wrong


def test_the_watchdog_too_comes_back(house: House) -> None:
    wait_until(house.answers, what="a house that is ready")
    before = house.child("watchdog.py")
    assert before
    before.kill()
    wait_until(lambda: (now := house.child("watchdog.py")) and now.pid != before.pid, what="another watchdog")


def test_a_second_start_on_the_same_folder_is_refused_in_a_sentence(house: House) -> None:
    wait_until(house.answers, what="a house that is ready")
    second = subprocess.run([sys.executable, "manage.py", "run"], cwd=ROOT, env=house.environment, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith("Atrium is running already with the data in ")
    assert len(second.stderr.splitlines()) == 1
    assert house.answers()


def test_a_port_in_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {"PATH": os.environ["PATH"], "ATRIUM_VAR": str(tmp_path), "PORT": str(port)}
        seen = subprocess.run([sys.executable, "manage.py", "run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert seen.returncode == 1
    assert seen.stderr.startswith(f"Port {port} of 127.0.0.1 cannot be used")
    assert len(seen.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_told_in_a_sentence(tmp_path: Path, host: str) -> None:
    known = {"PATH": os.environ["PATH"], "ATRIUM_VAR": str(tmp_path), "HOST": host}
    seen = subprocess.run([sys.executable, "manage.py", "run"], cwd=ROOT, env=known, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert seen.returncode == 1
    assert seen.stderr == f"HOST is '{host}'. Give an address of this machine, as 127.0.0.1 or 0.0.0.0.\n"


def test_killed_itself_it_leaves_nothing_behind_and_can_be_started_again_at_once(house: House) -> None:
    wait_until(house.answers, what="a house that is ready")
    family = house.family()
    assert len(family) > len(CHILDREN)
    house.process.kill()
    house.process.wait()
    house.process = house.start()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    wait_until(house.answers, what="a house that is ready again")


def test_ctrl_c_stops_everything_within_30_seconds_and_leaves_nothing_behind(house: House) -> None:
    """The last of this module: the house is gone afterwards."""
    wait_until(house.answers, what="a house that is ready")
    family = house.family()
    began = time.monotonic()
    house.process.send_signal(signal.SIGINT)
    assert house.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - began < 30
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert house.said("Everything has stopped.")
    assert house.said("database system is shut down")


def keep(*processes: Process) -> tuple[int, str]:
    """The exit code, and everything said."""
    out = io.StringIO()
    first = Process("prepare", [sys.executable, "-c", "print('prepared')"])
    keeper = Keeper(processes, root=ROOT, cluster=None, first=first, console=Console(out))
    with tempfile.TemporaryFile() as lock:
        return asyncio.run(keeper.run(welcome="Welcome.", ready=lambda: False, kept_open=lock.fileno())), out.getvalue()


def test_a_missing_tool_is_told_in_a_sentence_and_ends_the_start() -> None:
    code, said = keep(Process("ghost", ["/no/such/tool"]))
    assert code == 1
    assert "ghost cannot be started: No such file or directory: /no/such/tool." in said


def test_pauses_grow_between_one_death_and_the_next_and_what_runs_once_is_not_started_again(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.touch()
    dying = f"open({str(deaths)!r}, 'a').write('x'); raise SystemExit(3)"
    asking = f"import os, signal, time\nwhile os.path.getsize({str(deaths)!r}) < 3: time.sleep(0.05)\nos.kill(os.getppid(), signal.SIGTERM)"
    code, said = keep(
        Process("weak", [sys.executable, "-c", dying]),
        Process("task", [sys.executable, "-c", "print('task done')"], once=True),
        Process("end", [sys.executable, "-c", asking]),
    )
    assert code == 0
    assert said.count("task done") == 1
    for pause in ("0.5", "1"):
        assert f"weak ended with exit code 3 after 0 s; it is started again in {pause} s." in said
    assert said.rstrip().endswith("Everything has stopped.")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stop_that_is_asked_for_twice_by_sigterm_still_waits_for_a_clean_end() -> None:
    """`make` sends on what its whole group was sent: that is nobody's hurry."""
    slow = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), print('ended well', flush=True), exit(0)))\nprint('up')\ntime.sleep(60)"
    )
    asking = "import os, signal, time\ntime.sleep(1)\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(0.2)\nos.kill(os.getppid(), signal.SIGTERM)"
    code, said = keep(
        Process("slow", [sys.executable, "-c", slow]), Process("twice", [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN)\n" + asking])
    )
    assert code == 0
    assert "ended well" in said and "did not stop in time" not in said


def test_several_streams_begin_with_a_part_of_the_shards_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on all of them would lock all of them, and the others would only look on."""
    monkeypatch.setattr(settings, "ATRIUM_STREAMS", 2)
    assert [(one.name, list(one.command[-4:])) for one in supervisor._house() if "stream" in one.command] == [
        ("stream-1", ["--number", "0", "--of", "2"]),
        ("stream-2", ["--number", "1", "--of", "2"]),
    ]


def test_a_progress_bar_is_shown_on_a_terminal_and_left_out_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        console = Console(out)
        console.say("demo", "10 %", passing=True)
        console.say("demo", "done")
    assert terminal.getvalue() == "demo      | 10 %\r\x1b[Kdemo      | done\n"
    assert file.getvalue() == "demo      | done\n"


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, file = Terminal(), io.StringIO()
    Console(terminal).say("web", "hello")
    Console(file).say("web", "hello")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in file.getvalue()
