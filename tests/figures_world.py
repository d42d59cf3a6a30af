"""What the reference of the figures knows: stays, zones, purchases, a calendar that is walked; which stays are meant, and how numbers are rounded.

Written for reading, as figures_reference is, and shares no line with the product.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE = 60 * SECOND
QUARTER = 15 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALWAYS = -(2**62)

Row = dict[str, Any]
Answer = dict[str, Any]  # {"rows": [...], "total": {...}}


# --- What is known ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Stay:
    shopper: int
    zone: str
    started: int
    ended: int
    closes_at: int  # the last instant at which a further observation would extend it
    counted: bool  # else it is a pass-by

    def is_open(self, now: int) -> bool:
        return now <= self.closes_at


@dataclass(frozen=True)
class Zone:
    key: str
    kind: str
    time_zone: str  # of its venue
    root: str  # of its venue
    parents: tuple[tuple[int, str | None], ...] = ((ALWAYS, None),)  # since when, and what lies directly above since then
    brand: str | None = None

    def parent(self, at: int) -> str | None:
        return [parent for since, parent in self.parents if since <= at][-1]


@dataclass(frozen=True, order=True)
class Purchase:
    shopper: int
    brand: str
    at: int


@dataclass(frozen=True)
class World:
    """One organisation, at one instant. `zones` are in the order in which they were made."""

    zones: Mapping[str, Zone]
    stays: tuple[Stay, ...]
    now: int
    purchases: tuple[Purchase, ...] = ()
    left_out: frozenset[int] = frozenset()  # staff and residents, confirmed
    opening_hours: Mapping[str, Any] = field(default_factory=dict)  # by root; none: always open


@dataclass(frozen=True)
class Question:
    """`start` and `end` (not included) are local dates of each venue, or instants. `hours`: all, open or closed."""

    start: date | int
    end: date | int
    grain: str = "day"
    hours: str = "all"


# --- The calendar -----------------------------------------------------------------------------------------------------------


def wall(at: int, time_zone: str) -> datetime:
    """What the clocks there show."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(time_zone))


