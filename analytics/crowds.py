"""How many shoppers are behind figures whose reports count stays: what an export needs to know of a row, and nobody is shown.

Exact, as the reports are. Only exports pay for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from pyroaring import BitMap

from analytics import facts
from analytics.days import Days, Piece, stays_of
from analytics.reports.pieces import by_clock, pieces
from analytics.reports.reading import Question, Reading, Subject, periods, union
from analytics.reports.week import wall_hours
from analytics.small_cells import FEW
from analytics.stays import Ints


@dataclass(slots=True)
class Crowds:
    """Of one subject: numbers of shoppers by the rows of its report, in their order, and of its total. No rows: none are needed."""

    rows: list[dict[str, int]] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=dict)


def of(report: str, reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Crowds]:
    """One for each answer of the report."""
    count = COUNTED.get(report)
    return [count(reading, subject, question) for subject in subjects] if count else [Crowds() for _ in subjects]


def _footfall(reading: Reading, subject: Subject, question: Question) -> Crowds:
    """By period: `passers`, who passed by, and `closed`, whose visit has ended."""
    closed = [union(row) for row in zip(*_classes(reading, subject, question), strict=True)]
    return _sizes({"passers": _passers(reading, subject, question), "closed": closed})


def _bounce(reading: Reading, subject: Subject, question: Question) -> Crowds:
    """By period: `visitors` and `passers`."""
    return _sizes({"visitors": _visitors(reading, subject, question), "passers": _passers(reading, subject, question)})


def _sizes(sets: dict[str, list[BitMap]]) -> Crowds:
    rows = [dict(zip(sets, map(len, row), strict=True)) for row in zip(*sets.values(), strict=True)]
    return Crowds(rows, {name: len(union(listed)) for name, listed in sets.items()})


def _visitors(reading: Reading, subject: Subject, question: Question) -> list[BitMap]:
    columns = ("dwell_hours", "dwell_shoppers", "hours") if question.grain == "hour" else ("members",)
    return pieces(reading, subject.zones, question, reading.days(subject.zones, question, columns)).members()


def _passers(reading: Reading, subject: Subject, question: Question) -> list[BitMap]:
    """Who passed by, by period. Days keep them as a set; of hours the stays themselves are read."""
    if question.grain != "hour":
        found = pieces(reading, subject.zones, question, reading.days(subject.zones, question, ("passed",)))
        return [union(sets) for sets in found.listed("passed")]
    clocks = {zone: reading.clock(zone) for zone in subject.zones}
    cut = periods(clocks.values(), question)
    wanted = [Piece(zone, 0, clock, *question.range.us(clock)) for zone, clock in clocks.items()]
    stays = stays_of(reading.cursor, [piece for piece in wanted if piece.start < piece.end])
    stays = stays.take(~stays.counted)
    place, kept = np.zeros(len(stays.zone), np.int64), np.zeros(len(stays.zone), np.bool_)
    for zone, clock in clocks.items():
        here = stays.zone == zone
        place[here] = cut.of_instants(clock, stays.started[here])
        kept[here] = True if question.part is None else clock.is_open(stays.started[here]) == question.part
    return _by_place(place[kept], stays.shopper[kept], len(cut.labels))


def _by_place(place: Ints, shopper: Ints, places: int) -> list[BitMap]:
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(places + 1)).tolist()
    numbers = shopper[order].astype(np.uint32)
    return [BitMap(numbers[low:high]) for low, high in pairwise(edges)]


def _dwell(reading: Reading, subject: Subject, question: Question) -> Crowds:
    """By period: `closed`, whose visit has ended, and by class of dwell `class_0` to `class_4`."""
    sets = _classes(reading, subject, question)
    closed = [union(row) for row in zip(*sets, strict=True)]
    return _sizes({"closed": closed, **{f"class_{number}": listed for number, listed in enumerate(sets)}})


def _classes(reading: Reading, subject: Subject, question: Question) -> list[list[BitMap]]:
    """Of each class of dwell: by period, whose closed visits were of it."""
    if question.grain == "hour":
        return _classes_by_hour(reading, subject, question, reading.days(subject.zones, question, ("dwells", "dwell_hours", "dwell_shoppers", "hours")))
    found = pieces(reading, subject.zones, question, reading.days(subject.zones, question, ("class_sets",)))
    listed = found.listed("class_sets")
    return [[union([one[number] for one in row]) for row in listed] for number in range(facts.CLASSES)]


def _classes_by_hour(reading: Reading, subject: Subject, question: Question, days: Days) -> list[list[BitMap]]:
    found = pieces(reading, subject.zones, question, days)
    columns = (found.days.columns[name] for name in ("dwells", "dwell_hours", "dwell_shoppers"))
    place, kind, shopper = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, dwells, hours, shoppers in zip(found.first.tolist(), *columns, strict=True):
        place.append(found.place[first + hours[: len(dwells)]])
        kind.append(facts.classes_of(dwells))
        shopper.append(shoppers[: len(dwells)])
    places, kinds, shoppers = np.concatenate(place), np.concatenate(kind), np.concatenate(shopper)
    return [_by_place(places[kinds == each], shoppers[kinds == each], len(found.labels)) for each in range(facts.CLASSES)]


def _by_weekday(reading: Reading, subject: Subject, question: Question) -> Crowds:
    """By weekday and hour, as the heat map has them: `visitors`."""
    return _of_cells(reading, subject, question, weekdays=7)


def _by_hour_of_day(reading: Reading, subject: Subject, question: Question) -> Crowds:
    """By hour of the day: `visitors` who came in it, and `there`, who may have come earlier: at least one, where the report says that there was one."""
    found = _of_cells(reading, subject, question, weekdays=1)
    return Crowds([{**row, "there": max(1, row["visitors"])} for row in found.rows], found.total)


def _of_cells(reading: Reading, subject: Subject, question: Question, *, weekdays: int) -> Crowds:
    """`visitors` of each hour of the day, on each weekday or on all. Counted as far as `FEW`: more need not be known."""
    days = reading.days(subject.zones, question, ("dwell_hours", "dwell_shoppers")).of(subject.zones)
    sets = [BitMap() for _ in range(24 * weekdays)]
    everybody = BitMap()
    few = np.ones(len(sets), np.bool_)
    for clock, here in by_clock(days, {zone: reading.clock(zone) for zone in subject.zones}):
        for entry in np.flatnonzero(here).tolist():
            day = int(days.day[entry])
            cells = wall_hours(clock, day) + 24 * ((day + 3) % 7 if weekdays == 7 else 0)
            hours, shoppers = days.columns["dwell_hours"][entry], days.columns["dwell_shoppers"][entry]
            if len(everybody) < FEW:
                everybody |= BitMap(shoppers.astype(np.uint32))
            for cell in np.unique(cells[few[cells]]).tolist():
                sets[cell] |= BitMap(shoppers[np.isin(hours, np.flatnonzero(cells == cell))].astype(np.uint32))
                few[cell] = len(sets[cell]) < FEW
    return Crowds([{"visitors": len(one)} for one in sets], {"visitors": len(everybody)})


COUNTED: Final[dict[str, Callable[[Reading, Subject, Question], Crowds]]] = {
    "footfall": _footfall,
    "dwell": _dwell,
    "bounce": _bounce,
    "heatmap": _by_weekday,
    "peak-hours": _by_hour_of_day,
}
