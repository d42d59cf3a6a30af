"""The figures of the definitions, version 1, written for reading: plain records, plain loops, and no line shared with the product.

The product must show of every set of stays what this module says of it, however its stored days came to be. Everything is computed
from the whole list of stays each time. The calendar is walked, a quarter of an hour at a time: no clock of our times changes in between.

An instant is a whole number of microseconds since 1970. Durations that are shown are seconds, shares numbers from 0 to 1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise
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


# --- Figures of people ------------------------------------------------------------------------------------------------------


def footfall(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        dwells = dwells_of(world, stays)
        return {
            "visits": sum(stay.counted for stay in stays),
            "visitors": len(visitors_of(stays)),
            "pass_bys": sum(not stay.counted for stay in stays),
            "dwell_median_s": quantile(dwells, MEDIAN),
            "dwell_p90_s": quantile(dwells, P90),
            "dwell_mean_s": mean_of(dwells),
        }

    return with_new(world, zones, question, by_period(world, zones, question, tell))


def with_new(world: World, zones: tuple[str, ...], question: Question, answer: Answer) -> Answer:
    """New: the first ever counted stay falls in the period. Returning: had one before the period."""
    known = earlier = visitors_of(before(world, zones, question))
    stays = within(world, zones, question)
    for row in answer["rows"]:
        visitors = visitors_of(stay for stay in stays if period_of(world, stay, question.grain) == row["period"])
        row |= {"new": len(visitors - known), "returning": len(visitors & known)}
        known = known | visitors
    answer["total"] |= {"new": len(visitors_of(stays) - earlier), "returning": len(visitors_of(stays) & earlier)}
    return answer


def visitors(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        visits, people = sum(stay.counted for stay in stays), len(visitors_of(stays))
        return {"visits": visits, "visitors": people, "frequency": rate(visits, people)}

    return with_new(world, zones, question, by_period(world, zones, question, tell))


def dwell(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        dwells = dwells_of(world, stays)
        classes = {
            "under_5": sum(one < 5 * MINUTE for one in dwells),
            "from_5_to_15": sum(5 * MINUTE <= one < 15 * MINUTE for one in dwells),
            "from_15_to_30": sum(15 * MINUTE <= one < 30 * MINUTE for one in dwells),
            "from_30_to_60": sum(30 * MINUTE <= one <= 60 * MINUTE for one in dwells),
            "over_60": sum(one > 60 * MINUTE for one in dwells),
        }
        return {
            "visits": len(dwells),
            "median_s": quantile(dwells, MEDIAN),
            "p90_s": quantile(dwells, P90),
            "mean_s": mean_of(dwells),
            "shares": {name: rate(number, len(dwells)) for name, number in classes.items()},
        }

    return by_period(world, zones, question, tell)


def bounce(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        visits = sum(stay.counted for stay in stays)
        return {"visits": visits, "pass_bys": len(stays) - visits, "rate": rate(len(stays) - visits, len(stays))}

    return by_period(world, zones, question, tell)


def loyalty(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """How many came how often."""
    visits = [stay for stay in within(world, zones, question) if stay.counted]
    times = [sum(stay.shopper == shopper for stay in visits) for shopper in visitors_of(visits)]
    rows = [{"visits": str(number), "visitors": times.count(number)} for number in range(1, 10)]
    rows.append({"visits": "10+", "visitors": sum(number >= 10 for number in times)})
    return {"rows": rows, "total": {"visits": len(visits), "visitors": len(times), "frequency": rate(len(visits), len(times))}}


def recency(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Everybody who visited before the range's end, or now: how many local days before that was the last time?"""
    ago: dict[int, int] = {}
    for stay in stays_of(world, zones, question.hours):
        time_zone = world.zones[stay.zone].time_zone
        until = min(bounds(question, time_zone)[1], world.now)
        if stay.counted and stay.started < until:
            days = (wall(until - 1, time_zone).date() - wall(stay.started, time_zone).date()).days
            ago[stay.shopper] = min(days, ago.get(stay.shopper, days))
    classes = {"0-6": range(7), "7-13": range(7, 14), "14-29": range(14, 30), "30-59": range(30, 60), "60-89": range(60, 90), "90-179": range(90, 180)}
    rows = [{"days_ago": name, "visitors": sum(days in members for days in ago.values())} for name, members in classes.items()]
    rows.append({"days_ago": "180+", "visitors": sum(days >= 180 for days in ago.values())})
    return {"rows": rows, "total": {"visitors": len(ago)}}


