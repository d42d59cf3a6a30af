"""Parked work: by cause, sent on with a canary first, at a rate; whatever happens on the way, the sums add up."""

import logging
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from analytics.stream import claim
from engagement import set_aside
from engagement.models import Inbox, Organisation, SetAside
from operations import work
from operations.models import Redrive, RedriveItem
from operations.work import redrives

pytestmark = pytest.mark.django_db

START = timezone.now()
State, Item = Redrive.State, RedriveItem.State


def aside(organisation: Organisation, number: int, error: str = "KeyError at apply.py:7") -> list[int]:
    now = timezone.now()
    rows = [SetAside(organisation=organisation, shard=5, received_at=now, events=2, payload=b"", error=error, inbox=place) for place in range(-number, 0)]
    return [row.pk for row in SetAside.objects.bulk_create(rows)]


def cause_of(organisation: Organisation, text: str = "KeyError at apply.py:7") -> str:
    return next(one.cause for one in work.parked(organisation) if one.text == text)


def begin(organisation: Organisation, rate: float = 10, text: str = "KeyError at apply.py:7") -> Redrive:
    return work.redrive(organisation, "requests", cause_of(organisation, text), rate, "alice", now=START)


def goes_well(*rows: Inbox) -> None:
    """The stream takes them out of the inbox with the commit that stores their stays."""
    Inbox.objects.filter(pk__in=[row.pk for row in rows] or Inbox.objects.values("pk")).delete()


def fails_again(*rows: Inbox, error: str = "KeyError at apply.py:7") -> None:
    connection.ensure_connection()
    for row in rows or Inbox.objects.all():
        claim.set_aside(connection.connection, row.pk, error)


def after(seconds: float) -> None:
    work.advance(START + timedelta(seconds=seconds))


def sums(redrive: Redrive) -> tuple[int, int, int, int, int]:
    """Parked, sent on, done, parked again, gone."""
    found = work.reconcile(redrive)
    assert found.total == found.parked + found.released + found.done + found.parked_again + found.gone
    return found.parked, found.released, found.done, found.parked_again, found.gone


def test_what_is_parked_is_told_by_organisation_kind_and_cause(acme: Organisation, rival: Organisation) -> None:
    aside(acme, 3, "KeyError at apply.py:7\nmore")
    aside(acme, 1, "The process died while working on this row.")
    aside(rival, 2)
    replayed = aside(acme, 4)
    set_aside.replay(organisation=acme, ids=replayed)
    told = [(one.organisation, one.kind, one.text, one.number) for one in work.parked()]
    assert told == [
        (acme, "requests", "KeyError at apply.py:7", 3),
        (rival, "requests", "KeyError at apply.py:7", 2),
        (acme, "requests", "The process died while working on this row.", 1),
    ]
    assert {one.organisation for one in work.parked(rival)} == {rival}
    assert work.number_parked() == 6


def test_the_first_goes_alone_and_the_rest_at_the_rate(acme: Organisation) -> None:
    aside(acme, 40)
    redrive = begin(acme, rate=2)
    after(600)
    assert Inbox.objects.count() == 1
    assert (redrive.state, sums(redrive)) == (State.CANARY, (39, 1, 0, 0, 0))
    goes_well()
    after(601)
    assert (redrive.state, sums(redrive)) == (State.CANARY, (39, 0, 1, 0, 0))
    assert redrive.state == State.RELEASING
    for seconds, sent_on in ((601.4, 0), (602, 2), (602.2, 2), (603.2, 4), (608, 14)):
        after(seconds)
        assert sums(redrive)[1] == sent_on
    goes_well()
    after(700)
    assert (redrive.state, sums(redrive)) == (State.RELEASING, (0, 25, 15, 0, 0))
    assert redrive.state == State.SETTLING
    goes_well()
    after(701)
    assert sums(redrive) == (0, 0, 40, 0, 0)
    assert redrive.state == State.FINISHED and redrive.ended_at is not None


def test_a_slow_rate_is_kept_and_whoever_was_away_catches_up_by_a_minute_at_most(acme: Organisation) -> None:
    aside(acme, 400)
    redrive = begin(acme, rate=1 / 90)
    for seconds in range(0, 181, 15):
        goes_well()
        after(seconds)
    assert sums(redrive)[1:3] == (1, 2)
    Redrive.objects.update(rate=2)
    goes_well()
    after(100_000)
    assert sums(redrive)[1] == 120
    after(100_060)
    assert sums(redrive)[1] == 120  # nobody takes them, so no more are sent after them
    goes_well()
    after(100_061)
    assert sums(redrive)[1:3] == (2, 123)


