"""When a venue is open: the hours as people write them, and as instants of one day. Pure.

    {"mon": [["09:00", "12:30"], ["13:30", "21:00"]], "sat": [["10:00", "24:00"]], "exceptions": {"2026-12-25": []}}

Times are of the venue's clock, the end exclusive. A day of the week that is not named is closed. An end before its beginning lies on
the next day. None means always open.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXCEPTIONS: Final = "exceptions"
MOST_INTERVALS: Final = 6  # of a day
MOST_EXCEPTIONS: Final = 400
Hours = dict[str, Any]
Fault = tuple[str, str]  # place below the hours, as `.mon[0][1]`; the sentence

_CLOCK: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MIDNIGHT: Final = "24:00"
_DAY_MIN: Final = 24 * 60


def spans(hours: Hours, day: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The open times that begin on that local day, as instants in UTC."""
    if _at(day, "00:00", zone).astimezone(zone).date() != day:  # a day that the place skipped: what begins on it never begins
        return []
    listed = hours.get(EXCEPTIONS, {}).get(day.isoformat(), hours.get(WEEKDAYS[day.weekday()], []))
    found = []
    for begin, end in listed:
        # By what the clock shows, not by the instants: where the clock jumps over the beginning, the end may lie before it.
        start, until = _at(day, begin, zone), _at(day if end > begin else day + timedelta(days=1), end, zone)
        if start < until:
            found.append((start, until))
    return found


def _at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """The instant at which the clock shows that. As calendars do it (RFC 5545): shown twice, the first time; never, by the offset before the jump."""
    hour, minute = map(int, clock.split(":"))
    if hour == 24:
        day, hour = day + timedelta(days=1), 0
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)


def _(sentence: str) -> str:
    """Marks a sentence for translation; whoever shows it translates it."""
    return sentence


def faults(hours: Any) -> list[Fault]:
    """Everything that is wrong with the hours, and where."""
    return [] if hours is None else list(_faults(hours))


def _faults(hours: Any) -> Iterator[Fault]:
    if not isinstance(hours, dict):
        yield "", _("Opening hours are an object with the days of the week, or null for always open.")
        return
    for name, value in hours.items():
        if name in WEEKDAYS:
            yield from _day(f".{name}", value)
        elif name == EXCEPTIONS:
            yield from _exceptions(value)
        else:
            yield f".{name}", _("There is no such field. Days are mon, tue, wed, thu, fri, sat and sun; single dates stand under exceptions.")


def _exceptions(value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield f".{EXCEPTIONS}", _("Exceptions are an object with dates, such as 2026-12-25.")
        return
    if len(value) > MOST_EXCEPTIONS:
        yield f".{EXCEPTIONS}", _("There are at most 400 exceptions. Remove those that are past.")
        return
    for name, listed in value.items():
        if is_date(name):
            yield from _day(f".{EXCEPTIONS}.{name}", listed)
        else:
            yield f".{EXCEPTIONS}.{name}", _("This is not a date, such as 2026-12-25.")


def is_date(text: Any) -> bool:
    """A date of the calendar with a year of four digits, and a day after it."""
    try:
        return isinstance(text, str) and bool(_DATE.fullmatch(text)) and date.fromisoformat(text) < date.max
    except ValueError:
        return False


def _day(place: str, listed: Any) -> Iterator[Fault]:
    if not isinstance(listed, list):
        yield place, _("A day is a list of open times, each with its beginning and end. An empty list is a closed day.")
        return
    if len(listed) > MOST_INTERVALS:
        yield place, _("A day has at most 6 open times.")
        return
    wrong = [fault for number, pair in enumerate(listed) for fault in _interval(f"{place}[{number}]", pair)]
    yield from wrong
    if not wrong:
        ordered = sorted((_minutes(begin, end), number) for number, (begin, end) in enumerate(listed))
        yield from (
            (f"{place}[{after}]", _("It overlaps with another open time of the day.")) for (one, _n), (two, after) in pairwise(ordered) if two[0] < one[1]
        )


def _interval(place: str, pair: Any) -> Iterator[Fault]:
    if not isinstance(pair, list) or len(pair) != 2:
        yield place, _("An open time has a beginning and an end, such as 09:00 and 21:00.")
        return
    wrong = [(f"{place}[{number}]", _("A time has the form 09:00, from 00:00 to 24:00.")) for number, one in enumerate(pair) if not _is_clock(one)]
    yield from wrong
    if not wrong and pair[0] == _MIDNIGHT:
        yield f"{place}[0]", _("Nothing begins at 24:00. Write 00:00 on the next day.")
    elif not wrong and pair[0] == pair[1]:
        yield place, _("The end must differ from the beginning. A whole day is 00:00 to 24:00.")


def _is_clock(value: Any) -> bool:
    return isinstance(value, str) and bool(_CLOCK.fullmatch(value))


def _minutes(begin: str, end: str) -> tuple[int, int]:
    """Of an open time, since the day's midnight on the wall."""
    start, until = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (begin, end))
    return start, until if until > start else until + _DAY_MIN


def canonical(hours: Hours) -> Hours:
    """The same hours in one form: open times in order, and no day that is closed anyhow."""
    kept: Hours = {name: sorted(map(list, hours[name])) for name in WEEKDAYS if hours.get(name)}
    single = {name: sorted(map(list, listed)) for name, listed in sorted(hours.get(EXCEPTIONS, {}).items())}
    return {**kept, EXCEPTIONS: single} if single else kept


def written(listed: Iterable[Iterable[str]]) -> str:
    """The open times of a day as people write them: `09:00-12:30, 13:30-21:00`; nothing for a closed day."""
    return ", ".join("-".join(pair) for pair in listed)


def understood(text: str) -> list[list[str]]:
    """The open times of a day from what people write; 9 and 9:00 are 09:00. Raises ValueError. What is said may still have faults."""
    listed = []
    for part in filter(None, (part.strip() for part in re.split(r"[,;]", text))):
        pair = [clock.strip() for clock in re.split(r"[-–—]", part)]
        if len(pair) != 2:
            raise ValueError(text)
        listed.append([(clock if ":" in clock else f"{clock}:00").zfill(5) for clock in pair])
    return listed
