"""Occupancy, the heat map of the week and peak hours: worked examples."""

from datetime import date, datetime
from typing import Any

import pytest

from analytics.models import Regular
from engagement.models import Organisation, Venue, Zone
from tests.analytics.asking import ask, brand
from tests.analytics.rows import local, shopper, stay, venue

HERE, NEW_YORK = "Africa/Johannesburg", "America/New_York"
MINUTE = 60


@pytest.fixture
def root(north: Venue) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(venue=north, kind="venue")


def at(*clock: int, day: int = 1) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


def occupancy(organisation: Organisation, zone: Any, start: Any = date(2026, 10, 1), end: Any = date(2026, 10, 2), **more: Any) -> dict[str, Any]:
    return ask("occupancy", organisation, [zone], start, end, **more)[0]


def test_who_comes_and_goes_on_the_quarter_is_there_at_it(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, at(10), 30 * MINUTE)  # at 10:00, 10:15 and 10:30
    stay(shopper(acme, "ben"), root, at(10, 1), 13 * MINUTE)  # between two quarters
    stay(shopper(acme, "cat"), root, at(10, 16), 14 * MINUTE)  # at 10:30
    stay(shopper(acme, "dan"), root, at(10, 30), 5 * MINUTE, counted=False)
    found = occupancy(acme, root)
    assert found["total"] == {"mean": round(4 / 96, 6), "peak": 2, "peak_at": "2026-10-01T10:30:00+02:00", "now": 0}
    assert found["rows"] == [{"period": "2026-10-01", "mean": round(4 / 96, 6), "peak": 2, "peak_at": "2026-10-01T10:30:00+02:00"}]
    ten = occupancy(acme, root, grain="hour")["rows"][10]
    assert ten == {"period": "2026-10-01T10:00:00+02:00", "mean": 1.0, "peak": 2, "peak_at": "2026-10-01T10:30:00+02:00"}


def test_who_came_on_days_before_is_still_there(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "night watch"), root, at(22, day=1), 26 * 60 * MINUTE)  # until the third at 0:00
    stay(shopper(acme, "ann"), root, at(12, day=2), 10 * MINUTE)
    rows = occupancy(acme, root, date(2026, 10, 2), date(2026, 10, 4))["rows"]
    assert [(row["mean"], row["peak"], row["peak_at"]) for row in rows] == [
        (round(97 / 96, 6), 2, "2026-10-02T12:00:00+02:00"),
        (round(1 / 96, 6), 1, "2026-10-03T00:00:00+02:00"),
    ]


def test_what_is_still_to_come_is_no_part_of_a_mean(acme: Organisation, root: Zone) -> None:
    now = at(10, 20)
    stay(shopper(acme, "here"), root, at(9, 59), 20 * MINUTE)  # seen a minute ago
    stay(shopper(acme, "coming"), root, at(10, 10), MINUTE, counted=False)  # open: may become a visit
    stay(shopper(acme, "gone"), root, at(9), 5 * MINUTE)
    found = occupancy(acme, root, now=now)
    # 42 quarters from 0:00 to 10:15: one person at 9:00, one at 10:00, two at 10:15.
    assert found["total"] == {"mean": round(4 / 42, 6), "peak": 2, "peak_at": "2026-10-01T10:15:00+02:00", "now": 2}
    rows = occupancy(acme, root, grain="hour", now=now)["rows"]
    assert (rows[10]["mean"], rows[11]) == (1.5, {"period": "2026-10-01T11:00:00+02:00", "mean": None, "peak": None, "peak_at": None})


def test_a_day_on_which_nobody_came_has_no_peak_hour(acme: Organisation, root: Zone) -> None:
    assert occupancy(acme, root)["total"] == {"mean": 0, "peak": 0, "peak_at": None, "now": 0}
    assert ask("peak-hours", acme, [root], date(2026, 10, 1), date(2026, 10, 2))[0]["total"] == {"hour": None}


def test_now_leaves_staff_out_and_knows_the_hours(acme: Organisation, root: Zone, north: Venue) -> None:
    north.opening_hours = {"thu": [["09:00", "10:10"]]}
    north.save()
    for name, minute in (("ann", 5), ("ben", 15), ("cleaner", 6)):
        stay(shopper(acme, name), root, at(10, minute), MINUTE)
    Regular.objects.create(organisation=acme, shopper=shopper(acme, "cleaner"), state=Regular.State.CONFIRMED)
    assert {hours: occupancy(acme, root, now=at(10, 20), hours=hours)["total"]["now"] for hours in ("all", "open", "closed")} == {
        "all": 2, "open": 1, "closed": 1,
    }  # fmt: skip