def since_1970(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@cache
def begin_of(day: date, time_zone: str) -> int:
    """The first instant of a local day, or, of a day that a place skipped, of the one after it."""
    at = since_1970(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 96 * QUARTER
    while wall(at, time_zone).date() < day:
        at += QUARTER
    return at


def bounds(question: Question, time_zone: str) -> tuple[int, int]:
    start, end = (edge if isinstance(edge, int) else begin_of(edge, time_zone) for edge in (question.start, question.end))
    return start, end


@cache
def label(at: int, grain: str, time_zone: str) -> str:
    """The name of the period that an instant lies in."""
    local = wall(at, time_zone)
    if grain == "hour":
        return wall(begin_of_hour(at, time_zone), time_zone).isoformat(timespec="seconds")
    if grain == "week":
        year, week, _ = local.isocalendar()
        return f"{year:04}-W{week:02}"
    return local.date().isoformat() if grain == "day" else local.date().isoformat()[:7]


def begin_of_hour(at: int, time_zone: str) -> int:
    """Back to where the clocks began to show this hour, by this offset."""

    def shown(instant: int) -> tuple[date, int, timedelta | None]:
        local = wall(instant, time_zone)
        return local.date(), local.hour, local.utcoffset()

    begin = at - at % QUARTER
    while shown(begin - QUARTER) == shown(at):
        begin -= QUARTER
    return begin


def quarters(start: int, end: int) -> Iterator[int]:
    """The instants at which clocks show a whole quarter of an hour, from start up to end."""
    yield from range(-(-start // QUARTER) * QUARTER, end, QUARTER)


@cache
def dates(start: int, end: int, time_zone: str) -> tuple[date, ...]:
    """The local days that meet the range."""
    first, last = wall(start, time_zone).date(), wall(end - 1, time_zone).date()
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)] if start < end else []
    return tuple(day for day in every if begin_of(day, time_zone) < begin_of(day + timedelta(days=1), time_zone))


def labels(world: World, zones: Iterable[str], question: Question) -> list[str]:
    """The periods that meet the range, on any of the zones' clocks, by their first instant in it."""
    first: dict[str, int] = {}
    for time_zone in {world.zones[zone].time_zone for zone in zones}:
        start, end = bounds(question, time_zone)
        begins = quarters(start, end) if question.grain == "hour" else (begin_of(day, time_zone) for day in dates(start, end, time_zone)[1:])
        for at in [start, *begins] if start < end else ():
            name = label(at, question.grain, time_zone)
            first[name] = min(at, first.get(name, at))
    return sorted(first, key=lambda name: (first[name], name))


def days_of(world: World, zones: Iterable[str], question: Question) -> set[date]:
    return {date.fromisoformat(day) for day in labels(world, zones, Question(question.start, question.end, "day"))}


def is_open(world: World, zone: str, at: int) -> bool:
    """Whether the venue has its doors open at that instant. What begins on the day before may reach into this one."""
    hours, time_zone = world.opening_hours.get(world.zones[zone].root), world.zones[zone].time_zone
    if hours is None:
        return True
    today = wall(at, time_zone).date()
    return any(begin <= at < end for day in (today - timedelta(days=1), today) for begin, end in open_times(hours, day, time_zone))


def open_times(hours: Mapping[str, Any], day: date, time_zone: str) -> Iterator[tuple[int, int]]:
    weekday = day.strftime("%a").lower()
    for begin, end in hours.get("exceptions", {}).get(day.isoformat(), hours.get(weekday, [])):
        tomorrow = end <= begin  # as text, 24:00 comes after every time of a day
        yield at_clock(day, begin, time_zone), at_clock(day + timedelta(days=1) if tomorrow else day, end, time_zone)


def at_clock(day: date, clock: str, time_zone: str) -> int:
    """When the clocks there show that time on that day; of two times, the first."""
    hour, minute = int(clock[:2]), int(clock[3:])
    if hour == 24:
        return at_clock(day + timedelta(days=1), f"00:{minute:02}", time_zone)
    return since_1970(datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(time_zone)))


# --- Which stays ------------------------------------------------------------------------------------------------------------


def stays_of(world: World, zones: Iterable[str], hours: str = "all") -> list[Stay]:
    """Everybody's stays in these zones, but those of staff and residents; of those hours, by the start."""
    wanted = {"all": (True, False), "open": (True,), "closed": (False,)}[hours]
    found = [stay for stay in world.stays if stay.zone in set(zones) and stay.shopper not in world.left_out]
    return [stay for stay in found if is_open(world, stay.zone, stay.started) in wanted]


def within(world: World, zones: Iterable[str], question: Question) -> list[Stay]:
    """Those that start in the range. The period of a stay is the one that its start falls in."""
    return [stay for stay in stays_of(world, zones, question.hours) if starts_within(world, stay, question)]


def starts_within(world: World, stay: Stay, question: Question) -> bool:
    start, end = bounds(question, world.zones[stay.zone].time_zone)
    return start <= stay.started < end


def before(world: World, zones: Iterable[str], question: Question) -> list[Stay]:
    """Those that start before the range."""
    return [stay for stay in stays_of(world, zones, question.hours) if stay.started < bounds(question, world.zones[stay.zone].time_zone)[0]]


def period_of(world: World, stay: Stay, grain: str) -> str:
    return label(stay.started, grain, world.zones[stay.zone].time_zone)


def visitors_of(stays: Iterable[Stay]) -> set[int]:
    """Distinct shoppers with a counted stay."""
    return {stay.shopper for stay in stays if stay.counted}


def by_period(world: World, zones: tuple[str, ...], question: Question, tell: Callable[[list[Stay]], Row]) -> Answer:
    """The same told of each period, and of the whole range."""
    stays = within(world, zones, question)
    rows = [
        {"period": period, **tell([stay for stay in stays if period_of(world, stay, question.grain) == period])} for period in labels(world, zones, question)
    ]
    return {"rows": rows, "total": tell(stays)}


# --- Numbers ----------------------------------------------------------------------------------------------------------------


def rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def dwells_of(world: World, stays: Iterable[Stay]) -> list[int]:
    """Of closed counted stays, the shortest first."""
    return sorted(stay.ended - stay.started for stay in stays if stay.counted and not stay.is_open(world.now))


def quantile(values: list[int], share: Fraction) -> float | None:
    """In seconds: the value that so great a share of the others lies below; between two neighbours, on the line from one to the other."""
    if not values:
        return None
    place = share * (len(values) - 1)
    low, above = values[int(place)], values[min(int(place) + 1, len(values) - 1)]
    return seconds(low + (place - int(place)) * (above - low))


def mean_of(values: list[int]) -> float | None:
    return seconds(Fraction(sum(values), len(values))) if values else None


def seconds(us: Fraction | int) -> float:
    return round(float(Fraction(us) / SECOND), 6)


MEDIAN, P90 = Fraction(1, 2), Fraction(9, 10)
