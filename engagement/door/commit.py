"""Group commit: all requests that came while the last commit was under way go with the next one.

COPY instead of INSERT: measured equal for one row and a quarter cheaper for many, with nothing to adapt.
"""

import asyncio
import struct
import time
from collections import deque
from functools import partial
from typing import Final, NamedTuple

from engagement import faults, metrics
from engagement.door.link import Away, Connection, Link

GROUP_ROWS: Final = 2000
GROUP_BYTES: Final = 16 * 1024 * 1024
WAITING_BYTES: Final = 64 * 1024 * 1024
# A server of ours may stall for so long under load; a longer silence is a fault, and the client tries again.
OPTIONS: Final = "-c synchronous_commit=on -c statement_timeout=5000 -c lock_timeout=2000"
DEADLINE_S: Final = 6.0

COPY: Final = "COPY engagement_inbox (organisation_id, shard, received_at, events, imported, payload) FROM STDIN (FORMAT BINARY)"
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
POSTGRES_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01, in microseconds since 1970
# The number of columns, then the length and the value of each. The payload's bytes follow its length.
_row = struct.Struct(">h iq ih iq ii ib i").pack


# Counted a group at a time: a request alone should not cost more for it.
REQUESTS: Final = metrics.counter("atrium_accepted_requests_total", "Requests that the door accepted and committed")
EVENTS: Final = metrics.counter("atrium_accepted_events_total", "Events that the door accepted and committed")
ROWS: Final = metrics.histogram("atrium_door_commit_requests", "Requests in one commit of the door", metrics.SIZES)
SECONDS: Final = metrics.histogram("atrium_door_commit_seconds", "How long a commit of the door takes")


class Entry(NamedTuple):
    """A row of the inbox."""

    organisation: int
    shard: int
    received_us: int
    events: int
    imported: bool
    payload: bytes


class Committer:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: deque[tuple[Entry, asyncio.Future[None]]] = deque()
        self._waiting_bytes = 0
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def commit(self, entry: Entry) -> None:
        """Returns when the entry is on disk. Raises Away where it is not, or where that is unknown."""
        if not self._link.up or self._waiting_bytes > WAITING_BYTES:
            raise Away
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        self._waiting_bytes += len(entry.payload)
        self._idle.clear()
        self._work.set()
        await done

    async def run(self) -> None:
        """Commits group after group, until cancelled."""
        while True:
            await self._work.wait()
            group = self._take()
            began = time.perf_counter()
            try:
                await self._link.run(partial(_copy, entries=[entry for entry, _ in group]))
            except Exception as error:  # whatever it was, everyone who waits must hear of it
                _fail(group, error)
                _fail(self._take_all(), error)
            else:
                _count(group, time.perf_counter() - began)
                for _, done in group:
                    if not done.done():  # the client may have gone
                        done.set_result(None)
            if not self._waiting:
                self._work.clear()
                self._idle.set()

    async def drain(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        await self._idle.wait()

    def _take(self) -> list[tuple[Entry, asyncio.Future[None]]]:
        group: list[tuple[Entry, asyncio.Future[None]]] = []
        size = 0
        while self._waiting and len(group) < GROUP_ROWS and size < GROUP_BYTES:
            entry, done = self._waiting.popleft()
            size += len(entry.payload)
            group.append((entry, done))
        self._waiting_bytes -= size
        return group

    def _take_all(self) -> list[tuple[Entry, asyncio.Future[None]]]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return taken


def _count(group: list[tuple[Entry, asyncio.Future[None]]], took: float) -> None:
    REQUESTS.inc(len(group))
    EVENTS.inc(sum(entry.events for entry, _ in group))
    ROWS.observe(len(group))
    SECONDS.observe(took)


def _fail(group: list[tuple[Entry, asyncio.Future[None]]], error: Exception) -> None:
    for _, done in group:
        if not done.done():
            done.set_exception(Away() if isinstance(error, Away) else error)  # one for each: a shared one would keep all their frames


async def _copy(connection: Connection, *, entries: list[Entry]) -> None:
    parts = [HEADER]
    for organisation, shard, received_us, events, imported, payload in entries:
        parts.append(_row(6, 8, organisation, 2, shard, 8, received_us - POSTGRES_EPOCH_US, 4, events, 1, imported, len(payload)))
        parts.append(payload)
    parts.append(TRAILER)
    async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        await copy.write(b"".join(parts))
        faults.point("door.before_commit")
    faults.point("door.after_commit")
