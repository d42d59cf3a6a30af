"""Tests of the tests of sending: with one guard taken out, somebody is told who must not be, or told twice, and the same checks say so."""

import threading
from collections import Counter
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections
from django.utils import timezone

from analytics.audiences import columns
from engagement.models import Organisation
from notifications import campaigns, planning
from notifications.delivery import claim
from notifications.delivery.sending import Sender
from notifications.models import Campaign, Message, SendingPolicy
from tests.faults import mutants
from tests.faults.ground import Town
from tests.notifications import people
from tests.notifications.wires import MemoryWire


@pytest.fixture(autouse=True)
def forgetful() -> None:
    columns.forget()


def without(mutant: str | None) -> Any:
    return mutants.applied(mutant) if mutant else nullcontext()


def begun(number: int = 5, **more: Any) -> Campaign:
    organisation = Organisation.objects.get(key="acme")
    people.shoppers(organisation, number)
    made = campaigns.send(people.campaign(organisation, **more), by="emma")
    planning.plan()
    return made


@pytest.mark.parametrize("mutant", [None, "sent_before_claimed"])
def test_what_is_sent_before_its_claim_is_committed_is_sent_again(town: Town, mutant: str | None) -> None:
    begun()
    wire = MemoryWire()
    with without(mutant):
        Sender(wire).run(budget_s=0.5)
    assert (max(Counter(wire.recipients).values()) > 1) == (mutant is not None)


@pytest.mark.parametrize("mutant", [None, "consent_asked_at_planning_alone", "not_asked_again"])
@pytest.mark.parametrize("when", ["before the claim", "after the claim"])
def test_consent_that_is_asked_too_early_is_not_consent(town: Town, monkeypatch: pytest.MonkeyPatch, mutant: str | None, when: str) -> None:
    made = begun()
    shopper = Message.objects.filter(campaign=made).order_by("shopper_id").values_list("shopper_id", flat=True)[0]
    if when == "before the claim":
        people.withdraw(shopper)
    else:
        monkeypatch.setattr(claim, "point", lambda name: people.withdraw(shopper) if name == "send.claimed" else None)
    wire = MemoryWire()
    with without(mutant):
        Sender(wire).run(budget_s=5)
    noticed = "s0@acme.example.com" in wire.recipients
    assert noticed == (mutant == "consent_asked_at_planning_alone" or (mutant == "not_asked_again" and when == "after the claim"))


def at_once(work: Any, number: int = 2) -> list[BaseException]:
    """What the threads raise."""
    raised: list[BaseException] = []

    def one() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def meeting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Both threads are at this point at once, unless a guard keeps one away: then the other goes on after a moment."""
    gate = threading.Barrier(2)

    def wait(seen: str) -> None:
        if seen == name:
            with suppress(threading.BrokenBarrierError):
                gate.wait(1)

    monkeypatch.setattr(module, "point", wait)


@pytest.mark.parametrize(("mutant", "key"), [(None, True), ("planner_not_locked", True), ("planner_not_locked", False)])
def test_two_planners_are_kept_apart_by_a_lock_and_by_a_key(town: Town, monkeypatch: pytest.MonkeyPatch, mutant: str | None, key: bool) -> None:
    organisation = Organisation.objects.get(key="acme")
    people.shoppers(organisation, 5)
    made = campaigns.send(people.campaign(organisation), by="emma")
    planning.plan(budget_s=0)
    if not key:
        town.rows("ALTER TABLE notifications_message DROP CONSTRAINT message_once")
    meeting(monkeypatch, planning, "plan.before_commit")
    with without(mutant):
        raised = at_once(planning.plan)
    assert any(isinstance(error, IntegrityError) for error in raised) == (mutant is not None and key)
    assert Message.objects.filter(campaign=made).count() == (5 if key else 10)


@pytest.mark.parametrize("locked", [True, False])
def test_two_campaigns_that_want_one_shopper_meet_at_his_profile(town: Town, monkeypatch: pytest.MonkeyPatch, locked: bool) -> None:
    organisation = Organisation.objects.get(key="acme")
    SendingPolicy.objects.create(organisation=organisation, cap_messages=1, cap_days=7)
    people.shoppers(organisation, 1)
    made = [campaigns.send(people.campaign(organisation, key), by="emma") for key in ("one", "two")]
    planning.plan()
    if not locked:
        monkeypatch.setattr(claim, "_PEOPLE", claim._PEOPLE.replace("FOR NO KEY UPDATE OF p SKIP LOCKED", ""))
    meeting(monkeypatch, claim, "send.before_claim")
    waiting = list(made)

    def take() -> None:
        one = waiting.pop()
        claim.take(one, one.runs.get().pk, now=timezone.now(), most=5)

    assert at_once(take) == []
    connection.close()
    assert Message.objects.filter(state="claimed").count() == (1 if locked else 2)
