"""Several connections at once behind one wire: each is used by one thread at a time, which does nothing but wait for its server."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

from notifications.channels.wire import LATE_S, Feed, ForNow, Late, Result, Timed, Wait
from notifications.mail import Mail

AHEAD: Final = 4  # mails for each connection whose result may be waiting for an earlier one's
FEWER_S: Final = 60.0  # a server that takes no further connection is not asked for one for so long
DOWN_S: Final = 1.0  # and one that takes none at all for so long


class Line(Protocol):
    """One connection, used by one thread at a time. It is opened by the first mail, and again where it was lost."""

    def ready(self) -> Result | None:
        """Connect, where that is not so. A result: it cannot be."""
        ...

    def send(self, mail: Mail) -> Result: ...

    def close(self) -> None: ...


class Lines:
    """A wire of up to `most` lines. What was used last is used first, so that no more are opened than are needed."""

    def __init__(self, open_line: Callable[[], Line], most: int) -> None:
        self._open_line, self._most = open_line, most
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="mail")
        self._changed = threading.Condition()
        self._free: list[Line] = []
        self._made = 0  # lines that are free, in use, or being opened
        self._allowed, self._allowed_since = most, 0.0
        self._down: tuple[float, Result] = (0.0, ForNow(""))

    def send(self, feed: Feed) -> Iterator[Result]:
        flying: deque[Future[Result]] = deque()
        under_way: set[Future[Result]] = set()
        for item in feed:
            if isinstance(item, Wait):
                yield from _heard_until(flying, item.until)
                continue
            future = self._pool.submit(self._leave, item)
            flying.append(future)
            under_way.add(future)
            if len(under_way) >= self._most:
                under_way = wait(under_way, return_when=FIRST_COMPLETED).not_done
            while flying and (flying[0].done() or len(flying) >= self._most * AHEAD):  # else: the others have overtaken it, wait for this one
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()

    def close(self) -> None:
        self._pool.shutdown()
        while self._free:
            self._free.pop().close()

    def _leave(self, item: Mail | Timed) -> Result:
        mail, leaves_at = (item.mail, item.leaves_at) if isinstance(item, Timed) else (item, None)
        line, refused = self._take()
        if line is None:
            return refused
        try:
            if leaves_at is not None:
                time.sleep(max(0.0, leaves_at - time.monotonic()))
                if time.monotonic() > leaves_at + LATE_S:
                    return Late()
            return line.send(mail)
        finally:
            with self._changed:
                self._free.append(line)
                self._changed.notify()

    def _take(self) -> tuple[Line | None, Result]:
        """A line that is ready. None: the server takes none, and says why."""
        while True:
            with self._changed:
                while not self._free and self._made >= self._limit() and time.monotonic() >= self._down[0]:
                    self._changed.wait()
                if time.monotonic() < self._down[0]:
                    return None, self._down[1]
                line = self._free.pop() if self._free else None
                self._made += line is None
            line = line or self._open_line()
            refused = line.ready()
            if refused is None:
                return line, ForNow("")
            with self._changed:
                self._made -= 1
                if self._made == 0:
                    self._down = (time.monotonic() + DOWN_S, refused)
                # Others are open: many servers allow so many connections and no more. Their mails go through those.
                self._allowed, self._allowed_since = max(1, self._made), time.monotonic()
                self._changed.notify_all()

    def _limit(self) -> int:
        if self._allowed < self._most and time.monotonic() - self._allowed_since > FEWER_S:
            self._allowed = self._most
        return self._allowed


def _heard_until(flying: deque[Future[Result]], until: float) -> Iterator[Result]:
    """Results as they come, in order, up to an instant of time.monotonic()."""
    while (left := until - time.monotonic()) > 0:
        if not flying:
            time.sleep(left)
            return
        wait([flying[0]], timeout=left)
        while flying and flying[0].done():
            yield flying.popleft().result()
