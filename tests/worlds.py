"""Small worlds that are out to break the law: a tree of zones that changes, and events crowded around every edge of the rules.

The same examples are tried on every run. `LAW_DEPTH=20` tries twenty times as many, other ones each time.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.golden import ORGANISATION, instant, position, rectangle
from tests.reference import SECOND, Custom, Enter, Event, Exit, Fix, Payload, Placement, Places, Sighting, Stay, Version, metres_off, stays

DEPTH: Final = int(os.environ.get("LAW_DEPTH") or 1)
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
TODAY: Final = instant("00:00:00")  # of the table of cases

ZONES: Final = ("root", "a", "b", "c", "d")
BEACONS: Final = ("b1", "b2", "b3")
DEVICES: Final = ("phone", "tablet", "watch", "kiosk")
SHOPPERS: Final = ("ann", "bob", "cid")

# A world knows few durations, so that its graces, its minima and the gaps between its events often meet to the microsecond.
PACES: Final = ((60, 120), (120, 900), (0, 60), (30, 60, 300), (10, 120))
NUDGES: Final = (0, 0, 0, 1, -1)
ACCURACIES: Final = (0.5, 4.0, 20.0, 20.000001, 50.0, 50.000001, 100.0)
STRENGTHS: Final = (None, -69, -70, -71, -84, -85, -86, -94, -95, -96)
BELIEVED: Final = (0, 60 * SECOND, -60 * SECOND, 5 * SECOND)
CORRECTED: Final = (60 * SECOND + 1, -60 * SECOND - 1, HOUR, -2 * DAY)


@dataclass(frozen=True)
class World:
    """Places, and everything that was accepted, in the order of its arrival; repeats too."""

    places: Places
    events: tuple[Event, ...]

    def stays(self) -> list[Stay]:
        """What the definitions say."""
        return stays(self.events, {ORGANISATION: self.places})


def search(examples: int, **more: Any) -> Callable[[Any], Any]:
    """How long a property looks for a counter-example."""
    quick = {"derandomize": True, "phases": (Phase.explicit, Phase.generate, Phase.shrink)} if DEPTH == 1 else {"print_blob": True}
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples * DEPTH, deadline=None, database=None, suppress_health_check=checks, **quick, **more)


def versions(parents: tuple[str, ...], pace: tuple[int, ...]) -> st.SearchStrategy[Version]:
    """Thresholds and a rectangle, or none, on a coarse grid whose points meet borders and corners exactly."""
    corners = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
    squares = corners.map(lambda c: rectangle(c[0] * 20, c[1] * 10, (c[0] + c[2]) * 20, (c[1] + c[3]) * 10))
    return st.builds(
        Version,
        parent=st.sampled_from(parents) if parents else st.none(),
        exit_grace_s=st.sampled_from(pace),
        min_stay_s=st.sampled_from((0, *pace)),
        max_accuracy_m=st.sampled_from((20.0, 50.0, 100.0)),
        enter_rssi=st.sampled_from((-85, -70)),
        hold_rssi=st.sampled_from((-95, -85)),
        boundary=st.one_of(squares, squares, st.none()),
    )


@st.composite
def instants(draw: st.DrawFn, pace: tuple[int, ...]) -> list[int]:
    """Crowded times: each is a step of the pace from some other, or from the latest. Some worlds lie around midnight."""
    made = [draw(st.sampled_from((TODAY + 8 * HOUR, TODAY + DAY - 30 * SECOND, TODAY + DAY)))]
    for _ in range(draw(st.integers(2, 7))):
        origin = draw(st.sampled_from((made[-1], *made)))
        made.append(origin + draw(st.sampled_from((1, 1, *pace, *pace))) * SECOND + draw(st.sampled_from(NUDGES)))
    return made


@st.composite
def places(draw: st.DrawFn, times: list[int], pace: tuple[int, ...], most_changes: int = 3) -> Places:
    """A tree of up to five zones, beacons on some of them, and changes at the very instants at which events happen."""
    names = ZONES[: draw(st.integers(2, len(ZONES)))]
    zones = {zone: [draw(versions(names[:number], pace))] for number, zone in enumerate(names)}
    placements = {beacon: [Placement(beacon, draw(st.sampled_from(names)))] for beacon in BEACONS[: draw(st.integers(1, 3))]}
    for since in sorted(draw(st.sets(st.sampled_from(times), max_size=most_changes))):
        for thing in sorted(draw(st.sets(st.sampled_from((*names, *placements)), max_size=3))):
            if thing in placements:
                moved = Placement(thing, draw(st.sampled_from(names)), valid_from=since)
                placements[thing][-1:] = [replace(placements[thing][-1], valid_to=since), moved]
            else:
                changed = replace(draw(versions(names[: names.index(thing)], pace)), valid_from=since)
                zones[thing][-1:] = [replace(zones[thing][-1], valid_to=since), changed]
    return Places({zone: tuple(made) for zone, made in zones.items()}, tuple(p for made in placements.values() for p in made))


def payloads(zones: tuple[str, ...]) -> st.SearchStrategy[Payload]:
    """What a phone can say, of places that exist and of some that do not."""
    named = st.sampled_from((*zones, *zones, "nowhere"))
    steps = st.integers(-1, 11)
    sightings = st.builds(Sighting, st.sampled_from((*BEACONS, *BEACONS, "b-unknown")), st.sampled_from(STRENGTHS))
    fixes = st.builds(_fix, steps, steps, st.sampled_from(ACCURACIES))
    enters, exits = st.builds(Enter, named), st.builds(Exit, named)
    return st.one_of(enters, sightings, fixes, exits, enters, sightings, fixes, sightings, fixes, st.builds(Custom, st.just("coupon")))


def _fix(east: int, north: int, accuracy: float) -> Fix:
    lon, lat = position(east * 10, north * 5)
    return Fix(lat, lon, accuracy)


def clear(payload: Payload, places: Places) -> bool:
    """A fix whose accuracy is within a hundredth of a zone's distance proves nothing: two planes may differ by that much."""
    if not isinstance(payload, Fix):
        return True
    distances = [metres_off(payload, v.boundary) for made in places.zones.values() for v in made if v.boundary]
    return all(off == 0 or abs(off - payload.accuracy) > payload.accuracy / 100 for off in distances)