def retention(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Of the shoppers whose first visit fell in a month that began in the range: the share with a visit in each month since."""
    months: dict[int, set[str]] = {}
    for stay in stays_of(world, zones, question.hours):
        if stay.counted:
            months.setdefault(stay.shopper, set()).add(period_of(world, stay, "month"))
    rows = []
    for cohort in cohorts(world, zones, question):
        people = [came for came in months.values() if min(came) == cohort]
        current = max(label(world.now, "month", world.zones[zone].time_zone) for zone in zones)
        back = []
        for later in range(between(cohort, current) + 1):
            number = sum(any(between(cohort, month) == later for month in came) for came in people)
            back.append({"months_later": later, "visitors": number, "share": rate(number, len(people))})
        rows.append({"cohort": cohort, "visitors": len(people), "months": back})
    return {"rows": rows, "total": {"visitors": sum(row["visitors"] for row in rows)}}


def cohorts(world: World, zones: tuple[str, ...], question: Question) -> list[str]:
    """The months that begin in the range on one of the clocks, and have begun."""
    found = set()
    for time_zone in {world.zones[zone].time_zone for zone in zones}:
        start, end = bounds(question, time_zone)
        begins = [begin_of(day, time_zone) for day in dates(start, end, time_zone) if day.day == 1]
        found |= {label(at, "month", time_zone) for at in begins if start <= at < end and at <= world.now}
    return sorted(found)


def between(month: str, later: str) -> int:
    return (int(later[:4]) - int(month[:4])) * 12 + int(later[5:]) - int(month[5:])


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


# --- Figures between places -------------------------------------------------------------------------------------------------


def at_end(world: World, zone: str, question: Question) -> int:
    """Places lie where they lie at the range's end, or now."""
    return min(bounds(question, world.zones[zone].time_zone)[1], world.now)


def capture(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Visitors, and those of the zones directly above, in the same period."""
    around = {parent for zone in zones if (parent := world.zones[zone].parent(at_end(world, zone, question)))}

    def told(period: str | None) -> Row:
        inside, above = (visitors_of(of_period(world, some, question, period)) for some in (zones, around))
        return {"visitors": len(inside), "above": len(above) if around else None, "rate": rate(len(inside), len(above))}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def of_period(world: World, zones: Iterable[str], question: Question, period: str | None) -> list[Stay]:
    """Those of a period; None: of the whole range."""
    return [stay for stay in within(world, zones, question) if period in (None, period_of(world, stay, question.grain))]


def passers_by(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Distinct shoppers seen in a street and without a visit to the venue on that day. Of a venue: in all its streets."""
    streets = [key for key, zone in world.zones.items() if zone.kind == "street" and (key in zones or zone.root in zones)]

    def told(period: str | None) -> Row:
        return {"passers_by": len({stay.shopper for stay in of_period(world, streets, question, period) if not came_in(world, stay)})}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def came_in(world: World, seen: Stay) -> bool:
    """Whether the shopper visited the venue on the day on which he was seen, at any time."""
    own = [stay for stay in stays_of(world, [world.zones[seen.zone].root]) if stay.shopper == seen.shopper and stay.counted]
    return any(period_of(world, stay, "day") == period_of(world, seen, "day") for stay in own)


def flows(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Consecutive counted stays of one visit in sibling zones, by start: of a venue anywhere in it, of another zone directly in it.

    A stay is one of a visit when it starts while the visit lasts. Of two that start together, the zone that was made first comes first.
    """
    [top] = zones
    root = world.zones[top].root
    inside = [stay for stay in stays_of(world, [key for key, zone in world.zones.items() if zone.root == root != key]) if stay.counted]
    steps: dict[tuple[str, str], int] = {}
    for visit in within(world, [root], question):
        own = [stay for stay in inside if visit.counted and stay.shopper == visit.shopper and visit.started <= stay.started <= visit.ended]
        for parent in {above(world, stay) for stay in own} & ({top} if top != root else set(world.zones)):
            siblings = [stay for stay in own if above(world, stay) == parent]
            siblings.sort(key=lambda stay: (stay.started, list(world.zones).index(stay.zone)))
            for one, other in pairwise(siblings):
                if one.zone != other.zone:
                    steps[one.zone, other.zone] = steps.get((one.zone, other.zone), 0) + 1
    rows = [{"from": one, "to": other, "visits": number} for (one, other), number in steps.items()]
    rows.sort(key=lambda row: (-steps[row["from"], row["to"]], row["from"], row["to"]))  # type: ignore[index]
    return {"rows": rows, "total": {"visits": sum(steps.values())}}


def above(world: World, stay: Stay) -> str | None:
    return world.zones[stay.zone].parent(stay.started)


def cross_visits(world: World, places: Mapping[str, tuple[str, ...]], question: Question) -> Answer:
    """Distinct shoppers who visited both in the range, of every two. `places`: zones by key, in order."""
    members = {key: visitors_of(within(world, zones, question)) for key, zones in places.items()}
    return {"rows": [{"a": a, "b": b, "visitors": len(members[a] & members[b])} for a, b in combinations(places, 2)], "total": {}}


def stores_in(world: World, top: str, question: Question) -> dict[str, tuple[str, ...]]:
    """The stores in a zone, however deep."""
    found = []
    for key, zone in world.zones.items():
        over: str | None = key
        while over not in (None, top):
            over = world.zones[over].parent(at_end(world, key, question))  # type: ignore[index]
        if zone.kind == "store" and key != top and over == top:
            found.append(key)
    return {key: (key,) for key in sorted(found)}


# --- Figures of sales -------------------------------------------------------------------------------------------------------


def conversion(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Distinct shoppers with a purchase at the zone's brand in the period who also visited it, of the visitors."""
    sold = any(world.zones[zone].brand for zone in zones)

    def told(period: str | None) -> Row:
        people = visitors_of(of_period(world, zones, question, period))
        buyers = {shopper for zone in zones for shopper in visitors_of(of_period(world, [zone], question, period)) & paid(world, zone, question, period)}
        return {"buyers": len(buyers), "visitors": len(people), "rate": rate(len(buyers), len(people)) if sold else None}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def paid(world: World, zone: str, question: Question, period: str | None) -> set[int]:
    """Who bought of the zone's brand, by the zone's clock."""
    time_zone = world.zones[zone].time_zone
    start, end = bounds(question, time_zone)
    bought = [purchase for purchase in world.purchases if purchase.brand == world.zones[zone].brand and start <= purchase.at < end]
    return {purchase.shopper for purchase in bought if period in (None, label(purchase.at, question.grain, time_zone))}


# --- All of them ------------------------------------------------------------------------------------------------------------

# Cross-visits are of several places together, and coverage stands at the head of every answer.
FIGURES: dict[str, Callable[[World, tuple[str, ...], Question], Answer]] = {
    "footfall": footfall,
    "visitors": visitors,
    "dwell": dwell,
    "bounce": bounce,
    "loyalty": loyalty,
    "recency": recency,
    "retention": retention,
    "occupancy": occupancy,
    "heatmap": heatmap,
    "peak-hours": peak_hours,
    "capture": capture,
    "passers-by": passers_by,
    "flows": flows,
    "conversion": conversion,
}
