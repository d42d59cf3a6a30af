"""How many are there at once: at each quarter of an hour of the local day, and now.

A day's presence lasts until the last of those who came on it has left, so what a range shows begins with stays of days before it.
Clocks change by whole quarters of an hour, so the quarters of one day lie on those of the days before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import numpy as np

from analytics import binary
from analytics.calendars import Clock, to_moment
from analytics.days import COUNTED, Days
from analytics.facts import QUARTER
from analytics.marks import HOUR_US
from analytics.periods import MOST_ROWS, TooManyPeriods
from analytics.reports.pieces import flat
from analytics.reports.reading import Periods, Question, Reading, Subject, periods
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total

DAY_US: Final = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Levels:
    """Of the zones of one clock: how many are there at each quarter of an hour of the range that is not still to come."""

    clock: Clock
    at: Ints  # instants, rising
    number: Ints


def occupancy(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """`mean`: of the period's quarters of an hour up to now; of several places, the sum of each one's mean. `peak`: the most at one of them in all
    places together, and `peak_at` the first time; null where nobody came. In the total, `now`: who is there now. Raises periods.TooManyPeriods."""
    days = reading_back(reading, [zone for subject in subjects for zone in subject.zones], question, "presence")
    about = _about(reading, [zone for subject in subjects for zone in subject.zones])
    answers = []
    for subject in subjects:
        found = levels(reading, subject.zones, question, days)
        cut = periods([one.clock for one in found], question)
        told = [{"period": label, **figures} for label, figures in zip(cut.labels, _by_period(found, cut), strict=True)]
        [total] = _by_period(found, _whole(found))
        total["now"] = sum(len(started) if question.part is None else int((reading.clock(zone).is_open(started) == question.part).sum())
                           for zone, started in about.items() if zone in subject.zones)  # fmt: skip
        answers.append({"rows": told, "total": total})
    return answers


def reading_back(reading: Reading, zones: Iterable[int], question: Question, column: str) -> Days:
    """The days of the range, and those before it from which somebody may still be there: `presence` or `activity` (then stays of all hours)."""
    zones = sorted(set(zones))
    since = _since(reading, zones, question, short=column == "activity")
    part = question.part if column == "presence" else None
    starts = {zone: reading.clock(zone).begin(day) for zone, day in since.items()}
    days = reading.each(zones, lambda zone: (starts[zone], question.range.us(reading.clock(zone))[1]), (column,), part=part)
    if column == "presence":  # what is told of the range is restated where its own days were
        asked = (
            days.day >= np.array([reading.clock(zone).day_of(question.range.us(reading.clock(zone))[0]) for zone in zones])[np.searchsorted(zones, days.zone)]
        )
        reading.restated_at = max(reading.restated_at, int(days.restated_at[asked].max(initial=0)))
    return days


def _since(reading: Reading, zones: list[int], question: Question, *, short: bool) -> dict[int, int]:
    """The first local day on which a stay can have started that reaches into the range. `short`: also one that does not count."""
    starts = {zone: question.range.us(reading.clock(zone))[0] for zone in zones}
    first = {zone: reading.clock(zone).day_of(start) for zone, start in starts.items()}
    cursor = reading.cursor
    found = cursor.execute(
        """SELECT d.zone_id, min(d.day) - date '1970-01-01' FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS w(zone_id, start, day)
           JOIN analytics_zoneday d ON d.zone_id = w.zone_id AND d.day < date '1970-01-01' + w.day
            AND (d.reach >= atrium_instant(w.start) OR d.due_at IS NOT NULL) GROUP BY d.zone_id""",
        [zones, [starts[zone] for zone in zones], [first[zone] for zone in zones]],
    ).fetchall()
    marked = cursor.execute("SELECT zone_id, min(hour) FROM analytics_mark WHERE zone_id = ANY(%s) GROUP BY zone_id", [zones]).fetchall()
    found += [(zone, reading.clock(zone).day_of(hour * HOUR_US)) for zone, hour in marked]
    if short:  # a stay that does not count is shorter than the zone's shortest visit
        shortest = cursor.execute("SELECT zone_id, max(min_stay_s) FROM engagement_zoneversion WHERE zone_id = ANY(%s) GROUP BY zone_id", [zones])
        found += [(zone, reading.clock(zone).day_of(starts[zone] - seconds * 1_000_000)) for zone, seconds in shortest.fetchall()]
    for zone, day in found:
        first[zone] = min(first[zone], day)
    return first


def levels(reading: Reading, zones: Sequence[int], question: Question, days: Days) -> list[Levels]:
    """One for each clock of the zones. `days` are those of `reading_back`, with `presence`."""
    own = days.of(zones)
    lengths = np.array([len(one) for one in own.columns["presence"]], dtype=np.int64)
    number = flat(own.columns["presence"])
    step = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    found = []
    for clock in dict.fromkeys(reading.clock(zone) for zone in zones):
        start, end = question.range.us(clock)
        if (min(end, reading.now) - start) / DAY_US > MOST_ROWS:
            raise TooManyPeriods
        first = clock.begin(clock.day_of(start))
        low, high = -((first - start) // QUARTER), -((first - min(end, reading.now + 1)) // QUARTER)
        here = np.isin(own.zone, [zone for zone in zones if reading.clock(zone) == clock])
        begins = begins_of(clock, own.day[here])
        place = np.repeat((begins - first) // QUARTER, lengths[here]) + step[np.repeat(here, lengths)] - low
        inside = (place >= 0) & (place < high - low)
        size = max(high - low, 0)
        many = np.bincount(place[inside], weights=number[np.repeat(here, lengths)][inside], minlength=size).astype(np.int64)
        found.append(Levels(clock, first + QUARTER * np.arange(low, low + size, dtype=np.int64), many))
    return found


def begins_of(clock: Clock, day: Ints) -> Ints:
    """The first instant of each day."""
    if not len(day):
        return day.astype(np.int64)
    least = int(day.min())
    return clock.begins(least, int(day.max()))[day - least]


def _whole(found: list[Levels]) -> Periods:
    """All of the range as one period."""
    always, only = np.array([np.iinfo(np.int64).min]), np.array([0])
    return Periods([""], dict.fromkeys((one.clock for one in found), always), dict.fromkeys((one.clock for one in found), only))


def _by_period(found: list[Levels], cut: Periods) -> list[dict[str, Any]]:
    means: list[float | None] = [None] * len(cut.labels)
    for one in found:
        edges = np.append(np.searchsorted(one.at, cut.starts[one.clock]), len(one.at))
        sums = np.diff(np.concatenate(([0], np.cumsum(one.number)))[edges])
        for place, total, quarters in zip(cut.places[one.clock].tolist(), sums.tolist(), np.diff(edges).tolist(), strict=True):
            if quarters:
                means[place] = (means[place] or 0) + total / quarters
    place, at, number = _together(found, cut)
    zone = found[0].clock.zone if len({one.clock.time_zone for one in found}) == 1 else UTC
    edges = np.searchsorted(place, np.arange(len(cut.labels) + 1))
    told = []
    for mean, low, high in zip(means, edges.tolist(), edges[1:].tolist(), strict=False):
        top = low + int(number[low:high].argmax()) if high > low else None
        peak = None if top is None else int(number[top])
        peak_at = to_moment(int(at[top])).astimezone(zone).isoformat(timespec="seconds") if top is not None and peak else None
        told.append({"mean": None if mean is None else round(mean, 6), "peak": peak, "peak_at": peak_at})
    return told


def _together(found: list[Levels], cut: Periods) -> tuple[Ints, Ints, Ints]:
    """Period, instant and number, in order: of all clocks that put the instant into the period."""
    place = np.concatenate([cut.of_instants(one.clock, one.at) if len(one.at) else np.empty(0, np.int64) for one in found])
    at, number = np.concatenate([one.at for one in found]), np.concatenate([one.number for one in found])
    if len(found) == 1 or not len(at):
        return place, at, number
    order = np.lexsort((at, place))
    place, at, number = place[order], at[order], number[order]
    heads = np.flatnonzero(np.concatenate(([True], (np.diff(place) != 0) | (np.diff(at) != 0))))
    return place[heads], at[heads], np.add.reduceat(number, heads)


def _about(reading: Reading, zones: Iterable[int]) -> dict[int, Ints]:
    """Who is in each zone now, as the starts of their stays. The partial index on stays that the sweep has not closed finds them."""
    found = binary.fetch(
        reading.cursor,
        {"zone": ("int8", "s.zone_id"), "started": ("timestamptz", "s.started")},
        f"""FROM (SELECT s.* FROM analytics_stay s JOIN engagement_zone z ON z.id = s.zone_id AND z.organisation_id = s.organisation_id
                  WHERE NOT s.closed AND s.closes_at >= atrium_instant(%(now)s) AND s.started <= atrium_instant(%(now)s)
                    AND s.zone_id = ANY(%(zones)s) AND {COUNTED}) s""",
        {"zones": sorted(set(zones)), "now": reading.now},
    )
    return {zone: found["started"][found["zone"] == zone] for zone in np.unique(found["zone"]).tolist()}
