"""Who came of those told, beside those held out: worked by hand, and against a plain reference."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics.attribution import Credit
from analytics.calendars import to_us
from analytics.days import plain
from analytics.lift import Group
from analytics.models import Regular
from engagement.models import Brand, Organisation, Purchase, Zone
from notifications import proof
from notifications.models import Campaign, Message
from notifications.proof import STATES, Proof, Roll
from tests.analytics.rows import local, shopper, stay
from tests.faults.mutants import changed
from tests.notifications import ledger, people
from tests.worlds import search

HERE = "Africa/Johannesburg"
HOUR = timedelta(hours=1)


def at(day: int, *clock: int) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


def prove(campaign: Campaign) -> Proof | None:
    cursor = plain(connection)
    return proof.prove(cursor, campaign, proof.roll(cursor, [run.pk for run in campaign.runs.all()]))


@pytest.fixture
def brew(acme: Organisation) -> Zone:
    return Zone.objects.select_related("organisation", "brand").get(organisation=acme, key="north-brew")


@pytest.fixture
def spring(acme: Organisation, brew: Zone) -> Campaign:
    return people.campaign(acme, brand=brew.brand, variants=(1, 1))


@pytest.mark.django_db
def test_everybody_meant_to_be_reached_stands_against_those_held_out(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    run = ledger.run(spring, at(1, 10))
    for name, state, more in (
        ("ann", "delivered", {}),
        ("ben", "bounced", {"variant": "b"}),
        ("cat", "skipped", {"meant": True, "reason": "capped"}),  # when it was claimed
        ("dan", "failed", {"reason": "refused"}),
        ("eve", "unknown", {"variant": "b"}),
        ("fay", "skipped", {"reason": "no_consent"}),  # never meant to be reached
        ("gus", "held_out", {}),
        ("hal", "held_out", {}),
    ):
        ledger.message(run, shopper(acme, name), state, **more)
    for name in ("ann", "ben", "cat", "fay", "gus"):
        stay(shopper(acme, name), brew, at(3, 12))
    found = prove(spring)
    assert found
    assert (found.visits.told, found.visits.held) == (Group(5, 3), Group(2, 1))
    assert [came for came, _bought in found.variants.values()] == [Group(3, 2), Group(2, 1)]
    assert (found.reached, found.purchases.told) == (3, Group(5, 0))


@pytest.mark.django_db
def test_windows_begin_when_a_message_left_or_would_have(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    """The mail went at ten, and took until one o'clock to be sent."""
    run = ledger.run(spring, at(1, 10))
    for name, state, after in (("ann", "delivered", 1), ("gus", "held_out", 0), ("ben", "delivered", 3), ("hal", "held_out", 0), ("ivy", "held_out", 0)):
        ledger.message(run, shopper(acme, name), state, after=after * HOUR)
    everybody = proof.roll(plain(connection), [run.pk])
    assert everybody.instants().tolist() == [to_us(at(1, hour)) for hour in (11, 11, 13, 13, 13)]
    stay(shopper(acme, "ann"), brew, at(1, 10, 30))  # before his mail
    stay(shopper(acme, "gus"), brew, at(8, 10, 59))
    stay(shopper(acme, "hal"), brew, at(1, 12, 59))
    found = prove(spring)
    assert found and (found.visits.told, found.visits.held) == (Group(2, 0), Group(3, 1))


