"""What is partitioned, how far ahead, kept how long: events by the UTC day of the client's `at`."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import psycopg

DAYS_BACK: Final = 35  # the window of definitions: the oldest event the door accepts
DAYS_AHEAD: Final = 7


def name_of(day: date) -> str:
    return f"engagement_event_{day:%Y%m%d}"


def ensure(connection: psycopg.Connection[Any], *, first: date | None = None, last: date | None = None) -> list[str]:
    """Make the missing daily partitions from `first` to `last`; by default the window and a week ahead. Returns their names."""
    today = datetime.now(UTC).date()
    day = first or today - timedelta(days=DAYS_BACK + 1)
    made = []
    while day <= (last or today + timedelta(days=DAYS_AHEAD)):
        if connection.execute("SELECT to_regclass(%s)", [name_of(day)]).fetchone() == (None,):
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name_of(day)} PARTITION OF engagement_event FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            )
            made.append(name_of(day))
        day += timedelta(days=1)
    return made
