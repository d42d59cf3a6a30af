"""From outings to what phones notice: walks through the plan, fixes with their errors, beacons by their signal. Pure.

A whole day is measured at once: outings become legs (straight, at constant speed), legs become columns of instants and
positions, and only the last step makes text of each event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from engagement.simulation.mall import ROOT, SPINE_Y, Mall, Place, Point
from engagement.simulation.people import Outing, Person, Population

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WALKING, STANDING, OUTSIDE = 0, 1, 2
# While walking, standing and outside. The graces of the mall's zones (mall.py) are twice the interval of who stands.
FIX_EVERY_S: Final = np.array([22.0, 150.0, 22.0])
HEAR_EVERY_S: Final = np.array([45.0, 85.0, 75.0])
PACE_M_S: Final = 1.2
# Median of the accuracy that the phone reports, in metres, and the bounds of it: roofs cost precision.
ACCURACY: Final = ((13.0, 5.0, 25.0), (13.0, 5.0, 25.0), (7.0, 5.0, 14.0))
RADIUS_OF_SIGMA: Final = 1.51  # a circle of the reported accuracy holds 68 % of two-dimensional errors
TX_POWER_DBM, PATH_LOSS, WALL_DB, FADING_DB, FLOOR_DBM = -59.0, 2.2, 6.0, 3.5, -98.0
TELLS_TRANSITIONS, TELLS_CUSTOM, HEARS_SECOND = 0.25, 0.08, 0.15
CUSTOMS: Final = (("coupon_opened", '{"coupon":"SPRING10"}'), ("wishlist_added", '{"source":"window"}'), ("map_opened", "{}"))


@dataclass(frozen=True)
class Trace:
    """What one device noticed during one outing, by time. `texts` are events as JSON, ready to be joined."""

    person: Person
    device: str
    platform: str
    shopper: str | None
    times: list[float]
    texts: list[str]


@dataclass
class Legs:
    """Columns: one row a leg. `place` indexes the mall's places, or is -1; `calm` stretches the intervals of measuring."""

    walk: list[int]
    start: list[float]
    seconds: list[float]
    origin: list[Point]
    target: list[Point]
    place: list[int]
    manner: list[int]
    calm: list[float]

    def add(self, walk: int, start: float, seconds: float, origin: Point, target: Point, place: int, manner: int, calm: float) -> float:
        """Append a leg and return when it ends."""
        for column, value in zip(vars(self).values(), (walk, start, seconds, origin, target, place, manner, calm), strict=True):
            column.append(value)
        return start + seconds


@dataclass(frozen=True)
class Marks:
    """Events that are not measured but done: walk, instant, and their JSON after the time."""

    walk: list[int]
    at: list[float]
    text: list[str]


def midnight(day: date, time_zone: str) -> float:
    return datetime.combine(day, time(), ZoneInfo(time_zone)).timestamp()


