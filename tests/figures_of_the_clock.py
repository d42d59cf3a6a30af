"""The part of the reference of the figures that is of the clock: who is there at each instant, the hours of the week, what is covered."""

from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from functools import cache

from tests.figures_world import (
    QUARTER,
    Answer,
    Question,
    Row,
    Stay,
    World,
    begin_of,
    bounds,
    dates,
    label,
    labels,
    open_times,
    quarters,
    rate,
    stays_of,
    wall,
    within,
)

# --- Figures of the clock ---------------------------------------------------------------------------------------------------


def present(world: World, stay: Stay, at: int) -> bool:
    """Occupancy: stays that count or are open, with start <= t <= end; an open stay reaches to now."""
    if stay.is_open(world.now):
        return stay.started <= at <= max(stay.ended, world.now)
    return stay.counted and stay.started <= at <= stay.ended


def levels(world: World, zone: str, question: Question) -> dict[int, int]:
    """How many are there at each quarter of an hour of the range that is not still to come."""
    start, end = bounds(question, world.zones[zone].time_zone)
    found = dict.fromkeys(quarters(start, min(end, world.now + 1)), 0)
    for stay in stays_of(world, [zone], question.hours):
        until = max(stay.ended, world.now) if stay.is_open(world.now) else stay.ended
        for at in quarters(max(stay.started, start), min(until, end) + 1):
            if at in found and present(world, stay, at):
                found[at] += 1
    return found


def occupancy(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Of several zones: the sum of each one's mean, and the most that are in all of them at one instant."""
    there = {zone: levels(world, zone, question) for zone in zones}
    clocks = {zone: world.zones[zone].time_zone for zone in zones}
    shown = clocks[zones[0]] if len(set(clocks.values())) == 1 else "UTC"

    def tell(period: str | None) -> Row:
        chosen = {zone: {at: number for at, number in there[zone].items() if period in (None, label(at, question.grain, clocks[zone]))} for zone in zones}
        means = [Fraction(sum(levels.values()), len(levels)) for levels in chosen.values() if levels]
        together: dict[int, int] = {}
        for levels_ in chosen.values():
            for at, number in levels_.items():
                together[at] = together.get(at, 0) + number
        peak = max(together.values(), default=None)
        first = min((at for at, number in together.items() if number == peak), default=0)
        return {
            "mean": round(float(sum(means)), 6) if means else None,
            "peak": peak,
            "peak_at": wall(first, shown).isoformat(timespec="seconds") if peak else None,
        }

    now = sum(stay.is_open(world.now) and present(world, stay, world.now) for stay in stays_of(world, zones, question.hours))
    rows = [{"period": period, **tell(period)} for period in labels(world, zones, question)]
    return {"rows": rows, "total": {**tell(None), "now": now}}


@cache
def hours_shown(start: int, end: int, time_zone: str) -> frozenset[tuple[date, int]]:
    """The local days and the hours of them that the clocks show between two instants."""
    shown = [wall(at, time_zone) for at in [start, *quarters(start, end)]] if start < end else []
    return frozenset((local.date(), local.hour) for local in shown)


def hours_come(world: World, zones: tuple[str, ...], question: Question) -> set[tuple[date, int]]:
    """Of the range, those that have begun, on any of the clocks."""
    found: set[tuple[date, int]] = set()
    for time_zone in {world.zones[zone].time_zone for zone in zones}:
        start, end = bounds(question, time_zone)
        found |= hours_shown(start, min(end, world.now + 1), time_zone)
    return found


def heatmap(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Visits by weekday and hour of their start, and how many such weekdays had that hour."""
    starts = [wall(stay.started, world.zones[stay.zone].time_zone) for stay in within(world, zones, question) if stay.counted]
    come = hours_come(world, zones, question)
    rows = []
    for weekday in range(1, 8):
        for hour in range(24):
            visits = sum((local.isoweekday(), local.hour) == (weekday, hour) for local in starts)
            days = sum((day.isoweekday(), shown) == (weekday, hour) for day, shown in come)
            rows.append({"weekday": weekday, "hour": hour, "visits": visits, "days": days, "mean": rate(visits, days)})
    return {"rows": rows, "total": {"visits": len(starts)}}


def peak_hours(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Each hour of the day over all days of the range: its visits, how many that is a day, and the mean of how many are there."""
    starts = [wall(stay.started, world.zones[stay.zone].time_zone).hour for stay in within(world, zones, question) if stay.counted]
    come = hours_come(world, zones, question)
    rows: list[Row] = []
    there = {zone: by_hour(world, zone, question) for zone in zones}
    for hour in range(24):
        means = [Fraction(sum(there[zone][hour]), len(there[zone][hour])) for zone in zones if there[zone][hour]]
        days = sum(shown == hour for _, shown in come)
        mean = round(float(sum(means)), 6) if means else None
        rows.append({"hour": hour, "visits": starts.count(hour), "mean_visits": rate(starts.count(hour), days), "mean_occupancy": mean})
    most = max(row["visits"] for row in rows)
    return {"rows": rows, "total": {"hour": min(row["hour"] for row in rows if row["visits"] == most) if most else None}}


def by_hour(world: World, zone: str, question: Question) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {hour: [] for hour in range(24)}
    for at, number in levels(world, zone, question).items():
        found[wall(at, world.zones[zone].time_zone).hour].append(number)
    return found


def coverage(world: World, zones: tuple[str, ...], question: Question) -> float | None:
    """Of the hours of the range that are over and in which the venue has its doors open: the share in which somebody was there.

    Hours are counted from the first instant of the local day, and the last one may be short.
    """
    seen = hours = 0
    for root in {world.zones[zone].root for zone in zones}:
        start, end = bounds(question, world.zones[root].time_zone)
        for begin, after in hours_between(start, min(end, world.now), world.zones[root].time_zone):
            if min(after, end) <= world.now and wanted(world, root, max(begin, start), min(after, end), question.hours):
                hours += 1
                seen += any(stay.started < after and stay.ended >= begin for stay in stays_of(world, [root]))
    return rate(seen, hours)


def hours_between(start: int, end: int, time_zone: str) -> Iterator[tuple[int, int]]:
    for day in dates(start, end, time_zone):
        following = begin_of(day + timedelta(days=1), time_zone)
        for begin in range(begin_of(day, time_zone), following, 4 * QUARTER):
            if begin < end and min(begin + 4 * QUARTER, following) > start:
                yield begin, min(begin + 4 * QUARTER, following)


def wanted(world: World, root: str, begin: int, end: int, hours: str) -> bool:
    """Whether the venue is open at some time of the hour; with `closed`, whether it is not."""
    listed, time_zone = world.opening_hours.get(root), world.zones[root].time_zone
    if listed is None:
        return hours != "closed"
    near = [wall(begin, time_zone).date() + timedelta(days=number) for number in (-1, 0, 1)]
    opens = any(start < end and until > begin for day in near for start, until in open_times(listed, day, time_zone))
    return opens != (hours == "closed")
