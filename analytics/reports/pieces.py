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
from analytics.reports.reading import Periods, Question, Reading, periods
from analytics.reports.unions import united
from analytics.stays import Bools, Ints

MOST_NARROW: Final = 2**16  # so many labels fit two bytes, of which a stable sort is in one pass


@dataclass(slots=True)
class Dwells:
    """Microseconds, of all labels in one array of its own; those of label i from edges[i] up to edges[i + 1].

    Those of one day of one zone rise already. The others of a label are put in order as far as is asked, in place: of `whole`, across the labels.
    """

    values: Ints
    edges: Ints
    sums: Ints  # of each label
    mixed: Ints  # labels whose values do not rise

    def counts(self) -> Ints:
        return np.diff(self.edges)

    def quantiles(self, shares: Sequence[float]) -> list[list[float | None]]:
        """For each share, of each label. Interpolated between the two neighbours (SQL's percentile_cont); None where there are no visits."""
        counts = np.diff(self.edges)
        places = [share * np.maximum(counts - 1, 0) for share in shares]
        lows = [place.astype(np.int64) for place in places]
        highs = [np.minimum(low + 1, np.maximum(counts - 1, 0)) for low in lows]
        if not len(self.values):
            return [[None] * len(counts) for _ in shares]
        wanted = np.stack((*lows, *highs), axis=1)
        for label in self.mixed.tolist():
            self.values[self.edges[label] : self.edges[label + 1]].partition(np.unique(wanted[label]))
        begin = np.minimum(self.edges[:-1], len(self.values) - 1)  # of a label without values, somebody else's: not told
        found = []
        for place, low, high in zip(places, lows, highs, strict=True):
            below, above = self.values[begin + low], self.values[begin + high]
            told = below.astype(np.float64) + (place - low) * (above - below).astype(np.float64)
            found.append([value if count else None for value, count in zip(told.tolist(), counts.tolist(), strict=True)])
        return found

    def whole(self) -> "Dwells":
        """All of them under one label. The labels' own are to be asked for before it."""
        some = len(self.values) > 0
        return Dwells(self.values, np.array([0, len(self.values)]), np.array([self.sums.sum()]), np.flatnonzero([some]))


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
        """Visitors under each label, for reading only. By day: `members`; by hour: `dwell_hours` and `dwell_shoppers`."""
        if not self.by_hour:
            return self._united()
        columns = self.days.columns
        numbers, edges = self._by_label(flat(columns["dwell_shoppers"]), self._places(columns["dwell_hours"]))
        numbers = numbers.astype(np.uint32)
        return [BitMap(numbers[low:high]) for low, high in pairwise(edges.tolist())]

    def _united(self) -> list[BitMap]:
        values, digests = self.days.columns["members"], self.days.digest
        order = np.argsort(self.place, kind="stable")
        edges = np.searchsorted(self.place[order], np.arange(len(self.labels) + 1)).tolist()
        runs = [order[low:high] for low, high in pairwise(edges)]
        return [united([values[place] for place in run.tolist()], digests[run]) if len(run) else BitMap() for run in runs]

    def dwells(self) -> "Dwells":
        """Of closed visits under each label. By day: `dwells`; by hour: `dwells` and `dwell_hours`."""
        columns = self.days.columns
        if self.by_hour:
            hours = [of[: len(dwells)] for of, dwells in zip(columns["dwell_hours"], columns["dwells"], strict=True)]  # open stays come last
            values, edges = self._by_label(flat(columns["dwells"]), self._places(hours))
            filled = np.flatnonzero(np.diff(edges))
            sums = np.zeros(len(self.labels), np.int64)
            sums[filled] = np.add.reduceat(values, edges[filled]) if len(filled) else 0
            return Dwells(values, edges, sums, filled)
        order = np.argsort(self.place, kind="stable")
        lengths = np.array([len(one) for one in columns["dwells"]], dtype=np.int64)
        counts, sums, runs = (np.zeros(len(self.labels), np.int64) for _ in range(3))
        for total, numbers in ((counts, lengths), (sums, self.days.dwell_us), (runs, lengths > 0)):
            np.add.at(total, self.place, numbers)
        edges = np.concatenate(([0], np.cumsum(counts)))
        return Dwells(flat([columns["dwells"][one] for one in order.tolist()]), edges, sums, np.flatnonzero(runs > 1))

    def listed(self, column: str) -> list[list[Any]]:
        """The entries' values of a column under each label, by day."""
        found: list[list[Any]] = [[] for _ in self.labels]
        for place, value in zip(self.place.tolist(), self.days.columns[column], strict=True):
            found[place].append(value)
        return found

    def _places(self, hours: list[Ints]) -> Ints:
        """The label of each visit, by its hour of its entry's day."""
        places: Ints = self.place[np.repeat(self.first, [len(one) for one in hours]) + flat(hours)]
        return places

    def _by_label(self, values: Ints, place: Ints) -> tuple[Ints, Ints]:
        """The values in the order of their labels, and where each label's begin."""
        edges = np.concatenate(([0], np.cumsum(np.bincount(place, minlength=len(self.labels)))))
        narrow = place.astype(np.uint16) if len(self.labels) <= MOST_NARROW else place
        return values[np.argsort(narrow, kind="stable")], edges

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
