"""A year of two malls: 200 zones, shoppers who come often and such who come once, stays to the millisecond. Loaded by COPY.

The year ends now, and it is about five in the afternoon at the malls, so that the last day is a running one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import psycopg

from analytics import binary
from tests.bench.world import square

DAYS: Final = 365
VENUES: Final = ("north", "south")
FLOORS, STORES, AREAS, ENTRANCES, STREETS = 3, 80, 8, 6, 2  # of each; 100 zones with the root
OPENING: Final = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
OPENS_H, CLOSES_H = 9, 21
PER_VISIT: Final = 4  # stays in all, one of them in the root
WEEK: Final = (0.85, 0.8, 0.85, 0.95, 1.15, 1.45, 0.95)  # from Monday
MINUTE: Final = 60_000  # everything here is in milliseconds
HOUR: Final = 60 * MINUTE
SECOND: Final = 1_000
_PLACES: Final = ("Pacific/Auckland", "Asia/Tokyo", "Asia/Kolkata", "Asia/Dubai", "Europe/Athens", "Africa/Johannesburg", "Africa/Lagos", "Europe/London",
                  "America/Sao_Paulo", "America/New_York", "America/Denver", "America/Los_Angeles", "Pacific/Honolulu", "Australia/Sydney")  # fmt: skip
_STAY: Final = ("organisation_id", "shard", "shopper_id", "zone_id", "started", "ended", "closes_at", "cut", "counted", "closed")
Array = np.ndarray[Any, np.dtype[Any]]


def time_zone(now: datetime) -> str:
    """A place where it is the afternoon now."""
    return min(_PLACES, key=lambda name: abs(now.astimezone(ZoneInfo(name)).hour - 17))


def provision_file(now: datetime) -> dict[str, Any]:
    """Each store is a brand's; each brand has a store in both malls."""
    zones = []
    for number, venue in enumerate(VENUES):
        floors = [f"{venue}-floor-{i}" for i in range(FLOORS)]
        zones += [{"key": key, "venue": venue, "name": key, "kind": "floor", "floor": i} for i, key in enumerate(floors)]
        for kind, count in (("store", STORES), ("area", AREAS), ("entrance", ENTRANCES), ("street", STREETS)):
            for i in range(count):
                zone = {"key": f"{venue}-{kind}-{i}", "venue": venue, "name": f"{kind} {i}", "kind": kind, "boundary": square(i * 10, number * 900, 8)}
                zones.append(
                    {**zone, **({"parent": floors[i % FLOORS]} if kind in ("store", "area") else {}), **({"brand": f"brand-{i}"} if kind == "store" else {})}
                )
    return {
        "organisation": {"key": "bench", "name": "Bench"},
        "brands": [{"key": f"brand-{i}", "name": f"Brand {i}"} for i in range(STORES)],
        "venues": [{"key": key, "name": key, "time_zone": time_zone(now), "boundary": square(-10, i * 900, 820)} for i, key in enumerate(VENUES)],
        "zones": zones,
        "keys": [{"name": "app", "kind": "publishable"}, {"name": "ops", "kind": "secret"}],
    }


@dataclass(frozen=True, slots=True)
class Mall:
    """Primary keys of its zones."""

    root: int
    floor: Array
    store: Array
    area: Array
    entrance: Array
    street: Array


@dataclass(slots=True)
class Stays:
    shopper: Array
    zone: Array
    started: Array  # milliseconds since 1970
    ended: Array
    grace: Array
    counted: Array

    @classmethod
    def of(cls, shopper: Array, zone: Array | int, started: Array, dwell: Array, *, grace_s: int, least_s: int) -> "Stays":
        size = len(shopper)
        zones = np.broadcast_to(np.asarray(zone, np.int64), size)
        return cls(shopper, zones, started, started + dwell, np.full(size, grace_s * SECOND), dwell >= least_s * SECOND)

    @classmethod
    def together(cls, parts: list["Stays"]) -> "Stays":
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def take(self, chosen: Array) -> "Stays":
        return Stays(*(getattr(self, name)[chosen] for name in self.__slots__))