@st.composite
def events(draw: st.DrawFn, places: Places, times: list[int], most: int) -> list[Event]:
    """Each event once, in the order of arrival: any shopper or none on any device, with a clock that may be off."""
    devices = DEVICES[: draw(st.sampled_from((1, 1, 2, 2, 3, 4)))]
    named = st.sampled_from((None, None, *SHOPPERS[: draw(st.integers(0, len(SHOPPERS)))]))
    said = payloads(tuple(places.zones)).filter(lambda payload: clear(payload, places))
    made = []
    for number in range(draw(st.integers(most // 3, most))):
        happened = draw(st.sampled_from(times)) + draw(st.sampled_from(NUDGES))
        event = Event(
            organisation=ORGANISATION,
            device=draw(st.sampled_from(devices)),
            id=UUID(int=(draw(st.integers(0, 255)) << 120) + number),
            payload=draw(said),
            at=happened,
            received_at=TODAY + 2 * DAY,
            shopper=draw(named),
        )
        made.append(clocked(event, happened, draw(st.sampled_from((None, None, None, *BELIEVED, *CORRECTED)))))
    return made


def clocked(event: Event, happened: int, skew: int | None) -> Event:
    """The event as a device tells it whose clock is behind the server's by `skew`, or that does not say when it sent."""
    if skew is None:
        return replace(event, at=happened, sent_at=None)
    return replace(event, at=happened - skew if skew in CORRECTED else happened, sent_at=event.received_at - skew)


@st.composite
def repeats(draw: st.DrawFn, made: list[Event], places: Places, times: list[int]) -> list[Event]:
    """Some events again, later: the same, or lying about one thing. They must change nothing."""
    again = []
    for event in draw(st.lists(st.sampled_from(made), max_size=3)):
        other = draw(st.sampled_from(made))
        lies = (
            event,
            replace(event, payload=other.payload),
            replace(event, shopper=other.shopper),
            replace(event, at=other.at),
            replace(event, at=event.at + DAY),
            clocked(event, draw(st.sampled_from(times)), draw(st.sampled_from(CORRECTED))),
        )
        again.append(draw(st.sampled_from(lies)))
    return again


@st.composite
def worlds(draw: st.DrawFn, most_events: int = 14, most_changes: int = 3) -> World:
    """Everything together."""
    pace = draw(st.sampled_from(PACES))
    times = draw(instants(pace))
    made_places = draw(places(times, pace, most_changes))
    made = draw(events(made_places, times, most_events))
    arrived = made + draw(repeats(made, made_places, times))
    return World(made_places, tuple(replace(event, arrival=arrival) for arrival, event in enumerate(arrived)))
