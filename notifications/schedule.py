"""When: the next time of a recurring campaign, one wall time on many clocks, and quiet hours. Pure.

A wall time that a clock skips (summer time begins) is taken by the offset before the change, so it comes as much later as the clock jumped. One that
a clock shows twice is its first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

EASTERNMOST: Final = timedelta(hours=14)  # ahead of UTC is the first clock that shows a wall time
QUIET_FOR_EVER: Final = timedelta(days=3)  # clocks far apart may leave no instant that is quiet for none of them
_AHEAD_DAYS: Final = 800  # a 29th of February, and some


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """None where there is no such clock: what a shopper's app told long ago may be anything."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def at_wall(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The instant at which a clock shows it."""
    return datetime.combine(day, wall, zone).astimezone(UTC)


def parse_time(told: str) -> time:
    """`HH:MM`. Raises ValueError."""
    return datetime.strptime(told, "%H:%M").time()  # noqa: DTZ007 (a time of day)


def next_time(recurrence: Mapping[str, Any], zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant after `after`; None where the days it names never come.

    {"every": "day" | "week" | "month", "at": "10:00", "on": [...]}: on which weekdays (1 is Monday), or days of the month. A month that lacks
    the day is passed over. Without `on`: Mondays, or the first.
    """
    wall = parse_time(recurrence["at"])
    today = after.astimezone(zone).date()
    for ahead in range(_AHEAD_DAYS):
        day = today + timedelta(days=ahead)
        if _falls_on(recurrence, day) and (instant := at_wall(day, wall, zone)) > after:
            return instant
    return None


def _falls_on(recurrence: Mapping[str, Any], day: date) -> bool:
    on: Sequence[int] = recurrence.get("on") or (1,)
    return {"day": True, "week": day.isoweekday() in on, "month": day.day in on}[recurrence["every"]]


def first_clock_at(send_at: datetime, shop: ZoneInfo) -> datetime:
    """When the first clock of the world shows what the shop's shows at `send_at`."""
    return send_at.astimezone(shop).replace(tzinfo=UTC) - EASTERNMOST


def on_clock(send_at: datetime, shop: ZoneInfo, other: ZoneInfo) -> datetime:
    """When another clock shows what the shop's shows at `send_at`."""
    wall = send_at.astimezone(shop)
    return at_wall(wall.date(), wall.time(), other)


@dataclass(frozen=True)
class Quiet:
    """Hours in which nobody is told anything, by the clocks that count."""

    begin: time
    end: time
    hold: bool  # else what falls into them is dropped
    by_shopper: bool
    by_shop: bool

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> "Quiet | None":
        """Of {"from": "21:00", "until": "08:00", "then": "hold" | "drop", "clocks": ["shopper", "shop"]}. None: no quiet hours."""
        if not told:
            return None
        begin, end = parse_time(told["from"]), parse_time(told["until"])
        clocks = told.get("clocks") or ("shopper", "shop")
        return None if begin == end else cls(begin, end, told.get("then", "hold") == "hold", "shopper" in clocks, "shop" in clocks)

    def clocks(self, shopper: ZoneInfo | None, shop: ZoneInfo) -> tuple[ZoneInfo, ...]:
        """Those that count for a shopper. One whose clock is unknown lives by the shop's."""
        own = (shopper or shop,) if self.by_shopper else ()
        return own if own == (shop,) else own + ((shop,) if self.by_shop else ())

    def over(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """When they are over that hold at this instant on this clock; None where they do not."""
        wall = instant.astimezone(zone)
        now, day = wall.time(), wall.date()
        if self.begin < self.end:
            ends = day if self.begin <= now < self.end else None
        else:
            ends = day + timedelta(days=1) if now >= self.begin else day if now < self.end else None
        if ends is None:
            return None
        # A clock set back shows the last quiet hour again: it is over when the clock shows its end for the second time.
        instants = {datetime.combine(ends, self.end, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
        return min((one for one in instants if one > instant), default=instant + timedelta(minutes=1))

    def begins(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """When they begin next on this clock, after an instant."""
        day = instant.astimezone(zone).date()
        return min(one for ahead in range(3) if (one := at_wall(day + timedelta(days=ahead), self.begin, zone)) > instant)

    def free(self, instant: datetime, clocks: Sequence[ZoneInfo]) -> datetime | None:
        """The first instant from this one on at which no clock is in its quiet hours; None where none comes in days."""
        at = instant
        while at - instant < QUIET_FOR_EVER:
            ends = [end for zone in clocks if (end := self.over(at, zone))]
            if not ends:
                return at
            at = max(ends)
        return None

    def changes(self, instant: datetime, clocks: Sequence[ZoneInfo]) -> Iterator[datetime]:
        """The next instants at which a clock's quiet hours begin or end."""
        for zone in clocks:
            yield self.over(instant, zone) or self.begins(instant, zone)
