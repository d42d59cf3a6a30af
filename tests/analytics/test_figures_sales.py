"""Conversion: worked examples."""

from datetime import date, datetime
from itertools import count

import pytest

from analytics.models import Regular
from engagement.models import Brand, Organisation, Purchase, Zone
from tests.analytics.asking import ask, brand
from tests.analytics.rows import local, shopper, stay, venue

HERE, NEW_YORK = "Africa/Johannesburg", "America/New_York"
FIRST, SECOND, THIRD = (date(2026, 10, day) for day in (1, 2, 3))
_numbers = count()


@pytest.fixture
def brew(acme: Organisation) -> Zone:
    return Zone.objects.select_related("organisation", "brand").get(organisation=acme, key="north-brew")


def at(*clock: int, day: int = 1) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


def buy(organisation: Organisation, name: str, when: datetime, *, of: str = "brew") -> None:
    Purchase.objects.create(
        organisation=organisation,
        key=f"p{next(_numbers)}",
        shopper=shopper(organisation, name),
        brand=Brand.objects.get(organisation=organisation, key=of),
        at=when,
    )


def test_buyers_visited_and_bought_in_the_same_period(acme: Organisation, brew: Zone) -> None:
    for name, day in (("ann", 1), ("ben", 1), ("cat", 1), ("ann", 2), ("dan", 2)):
        stay(shopper(acme, name), brew, at(10, day=day))
    buy(acme, "ann", at(9))  # before she came
    buy(acme, "ann", at(11))  # twice
    buy(acme, "ben", at(0, day=2))  # visited on the first, bought on the second
    buy(acme, "cat", at(10), of="page")
    buy(acme, "eve", at(10))  # never visited
    buy(acme, "dan", at(0, day=3))  # after the range
    [found] = ask("conversion", acme, [brew], FIRST, THIRD)
    assert found == {
        "rows": [
            {"period": "2026-10-01", "buyers": 1, "visitors": 3, "rate": 0.333333},
            {"period": "2026-10-02", "buyers": 0, "visitors": 2, "rate": 0.0},
        ],
        "total": {"buyers": 2, "visitors": 4, "rate": 0.5},
    }
    [by_hour] = ask("conversion", acme, [brew], FIRST, THIRD, grain="hour")
    assert [row["period"] for row in by_hour["rows"] if row["buyers"]] == [] and by_hour["total"] == found["total"]
    [week] = ask("conversion", acme, [brew], FIRST, THIRD, grain="week")
    assert week["rows"] == [{"period": "2026-W40", **found["total"]}]


def test_a_place_without_a_brand_has_no_buyers_and_no_rate(acme: Organisation, brew: Zone) -> None:
    root = Zone.objects.get(organisation=acme, key="north")
    for zone in (root, brew):
        stay(shopper(acme, "ann"), zone, at(10))
    buy(acme, "ann", at(10))
    [mall, store] = ask("conversion", acme, [root, brew], FIRST, SECOND)
    assert (mall["total"], store["total"]) == ({"buyers": 0, "visitors": 1, "rate": None}, {"buyers": 1, "visitors": 1, "rate": 1.0})


def test_where_nobody_came_there_is_no_rate(acme: Organisation, brew: Zone) -> None:
    buy(acme, "ann", at(10))
    assert ask("conversion", acme, [brew], FIRST, SECOND)[0]["total"] == {"buyers": 0, "visitors": 0, "rate": None}


def test_staff_that_buy_are_left_out(acme: Organisation, brew: Zone) -> None:
    for name in ("ann", "barista"):
        stay(shopper(acme, name), brew, at(10))
        buy(acme, name, at(10))
    Regular.objects.create(organisation=acme, shopper=shopper(acme, "barista"), state=Regular.State.CONFIRMED)
    assert ask("conversion", acme, [brew], FIRST, SECOND)[0]["total"] == {"buyers": 1, "visitors": 1, "rate": 1.0}


def test_a_brand_tells_purchases_by_the_clock_of_the_store_that_was_visited(acme: Organisation, brew: Zone) -> None:
    there = venue(acme, "broadway", NEW_YORK)
    there.brand = brew.brand
    there.save()
    stay(shopper(acme, "ann"), there, local(NEW_YORK, 2026, 10, 1, 22))
    buy(acme, "ann", local(NEW_YORK, 2026, 10, 1, 23))  # the second of October in Johannesburg
    stay(shopper(acme, "ben"), brew, at(10, day=2))
    buy(acme, "ben", at(0, 30, day=2))  # the first in New York
    [found] = ask("conversion", acme, [brand(acme, "brew")], FIRST, THIRD)
    assert [(row["buyers"], row["visitors"]) for row in found["rows"]] == [(1, 1), (1, 1)]
    assert found["total"] == {"buyers": 2, "visitors": 2, "rate": 1.0}


def test_what_the_rival_sells_is_not_ours(acme: Organisation, rival: Organisation, brew: Zone) -> None:
    stay(shopper(acme, "ann"), brew, at(10))
    Purchase.objects.create(organisation=rival, key="theirs", shopper=shopper(acme, "ann"), brand=brew.brand, at=at(10))  # a row that never should be
    assert ask("conversion", acme, [brew], FIRST, SECOND)[0]["total"]["buyers"] == 0
