"""Sends request bodies to the device door as a patient client does: kept connections, gzip, Retry-After, and again after a broken one.

Used by `manage.py replay`, by the demonstration and by tests. Sending a body twice is harmless, so whatever is in doubt is sent again.
"""

import gzip
import http.client
import queue
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

PATH: Final = "/v1/events"
WORTH_GZIP: Final = 600  # bytes; a smaller body costs more to compress than to send
TIMEOUT_S: Final = 30.0
LONGEST_WAIT_S: Final = 30.0
LATER: Final = frozenset({429, 503})
KEY_REFUSED: Final = frozenset({401, 403})  # every further request would meet the same


class Unreachable(OSError):
    """No answer within the sender's patience."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    retry_after_s: float


@dataclass
class Tally:
    """What became of everything that was put."""

    requests: int = 0  # answered with 202
    accepted: int = 0  # events
    rejected: Counter[str] = field(default_factory=Counter)  # events by reason
    waited: int = 0  # how often the door asked to come later
    failed: list[tuple[str, str]] = field(default_factory=list)  # (label, why) of bodies that could not be sent


class Door:
    """One kept connection to the door. Not for several threads."""

    def __init__(self, *, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:8000.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(self, body: bytes) -> Answer:
        """One try. Raises OSError or HTTPException where no answer came."""
        headers = self._headers
        if len(body) >= WORTH_GZIP:
            body, headers = gzip.compress(body, compresslevel=1, mtime=0), {**headers, "Content-Encoding": "gzip"}
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        wait = response.getheader("Retry-After", "1")
        return Answer(response.status, answer, min(float(wait), LONGEST_WAIT_S) if wait.isdecimal() else 1.0)

    def close(self) -> None:
        self._connection.close()


class Sender:
    """Several connections fed from one short queue, so that whoever makes the bodies waits when the door is slower.

    `patience_s`: how long one body is tried before it is given up; None: for ever, until `stop` is set.
    """

    def __init__(self, *, url: str, key: str, connections: int = 4, patience_s: float | None = 120.0, stop: threading.Event | None = None) -> None:
        self.tally = Tally()
        self.stop = stop or threading.Event()
        self._patience_s = patience_s
        self._bodies: queue.Queue[tuple[bytes, str] | None] = queue.Queue(connections * 4)
        self._lock = threading.Lock()
        doors = [Door(url=url, key=key) for _ in range(connections)]
        self._threads = [threading.Thread(target=self._work, args=[door], name=f"sender-{number}", daemon=True) for number, door in enumerate(doors)]
        for thread in self._threads:
            thread.start()

    def put(self, body: bytes, label: str = "") -> None:
        """Send this some time soon; waits while the queue is full. `label` names the body in `tally.failed`."""
        while not self.stop.is_set():
            try:
                return self._bodies.put((body, label), timeout=0.5)
            except queue.Full:
                continue
        return None

    def drain(self) -> None:
        """Wait until everything that was put has its answer (or its failure)."""
        with self._bodies.all_tasks_done:
            while self._bodies.unfinished_tasks and not self.stop.is_set():
                self._bodies.all_tasks_done.wait(0.5)

    def close(self) -> None:
        """Send what was put, then end."""
        self.drain()
        for _ in self._threads:
            self._bodies.put(None) if not self.stop.is_set() else None
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.stop.set()
        self.close()

    def _work(self, door: Door) -> None:
        while not self.stop.is_set():
            try:
                item = self._bodies.get(timeout=0.5)
            except queue.Empty:
                continue
            if item is None:
                break
            try:
                self._settle(item, door)
            finally:
                self._bodies.task_done()
        door.close()

    def _settle(self, item: tuple[bytes, str], door: Door) -> None:
        body, label = item
        try:
            answer = self._insist(body, door)
        except Unreachable as error:
            self._fail(label, str(error))
            return
        if answer is None:
            self._fail(label, "stopped before there was an answer")
        elif answer.status == 202 and (said := understood(answer.body)):
            self._count(said)
        else:
            self._fail(label, f"{answer.status} {reason(answer.body)}")
            if answer.status in KEY_REFUSED:
                self.stop.set()

    def _insist(self, body: bytes, door: Door) -> Answer | None:
        """The final answer; None where the sender was stopped first."""
        until = None if self._patience_s is None else time.monotonic() + self._patience_s
        tries = 0
        while not self.stop.is_set():
            wait, why = min(0.05 * 2**tries, 5.0), ""
            try:
                answer = door.post(body)
                if answer.status not in LATER:
                    return answer
                wait, why = answer.retry_after_s, f"the door still says {answer.status}"
                with self._lock:
                    self.tally.waited += 1
            except (OSError, http.client.HTTPException) as error:
                why = f"no answer ({type(error).__name__})"
            if until is not None and time.monotonic() + wait > until:
                raise Unreachable(why)
            # Clients that were turned away together must not come back together.
            self.stop.wait(wait * random.uniform(1.0, 1.25))  # noqa: S311 (no secret)
            tries += 1
        return None

    def _count(self, said: "Said") -> None:
        with self._lock:
            self.tally.requests += 1
            self.tally.accepted += said.accepted
            self.tally.rejected.update(item.reason for item in said.rejected)

    def _fail(self, label: str, why: str) -> None:
        with self._lock:
            self.tally.failed.append((label, why))


class Rejected(msgspec.Struct):
    reason: str


class Said(msgspec.Struct):
    """A 202, as far as it is counted."""

    accepted: int
    rejected: list[Rejected]


class Problem(msgspec.Struct):
    detail: str


def understood(body: bytes) -> Said | None:
    """None where a 202 is not the door's: something else listens at that address."""
    try:
        return msgspec.json.decode(body, type=Said)
    except msgspec.MsgspecError:
        return None


def reason(body: bytes) -> str:
    """What an application/problem+json says."""
    try:
        return msgspec.json.decode(body, type=Problem).detail
    except msgspec.MsgspecError:
        return "(an answer that is not the door's)"
