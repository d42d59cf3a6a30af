"""What is kept of shoppers is what is stored: whoever commits when, and whatever is rolled back or erased."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import transaction
from pyroaring import BitMap

from analytics.audiences import columns, values
from analytics.audiences.tree import Fits
from engagement.database import connect
from engagement.models import ConsentState, Erasure, ListMember, Organisation, Profile, Shopper, ShopperList
from tests.analytics.rows import LONG_AGO, shopper

pytestmark = pytest.mark.django_db(transaction=True)
GOLD = Fits(among=("gold",))


def profile(who: Shopper, **told: Any) -> Profile:
    return Profile.objects.update_or_create(shopper=who, defaults={"organisation": who.organisation, "updated_at": LONG_AGO, **told})[0]


def consent(who: Shopper, given: bool = True, purpose: str = "marketing") -> None:
    held = {"organisation": who.organisation, "given": given, "at": LONG_AGO}
    ConsentState.objects.update_or_create(shopper=who, channel="email", purpose=purpose, defaults=held)


@contextmanager
def beside() -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's transaction, left open."""
    other = connect(application_name="beside")
    try:
        with other.transaction():
            yield other
    finally:
        other.close()


def insert_shopper(other: psycopg.Connection[Any], organisation: Organisation, name: str) -> int:
    found = other.execute(
        "INSERT INTO engagement_shopper (organisation_id, shard, external_id, created_at) VALUES (%s, 0, %s, now()) RETURNING id", [organisation.pk, name]
    ).fetchone()
    assert found
    return int(found[0])


def test_columns_hold_what_is_stored_and_follow_it(acme: Organisation, rival: Organisation) -> None:
    ann, ben, cy = shopper(acme, "ann"), shopper(acme, "ben"), shopper(rival, "cy")
    kept = ShopperList.objects.create(organisation=acme, key="vip", name="VIP")
    for who in (ann, cy):
        profile(who, email="a@example.com", language="de-CH", attributes={"tier": "gold", "spent": 12.5, "club": True})
        consent(who)
    ListMember.objects.create(list=kept, shopper=ann)
    view = columns.of(acme)
    assert view.universe() == BitMap([ann.pk, ben.pk])
    assert view.with_email() == view.consented("email", "marketing") == view.language("de") == view.listed(kept.pk) == BitMap([ann.pk])
    assert view.attribute("tier").match(GOLD) == view.attribute("spent").match(Fits(at_least=12.5)) == BitMap([ann.pk])
    assert not view.attribute("club").match(Fits(among=(1.0,))) and view.attribute("club").match(Fits(among=(True,)))
    assert not view.consented("email", "service") and not view.language("fr") and not view.language("d")
    profile(ann, email="", language="", attributes={"tier": "silver"})
    profile(ben, attributes={"tier": "gold"})
    consent(ann, given=False)
    ListMember.objects.update(present=False)
    view = columns.of(acme)
    assert not view.with_email() and not view.consented("email", "marketing") and not view.language("de") and not view.listed(kept.pk)
    assert view.attribute("tier").match(GOLD) == BitMap([ben.pk]) and not view.attribute("spent").match(Fits(at_least=0.0))


def commits_late(acme: Organisation) -> bool:
    """Ann's address is written by a transaction that began before Ben's, and commits after what Ben's wrote had been read. Is it seen?"""
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    profile(ann)
    with beside() as other:
        other.execute("UPDATE engagement_profile SET email = 'ann@example.com' WHERE shopper_id = %s", [ann.pk])
        profile(ben, email="ben@example.com")
        assert columns.of(acme).with_email() == BitMap([ben.pk])
        assert columns.of(acme).with_email() == BitMap([ben.pk])
    return columns.of(acme).with_email() == BitMap([ann.pk, ben.pk])


def test_what_commits_late_is_not_missed(acme: Organisation) -> None:
    assert commits_late(acme)


