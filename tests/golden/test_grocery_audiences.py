"""Real input: households that a grocer's campaigns reached, what is known of them, and what they bought. Audiences beside plain counts over the files.

A household is a shopper, whom a campaign reached is a list, and what a household paid in one basket for goods of one kind of brand is a purchase.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from analytics.audiences import columns, evaluate, rules
from engagement import provisioning
from engagement.models import Brand, ListMember, Organisation, Profile, Purchase, Shopper, ShopperList
from tests.golden.posting import DATA, needs

FOLDER: Final = DATA / "grocery_campaigns"
CLOCK: Final = ZoneInfo("America/New_York")
BRANDS: Final = ("National", "Private")
FIELDS: Final = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
Basket = tuple[str, str, str, datetime, Decimal]  # household, basket, brand, when, amount

pytestmark = [needs(FOLDER), pytest.mark.django_db]


def rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)


@pytest.fixture
def told() -> dict[str, dict[str, Any]]:
    """What the grocer knows of each household; numbers are numbers."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows("demographics"):
        known = {name: row[name] for name in FIELDS if row[name]}
        if known.get("kids_count", "").isdigit():
            known["kids_count"] = int(known["kids_count"])  # "3+" stays a text
        found[row["household_id"]] = dict(known)
    return found


@pytest.fixture
def reached() -> dict[str, set[str]]:
    """The households of each campaign."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows("campaigns"):
        found[row["campaign_id"]].add(row["household_id"])
    return dict(found)


@pytest.fixture
def baskets() -> list[Basket]:
    brand_of = {row["product_id"]: row["brand"] for row in rows("products")}
    sums: dict[tuple[str, str, str], tuple[datetime, Decimal]] = {}
    for row in rows("transactions"):
        key = row["household_id"], row["basket_id"], brand_of.get(row["product_id"], "National")
        at = datetime.fromisoformat(row["transaction_timestamp"]).replace(tzinfo=CLOCK)
        first, amount = sums.get(key, (at, Decimal(0)))
        sums[key] = min(first, at), amount + Decimal(row["sales_value"])
    return [(*key, *value) for key, value in sums.items()]


@pytest.fixture
def grocer(told: dict[str, dict[str, Any]], reached: dict[str, set[str]], baskets: list[Basket]) -> Organisation:
    columns.forget()
    brands = [{"key": name.lower(), "name": name} for name in BRANDS]
    venues = [{"key": "shop", "name": "The shop", "time_zone": CLOCK.key, "boundary": None}]
    provisioning.provision({"organisation": {"key": "grocer", "name": "The Grocer"}, "brands": brands, "venues": venues})
    organisation = Organisation.objects.get(key="grocer")
    own: dict[str, Any] = {"organisation": organisation}
    names = sorted({*told, *(one for some in reached.values() for one in some), *(basket[0] for basket in baskets)})
    number = {one.external_id: one.pk for one in Shopper.objects.bulk_create(Shopper(shard=0, external_id=name, **own) for name in names)}
    Profile.objects.bulk_create(Profile(shopper_id=number[name], attributes=known, updated_at=timezone.now(), **own) for name, known in told.items())
    for campaign, households in reached.items():
        made = ShopperList.objects.create(key=f"campaign-{campaign}", name=campaign, **own)
        ListMember.objects.bulk_create(ListMember(list=made, shopper_id=number[name]) for name in households)
    of = {brand.name: brand for brand in Brand.objects.filter(**own)}
    Purchase.objects.bulk_create(
        Purchase(key=f"{basket}-{brand}", shopper_id=number[name], brand=of[brand], at=at, amount=amount, currency="USD", **own)
        for name, basket, brand, at, amount in baskets
    )
    return organisation


def found(grocer: Organisation, rule: dict[str, Any]) -> set[str]:
    """Households that meet the rule, and the count says the same."""
    parsed = rules.parse(rule)
    members = evaluate.members(grocer, parsed)
    assert evaluate.count(grocer, parsed).count == len(members)
    return set(Shopper.objects.filter(pk__in=list(members)).values_list("external_id", flat=True))


def test_the_reach_of_campaigns_is_what_the_files_say(
    grocer: Organisation, told: dict[str, dict[str, Any]], reached: dict[str, set[str]], baskets: list[Basket]
) -> None:
    spans = {row["campaign_id"]: (date.fromisoformat(row["start_date"]), date.fromisoformat(row["end_date"])) for row in rows("campaign_descriptions")}
    assert len(reached) > 10 and spans.keys() >= reached.keys()
    for campaign, households in reached.items():
        start, end = spans[campaign]
        mine, until = {"list": f"campaign-{campaign}"}, end + timedelta(days=1)
        assert found(grocer, mine) == households
        owners = {name for name in households if told.get(name, {}).get("home_ownership") == "Homeowner"}
        assert found(grocer, {"all": [mine, {"attribute": {"name": "home_ownership", "is": "Homeowner"}}]}) == owners
        during = [one for one in baskets if start <= one[3].date() <= end]
        bought = {"from": start.isoformat(), "to": until.isoformat()}
        large = {name for name, _basket, brand, _at, amount in during if brand == "Private" and amount >= Decimal("4.5")}
        assert found(grocer, {"all": [mine, {"purchased": {"brand": "private", **bought, "amount_at_least": 4.5}}]}) == households & large
        spent: dict[str, Decimal] = defaultdict(Decimal)
        for name, _basket, _brand, _at, amount in during:
            spent[name] += amount
        much = {name for name, amount in spent.items() if amount >= 25}
        assert found(grocer, {"all": [mine, {"not": {"purchased": {**bought, "total_at_least": 25}}}]}) == households - much
    # Reached by the largest campaign, and by one of the small ones; not by the second, and without a child that is counted.
    largest, second, *others = sorted(reached, key=lambda campaign: -len(reached[campaign]))
    with_kids = {name for name, known in told.items() if isinstance(known.get("kids_count"), int) and known["kids_count"] >= 1}
    rule = {
        "all": [
            {"list": f"campaign-{largest}"},
            {"not": {"any": [{"list": f"campaign-{second}"}, {"attribute": {"name": "kids_count", "at_least": 1}}]}},
            {"any": [{"list": f"campaign-{other}"} for other in others]},
        ]
    }
    again = {name for other in others for name in reached[other]}
    expected = (reached[largest] - reached[second] - with_kids) & again
    assert expected and found(grocer, rule) == expected
