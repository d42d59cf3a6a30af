"""Events to observations: thousands at a time say what each says alone, and the ground is measured truly."""

import random
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given

from analytics import places as product
from tests.golden import ORGANISATION, position, rectangle
from tests.reference import Enter, Event, Exit, Fix, Payload, Places, Sighting, Strength, Version, cut_by, metres_a_degree, observe, occurred_at
from tests.translate import number_zones, product_events, product_places
from tests.worlds import World, search, worlds


def event(payload: Payload, at: int = 0, number: int = 0) -> Event:
    return Event(ORGANISATION, "phone", UUID(int=number), payload, at, at)


def seen_by_product(events: list[Event], places: Places) -> list[tuple[dict[str, Strength], set[str]]]:
    """Of each event what it observed and what it cut, in the terms of the reference."""
    zones = {number: key for key, number in number_zones(places).items()}
    told: list[tuple[dict[str, Strength], set[str]]] = [({}, set()) for _ in events]
    seen = product_places(places).observe(product_events(events))
    for number, zone, opening in zip(seen.event.tolist(), seen.zone.tolist(), seen.opening.tolist(), strict=True):
        assert zones[zone] not in told[number][0], "an event observes a zone once"
        told[number][0][zones[zone]] = Strength.OPENING if opening else Strength.HOLDING
    for number, zone in zip(seen.exit_event.tolist(), seen.exit_zone.tolist(), strict=True):
        told[number][1].add(zones[zone])
    return told


@search(150)
@given(worlds())
def test_every_event_observes_what_the_definitions_say(world: World) -> None:
    told = [(observe(event, world.places), cut_by(event, world.places)) for event in world.events]
    assert seen_by_product(list(world.events), world.places) == told


@search(60)
@given(worlds())
def test_what_names_an_unknown_place_is_unmatched(world: World) -> None:
    unmatched = product_places(world.places).observe(product_events(list(world.events))).unmatched.tolist()
    for event, lost in zip(world.events, unmatched, strict=True):
        at = occurred_at(event)
        match event.payload:
            case Enter(zone) | Exit(zone):
                assert lost == (zone not in world.places.zones)
            case Sighting(beacon):
                assert lost == (not world.places.zones_with_beacon(beacon, at))
            case _:
                assert not lost


def test_ten_thousand_fixes_say_what_each_says_alone() -> None:
    chance = random.Random(7)
    tiles = {f"tile {x} {y}": (Version("mall", 60, 30, 50, boundary=rectangle(x, y, x + 30, y + 30)),) for x in range(0, 400, 40) for y in range(0, 200, 40)}
    mall = Places({"mall": (Version(None, 900, 300, 100, boundary=rectangle(0, 0, 400, 200)),), **tiles})
    fixes = []
    for number in range(10_000):
        lon, lat = position(chance.uniform(-50, 450), chance.uniform(-50, 250))
        fixes.append(event(Fix(lat, lon, chance.choice((3.0, 20.0, 60.0, 120.0))), number=number))
    together = seen_by_product(fixes, mall)
    assert sum(len(observed) for observed, _ in together) > 10_000
    for number in chance.sample(range(10_000), 300):
        assert together[number] == seen_by_product([fixes[number]], mall)[0]


def test_no_events_and_no_places_are_no_trouble() -> None:
    nowhere = Places({})
    assert seen_by_product([], nowhere) == []
    assert seen_by_product([event(Fix(60, 10, 5)), event(Enter("shop")), event(Sighting("b1", -50))], nowhere) == [({}, set())] * 3


@pytest.mark.parametrize(
    ("lat", "east", "north"),
    # Lengths of a degree as geodesy's tables give them (WGS 84).
    [(0, 111_320, 110_574), (30, 96_486, 110_852), (45, 78_847, 111_132), (60, 55_800, 111_412), (75, 28_902, 111_618)],
)
def test_a_degree_is_as_long_as_the_tables_say(lat: float, east: float, north: float) -> None:
    assert metres_a_degree(lat) == pytest.approx((east, north), abs=1)


@pytest.mark.parametrize("lat", [-75, -26.1076, 0, 35.66, 60, 75])
@pytest.mark.parametrize("metres", [1, 20, 99])
def test_a_fix_holds_up_to_its_accuracy_on_every_latitude(lat: float, metres: float) -> None:
    """Beside a zone of a hundred metres, east and north of it, a centimetre to either side of the limit."""
    east, north = metres_a_degree(lat)
    box = [[0, lat], [100 / east, lat], [100 / east, lat + 100 / north], [0, lat + 100 / north], [0, lat]]
    hall = Places({"hall": (Version(None, 60, 30, 1000, boundary={"type": "Polygon", "coordinates": [box]}),)})
    for lon, high in ((100 / east + metres / east, lat + 50 / north), (50 / east, lat + (100 + metres) / north)):
        near, off = event(Fix(high, lon, metres * 1.001 + 0.01)), event(Fix(high, lon, metres * 0.999 - 0.01), number=1)
        assert seen_by_product([near, off], hall) == [({"hall": Strength.HOLDING}, set()), ({}, set())]


def test_a_hole_is_outside_and_its_edge_inside() -> None:
    ring, hole = (rectangle(*corners)["coordinates"][0] for corners in ((0, 0, 300, 150), (100, 50, 200, 100)))
    hall = Places({"hall": (Version(None, 60, 30, 50, boundary={"type": "Polygon", "coordinates": [ring, hole]}),)})
    spots = [position(150, 75), position(100, 75), position(50, 75), position(105, 75)]
    told = seen_by_product([event(Fix(lat, lon, 4), number=number) for number, (lon, lat) in enumerate(spots)], hall)
    assert [observed.get("hall") for observed, _ in told] == [None, Strength.OPENING, Strength.OPENING, Strength.HOLDING]


def test_thresholds_are_those_of_each_instant() -> None:
    steps = [-(2**62), 100, 200, 2**62]
    versions = tuple(Version(None, 10 + n, 20 + n, 50, valid_from=since, valid_to=until) for n, (since, until) in enumerate(pairwise(steps)))
    index = product_places(Places({"hall": versions}))
    at = np.array([-5, 99, 100, 199, 200, 10**15])
    zone = np.full(len(at), number_zones(Places({"hall": versions}))["hall"])
    assert (index.grace(zone, at) // product.SECOND).tolist() == [10, 10, 11, 11, 12, 12]
    assert (index.min_stay(zone, at) // product.SECOND).tolist() == [20, 20, 21, 21, 22, 22]
