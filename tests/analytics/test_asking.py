"""Which range stands beside another: by local dates, so that no change of the clock shifts it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.asking import previous, year_before
from analytics.reports.reading import Range
from tests.analytics.rows import local

BERLIN = ZoneInfo("Europe/Berlin")


def dates(start: str, end: str) -> Range:
    return Range(date.fromisoformat(start), date.fromisoformat(end))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (("2026-11-01", "2026-11-08"), ("2026-10-25", "2026-11-01")),
        (("2026-03-29", "2026-03-30"), ("2026-03-28", "2026-03-29")),  # a day of 23 hours, beside a whole one
        (("2028-03-01", "2028-04-01"), ("2028-01-30", "2028-03-01")),  # 31 days, over the leap day
        (("2026-11-01", "2026-11-01"), ("2026-11-01", "2026-11-01")),
    ],
)
def test_before_a_range_of_dates_lie_as_many_days(asked: tuple[str, str], wanted: tuple[str, str]) -> None:
    assert previous(dates(*asked)) == dates(*wanted)


def test_before_a_range_of_instants_lies_as_much_time() -> None:
    start = datetime(2026, 11, 19, 6, tzinfo=UTC)
    assert previous(Range(start, start + timedelta(hours=5))) == Range(start - timedelta(hours=5), start)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (("2026-11-19", "2026-11-20"), ("2025-11-20", "2025-11-21")),  # Thursday of week 47
        (("2026-11-01", "2026-12-01"), ("2025-11-02", "2025-12-02")),  # as many days, though the month does not end there
        (("2026-01-01", "2026-01-02"), ("2025-01-02", "2025-01-03")),  # week 1 of both ISO years
        (("2026-12-28", "2027-01-04"), ("2025-12-22", "2025-12-29")),  # week 53: 2025 has none, so week 52
        (("2027-01-01", "2027-01-02"), ("2025-12-26", "2025-12-27")),  # Friday of 2026-W53
        (("2027-01-04", "2027-01-11"), ("2025-12-29", "2026-01-05")),  # 2027-W01 beside 2026-W01
        (("2021-01-02", "2021-01-03"), ("2019-12-28", "2019-12-29")),  # 2020-W53, a leap year
        (("2024-02-29", "2024-03-01"), ("2023-03-02", "2023-03-03")),  # a leap day
        (("2026-12-21", "2027-01-04"), ("2025-12-22", "2026-01-05")),  # weeks 52 and 53 beside 52 and 1: as many days
    ],
)
def test_a_year_before_is_the_same_weekday_of_the_same_iso_week(asked: tuple[str, str], wanted: tuple[str, str]) -> None:
    assert year_before(dates(*asked)) == dates(*wanted)


@given(st.dates(date(1901, 1, 1), date(2998, 1, 1)), st.integers(0, 800))
def test_a_year_before_has_as_many_days_and_the_same_weekdays(start: date, days: int) -> None:
    found = year_before(Range(start, start + timedelta(days)))
    assert found.end - found.start == timedelta(days)
    (year, week, weekday), (year_then, week_then, weekday_then) = start.isocalendar(), found.start.isocalendar()
    assert (year_then, weekday_then) == (year - 1, weekday)
    assert week_then == week or (week, week_then) == (53, 52)


def test_instants_keep_the_time_on_the_wall() -> None:
    # Summer time began in the night before 29 March 2026, the Sunday of week 13, and in that before 30 March 2025.
    asked = Range(local("Europe/Berlin", 2026, 3, 28, 9), local("Europe/Berlin", 2026, 3, 30, 9))
    assert year_before(asked, BERLIN) == Range(local("Europe/Berlin", 2025, 3, 29, 9), local("Europe/Berlin", 2025, 3, 31, 9))
    # In 2027 it had begun a week earlier, so the year before an hour less lies between the two.
    asked = Range(local("Europe/Berlin", 2027, 4, 3, 0), local("Europe/Berlin", 2027, 4, 4, 12))
    found = year_before(asked, BERLIN)
    assert found == Range(local("Europe/Berlin", 2026, 3, 28, 0), local("Europe/Berlin", 2026, 3, 29, 12))


def test_an_hour_that_the_clock_skipped_a_year_before_is_the_one_after() -> None:
    # 02:30 of Sunday, week 13: in 2026 skipped in Berlin (29 March). In 2027 that Sunday is 4 April, and has the hour.
    asked = local("Europe/Berlin", 2027, 4, 4, 2, 30)
    found = year_before(Range(asked, asked + timedelta(hours=1)), BERLIN)
    assert found.start == local("Europe/Berlin", 2026, 3, 29, 3, 30)
