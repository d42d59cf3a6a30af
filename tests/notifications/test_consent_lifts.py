"""Who agrees again after he unsubscribed is written to again; nobody else's suppression is touched."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from django.db import connection

from engagement.models import Organisation, Shopper
from engagement.profiles import consents
from engagement.profiles.record import record
from notifications.models import Suppression

pytestmark = pytest.mark.django_db
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
Why = Suppression.Why


def agree(organisation: Organisation, hours: int, *, given: bool = True, id: str = "ann", email: str = "Ann@Example.com") -> None:
    at = (NOW + timedelta(hours=hours)).isoformat()
    record(organisation, [{"id": id, "email": email, "consents": [{"channel": "email", "given": given, "at": at}]}], "ops", NOW + timedelta(hours=hours))


def suppressed(organisation: Organisation, why: str = Why.UNSUBSCRIBE, address: str = "ann@example.com") -> Suppression:
    return Suppression.objects.create(organisation=organisation, address=address, why=why, at=NOW)


def test_a_consent_given_later_lifts_what_an_unsubscription_left(acme: Organisation) -> None:
    agree(acme, -1)
    row = suppressed(acme)
    before = row.changed
    agree(acme, 1)
    row.refresh_from_db()
    assert (row.lifted_at, row.lifted_by) == (NOW + timedelta(hours=1), "consent") and row.changed >= before


@pytest.mark.parametrize(("hours", "given"), [(-1, True), (0, True), (1, False)])
def test_one_given_before_or_at_the_same_instant_and_a_withdrawal_lift_nothing(acme: Organisation, hours: int, given: bool) -> None:
    row = suppressed(acme)
    agree(acme, hours, given=given)
    row.refresh_from_db()
    assert row.lifted_at is None


@pytest.mark.parametrize("why", [Why.BOUNCE, Why.COMPLAINT, Why.MANUAL])
def test_what_says_something_else_than_a_wish_stays(acme: Organisation, why: str) -> None:
    row = suppressed(acme, why)
    agree(acme, 1)
    row.refresh_from_db()
    assert row.lifted_at is None


def test_other_addresses_and_the_rivals_stay(acme: Organisation, rival: Organisation) -> None:
    rows = [suppressed(rival), suppressed(acme, address="ben@example.com"), suppressed(acme, address="")]
    agree(acme, 1)
    agree(acme, 1, id="nobody", email="")
    for row in rows:
        row.refresh_from_db()
        assert row.lifted_at is None


def test_a_consent_that_is_no_longer_the_latest_lifts_nothing(acme: Organisation) -> None:
    """Told late: he agreed at one, unsubscribed for good at two."""
    row = suppressed(acme)
    agree(acme, 2, given=False)
    agree(acme, 1)
    row.refresh_from_db()
    assert row.lifted_at is None


def test_unsubscribing_again_counts_again(acme: Organisation) -> None:
    agree(acme, -1)
    row = suppressed(acme)
    agree(acme, 1)
    with connection.cursor() as cursor:
        consents.withdraw(cursor, acme.pk, Shopper.objects.get().pk, "email", "marketing", NOW + timedelta(hours=2), "unsubscribe")
    Suppression.objects.filter(pk=row.pk).update(at=NOW + timedelta(hours=2), lifted_at=None, lifted_by="")
    agree(acme, 1)  # the same again
    row.refresh_from_db()
    assert row.lifted_at is None
