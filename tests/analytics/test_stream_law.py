"""The law on the real database: however the events come, and whoever works on them, the stays are those of the definitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.stream import claim, links, loop
from analytics.stream.atlas import Atlas
from analytics.stream.work import work
from engagement import partitions
from engagement.models import IdentityClaim, Inbox
from tests import golden
from tests.analytics import stage
from tests.analytics.stage import Request, requests_of
from tests.reference import Event, distinct, occurred_at
from tests.worlds import World, search, worlds

pytestmark = pytest.mark.django_db(transaction=True)

Connection = psycopg.Connection[tuple[Any, ...]]
ALL: Final = claim.all_shards()
# Which shards somebody works on at once: all, or some, so that rows lie waiting in the others.
PARTS: Final = (ALL, ALL, ALL[::2], ALL[1::2], ALL[:20], ALL[40:])
TODAY: Final = date(2026, 3, 2)


@dataclass(frozen=True)
class Deliver:
    request: Request


@dataclass(frozen=True)
class Work:
    worker: int
    shards: tuple[int, ...]


@dataclass(frozen=True)
class Settle:
    worker: int


Script = list[Deliver | Work | Settle]


@pytest.fixture
def crew(transactional_db: None) -> Iterator[list[Connection]]:
    """Three workers' connections, and daily partitions for some of the days that the worlds use."""
    sessions = [loop.open_session() for _ in range(3)]
    partitions.ensure(sessions[0], first=TODAY, last=TODAY)
    yield sessions
    for session in sessions:
        session.close()


@st.composite
def scripts(draw: st.DrawFn, world: World) -> Script:
    """Requests in any order, batched anyhow, some sent again; and between them somebody works, or settles whose a device is."""
    events = distinct(world.events)
    order = draw(st.sampled_from(("as they happen", "any")))
    events = sorted(events, key=lambda e: (occurred_at(e), e.arrival)) if order == "as they happen" else draw(st.permutations(events))
    requests = requests_of(events, most=draw(st.integers(1, 5)))
    for again in draw(st.lists(st.sampled_from(requests), max_size=3)):
        requests.insert(draw(st.integers(0, len(requests))), again)
    script: Script = []
    acts = st.one_of(st.builds(Work, st.integers(0, 2), st.sampled_from(PARTS).map(tuple)), st.builds(Settle, st.integers(0, 2)))
    for request in requests:
        script.append(Deliver(request))
        script += draw(st.lists(acts, max_size=2))
    return script


class Theatre:
    """Workers without threads: each does what it is told, one after another."""

    def __init__(self, world: World, crew: list[Connection]) -> None:
        self.world = world
        self.stage = stage.build(world.places)
        self.crew = [(session, Atlas()) for session in crew]

    def play(self, script: Script) -> None:
        for act in script:
            match act:
                case Deliver(request):
                    self.stage.accept(request)
                case Work(worker, shards):
                    work(*self.crew[worker], list(shards))
                case Settle(worker):
                    links.settle(*self.crew[worker])

    def drain(self) -> None:
        """Until nothing is left to do."""
        for _ in range(100):
            taken = work(*self.crew[0], ALL)
            if not taken and not links.settle(*self.crew[0]):
                break
        assert not Inbox.objects.exists()
        assert not IdentityClaim.objects.exists()

    def lies(self) -> list[Event]:
        """Repeats with another content than what came first."""
        first = set(distinct(self.world.events))
        return [event for event in self.world.events if event not in first]


@search(80)
@given(data=st.data(), world=worlds(most_events=12))
def test_any_delivery_and_any_workers_make_the_stays_of_the_definitions(crew: list[Connection], data: st.DataObject, world: World) -> None:
    theatre = Theatre(world, crew)
    script = data.draw(scripts(theatre.world), label="script")
    theatre.play(script)
    theatre.drain()
    assert theatre.stage.stays() == theatre.world.stays()
    for request in requests_of(theatre.lies()):
        theatre.stage.accept(request)
    theatre.drain()
    assert theatre.stage.stays() == theatre.world.stays()


def test_the_stream_says_what_was_worked_out_by_hand(crew: list[Connection]) -> None:
    """Each event by itself, in the order of the table, and everything it leads to before the next."""
    for case in golden.cases():
        theatre = Theatre(World(case.places, case.events), crew)
        for event in case.events:
            theatre.stage.accept(Request((event,)))
            theatre.drain()
        assert tuple(theatre.stage.stays()) == case.stays, case.name
