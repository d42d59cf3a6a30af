"""The device door as an ASGI application: authenticate, pressure, body, decode, commit, answer.

Nothing here may end in a 500, and nothing may be acknowledged that is not on disk.
"""

import asyncio
import contextlib
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.utils.log import configure_logging

from engagement import faults, inbox, logs, metrics
from engagement.door import answers, body, commit, keys, pressure, room, vitals
from engagement.door.answers import Answer, Problem
from engagement.door.body import Message, Receive
from engagement.door.link import Away, Link
from engagement.protocols import atrium
from engagement.protocols.refusals import Unreadable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")

EVENTS: Final = "/v1/events"
TOKEN_BYTES: Final = 256
DRAIN_S: Final = 15.0
START_S: Final = 2.0

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
logger = logging.getLogger("atrium.door")

PROCESS: Final = "web"
REQUEST_ID: Final = b"x-request-id"
REFUSED: Final = metrics.counters("atrium_refused_requests_total", "Requests that the door refused as a whole, by code", "code")
REJECTED: Final = metrics.counters("atrium_rejected_events_total", "Events that the door rejected beside accepted ones, by reason", "reason")


class Door:
    """Serves once its lifespan has started: the connections belong to the server's event loop."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            received = _headers(scope)
            number = logs.begin_request(received.get(REQUEST_ID, b"").decode("latin-1"))
            status, headers, content = await self._answer(scope, received, receive)
            await send({"type": "http.response.start", "status": status, "headers": [*headers, (REQUEST_ID, number.encode())]})
            await send({"type": "http.response.body", "body": content})
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def start(self) -> None:
        metrics.begin(PROCESS, folder=settings.METRICS_FOLDER)
        self._writer = Link(name="atrium-door", deadline_s=commit.DEADLINE_S, options=commit.OPTIONS, announce=True, writes=True)
        self._reader = Link(name="atrium-door-keys", deadline_s=keys.DEADLINE_S, options=keys.OPTIONS)
        self._counter = Link(name="atrium-door-pressure", deadline_s=pressure.DEADLINE_S, options=pressure.OPTIONS)
        self._teller = Link(name="atrium-door-vitals", deadline_s=vitals.DEADLINE_S, options=vitals.OPTIONS)
        self._committer = commit.Committer(self._writer)
        self._keys = keys.Keys(self._reader)
        self._pressure = pressure.Pressure(self._counter, everyone=everyone_limits(), organisation=organisation_limits())
        self._room = room.Room(self._counter)
        self._vitals = vitals.Vitals(self._teller)
        self._tasks = [
            _begin(work)
            for work in (
                self._writer.keep(),
                self._reader.keep(),
                self._counter.keep(),
                self._teller.keep(),
                self._committer.run(),
                self._keys.run(),
                self._pressure.run(),
                self._room.run(),
                self._vitals.run(),
            )
        ]
        # Whoever is waiting for this process to serve should not meet a door without its database; but a database that is away is no reason to wait.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await asyncio.gather(self._writer.ready.wait(), self._reader.ready.wait())

    async def stop(self) -> None:
        """What was received is committed first."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._committer.drain()
        except TimeoutError:
            logger.warning("Some requests could not be committed before the end. They got no answer and will be sent again.")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in (self._writer, self._reader, self._counter, self._teller):
            await link.close()
        metrics.tell_now()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if not apps.ready:  # without Django beside it, nobody has done this yet
            configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        try:
            if scope["path"] == EVENTS:
                return await self._events(scope, headers, receive)
            if scope["path"] == "/healthz/live":
                return answers.health(ready=True)
            if scope["path"] == "/healthz/ready":
                return answers.health(ready=self._writer.up and self._reader.up)
            raise Problem("not_found")
        except Problem as problem:
            return _refused(problem)
        except Unreadable as fault:
            return _refused(Problem(fault.code, str(fault)))
        except Away:
            return _refused(Problem("unavailable"))
        except Exception as error:  # never a 500, and never the content of a request in the log
            where = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("A request failed with %s in %s, line %s.", type(error).__name__, where.name, where.lineno)
            return _refused(Problem("unavailable", f"Send it again. If it stays so, say this number to whoever runs Atrium: {logs.request_id.get()}."))

    async def _events(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        received_us = time.time_ns() // 1000
        if scope["method"] != "POST":
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                return answers.preflight()
            raise Problem("method_not_allowed")
        key = await self._authenticate(headers)
        self._check(key.organisation)
        if not self._writer.up:
            raise Away
        content = await body.read(receive, packed=body.check(headers))
        batch = atrium.read(content, received_us=received_us, imported=key.kind == "import")
        faults.point("door.decoded")
        await self._commit(key, received_us, batch)
        for refusal in batch.refusals:
            REJECTED.of(refusal.reason.value).inc()
        return answers.accepted(batch)

    def _check(self, organisation: int) -> None:
        """Whether anything is taken at all, and of this organisation; asked before a body is read."""
        try:
            self._room.check()
            self._pressure.check(organisation)
        except (room.NoRoom, pressure.Full) as full:
            code = "disk_nearly_full" if isinstance(full, room.NoRoom) else "organisation_inbox_full" if full.organisation_only else "inbox_full"
            self._vitals.refused(organisation, code)
            raise Problem(code) from full

    async def _authenticate(self, headers: dict[bytes, bytes]) -> keys.Key:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise Problem("no_key", "Send the key in the header Authorization: Bearer <key>.")
        key = await self._keys.find(token.strip()) if len(token) <= TOKEN_BYTES else None
        if key is None:
            raise Problem("unknown_key")
        if key.kind not in {"publishable", "import"}:
            raise Problem("wrong_kind_of_key", "Use a publishable key, or an import key for history.")
        return key

    async def _commit(self, key: keys.Key, received_us: int, batch: atrium.Batch) -> None:
        row = batch.row
        shard = inbox.shard_of(key.organisation, "d", row.device) if row.shopper is None else inbox.shard_of(key.organisation, "s", row.shopper)
        payload = inbox.pack(row)
        await self._committer.commit(commit.Entry(key.organisation, shard, received_us, batch.accepted, key.kind == "import", payload))
        self._pressure.accepted(key.organisation, events=batch.accepted, size=len(payload))


def everyone_limits() -> pressure.Limits:
    return pressure.Limits(settings.INBOX_EVENTS, settings.INBOX_BYTES, settings.INBOX_AGE_S)


def organisation_limits() -> pressure.Limits:
    return pressure.Limits(settings.ORGANISATION_INBOX_EVENTS, settings.ORGANISATION_INBOX_BYTES, settings.ORGANISATION_INBOX_AGE_S)


def _refused(problem: Problem) -> Answer:
    """Counted. No line in the log, here as for what is accepted: at thousands a second writing them would cost more than taking the requests."""
    REFUSED.of(problem.code).inc()
    return answers.problem(problem)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """A header that comes twice is joined, as HTTP says, and then fits no rule of the door."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    """None of these ends by itself. Without one of them the door would take requests and never answer: better to be started again."""
    if not task.cancelled():
        logger.critical("A part of the door ended with %s. The process ends.", type(task.exception()).__name__)
        os._exit(1)


# The door alone, as a service of its own: granian --interface asgi engagement.door.app:application
application = Door()
