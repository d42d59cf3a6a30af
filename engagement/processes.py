"""Keeping processes: each is started, its log is prefixed, it is started again when it dies, and all are stopped in order.

The supervisor (engagement.supervisor) says which; here is how.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engagement import watchdog
from engagement.console import Console
from engagement.embedded import START_WITHIN_S, Cluster
from engagement.postgres import Unusable

ME: Final = "atrium"
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SETTLED_S: Final = 60.0  # what has lived so long begins again with the shortest pause
WEB, WORK, DATABASE = 1, 2, 9  # floors


@dataclass(frozen=True, eq=False)
class Process:
    """What runs. Those of the lowest floor are stopped first. One that runs `once` is done when it has ended well."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    floor: int = WEB
    grace_s: float = 6.0  # four floors, and 30 s for all
    once: bool = False


class Trouble(Exception):
    """The start cannot go on: one sentence for a person."""


class Keeper:
    """Lives for one run. `first` is run to its end once the database answers, before everything else."""

    def __init__(self, processes: Sequence[Process], *, root: Path, cluster: Cluster | None, first: Process, console: Console) -> None:
        self.processes, self.root, self.cluster, self.first, self.console = processes, root, cluster, first, console
        self.deaths: Counter[Process] = Counter()
        self.running: dict[Process, asyncio.subprocess.Process] = {}
        self.keepers: dict[Process, asyncio.Task[None]] = {}
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.failure: str | None = None
        self.guard: asyncio.subprocess.Process | None = None

    async def run(self, *, welcome: str, ready: Callable[[], bool], kept_open: int) -> int:
        """Until a stop is asked for, or the start fails. `welcome` is said as soon as `ready` says yes.

        `kept_open` is the descriptor of the run's lock: the watchdog has it too, and so holds the lock until nothing is left.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.ask_to_stop, number)
        guarding = asyncio.create_task(self.keep_guard(kept_open))
        try:
            await self.start()
            if await self.until(ready):
                self.say(welcome)
            await self.stopping.wait()
        except (Trouble, Unusable) as trouble:
            self.failure = str(trouble)
        await self.stop()
        guarding.cancel()
        await self.dismiss_guard()
        self.say(self.failure or "Everything has stopped.")
        return 1 if self.failure else 0

    def say(self, sentence: str) -> None:
        self.console.say(ME, sentence)

    def ask_to_stop(self, number: int) -> None:
        """The first Ctrl-C stops all in order; the second does not wait for it. A second SIGTERM is no hurry: `make` sends on what its group got too."""
        if self.stopping.is_set() and number == signal.SIGINT:
            self.hurry.set()
        elif not self.stopping.is_set():
            self.say("Stopping. Press Ctrl-C again to stop without waiting.")
        self.stopping.set()

    async def start(self) -> None:
        if self.cluster:
            await self.start_database(self.cluster)
        if self.stopping.is_set():
            return
        if await self.run_once(self.first):
            raise Trouble(f"{self.first.name} failed; its reasons are above.")
        for process in self.processes:
            if not self.stopping.is_set():
                self.keep(process)

    async def start_database(self, cluster: Cluster) -> None:
        await asyncio.to_thread(cluster.prepare)
        origin = "this machine's" if cluster.tools.origin == "system" else "the package's"
        self.say(f"Starting {origin} PostgreSQL {cluster.tools.major} on port {cluster.port}.")
        database = Process("postgres", cluster.command(), floor=DATABASE)
        self.keep(database)
        if not await self.until(lambda: self.deaths[database] > 0 or cluster.answers(), within_s=START_WITHIN_S):
            raise Trouble(f"PostgreSQL did not answer within {START_WITHIN_S:.0f} s.")
        if self.deaths[database]:
            raise Trouble("PostgreSQL did not start; its reasons are above.")
        await asyncio.to_thread(cluster.complete)

    def keep(self, process: Process) -> None:
        self.keepers[process] = asyncio.create_task(self._keep(process))

    async def _keep(self, process: Process) -> None:
        """Run a process again and again, with a pause that doubles for as long as it does not settle."""
        pause = SHORTEST_PAUSE_S
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                code = await self.run_once(process)
            except OSError as error:
                self.failure = f"{process.name} cannot be started: {error.strerror}: {process.command[0]}."
                self.stopping.set()
                return
            self.deaths[process] += 1
            if self.stopping.is_set() or (process.once and code == 0):
                return
            lasted = time.monotonic() - began
            pause = SHORTEST_PAUSE_S if lasted > SETTLED_S else pause
            self.say(f"{process.name} {_how_it_ended(code)} after {lasted:.0f} s; it is started again in {pause:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            if self.cluster and process.floor == DATABASE:
                await asyncio.to_thread(self.cluster.end_leftovers)

    async def run_once(self, process: Process) -> int:
        """Start, copy what it says, wait for its end, and let nothing of it stay behind. Its exit code; below zero: the signal."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **process.environment}
        where = self.cluster.data if self.cluster and process.floor == DATABASE else self.root
        listen, speak = os.pipe()  # asyncio's own pipe would make the wait for a process last until its children are gone too
        try:
            # In a session of its own: a Ctrl-C at the terminal is for the supervisor alone, which knows the order.
            child = await asyncio.create_subprocess_exec(
                *process.command, stdin=asyncio.subprocess.DEVNULL, stdout=speak, stderr=speak, cwd=where, env=environment, start_new_session=True
            )
        except OSError:
            os.close(listen)
            raise
        finally:
            os.close(speak)
        self.running[process] = child
        self.tell_guard(f"+{child.pid} {int(_stop_signal(process))}")
        copying = asyncio.create_task(self.console.copy(process.name, listen))
        if self.stopping.is_set():  # asked for while the child was being made: nobody else would tell it
            _signal(child, _stop_signal(process))
        code = await child.wait()
        del self.running[process]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # its own children would hold the port or the log
        self.tell_guard(f"-{child.pid}")
        await asyncio.wait([copying], timeout=2)
        copying.cancel()
        return code

    async def stop(self) -> None:
        """Floor by floor, the lowest first: who takes requests, then who works, then the database."""
        self.stopping.set()
        for floor in sorted({process.floor for process in self.running}):
            chosen = [(process, child) for process, child in self.running.items() if process.floor == floor]
            for process, child in chosen:
                _signal(child, _stop_signal(process))
            ended: asyncio.Future[Any] = asyncio.gather(*(child.wait() for _, child in chosen))
            hurry: asyncio.Future[Any] = asyncio.create_task(self.hurry.wait())
            await asyncio.wait([ended, hurry], timeout=max(process.grace_s for process, _ in chosen), return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            for process, child in chosen:
                if child.returncode is None:
                    self.say(f"{process.name} did not stop in time; it is ended.")
                    _signal(child, signal.SIGQUIT if process.floor == DATABASE else signal.SIGKILL)
            await ended
        await asyncio.gather(*self.keepers.values())
        if self.cluster:
            self.cluster.release()

    async def keep_guard(self, kept_open: int) -> None:
        """The watchdog too is started again; it is then told of everything that runs."""
        while True:
            command = [sys.executable, "-I", str(Path(watchdog.__file__))]
            self.guard = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, start_new_session=True, pass_fds=[kept_open])
            for process, child in self.running.items():
                self.tell_guard(f"+{child.pid} {int(_stop_signal(process))}")
            await self.guard.wait()
            self.say(f"The watchdog has ended; it is started again in {SHORTEST_PAUSE_S:g} s.")
            await asyncio.sleep(SHORTEST_PAUSE_S)

    def tell_guard(self, line: str) -> None:
        if self.guard and self.guard.stdin and self.guard.returncode is None:
            self.guard.stdin.write(f"{line}\n".encode())

    async def dismiss_guard(self) -> None:
        if self.guard and self.guard.stdin:
            self.guard.stdin.close()
            await self.guard.wait()

    async def until(self, question: Callable[[], bool], *, within_s: float = 3600.0) -> bool:
        """Ask until the answer is yes; no where the time is over or a stop was asked for."""
        deadline = time.monotonic() + within_s
        while not self.stopping.is_set() and time.monotonic() < deadline:
            if await asyncio.to_thread(question):
                return True
            await asyncio.sleep(0.1)
        return False


def _stop_signal(process: Process) -> signal.Signals:
    """PostgreSQL's fast stop is SIGINT: it ends the sessions instead of waiting for them."""
    return signal.SIGINT if process.floor == DATABASE else signal.SIGTERM


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def _how_it_ended(code: int) -> str:
    return f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