def test_by_the_greatest_transaction_seen_it_would_be_missed(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_READ", columns._READ.replace("pg_snapshot_xmin", "pg_snapshot_xmax"))
    assert not commits_late(acme)


def joins_late(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ann's number is drawn before Ben's and committed after he, and many others, had been seen. Is she?"""
    monkeypatch.setattr(columns, "SLACK", 0)
    with beside() as other:
        ann = insert_shopper(other, acme, "ann")
        ben = shopper(acme, "ben").pk
        for _ in range(4):
            assert columns.of(acme).universe() == BitMap([ben])
    seen = columns.of(acme).universe() == BitMap([ann, ben])
    for _ in range(3):
        columns.of(acme).universe()
    shelf = columns._shelves[acme.pk]
    assert shelf.everybody and shelf.everybody.low > ben  # nobody is under way any more: old numbers are not read again
    return seen


def test_a_shopper_who_is_committed_late_is_not_missed(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert joins_late(acme, monkeypatch)


def test_without_waiting_for_those_under_way_he_would_be_missed(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_under_way", lambda cursor: set())
    assert not joins_late(acme, monkeypatch)


def test_in_a_snapshot_taken_earlier_nobody_is_taken_for_settled(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "SLACK", 0)
    other = connect(application_name="beside")
    with other, other.transaction():
        ann = insert_shopper(other, acme, "ann")
        ben = shopper(acme, "ben").pk
        assert columns.of(acme).universe() == BitMap([ben])  # from now on it is waited for the transaction of Ann
        reader = connect(application_name="reader")
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1 FROM engagement_shopper LIMIT 1")
    with reader:
        assert columns.of(acme, reader.cursor()).universe() == BitMap([ben])
    reader.close()
    assert columns.of(acme).universe() == BitMap([ann, ben])


def test_nothing_is_kept_of_what_may_be_rolled_back(acme: Organisation) -> None:
    ann = shopper(acme, "ann")
    profile(ann)
    assert not columns.of(acme).with_email()
    with transaction.atomic():
        profile(ann, email="ann@example.com")
        ben = shopper(acme, "ben")
        assert columns.of(acme).with_email() == BitMap([ann.pk]) and ben.pk in columns.of(acme).universe()
        transaction.set_rollback(True)
    assert not columns.of(acme).with_email() and columns.of(acme).universe() == BitMap([ann.pk])


def test_who_was_erased_is_dropped_from_all_columns(acme: Organisation) -> None:
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    for who in (ann, ben):
        profile(who, email="x@example.com", attributes={"tier": "gold"})
        consent(who)
    view = columns.of(acme)
    assert len(view.universe()) == len(view.with_email()) == len(view.attribute("tier").match(GOLD)) == len(view.consented("email", "marketing")) == 2
    with transaction.atomic():
        for model in (Profile, ConsentState):
            model.objects.filter(shopper=ann).delete()
        Erasure.objects.create(organisation=acme, finished_at=LONG_AGO)
        number, _ = ann.pk, ann.delete()
    view = columns.of(acme)
    for found in (view.universe(), view.with_email(), view.attribute("tier").match(GOLD), view.consented("email", "marketing")):
        assert found == BitMap([ben.pk]) and number not in found


def test_many_changes_are_worked_into_the_arrays(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LAID_OVER", 0)
    people = [shopper(acme, f"s{number}") for number in range(6)]
    told: list[Any] = ["gold", 3, True, "2026-05-01", 7.25, None]
    for who, value in zip(people, told, strict=True):
        profile(who, attributes={"x": value})
    assert columns.of(acme).attribute("x").changes == {}
    profile(people[0], attributes={"x": 3})
    profile(people[1], attributes={})
    monkeypatch.setattr(values, "LAID_OVER", 100)
    changed = columns.of(acme).attribute("x")
    assert len(changed.changes) >= 2
    monkeypatch.setattr(values, "LAID_OVER", 0)
    profile(people[2], attributes={"x": "gold"})
    for found in (changed, columns.of(acme).attribute("x")):
        last = found is not changed
        assert found.match(Fits(among=(3.0,))) == BitMap([people[0].pk])
        assert found.match(GOLD) == BitMap([people[2].pk] if last else [])
        assert found.match(Fits(among=(True,))) == BitMap([] if last else [people[2].pk])
        assert found.match(Fits(at_least="2026-01-01", at_most="2026-12-31")) == BitMap([people[3].pk])
        assert found.match(Fits(at_most=7.25)) == BitMap([people[0].pk, people[4].pk])


def test_the_least_used_organisation_is_forgotten_first(acme: Organisation, rival: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    for organisation in (acme, rival):
        for number in range(50):
            shopper(organisation, f"s{number}")
    monkeypatch.setattr(columns, "BYTES", 300)
    columns.of(acme).universe()
    columns.of(rival).universe()
    assert list(columns._shelves) == [rival.pk]
    assert len(columns.of(acme).universe()) == 50


def test_threads_that_ask_at_once_get_the_same(acme: Organisation) -> None:
    people = [shopper(acme, f"s{number}") for number in range(20)]
    found: list[BitMap] = []
    wrong: list[BaseException] = []

    def ask() -> None:
        try:
            with connect(application_name="thread") as own:
                found.extend(columns.of(acme, own.cursor()).with_email() for _ in range(10))
        except BaseException as error:  # told to the test, which fails then
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for who in people:
        profile(who, email="x@example.com")
    for thread in threads:
        thread.join()
    assert not wrong and columns.of(acme).with_email() == BitMap([who.pk for who in people])
    assert all(one.issubset(BitMap([who.pk for who in people])) for one in found)
