"""When: next times, one wall time on many clocks, quiet hours; on odd days too."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from notifications import schedule
from notifications.schedule import Quiet

JOBURG, BERLIN, KIRITIMATI, PAGO = (ZoneInfo(name) for name in ("Africa/Johannesburg", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"))


def utc(told: str) -> datetime:
    return datetime.fromisoformat(told).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("recurrence", "after", "following"),
    [
        ({"every": "day", "at": "10:00"}, "2026-11-21T07:59", "2026-11-21T08:00"),
        ({"every": "day", "at": "10:00"}, "2026-11-21T08:00", "2026-11-22T08:00"),
        ({"every": "week", "at": "10:00", "on": [1, 4]}, "2026-11-21T08:00", "2026-11-23T08:00"),
        ({"every": "week", "at": "10:00", "on": [1, 4]}, "2026-11-23T08:00", "2026-11-26T08:00"),
        ({"every": "month", "at": "23:30", "on": [31]}, "2026-11-21T08:00", "2026-12-31T21:30"),
        ({"every": "month", "at": "23:30", "on": [29]}, "2027-01-31T00:00", "2027-03-29T21:30"),
        ({"every": "month", "at": "10:00", "on": [40]}, "2027-01-31T00:00", None),
    ],
)
def test_the_next_time_of_a_recurring_campaign(recurrence: dict[str, Any], after: str, following: str | None) -> None:
    assert schedule.next_time(recurrence, JOBURG, utc(after)) == (following and utc(following))


def test_a_time_that_the_clock_skips_comes_as_much_later() -> None:
    assert schedule.next_time({"every": "day", "at": "02:30"}, BERLIN, utc("2026-03-28T12:00")) == utc("2026-03-29T01:30")


def test_one_wall_time_passes_around_the_world_from_the_first_clock_to_the_last() -> None:
    send_at = utc("2026-11-21T08:00")  # ten o'clock in Johannesburg
    assert schedule.first_clock_at(send_at, JOBURG) == schedule.on_clock(send_at, JOBURG, KIRITIMATI) == utc("2026-11-20T20:00")
    assert schedule.on_clock(send_at, JOBURG, PAGO) == utc("2026-11-21T21:00")


def test_nobody_is_told_in_the_quiet_hours_of_either_clock() -> None:
    quiet = Quiet.of({"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shopper", "shop"]})
    assert quiet is not None and quiet.hold
    both = quiet.clocks(BERLIN, JOBURG)
    assert quiet.free(utc("2026-11-21T18:59"), both) == utc("2026-11-21T18:59")
    assert quiet.free(utc("2026-11-21T19:00"), both) == utc("2026-11-22T07:00")  # the shop sleeps first, Berlin wakes last
    assert quiet.free(utc("2026-11-21T19:30"), quiet.clocks(None, JOBURG)) == utc("2026-11-22T06:00")  # unknown: the shop's
    assert quiet.clocks(None, JOBURG) == quiet.clocks(JOBURG, JOBURG) == (JOBURG,)


def test_quiet_hours_of_one_clock_leave_the_other_alone() -> None:
    quiet = Quiet.of({"from": "12:00", "until": "14:00", "then": "drop", "clocks": ["shop"]})
    assert quiet is not None and not quiet.hold
    assert quiet.free(utc("2026-11-21T11:30"), quiet.clocks(KIRITIMATI, JOBURG)) == utc("2026-11-21T12:00")
    assert quiet.free(utc("2026-11-21T12:00"), quiet.clocks(KIRITIMATI, JOBURG)) == utc("2026-11-21T12:00")


def test_clocks_that_are_never_awake_together_leave_no_time() -> None:
    quiet = Quiet.of({"from": "20:00", "until": "08:00"})
    assert quiet is not None
    assert quiet.free(utc("2026-11-21T12:00"), (ZoneInfo("Asia/Karachi"), ZoneInfo("America/Los_Angeles"), KIRITIMATI, BERLIN)) is None


def test_no_hours_and_empty_hours_are_no_quiet_hours() -> None:
    assert Quiet.of(None) is Quiet.of({}) is Quiet.of({"from": "08:00", "until": "08:00"}) is None


@pytest.mark.parametrize("day", ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25", "2026-11-21"])
@pytest.mark.parametrize(("begin", "end"), [("21:00", "08:00"), ("01:00", "02:30"), ("02:30", "03:30"), ("00:00", "02:10")])
def test_the_end_lies_outside_the_hours_and_is_the_first_such_instant(day: str, begin: str, end: str) -> None:
    """Against the plain reading of the clock. Where it is changed within the hours they may last up to two hours more, never less."""
    quiet = Quiet.of({"from": begin, "until": end})
    assert quiet is not None
    first, last = time.fromisoformat(begin), time.fromisoformat(end)

    def asleep(instant: datetime) -> bool:
        wall = instant.astimezone(BERLIN).time()
        return first <= wall < last if first < last else wall >= first or wall < last

    minutes = [utc(day) + timedelta(minutes=10 * n) for n in range(6 * 40)]
    for start in minutes[: 6 * 26]:
        expected = next(one for one in minutes if one >= start and not asleep(one))
        found = quiet.free(start, (BERLIN,))
        assert found is not None and not asleep(found) and expected <= found <= expected + timedelta(hours=2)
        assert found == expected or day in ("2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25")


def test_a_clock_that_nobody_knows_is_none() -> None:
    assert schedule.zone_of("Mars/Olympus") is schedule.zone_of("") is schedule.zone_of("../../etc/passwd") is None
