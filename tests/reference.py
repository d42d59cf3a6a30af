"""The definitions, version 1, written for reading: plain records, plain loops, and no line shared with the product.

The product must say of every set of accepted events what this module says of it. The functions stand in the order in which the
definitions give the rules, and each says in its docstring which rule it is. Whoever reads them side by side reads the law once.

An instant is a whole number of microseconds since 1970. Settings that end in `_s` are whole seconds, as in the definitions.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from uuid import UUID

import shapely
from shapely.geometry import Point, Polygon

SECOND = 1_000_000
CLOCK_TOLERANCE = 60 * SECOND
BEGINNING, END = -(2**62), 2**62  # of time


# --- Places -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """What a zone was at every instant from `valid_from` up to, and not including, `valid_to`."""

    parent: str | None  # the zone directly above; none above the venue's root
    exit_grace_s: int
    min_stay_s: int
    max_accuracy_m: float
    enter_rssi: int = -85
    hold_rssi: int = -95
    boundary: dict[str, Any] | None = None  # GeoJSON polygon, WGS 84
    valid_from: int = BEGINNING
    valid_to: int = END


@dataclass(frozen=True)
class Placement:
    """A beacon hung in a zone from `valid_from` up to, and not including, `valid_to`."""

    beacon: str
    zone: str
    valid_from: int = BEGINNING
    valid_to: int = END


@dataclass(frozen=True)
class Places:
    """One organisation's zones, each with its versions, and where its beacons hung."""

    zones: Mapping[str, tuple[Version, ...]]
    placements: tuple[Placement, ...] = ()

    def version(self, zone: str, at: int) -> Version | None:
        """A zone is judged by the version that was valid at the event's time."""
        for version in self.zones.get(zone, ()):
            if version.valid_from <= at < version.valid_to:
                return version
        return None

    def zones_with_beacon(self, beacon: str, at: int) -> set[str]:
        """The zones that the beacon belonged to at the event's time."""
        return {placement.zone for placement in self.placements if placement.beacon == beacon and placement.valid_from <= at < placement.valid_to}

    def lineage(self, zone: str, at: int) -> Iterator[str]:
        """The zone itself, the one above it, and so on up to the venue's root, as the tree was at that time."""
        above: str | None = zone
        while above is not None and (version := self.version(above, at)) is not None:
            yield above
            above = version.parent


# --- Events -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fix:
    lat: float
    lon: float
    accuracy: float  # metres


@dataclass(frozen=True)
class Sighting:
    beacon: str
    rssi: int | None  # dBm


@dataclass(frozen=True)
class Enter:
    zone: str


@dataclass(frozen=True)
class Exit:
    zone: str


@dataclass(frozen=True)
class Custom:
    name: str


Payload = Fix | Sighting | Enter | Exit | Custom


@dataclass(frozen=True)
class Event:
    """One item of a request that the door accepted; repeats are events too, with an `arrival` of their own."""

    organisation: str
    device: str
    id: UUID
    payload: Payload
    at: int  # the device's clock
    received_at: int  # the server's
    sent_at: int | None = None  # the device's clock when it sent the request
    shopper: str | None = None  # `shopper.id` of the request
    arrival: int = 0  # its place in the order in which the server received everything


def occurred_at(event: Event) -> int:
    """Clock correction: a device that is more than 60 s off is moved by the whole difference, any other is believed."""
    if event.sent_at is None:
        return event.at
    skew = event.received_at - event.sent_at
    return event.at + skew if abs(skew) > CLOCK_TOLERANCE else event.at


def distinct(events: Iterable[Event]) -> list[Event]:
    """Same event: of those with one organisation, device and id the first received counts, and the others change nothing."""
    first: dict[tuple[str, str, UUID], Event] = {}
    for event in sorted(events, key=lambda event: event.arrival):
        first.setdefault((event.organisation, event.device, event.id), event)
    return list(first.values())


