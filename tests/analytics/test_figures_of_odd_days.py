"""Case 27, worked out by hand: clocks that change by half an hour, midnights, leap days, week 53, and one brand on two clocks."""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from analytics import figures
from analytics.calendars import to_moment
from analytics.reports.catalogue import REPORTS
from analytics.reports.reading import Question, Range, Subject, reading
from engagement.models import Brand, Organisation, Zone
from tests.analytics.rows import local, shopper, stay, venue

pytestmark = pytest.mark.django_db(transaction=True)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["as it comes", "made"])
def made(request: pytest.FixtureRequest) -> bool:
    """Figures are read from the stays, or from what was made of them."""
    return bool(request.param == "made")


def told(zones: list[Zone], name: str, start: date, end: date, grain: Any = "day", *, made: bool) -> list[dict[str, Any]]:
    if made:
        with figures.session() as session:
            figures.catch_up(session, now=LATER)
    subject = Subject("zone" if len(zones) == 1 else "brand", "place", "Place", tuple(zone.pk for zone in zones))
    with reading(zones[0].organisation, [subject], now=LATER) as found:
        rows: list[dict[str, Any]] = REPORTS[name].function(found, [subject], Question(Range(start, end), grain))[0]["rows"]
        return rows


def test_case_27_the_hours_of_a_day_that_is_half_an_hour_longer_add_up_to_it(acme: Organisation, made: bool) -> None:
    """On Lord Howe Island it was half past one twice on 5 April 2026: the second time, half an hour long, is an hour of its own."""
    root = venue(acme, "lagoon", "Australia/Lord_Howe")
    for number, parts in enumerate(((1, 40, 0), (1, 40, 1), (2, 0, 0), (23, 59, 0))):
        stay(shopper(acme, f"s{number}"), root, local("Australia/Lord_Howe", 2026, 4, 5, *parts[:2], fold=parts[2]))
    hours = told([root], "footfall", date(2026, 4, 5), date(2026, 4, 6), "hour", made=made)
    assert len(hours) == 25
    assert {row["period"]: row["visits"] for row in hours if row["visits"]} == {
        "2026-04-05T01:00:00+11:00": 1,
        "2026-04-05T01:30:00+10:30": 1,
        "2026-04-05T02:00:00+10:30": 1,
        "2026-04-05T23:00:00+10:30": 1,
    }
    [day] = told([root], "footfall", date(2026, 4, 5), date(2026, 4, 6), made=made)
    assert day["visits"] == sum(row["visits"] for row in hours) == 4


def test_case_27_a_visit_over_midnight_is_one_visit_of_the_day_on_which_it_began(acme: Organisation, made: bool) -> None:
    root = venue(acme, "dam", "Africa/Cairo")
    stay(shopper(acme, "ann"), root, local("Africa/Cairo", 2026, 4, 23, 23, 50), 1800)  # the next day begins at one o'clock
    assert [row["visits"] for row in told([root], "footfall", date(2026, 4, 23), date(2026, 4, 25), made=made)] == [1, 0]
    assert [row["peak"] for row in told([root], "occupancy", date(2026, 4, 23), date(2026, 4, 25), made=made)] == [0, 1]
    assert len(told([root], "footfall", date(2026, 4, 24), date(2026, 4, 25), "hour", made=made)) == 23


def test_case_27_a_leap_day_and_week_53_are_periods_like_others(acme: Organisation, made: bool) -> None:
    root = venue(acme, "cape", "Africa/Johannesburg")
    for moment in ((2028, 2, 29, 12), (2026, 12, 31, 23), (2027, 1, 3, 12)):
        stay(shopper(acme, "ann"), root, local("Africa/Johannesburg", *moment))
    assert [row["period"] for row in told([root], "visitors", date(2028, 2, 28), date(2028, 3, 2), made=made)] == ["2028-02-28", "2028-02-29", "2028-03-01"]
    weeks = told([root], "visitors", date(2026, 12, 21), date(2027, 1, 11), "week", made=made)
    assert [(row["period"], row["visits"], row["visitors"]) for row in weeks] == [("2026-W52", 0, 0), ("2026-W53", 2, 1), ("2027-W01", 0, 0)]


def test_case_27_each_store_of_a_brand_has_its_own_midnight(acme: Organisation, rival: Organisation, made: bool) -> None:
    """It is one instant: in Auckland it is the 2nd already, in New York still the 1st."""
    stores = [venue(acme, "auck", "Pacific/Auckland"), venue(acme, "york", "America/New_York")]
    Zone.objects.filter(pk__in=[store.pk for store in stores]).update(brand=Brand.objects.get(organisation=acme, key="brew"))
    for store, name in zip(stores, ("ann", "ben"), strict=True):
        stay(shopper(acme, name), store, datetime(2026, 7, 1, 20, tzinfo=UTC))
    days = told(stores, "footfall", date(2026, 7, 1), date(2026, 7, 3), made=made)
    assert [(row["period"], row["visits"]) for row in days] == [("2026-07-01", 1), ("2026-07-02", 1)]


def test_case_60_a_maker_that_fails_says_what_kind_of_failure_it_was_and_nothing_of_anybody(
    acme: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = iter((ValueError("crm-42 was at -26.1076, 28.0567"), ValueError("crm-42 was at -26.1076, 28.0567")))
    stopped = []

    def failing(*_: Any, **__: Any) -> int:
        for error in tries:
            raise error
        stopped.append(True)
        return 0

    monkeypatch.setattr(figures, "step", failing)
    monkeypatch.setattr(figures, "REST_S", 0.001)
    with caplog.at_level(logging.DEBUG, logger="atrium.figures"):
        figures.run(stopping=lambda: bool(stopped))
    assert len(caplog.records) == 2
    assert all("ValueError" in record.getMessage() for record in caplog.records)
    assert "crm-42" not in caplog.text
    assert "28.05" not in caplog.text


def test_the_longest_day_and_the_shortest_have_as_many_quarters_as_they_last(acme: Organisation, made: bool) -> None:
    """Somebody is there all the time: the mean of each day is exactly one, whatever the clock does."""
    root = venue(acme, "bay", "America/New_York")
    stay(shopper(acme, "ann"), root, local("America/New_York", 2026, 3, 7, 0), timedelta(days=4).total_seconds())
    assert [row["mean"] for row in told([root], "occupancy", date(2026, 3, 7), date(2026, 3, 10), made=made)] == [1, 1, 1]


def test_a_restated_day_says_so_also_where_its_stays_are_read(acme: Organisation) -> None:
    """Because the range cuts it, or because more has come since."""
    root = venue(acme, "cape", "Africa/Johannesburg")
    with figures.session() as session:
        for number in range(3):
            stay(shopper(acme, f"s{number}"), root, datetime(2026, 7, 1, 10 + number, tzinfo=UTC))
            if number < 2:
                figures.catch_up(session, now=LATER + timedelta(days=number))
    subject = Subject("zone", "cape", "Cape", (root.pk,))
    for edge in (date(2026, 7, 1), datetime(2026, 7, 1, 9, tzinfo=UTC)):
        with reading(acme, [subject], now=LATER) as found:
            REPORTS["footfall"].function(found, [subject], Question(Range(edge, date(2026, 7, 2))))
            assert to_moment(found.restated_at) == LATER + timedelta(days=1)
