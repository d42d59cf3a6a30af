"""Tests of the tests of parked work: with one guard taken out, something goes twice, too early or uncounted, and the same checks say so."""

import threading
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from engagement import set_aside
from engagement.models import Inbox, Organisation, SetAside
from operations import work
from operations.models import Redrive, RedriveItem
from operations.work import redrives
from tests.faults import mutants
from tests.faults.ground import Town
from tests.operations.test_work import after, aside, begin, fails_again, goes_well, sums


def without(mutant: str | None) -> Any:
    return mutants.applied(mutant) if mutant else nullcontext()


def sound_and(mutant: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutant", [None, mutant], ids=["sound", mutant])


@pytest.mark.django_db
@sound_and("redrive_without_canary")
def test_of_a_cause_that_is_not_mended_one_fails_again_and_not_all(acme: Organisation, mutant: str | None) -> None:
    aside(acme, 20)
    with without(mutant):
        redrive = begin(acme)
    fails_again()
    after(1)
    assert sums(redrive) == ((19, 0, 0, 1, 0) if mutant is None else (0, 0, 0, 20, 0))


@pytest.mark.django_db
@sound_and("set_aside_without_its_number")
def test_what_fails_again_is_known_for_what_was_sent_on(acme: Organisation, mutant: str | None) -> None:
    aside(acme, 3)
    redrive = begin(acme)
    with without(mutant):
        fails_again()
    after(1)
    assert sums(redrive)[2:4] == ((0, 1) if mutant is None else (1, 0))


@pytest.mark.django_db
@sound_and("sent_on_twice")
def test_what_somebody_else_sent_on_does_not_go_again(acme: Organisation, mutant: str | None) -> None:
    ids = aside(acme, 3)
    begin(acme)
    goes_well()
    set_aside.replay(organisation=acme, ids=ids)
    with without(mutant):
        after(1)
        after(2)
    assert Inbox.objects.count() == (2 if mutant is None else 4)


@pytest.mark.django_db
@sound_and("failures_not_counted")
def test_when_too_many_fail_again_the_rest_stays(acme: Organisation, mutant: str | None) -> None:
    aside(acme, 200)
    redrive = begin(acme)
    goes_well()
    after(0)
    after(3)
    fails_again()
    with without(mutant):
        after(6)
    assert sums(redrive)[0] == (169 if mutant is None else 139)


@pytest.mark.django_db
@sound_and("gone_not_counted")
def test_what_is_gone_is_counted(acme: Organisation, mutant: str | None) -> None:
    ids = aside(acme, 3)
    redrive = begin(acme)
    SetAside.objects.filter(pk=ids[2]).delete()
    with without(mutant):
        for seconds in (0, 1, 2):
            goes_well()
            after(seconds)
    redrive.refresh_from_db()
    assert redrive.state == (Redrive.State.FINISHED if mutant is None else Redrive.State.STOPPED)
    with nullcontext() if mutant is None else pytest.raises(work.DoesNotAddUp):
        assert sums(redrive) == (0, 0, 2, 0, 1)


@pytest.mark.django_db
@sound_and("sums_not_checked")
def test_a_redrive_whose_sums_do_not_add_up_does_not_end_well(acme: Organisation, mutant: str | None) -> None:
    aside(acme, 3)
    redrive = begin(acme)
    RedriveItem.objects.filter(state=RedriveItem.State.PARKED).delete()
    with without(mutant):
        for seconds in (0, 1):
            goes_well()
            after(seconds)
    redrive.refresh_from_db()
    assert redrive.state == (Redrive.State.STOPPED if mutant is None else Redrive.State.FINISHED)


@sound_and("redrive_not_held")
def test_of_two_who_go_on_with_one_redrive_one_does(town: Town, monkeypatch: pytest.MonkeyPatch, mutant: str | None) -> None:
    """The second comes while the first is in the middle of its step."""
    acme = Organisation.objects.get(key="acme")
    aside(acme, 40)
    redrive, now = begin(acme, rate=10), timezone.now()
    goes_well()
    work.advance(now)
    in_the_middle, go_on = threading.Event(), threading.Event()
    settle = redrives._settle

    def slowly(*told: Any) -> None:
        settle(*told)
        if threading.current_thread().name == "first":
            in_the_middle.set()
            assert go_on.wait(30)

    def first() -> None:
        try:
            work.advance(now + timedelta(seconds=1))
        finally:
            connections.close_all()

    monkeypatch.setattr(redrives, "_settle", slowly)
    thread = threading.Thread(target=first, name="first")
    with without(mutant):
        thread.start()
        assert in_the_middle.wait(30)
        work.advance(now + timedelta(seconds=1))
        go_on.set()
        thread.join(30)
    assert work.reconcile(redrive).released == (10 if mutant is None else 20)