def test_the_day_of_25_hours_has_100_quarters(acme: Organisation) -> None:
    zone = venue(acme, "broadway", NEW_YORK)
    stay(shopper(acme, "ann"), zone, local(NEW_YORK, 2026, 11, 1, 0, 45), 120 * MINUTE)  # until the second 1:45
    found = occupancy(acme, zone, date(2026, 11, 1), date(2026, 11, 2))
    assert found["total"]["mean"] == 0.09
    rows = {row["period"]: row["mean"] for row in occupancy(acme, zone, date(2026, 11, 1), date(2026, 11, 2), grain="hour")["rows"] if row["mean"]}
    assert rows == {"2026-11-01T00:00:00-04:00": 0.25, "2026-11-01T01:00:00-04:00": 1.0, "2026-11-01T01:00:00-05:00": 1.0}


def test_a_brands_mean_is_the_sum_of_its_stores_and_its_peak_is_at_one_instant(acme: Organisation) -> None:
    here, there = Zone.objects.get(organisation=acme, key="north-brew"), venue(acme, "broadway", NEW_YORK)
    there.brand = here.brand
    there.save()
    stay(shopper(acme, "ann"), here, at(18), 12 * MINUTE)  # 12:00 in New York
    stay(shopper(acme, "ben"), there, local(NEW_YORK, 2026, 10, 1, 12), 12 * MINUTE)
    stay(shopper(acme, "cat"), there, local(NEW_YORK, 2026, 10, 1, 18), 12 * MINUTE)
    found = occupancy(acme, brand(acme, "brew"))
    assert found["total"] == {"mean": round(3 / 96, 6), "peak": 2, "peak_at": "2026-10-01T16:00:00+00:00", "now": 0}
    [hours] = ask("peak-hours", acme, [brand(acme, "brew")], date(2026, 10, 1), date(2026, 10, 2))
    assert [(row["hour"], row["visits"], row["mean_visits"], row["mean_occupancy"]) for row in hours["rows"] if row["visits"]] == [
        (12, 1, 1.0, 0.25),
        (18, 2, 2.0, 0.5),
    ]


def test_the_heat_map_counts_the_days_that_have_come_to_each_hour(acme: Organisation, root: Zone) -> None:
    for day in (1, 8):  # Thursdays
        stay(shopper(acme, f"s{day}"), root, at(10, 59, day=day))
    stay(shopper(acme, "sunday"), root, at(0, day=4))
    [found] = ask("heatmap", acme, [root], date(2026, 10, 1), date(2026, 10, 31), now=at(12, 30, day=15))
    cells = {(row["weekday"], row["hour"]): row for row in found["rows"]}
    assert len(found["rows"]) == 168 and found["total"] == {"visits": 3}
    assert cells[4, 10] == {"weekday": 4, "hour": 10, "visits": 2, "days": 3, "mean": 0.666667}
    assert (cells[7, 0]["visits"], cells[7, 0]["days"]) == (1, 2)
    assert (cells[4, 12]["days"], cells[4, 13]["days"]) == (3, 2)  # of today, the hours so far
    assert sum(row["visits"] for row in found["rows"]) == 3


def test_the_heat_map_knows_hours_that_are_skipped_and_shown_twice(acme: Organisation) -> None:
    zone = venue(acme, "broadway", NEW_YORK)
    for fold in (0, 1):
        stay(shopper(acme, f"s{fold}"), zone, local(NEW_YORK, 2026, 11, 1, 1, 30, fold=fold))
    [autumn] = ask("heatmap", acme, [zone], date(2026, 11, 1), date(2026, 11, 2))
    assert [(row["hour"], row["visits"], row["days"]) for row in autumn["rows"] if row["visits"]] == [(1, 2, 1)]
    [spring] = ask("heatmap", acme, [zone], date(2026, 3, 8), date(2026, 3, 9))
    assert [row["days"] for row in spring["rows"][-24:]] == [1, 1, 0, *[1] * 21]
    assert spring["rows"][-22]["mean"] is None


def test_the_peak_hour_is_the_one_in_which_most_visits_begin(acme: Organisation, root: Zone) -> None:
    for day in (1, 2):
        for number in range(3):
            stay(shopper(acme, f"s{number}"), root, at(10 + number, 10, day=day), 40 * MINUTE)
    stay(shopper(acme, "late"), root, at(12, 30, day=2), 10 * MINUTE)
    [found] = ask("peak-hours", acme, [root], date(2026, 10, 1), date(2026, 10, 3))
    assert found["total"] == {"hour": 12}
    assert found["rows"][12] == {"hour": 12, "visits": 3, "mean_visits": 1.5, "mean_occupancy": 0.875}
    assert found["rows"][9] == {"hour": 9, "visits": 0, "mean_visits": 0, "mean_occupancy": 0}


def test_hours_that_are_open_split_who_is_there_by_when_they_came(acme: Organisation, root: Zone, north: Venue) -> None:
    north.opening_hours = {"thu": [["09:00", "18:00"]]}
    north.save()
    stay(shopper(acme, "early"), root, at(8), 120 * MINUTE)
    stay(shopper(acme, "ann"), root, at(9), 30 * MINUTE)
    asked = {hours: occupancy(acme, root, hours=hours)["total"]["mean"] for hours in ("all", "open", "closed")}
    assert asked == {"all": 0.125, "open": round(3 / 96, 6), "closed": 0.09375}
