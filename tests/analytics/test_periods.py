"""Periods of a venue's clock. Hours, days, weeks and months meet without gap or overlap, whatever the clock does."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.periods import GRAINS, MOST_ROWS, Grain, TooManyPeriods, midnight, split

HOUR = timedelta(hours=1)
ZONES = [
    "UTC",
    "Africa/Johannesburg",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "America/Havana",
    "Atlantic/Azores",
    "Pacific/Apia",
]


def of_days(first: date, last: date, grain: Grain, name: str) -> list[tuple[str, timedelta]]:
    """Label and length of the periods from the first local day up to the last, exclusive."""
    zone = ZoneInfo(name)
    return [(period.label, period.end - period.start) for period in split(midnight(first, zone), midnight(last, zone), grain, zone)]


@pytest.mark.parametrize(
    ("day", "name", "length"),
    [
        (date(2026, 11, 1), "America/New_York", 25 * HOUR),
        (date(2026, 3, 8), "America/New_York", 23 * HOUR),
        (date(2026, 4, 5), "Australia/Lord_Howe", 24.5 * HOUR),
        (date(2026, 10, 4), "Australia/Lord_Howe", 23.5 * HOUR),
        (date(2028, 2, 29), "Africa/Johannesburg", 24 * HOUR),
    ],
)
def test_a_day_is_as_long_as_its_place_makes_it(day: date, name: str, length: timedelta) -> None:
    assert of_days(day, day + timedelta(days=1), "day", name) == [(day.isoformat(), length)]
    hours = of_days(day, day + timedelta(days=1), "hour", name)
    assert sum((span for _, span in hours), timedelta()) == length
    assert len({label for label, _ in hours}) == len(hours)


def test_the_hour_that_comes_twice_is_two_rows() -> None:
    labels = [label for label, _ in of_days(date(2026, 11, 1), date(2026, 11, 2), "hour", "America/New_York")]
    assert labels[:4] == ["2026-11-01T00:00:00-04:00", "2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"]
    assert len(labels) == 25


def test_half_an_hour_that_comes_twice_is_a_row_of_its_own() -> None:
    hours = of_days(date(2026, 4, 5), date(2026, 4, 6), "hour", "Australia/Lord_Howe")
    assert hours[1:4] == [("2026-04-05T01:00:00+11:00", HOUR), ("2026-04-05T01:30:00+10:30", HOUR / 2), ("2026-04-05T02:00:00+10:30", HOUR)]


def test_a_day_without_a_midnight_begins_when_the_clock_goes_on() -> None:
    [(label, length)] = of_days(date(2026, 4, 24), date(2026, 4, 25), "day", "Africa/Cairo")
    assert (label, length) == ("2026-04-24", 23 * HOUR)


def test_a_day_that_a_place_skipped_has_no_row() -> None:
    labels = [label for label, _ in of_days(date(2011, 12, 29), date(2012, 1, 1), "day", "Pacific/Apia")]
    assert labels == ["2011-12-29", "2011-12-31"]


def test_weeks_are_iso_weeks_and_months_end_when_they_end() -> None:
    weeks = [label for label, _ in of_days(date(2026, 12, 28), date(2027, 1, 11), "week", "Europe/London")]
    assert weeks == ["2026-W53", "2027-W01"]
    months = of_days(date(2028, 1, 1), date(2028, 4, 1), "month", "Europe/London")
    assert months == [("2028-01", 31 * 24 * HOUR), ("2028-02", 29 * 24 * HOUR), ("2028-03", 31 * 24 * HOUR - HOUR)]


def test_the_first_and_last_period_are_cut_to_the_range() -> None:
    start, end = datetime(2026, 11, 19, 10, 20, tzinfo=UTC), datetime(2026, 11, 20, 1, tzinfo=UTC)
    [first, last] = split(start, end, "day", ZoneInfo("UTC"))
    assert (first.label, first.start, last.label, last.end) == ("2026-11-19", start, "2026-11-20", end)


def test_a_range_of_too_many_rows_is_refused_before_it_is_split() -> None:
    start = datetime(1900, 1, 1, tzinfo=UTC)
    with pytest.raises(TooManyPeriods):
        split(start, datetime(2900, 1, 1, tzinfo=UTC), "hour", ZoneInfo("UTC"))
    assert len(split(start, start + MOST_ROWS * HOUR, "hour", ZoneInfo("UTC"))) == MOST_ROWS


@given(
    start=st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    hours=st.integers(0, 2_000),
    grain=st.sampled_from(GRAINS),
    name=st.sampled_from([*ZONES, "America/St_Johns", "America/Sao_Paulo"]),
)
def test_periods_meet_without_gap_or_overlap(start: datetime, hours: int, grain: Grain, name: str) -> None:
    zone, end = ZoneInfo(name), start + hours * HOUR
    periods = split(start, end, grain, zone)
    assert [period.start for period in periods] == [start, *(period.end for period in periods)][: len(periods)]
    assert not periods or periods[-1].end == end
    assert len({period.label for period in periods}) == len(periods)
    if grain == "hour":
        for period in periods:
            assert period.end - period.start <= HOUR
            assert period.start.astimezone(zone).utcoffset() == (period.end - timedelta(microseconds=1)).astimezone(zone).utcoffset()
