"""How much of a range was seen at all: the share of its hours in which somebody was in the venue. A gap there is rather the phones' than the people's."""

import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from analytics.calendars import Clock, to_date, to_us
from analytics.days import Days
from analytics.facts import HOUR
from analytics.periods import MOST_ROWS, TooManyPeriods
from analytics.reports.pieces import flat
from analytics.reports.presence import DAY_US, begins_of, reading_back
from analytics.reports.reading import Hours, Question, Reading, Subject
from analytics.stays import Bools, Ints
from engagement import opening


def coverage(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[float | None]:
    """For each subject: of the hours of the range that are over, the share in which a stay of any length touches the venue's root zone.

    Hours are those of the local day, counted from its first instant. Where a venue has opening hours, only hours in which it is open at some
    time are asked for; with `closed`, the others. Of several venues, all their hours count alike. None where no such hour is over.
    Raises periods.TooManyPeriods.
    """
    root = reading.premises.root
    roots = sorted({root[zone] for subject in subjects for zone in subject.zones})
    days = reading_back(reading, roots, question, "activity")
    counted = {zone: _of_venue(reading, zone, question, days.of([zone])) for zone in roots}
    shares = []
    for subject in subjects:
        seen, hours = np.sum([counted[zone] for zone in {root[zone] for zone in subject.zones}], axis=0).tolist()
        shares.append(round(seen / hours, 6) if hours else None)
    return shares


def _of_venue(reading: Reading, root: int, question: Question, days: Days) -> tuple[int, int]:
    """Hours in which somebody was there, and hours."""
    clock = reading.clock(root)
    begin, end, asked = _hours(clock, *question.range.us(clock), reading.now, question.hours)
    lengths = np.array([len(one) for one in days.columns["activity"]], dtype=np.int64)
    step = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    # What reaches into days after one of a changed clock lies across their hours: told by its middle, it is told of one of them.
    middle = np.repeat(begins_of(clock, days.day), lengths) + step * HOUR + HOUR // 2
    place = np.searchsorted(begin, middle, side="right") - 1
    inside = (place >= 0) & (flat(days.columns["activity"]) > 0)
    inside[inside] &= middle[inside] < end[place[inside]]
    seen = np.zeros(len(begin), np.bool_)
    seen[place[inside]] = True
    return int((seen & asked).sum()), int(asked.sum())


@lru_cache(maxsize=64)
def _hours(clock: Clock, start: int, end: int, now: int, hours: Hours) -> tuple[Ints, Ints, Bools]:
    """The hours of the local days that meet the range: begin, end, and whether it is asked for."""
    until = min(end, now)
    if (until - start) / DAY_US > MOST_ROWS:
        raise TooManyPeriods
    days = range(clock.day_of(start), clock.day_of(until - 1) + 1) if start < until else range(0)
    begin = flat([np.arange(clock.begin(day), clock.begin(day + 1), HOUR, dtype=np.int64) for day in days])
    after = np.append(begin, clock.begin(days[-1] + 1) if days else 0)[1:]
    over = (after > start) & (begin < end) & (np.minimum(after, end) <= now)
    return begin, after, over & _wanted(clock, np.maximum(begin, start), np.minimum(after, end), days, hours)


def _wanted(clock: Clock, begin: Ints, end: Ints, days: range, hours: Hours) -> Bools:
    if clock.hours is None:
        return np.full(len(begin), hours != "closed")
    open_times = json.loads(clock.hours)
    spans = [span for day in range(days.start - 1, days.stop) for span in opening.spans(open_times, to_date(day), clock.zone)] if days else []
    opens = np.zeros(len(begin), np.bool_)
    if spans:
        starts, ends = np.array(sorted((to_us(start), to_us(until)) for start, until in spans), dtype=np.int64).T
        place = np.searchsorted(starts, end, side="left") - 1  # the last that begins before the hour ends
        opens = (place >= 0) & (np.maximum.accumulate(ends)[place] > begin)
    return ~opens if hours == "closed" else opens
