"""Back-pressure: the limits, and that a noisy organisation does not cost a quiet one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from engagement import heartbeats
from engagement.door import vitals
from engagement.door.link import Away
from engagement.door.pressure import Depth, Full, Limits, Pressure
from engagement.models import Heartbeat, Inbox, Organisation, Refusal
from tests.engagement.door.bodies import request, rows, sighting
from tests.servers import running_door, until

EVERYONE: Final = Limits(events=2000, bytes=100_000, age_s=900)
ORGANISATION: Final = Limits(events=1000, bytes=50_000, age_s=450)
NOW: Final = 1_800_000_000.0


class FakeLink:
    """Counts what it is told. `during` happens while it counts."""

    def __init__(self, counted: dict[int, Depth], during: Callable[[], None] = lambda: None) -> None:
        self.counted, self.during = counted, during

    async def run(self, _: Callable[[Any], Awaitable[Any]]) -> dict[int, Depth]:
        self.during()
        return self.counted


def pressure(counted: dict[int, Depth] | None = None, during: Callable[[Pressure], None] = lambda _: None) -> Pressure:
    """Back-pressure that has counted once."""

    async def count() -> Pressure:
        link: Any = FakeLink(counted or {})
        made = Pressure(link, everyone=EVERYONE, organisation=ORGANISATION)
        link.during = lambda: during(made)
        work = asyncio.create_task(made.run())
        await asyncio.sleep(0.001)
        work.cancel()
        return made

    return asyncio.run(count())


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engagement.door.pressure.time.time", lambda: NOW)


def refused(made: Pressure, organisation: int) -> str:
    try:
        made.check(organisation)
    except Full as full:
        return "own" if full.organisation_only else "all"
    return ""


@pytest.mark.parametrize(("waiting", "noisy", "quiet"), [
    (Depth(999, 49_999, NOW), "", ""),
    (Depth(1000, 1, NOW), "own", ""),
    (Depth(1, 50_000, NOW), "own", ""),
    (Depth(2000, 1, NOW), "all", "all"),
    (Depth(1, 100_000, NOW), "all", "all"),
    (Depth(10, 1, NOW - 451), "own", ""),
    (Depth(20, 1, NOW - 901), "all", "all"),
    (Depth(9, 1, NOW - 10_000), "", ""),  # old, but too little to matter
])  # fmt: skip
def test_each_limit_stops_whom_it_should(waiting: Depth, noisy: str, quiet: str) -> None:
    made = pressure({1: waiting})
    assert (refused(made, 1), refused(made, 2)) == (noisy, quiet)


def test_many_that_are_each_within_their_limit_fill_the_inbox_together() -> None:
    assert refused(pressure({organisation: Depth(500, 1, NOW) for organisation in range(4)}), 9) == "all"


def test_what_was_accepted_since_the_last_count_counts() -> None:
    made = pressure({1: Depth(990, 1, NOW)})
    made.accepted(1, events=9, size=10)
    assert refused(made, 1) == ""
    made.accepted(1, events=0, size=10)  # only refusals inside: still a row to work on
    assert (refused(made, 1), refused(made, 2)) == ("own", "")


def test_what_is_accepted_while_it_counts_is_not_forgotten() -> None:
    made = pressure({1: Depth(500, 1, NOW)}, during=lambda made: made.accepted(1, events=500, size=10))
    assert refused(made, 1) == "own"


def test_a_new_count_forgets_what_came_before_it() -> None:
    made = Pressure(FakeLink({}), everyone=EVERYONE, organisation=ORGANISATION)
    made.accepted(1, events=1500, size=10)
    assert refused(made, 1) == "own"
    made._take({}, dict(made._since))
    assert refused(made, 1) == ""


@pytest.mark.usefixtures("transactional_db")
def test_a_noisy_organisation_is_told_to_wait_and_a_quiet_one_is_served(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, rival: Organisation, acme_keys: dict[str, str], rival_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "log", ATRIUM_INBOX_EVENTS="100", ATRIUM_ORGANISATION_INBOX_EVENTS="50") as door:
        batch = request(*[sighting() for _ in range(25)])
        assert [door.post(acme_keys["publishable"], batch).status for _ in range(2)] == [202, 202]
        answer = door.post(acme_keys["publishable"], b"x" * 300_000)  # refused before it is read, or it would be 413
        assert (answer.status, answer.json["code"], int(answer.headers["retry-after"]) > 0) == (429, "organisation_inbox_full", True)
        assert [door.post(rival_keys["publishable"], batch).status for _ in range(2)] == [202, 202]
        answer = door.post(rival_keys["publishable"], batch)
        assert (answer.status, answer.json["code"], int(answer.headers["retry-after"]) > 0) == (503, "inbox_full", True)
        assert (len(rows(acme)), len(rows(rival))) == (2, 2)
        told = {(acme.pk, "organisation_inbox_full", 1), (rival.pk, "inbox_full", 1)}
        until(lambda: set(Refusal.objects.values_list("organisation", "reason", "requests")) == told)  # within seconds, for those who run it
        assert Heartbeat.objects.get().process == f"web@{heartbeats.HOST}"
        Inbox.objects.all().delete()  # the stream has caught up
        until(lambda: door.post(acme_keys["publishable"], batch).status == 202)


def test_what_was_refused_while_the_database_was_away_is_told_later_and_added_up() -> None:
    told: list[list[Any]] = []

    class AwayAtFirst:
        ready = asyncio.Event()
        tries = 0

        async def run(self, work: Callable[[Any], Awaitable[Any]]) -> None:
            self.tries += 1
            if self.tries < 3:
                vital.refused(1, "inbox_full")
                raise Away
            await work(self)

        async def execute(self, statement: str, values: list[Any]) -> None:
            if statement == vitals.ADD:
                told.append([values[0], *values[2:]])
                raise asyncio.CancelledError

    async def beat() -> None:
        link.ready.set()
        with pytest.raises(asyncio.CancelledError):
            await vital.run()

    link: Any = AwayAtFirst()
    vital = vitals.Vitals(link)
    vital.refused(1, "inbox_full")
    vital.refused(2, "organisation_inbox_full")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vitals, "TELL_S", 0.0)
        patched.setattr(vitals.time, "time", lambda: NOW)
        asyncio.run(beat())
    assert told == [[[1, 2], ["inbox_full", "organisation_inbox_full"], [3, 1]]]


@pytest.mark.usefixtures("transactional_db")
def test_what_waited_before_the_door_was_started_counts(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "first") as door:
        assert door.post(acme_keys["publishable"], request(*[sighting() for _ in range(60)])).status == 202
    with running_door(door_environment, tmp_path / "second", ATRIUM_ORGANISATION_INBOX_EVENTS="50") as door:
        until(lambda: door.post(acme_keys["publishable"], request()).status == 429)
