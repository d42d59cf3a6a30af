"""Real campaigns of a grocer: who was reached, what they redeemed, and the proof of each campaign, exact to the household.

A redemption is told as a purchase of a brand that stands for its campaign, by the product's own way of telling purchases. Everybody reached gets a
message at the campaign's first instant, and its outcome lasts until its last day is over. A draw holds some of them out: not because the grocer did,
but so that both groups are counted.
"""

import csv
import gzip
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from analytics.days import plain
from analytics.lift import Group
from analytics.models import Audience
from engagement import provisioning, purchases
from engagement.models import Brand, Organisation, Shopper
from notifications import arms, proof, reports
from notifications.models import Campaign, Message, Run, Variant
from tests.golden.posting import DATA, needs

FOLDER: Final = DATA / "grocery_campaigns"
HOLDOUT: Final = 0.2

pytestmark = [needs(FOLDER), pytest.mark.django_db]


def table(name: str) -> list[dict[str, str]]:
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def at(day: str, hour: int = 0) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(hour), UTC)


@pytest.fixture
def grocer() -> Organisation:
    keys = [{"key": f"campaign-{row['campaign_id']}", "name": f"Campaign {row['campaign_id']}"} for row in table("campaign_descriptions")]
    provisioning.provision({"organisation": {"key": "grocer", "name": "Grocer"}, "brands": keys})
    organisation = Organisation.objects.get(key="grocer")
    Shopper.objects.bulk_create(
        Shopper(organisation=organisation, shard=0, external_id=household) for household in sorted({row["household_id"] for row in table("campaigns")})
    )
    told = [
        {"id": f"r-{number}", "shopper": row["household_id"], "brand": f"campaign-{row['campaign_id']}", "at": at(row["redemption_date"], 12).isoformat()}
        for number, row in enumerate(table("coupon_redemptions"))
    ]
    answers = purchases.record(organisation=organisation, told=told, now=timezone.now())
    assert {answer.result for answer in answers} == {purchases.Result.CREATED}
    return organisation


def sent(organisation: Organisation, row: dict[str, str], households: list[str]) -> Campaign:
    """The campaign as it would be in the ledger: to everybody reached, but for those held out."""
    key, start = f"campaign-{row['campaign_id']}", at(row["start_date"])
    audience = Audience.objects.create(organisation=organisation, key=key, name=key, rule={"all": []})
    campaign = Campaign.objects.create(
        organisation=organisation, key=key, name=key, audience=audience, brand=Brand.objects.get(organisation=organisation, key=key), time_zone="UTC",
        holdout=HOLDOUT, outcome_days=(at(row["end_date"]) - start) // timedelta(days=1) + 1, started_at=start,
    )  # fmt: skip
    variant = Variant.objects.create(campaign=campaign, name="a")
    run = Run.objects.create(campaign=campaign, due_at=start, planned_at=start, audience_count=len(households))
    numbers = sorted(Shopper.objects.filter(organisation=organisation, external_id__in=households).values_list("pk", flat=True))
    fields: dict[str, Any] = {"organisation": organisation, "campaign": campaign, "run": run, "send_after": start, "updated_at": start}
    Message.objects.bulk_create(
        Message(shopper_id=shopper, state="held_out", **fields) if held else Message(shopper_id=shopper, state="sent", variant=variant, sent_at=start, **fields)
        for shopper, held in zip(numbers, arms.held(campaign.pk, np.array(numbers), HOLDOUT).tolist(), strict=True)
    )
    return campaign


def test_every_campaign_is_proved_to_the_household(grocer: Organisation) -> None:
    reached, redeemed = defaultdict(list), defaultdict(set)
    for row in table("campaigns"):
        reached[row["campaign_id"]].append(row["household_id"])
    for row in table("coupon_redemptions"):
        redeemed[row["campaign_id"]].add(row["household_id"])
    total = 0
    for row in table("campaign_descriptions"):
        households = reached[row["campaign_id"]]
        campaign = sent(grocer, row, households)
        cursor = plain(connection)
        found = proof.prove(cursor, campaign, proof.roll(cursor, [run.pk for run in campaign.runs.all()]))
        assert found
        held = set(Message.objects.filter(campaign=campaign, state="held_out").values_list("shopper__external_id", flat=True))
        expected = [Group(len(part), len(part & redeemed[row["campaign_id"]])) for part in (set(households) - held, held)]
        assert [found.purchases.told, found.purchases.held] == expected, row
        assert reports.report(campaign, parts=("sums",))["audience"] == len(set(households))
        total += found.purchases.told.did + found.purchases.held.did
    assert total == len({(row["campaign_id"], row["household_id"]) for row in table("coupon_redemptions")})
