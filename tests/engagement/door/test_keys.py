"""Keys: how long one is remembered, and that junk neither fills the memory nor wears the database out."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.utils import timezone

from engagement.door import keys as module
from engagement.door import link
from engagement.door.keys import CACHED, FRESH_S, OPTIONS, STALE_S, Key, Keys
from engagement.door.link import Away, Link
from engagement.models import ApiKey, Organisation
from tests.engagement.door.bodies import request
from tests.servers import Server


class FakeLink:
    """A database that knows one token, until it is told otherwise."""

    def __init__(self) -> None:
        self.up = True
        self.known = {hashlib.sha256(b"token").digest(): (1, "publishable")}
        self.queries: list[list[bytes]] = []

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        if not self.up:
            raise Away
        return await work(self)

    async def execute(self, _: str, parameters: tuple[list[bytes]], *, prepare: bool) -> "FakeLink":
        self.queries.append(parameters[0])
        await asyncio.sleep(0)
        return self

    async def fetchall(self) -> list[tuple[bytes, int, str]]:
        return [(digest, *self.known[digest]) for digest in self.queries[-1] if digest in self.known]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def played(play: Callable[[Keys, FakeLink], Awaitable[None]]) -> None:
    async def whole() -> None:
        link: Any = FakeLink()
        keys = Keys(link)
        work = asyncio.create_task(keys.run())
        await play(keys, link)
        work.cancel()

    asyncio.run(whole())


def test_a_key_is_asked_for_once_and_again_after_half_a_minute(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        assert await keys.find(b"token") == Key(1, "publishable")
        link.known.clear()  # revoked
        clock[0] += FRESH_S - 1
        assert await keys.find(b"token") == Key(1, "publishable")
        assert len(link.queries) == 1
        clock[0] += 1
        assert await keys.find(b"token") is None

    played(play)


def test_a_known_key_opens_for_a_minute_while_the_database_is_away(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        await keys.find(b"token")
        link.up = False
        clock[0] += STALE_S - 1
        assert await keys.find(b"token") == Key(1, "publishable")
        for token in (b"token", b"other"):
            clock[0] += 1
            with pytest.raises(Away):
                await keys.find(token)

    played(play)


def test_a_new_key_is_found_half_a_minute_after_it_was_first_tried_too_early(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        assert await keys.find(b"young") is None
        link.known[hashlib.sha256(b"young").digest()] = (2, "import")
        clock[0] += FRESH_S
        assert await keys.find(b"young") == Key(2, "import")

    played(play)


def test_all_who_wait_are_answered_with_one_query(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        found = await asyncio.gather(*[keys.find(b"token" if n % 2 else b"junk%d" % (n % 20)) for n in range(200)])
        assert found.count(Key(1, "publishable")) == 100
        assert [len(query) for query in link.queries] == [11]

    played(play)


def test_one_who_stops_waiting_takes_nothing_from_the_others(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        first, second = asyncio.create_task(keys.find(b"token")), asyncio.create_task(keys.find(b"token"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == Key(1, "publishable")

    played(play)


def test_junk_does_not_fill_the_memory(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        for start in range(0, CACHED + 1000, 500):
            await asyncio.gather(*[keys.find(b"junk%d" % n) for n in range(start, start + 500)])
        assert len(keys._cache) == CACHED

    played(play)


def test_a_flood_of_junk_is_told_to_wait(clock: list[float]) -> None:
    async def play(keys: Keys, link: FakeLink) -> None:
        found = await asyncio.gather(*[keys.find(b"junk%d" % n) for n in range(module.LOOKUPS + 10)], return_exceptions=True)
        assert sum(isinstance(one, Away) for one in found) == 10

    played(play)


def test_a_key_is_remembered_and_a_revoked_one_never_opens_a_new_door(door: Server, acme: Organisation, acme_keys: dict[str, str]) -> None:
    ApiKey.objects.filter(organisation=acme, kind="import").update(revoked_at=timezone.now())
    assert door.post(acme_keys["import"], request()).json["code"] == "unknown_key"
    assert door.post(acme_keys["publishable"], request()).status == 202
    ApiKey.objects.filter(organisation=acme).update(revoked_at=timezone.now())
    assert door.post(acme_keys["publishable"], request()).status == 202  # for at most FRESH_S
    assert FRESH_S < 60


@pytest.mark.usefixtures("transactional_db")
def test_a_connection_that_only_reads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two of them keys could not be looked up, and their requests would be refused."""
    monkeypatch.setattr(link, "PING_S", 0.01)
    reader = Link(name="atrium-test", deadline_s=4, options=OPTIONS)
    pinged = 0
    ping = reader._ping

    async def counted() -> None:
        nonlocal pinged
        await ping()
        pinged += 1

    async def whole() -> list[object]:
        keeping = asyncio.create_task(reader.keep())
        await reader.ready.wait()
        seen: list[object] = []
        while pinged < 5:
            seen.append(reader._connection)
            await asyncio.sleep(0)
        keeping.cancel()
        await reader.close()
        return seen

    monkeypatch.setattr(reader, "_ping", counted)
    assert len(set(map(id, asyncio.run(whole())))) == 1
