"""A venue's clock: its local days, their hours and its opening hours, as integer instants. Pure.

A day is a number: days since 1970-01-01, of the local date. Instants are microseconds since 1970, UTC.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from analytics.periods import midnight, split
from analytics.stays import Bools, Ints
from engagement import opening

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000
_YEAR_TWO: Final = -62_103_000_000_000_000


def to_us(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def to_moment(us: int) -> datetime:
    return EPOCH + us * _MICROSECOND


def to_date(day: int) -> date:
    return date.fromordinal(day + _EPOCH_DAY)


def to_day(day: date) -> int:
    return day.toordinal() - _EPOCH_DAY


@dataclass(frozen=True)
class Clock:
    """A time zone and opening hours (as JSON text, so that a clock can be a key; None: always open)."""

    time_zone: str
    hours: str | None = None

    @classmethod
    def of(cls, time_zone: str, opening_hours: dict[str, Any] | None) -> "Clock":
        return _clock(time_zone, None if opening_hours is None else json.dumps(opening_hours, sort_keys=True))

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def begin(self, day: int) -> int:
        """The first instant of a local day."""
        return _begin(self.time_zone, day)

    def begins(self, first: int, last: int) -> Ints:
        """The first instants of the days from `first` to `last`, both included, and of the day after: in order."""
        return np.array([_begin(self.time_zone, day) for day in range(first, last + 2)], dtype=np.int64)

    def day_of(self, us: int) -> int:
        """The local day of an instant. Of the year 1, in which there are clocks without a day, all of it is the last day."""
        return to_day(to_moment(max(us, _YEAR_TWO)).astimezone(self.zone).date())

    def days_of(self, us: Ints) -> Ints:
        """The local day of each instant."""
        if not len(us):
            return us.astype(np.int64)
        first, last = self.day_of(int(us.min())), self.day_of(int(us.max()))
        return first - 1 + np.searchsorted(self.begins(first, last), us, side="right")

    def hours_of(self, day: int) -> Ints:
        """The beginnings of the hours of a local day, as periods.split cuts them."""
        return _hours(self.time_zone, day)

    def is_open(self, us: Ints) -> Bools:
        """Whether the venue is open at each instant."""
        if self.hours is None or not len(us):
            return np.ones(len(us), np.bool_)
        spans = [span for day in range(self.day_of(int(us.min())) - 1, self.day_of(int(us.max())) + 1) for span in _open(self, day)]
        found = np.zeros(len(us), np.bool_)
        if spans:
            # Spans of one day do not overlap, but the last of a day may reach into the next one's.
            starts, ends = np.array(sorted(spans), dtype=np.int64).T
            place = np.searchsorted(starts, us, side="right") - 1
            found = (place >= 0) & (us < np.maximum.accumulate(ends)[place])
        return found


@lru_cache(maxsize=1024)
def _clock(time_zone: str, hours: str | None) -> Clock:
    return Clock(time_zone, hours)


@lru_cache(maxsize=65_536)
def _begin(time_zone: str, day: int) -> int:
    return to_us(midnight(to_date(day), ZoneInfo(time_zone)))


@lru_cache(maxsize=16_384)
def _hours(time_zone: str, day: int) -> Ints:
    begin, end = _begin(time_zone, day), _begin(time_zone, day + 1)
    zone = ZoneInfo(time_zone)
    if end - begin == _DAY and not begin % _HOUR and _steady(begin, end, zone):
        return np.arange(begin, end, _HOUR, dtype=np.int64)
    if end <= begin:  # a day that a place skipped
        return np.empty(0, np.int64)
    return np.array([to_us(period.start) for period in split(to_moment(begin), to_moment(end), "hour", zone)], dtype=np.int64)


def _steady(begin: int, end: int, zone: ZoneInfo) -> bool:
    """Whether the clock shows the same offset at every hour: two changes on one day would cancel out in its length."""
    return len({to_moment(us).astimezone(zone).utcoffset() for us in range(begin, end, 6 * _HOUR)}) == 1


@lru_cache(maxsize=16_384)
def _open(clock: Clock, day: int) -> list[tuple[int, int]]:
    assert clock.hours is not None
    return [(to_us(start), to_us(end)) for start, end in opening.spans(json.loads(clock.hours), to_date(day), clock.zone)]