# --- People -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Shopper:
    """A person: by the app's own id where one was given, else the unknown one who carries a device."""

    organisation: str
    origin: str  # "shopper" or "device"
    key: str


def shopper_of(event: Event, events: Iterable[Event]) -> Shopper:
    """Whom an event belongs to: the one it names; else the one whom the device's first identified event names, by time of
    occurrence and then by event id; else, as long as there is none, the device's own shopper."""
    if event.shopper is not None:
        return Shopper(event.organisation, "shopper", event.shopper)
    identified = [other for other in events if (other.organisation, other.device) == (event.organisation, event.device) and other.shopper is not None]
    if not identified:
        return Shopper(event.organisation, "device", event.device)
    first = min(identified, key=lambda other: (occurred_at(other), other.id))
    assert first.shopper is not None
    return Shopper(event.organisation, "shopper", first.shopper)


# --- Observations -----------------------------------------------------------------------------------------------------------


class Strength(IntEnum):
    HOLDING = 1
    OPENING = 2  # the greater: at one instant opening wins


def observe(event: Event, places: Places) -> dict[str, Strength]:
    """Observations: what the event says of each zone. What it says of one it says, equally strongly, of all zones above it."""
    at = occurred_at(event)
    observed: dict[str, Strength] = {}
    for zone, strength in observe_directly(event.payload, at, places).items():
        for above in places.lineage(zone, at):
            observed[above] = max(strength, observed.get(above, strength))
    return observed


def observe_directly(payload: Payload, at: int, places: Places) -> dict[str, Strength]:
    """The table of observations, one row a case. An exit observes nothing, nor does an event of the app's own kind, nor what
    names a beacon or a zone that nobody knows."""
    match payload:
        case Fix():
            judged = {zone: judge_fix(payload, places.version(zone, at)) for zone in places.zones}
        case Sighting():
            judged = {zone: judge_sighting(payload, places.version(zone, at)) for zone in places.zones_with_beacon(payload.beacon, at)}
        case Enter():
            judged = {payload.zone: Strength.OPENING if places.version(payload.zone, at) else None}
        case Exit() | Custom():
            judged = {}
    return {zone: strength for zone, strength in judged.items() if strength is not None}


def judge_fix(fix: Fix, zone: Version | None) -> Strength | None:
    """A fix that is accurate enough for the zone opens inside it and on its boundary, and holds while it is off by no more than
    its own accuracy."""
    if zone is None or zone.boundary is None or fix.accuracy > zone.max_accuracy_m:
        return None
    off = metres_off(fix, zone.boundary)
    if off == 0:
        return Strength.OPENING
    return Strength.HOLDING if off <= fix.accuracy else None


def judge_sighting(sighting: Sighting, zone: Version | None) -> Strength | None:
    """A beacon of the zone opens at `enter_rssi` or stronger, and holds at `hold_rssi` or stronger. Without a strength it opens."""
    if zone is None:
        return None
    if sighting.rssi is None or sighting.rssi >= zone.enter_rssi:
        return Strength.OPENING
    return Strength.HOLDING if sighting.rssi >= zone.hold_rssi else None


def metres_off(fix: Fix, boundary: dict[str, Any]) -> float:
    """How far outside the zone the fix lies; 0 inside and on the boundary. The ground around the fix is taken as flat."""
    shell, *holes = boundary["coordinates"]
    if Polygon(shell, holes).intersects(Point(fix.lon, fix.lat)):
        return 0.0
    east, north = metres_a_degree(fix.lat)
    flat = [[((lon - fix.lon) * east, (lat - fix.lat) * north) for lon, lat, *_ in ring] for ring in (shell, *holes)]
    return float(shapely.distance(Polygon(flat[0], flat[1:]), Point(0, 0)))


