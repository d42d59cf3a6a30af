"""When people come: by the hour that the clock on the wall shows, and the day of the week."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from analytics.calendars import Clock, to_moment
from analytics.days import Days
from analytics.facts import QUARTER
from analytics.periods import MOST_ROWS, TooManyPeriods
from analytics.reports.pieces import by_clock, flat, with_stays
from analytics.reports.presence import DAY_US, levels, reading_back
from analytics.reports.reading import Question, Reading, Subject, rate
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total

HOURS: Final = 24
WEEKDAYS: Final = 7


def heatmap(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Visits by weekday (1: Monday) and hour of their start. `days`: how many such weekdays of the range have come to that hour.

    An hour that the clock skips has no such day; of one that it shows twice, both are the same day's. Raises periods.TooManyPeriods.
    """
    days = reading.days([zone for subject in subjects for zone in subject.zones], question, ("hours",))
    answers = []
    for subject in subjects:
        clocks = {zone: reading.clock(zone) for zone in subject.zones}
        visits = _visits(days.of(subject.zones), clocks).tolist()
        come = np.bincount(_cells(_hours_come(clocks, question, reading.now)), minlength=WEEKDAYS * HOURS).tolist()
        rows = [
            {"weekday": cell // HOURS + 1, "hour": cell % HOURS, "visits": number, "days": of, "mean": rate(number, of)}
            for cell, (number, of) in enumerate(zip(visits, come, strict=True))
        ]
        answers.append({"rows": rows, "total": {"visits": sum(visits)}})
    return answers


def peak_hours(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Each hour of the day: visits that start in it, how many that is a day (of the days that have come to that hour), and the mean
    occupancy in it (of several places, the sum of each one's). In the total, the hour with most visits. Raises periods.TooManyPeriods."""
    zones = [zone for subject in subjects for zone in subject.zones]
    days = reading.days(zones, question, ("hours",))
    present = reading_back(reading, zones, question, "presence")
    answers = []
    for subject in subjects:
        clocks = {zone: reading.clock(zone) for zone in subject.zones}
        visits = _visits(days.of(subject.zones), clocks).reshape(WEEKDAYS, HOURS).sum(axis=0).tolist()
        come = np.bincount(_hours_come(clocks, question, reading.now) % HOURS, minlength=HOURS).tolist()
        occupancy = _occupancy(reading, subject, question, present)
        rows = [
            {"hour": hour, "visits": visits[hour], "mean_visits": rate(visits[hour], come[hour]), "mean_occupancy": occupancy[hour]} for hour in range(HOURS)
        ]
        busiest = max(range(HOURS), key=lambda hour: (visits[hour], -hour))
        answers.append({"rows": rows, "total": {"hour": busiest if visits[busiest] else None}})
    return answers


def _visits(days: Days, clocks: dict[int, Clock]) -> Ints:
    """Visits in each hour of the week."""
    days = with_stays(days)
    cell = np.empty(0, np.int64)
    for clock, here in by_clock(days, clocks):
        hours = [wall_hours(clock, day) for day in days.day[here].tolist()]
        cell = np.append(cell, _cells(np.repeat(days.day[here], [len(one) for one in hours]) * HOURS + flat(hours)))
    # By clock, as the cells are.
    order = [place for _, here in by_clock(days, clocks) for place in np.flatnonzero(here).tolist()]
    visits = flat([days.columns["hours"][place][: len(days.columns["hours"][place]) // 2] for place in order])
    return np.bincount(cell, weights=visits, minlength=WEEKDAYS * HOURS).astype(np.int64)


def _hours_come(clocks: dict[int, Clock], question: Question, now: int) -> Ints:
    """The hours of the range that have begun, as day * 24 + hour, each once."""
    each = [_come(clock, *question.range.us(clock), now) for clock in dict.fromkeys(clocks.values())]
    return each[0] if len(each) == 1 else np.unique(flat(each))


@lru_cache(maxsize=64)
def _come(clock: Clock, start: int, end: int, now: int) -> Ints:
    begins, hours = _wall(clock, start, min(end, now + 1))
    after = np.append(begins, np.iinfo(np.int64).max)[1:]
    return np.unique(hours[(after > start) & (begins < min(end, now + 1))])


def _wall(clock: Clock, start: int, end: int) -> tuple[Ints, Ints]:
    """The beginnings of the hours of the local days from start to end, and each one's day * 24 + hour. Raises periods.TooManyPeriods."""
    if (end - start) / DAY_US > MOST_ROWS:
        raise TooManyPeriods
    days = range(clock.day_of(start), clock.day_of(end - 1) + 1) if start < end else range(0)
    return flat([clock.hours_of(day) for day in days]), flat([wall_hours(clock, day) + day * HOURS for day in days])


def _cells(hours: Ints) -> Ints:
    """The hour of the week, from Monday's first, of day * 24 + hour. The first of January 1970 was a Thursday."""
    return (hours // HOURS + 3) % WEEKDAYS * HOURS + hours % HOURS


@lru_cache(maxsize=16_384)
def wall_hours(clock: Clock, day: int) -> Ints:
    """What the clock on the wall shows in each hour of a local day: 0 to 23, in most of them."""
    begins = clock.hours_of(day)
    if len(begins) == HOURS and begins[-1] - begins[0] == (HOURS - 1) * (DAY_US // HOURS):
        return np.arange(HOURS, dtype=np.int64)
    return np.array([to_moment(begin).astimezone(clock.zone).hour for begin in begins.tolist()], dtype=np.int64)


def _occupancy(reading: Reading, subject: Subject, question: Question, days: Days) -> list[float | None]:
    means: list[float | None] = [None] * HOURS
    for one in levels(reading, subject.zones, question, days):
        if len(one.at):
            hour = _shown(one.clock, int(one.at[0]), len(one.at))
            sums, quarters = np.bincount(hour, weights=one.number, minlength=HOURS).tolist(), np.bincount(hour, minlength=HOURS).tolist()
            means = [(mean or 0) + total / of if of else mean for mean, total, of in zip(means, sums, quarters, strict=True)]
    return [None if mean is None else round(mean, 6) for mean in means]


@lru_cache(maxsize=16)
def _shown(clock: Clock, first: int, quarters: int) -> Ints:
    """What the clock on the wall shows at so many quarters of an hour from the first: the hours."""
    at = first + QUARTER * np.arange(quarters, dtype=np.int64)
    begins, hours = _wall(clock, first, int(at[-1]) + 1)
    return hours[np.searchsorted(begins, at, side="right") - 1] % HOURS
