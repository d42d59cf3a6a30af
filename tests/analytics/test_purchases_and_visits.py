"""A purchase and a visit of one shopper are of one shopper, whichever was told first."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.models import Stay
from engagement import purchases
from engagement.models import Inbox, Organisation, Purchase, Shopper
from tests.analytics.test_transitions import drain, minutes, send, worker  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


def buy(organisation: Organisation) -> list[purchases.Answer]:
    now = datetime.now(UTC)
    told = {"id": "order-1", "shopper": "crm-42", "brand": "brew", "at": (now - timedelta(hours=1)).isoformat()}
    return purchases.record(organisation=organisation, told=[told], now=now)


@pytest.mark.parametrize("first", ["the purchase", "the visit"])
def test_a_purchase_and_a_visit_meet_in_one_shopper(acme: Organisation, worker, first: str) -> None:  # noqa: F811
    if first == "the purchase":
        buy(acme)
    send(acme, *minutes(10, 9, 8), shopper="crm-42")
    drain(worker)
    assert not Inbox.objects.exists()
    if first == "the visit":
        buy(acme)
    [shopper] = Shopper.objects.filter(organisation=acme)
    assert Purchase.objects.get().shopper == shopper
    assert {stay.shopper_id for stay in Stay.objects.all()} == {shopper.pk}
    assert {stay.shard for stay in Stay.objects.all()} == {shopper.shard}
