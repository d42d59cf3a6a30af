"""Real processes of the product that a test starts, stops, freezes and kills. Each is the head of a process group of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.ground import Town
from tests.servers import DOOR, ROOT, Server, answers, free_port, until

START_WITHIN_S: Final = 60
STOP_WITHIN_S: Final = 30


@dataclass
class Process:
    """A command that can be started again and again. Its log grows over all its lives."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, **more: str) -> None:
        """`more` is added to the environment of this life alone."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """To the whole group: the door's server has a process that watches and one that serves."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.alive:
            self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, within_s: float = STOP_WITHIN_S) -> int:
        assert self.process is not None
        return self.process.wait(within_s)

    def end(self) -> None:
        """As an operator asks for it; with force where that does not help."""
        if not self.alive:
            return
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self, words: str) -> bool:
        return words in self.log.read_text()


@dataclass
class Door(Process):
    """The device door on a port that it keeps over its lives."""

    port: int = 0
    path: str = "/healthz/ready"

    @property
    def server(self) -> Server:
        assert self.process is not None
        return Server(self.process, self.port, self.log)

    def open(self, **more: str) -> Server:
        """Start, and wait until it takes requests."""
        self.start(**more)
        until(lambda: not self.alive or answers(self.server, self.path), within_s=START_WITHIN_S)
        assert self.alive, self.log.read_text()
        return self.server


@dataclass
class Product:
    """The processes on one town's database; all of them end with the test."""

    town: Town
    folder: Path
    made: list[Process] = field(default_factory=list)

    def door(self, *, application: str = DOOR, url: str | None = None, **environment: str) -> Door:
        """Not started yet. `url`: reach the database there."""
        port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), application]
        # With Django beside it, being ready means that the stream and the broker are, too.
        path = "/healthz/ready" if application == DOOR else "/healthz/live"
        door = Door(command, self._environment(url, environment), self.folder / f"door-{len(self.made)}.log", port=port, path=path)
        self.made.append(door)
        return door

    def stream(self, number: int = 0, of: int = 1, *, mutant: str | None = None, url: str | None = None, **environment: str) -> Process:
        """Not started yet. `mutant`: with that guard taken out (tests/faults/mutants)."""
        program = ["manage.py"] if mutant is None else ["-m", "tests.faults.mutants", mutant]
        command = [sys.executable, *program, "stream", "--number", str(number), "--of", str(of)]
        stream = Process(command, self._environment(url, environment), self.folder / f"stream-{len(self.made)}.log")
        self.made.append(stream)
        return stream

    def figures(self, **environment: str) -> Process:
        """Not started yet."""
        command = [sys.executable, "manage.py", "figures"]
        figures = Process(command, self._environment(None, environment), self.folder / f"figures-{len(self.made)}.log")
        self.made.append(figures)
        return figures

    def drain(self, within_s: float = 60) -> None:
        until(self.town.drained, within_s=within_s)

    def figure_out(self, within_s: float = 60) -> None:
        """Until nothing is marked, and so the figures of every day that is over are made."""
        until(lambda: not self.town.value("SELECT EXISTS (SELECT 1 FROM analytics_mark)"), within_s=within_s)

    def wait_for_stream(self) -> None:
        """Until one has begun to work."""
        until(lambda: self.town.value("SELECT count(*) FROM engagement_heartbeat WHERE process LIKE 'stream%%'"), within_s=START_WITHIN_S)

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.town.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def end(self) -> None:
        for process in self.made:
            if process.alive:
                process.signal(signal.SIGCONT)
                process.kill()

    def _environment(self, url: str | None, more: dict[str, str]) -> dict[str, str]:
        address = {} if url is None else {"DATABASE_URL": url}
        return self.town.environment(**address, **more)


@dataclass(frozen=True)
class Steady:
    """A product whose door and stream run and are left in peace."""

    product: Product
    door: Door

    @property
    def town(self) -> Town:
        return self.product.town


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Started now and ended, kindly, after the block."""
    for process in processes:
        process.open() if isinstance(process, Door) else process.start()
    yield
    for process in processes:
        process.end()


class Keeper(threading.Thread):
    """Starts again whatever died, as the supervisor does, and notes how it died."""

    def __init__(self, *processes: Process) -> None:
        super().__init__(name="keeper", daemon=True)
        self._processes = processes
        self.deaths: list[int] = []
        self.busy = threading.Lock()  # held by whoever needs a process to stay dead for a moment
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            for process in self._processes:
                with self.busy:
                    if process.process is not None and not process.alive:
                        self.deaths.append(process.wait())
                        process.start()

    def __enter__(self) -> "Keeper":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()
