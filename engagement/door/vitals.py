"""What the door tells of itself, every few seconds: that it works, and how many requests it has refused unread.

On a connection of its own: whatever goes wrong here costs no commit. What cannot be told now is told later.
"""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from engagement import heartbeats
from engagement.door.link import Away, Connection, Link

TELL_S: Final = 5.0
PROCESS: Final = "web"
OPTIONS: Final = "-c synchronous_commit=off -c statement_timeout=3000 -c lock_timeout=1000"
DEADLINE_S: Final = 5.0
MOST: Final = 10_000  # lines kept while the database is away: one for each organisation, minute and reason

# Several doors add to the same line, in the order of its key.
ADD: Final = """
    INSERT INTO engagement_refusal (organisation_id, minute, reason, requests) SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[])
    ON CONFLICT (organisation_id, minute, reason) DO UPDATE SET requests = engagement_refusal.requests + excluded.requests
"""


class Vitals:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._refused: Counter[tuple[int, int, str]] = Counter()  # organisation, minute since 1970, code of the answer

    def refused(self, organisation: int, code: str) -> None:
        """A request of the organisation was turned away before it was read."""
        line = (organisation, int(time.time() // 60), code)
        if line in self._refused or len(self._refused) < MOST:
            self._refused[line] += 1

    async def run(self) -> None:
        """Tells, again and again, until cancelled."""
        await self._link.ready.wait()
        while True:
            telling = self._refused
            self._refused = Counter()
            try:
                await self._link.run(lambda connection, lines=telling: _tell(connection, lines))  # type: ignore[misc]
            except Away:  # whether it was committed is unknown; told twice is better than not at all
                self._refused.update(telling)
            await asyncio.sleep(TELL_S)


async def _tell(connection: Connection, refused: Counter[tuple[int, int, str]]) -> None:
    await connection.execute(heartbeats.BEAT, heartbeats.row(PROCESS))
    if refused:
        lines = sorted(refused.items())
        minutes = [datetime.fromtimestamp(minute * 60, UTC) for (_, minute, _), _ in lines]
        await connection.execute(ADD, [[one for (one, _, _), _ in lines], minutes, [code for (_, _, code), _ in lines], [number for _, number in lines]])
