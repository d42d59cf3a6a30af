"""Who came, how often, how long ago and who came back: worked examples."""

from datetime import date, timedelta

import pytest

from engagement.models import Organisation, Shopper, Venue, Zone
from tests.analytics.asking import ask, brand
from tests.analytics.rows import local, shopper, stay, venue

HERE = "Africa/Johannesburg"


@pytest.fixture
def root(north: Venue) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(venue=north, kind="venue")


def test_visitors_are_counted_and_never_added_up(acme: Organisation, root: Zone) -> None:
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    stay(ann, root, local(HERE, 2026, 9, 30, 23, 59))  # before the range: she returns
    for day, hour in ((1, 10), (2, 10), (2, 15)):
        stay(ann, root, local(HERE, 2026, 10, day, hour))
    stay(ben, root, local(HERE, 2026, 10, 2, 9))
    stay(shopper(acme, "cat"), root, local(HERE, 2026, 10, 2, 9), 5, counted=False)
    [found] = ask("visitors", acme, [root], date(2026, 10, 1), date(2026, 10, 3))
    assert found == {
        "rows": [
            {"period": "2026-10-01", "visits": 1, "visitors": 1, "new": 0, "returning": 1, "frequency": 1.0},
            {"period": "2026-10-02", "visits": 3, "visitors": 2, "new": 1, "returning": 1, "frequency": 1.5},
        ],
        "total": {"visits": 4, "visitors": 2, "new": 1, "returning": 1, "frequency": 2.0},
    }
    [by_hour] = ask("visitors", acme, [root], date(2026, 10, 1), date(2026, 10, 3), grain="hour")
    assert by_hour["total"] == found["total"] and len(by_hour["rows"]) == 48
    assert by_hour["rows"][24 + 9] == {"period": "2026-10-02T09:00:00+02:00", "visits": 1, "visitors": 1, "new": 1, "returning": 0, "frequency": 1.0}


def test_a_brand_counts_each_store_on_its_own_clock_and_each_person_once(acme: Organisation) -> None:
    here, there = Zone.objects.get(organisation=acme, key="north-brew"), venue(acme, "broadway", "America/New_York")
    there.brand = here.brand
    there.save()
    ann = shopper(acme, "ann")
    stay(ann, here, local(HERE, 2026, 10, 1, 0, 30))
    stay(ann, there, local("America/New_York", 2026, 10, 1, 23, 30))  # the second of October in Johannesburg
    stay(shopper(acme, "ben"), there, local("America/New_York", 2026, 10, 2, 0))
    both, one = ask("visitors", acme, [brand(acme, "brew"), here], date(2026, 10, 1), date(2026, 10, 3))
    assert [(row["visits"], row["visitors"]) for row in both["rows"]] == [(2, 1), (1, 1)]
    assert (both["total"]["visits"], both["total"]["visitors"], one["total"]["visits"]) == (3, 2, 1)


def test_the_day_of_25_hours_has_25_rows_and_loses_nobody(acme: Organisation) -> None:
    zone = venue(acme, "broadway", "America/New_York")
    for fold in (0, 1):
        stay(shopper(acme, f"s{fold}"), zone, local("America/New_York", 2026, 11, 1, 1, 30, fold=fold))
    [found] = ask("visitors", acme, [zone], date(2026, 11, 1), date(2026, 11, 2), grain="hour")
    assert len(found["rows"]) == 25 and found["total"]["visitors"] == 2
    assert [row["period"] for row in found["rows"] if row["visits"]] == ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"]


def test_opening_hours_split_visits_by_their_start(acme: Organisation, root: Zone, north: Venue) -> None:
    north.opening_hours = {"thu": [["09:00", "18:00"]]}
    north.save()
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 8, 59), 7200)  # a Thursday
    stay(shopper(acme, "ben"), root, local(HERE, 2026, 10, 1, 9))
    stay(shopper(acme, "ben"), root, local(HERE, 2026, 10, 1, 18))
    asked = {
        hours: ask("visitors", acme, [root], date(2026, 10, 1), date(2026, 10, 2), hours=hours)[0]["total"]["visits"] for hours in ("all", "open", "closed")
    }
    assert asked == {"all": 3, "open": 1, "closed": 2}


def test_loyalty_is_how_many_came_how_often(acme: Organisation, root: Zone) -> None:
    for name, times in (("ann", 1), ("ben", 1), ("cat", 2), ("dan", 9), ("eve", 10), ("fay", 12)):
        for time in range(times):
            stay(shopper(acme, name), root, local(HERE, 2026, 10, 1 + time, 10))
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 9, 30, 10))  # before the range
    [found] = ask("loyalty", acme, [root], date(2026, 10, 1), date(2026, 11, 1))
    assert {row["visits"]: row["visitors"] for row in found["rows"] if row["visitors"]} == {"1": 2, "2": 1, "9": 1, "10+": 2}
    assert [row["visits"] for row in found["rows"]] == [*map(str, range(1, 10)), "10+"]
    assert found["total"] == {"visits": 35, "visitors": 6, "frequency": 5.833333}


