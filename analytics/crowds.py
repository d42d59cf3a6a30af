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
from analytics.reports.pieces import flat, pieces
from analytics.reports.reading import Question, Reading, Subject, periods, union
from analytics.reports.week import wall_hours
from analytics.stays import Ints

Zones = Sequence[int]  # of all subjects: what is read for all of them is read once


@dataclass(slots=True)
class Crowds:
    """Of one subject: numbers of shoppers by the rows of its report, in their order, and of its total. No rows: none are needed."""

    rows: list[dict[str, int]] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=dict)


def of(report: str, reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Crowds]:
    """One for each answer of the report."""
    count = COUNTED.get(report)
    zones = [zone for subject in subjects for zone in subject.zones]
    return [count(reading, subject, question, zones) for subject in subjects] if count else [Crowds() for _ in subjects]


def _footfall(reading: Reading, subject: Subject, question: Question, zones: Zones) -> Crowds:
    """By period: `passers`, who passed by, and `closed`, whose visit has ended."""
    closed = [union(row) for row in zip(*_classes(reading, subject, question, zones), strict=True)]
    return _sizes({"passers": _passers(reading, subject, question, zones), "closed": closed})


def _bounce(reading: Reading, subject: Subject, question: Question, zones: Zones) -> Crowds:
    """By period: `visitors` and `passers`."""
    return _sizes({"visitors": _visitors(reading, subject, question, zones), "passers": _passers(reading, subject, question, zones)})


def _sizes(sets: dict[str, list[BitMap]]) -> Crowds:
    rows = [dict(zip(sets, map(len, row), strict=True)) for row in zip(*sets.values(), strict=True)]
    return Crowds(rows, {name: len(union(listed)) for name, listed in sets.items()})


def _visitors(reading: Reading, subject: Subject, question: Question, zones: Zones) -> list[BitMap]:
    columns = ("dwell_hours", "dwell_shoppers", "hours") if question.grain == "hour" else ("members",)
    return pieces(reading, subject.zones, question, reading.days(zones, question, columns)).members()


def _passers(reading: Reading, subject: Subject, question: Question, zones: Zones) -> list[BitMap]:
    """Who passed by, by period. Days keep them as a set; of hours the stays themselves are read."""
    if question.grain != "hour":
        found = pieces(reading, subject.zones, question, reading.days(zones, question, ("passed",)))
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


def _dwell(reading: Reading, subject: Subject, question: Question, zones: Zones) -> Crowds:
    """By period: `closed`, whose visit has ended, and by class of dwell `class_0` to `class_4`."""
    sets = _classes(reading, subject, question, zones)
    closed = [union(row) for row in zip(*sets, strict=True)]
    return _sizes({"closed": closed, **{f"class_{number}": listed for number, listed in enumerate(sets)}})


def _classes(reading: Reading, subject: Subject, question: Question, zones: Zones) -> list[list[BitMap]]:
    """Of each class of dwell: by period, whose closed visits were of it."""
    if question.grain == "hour":
        return _classes_by_hour(reading, subject, question, reading.days(zones, question, ("dwells", "dwell_hours", "dwell_shoppers", "hours")))
    found = pieces(reading, subject.zones, question, reading.days(zones, question, ("class_sets",)))
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


def _by_weekday(reading: Reading, subject: Subject, question: Question, zones: Zones) -> Crowds:
    """By weekday and hour, as the heat map has them: `visitors`."""
    return _of_cells(reading, subject, question, zones, weekdays=7)


def _by_hour_of_day(reading: Reading, subject: Subject, question: Question, zones: Zones) -> Crowds:
    """By hour of the day: `visitors` who came in it, and `there`, who may have come earlier: at least one, where the report says that there was one."""
    found = _of_cells(reading, subject, question, zones, weekdays=1)
    return Crowds([{**row, "there": max(1, row["visitors"])} for row in found.rows], found.total)


def _of_cells(reading: Reading, subject: Subject, question: Question, zones: Zones, *, weekdays: int) -> Crowds:
    """`visitors` of each hour of the day, on each weekday (from Monday) or on all."""
    days = reading.days(zones, question, ("dwell_hours", "dwell_shoppers")).of(subject.zones)
    clocks = [reading.clock(zone) for zone in days.zone.tolist()]
    # The first of January 1970 was a Thursday.
    cells = [wall_hours(clock, day) + 24 * ((day + 3) % weekdays) for clock, day in zip(clocks, days.day.tolist(), strict=True)]
    first = np.cumsum([0, *map(len, cells)])[:-1]
    visits = [len(one) for one in days.columns["dwell_shoppers"]]
    place = flat(cells)[np.repeat(first, visits) + flat(days.columns["dwell_hours"])]
    sets = _by_place(place.astype(np.int16), flat(days.columns["dwell_shoppers"]), 24 * weekdays)
    return Crowds([{"visitors": len(one)} for one in sets], {"visitors": len(union(sets))})


COUNTED: Final[dict[str, Callable[[Reading, Subject, Question, Zones], Crowds]]] = {
    "footfall": _footfall,
    "dwell": _dwell,
    "bounce": _bounce,
    "heatmap": _by_weekday,
    "peak-hours": _by_hour_of_day,
}