def test_a_first_one_that_fails_again_stops_it_and_the_rest_stays_parked(acme: Organisation) -> None:
    aside(acme, 10)
    redrive = begin(acme)
    fails_again()
    after(15)
    assert sums(redrive) == (9, 0, 0, 1, 0)
    assert redrive.state == State.STOPPED and "not mended" in redrive.why
    assert Inbox.objects.count() == 0
    assert [one.number for one in work.parked(acme)] == [10]
    again = begin(acme)
    assert again.total == 10


def test_when_too_many_fail_again_the_rest_stays_parked(acme: Organisation) -> None:
    aside(acme, 100)
    redrive = begin(acme)
    goes_well()
    after(0)
    after(3)
    fails_again(*Inbox.objects.all()[:7])
    after(3.5)
    assert redrives.OPEN.count(Redrive.objects.get().state) == 0
    assert sums(redrive) == (69, 23, 1, 7, 0)
    assert redrive.state == State.STOPPED and "7" in redrive.why
    goes_well()
    after(5)  # what had been sent on is still followed to its end
    assert sums(redrive) == (69, 0, 24, 7, 0)


def test_single_failures_are_no_reason_to_stop(acme: Organisation) -> None:
    aside(acme, 50)
    redrive = begin(acme, rate=100)
    goes_well()
    after(0)
    after(1)
    fails_again(*Inbox.objects.all()[:6])
    goes_well()
    after(2)
    assert sums(redrive) == (0, 0, 44, 6, 0)
    assert redrive.state == State.FINISHED


def test_what_somebody_else_sent_on_or_erased_is_gone_and_counted(acme: Organisation) -> None:
    ids = aside(acme, 6)
    redrive = begin(acme)
    SetAside.objects.filter(pk=ids[0]).delete()  # the first, erased on its way
    goes_well()
    set_aside.replay(organisation=acme, ids=ids[1:3])
    after(1)
    assert sums(redrive) == (2, 1, 0, 0, 3)  # another is tried first instead
    goes_well()
    after(2)
    after(4)
    goes_well()
    after(5)
    assert sums(redrive) == (0, 0, 3, 0, 3)
    assert redrive.state == State.FINISHED
    assert not SetAside.objects.filter(replayed_at=None).exists()


def test_nothing_goes_twice_and_one_cause_is_sent_on_once_at_a_time(acme: Organisation, rival: Organisation) -> None:
    aside(acme, 5)
    aside(rival, 5)
    begin(acme)
    with pytest.raises(work.AlreadyUnderWay), transaction.atomic():
        begin(acme)
    assert begin(rival).total == 5  # the same cause elsewhere is another one
    with pytest.raises(work.NothingParked):
        work.redrive(acme, "requests", "nothing", 1, "alice")
    with pytest.raises(work.NothingParked):
        work.redrive(None, "requests", cause_of(acme), 1, "alice")
    with pytest.raises(ValueError, match="items a second"):
        work.redrive(acme, "requests", cause_of(acme), 0, "alice")


def test_a_request_that_went_to_another_shard_is_still_known(acme: Organisation) -> None:
    aside(acme, 1)
    redrive = begin(acme)
    row = Inbox.objects.get()
    taken = claim.Claimed(row.pk, acme.pk, row.shard, row.received_at, row.imported, bytes(row.payload))
    row.delete()
    claim.put_back(connection.connection, [(taken, 9, 2)])
    after(1)
    assert sums(redrive) == (0, 1, 0, 0, 0)
    fails_again()
    after(2)
    assert sums(redrive) == (0, 0, 0, 1, 0)


def test_somebody_stops_it(acme: Organisation) -> None:
    aside(acme, 5)
    redrive = begin(acme)
    assert work.stop(redrive, "alice")
    assert not work.stop(redrive, "alice")
    goes_well()
    after(100)
    assert sums(redrive) == (4, 0, 1, 0, 0)
    assert redrive.why == "Stopped by alice."


