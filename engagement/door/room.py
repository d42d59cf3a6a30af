"""Room on the database's disk: requests are refused while there is too little, so that the disk is never full. What was taken in is worked in meanwhile."""

import asyncio
import logging
from typing import Final

from django.conf import settings

from engagement import disk
from engagement.door.link import Away, Connection, Link

POLL_S: Final = 1.0  # a volume of this machine answers in microseconds
ASK_S: Final = 10.0  # a database looks at each of its files
ENOUGH: Final = 1.1  # times the reserve: then requests are taken again

logger = logging.getLogger("atrium.door")


class NoRoom(Exception):
    """The disk of the database is nearly full."""


class Room:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._full = False

    def check(self) -> None:
        """Raises NoRoom where nothing more is taken."""
        if self._full:
            raise NoRoom

    async def run(self) -> None:
        """Looks, again and again, until cancelled. While it cannot, what was seen last stands."""
        path = disk.folder()
        while True:
            if path is not None:
                self._take(await asyncio.to_thread(disk.measured, path))
                await asyncio.sleep(POLL_S)
            elif settings.DISK_BYTES:
                try:
                    self._take(await self._link.run(_ask))
                    await asyncio.sleep(ASK_S)
                except Away:
                    await asyncio.sleep(POLL_S)
            else:
                await asyncio.sleep(3600)  # nobody knows

    def _take(self, seen: disk.Disk | None) -> None:
        if seen is None:
            return
        full = seen.free_bytes < seen.reserve * (ENOUGH if self._full else 1)
        if full != self._full:
            self._full = full
            left, reserve = seen.free_bytes // 1024**2, seen.reserve // 1024**2
            if full:
                logger.error("The database's disk has %s MB left. Requests are answered with 503 until it has more than %s MB.", left, reserve)
            else:
                logger.info("The database's disk has %s MB left, which is enough. Requests are taken again.", left)


async def _ask(connection: Connection) -> disk.Disk | None:
    cursor = await connection.execute(disk.SIZES)
    row = await cursor.fetchone()
    return disk.told(row[0]) if row else None
