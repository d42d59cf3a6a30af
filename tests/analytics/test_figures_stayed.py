"""How long people stayed, and how many hardly did: worked examples."""

from datetime import date, timedelta

import pytest

from engagement.models import Organisation, Venue, Zone
from tests.analytics.asking import ask
from tests.analytics.rows import local, shopper, stay

HERE = "Africa/Johannesburg"
MINUTE = 60
NOON = local(HERE, 2026, 10, 1, 12)


@pytest.fixture
def root(north: Venue) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(venue=north, kind="venue")


def test_dwell_is_of_closed_visits_and_falls_in_its_class(acme: Organisation, root: Zone) -> None:
    for number, minutes in enumerate((5, 14.99, 30, 60, 60.01)):
        stay(shopper(acme, f"s{number}"), root, NOON - timedelta(hours=2, minutes=number), minutes * MINUTE)
    stay(shopper(acme, "passing"), root, NOON, 4 * MINUTE, counted=False)
    stay(shopper(acme, "still here"), root, NOON + timedelta(hours=1), 50 * MINUTE)
    [found] = ask("dwell", acme, [root], date(2026, 10, 1), date(2026, 10, 2), now=NOON + timedelta(hours=2))
    assert found["total"] == {
        "visits": 5,
        "median_s": 1800,
        "p90_s": 3600.36,  # of the two longest, 3600 s and 3600.6 s, six tenths of the way
        "mean_s": 2040,
        "shares": {"under_5": 0.0, "from_5_to_15": 0.4, "from_15_to_30": 0.0, "from_30_to_60": 0.4, "over_60": 0.2},
    }
    assert found["rows"] == [{"period": "2026-10-01", **found["total"]}]


def test_dwell_by_the_hour_is_of_the_hour_in_which_the_visit_began(acme: Organisation, root: Zone) -> None:
    for name, hour, minutes in (("ann", 8, 10), ("ben", 8, 20), ("cat", 9, 40)):
        stay(shopper(acme, name), root, local(HERE, 2026, 10, 1, hour, 50), minutes * MINUTE)
    [found] = ask("dwell", acme, [root], date(2026, 10, 1), date(2026, 10, 2), grain="hour")
    rows = {row["period"][11:13]: row for row in found["rows"] if row["visits"]}
    assert {hour: (row["visits"], row["median_s"], row["shares"]["from_30_to_60"]) for hour, row in rows.items()} == {"08": (2, 900, 0), "09": (1, 2400, 1)}
    assert found["total"]["median_s"] == 1200


def test_where_nobody_was_there_is_no_dwell_and_no_share(acme: Organisation, root: Zone) -> None:
    [found] = ask("dwell", acme, [root], date(2026, 10, 1), date(2026, 10, 2))
    assert found["total"] == {"visits": 0, "median_s": None, "p90_s": None, "mean_s": None, "shares": dict.fromkeys(found["total"]["shares"])}
    [found] = ask("bounce", acme, [root], date(2026, 10, 1), date(2026, 10, 2), grain="hour")
    assert found["total"] == {"visits": 0, "pass_bys": 0, "rate": None}


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month"])
def test_the_quantiles_of_a_month_are_of_all_its_visits(acme: Organisation, root: Zone, grain: str) -> None:
    for number in range(11):
        stay(shopper(acme, f"s{number}"), root, local(HERE, 2026, 10, 1 + number * 7 % 28, number), (100 - number) * MINUTE)
    [found] = ask("dwell", acme, [root], date(2026, 10, 1), date(2026, 11, 1), grain=grain)
    assert (found["total"]["median_s"], found["total"]["p90_s"], found["total"]["mean_s"]) == (95 * MINUTE, 99 * MINUTE, 95 * MINUTE)


def test_bounce_is_the_share_of_stays_too_short_to_count(acme: Organisation, root: Zone) -> None:
    for number in range(4):
        stay(shopper(acme, f"s{number}"), root, NOON + timedelta(hours=number), 5 if number else 900, counted=not number)
    [found] = ask("bounce", acme, [root], date(2026, 10, 1), date(2026, 10, 2))
    assert found["total"] == {"visits": 1, "pass_bys": 3, "rate": 0.75}
    [by_hour] = ask("bounce", acme, [root], date(2026, 10, 1), date(2026, 10, 2), grain="hour")
    assert [row["pass_bys"] for row in by_hour["rows"]][12:17] == [0, 1, 1, 1, 0] and by_hour["total"] == found["total"]
    assert by_hour["rows"][12]["rate"] == 0 and by_hour["rows"][13]["rate"] == 1