class Year:
    """`shoppers` people with primary keys 1, 2, ... in no order of their habits, and about `stays` stays."""

    def __init__(self, malls: list[Mall], *, shoppers: int, stays: int, now: datetime, seed: int = 7) -> None:
        self.random = np.random.default_rng(seed)
        self.malls, self.now = malls, now
        self.zone = ZoneInfo(time_zone(now))
        self.today = now.astimezone(self.zone).date()
        self.a_day = stays / PER_VISIT / DAYS / len(malls)
        # A tenth of the people make half of the visits.
        self.habits = np.cumsum(self.random.lognormal(0, 1.3, shoppers))
        self.popular = np.cumsum(1 / np.arange(3, STORES + 3))

    def days(self) -> Iterator[Stays]:
        for back in range(DAYS - 1, -1, -1):
            day = self.today - timedelta(days=back)
            yield self.day(day, [int(self.random.poisson(self.a_day * WEEK[day.weekday()])) for _ in self.malls])

    def day(self, day: date, visits: list[int]) -> Stays:
        """What has begun by now, by start."""
        begin = int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * SECOND
        stays = Stays.together([self._mall(mall, begin, count) for mall, count in zip(self.malls, visits, strict=True)])
        now = int(self.now.timestamp()) * SECOND
        stays = stays.take(np.flatnonzero(stays.started < now))
        stays.ended = np.minimum(stays.ended, np.maximum(now - self.random.integers(0, 50 * SECOND, len(stays.ended)), stays.started))
        return stays.take(np.argsort(stays.started, kind="stable"))

    def people(self, size: int) -> Array:
        return np.searchsorted(self.habits, self.random.random(size) * self.habits[-1]) + 1

    def _mall(self, mall: Mall, begin: int, count: int) -> Stays:
        random = self.random
        who = self.people(count)
        start = begin + OPENS_H * HOUR + (random.beta(1.8, 1.8, count) * (CLOSES_H - OPENS_H) * HOUR * 0.97).astype(np.int64)
        start[random.random(count) < 0.01] -= 3 * HOUR  # before it opens
        dwell = np.minimum((random.lognormal(np.log(38), 0.95, count) * MINUTE).astype(np.int64), 9 * HOUR)
        floor = mall.floor[random.integers(0, FLOORS, count)]
        parts = [
            Stays.of(who, mall.root, start, dwell, grace_s=900, least_s=300),
            Stays.of(who, floor, start + dwell // 20, dwell * 9 // 10, grace_s=120, least_s=30),
            self._inside(mall.store[np.searchsorted(self.popular, random.random(int(count * 1.1)) * self.popular[-1])], who, start, dwell, 8, (120, 120)),
            self._inside(random.choice(mall.entrance, int(count * 0.3)), who, start, dwell, 0.7, (120, 30)),
            self._inside(random.choice(mall.area, int(count * 0.3)), who, start, dwell, 4, (60, 30)),
        ]
        past = int(count * 0.3)  # half of those in the street come in
        outside = np.where(random.random(past) < 0.5, random.choice(who, past) if count else 0, self.people(past))
        when = begin + OPENS_H * HOUR + random.integers(0, 12 * HOUR, past)
        parts.append(Stays.of(outside, random.choice(mall.street, past), when, random.integers(0, 2 * MINUTE, past), grace_s=60, least_s=0))
        return Stays.together(parts)

    def _inside(self, zone: Array, who: Array, start: Array, dwell: Array, minutes: float, rule: tuple[int, int]) -> Stays:
        """Somewhere in a visit, not beyond its end. `rule`: seconds of grace, and least seconds."""
        if not len(who):
            zone = zone[:0]
        visit = self.random.integers(0, max(len(who), 1), len(zone))
        into = (self.random.random(len(zone)) * dwell[visit] * 0.9).astype(np.int64)
        length = (self.random.lognormal(np.log(minutes), 0.9, len(zone)) * MINUTE).astype(np.int64)
        return Stays.of(who[visit], zone, start[visit] + into, np.minimum(length, dwell[visit] - into), grace_s=rule[0], least_s=rule[1])


def malls(connection: psycopg.Connection[Any]) -> list[Mall]:
    found = []
    for venue in VENUES:
        rows = connection.execute(
            "SELECT z.id, z.kind FROM engagement_zone z JOIN engagement_venue v ON v.id = z.venue_id WHERE v.key = %s ORDER BY z.id", [venue]
        ).fetchall()
        of = {kind: np.array([zone for zone, its in rows if its == kind], dtype=np.int64) for kind in ("venue", "floor", "store", "area", "entrance", "street")}
        found.append(Mall(int(of.pop("venue")[0]), **of))
    return found


def load(connection: psycopg.Connection[Any], *, shoppers: int, stays: int, now: datetime) -> int:
    """Empty tables filled: people, stays, purchases; the opening hours of the malls. Returns the number of stays."""
    connection.execute("UPDATE engagement_venue SET opening_hours = %s", [psycopg.types.json.Json(OPENING)])
    connection.execute("TRUNCATE engagement_shopper, analytics_stay RESTART IDENTITY CASCADE")
    connection.execute(
        """INSERT INTO engagement_shopper (id, organisation_id, shard, external_id, last_at, horizon, created_at)
           SELECT n, o.id, n %% 64, 's-' || n, now(), now(), now() FROM engagement_organisation o, generate_series(1, %s) n""",
        [shoppers],
    )
    indexes = _without_indexes(connection)
    year, size = Year(malls(connection), shoppers=shoppers, stays=stays, now=now), 0
    [[organisation]] = connection.execute("SELECT id FROM engagement_organisation").fetchall()
    waiting: list[Stays] = []
    for day in year.days():
        waiting.append(day)
        size += len(day.shopper)
        if sum(len(one.shopper) for one in waiting) > 500_000:
            add(connection, organisation, Stays.together(waiting), now)
            waiting = []
    add(connection, organisation, Stays.together(waiting), now) if waiting else None
    for statement in indexes:
        connection.execute(statement)
    purchases(connection)
    return size


def add(connection: psycopg.Connection[Any], organisation: int, stays: Stays, now: datetime) -> None:
    size, closes = len(stays.shopper), stays.ended + stays.grace
    columns: list[Array] = [
        np.full(size, organisation), (stays.shopper % 64).astype(">i2"), stays.shopper, stays.zone,
        binary.instant(stays.started * 1000), binary.instant(stays.ended * 1000), binary.instant(closes * 1000),
        np.zeros(size, "u1"), stays.counted.astype("u1"), (closes < now.timestamp() * SECOND).astype("u1"),
    ]  # fmt: skip
    rows: dict[str, Array | None] = {name: column.astype(">i8") if column.dtype == np.int64 else column for name, column in zip(_STAY, columns, strict=True)}
    with connection.cursor() as cursor:
        binary.copy_in(cursor, f"analytics_stay ({', '.join(_STAY)})", [binary.copy_rows(rows)])


def _without_indexes(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop the indexes of the stays; how to make them again, once the rows are there, as a restore does."""
    again = []
    for name, definition in connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'analytics_stay'::regclass AND contype IN ('p', 'u')"
    ).fetchall():
        connection.execute(f'ALTER TABLE analytics_stay DROP CONSTRAINT "{name}"')
        again.append(f'ALTER TABLE analytics_stay ADD CONSTRAINT "{name}" {definition}')
    for name, definition in connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'analytics_stay'").fetchall():
        connection.execute(f'DROP INDEX "{name}"')
        again.append(definition)
    return ["SET maintenance_work_mem = '512MB'", *again, "RESET maintenance_work_mem"]


def purchases(connection: psycopg.Connection[Any]) -> None:
    """A tenth of the visits to stores of brands end in one."""
    connection.execute(
        """INSERT INTO engagement_purchase (organisation_id, key, shopper_id, brand_id, at, amount, currency)
           SELECT s.organisation_id, 'p-' || s.id, s.shopper_id, z.brand_id, s.ended, 10, 'EUR'
           FROM analytics_stay s JOIN engagement_zone z ON z.id = s.zone_id AND z.brand_id IS NOT NULL WHERE s.counted AND s.id % 10 = 0"""
    )


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
