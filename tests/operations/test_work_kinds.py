"""Messages and notices that were given up: parked by cause, and sent on by the rooms that they belong to."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from engagement.models import Organisation, Shopper
from notifications import campaigns, planning
from notifications.channels.wire import ForEver, ForNow, Result, Sent, Unknown
from notifications.delivery import record, sweep
from notifications.delivery.sending import Sender
from notifications.feedback import apply, effects, notices
from notifications.models import Campaign, CampaignState, FeedbackNotice, Message
from operations import work
from operations.models import Redrive
from operations.work.kinds import like
from tests.notifications import people
from tests.notifications.feedback.amazon import TOPIC
from tests.notifications.wires import MemoryWire

pytestmark = pytest.mark.django_db

BUSY, FULL = "451 4.3.0", "452 4.2.2"


def parked_for(organisation: Organisation, *why: str) -> Campaign:
    """A campaign, finished, each mail of which was refused for now once too often."""
    people.shoppers(organisation, len(why))
    made = campaigns.send(people.campaign(organisation), by="emma")
    planning.plan()
    Message.objects.filter(campaign=made).update(attempts=record.EMAIL.tries - 1)
    send(*(ForNow(one) for one in why), minutes=0)
    sweep.finish(timezone.now())
    made.refresh_from_db()
    return made


def send(*answers: Result, minutes: int = 1) -> None:
    """What a sender does soon: these answers first, then each mail is sent."""
    waiting = list(answers)
    Sender(MemoryWire(lambda mail: waiting.pop(0) if waiting else Sent("p"))).run(now=lambda: timezone.now() + timedelta(minutes=minutes))


def begin(organisation: Organisation | None, kind: str) -> Redrive:
    (one,) = work.parked(organisation, kind)
    return work.redrive(organisation, kind, one.cause, 100, "emma", now=timezone.now())


def sums(redrive: Redrive) -> tuple[int, int, int, int, int]:
    found = work.reconcile(redrive)
    return found.parked, found.released, found.done, found.parked_again, found.gone


def after(seconds: float) -> None:
    work.advance(timezone.now() + timedelta(seconds=seconds))


def test_messages_fall_together_by_what_the_provider_said(acme: Organisation, rival: Organisation) -> None:
    parked_for(acme, BUSY, FULL, BUSY, FULL, BUSY)
    parked_for(rival, BUSY)
    told = [(one.organisation, one.kind, one.text, one.number) for one in work.parked()]
    assert told == [(acme, "messages", BUSY, 3), (acme, "messages", FULL, 2), (rival, "messages", BUSY, 1)]
    assert work.number_parked() == 6


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("451 4.3.0", "451 4.3.0"),
        ("421", "421"),
        ("454 4.7.0 Too many from 192.0.2.17, wait 37 s", "454 4.7.0 Too many from # wait # s"),
        ("Throttling: mail of bob@acme.example.com, request 6f1a2b3c-77", "Throttling: mail of @ request #"),
        ("no server", "no server"),
        ("", ""),
    ],
)
def test_what_differs_from_time_to_time_is_no_cause(db: None, said: str, kept: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {like('text')} FROM (SELECT %s::text AS text) t", [said])
        assert cursor.fetchall() == [(kept,)]


def test_a_campaigns_messages_go_again_one_first(acme: Organisation) -> None:
    """So many failed that it paused itself. When somebody resumes it, those that are still parked do not pause it again."""
    made = parked_for(acme, *[BUSY] * 12)
    assert made.state == CampaignState.PAUSED and people.states(made) == {"failed tried_enough": 12}
    redrive = begin(acme, "messages")
    assert people.states(made) == {"failed tried_enough": 11, "planned": 1}
    send()
    after(1)
    assert sums(redrive) == (11, 1, 0, 0, 0) and "spring" in work.held_up(redrive)
    campaigns.resume(made, by="emma")
    assert work.held_up(redrive) == ""
    send()
    sweep.sweep()
    after(2)
    after(4)
    assert sums(redrive) == (0, 11, 1, 0, 0)
    send()
    sweep.sweep()
    after(5)
    assert sums(redrive) == (0, 0, 12, 0, 0) and redrive.state == Redrive.State.FINISHED
    made.refresh_from_db()
    assert made.state == CampaignState.FINISHED and people.states(made) == {"sent": 12}


def test_a_resumed_campaign_of_which_too_much_fails_again_pauses_itself_again(acme: Organisation) -> None:
    made = parked_for(acme, *[BUSY] * 12)
    campaigns.resume(made, by="emma")
    assert campaigns.release(made, by="emma") == 12
    assert not sweep.stop_if_failing(made.runs.get().pk)
    send(*[ForEver("550")] * 5)
    made.refresh_from_db()
    assert made.state == CampaignState.PAUSED and made.paused_itself and made.pause_reason.startswith("5 of ")


def test_a_canary_has_one_try_and_the_others_have_all(acme: Organisation) -> None:
    made = parked_for(acme, *[BUSY] * 3)
    redrive = begin(acme, "messages")
    send(ForNow(BUSY))
    after(1)
    assert sums(redrive) == (2, 0, 0, 1, 0) and redrive.state == Redrive.State.STOPPED
    redrive = begin(acme, "messages")
    assert redrive.total == 3
    send()
    after(1)
    after(3)
    assert sorted(Message.objects.filter(campaign=made, state="planned").values_list("attempts", flat=True)) == [0, 0]


def test_who_may_not_be_told_any_more_is_gone_and_what_is_refused_for_ever_is_parked(acme: Organisation) -> None:
    made = parked_for(acme, *[BUSY] * 4)
    people.withdraw(Message.objects.filter(campaign=made).order_by("pk")[0].shopper_id)
    redrive = begin(acme, "messages")
    send()
    after(1)
    assert sums(redrive) == (2, 1, 0, 0, 1)  # the next is tried first instead
    send(Unknown("cut"))
    after(2)
    assert sums(redrive) == (1, 1, 0, 0, 2)  # that it went well, nobody knows
    send(ForEver("550"))
    after(3)
    assert sums(redrive) == (1, 0, 0, 1, 2) and redrive.state == Redrive.State.STOPPED
    Shopper.objects.filter(pk=Message.objects.get(campaign=made, reason="tried_enough").shopper_id).delete()
    assert work.parked() == []


def test_what_was_cancelled_meanwhile_is_not_sent(acme: Organisation) -> None:
    made = parked_for(acme, *[BUSY] * 3)
    redrive = begin(acme, "messages")
    campaigns.cancel(made, by="emma")
    sweep.sweep()
    after(1)
    assert sums(redrive) == (0, 0, 0, 0, 3) and redrive.state == Redrive.State.FINISHED
    assert work.parked() == [] and work.number_parked() == 0


def test_nothing_of_another_organisation_goes_along(acme: Organisation, rival: Organisation) -> None:
    parked_for(acme, *[BUSY] * 2)
    theirs = parked_for(rival, *[BUSY] * 2)
    numbers = list(Message.objects.values_list("pk", flat=True))
    released = work.kinds()[1].release(acme.pk, numbers, timezone.now(), False)
    assert len(released) == 2 and people.states(theirs) == {"failed tried_enough": 2}
    assert work.kinds()[0].release(None, [1], timezone.now(), False) == [] == work.kinds()[2].release(acme.pk, [1], timezone.now(), False)


def test_notices_that_were_given_up_are_applied_once_their_cause_is_mended(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    at = timezone.now() - timedelta(hours=1)
    for number in range(4):
        FeedbackNotice.objects.create(key=f"n{number}", topic=TOPIC, body=f"event\n{at.isoformat()}\n{{}}", received_at=at, attempts=notices.TRIES - 1)
    with monkeypatch.context() as broken:
        broken.setattr(effects, "apply", lambda *_: 1 / 0)
        apply.apply()
        assert [(one.organisation, one.text, one.number) for one in work.parked()] == [(None, "ZeroDivisionError", 4)]
        redrive = begin(None, "notices")
        apply.apply()
        after(1)
        assert sums(redrive) == (3, 0, 0, 1, 0) and redrive.state == Redrive.State.STOPPED
    redrive = begin(None, "notices")
    for seconds in (1, 2, 3):
        apply.apply()
        after(seconds)
    assert sums(redrive) == (0, 0, 4, 0, 0) and redrive.state == Redrive.State.FINISHED
    assert not FeedbackNotice.objects.filter(applied_at=None).exists()
