"""A database connection that heals itself.

The door answers at once when the database is away, and is back within a second of its return: so nothing here waits for
a connection. One task keeps it; `run` uses it or raises Away.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg

from engagement.database import conninfo

CONNECT_S: Final = 3
RETRY_S: Final = 0.5
PING_S: Final = 1.0  # an idle connection that died is found before the next request meets it

logger = logging.getLogger("atrium.door")
T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Away(Exception):
    """The database cannot be reached, refused, or did not answer in time. Whether the work was committed is unknown."""


class Link:
    """`deadline_s` is how long the database may be silent during one piece of work. `announce`: this link logs for all.

    One that `writes` gives up a server that only reads, as the old one does after a failover; for the others it is as good.
    """

    def __init__(self, *, name: str, deadline_s: float, options: str, announce: bool = False, writes: bool = False) -> None:
        # Keep-alives and a user timeout find a peer that vanished without a word; the deadline finds one that only stalls.
        wanted = {"target_session_attrs": "read-write"} if writes else {}
        self._wanted = {
            "application_name": name, "options": options, "connect_timeout": CONNECT_S, "keepalives_idle": 5, "tcp_user_timeout": 5000, **wanted,
        }  # fmt: skip
        self._writes = writes
        self._deadline_s = deadline_s
        self._announce = announce
        self._connection: Connection | None = None
        self.ready = asyncio.Event()  # was connected at least once
        self._lost = asyncio.Event()
        self._told = False

    @property
    def up(self) -> bool:
        return self._connection is not None

    async def keep(self) -> None:
        """Connects, watches, connects again, until cancelled."""
        while True:
            self._connection = await self._connect()
            if self._connection is None:
                await asyncio.sleep(RETRY_S)
                continue
            self.ready.set()
            self._tell(away=False)
            self._lost.clear()
            while not self._lost.is_set():
                try:
                    await asyncio.wait_for(self._lost.wait(), PING_S)
                except TimeoutError:
                    await self._ping()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The result of `work`. Any failure of the database raises Away and gives the connection up: a new one is soon there."""
        connection = self._connection
        if connection is None:
            raise Away
        watchdog = asyncio.get_running_loop().call_later(self._deadline_s, _sever, connection)
        try:
            return await work(connection)
        except (psycopg.Error, OSError) as error:
            await self._drop(connection, error)
            raise Away from error
        finally:
            watchdog.cancel()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> Connection | None:
        try:
            async with asyncio.timeout(CONNECT_S + 1):
                # Made anew each time, since the password may be a token; beside the loop, since for that the machine's role may be asked.
                return await psycopg.AsyncConnection.connect(await asyncio.to_thread(conninfo, **self._wanted), autocommit=True)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._tell(away=True, error=error)
            return None

    async def _ping(self) -> None:
        async def ask(connection: Connection) -> None:
            cursor = await connection.execute("SHOW transaction_read_only")
            if await cursor.fetchone() == ("on",) and self._writes:
                raise psycopg.errors.ReadOnlySqlTransaction

        try:
            await self.run(ask)
        except Away:
            return  # run has given the connection up, and keep goes on from there

    async def _drop(self, connection: Connection, error: Exception) -> None:
        if self._connection is not connection:
            return  # another user of the connection was first
        self._connection = None
        self._tell(away=True, error=error)
        self._lost.set()
        await connection.close()

    def _tell(self, *, away: bool, error: Exception | None = None) -> None:
        if not self._announce or away == self._told:
            return
        self._told = away
        if away:
            # The type only: the message may quote addresses and statements.
            logger.warning("The database is away (%s). Requests are answered with 503 until it is back.", type(error).__name__)
        else:
            logger.info("The database is back.")


def _sever(connection: Connection) -> None:
    """Ends the conversation from our side, so that whoever waits for an answer gets an error now."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as handle:
        handle.shutdown(socket.SHUT_RDWR)
