"""Back-pressure: requests are refused before they are read while the stream is too far behind.

Three limits, for all organisations together (503) and for one (429, half of each by default): waiting events, waiting bytes, and the age
of the oldest row. Age alone says little: a few rows that wait for a shard which is being retried are old but harm nobody, and a
stopped stream harms nobody before there is something to harm. So it counts only beyond a hundredth of the event limit.
"""

import asyncio
import time
from collections import defaultdict
from typing import Final, NamedTuple

from engagement.door.link import Away, Connection, Link

POLL_S: Final = 0.5
POLL_SHARE: Final = 10  # a poll that took t seconds is followed by 10 t of rest: counting a long inbox must not slow its emptying
POLL_MAX_S: Final = 30.0
AGE_COUNTS_FROM: Final = 100
OPTIONS: Final = "-c statement_timeout=10000 -c default_transaction_read_only=on"
DEADLINE_S: Final = 11.0

# A row that only reports refusals is one event's worth of work.
QUERY: Final = """
    SELECT organisation_id, sum(greatest(events, 1))::bigint, sum(octet_length(payload))::bigint,
           extract(epoch FROM min(received_at))::float8
    FROM engagement_inbox GROUP BY organisation_id
"""


class Limits(NamedTuple):
    events: int
    bytes: int
    age_s: int


class Full(Exception):
    """The inbox of all, or of this organisation, is over a limit."""

    def __init__(self, *, organisation: int, organisation_only: bool) -> None:
        super().__init__()
        self.organisation = organisation  # whose request it is
        self.organisation_only = organisation_only


class Depth(NamedTuple):
    """What waits: an amount, and when the oldest of it came (seconds since 1970)."""

    events: int = 0
    bytes: int = 0
    oldest: float = float("inf")

    def plus(self, other: "Depth") -> "Depth":
        return Depth(self.events + other.events, self.bytes + other.bytes, min(self.oldest, other.oldest))

    def exceeds(self, limits: Limits, now: float) -> bool:
        if self.events >= limits.events or self.bytes >= limits.bytes:
            return True
        return self.events * AGE_COUNTS_FROM >= limits.events and now - self.oldest > limits.age_s


class Pressure:
    def __init__(self, link: Link, *, everyone: Limits, organisation: Limits) -> None:
        self._link = link
        self._everyone = everyone
        self._organisation = organisation
        self._counted: dict[int, Depth] = {}
        self._since: defaultdict[int, Depth] = defaultdict(Depth)  # accepted here since the last count began
        self._total = Depth()

    def check(self, organisation: int) -> None:
        """Raises Full where nothing more is taken."""
        now = time.time()
        if self._total.exceeds(self._everyone, now):
            raise Full(organisation=organisation, organisation_only=False)
        own = self._counted.get(organisation, Depth()).plus(self._since.get(organisation, Depth()))
        if own.exceeds(self._organisation, now):
            raise Full(organisation=organisation, organisation_only=True)

    def accepted(self, organisation: int, *, events: int, size: int) -> None:
        more = Depth(max(events, 1), size)
        self._since[organisation] = self._since[organisation].plus(more)
        self._total = self._total.plus(more)

    async def run(self) -> None:
        """Counts what waits, again and again, until cancelled. While it cannot, the last count and what came since stand."""
        while True:
            began = time.monotonic()
            before = dict(self._since)
            try:
                counted = await self._link.run(_count)
            except Away:
                await asyncio.sleep(POLL_S)
                continue
            self._take(counted, before)
            await asyncio.sleep(min(max(POLL_S, POLL_SHARE * (time.monotonic() - began)), POLL_MAX_S))

    def _take(self, counted: dict[int, Depth], before: dict[int, Depth]) -> None:
        """The new count, plus what came while it was made: that may be in it already, which errs to the safe side."""
        during: defaultdict[int, Depth] = defaultdict(Depth)
        for organisation, depth in self._since.items():
            seen = before.get(organisation, Depth())
            if depth.events > seen.events:
                during[organisation] = Depth(depth.events - seen.events, depth.bytes - seen.bytes)
        self._counted, self._since = counted, during
        self._total = Depth()
        for depth in (*counted.values(), *during.values()):
            self._total = self._total.plus(depth)


async def _count(connection: Connection) -> dict[int, Depth]:
    cursor = await connection.execute(QUERY, prepare=True)
    return {organisation: Depth(events, size, oldest) for organisation, events, size, oldest in await cursor.fetchall()}
