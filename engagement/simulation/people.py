"""The mall's people and their habits: who comes on which day, at what hour, and what they do. Pure, and the same from the same seed."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from engagement.simulation.mall import FOOD_COURT, Mall, Place

Floats = npt.NDArray[np.float64]
SHOPPERS: Final = 4000
STAFF: Final = 10
PASSERS_BY: Final = 6000  # devices that are seen in the street now and then
FAVOURITES: Final = 4
DOORS: Final = ("north-entrance", "south-entrance", "car-park-entrance")


@dataclass(frozen=True)
class Kind:
    """A way of living: when such people come, and for what."""

    share: float
    week: tuple[float, ...]  # weights of Monday to Sunday
    hours: tuple[tuple[float, float, float], ...]  # peaks: hour, width in hours, weight
    shops: float  # mean number of shops in a visit, beyond the first
    lunch: float  # share of visits that eat in the food court, when the hour is right
    pace: float  # factor on dwell


KINDS: Final = (
    Kind(0.26, (1.1, 1.1, 1.1, 1.15, 1.3, 0.5, 0.3), ((12.6, 0.7, 3), (17.8, 1.0, 2)), 1.0, 0.6, 0.7),  # offices nearby
    Kind(0.28, (0.5, 0.5, 0.6, 0.6, 1.0, 2.2, 1.7), ((11.2, 1.4, 3), (15.3, 1.5, 3)), 2.4, 0.55, 1.1),  # families
    Kind(0.20, (0.7, 0.7, 0.8, 0.9, 1.7, 1.6, 0.9), ((15.8, 1.6, 3), (19.5, 1.3, 2), (23.5, 1.5, 0.4)), 1.8, 0.4, 1.0),  # students
    Kind(0.14, (1.3, 1.2, 1.3, 1.2, 1.0, 0.6, 0.3), ((9.6, 1.0, 3), (14.2, 1.4, 1)), 1.3, 0.35, 1.3),  # pensioners
    Kind(0.12, (0.4, 0.4, 0.6, 0.9, 2.2, 2.4, 0.8), ((18.6, 1.0, 3), (20.6, 1.2, 2), (1.0, 2.0, 0.3)), 0.9, 0.7, 1.2),  # evenings out
)
ROUND_THE_CLOCK: Final = 0.05  # the food court and the pharmacy never close
SEASON: Final = (0.86, 0.90, 0.97, 1.00, 0.98, 0.97, 1.03, 1.00, 0.98, 1.02, 1.14, 1.48)  # January to December
WEEKLY_VISITS: Final = 0.44  # of the mean shopper


@dataclass(frozen=True)
class Person:
    """Somebody with a phone. `known_from`: the first day on which the app names the shopper (None: it never does)."""

    devices: tuple[str, ...]
    platforms: tuple[str, ...]
    shopper: str | None
    known_from: date | None

    def name_on(self, day: date) -> str | None:
        return self.shopper if self.known_from and day >= self.known_from else None


@dataclass(frozen=True)
class Errand:
    """One stop of a visit."""

    place: Place
    seconds: float


@dataclass(frozen=True)
class Outing:
    """One visit, or one walk along the street, as it was meant: walking and measuring come later (traces.py)."""

    person: Person
    hour: float  # of arrival, local
    door: Place | None  # None: stays in the street
    stops: tuple[Errand, ...]
    calm: float = 1.0  # how much rarer than usual the phone measures: staff's lie on a shelf
    staff: bool = False


def season(day: date) -> float:
    """How busy a date is, against the year's mean: the month, pay days, and the weather of that one day."""
    pay_day = 1.14 if day.day >= 25 or day.day <= 2 else 1.0
    weather = 0.88 + 0.24 * (zlib.crc32(day.isoformat().encode()) % 1000) / 1000
    return SEASON[day.month - 1] * pay_day * weather


def arrival_weights(kind: Kind) -> Floats:
    """Weights of the 96 quarters of a day in which such people arrive."""
    quarter = np.arange(96) / 4
    weights: Floats = np.full(96, ROUND_THE_CLOCK)
    for hour, width, weight in kind.hours:
        distance = np.minimum(np.abs(quarter - hour), 24 - np.abs(quarter - hour))
        weights += weight * np.exp(-0.5 * (distance / width) ** 2)
    weights /= weights.sum()
    return weights


def device_name(seed: int, group: str, index: int, number: int = 0) -> str:
    return f"install-{zlib.crc32(f'{seed}:{group}:{index}:{number}'.encode()):08x}{index:04x}"