def test_numbers_far_apart_are_counted_too(acme: Organisation, root: Zone) -> None:
    far = Shopper.objects.create(pk=4_000_000_000, organisation=acme, shard=0, external_id="far")
    for who in (far, far, shopper(acme, "near")):
        stay(who, root, local(HERE, 2026, 10, 1, 10) + timedelta(minutes=who.pk % 7 + 30 * who.stay_set.count()))
    [found] = ask("loyalty", acme, [root], date(2026, 10, 1), date(2026, 11, 1))
    assert [row["visitors"] for row in found["rows"]] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_recency_is_the_days_since_the_last_visit_as_of_the_last_day(acme: Organisation, root: Zone) -> None:
    for name, *day in (("ann", 10, 31), ("ben", 10, 25), ("cat", 10, 24), ("dan", 8, 1), ("eve", 1, 1)):
        stay(shopper(acme, name), root, local(HERE, 2026, *day, 12))
    stay(shopper(acme, "eve"), root, local(HERE, 2026, 5, 5, 12))  # 179 days before
    stay(shopper(acme, "fay"), root, local(HERE, 2026, 11, 1))  # not any more
    stay(shopper(acme, "gus"), root, local(HERE, 2026, 10, 31), 5, counted=False)
    [found] = ask("recency", acme, [root], date(2026, 10, 1), date(2026, 11, 1))
    assert {row["days_ago"]: row["visitors"] for row in found["rows"]} == {
        "0-6": 2, "7-13": 1, "14-29": 0, "30-59": 0, "60-89": 0, "90-179": 2, "180+": 0,
    }  # fmt: skip
    assert found["total"] == {"visitors": 5}


def test_recency_of_a_range_that_is_not_over_is_as_of_now(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 3, 9))
    stay(shopper(acme, "ben"), root, local(HERE, 2026, 10, 10, 9))
    [found] = ask("recency", acme, [root], date(2026, 10, 1), date(2027, 11, 1), now=local(HERE, 2026, 10, 10, 12))
    assert [row["visitors"] for row in found["rows"][:2]] == [1, 1]


def test_retention_follows_those_of_a_month_through_the_months_after(acme: Organisation, root: Zone) -> None:
    for name, *months in (("old", 5, 7), ("ann", 7, 8, 9), ("ben", 7, 9), ("cat", 8), ("dan", 9)):
        for month in months:
            stay(shopper(acme, name), root, local(HERE, 2026, month, 15, 12))
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 7, 16, 12))
    [found] = ask("retention", acme, [root], date(2026, 7, 1), date(2026, 9, 1), now=local(HERE, 2026, 10, 2))
    assert found == {
        "rows": [
            {"cohort": "2026-07", "visitors": 2, "months": [told(0, 2, 1.0), told(1, 1, 0.5), told(2, 2, 1.0), told(3, 0, 0.0)]},
            {"cohort": "2026-08", "visitors": 1, "months": [told(0, 1, 1.0), told(1, 0, 0.0), told(2, 0, 0.0)]},
        ],
        "total": {"visitors": 3},
    }


def told(later: int, visitors: int, share: float) -> dict[str, float]:
    return {"months_later": later, "visitors": visitors, "share": share}


def test_a_month_that_began_before_the_range_or_has_not_begun_is_no_cohort(acme: Organisation, root: Zone) -> None:
    [found] = ask("retention", acme, [root], date(2026, 7, 2), date(2027, 9, 1), now=local(HERE, 2026, 8, 2))
    assert [(row["cohort"], row["months"]) for row in found["rows"]] == [("2026-08", [{"months_later": 0, "visitors": 0, "share": None}])]


def test_the_rivals_people_are_not_in_ours(acme: Organisation, rival: Organisation, root: Zone) -> None:
    arcade = Zone.objects.get(organisation=rival, key="arcade")
    stay(shopper(rival, "cy"), arcade, local(HERE, 2026, 10, 1, 12))
    stay(shopper(rival, "cy"), root, local(HERE, 2026, 10, 1, 12))  # a row that never should be
    for name in ("visitors", "loyalty", "recency", "retention"):
        [found] = ask(name, acme, [root], date(2026, 10, 1), date(2026, 11, 1))
        assert found["total"]["visitors"] == 0
