"""An organisation's zones and beacons as an index, by epoch; events to observations, thousands at a time. Pure: no Django, no clock.

An *epoch* is the time between two changes of the organisation's places. Each has one immutable index, built when first needed;
an event is judged by the one of its time. Times are integer microseconds since 1970, UTC; positions WGS 84 degrees.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from engagement import inbox

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Geometries = npt.NDArray[np.object_]

BEGINNING: Final = -(2**62)  # valid_from of a first version
SECOND: Final = 1_000_000
_ALONG_MERIDIAN: Final = 110_000.0  # metres in a degree of latitude, rounded down: boxes must be large enough


@dataclass(frozen=True, slots=True)
class Version:
    """What a zone was from `valid_from` until `valid_to` (exclusive, None: still is)."""

    zone: int
    key: str
    valid_from: int
    valid_to: int | None
    parent: int | None
    boundary: dict[str, Any] | None  # GeoJSON Polygon or MultiPolygon
    exit_grace_s: int
    min_stay_s: int
    enter_rssi: int
    hold_rssi: int
    max_accuracy_m: float


@dataclass(frozen=True, slots=True)
class Placement:
    """A beacon's address (engagement.inbox.*_address) in a zone, from `valid_from` until `valid_to`."""

    address: bytes
    zone: int
    valid_from: int
    valid_to: int | None


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of events. `zone_key` is a transition's named zone, None elsewhere."""

    kind: npt.NDArray[np.uint8]
    occurred_at: Ints
    body: npt.NDArray[np.void]  # 24 bytes, as in engagement.inbox.RECORD
    flag: npt.NDArray[np.uint8]
    rssi: npt.NDArray[np.int16]
    zone_key: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Observations:
    """What the events say: (event, zone, opening) triples, exits (event, zone), and which events named an unknown place."""

    event: Ints  # index into Events
    zone: Ints
    opening: Bools
    exit_event: Ints
    exit_zone: Ints
    unmatched: Bools  # one for each event


