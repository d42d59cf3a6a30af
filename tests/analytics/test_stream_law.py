"""The law on the real database: however the events come, and whoever works on them, the stays are those of the definitions."""

import threading
import time
from dataclasses import replace
from typing import Final

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics.recount import recount
from analytics.stream import claim
from analytics.stream.work import process
from engagement.models import Event as StoredEvent
from tests import golden
from tests.analytics import stage
from tests.analytics.stage import Request, requests_of
from tests.analytics.theatre import ALL, Connection, Deliver, Housekeep, Script, Theatre, Work
from tests.reference import BEGINNING, END, Places, distinct, occurred_at
from tests.worlds import BEACONS, World, search, worlds

pytestmark = pytest.mark.django_db(transaction=True)

# Which shards somebody works on at once: all, or some, so that rows lie waiting in the others.
PARTS: Final = tuple(tuple(part) for part in (ALL, ALL, ALL[::2], ALL[1::2], ALL[:20], ALL[40:]))


@st.composite
def requests(draw: st.DrawFn, world: World) -> list[Request]:
    """Every event once, in any order and batched anyhow, and some requests again. Repeats with another content are not among them."""
    events = distinct(world.events)
    order = draw(st.sampled_from(("as they happen", "any")))
    events = sorted(events, key=lambda e: (occurred_at(e), e.arrival)) if order == "as they happen" else draw(st.permutations(events))
    made = requests_of(events, most=draw(st.integers(1, 5)))
    for again in draw(st.lists(st.sampled_from(made), max_size=3)):
        made.insert(draw(st.integers(0, len(made))), again)
    return made


@st.composite
def scripts(draw: st.DrawFn, world: World) -> Script:
    """The requests, and between them somebody works or keeps house."""
    acts = st.one_of(st.builds(Work, st.integers(0, 2), st.sampled_from(PARTS)), st.builds(Housekeep, st.integers(0, 2)))
    script: Script = []
    for request in draw(requests(world)):
        script += [Deliver(request), *draw(st.lists(acts, max_size=2))]
    return script


@search(50)
@given(data=st.data(), world=worlds(most_events=12))
def test_any_delivery_and_any_workers_make_the_stays_of_the_definitions(
    monkeypatch: pytest.MonkeyPatch, crew: list[Connection], data: st.DataObject, world: World
) -> None:
    theatre = Theatre(world, crew)
    rows = data.draw(st.sampled_from((1, 2, claim.MAX_ROWS)), label="rows taken at once")
    monkeypatch.setattr(claim.take, "__kwdefaults__", {"rows": rows, "events": claim.MAX_EVENTS})
    theatre.play(data.draw(scripts(world), label="script"))
    theatre.drain()
    assert theatre.stage.stays() == world.stays()
    for request in requests_of(theatre.lies()):
        theatre.stage.accept(request)
    theatre.drain()
    theatre.agrees()


@search(15)
@given(data=st.data(), world=worlds(most_events=20))
def test_workers_at_the_same_time_make_the_stays_of_the_definitions(crew: list[Connection], data: st.DataObject, world: World) -> None:
    theatre = Theatre(world, crew)
    theatre.perform(data.draw(requests(world), label="requests"))
    theatre.agrees()


@search(15)
@given(data=st.data(), world=worlds(most_events=14))
def test_workers_who_are_told_contradictions_keep_each_event_once(crew: list[Connection], data: st.DataObject, world: World) -> None:
    """Which of two contradicting repeats comes first is up to chance when two work on them at once. That there is one of it is not."""
    theatre = Theatre(world, crew)
    order = data.draw(st.permutations([*world.events, *theatre.lies()]), label="order")
    theatre.perform(requests_of(order))
    stored = StoredEvent.objects.values_list("device_id", "event_id")
    assert len(stored) == len(set(stored)) == len(distinct(world.events))
    assert recount().examples == []


@st.composite
def earlier(draw: st.DrawFn, places: Places) -> Places:
    """The places as somebody knew them who had not heard of the later versions of some zones, nor of some beacons."""
    unheard = draw(st.sets(st.sampled_from(sorted(places.zones)), min_size=1))
    zones = {zone: (replace(versions[0], valid_to=END),) if zone in unheard else versions for zone, versions in places.zones.items()}
    unseen = draw(st.sets(st.sampled_from(BEACONS), max_size=1))
    return Places(zones, tuple(placement for placement in places.placements if placement.beacon not in unseen))


@search(30)
@given(data=st.data(), world=worlds(most_events=12))
def test_places_that_become_known_later_make_history_again(crew: list[Connection], data: st.DataObject, world: World) -> None:
    before = data.draw(earlier(world.places), label="places before")
    theatre = Theatre(world, crew, places=before)
    script = data.draw(scripts(world), label="script")
    heard = data.draw(st.integers(0, len(script)), label="when the change is heard of")
    theatre.play(script[:heard])
    stage.provision(theatre.stage, world.places, since=first_difference(before, world.places))
    theatre.play(script[heard:])
    theatre.drain()
    theatre.agrees()


def test_a_worker_that_began_before_the_places_changed_leaves_nothing_of_the_old_ones(crew: list[Connection]) -> None:
    """It has read the old places, and commits after the re-cut has looked for whom to make again."""
    case = next(case for case in golden.cases() if case.name.startswith("a sighting without a strength"))
    theatre = Theatre(World(case.places, case.events), crew, places=replace(case.places, placements=()))
    theatre.stage.accept(Request(case.events))
    slow, quick = theatre.crew[0], theatre.crew[1]
    with slow[0].transaction():
        process(*slow, claim.take(slow[0], claim.lock(slow[0], ALL)), set(ALL))
        stage.provision(theatre.stage, case.places, since=None)
        recutting = threading.Thread(target=lambda: [theatre.housekeep(1) for _ in range(3)])
        recutting.start()
        while recutting.is_alive() and not waits(quick[0]):
            time.sleep(0.002)
    recutting.join()
    theatre.drain()
    theatre.agrees()


def waits(session: Connection) -> bool:
    """Is it waiting for somebody's lock?"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", [session.info.backend_pid])
        return bool(cursor.fetchone() == (True,))


def first_difference(before: Places, after: Places) -> int | None:
    """The earliest instant of which the two say different things; None for the beginning of time."""
    told = {(zone, version.valid_from) for zone, versions in before.zones.items() for version in versions}
    added = [version.valid_from for zone, versions in after.zones.items() for version in versions if (zone, version.valid_from) not in told]
    hung = [placement.valid_from for placement in after.placements if placement not in before.placements]
    first = min([*added, *hung], default=END)
    return None if first == BEGINNING else first


def test_the_stream_says_what_was_worked_out_by_hand(crew: list[Connection]) -> None:
    """Each event by itself, in the order of the table, and everything it leads to before the next."""
    for case in golden.cases():
        theatre = Theatre(World(case.places, case.events), crew)
        for event in case.events:
            theatre.stage.accept(Request((event,)))
            theatre.drain()
        assert tuple(theatre.stage.stays()) == case.stays, case.name
