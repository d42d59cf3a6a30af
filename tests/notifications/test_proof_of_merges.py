"""Whose visit it was may become known after the report was read: it is then told as if it had been known from the beginning."""

from datetime import timedelta

import pytest
from django.utils import timezone

from analytics.lift import Group
from engagement.models import Organisation, Shopper, Zone
from notifications.models import Message
from tests.analytics.rows import shopper
from tests.analytics.test_transitions import drain, minutes, now, send, worker  # noqa: F401
from tests.notifications import ledger, people
from tests.notifications.test_proof import prove

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_visit_counts_for_whom_the_phone_turns_out_to_be(acme: Organisation, worker) -> None:  # noqa: F811
    """Ann got the mail and came with a phone that had told nobody's name. Its own shopper was in the audience too, without an address."""
    brew = Zone.objects.select_related("brand").get(organisation=acme, key="north-brew")
    spring = people.campaign(acme, brand=brew.brand)
    send(acme, *minutes(30, 28.5, 27, 25.5))
    drain(worker)
    run = ledger.run(spring, timezone.now() - timedelta(hours=1))
    ann, cat = shopper(acme, "ann"), shopper(acme, "cat")
    own = Shopper.objects.get(device_key="phone")
    ledger.message(run, own, "skipped", reason="no_address")
    ledger.message(run, ann)
    ledger.message(run, cat, "held_out")
    found = prove(spring)
    assert found and (found.visits.told, found.visits.held) == (Group(1, 0), Group(1, 0))
    send(acme, *minutes(5), shopper="ann")
    drain(worker)
    found = prove(spring)
    assert found and (found.visits.told, found.visits.held) == (Group(1, 1), Group(1, 0))
    assert found.credit.claimed == 1
    assert set(Message.objects.values_list("shopper_id", flat=True)) == {own.pk, ann.pk, cat.pk}  # the ledger keeps who was meant then