class Places:
    """All versions of an organisation's zones and placements of its beacons."""

    def __init__(self, *, versions: Iterable[Version], placements: Iterable[Placement]) -> None:
        self._versions = list(versions)
        self._placements = list(placements)
        self.zones: Ints = np.array(sorted({v.zone for v in self._versions}), dtype=np.int64)
        spans = [(v.valid_from, v.valid_to) for v in self._versions] + [(p.valid_from, p.valid_to) for p in self._placements]
        bounds = {instant for span in spans for instant in span if instant is not None and instant > BEGINNING}
        self._changes: Ints = np.array(sorted(bounds), dtype=np.int64)
        self._epochs: dict[int, _Epoch] = {}
        self.max_grace = max((v.exit_grace_s for v in self._versions), default=0) * SECOND

    @cached_property
    def _thresholds(self) -> tuple[Ints, Ints]:
        """Exit grace and minimum stay in microseconds, by epoch and zone."""
        grace = np.zeros((len(self._changes) + 1, max(len(self.zones), 1)), np.int64)
        minimum = grace.copy()
        for v in self._versions:
            column = int(np.searchsorted(self.zones, v.zone))
            first, last = self._span(v.valid_from, v.valid_to)
            grace[first:last, column] = v.exit_grace_s * SECOND
            minimum[first:last, column] = v.min_stay_s * SECOND
        return grace, minimum

    def _span(self, valid_from: int, valid_to: int | None) -> tuple[int, int]:
        first = int(np.searchsorted(self._changes, valid_from, side="right"))
        return first, len(self._changes) + 1 if valid_to is None else int(np.searchsorted(self._changes, valid_to, side="right"))

    def grace(self, zone: Ints, at: Ints) -> Ints:
        """Exit grace in microseconds of the versions valid at `at`."""
        return self._thresholds[0][self._epoch_of(at), np.searchsorted(self.zones, zone)]

    def min_stay(self, zone: Ints, at: Ints) -> Ints:
        """Minimum stay in microseconds of the versions valid at `at`."""
        return self._thresholds[1][self._epoch_of(at), np.searchsorted(self.zones, zone)]

    def _epoch_of(self, at: Ints) -> Ints:
        return np.searchsorted(self._changes, at, side="right")

    def _epoch(self, number: int) -> "_Epoch":
        if number not in self._epochs:
            start = int(self._changes[number - 1]) if number else BEGINNING
            self._epochs[number] = _Epoch(
                self.zones,
                [v for v in self._versions if v.valid_from <= start and (v.valid_to is None or v.valid_to > start)],
                [p for p in self._placements if p.valid_from <= start and (p.valid_to is None or p.valid_to > start)],
            )
        return self._epochs[number]

    def observe(self, events: Events) -> Observations:
        """Every observation and exit of the events, each by the places of its own time."""
        number = self._epoch_of(events.occurred_at)
        parts = [self._epoch(int(epoch)).observe(events, np.flatnonzero(number == epoch)) for epoch in np.unique(number)]
        unmatched = np.zeros(len(events.kind), np.bool_)
        for part in parts:
            unmatched[part.unmatched] = True
        return Observations(
            event=_join([p.event for p in parts]),
            zone=self.zones[_join([p.zone for p in parts])] if len(self.zones) else np.empty(0, np.int64),
            opening=_join([p.opening for p in parts]).astype(np.bool_),
            exit_event=_join([p.exit_event for p in parts]),
            exit_zone=self.zones[_join([p.exit_zone for p in parts])] if len(self.zones) else np.empty(0, np.int64),
            unmatched=unmatched,
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """As Observations, with columns of Places.zones in place of zone ids, and `unmatched` as event indexes."""

    event: Ints
    zone: Ints
    opening: Bools
    exit_event: Ints
    exit_zone: Ints
    unmatched: Ints


class _Epoch:
    """The places as they were between two changes. Zones are columns of `zones`."""

    def __init__(self, zones: Ints, versions: list[Version], placements: list[Placement]) -> None:
        column = {v.zone: int(np.searchsorted(zones, v.zone)) for v in versions}
        self._size = len(zones)
        self._key = {v.key: column[v.zone] for v in versions}
        self._beacon = {p.address.ljust(24, b"\0"): column[p.zone] for p in placements if p.zone in column}
        self._enter, self._hold = np.zeros(self._size, np.int64), np.zeros(self._size, np.int64)
        for v in versions:
            self._enter[column[v.zone]], self._hold[column[v.zone]] = v.enter_rssi, v.hold_rssi
        self._index_tree(versions, column)
        self._index_boundaries(versions, column)

    def _index_tree(self, versions: list[Version], column: dict[int, int]) -> None:
        """Ancestors of each zone, itself first, as one flat array with starts and counts; and the zones below, for exits."""
        parent = {v.zone: v.parent for v in versions}
        self._up_start, self._up_count = np.zeros(self._size, np.int64), np.zeros(self._size, np.int64)
        flat: list[int] = []
        self._below: dict[int, list[int]] = {}
        for v in versions:
            self._up_start[column[v.zone]] = len(flat)
            above: int | None = v.zone
            seen: set[int] = set()  # a cycle cannot be provisioned; two versions of one instant must not hang the stream
            while above is not None and above in column and above not in seen:
                seen.add(above)
                flat.append(column[above])
                self._below.setdefault(column[above], []).append(column[v.zone])
                above = parent[above]
            self._up_count[column[v.zone]] = len(flat) - self._up_start[column[v.zone]]
        self._up = np.array(flat, dtype=np.int64)

    def _index_boundaries(self, versions: list[Version], column: dict[int, int]) -> None:
        bounded = [v for v in versions if v.boundary is not None]
        shapes = [shapely.geometry.shape(v.boundary) for v in bounded]
        planes = [_Plane.around(shape) for shape in shapes]
        self._shapes: Geometries = np.array(shapes, dtype=object)
        self._flat: Geometries = np.array([plane.project(shape) for plane, shape in zip(planes, shapes, strict=True)], dtype=object)
        shapely.prepare(self._shapes)
        shapely.prepare(self._flat)
        self._plane = np.array([[plane.lon, plane.lat, plane.kx, plane.ky] for plane in planes], dtype=np.float64).reshape(-1, 4)
        self._column = np.array([column[v.zone] for v in bounded], dtype=np.int64)
        self._accuracy = np.array([v.max_accuracy_m for v in bounded], dtype=np.float64)
        self._tree = shapely.STRtree(self._shapes)

    def observe(self, events: Events, chosen: Ints) -> _Part:
        kind = events.kind[chosen]
        fixes = self._fixes(events, chosen[kind == inbox.FIX])
        sightings, lost_beacons = self._sightings(events, chosen[kind == inbox.SIGHTING])
        entries, exits, lost_zones = self._transitions(events, chosen[kind == inbox.TRANSITION])
        event = np.concatenate((fixes[0], sightings[0], entries[0]))
        zone = np.concatenate((fixes[1], sightings[1], entries[1]))
        opening = np.concatenate((fixes[2], sightings[2], entries[2]))
        return _Part(*self._with_ancestors(event, zone, opening), exits[0], exits[1], np.concatenate((lost_beacons, lost_zones)))

    def _fixes(self, events: Events, chosen: Ints) -> tuple[Ints, Ints, Bools]:
        """Opening: inside or on the boundary. Holding: at most `accuracy` metres away. Neither where the fix is too vague for the zone."""
        if not len(chosen) or not len(self._shapes):
            return _NONE
        lat, lon, accuracy = np.ascontiguousarray(events.body[chosen]).view("<f8").reshape(-1, 3).T
        useful = accuracy <= self._accuracy.max()
        chosen, lat, lon, accuracy = chosen[useful], lat[useful], lon[useful], accuracy[useful]
        high = accuracy / _ALONG_MERIDIAN
        wide = np.minimum(high / np.maximum(np.cos(np.radians(np.abs(lat) + high)), 1e-6), 360.0)
        point, shape = self._tree.query(shapely.box(lon - wide, lat - high, lon + wide, lat + high))
        fitting = accuracy[point] <= self._accuracy[shape]
        point, shape = point[fitting], shape[fitting]
        inside = shapely.intersects_xy(self._shapes[shape], lon[point], lat[point])
        observed = inside.copy()
        near = np.flatnonzero(~inside)
        origin = self._plane[shape[near]]
        away = shapely.distance(
            self._flat[shape[near]],
            shapely.points((lon[point[near]] - origin[:, 0]) * origin[:, 2], (lat[point[near]] - origin[:, 1]) * origin[:, 3]),
        )
        observed[near] = away <= accuracy[point[near]]
        return chosen[point[observed]], self._column[shape[observed]], inside[observed]

    def _sightings(self, events: Events, chosen: Ints) -> tuple[tuple[Ints, Ints, Bools], Ints]:
        """Opening from the zone's enter_rssi on, or without a signal strength; holding from hold_rssi on."""
        if not len(chosen):
            return _NONE, chosen
        body, find = np.ascontiguousarray(events.body[chosen]).tobytes(), self._beacon.get
        zone = np.array([find(body[i : i + 24], -1) for i in range(0, len(body), 24)], dtype=np.int64)
        known = zone >= 0
        lost, chosen, zone = chosen[~known], chosen[known], zone[known]
        rssi = events.rssi[chosen].astype(np.int64)
        opening = (rssi == inbox.NO_RSSI) | (rssi >= self._enter[zone])
        observed = opening | (rssi >= self._hold[zone])
        return (chosen[observed], zone[observed], opening[observed]), lost

    def _transitions(self, events: Events, chosen: Ints) -> tuple[tuple[Ints, Ints, Bools], tuple[Ints, Ints], Ints]:
        """An enter opens the named zone; an exit ends the chains of it and of every zone below."""
        entered: list[tuple[int, int]] = []
        left: list[tuple[int, int]] = []
        lost: list[int] = []
        for event in chosen.tolist():
            zone = self._key.get(events.zone_key[event] or "")
            if zone is None:
                lost.append(event)
            elif events.flag[event] == inbox.ENTER:
                entered.append((event, zone))
            else:
                left += [(event, below) for below in self._below[zone]]
        on = np.array(entered, dtype=np.int64).reshape(-1, 2)
        off = np.array(left, dtype=np.int64).reshape(-1, 2)
        return (on[:, 0], on[:, 1], np.ones(len(on), np.bool_)), (off[:, 0], off[:, 1]), np.array(lost, dtype=np.int64)

    def _with_ancestors(self, event: Ints, zone: Ints, opening: Bools) -> tuple[Ints, Ints, Bools]:
        """An observation of a zone is one of all zones above it; of two of one zone at one instant, opening wins."""
        count = self._up_count[zone]
        first = np.cumsum(count) - count
        up = self._up[np.repeat(self._up_start[zone] - first, count) + np.arange(count.sum())] if len(zone) else zone
        # One number a triple: sorted, the opening observation of an event and zone comes before its holding one.
        key = (np.repeat(event, count) * self._size + up) * 2 + ~np.repeat(opening, count)
        key = np.unique(key)
        pair = key >> 1
        best = np.concatenate(([True], pair[1:] != pair[:-1])) if len(pair) else np.empty(0, np.bool_)
        pair, weak = pair[best], key[best] & 1
        return pair // max(self._size, 1), pair % max(self._size, 1), weak == 0


@dataclass(frozen=True, slots=True)
class _Plane:
    """A flat metric plane around a place: metres east and north of (lon, lat). Exact to centimetres over a mall.

    Metres a degree from the radii of curvature of the WGS 84 ellipsoid (meridian and prime vertical).
    """

    lon: float
    lat: float
    kx: float
    ky: float

    @staticmethod
    def around(shape: shapely.Geometry) -> "_Plane":
        west, south, east, north = shape.bounds
        lon, lat = (west + east) / 2, (south + north) / 2
        flattened = 1 - 0.00669437999014 * math.sin(math.radians(lat)) ** 2  # 1 - e2 sin2
        meridian = 6378137.0 * (1 - 0.00669437999014) / flattened**1.5
        vertical = 6378137.0 / math.sqrt(flattened)
        return _Plane(lon, lat, math.radians(vertical) * math.cos(math.radians(lat)), math.radians(meridian))

    def project(self, shape: shapely.Geometry) -> shapely.Geometry:
        return shapely.transform(shape, lambda xy: (xy - [self.lon, self.lat]) * [self.kx, self.ky])


_NONE: Final = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_))


def _join(parts: list[Any]) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
