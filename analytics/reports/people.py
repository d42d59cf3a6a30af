"""Who came, how often, how long ago, and who came back."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from analytics.calendars import Clock, to_date, to_moment
from analytics.days import ALWAYS, EVER, Days
from analytics.periods import MOST_ROWS, TooManyPeriods
from analytics.reports.pieces import flat, pieces
from analytics.reports.reading import Question, Reading, Subject, rate, union
from analytics.reports.unions import members_of
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total

OFTEN: Final = 10  # visits: so many and more are one row
RECENCY: Final = ((0, "0-6"), (7, "7-13"), (14, "14-29"), (30, "30-59"), (60, "60-89"), (90, "90-179"), (180, "180+"))  # days ago: since, and how it is told
DENSE: Final = 64  # a table of all numbers between the least and the greatest is quicker than sorting, until it is so many times as long


def visitors(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """New: the first visit ever falls in the period; returning: there was one before the period. Raises periods.TooManyPeriods."""
    zones = [zone for subject in subjects for zone in subject.zones]
    days = reading.days(zones, question, ("dwell_hours", "dwell_shoppers", "hours") if question.grain == "hour" else ("members",))
    earlier = reading.before(zones, question)
    answers = []
    for subject in subjects:
        found = pieces(reading, subject.zones, question, days)
        before = members_of(earlier.of(subject.zones))
        visits, listed = found.counts()[0].tolist(), found.members()
        known, everybody = BitMap(before), union(listed)
        rows = []
        for label, number, members in zip(found.labels, visits, listed, strict=True):
            returning = members.intersection_cardinality(known)
            known |= members
            rows.append({"period": label, **_people(number, len(members), returning)})
        answers.append({"rows": rows, "total": _people(sum(visits), len(everybody), everybody.intersection_cardinality(before))})
    return answers


def _people(visits: int, visitors: int, returning: int) -> dict[str, Any]:
    return {"visits": visits, "visitors": visitors, "new": visitors - returning, "returning": returning, "frequency": rate(visits, visitors)}


def loyalty(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """How many visitors of the range came once, twice, and so on in it."""
    days = reading.days([zone for subject in subjects for zone in subject.zones], question, ("dwell_shoppers",))
    answers = []
    for subject in subjects:
        times = _times(flat(days.of(subject.zones).columns["dwell_shoppers"]))
        visitors = np.bincount(np.minimum(times, OFTEN), minlength=OFTEN + 1).tolist()
        rows = [{"visits": f"{OFTEN}+" if number == OFTEN else str(number), "visitors": visitors[number]} for number in range(1, OFTEN + 1)]
        visits = int(times.sum())
        answers.append({"rows": rows, "total": {"visits": visits, "visitors": len(times), "frequency": rate(visits, len(times))}})
    return answers


def _times(shoppers: Ints) -> Ints:
    """How often each of the shoppers is among them."""
    if not len(shoppers):
        return np.empty(0, np.int64)
    least = int(shoppers.min())
    if int(shoppers.max()) - least > DENSE * len(shoppers):
        return np.unique(shoppers, return_counts=True)[1].astype(np.int64)
    times = np.bincount(shoppers - least)
    return times[times > 0].astype(np.int64)


def recency(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Everybody who visited before the range's end (or now, if that is earlier), by the local days from his last visit to the range's last day."""

    def until(clock: Clock) -> int:
        return min(question.range.us(clock)[1], reading.now)

    days = reading.between([zone for subject in subjects for zone in subject.zones], lambda clock: (ALWAYS, until(clock)), ("members",), part=question.part)
    last = {zone: clock.day_of(until(clock) - 1) for zone, clock in reading.premises.clock.items()}
    answers = []
    for subject in subjects:
        own = days.of(subject.zones)
        ago = np.array([last[zone] for zone in own.zone.tolist()], dtype=np.int64) - own.day
        row = np.searchsorted([since for since, _ in RECENCY], ago, side="right") - 1
        seen = BitMap()
        rows = []
        for number, (_, told) in enumerate(RECENCY):
            members = union([own.columns["members"][place] for place in np.flatnonzero(row == number).tolist()])
            rows.append({"days_ago": told, "visitors": len(members) - members.intersection_cardinality(seen)})
            seen |= members
        answers.append({"rows": rows, "total": {"visitors": len(seen)}})
    return answers


def retention(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Of those whose first visit ever fell in a month: how many came in each month since, the running one too.

    Months are local; those that begin in the range have a row. Raises periods.TooManyPeriods.
    """
    days = reading.between([zone for subject in subjects for zone in subject.zones], lambda clock: (ALWAYS, EVER), ("members",), part=question.part)
    return [_cohorts(reading, subject, question, days) for subject in subjects]


def _cohorts(reading: Reading, subject: Subject, question: Question, days: Days) -> Answer:
    clocks = {reading.clock(zone) for zone in subject.zones}
    chosen = sorted({month for clock in clocks for month in _months(question, clock, reading.now)})
    current = max(_month(to_moment(reading.now).astimezone(clock.zone).date()) for clock in clocks)
    if chosen and (current + 1 - chosen[0]) ** 2 > MOST_ROWS:
        raise TooManyPeriods
    own = days.of(subject.zones)
    known, month_of = np.unique(own.day, return_inverse=True)
    month = np.array([_month(to_date(day)) for day in known.tolist()], dtype=np.int64)[month_of]
    members = {one: union([own.columns["members"][place] for place in np.flatnonzero(month == one).tolist()]) for one in np.unique(month).tolist()}
    known_before = union([visitors for one, visitors in members.items() if chosen and one < chosen[0]])
    rows = []
    everybody = 0
    for first in range(chosen[0], chosen[-1] + 1) if chosen else ():
        cohort = members.get(first, BitMap()) - known_before
        known_before |= cohort
        back = [cohort.intersection_cardinality(members.get(later, BitMap())) for later in range(first, current + 1)]
        months = [{"months_later": later, "visitors": number, "share": rate(number, len(cohort))} for later, number in enumerate(back)]
        rows.append({"cohort": f"{first // 12}-{first % 12 + 1:02}", "visitors": len(cohort), "months": months})
        everybody += len(cohort)
    return {"rows": rows, "total": {"visitors": everybody}}


def _months(question: Question, clock: Clock, now: int) -> range:
    """The months that begin in the range, and have begun."""
    start, end = question.range.us(clock)
    if min(end, now + 1) <= start:
        return range(0)
    first = _month(to_moment(start - 1).astimezone(clock.zone).date()) + 1
    return range(first, _month(to_moment(min(end - 1, now)).astimezone(clock.zone).date()) + 1)


def _month(day: date) -> int:
    """Months since the year 0."""
    return day.year * 12 + day.month - 1