def test_one_that_cannot_go_on_keeps_no_other(
    acme: Organisation, rival: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    aside(acme, 2)
    aside(rival, 2)
    broken, other = begin(acme), begin(rival)
    goes_well()
    judge = redrives._judge_canary

    def judged(redrive: Redrive, *more: object) -> None:
        assert redrive.pk != broken.pk
        judge(redrive, *more)

    monkeypatch.setattr(redrives, "_judge_canary", judged)
    after(15)
    assert f"redrive {broken.pk} cannot go on" in caplog.text
    broken.refresh_from_db()
    other.refresh_from_db()
    assert (broken.state, other.state) == (State.CANARY, State.RELEASING)


def test_an_item_that_is_lost_or_made_up_is_an_alarm(acme: Organisation, caplog: pytest.LogCaptureFixture) -> None:
    aside(acme, 4)
    redrive = begin(acme)
    goes_well()
    RedriveItem.objects.filter(redrive=redrive, state=Item.PARKED).first().delete()
    with pytest.raises(work.DoesNotAddUp, match=r"2 parked .* = 3 of 4"):
        work.reconcile(redrive)
    with caplog.at_level(logging.ERROR, "atrium.work"):
        for seconds in (1, 2, 3):
            after(seconds)
            goes_well()
    redrive.refresh_from_db()
    assert redrive.state == State.STOPPED and "do not add up" in redrive.why
    assert "ALARM: Redrive" in caplog.text
    for state, released_at in ((Item.DONE, None), (Item.PARKED, START)):
        with pytest.raises(IntegrityError), transaction.atomic():
            RedriveItem.objects.create(redrive=redrive, item=99, state=state, released_at=released_at)


def test_every_other_move_is_illegal(acme: Organisation) -> None:
    for before in State.values:
        for to in State.values:
            redrive = Redrive(pk=1, state=before)
            if to not in redrives.MOVES[before]:
                with pytest.raises(work.IllegalMove):
                    redrives._move(redrive, to)


def test_old_ones_are_forgotten(acme: Organisation) -> None:
    aside(acme, 3)
    work.stop(begin(acme), "alice", START)
    after(89 * 86400)
    assert RedriveItem.objects.count() == 3
    after(91 * 86400)
    assert not Redrive.objects.exists() and not RedriveItem.objects.exists()


def test_who_may(acme: Organisation, alice: User, emma: User, bob: User, dora: User, charlie: User) -> None:
    operator = User.objects.create(username="olga", is_superuser=True)
    gone = User.objects.create(username="gone", is_superuser=True, is_active=False)
    stranger = User.objects.create(username="stranger")
    may = {
        kind.name: {user.username for user in (alice, emma, bob, dora, charlie, operator, gone, stranger) if work.may(user, kind.name, acme)}
        for kind in work.kinds()
    }
    assert may == {"requests": {"alice", "olga"}, "messages": {"alice", "emma", "olga"}, "notices": {"olga"}}
    assert not any(work.may(AnonymousUser(), kind.name, acme) for kind in work.kinds())
    assert not any(work.may(alice, kind.name, None) for kind in work.kinds())


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("work", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_shows_sends_on_and_stops(acme: Organisation) -> None:
    assert said() == "Nothing is parked.\n"
    aside(acme, 12)
    assert [line.split()[:4] for line in said().splitlines()[:2]] == [["organisation", "kind", "cause", "rows"], ["acme", "requests", cause_of(acme), "12"]]
    with pytest.raises(CommandError, match="no such organisation"):
        said("redrive", "nobody", "requests", "00")
    with pytest.raises(CommandError, match="more than one"):
        said("redrive", "acme", "requests", "x")
    with pytest.raises(CommandError, match="rate"):
        said("redrive", "acme", "requests", cause_of(acme), "--rate", "0")
    with pytest.raises(CommandError, match="more than one"):
        said("redrive", "-", "requests", cause_of(acme))
    assert "11 parked + 1 sent on + 0 went well + 0 parked again + 0 gone = 12 of 12" in said("redrive", "acme", "requests", cause_of(acme)[:4])
    number = str(Redrive.objects.get().pk)
    assert "The first is tried" in said() and "The first is tried" in said("show", number)
    assert "Stopped by manage.py." in said("stop", number)
    with pytest.raises(CommandError, match="ended already"):
        said("stop", number)
    with pytest.raises(CommandError, match="no redrive"):
        said("show", "999999")


def test_the_command_waits_for_the_end(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    aside(acme, 30)
    monkeypatch.setattr("operations.management.commands.work.LOOKED_EVERY_S", 0.05)
    step: Callable[..., None] = work.advance

    def advanced(now: object) -> None:
        goes_well()
        step(now)

    monkeypatch.setattr(work, "advance", advanced)
    assert "0 parked + 0 sent on + 30 went well + 0 parked again + 0 gone = 30 of 30" in said(
        "redrive", "acme", "requests", cause_of(acme), "--rate", "500", "--wait"
    )
    aside(acme, 2)
    monkeypatch.setattr(work, "advance", lambda now: (fails_again(), step(now)))
    with pytest.raises(CommandError, match="not mended"):
        said("redrive", "acme", "requests", cause_of(acme), "--wait")