class Walker:
    """Lays an outing over the plan as legs, and notes what its person does on the way."""

    def __init__(self, mall: Mall, random: np.random.Generator) -> None:
        self.random = random
        self.index = {place.key: index for index, place in enumerate(mall.places)}
        self.legs = Legs([], [], [], [], [], [], [], [])
        self.marks = Marks([], [], [])

    def lay(self, walk: int, outing: Outing, start: float) -> None:
        if outing.door is None:
            self._pass_by(walk, start)
            return
        door, calm = outing.door.middle, outing.calm
        outside = (door[0] + float(self.random.uniform(-70, 70)), 104.0 if door[1] > SPINE_Y else -12.0)
        now = self._path(walk, start, [outside, (door[0], outside[1])], OUTSIDE, calm)
        entered = now
        hall = (door[0], SPINE_Y)
        now = self._path(walk, now, [(door[0], outside[1]), door, hall], WALKING, calm)
        here = hall
        for stop in outing.stops:
            now, here = self._stop(walk, now, here, stop.place, stop.seconds, calm)
        now = self._path(walk, now, [here, hall, door, (door[0], outside[1])], WALKING, calm)
        self._note(walk, entered, now)
        self._path(walk, now, [(door[0], outside[1]), outside], OUTSIDE, calm)

    def _stop(self, walk: int, now: float, here: Point, place: Place, seconds: float, calm: float) -> tuple[float, Point]:
        spine = (place.door[0], SPINE_Y)
        first, last = self._spot(place), self._spot(place)
        now = self._path(walk, now, [here, spine, place.door, first], WALKING, calm)
        now = self.legs.add(walk, now, seconds, first, last, self.index[place.key], STANDING, calm)
        return self._path(walk, now, [last, place.door, spine], WALKING, calm), spine

    def _spot(self, place: Place) -> Point:
        (x, y), (width, depth) = place.middle, place.size
        return x + float(self.random.uniform(-0.35, 0.35)) * width, y + float(self.random.uniform(-0.35, 0.35)) * depth

    def _path(self, walk: int, now: float, points: Sequence[Point], manner: int, calm: float) -> float:
        for origin, target in pairwise(points):
            metres = abs(target[0] - origin[0]) + abs(target[1] - origin[1])
            if metres > 0.5:
                now = self.legs.add(walk, now, metres / PACE_M_S, origin, target, -1, manner, calm)
        return now

    def _pass_by(self, walk: int, start: float) -> None:
        y = float(self.random.choice([104.0, -12.0])) + float(self.random.uniform(-3, 3))
        west = float(self.random.uniform(0, 180))
        ends = [(west, y), (west + float(self.random.uniform(90, 180)), y)]
        self._path(walk, start, ends if self.random.random() < 0.5 else ends[::-1], OUTSIDE, 1.0)

    def _note(self, walk: int, entered: float, left: float) -> None:
        """Some phones watch the mall's door themselves; some people use the app."""
        if self.random.random() < TELLS_TRANSITIONS:
            for at, direction in ((entered, "enter"), (left, "exit")):
                self._mark(walk, at, f'"type":"transition","zone":"{ROOT}","direction":"{direction}"')
        if self.random.random() < TELLS_CUSTOM:
            name, properties = CUSTOMS[int(self.random.integers(len(CUSTOMS)))]
            self._mark(walk, float(self.random.uniform(entered, left)), f'"type":"custom","name":"{name}","properties":{properties}')

    def _mark(self, walk: int, at: float, text: str) -> None:
        for column, value in zip(vars(self.marks).values(), (walk, at, text), strict=True):
            column.append(value)


def instants(legs: Legs, every: Floats, random: np.random.Generator, pace: float) -> tuple[Ints, Floats, Floats]:
    """For each measurement: its leg, when, and how far along (0 to 1). Evenly spread with some jitter, so no gap doubles."""
    seconds = np.array(legs.seconds)
    interval = every[np.array(legs.manner)] * np.array(legs.calm) * pace
    count = np.floor(seconds / interval + random.random(len(seconds))).astype(np.int64)
    leg = np.repeat(np.arange(len(seconds)), count)
    step = np.arange(len(leg)) - np.repeat(np.cumsum(count) - count, count)
    along = (step + 0.5 + random.uniform(-0.2, 0.2, len(leg))) / count[leg]
    return leg, np.array(legs.start)[leg] + along * seconds[leg], along


def positions(legs: Legs, leg: Ints, along: Floats) -> Floats:
    origin, target = np.array(legs.origin), np.array(legs.target)
    return np.asarray(origin[leg] + (target[leg] - origin[leg]) * along[:, None], dtype=np.float64)