def metres_a_degree(lat: float) -> tuple[float, float]:
    """Eastward and northward, on the WGS 84 ellipsoid at that latitude, from its two radii of curvature."""
    equator, flattening = 6_378_137.0, 1 / 298.257223563
    squared = flattening * (2 - flattening)
    bulge = 1 - squared * math.sin(math.radians(lat)) ** 2
    across, along = equator / math.sqrt(bulge), equator * (1 - squared) / bulge**1.5
    return math.radians(across * math.cos(math.radians(lat))), math.radians(along)


# --- Stays ------------------------------------------------------------------------------------------------------------------


@dataclass
class Sightline:
    """All that is known of one shopper and one zone: the observations by time, and the instants at which an exit cuts."""

    observed: dict[int, Strength] = field(default_factory=dict)
    cuts: set[int] = field(default_factory=set)


Chain = list[tuple[int, Strength]]


@dataclass(frozen=True, order=True)
class Stay:
    shopper: Shopper
    zone: str
    started: int
    ended: int
    closes_at: int  # the last instant at which a further observation would extend it
    counted: bool  # else it is a pass-by

    def is_open(self, now: int) -> bool:
        return now <= self.closes_at


def stays(events: Iterable[Event], places: Mapping[str, Places]) -> list[Stay]:
    """The one law: the stays are a function of the set of accepted events. `places` are by organisation."""
    found = []
    for (shopper, zone), line in sightlines(distinct(events), places).items():
        for chain in chains(line, zone, places[shopper.organisation]):
            found += stay_of(chain, line.cuts, shopper, zone, places[shopper.organisation])
    return sorted(found)


def sightlines(events: list[Event], places: Mapping[str, Places]) -> dict[tuple[Shopper, str], Sightline]:
    """Sort out whom and what each event is about. Two devices of one shopper are one shopper."""
    lines: dict[tuple[Shopper, str], Sightline] = {}
    for event in events:
        shopper, at = shopper_of(event, events), occurred_at(event)
        for zone, strength in observe(event, places[event.organisation]).items():
            line = lines.setdefault((shopper, zone), Sightline())
            line.observed[at] = max(strength, line.observed.get(at, strength))
        for zone in cut_by(event, places[event.organisation]):
            lines.setdefault((shopper, zone), Sightline()).cuts.add(at)
    return lines


def cut_by(event: Event, places: Places) -> set[str]:
    """An exit ends the chain in the named zone and in every zone below it."""
    if not isinstance(event.payload, Exit):
        return set()
    return {zone for zone in places.zones if event.payload.zone in places.lineage(zone, occurred_at(event))}


def chains(line: Sightline, zone: str, places: Places) -> Iterator[Chain]:
    """A chain is a longest run in which each observation can still extend what ends with the one before."""
    chain: Chain = []
    for at, strength in sorted(line.observed.items()):
        if chain and at > last_extension(chain[-1][0], line.cuts, zone, places):
            yield chain
            chain = []
        chain.append((at, strength))
    if chain:
        yield chain


def last_extension(ended: int, cuts: set[int], zone: str, places: Places) -> int:
    """The last instant at which an observation belongs to the chain that has come to `ended`: within the grace of the version
    valid then, and not after an exit. An exit at the very instant of an observation comes after it."""
    version = places.version(zone, ended)
    assert version is not None  # it was observed at that instant
    return min([ended + version.exit_grace_s * SECOND, *(cut for cut in cuts if cut >= ended)])


def stay_of(chain: Chain, cuts: set[int], shopper: Shopper, zone: str, places: Places) -> list[Stay]:
    """A stay is a chain with an opening: from its first opening to its last observation, of either strength. It counts when its
    dwell reaches the minimum of the version valid at its start. A chain that only holds is no stay."""
    openings = [at for at, strength in chain if strength is Strength.OPENING]
    if not openings:
        return []
    started, ended = openings[0], chain[-1][0]
    version = places.version(zone, started)
    assert version is not None  # it was observed at that instant
    counted = ended - started >= version.min_stay_s * SECOND
    return [Stay(shopper, zone, started, ended, last_extension(ended, cuts, zone, places), counted)]
