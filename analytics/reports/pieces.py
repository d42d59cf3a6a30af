"""What falls under each period of a question, of one subject: visits, visitors and dwells, by whole days or by hours.

A day falls under one period (hours aside), so its stored columns are used as they are; by the hour they are taken apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from analytics.calendars import Clock
from analytics.days import Days
from analytics.reports.reading import Periods, Question, Reading, periods, union
from analytics.stays import Bools, Ints

MOST_NARROW: Final = 2**16  # so many labels fit two bytes, of which a stable sort is in one pass


@dataclass(slots=True)
class Dwells:
    """Microseconds, of all labels in one array; those of label i from edges[i] up to edges[i + 1], in any order."""

    values: Ints
    edges: Ints

    def counts(self) -> list[int]:
        counted: list[int] = np.diff(self.edges).tolist()
        return counted

    def sums(self) -> list[int]:
        summed: list[int] = np.diff(np.concatenate(([0], np.cumsum(self.values)))[self.edges]).tolist()
        return summed

    def quantiles(self, shares: Sequence[float]) -> list[list[float | None]]:
        """For each share, of each label. Interpolated between the two neighbours (SQL's percentile_cont); None where there are no visits."""
        counts = np.diff(self.edges)
        places = [share * np.maximum(counts - 1, 0) for share in shares]
        lows = [place.astype(np.int64) for place in places]
        highs = [np.minimum(low + 1, np.maximum(counts - 1, 0)) for low in lows]
        if not len(self.values):
            return [[None] * len(counts) for _ in shares]
        values = self._parted(np.stack((*lows, *highs), axis=1))
        begin = np.minimum(self.edges[:-1], len(values) - 1)  # of a label without values, somebody else's: not told
        found = []
        for place, low, high in zip(places, lows, highs, strict=True):
            below, above = values[begin + low], values[begin + high]
            told = below.astype(np.float64) + (place - low) * (above - below).astype(np.float64)
            found.append([value if count else None for value, count in zip(told.tolist(), counts.tolist(), strict=True)])
        return found

    def whole(self) -> "Dwells":
        """All of them under one label."""
        return Dwells(self.values, np.array([0, len(self.values)]))

    def _parted(self, wanted: Ints) -> Ints:
        """The values, with those that belong at the wanted places of each label there. Those of one day of one zone rise, and are as they are."""
        falls = np.flatnonzero(self.values[1:] < self.values[:-1]) + 1
        labels = np.searchsorted(self.edges, falls, side="right") - 1
        mixed = np.unique(labels[self.edges[labels] != falls])
        values = self.values.copy() if len(mixed) else self.values
        for label in mixed.tolist():
            values[self.edges[label] : self.edges[label + 1]].partition(np.unique(wanted[label]))
        return values


@dataclass(slots=True)
class Pieces:
    """One subject's days under the labels of its periods. Which columns the days must have, each function says: by day, and by hour."""

    days: Days
    cut: Periods
    by_hour: bool
    place: Ints  # of each entry; by hour: of each hour of each entry
    first: Ints  # by hour: where each entry's hours begin in `place`

    @property
    def labels(self) -> list[str]:
        return self.cut.labels

    def counts(self) -> tuple[Ints, Ints]:
        """Visits and pass-bys under each label. By hour: `hours`."""
        if not self.by_hour:
            return self._sum(self.days.visits), self._sum(self.days.pass_bys)
        both = [one.reshape(2, -1) for one in self.days.columns["hours"]]
        return self._sum(flat([one[0] for one in both])), self._sum(flat([one[1] for one in both]))

    def members(self) -> list[BitMap]:
        """Visitors under each label. By day: `members`; by hour: `dwell_hours` and `dwell_shoppers`."""
        if not self.by_hour:
            return [union(sets) for sets in self.listed("members")]
        order, edges = self._by_label(self._places("dwell_shoppers"))
        numbers = flat(self.days.columns["dwell_shoppers"])[order].astype(np.uint32)
        return [BitMap(numbers[low:high]) for low, high in pairwise(edges.tolist())]

    def dwells(self) -> "Dwells":
        """Of closed visits under each label. By day: `dwells`; by hour: `dwells` and `dwell_hours`."""
        dwells = flat(self.days.columns["dwells"])
        order, edges = self._by_label(self._places("dwells"))
        return Dwells(dwells[order], edges)

    def listed(self, column: str) -> list[list[Any]]:
        """The entries' values of a column under each label, by day."""
        found: list[list[Any]] = [[] for _ in self.labels]
        for place, value in zip(self.place.tolist(), self.days.columns[column], strict=True):
            found[place].append(value)
        return found

    def _places(self, column: str) -> Ints:
        """The label of each value of a column that has one for each visit. Open stays come last, and have no dwell."""
        columns = self.days.columns
        lengths = [len(one) for one in columns[column]]
        if not self.by_hour:
            return np.repeat(self.place, lengths)
        hour = flat([hours[:length] for hours, length in zip(columns["dwell_hours"], lengths, strict=True)])
        places: Ints = self.place[np.repeat(self.first, lengths) + hour]
        return places

    def _by_label(self, place: Ints) -> tuple[Ints | slice, Ints]:
        """The order of the labels, else kept, and where each one's values begin."""
        edges = np.concatenate(([0], np.cumsum(np.bincount(place, minlength=len(self.labels)))))
        if (place[1:] >= place[:-1]).all():
            return slice(None), edges
        narrow = place.astype(np.uint16) if len(self.labels) <= MOST_NARROW else place
        return np.argsort(narrow, kind="stable"), edges

    def _sum(self, numbers: Ints) -> Ints:
        return np.bincount(self.place, weights=numbers, minlength=len(self.labels)).astype(np.int64)


def pieces(reading: Reading, zones: Sequence[int], question: Question, days: Days, cut: Periods | None = None) -> Pieces:
    """Of the entries of these zones, under the periods of their clocks, or `cut`. Raises periods.TooManyPeriods."""
    own = with_stays(days.of(zones))
    clocks = {zone: reading.clock(zone) for zone in zones}
    cut = cut or periods(clocks.values(), question)
    if question.grain == "hour":
        return _by_hour(own, clocks, cut)
    place = np.zeros(len(own), np.int64)
    for clock, here in by_clock(own, clocks):
        place[here] = cut.of_days(clock, own.day[here])
    return Pieces(own, cut, False, place, np.empty(0, np.int64))


def _by_hour(days: Days, clocks: dict[int, Clock], cut: Periods) -> Pieces:
    begins = [clocks[zone].hours_of(day) for zone, day in zip(days.zone.tolist(), days.day.tolist(), strict=True)]
    lengths = np.array([len(one) for one in begins], dtype=np.int64)
    instants = flat(begins)
    place = np.zeros(len(instants), np.int64)
    for clock, here in by_clock(days, clocks):
        hours = np.repeat(here, lengths)
        place[hours] = cut.of_instants(clock, instants[hours])
    return Pieces(days, cut, True, place, np.cumsum(lengths) - lengths)


def with_stays(days: Days) -> Days:
    """Without the days that were restated to nothing: their columns are empty."""
    chosen = np.flatnonzero((days.visits > 0) | (days.pass_bys > 0))
    if len(chosen) == len(days):
        return days
    arrays = {name: getattr(days, name)[chosen] for name in ("zone", "day", "open", "visits", "pass_bys", "dwell_us", "restated_at", "digest")}
    return Days(**arrays, live={}, columns={name: [values[place] for place in chosen.tolist()] for name, values in days.columns.items()})


def by_clock(days: Days, clocks: dict[int, Clock]) -> list[tuple[Clock, Bools]]:
    """Each clock, and which entries are told by it (as a mask)."""
    return [(clock, np.isin(days.zone, [zone for zone, its in clocks.items() if its == clock])) for clock in dict.fromkeys(clocks.values())]


def flat(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
