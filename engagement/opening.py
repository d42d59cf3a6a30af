"""When a venue is open: the hours as people write them, and as instants of one day. Pure.

    {"mon": [["09:00", "12:30"], ["13:30", "21:00"]], "sat": [["10:00", "24:00"]], "exceptions": {"2026-12-25": []}}

Times are of the venue's clock, the end exclusive. A day of the week that is not named is closed. An end before its beginning lies on
the next day. None means always open.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Hours = dict[str, Any]


def spans(hours: Hours, day: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """The open times that begin on that local day, as instants in UTC."""
    listed = hours.get("exceptions", {}).get(day.isoformat(), hours.get(WEEKDAYS[day.weekday()], []))
    found = []
    for begin, end in listed:
        start, until = _at(day, begin, zone), _at(day, end, zone)
        found.append((start, until if until > start else _at(day + timedelta(days=1), end, zone)))
    return found


def _at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, clock.split(":"))
    if hour == 24:
        day, hour = day + timedelta(days=1), 0
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)