class Day:
    """One day of the mall, as its phones notice it. `pace` below 1 makes them measure more often."""

    def __init__(self, population: Population, day: date, *, pace: float = 1.0) -> None:
        self.mall, self.day, self.pace = population.mall, day, pace
        self.random = np.random.default_rng([population.seed, 3, day.toordinal()])
        self.outings = list(population.outings(day))
        walker = Walker(self.mall, self.random)
        begin = midnight(day, self.mall.city.time_zone)
        for walk, outing in enumerate(self.outings):
            walker.lay(walk, outing, begin + outing.hour * 3600)
        self.legs, self.marks = walker.legs, walker.marks

    def traces(self) -> Iterator[Trace]:
        """What each device noticed in each outing."""
        walks, times, texts = self._fixes()
        for more_walks, more_times, more_texts in (self._sightings(), self._done()):
            walks, times, texts = np.concatenate([walks, more_walks]), np.concatenate([times, more_times]), texts + more_texts
        times = np.floor(times * 1000) / 1000
        second = self._second_device(walks)
        order = np.lexsort((times, second, walks))
        heads = self._heads(times[order])
        owner = walks[order] * 2 + second[order]
        bounds = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(order)]
        listed, at, keys = order.tolist(), times[order].tolist(), owner.tolist()
        for first, end in pairwise(bounds):
            outing = self.outings[keys[first] // 2]
            number = keys[first] % 2
            yield Trace(
                outing.person,
                outing.person.devices[number],
                outing.person.platforms[number],
                outing.person.name_on(self.day),
                at[first:end],
                [heads[i] + texts[listed[i]] for i in range(first, end)],
            )

    def _second_device(self, walks: Ints) -> Ints:
        """Whoever has two devices carries either, or now and then both."""
        two = np.array([len(outing.person.devices) > 1 for outing in self.outings])
        share = self.random.choice([0.0, 1.0, 0.4], len(self.outings), p=[0.7, 0.2, 0.1])
        return (two[walks] & (self.random.random(len(walks)) < share[walks])).astype(np.int64)

    def _heads(self, times: Floats) -> list[str]:
        """`{"id":"…","at":"…",` of each event."""
        digits = self.random.bytes(16 * len(times)).hex()
        stamps = np.datetime_as_string((times * 1000).round().astype("datetime64[ms]")).tolist()
        heads = []
        for index, stamp in enumerate(stamps):
            raw = digits[32 * index : 32 * index + 32]
            heads.append(f'{{"id":"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-8{raw[17:20]}-{raw[20:]}","at":"{stamp}Z",')
        return heads

    def _fixes(self) -> tuple[Ints, Floats, list[str]]:
        leg, times, along = instants(self.legs, FIX_EVERY_S, self.random, self.pace)
        median, low, high = (np.array(column)[np.array(self.legs.manner)[leg]] for column in zip(*ACCURACY, strict=True))
        accuracy = np.clip(median * np.exp(0.35 * self.random.standard_normal(len(leg))), low, high)
        seen = positions(self.legs, leg, along) + self.random.standard_normal((len(leg), 2)) * (accuracy / RADIUS_OF_SIGMA)[:, None]
        lon = self.mall.city.lon + seen[:, 0] * self.mall.lon_per_metre
        lat = self.mall.city.lat + seen[:, 1] * self.mall.lat_per_metre
        rows = zip(lat.tolist(), lon.tolist(), accuracy.tolist(), strict=True)
        texts = [f'"type":"fix","lat":{y:.6f},"lon":{x:.6f},"accuracy":{radius:.1f}}}' for y, x, radius in rows]
        return np.array(self.legs.walk)[leg], times, texts

    def _sightings(self) -> tuple[Ints, Floats, list[str]]:
        """The strongest beacon at each instant of listening, and now and then the second strongest."""
        leg, times, along = instants(self.legs, HEAR_EVERY_S, self.random, self.pace)
        strength = self._signals(positions(self.legs, leg, along), np.array(self.legs.place)[leg])
        ranked = np.argpartition(-strength, 1, axis=1)[:, :2]
        ranked = np.take_along_axis(ranked, np.argsort(-np.take_along_axis(strength, ranked, axis=1), axis=1), axis=1)
        listening = np.concatenate([np.arange(len(leg)), np.flatnonzero(self.random.random(len(leg)) < HEARS_SECOND)])
        heard = np.concatenate([ranked[:, 0], ranked[listening[len(leg) :], 1]])
        rssi = strength[listening, heard].round()
        kept = rssi > FLOOR_DBM
        names = [self._beacon_text(index) for index in range(len(self.mall.beacons))]
        texts = [f"{names[beacon]}{int(power)}}}" for beacon, power in zip(heard[kept].tolist(), rssi[kept].tolist(), strict=True)]
        listening = listening[kept]
        return np.array(self.legs.walk)[leg[listening]], times[listening], texts

    def _signals(self, seen: Floats, place: Ints) -> Floats:
        """RSSI of every beacon (columns) at every instant (rows): loss with the distance, a wall in between, fading."""
        spots = np.array([spot for _, spot in self.mall.beacons])
        index = {known.key: number for number, known in enumerate(self.mall.places)}
        homes = np.array([index[home.key] for home, _ in self.mall.beacons])
        metres = np.hypot(seen[:, :1] - spots[:, 0], seen[:, 1:] - spots[:, 1])
        loss = 10 * PATH_LOSS * np.log10(np.maximum(metres, 1.0)) + WALL_DB * (homes[None, :] != place[:, None])
        return np.asarray(TX_POWER_DBM - loss + FADING_DB * self.random.standard_normal(loss.shape, dtype=np.float32), dtype=np.float64)

    def _beacon_text(self, index: int) -> str:
        name = self.mall.beacon_name(index)
        kind, value = next(iter(name.items()))
        if kind == "mac":
            inner = f'"mac":"{value}"'
        else:
            inner = ",".join(f'"{field}":"{part}"' if isinstance(part, str) else f'"{field}":{part}' for field, part in value.items())
        return f'"type":"sighting","beacon":{{{inner}}},"rssi":'

    def _done(self) -> tuple[Ints, Floats, list[str]]:
        return np.array(self.marks.walk, dtype=np.int64), np.array(self.marks.at), [text + "}" for text in self.marks.text]
