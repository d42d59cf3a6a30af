"""What falls under each period of a question, of one subject: visits, visitors and dwells, by whole days or by hours.

A day falls under one period (hours aside), so its stored columns are used as they are; by the hour they are taken apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pyroaring import BitMap

from analytics.calendars import Clock
from analytics.days import Days
from analytics.reports.reading import Periods, Question, Reading, periods, union
from analytics.stays import Bools, Ints


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
        shoppers = flat(self.days.columns["dwell_shoppers"])
        lengths = [len(one) for one in self.days.columns["dwell_shoppers"]]
        place = self.place[np.repeat(self.first, lengths) + flat(self.days.columns["dwell_hours"])]
        order = np.argsort(place, kind="stable")
        edges = np.searchsorted(place[order], np.arange(len(self.labels) + 1)).tolist()
        numbers = shoppers[order].astype(np.uint32)
        return [BitMap(numbers[low:high]) for low, high in pairwise(edges)]

    def dwells(self) -> list[list[Ints]]:
        """Dwells of closed visits under each label, in runs that rise. By day: `dwells`; by hour: `dwells` and `dwell_hours`."""
        if not self.by_hour:
            return self.listed("dwells")
        found: list[list[Ints]] = [[] for _ in self.labels]
        columns = (self.days.columns["dwells"], self.days.columns["dwell_hours"])
        for at, dwells, hours in zip(self.first.tolist(), *columns, strict=True):
            if len(dwells):
                hour = hours[: len(dwells)]  # open stays come last and have none
                order = np.argsort(hour, kind="stable")
                present, begins = np.unique(hour[order], return_index=True)
                for one, run in zip(present.tolist(), np.split(dwells[order], begins[1:]), strict=True):
                    found[self.place[at + one]].append(run)
        return found

    def listed(self, column: str) -> list[list[Any]]:
        """The entries' values of a column under each label, by day."""
        found: list[list[Any]] = [[] for _ in self.labels]
        for place, value in zip(self.place.tolist(), self.days.columns[column], strict=True):
            found[place].append(value)
        return found

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
