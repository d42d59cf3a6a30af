"""What people asked for, applied to a database that is older: once and again the same. Each test runs with the guard, and with a mutant that it must notice."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from engagement import shoppers
from engagement.models import Erasure, Organisation, Shopper
from operations.backups import holding, replaying, rotation
from operations.backups.ledger import Erased, Said, Stopped
from operations.backups.replaying import Known, Replayed
from tests.faults import mutants
from tests.notifications import people

pytestmark = pytest.mark.django_db(transaction=True)


def mutant(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutant", [None, name], ids=["sound", name], indirect=True)


@pytest.fixture(name="mutant")
def taken_out(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param is None:
        yield None
        return
    with mutants.applied(request.param):
        yield request.param


def erased(organisation: Organisation, name: str, until: datetime) -> Erased:
    return Erased(organisation.pk, organisation.key, 1, shoppers.digest(organisation.pk, "s", name).hex(), until)


def said(organisation: Organisation, name: str, at: datetime, *, given: bool = False) -> Said:
    return Said(organisation.pk, organisation.key, name, "email", "marketing", given, at, "unsubscribe", "", "")


def agrees(name: str) -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.given FROM engagement_consentstate t JOIN engagement_shopper s ON s.id = t.shopper_id WHERE s.external_id = %s ORDER BY s.id", [name]
        )
        return [given for (given,) in cursor.fetchall()]


@mutant("withdrawal_of_strangers_dropped")
def test_who_wants_no_mail_is_known_also_where_the_backup_is_older_than_he_is(acme: Organisation, mutant: str | None) -> None:
    people.shoppers(acme, 1)
    now = timezone.now()
    known = Known().add([said(acme, "s0", now), said(acme, "new", now), said(acme, "stranger", now, given=True)])
    done = replaying.replay(known)
    assert agrees("s0") == [False]
    assert (agrees("new") == [False]) is (mutant is None)
    assert not Shopper.objects.filter(external_id="stranger").exists()  # nobody is made because he agrees
    if mutant is None:
        assert done == Replayed(withdrawn=2)
        assert replaying.replay(known) == Replayed()


@mutant("erased_agree_again")
def test_who_was_erased_is_erased_again_and_not_made_again_by_what_he_said_before(acme: Organisation, mutant: str | None) -> None:
    people.shoppers(acme, 2)
    now = timezone.now()
    known = Known().add([said(acme, "s0", now), erased(acme, "s0", now + timedelta(seconds=1)), said(acme, "gone", now), erased(acme, "gone", now)])
    known.add([Stopped(acme.pk, acme.key, ["gone"], "gone@acme.example.com", "manual", now, "alice")])
    done = replaying.replay(known)
    names = set(Shopper.objects.values_list("external_id", flat=True))
    assert ("gone" in names) is (mutant is not None)
    if mutant is None:
        assert names == {"s1"}
        assert done.erased == 1
        assert done.stopped == 0
        assert not Erasure.objects.filter(finished_at=None).exists()
        assert shoppers.latest(acme, "gone") is not None  # nothing from before is taken in under his name


@mutant("erasures_not_remembered")
def test_of_another_organisation_nobody_is_erased_and_nothing_is_said(acme: Organisation, rival: Organisation, mutant: str | None) -> None:
    people.shoppers(acme, 1)
    people.shoppers(rival, 1)
    now = timezone.now()
    replaying.replay(Known().add([erased(acme, "s0", now), said(rival, "s0", now)]))
    left = list(Shopper.objects.values_list("organisation__key", flat=True))
    assert left == (["rival"] if mutant is None else ["acme", "rival"])
    assert agrees("s0")[-1] is False


def test_an_organisation_that_the_backup_does_not_know_is_passed_over(acme: Organisation) -> None:
    now = timezone.now()
    other = Organisation(pk=acme.pk + 1000, key="later")
    same_number = Organisation(pk=acme.pk, key="later")
    known = Known().add([said(other, "s0", now), erased(other, "s0", now), said(same_number, "s0", now)])
    assert replaying.replay(known) == Replayed()
    assert not Shopper.objects.exists()


@mutant("numbers_given_again")
def test_numbers_go_on_where_nobody_knows_how_many_were_given(acme: Organisation, mutant: str | None) -> None:
    [before] = people.shoppers(acme, 1)
    holding.advance_numbers({}, gap=holding.GAP)
    [after] = people.shoppers(acme, 1, prefix="t")
    assert (after > before + holding.GAP) is (mutant is None)


@mutant("last_good_one_removed")
def test_the_last_good_backup_is_never_removed(mutant: str | None) -> None:
    now = timezone.now()
    backups = [rotation.Made(f"b{days}", now - timedelta(days=days), days == 900) for days in (*range(400), 900)]
    assert ("b900" in rotation.kept(backups)) is (mutant is None)
