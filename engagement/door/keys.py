"""Which organisation a token speaks for, from a cache that a revocation overtakes within 30 seconds.

All unknown tokens that wait are looked up with one query, so a flood of junk costs the database little and the known keys nothing.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from functools import partial
from typing import Final, NamedTuple

from engagement.door.link import Away, Connection, Link

FRESH_S: Final = 30.0
STALE_S: Final = 60.0  # while the database is away, a key that was good so recently still is
CACHED: Final = 20_000  # entries; junk pushes out junk and, at worst, a key that is then looked up again
LOOKUPS: Final = 500
OPTIONS: Final = "-c statement_timeout=3000 -c default_transaction_read_only=on"
DEADLINE_S: Final = 4.0

QUERY: Final = "SELECT digest, organisation_id, kind FROM engagement_apikey WHERE digest = ANY(%b) AND revoked_at IS NULL"


class Key(NamedTuple):
    organisation: int
    kind: str


class _Entry(NamedTuple):
    key: Key | None
    known_at: float


class Keys:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._cache: OrderedDict[bytes, _Entry] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[Key | None]] = {}
        self._work = asyncio.Event()

    async def find(self, token: bytes) -> Key | None:
        """The key of this token, or None. Raises Away where it is not known and cannot be asked."""
        digest = hashlib.sha256(token).digest()
        entry = self._cache.get(digest)
        age = time.monotonic() - entry.known_at if entry else STALE_S
        if entry and age < FRESH_S:
            return entry.key
        try:
            return await self._ask(digest)
        except Away:
            if entry and entry.key and age < STALE_S:
                return entry.key
            raise

    async def run(self) -> None:
        """Looks up what is asked, group after group, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            asked, self._asked = self._asked, {}
            try:
                found = await self._link.run(partial(_look_up, digests=list(asked)))
            except Exception as error:  # whatever it was, everyone who waits must hear of it
                for waiting in asked.values():
                    if not waiting.done():
                        waiting.set_exception(error)
                continue
            for digest, waiting in asked.items():
                self._remember(digest, found.get(digest))
                if not waiting.done():
                    waiting.set_result(found.get(digest))

    async def _ask(self, digest: bytes) -> Key | None:
        if not self._link.up:
            raise Away
        waiting = self._asked.get(digest)
        if waiting is None:
            if len(self._asked) >= LOOKUPS:
                raise Away
            waiting = self._asked[digest] = asyncio.get_running_loop().create_future()
            self._work.set()
        return await asyncio.shield(waiting)  # others wait for the same answer

    def _remember(self, digest: bytes, key: Key | None) -> None:
        self._cache[digest] = _Entry(key, time.monotonic())
        self._cache.move_to_end(digest)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)


async def _look_up(connection: Connection, *, digests: list[bytes]) -> dict[bytes, Key]:
    cursor = await connection.execute(QUERY, (digests,), prepare=True)
    return {bytes(digest): Key(organisation, kind) for digest, organisation, kind in await cursor.fetchall()}
