"""Hours, days, ISO weeks and months of a venue's own clock, as intervals of instants. Pure.

A period is half open. Days have 23, 24 or 25 hours; where the clock changes by half an hour an hour is cut in two, so every
instant lies in exactly one period and no period mixes two offsets under one label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

Grain = Literal["hour", "day", "week", "month"]
GRAINS: Final[tuple[Grain, ...]] = get_args(Grain)
MOST_ROWS: Final = 10_000
SHORTEST: Final[dict[Grain, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(hours=23),
    "week": timedelta(days=6, hours=23),
    "month": timedelta(days=27, hours=23),
}


class TooManyPeriods(Exception):
    """The range has more than MOST_ROWS periods."""


@dataclass(frozen=True, slots=True)
class Period:
    label: str
    start: datetime  # UTC, inclusive
    end: datetime  # UTC, exclusive


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a local day begins: its first midnight, or where that is skipped the first instant after it."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def split(start: datetime, end: datetime, grain: Grain, zone: ZoneInfo) -> list[Period]:
    """The periods that meet [start, end), the first and the last cut to it. Raises TooManyPeriods."""
    if (end - start) / SHORTEST[grain] > MOST_ROWS:
        raise TooManyPeriods
    first = start.astimezone(zone)
    begins = _hours(start, zone) if grain == "hour" else (midnight(day, zone) for day in _days(first.date(), grain))
    periods: list[Period] = []
    begin = next(begins)
    while begin < end:
        following = next(begins)
        if max(begin, start) < min(following, end):  # a day that a place skipped (Apia, 2011-12-30) is empty
            periods.append(Period(_label(begin.astimezone(zone), grain), max(begin, start), min(following, end)))
        begin = following
    return periods


def _days(day: date, grain: Grain) -> Iterator[date]:
    """First days of the periods, from the one that holds `day`."""
    if grain == "week":
        day -= timedelta(days=day.weekday())
    elif grain == "month":
        day = day.replace(day=1)
    while True:
        yield day
        if grain == "month":
            day = (day + timedelta(days=31)).replace(day=1)
        else:
            day += timedelta(days=7 if grain == "week" else 1)


def _hours(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Begins of local hours, and every instant at which the offset changes, from the hour that holds `start`."""
    local = start.astimezone(zone)
    begin = start - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    if _offset(begin, zone) != _offset(start, zone):
        begin = _change(begin, start, zone)
    while True:
        yield begin.astimezone(UTC)
        local = begin.astimezone(zone)
        following = begin + timedelta(hours=1) - timedelta(minutes=local.minute, seconds=local.second)
        last = following - timedelta(microseconds=1)
        begin = _change(begin, last, zone) if _offset(last, zone) != _offset(begin, zone) else following


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant in (before, after] at which the offset changes, to the second."""
    low, high = int(before.timestamp()), int(after.timestamp())
    old = _offset(before, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _label(local: datetime, grain: Grain) -> str:
    """`2026-11-19T10:00:00+02:00`, `2026-11-19`, `2026-W47`, `2026-11`."""
    if grain == "hour":
        return local.isoformat(timespec="seconds")
    if grain == "day":
        return local.date().isoformat()
    if grain == "week":
        year, week, _ = local.isocalendar()
        return f"{year}-W{week:02}"
    return f"{local:%Y-%m}"
