"""What a report reads: of which places, over which range, at which instant, in one snapshot of the database.

A report is a function of a Reading, a Subject and a Question, and gives rows and a total that JSON can say. It asks the reading for days
(analytics.days), which are exact at that instant. Time zones: every zone's days are those of its own venue's clock.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
from django.conf import settings
from django.db import connections, transaction
from pyroaring import BitMap

from analytics import days
from analytics.calendars import Clock, to_moment, to_us
from analytics.days import ALWAYS, Cursor, Days, Span
from analytics.periods import Grain, midnight, split
from analytics.premises import Premises, around
from analytics.stays import Ints
from engagement.models import Organisation

DEFINITIONS: Final = 1  # version of the definitions that made every figure here
Hours = Literal["all", "open", "closed"]
FEW_PEOPLE: Final = 4_096
PARTS: Final[dict[Hours, bool | None]] = {"all": None, "open": True, "closed": False}


@dataclass(frozen=True, slots=True)
class Subject:
    """What figures are of: one zone (a venue is its root zone), or all zones of a brand. `zones` are primary keys, at least one."""

    kind: Literal["zone", "brand"]
    key: str
    name: str
    zones: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """From `start` up to `end`: dates (local ones, of each venue's own clock) or instants."""

    start: date | datetime
    end: date | datetime

    def us(self, clock: Clock) -> tuple[int, int]:
        return _us(self.start, clock), _us(self.end, clock)


def _us(edge: date | datetime, clock: Clock) -> int:
    return to_us(edge.astimezone(UTC)) if isinstance(edge, datetime) else to_us(midnight(edge, clock.zone))


@dataclass(frozen=True, slots=True)
class Question:
    range: Range
    grain: Grain = "day"
    hours: Hours = "all"  # stays that start while the venue is open, or closed

    @property
    def part(self) -> bool | None:
        return PARTS[self.hours]


@dataclass(slots=True)
class Reading:
    """One snapshot. `now` is microseconds since 1970: what is open, and how far open stays reach."""

    organisation: Organisation
    cursor: Cursor
    now: int
    premises: Premises
    restated_at: int = 0  # the latest restatement of the days read so far; 0: none of them was restated
    restated: dict[int, int] = field(default_factory=dict)  # the same by zone; those without one are left out
    _known: dict[Any, Days] = field(default_factory=dict)

    def clock(self, zone: int) -> Clock:
        return self.premises.clock[zone]

    def days(self, zones: Iterable[int], question: Question, columns: Sequence[str], *, flows: bool = False) -> Days:
        """The days in the question's range. Ask once for all zones of a report, then `.of` each subject."""
        found = self.between(zones, question.range.us, columns, part=question.part, flows=flows)
        self.note(found)
        return found

    def note(self, found: Days) -> None:
        """These days are behind the figures: remember when one of them was restated."""
        for place in np.flatnonzero(found.restated_at).tolist():
            zone, at = int(found.zone[place]), int(found.restated_at[place])
            self.restated[zone] = max(self.restated.get(zone, 0), at)
            self.restated_at = max(self.restated_at, at)

    def before(self, zones: Iterable[int], question: Question, columns: Sequence[str] = ("members",)) -> Days:
        """The days before the question's range, from the beginning."""
        return self.between(zones, lambda clock: (ALWAYS, question.range.us(clock)[0]), columns, part=question.part)

    def between(
        self, zones: Iterable[int], edges: Callable[[Clock], tuple[int, int]], columns: Sequence[str], *, part: bool | None, flows: bool = False
    ) -> Days:
        """The days from one instant up to another, by each zone's clock."""
        return self.each(zones, lambda zone: edges(self.clock(zone)), columns, part=part, flows=flows)

    def each(self, zones: Iterable[int], edges: Callable[[int], tuple[int, int]], columns: Sequence[str], *, part: bool | None, flows: bool = False) -> Days:
        """The days from one instant up to another, for each zone."""
        spans = [Span(zone, self.clock(zone), *edges(zone)) for zone in sorted(set(zones))]
        return self._read(tuple(spans), tuple(columns), part, flows)

    def _read(self, spans: tuple[Span, ...], columns: tuple[str, ...], part: bool | None, flows: bool) -> Days:
        key = (spans, columns, part, flows)
        if key not in self._known:
            spans = tuple(span for span in spans if span.start < span.end)
            self._known[key] = days.read(self.cursor, spans, columns, now=self.now, part=part, premises=self.premises if flows else None)
        return self._known[key]


@contextmanager
def reading(organisation: Organisation, subjects: Iterable[Subject], *, now: datetime | None = None) -> Iterator[Reading]:
    """A snapshot for reports of these subjects: what is written meanwhile is not seen, in any part."""
    connection = connections[settings.REPORTS_DATABASE]
    nested = connection.in_atomic_block
    with transaction.atomic(using=settings.REPORTS_DATABASE, savepoint=False):
        cursor = days.plain(connection)
        if not nested:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        zones = sorted({zone for subject in subjects for zone in subject.zones})
        yield Reading(organisation, cursor, to_us(now or datetime.now(UTC)), around(cursor, zones))


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of a range on all clocks of a subject: labels in order, and which label each local day, or hour, falls under."""

    labels: list[str]
    starts: dict[Clock, Ints]  # of each clock's periods: the first instant
    places: dict[Clock, Ints]  # and the place of its label
    tables: dict[Clock, tuple[int, Ints]] = field(default_factory=dict, compare=False)  # places of the days asked so far: from the first, in order

    def of_days(self, clock: Clock, day: Ints) -> Ints:
        """The place of each local day's label. Of a day that the range cuts, too."""
        if not len(day):
            return day.astype(np.int64)
        first, last = int(day.min()), int(day.max())
        known = self.tables.get(clock)
        if known is None or first < known[0] or last >= known[0] + len(known[1]):
            if known is not None:
                first, last = min(first, known[0]), max(last, known[0] + len(known[1]) - 1)
            known = self.tables[clock] = first, self.of_instants(clock, clock.begins(first, last)[1:] - 1)
        return known[1][day - known[0]]

    def of_instants(self, clock: Clock, us: Ints) -> Ints:
        """Of what lies just before a range that begins within an hour: the first one's."""
        return self.places[clock][np.maximum(np.searchsorted(self.starts[clock], us, side="right") - 1, 0)]


def periods(clocks: Iterable[Clock], question: Question) -> Periods:
    """Raises periods.TooManyPeriods."""
    return _periods(tuple(dict.fromkeys(clocks)), question.range, question.grain)


@lru_cache(maxsize=128)  # twenty places side by side, and every widget of a page, share one cut
def _periods(clocks: tuple[Clock, ...], wanted: Range, grain: Grain) -> Periods:
    starts: dict[Clock, Ints] = {}
    labels: dict[Clock, list[str]] = {}
    first: dict[str, int] = {}
    for clock in clocks:
        start, end = wanted.us(clock)
        cut = split(to_moment(start), to_moment(end), grain, clock.zone)
        starts[clock] = np.array([to_us(period.start) for period in cut], dtype=np.int64)
        labels[clock] = [period.label for period in cut]
        for period in cut:
            first[period.label] = min(to_us(period.start), first.get(period.label, to_us(period.start)))
    ordered = sorted(first, key=lambda label: (first[label], label))
    place = {label: number for number, label in enumerate(ordered)}
    return Periods(ordered, starts, {clock: np.array([place[label] for label in listed], dtype=np.int64) for clock, listed in labels.items()})


def seconds(us: float | None) -> float | None:
    """Microseconds as seconds: to the microsecond, and without a fraction where there is none."""
    if us is None:
        return None
    value = us / 1_000_000
    return int(value) if value == int(value) else round(value, 6)


def quantiles(runs: Sequence[Ints], shares: Sequence[float]) -> list[float | None]:
    """Of what is in the runs, each of them rising. Interpolated between the two neighbours (SQL's percentile_cont); None where there are none."""
    values = runs[0] if len(runs) == 1 else np.concatenate(runs) if runs else np.empty(0, np.int64)
    if not len(values):
        return [None for _ in shares]
    places = [share * (len(values) - 1) for share in shares]
    neighbours = [(int(place), min(int(place) + 1, len(values) - 1)) for place in places]
    found = values if len(runs) == 1 else np.partition(values, sorted({one for pair in neighbours for one in pair}))
    return [float(found[low]) + (place - low) * float(found[high] - found[low]) for place, (low, high) in zip(places, neighbours, strict=True)]


def rate(part: float, whole: float) -> float | None:
    """To six digits; None of nothing."""
    return round(part / whole, 6) if whole else None


def joined(sets: Sequence[BitMap]) -> BitMap:
    """Their union, for reading only: of one set, itself."""
    return sets[0] if len(sets) == 1 else union(sets)


def union(sets: Sequence[BitMap]) -> BitMap:
    """A set of its own. Of few people one after the other: all at once, each 65,536 numbers are spread out first, at twice the time."""
    if sum(map(len, sets)) > FEW_PEOPLE:
        return BitMap.union(*sets) if len(sets) > 1 else BitMap(sets[0])
    found = BitMap()
    for one in sets:
        found |= one
    return found
