"""How long it takes, and what quiet hours do to it: worked out by hand."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from notifications.forecast import Forecast, Group, forecast
from notifications.schedule import Quiet

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONDON, TOKYO, NEW_YORK = ZoneInfo("Europe/London"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
HOLD = Quiet.of({"from": "21:00", "until": "08:00", "then": "hold"})
DROP = Quiet.of({"from": "21:00", "until": "08:00", "then": "drop"})


def told(found: Forecast) -> tuple[int, int, datetime | None, datetime | None]:
    return found.held, found.dropped, found.until, found.finish_at


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def test_without_quiet_hours_it_takes_as_long_as_the_pace_says() -> None:
    assert told(forecast([Group(3600, NOON)], None, 2.0)) == (0, 0, None, NOON + hours(0.5))
    assert told(forecast([Group(3600, NOON)], None, None)) == (0, 0, None, NOON)
    assert told(forecast([Group(3600, NOON)], None, 0.0)) == (0, 0, None, None)
    assert told(forecast([], None, 1.0)) == told(forecast([Group(0, NOON)], HOLD, 1.0)) == (0, 0, None, None)


def test_those_who_sleep_wait_until_their_morning() -> None:
    """Noon in London is nine in the evening in Tokyo: its people wait for their eight o'clock, 23:00 in London."""
    groups = [Group(3600, NOON, (LONDON,)), Group(7200, NOON, (TOKYO,))]
    assert told(forecast(groups, HOLD, 1.0)) == (7200, 0, NOON + hours(11), NOON + hours(13))
    assert told(forecast(groups, DROP, 1.0)) == (0, 7200, None, NOON + hours(1))


def test_whoever_is_overtaken_by_the_night_goes_on_in_the_morning() -> None:
    """Nine hours until London sleeps, at one a second; half of them are left, until eight."""
    groups = [Group(2 * 9 * 3600, NOON, (LONDON,))]
    assert told(forecast(groups, HOLD, 1.0)) == (9 * 3600, 0, NOON + hours(20), NOON + hours(29))
    assert told(forecast(groups, DROP, 1.0)) == (0, 9 * 3600, None, NOON + hours(9))


def test_those_who_are_awake_share_the_pace() -> None:
    """New York (seven o'clock) sleeps one hour more; until then London has the pace alone, then both share it."""
    groups = [Group(2 * 3600, NOON, (LONDON,)), Group(3600, NOON, (NEW_YORK,))]
    assert told(forecast(groups, HOLD, 1.0)) == (3600, 0, NOON + hours(1), NOON + hours(3))


def test_whose_time_comes_later_is_waited_for() -> None:
    assert told(forecast([Group(60, NOON), Group(60, NOON + hours(5))], None, 1.0)) == (0, 0, None, NOON + hours(5) + timedelta(seconds=60))


def test_a_night_without_end_ends_the_looking() -> None:
    clocks = tuple(ZoneInfo(name) for name in ("Asia/Karachi", "America/Los_Angeles", "Pacific/Kiritimati", "Europe/Berlin"))
    never = Quiet.of({"from": "20:00", "until": "08:00", "then": "hold"})
    assert told(forecast([Group(5, NOON, clocks)], never, 1.0)) == (0, 5, None, None)