@pytest.mark.django_db
def test_while_it_is_sent_and_after_it_was_cancelled_only_those_whose_turn_it_was_count(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    run = ledger.run(spring, at(1, 10))
    for name, state, more in (
        ("ann", "held_out", {}),
        ("ben", "delivered", {}),
        ("cat", "held_out", {}),
        ("dan", "delivered", {}),
        ("eve", "held_out", {}),  # after the last who was told
        ("fay", "planned", {}),
        ("gus", "skipped", {"meant": True, "reason": "cancelled"}),
    ):
        ledger.message(run, shopper(acme, name), state, **more)
    found = prove(spring)
    assert found and (found.visits.told.size, found.visits.held.size) == (2, 2)
    Message.objects.filter(state="planned").update(state="skipped", reason="cancelled")
    found = prove(spring)
    assert found and (found.visits.told.size, found.visits.held.size) == (2, 2)


@pytest.mark.django_db
def test_before_anything_left_nothing_is_said(acme: Organisation, spring: Campaign) -> None:
    assert prove(spring) is None
    ledger.message(ledger.run(spring, at(1, 10)), shopper(acme, "ann"), "planned")
    assert prove(spring) is None


@pytest.mark.django_db
def test_staff_and_the_erased_are_in_neither_group(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    run = ledger.run(spring, at(1, 10))
    for name, state in (("ann", "delivered"), ("barista", "delivered"), ("cat", "delivered"), ("dan", "held_out"), ("eve", "held_out")):
        ledger.message(run, shopper(acme, name), state)
        stay(shopper(acme, name), brew, at(2, 10))
    Regular.objects.create(organisation=acme, shopper=shopper(acme, "barista"), state=Regular.State.CONFIRMED)
    for name in ("cat", "eve"):
        shopper(acme, name).delete()  # its trigger forgets him here
    found = prove(spring)
    assert found and (found.visits.told, found.visits.held, found.staff) == (Group(1, 1), Group(1, 1), 1)
    assert Message.objects.filter(shopper_id__lt=0).count() == 2


@pytest.mark.django_db
def test_somebody_told_by_several_runs_is_one_person(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    for week in (1, 8, 15):
        run = ledger.run(spring, at(week, 10))
        ledger.message(run, shopper(acme, "ann"))
        ledger.message(run, shopper(acme, "ben"))
        ledger.message(run, shopper(acme, "cat"), "held_out")
    stay(shopper(acme, "ann"), brew, at(9, 10))
    found = prove(spring)
    assert found and (found.visits.told, found.visits.held) == (Group(2, 1), Group(1, 0))


@pytest.mark.django_db
def test_purchases_of_the_brand_are_an_outcome_too(acme: Organisation, brew: Zone, spring: Campaign) -> None:
    run = ledger.run(spring, at(1, 10))
    ledger.message(run, shopper(acme, "ann"))
    ledger.message(run, shopper(acme, "ben"), "held_out")
    page = Brand.objects.get(organisation=acme, key="page")
    for number, (name, brand, when) in enumerate((("ann", brew.brand, at(8, 9)), ("ben", page, at(2, 9)), ("ben", brew.brand, at(8, 10)))):
        Purchase.objects.create(organisation=acme, key=f"p{number}", shopper=shopper(acme, name), brand=brand, at=when)
    found = prove(spring)
    assert found and (found.purchases.told, found.purchases.held) == (Group(1, 1), Group(1, 0))


@pytest.mark.django_db
def test_a_visit_after_two_messages_is_said_to_be_shared_and_is_the_later_ones(acme: Organisation, rival: Organisation, brew: Zone, spring: Campaign) -> None:
    """The brand's store, and the mall around it: one coming, though two stays."""
    mall = people.campaign(acme, "mall")
    root = Zone.objects.get(organisation=acme, key="north")
    first, second = ledger.run(spring, at(1, 10)), ledger.run(mall, at(2, 10))
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    for who in (ann, ben):
        ledger.message(first, who)
    ledger.message(second, ann)
    for who in (ann, ben):
        stay(who, root, at(3, 11), 7200)
        stay(who, brew, at(3, 12), 600)
    stay(ann, root, at(1, 12), 600)  # before the mall wrote
    theirs = people.campaign(rival, "theirs")
    ledger.message(ledger.run(theirs, at(2, 12)), ann)  # a row that never should be
    ours, malls = prove(spring), prove(mall)
    assert ours and malls
    assert ours.credit == Credit(claimed=2, shared=1, unique=1)
    assert malls.credit == Credit(claimed=1, shared=1, unique=1)


# --- Who stands where -----------------------------------------------------------------------------------------------------

rows = st.lists(st.tuples(st.sampled_from(STATES), st.booleans(), st.integers(0, 2), st.integers(1, 9)), max_size=10)


def rolled(listed: list[tuple[str, bool, int, int]]) -> Roll:
    """State, cancelled, the time that was planned, and how long after it the message left."""
    ids = np.arange(1, len(listed) + 1)
    planned = np.array([10 * time for _, _, time, _ in listed], dtype=np.int64)
    state = np.array([STATES.index(one) for one, *_ in listed], dtype=np.int64)
    left = np.array([one in ledger.LEFT for one, *_ in listed], dtype=np.bool_)
    sent = np.where(left, planned + np.array([late for *_, late in listed], dtype=np.int64), 0)
    cancelled = np.array([gone and one == "skipped" for one, gone, *_ in listed], dtype=np.bool_)
    return Roll(ids, ids, np.ones(len(ids), np.int64), (state != STATES.index("held_out")).astype(np.int64), state, cancelled, planned, sent)


@search(200)
@given(rows)
def test_instants_and_turns_are_those_of_a_plain_loop(listed: list[tuple[str, bool, int, int]]) -> None:
    everybody = rolled(listed)
    instants, turns = [], []
    for place, (state, gone, time, late) in enumerate(listed):
        before = [10 * time + its for one, _, other, its in listed[:place] if one in ledger.LEFT and other == time]
        instants.append(10 * time + late if state in ledger.LEFT else max([10 * time, *before[-1:]]))

        def waits(one: str, gone: bool) -> bool:
            return one in ("planned", "claimed") or (one == "skipped" and gone)

        beside = [(number, one, its) for number, (one, its, other, _) in enumerate(listed) if other == time and one != "held_out"]
        if state != "held_out":
            turns.append(not waits(state, gone))
        else:
            done = [number for number, one, its in beside if not waits(one, its)]
            turns.append(not any(waits(one, its) for _, one, its in beside) or any(number > place for number in done))
    assert everybody.instants().tolist() == instants
    assert everybody.come_to().tolist() == turns


MUTANTS: list[tuple[Any, str, str]] = [
    (proof.Roll.instants, "np.where(sent > 0, sent, np.maximum(planned, sent[last]))", "planned"),
    (proof.Roll.come_to, "there & (~self.held | (self.id <= limit[group]))", "there"),
    (proof.prove, "& (everybody.shopper > 0)", ""),
    (proof.prove, "& ~staff", ""),
]
SCENES = (
    test_windows_begin_when_a_message_left_or_would_have,
    test_while_it_is_sent_and_after_it_was_cancelled_only_those_whose_turn_it_was_count,
    test_staff_and_the_erased_are_in_neither_group,
    test_staff_and_the_erased_are_in_neither_group,
)


@pytest.mark.django_db
@pytest.mark.parametrize(("mutant", "scene"), list(zip(MUTANTS, SCENES, strict=True)))
def test_a_guard_taken_out_is_missed(
    acme: Organisation, brew: Zone, spring: Campaign, monkeypatch: pytest.MonkeyPatch, mutant: tuple[Any, str, str], scene: Any
) -> None:
    monkeypatch.setattr(mutant[0], "__code__", changed(*mutant))
    with pytest.raises(AssertionError):
        scene(acme, brew, spring)