class Population:
    """Everybody, from a seed. `first_day` is when history begins: some shoppers tell the app who they are on a day after it."""

    def __init__(self, *, seed: int, mall: Mall, first_day: date) -> None:
        self.seed, self.mall, self.first_day = seed, mall, first_day
        random = np.random.default_rng([seed, 1])
        self.kind = random.choice(len(KINDS), SHOPPERS, p=[kind.share for kind in KINDS])
        # Most come rarely, a few nearly every day.
        self.weekly = np.minimum(random.gamma(0.9, WEEKLY_VISITS / 0.9, SHOPPERS), 6.0)
        pull = np.array([place.pull for place in mall.stores])
        self.pull = pull / pull.sum()
        self.favourites = np.array([random.choice(len(pull), FAVOURITES, replace=False, p=self.pull) for _ in range(SHOPPERS)])
        self.entrance = random.choice(len(DOORS), SHOPPERS, p=[0.4, 0.3, 0.3])
        self.people = tuple(self._person(index, random) for index in range(SHOPPERS))
        self.staff = tuple(self._employee(index) for index in range(STAFF))
        self.arrivals = [arrival_weights(kind) for kind in KINDS]

    def _person(self, index: int, random: np.random.Generator) -> Person:
        """Half are known from the start, a quarter become known on some day, the others never; one in twelve has two devices."""
        known, second = random.random(), random.random() < 1 / 12
        delay = 0 if known < 0.5 else 3 + int(random.integers(0, 70))
        known_from = date.fromordinal(self.first_day.toordinal() + delay) if known < 0.75 else None
        devices = tuple(device_name(self.seed, "shopper", index, number) for number in range(2 if second and known < 0.5 else 1))
        return Person(devices, (("ios", "android")[index % 2], "ios"), f"crm-{index:05d}", known_from)

    def _employee(self, index: int) -> Person:
        return Person((device_name(self.seed, "staff", index),), ("android",), f"staff-{index:02d}", self.first_day)

    def outings(self, day: date) -> Iterator[Outing]:
        """All that people mean to do on a day, in no order."""
        random = np.random.default_rng([self.seed, 2, day.toordinal()])
        chance = self.weekly / 7 * np.array([kind.week[day.weekday()] for kind in KINDS])[self.kind] * season(day)
        for index in np.flatnonzero(random.random(SHOPPERS) < chance):
            yield self._visit(int(index), random)
        yield from self._shifts(day, random)
        yield from self._street(day, random)

    def _visit(self, index: int, random: np.random.Generator) -> Outing:
        kind = KINDS[self.kind[index]]
        hour = float(random.choice(96, p=self.arrivals[self.kind[index]])) / 4 + float(random.random()) / 4
        wanted = 1 + min(int(random.poisson(kind.shops)), 6)
        picks = [
            int(self.favourites[index, random.integers(FAVOURITES)]) if random.random() < 0.55 else int(random.choice(len(self.pull), p=self.pull))
            for _ in range(wanted)
        ]
        shops = [self.mall.stores[pick] for pick in sorted(set(picks))]
        places = sorted((shop for shop in shops if not shop.counter), key=lambda place: place.door[0])
        if random.random() < 0.5:
            places.reverse()
        stops = [Errand(place, dwell(place.dwell_min * kind.pace, random)) for place in places]
        hungry = 11 <= hour <= 14.5 or 17.5 <= hour <= 20.5
        if not stops or (hungry and random.random() < kind.lunch):
            stops[len(stops) // 2 : len(stops) // 2] = self._meal(random)
        if random.random() < 0.12:
            floor = ("ground", "upper")[stops[-1].place.floor or 0]
            stops.append(Errand(self.mall.place(f"washrooms-{floor}"), dwell(4, random)))
        door = self.entrance[index] if random.random() < 0.85 else random.integers(len(DOORS))
        return Outing(self.people[index], hour, self.mall.place(DOORS[door]), tuple(stops))

    def _meal(self, random: np.random.Generator) -> list[Errand]:
        counters = [place for place in self.mall.stores if place.counter]
        counter = counters[int(random.integers(len(counters)))]
        return [Errand(counter, dwell(counter.dwell_min, random)), Errand(self.mall.place(FOOD_COURT), dwell(22, random))]

    def _shifts(self, day: date, random: np.random.Generator) -> Iterator[Outing]:
        """Staff work five days of seven, most of a day, in one shop, with a break in the food court."""
        for index, employee in enumerate(self.staff):
            if (day.toordinal() + index) % 7 < 5:
                shop = self.mall.stores[index * 4]
                start = (8.5, 13.0)[index % 2] + float(random.random()) * 0.3
                before, after = 3.4 + float(random.random()) * 0.5, 4.2 + float(random.random()) * 0.5
                stops = (Errand(shop, before * 3600), Errand(self.mall.place(FOOD_COURT), dwell(28, random)), Errand(shop, after * 3600))
                yield Outing(employee, start, self.mall.place("car-park-entrance"), stops, calm=1.6, staff=True)

    def _street(self, day: date, random: np.random.Generator) -> Iterator[Outing]:
        """People who pass outside and never come in."""
        arrivals = np.mean(self.arrivals, axis=0)
        for _ in range(int(150 * season(day) * (1.2 if day.weekday() < 5 else 0.8))):
            index = int(random.integers(PASSERS_BY))
            person = Person((device_name(self.seed, "street", index),), (("android", "ios")[index % 2],), None, None)
            hour = float(random.choice(96, p=arrivals)) / 4 + float(random.random()) / 4
            yield Outing(person, hour, None, ())


def dwell(median_min: float, random: np.random.Generator) -> float:
    """Seconds: log-normal, as dwell times in shops are; 40 s at least, 3 h at most."""
    return float(np.clip(median_min * 60 * np.exp(0.55 * random.standard_normal()), 40, 10_800))
