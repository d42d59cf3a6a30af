"""Claimed, committed, sent, recorded: every message ends in one state, whatever the wire says and whoever changes his mind meanwhile."""

import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest import MonkeyPatch

from engagement.models import Brand, Organisation
from notifications import campaigns, planning
from notifications.channels.wire import ForEver, ForNow, Late, Result, Sent, Unknown
from notifications.delivery import claim, record, sending, sweep
from notifications.delivery.sending import Sender
from notifications.mail import Mail
from notifications.models import Campaign, CampaignState, Message, MessageEvent, SendingPolicy
from tests.notifications import people
from tests.notifications.wires import MemoryWire, message_of

pytestmark = pytest.mark.django_db


def planned(organisation: Organisation, number: int = 10, **more: Any) -> Campaign:
    people.shoppers(organisation, number)
    made = campaigns.send(people.campaign(organisation, **more), by="emma")
    planning.plan()
    return made


def only_the_first(*results: Result) -> Any:
    """Answers so many mails so; the others are sent."""
    waiting = list(results)
    return lambda mail: waiting.pop(0) if waiting else Sent("p")


def test_everybody_is_told_once_and_the_campaign_is_finished(acme: Organisation) -> None:
    made = planned(acme, 230)
    wire = MemoryWire()
    assert Sender(wire).run() == 230
    sweep.finish(timezone.now())
    made.refresh_from_db()
    assert made.state == CampaignState.FINISHED and made.finished_at and people.states(made) == {"sent": 230}
    assert sorted(wire.recipients) == sorted(f"s{n}@acme.example.com" for n in range(230))
    rows = dict(Message.objects.values_list("pk", "shopper__profile__email"))
    assert all(rows[message_of(mail)] == mail.recipient for mail in wire.mails)
    sent = Message.objects.first()
    assert sent and sent.provider_id and sent.sent_at and sent.claimed_at and sent.attempts == 1
    assert Sender(wire).run() == 0


def test_the_claim_is_committed_before_anything_leaves(acme: Organisation) -> None:
    made, seen = planned(acme, 5), []
    Sender(MemoryWire(before=lambda number: seen.append(people.states(made)))).run()
    assert all(states.get("planned", 0) == 0 for states in seen) and seen[0] == {"claimed": 5}


@pytest.mark.parametrize(
    ("result", "state", "events"),
    [
        (ForEver("550 5.1.1"), "failed refused", 1),
        (Unknown("closed"), "unknown", 0),
        (Late(), "sent", 0),
        (ForNow("451 4.3.0"), "planned", 0),
        (ForNow("454 4.7.0", throttled=True), "planned", 0),
        (ForNow("no server", of_all=True), "planned", 0),
    ],
)
def test_each_answer_of_the_wire_has_its_end(acme: Organisation, result: Result, state: str, events: int) -> None:
    made = planned(acme, 4)
    wire = MemoryWire(only_the_first(result), ahead=1)
    Sender(wire).run()
    stopped = isinstance(result, ForNow) and result.of_all
    assert people.states(made) == ({"planned": 4} if stopped else {"sent": 4} if state == "sent" else {"sent": 3, state: 1})
    assert MessageEvent.objects.filter(kind="reject").count() == events
    assert len({mail.recipient for mail in wire.mails}) == len(wire.mails)


def test_what_is_refused_for_now_is_tried_later_and_later_and_then_parked(acme: Organisation) -> None:
    made = planned(acme, 1)
    clock = timezone.now()
    waits = []
    for _ in range(record.EMAIL.tries):
        Sender(MemoryWire(lambda _: ForNow("451 4.3.0"))).run(now=lambda at=clock: at)
        message = Message.objects.get()
        waits.append(message.send_after - clock)
        clock = max(clock, message.send_after)
    assert waits[:4] == [timedelta(minutes=wait) for wait in (1, 4, 16, 64)]
    assert people.states(made) == {"failed tried_enough": 1} and message.claimed_at is None and message.attempts == 5
    assert MessageEvent.objects.get().detail == "451 4.3.0"


def test_being_too_fast_is_no_attempt(acme: Organisation) -> None:
    planned(acme, 1)
    clock = timezone.now()
    for _ in range(10):
        Sender(MemoryWire(lambda _: ForNow("454", throttled=True))).run(now=lambda at=clock: at)
        message = Message.objects.get()
        assert (message.state, message.attempts) == ("planned", 0) and clock < message.send_after
        clock = message.send_after


def test_a_provider_in_trouble_is_left_alone_for_longer_each_time(acme: Organisation, monkeypatch: MonkeyPatch) -> None:
    planned(acme, 40)
    sender, wire = Sender(MemoryWire(lambda _: ForNow("no server", of_all=True))), MemoryWire()
    moment = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    tries = []
    for _ in range(100):
        before = sender._rest_s
        sender.run()
        if sender._rest_s != before:
            tries.append(moment[0])
        moment[0] += 1.0
    assert tries == [1000.0, 1001.0, 1003.0, 1007.0, 1015.0, 1031.0, 1063.0]
    assert wire.mails == [] and Message.objects.filter(state="planned", attempts=0).count() == 40


def test_failed_ones_are_sent_again_when_somebody_says_so(acme: Organisation) -> None:
    made = planned(acme, 4)
    Sender(MemoryWire(only_the_first(ForEver("550"), ForEver("550")))).run()
    sweep.finish(timezone.now())
    made.refresh_from_db()
    assert made.state == CampaignState.FINISHED
    assert campaigns.release(made, by="emma", reason="tried_enough") == 0
    assert campaigns.release(made, by="emma") == 2
    made.refresh_from_db()
    assert made.state == CampaignState.SENDING
    wire = MemoryWire()
    Sender(wire).run()
    sweep.finish(timezone.now())
    made.refresh_from_db()
    assert made.state == CampaignState.FINISHED and people.states(made) == {"sent": 4} and len(wire.mails) == 2


def change(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        ("UPDATE engagement_consentstate SET given = false WHERE shopper_id = %(shopper)s", "skipped no_consent"),
        ("UPDATE engagement_profile SET email = '' WHERE shopper_id = %(shopper)s", "skipped no_address"),
        ("DELETE FROM engagement_profile WHERE shopper_id = %(shopper)s; DELETE FROM engagement_shopper WHERE id = %(shopper)s", "skipped erased"),
        (
            """INSERT INTO notifications_suppression (organisation_id, channel, address, why, at, lifted_by, lift_reason, added_by, changed)
               VALUES (%(organisation)s, 'email', 's7@acme.example.com', 'unsubscribe', now(), '', '', '', 0)""",
            "skipped suppressed",
        ),
        (
            """INSERT INTO notifications_preference (organisation_id, shopper_id, channel, brand_id, wished, at, changed)
               SELECT organisation_id, %(shopper)s, 'email', id, false, now(), 0 FROM engagement_brand WHERE key = 'brew'""",
            "skipped not_wished",
        ),
    ],
)
@pytest.mark.parametrize("when", ["before the claim", "after the claim"])
def test_whoever_says_no_between_planning_and_sending_gets_nothing(acme: Organisation, monkeypatch: MonkeyPatch, meanwhile: str, state: str, when: str) -> None:
    shopper = people.shoppers(acme, 10)[7]
    made = campaigns.send(people.campaign(acme, brand=Brand.objects.get(organisation=acme, key="brew")), by="emma")
    planning.plan()

    def say_no() -> None:
        with connection.cursor() as cursor:
            for statement in meanwhile.split("; "):
                cursor.execute(statement, {"shopper": shopper, "organisation": acme.pk})

    if when == "before the claim":
        say_no()
    else:
        monkeypatch.setattr(claim, "point", lambda name: say_no() if name == "send.claimed" else None)
    wire = MemoryWire()
    Sender(wire).run()
    assert people.states(made) == {"sent": 9, state: 1} and "s7@acme.example.com" not in wire.recipients


def test_a_new_address_is_used_even_if_the_message_was_claimed_for_the_old_one(acme: Organisation, monkeypatch: MonkeyPatch) -> None:
    made = planned(acme, 3)

    def move(name: str) -> None:
        if name == "send.claimed":
            change("UPDATE engagement_profile SET email = 'new@acme.example.com' WHERE email = 's1@acme.example.com'")

    monkeypatch.setattr(claim, "point", move)
    wire = MemoryWire()
    Sender(wire).run()
    assert sorted(wire.recipients) == [f"{name}@acme.example.com" for name in ("new", "s0", "s2")] and people.states(made) == {"sent": 3}


def test_quiet_hours_that_begin_after_the_claim_hold_what_has_not_left(acme: Organisation) -> None:
    made = planned(acme, 3, quiet_hours={"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shop"]})
    moments = iter([datetime(2026, 11, 21, 18, 59, 59, tzinfo=UTC)] * 2)  # a second before nine in Johannesburg
    wire = MemoryWire()
    Message.objects.update(send_after=datetime(2026, 11, 21, 12, tzinfo=UTC))
    Sender(wire).run(now=lambda: next(moments, datetime(2026, 11, 21, 19, 0, 1, tzinfo=UTC)))
    assert people.states(made) == {"planned quiet_hours": 3} and wire.mails == []
    assert {f"{at:%d %H:%M}" for at in Message.objects.values_list("send_after", flat=True)} == {"22 06:00"}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("move", [campaigns.pause, campaigns.cancel])
def test_pausing_and_cancelling_stop_what_has_not_left(acme: Organisation, move: Any, share: float) -> None:
    made = planned(acme, 60)
    wire = MemoryWire(before=lambda number: move(made, by="emma") if number == int(60 * share) and _going(made) else None)
    Sender(wire).run()
    sweep.sweep()
    left = len(wire.mails)
    assert int(60 * share) <= left <= int(60 * share) + sending.TOGETHER + 4
    rest = "planned" if move is campaigns.pause else "skipped cancelled"
    assert people.states(made) == {"sent": left, rest: 60 - left}
    made.refresh_from_db()
    assert made.state == (CampaignState.PAUSED if move is campaigns.pause else CampaignState.CANCELLED)
    if move is campaigns.pause:
        campaigns.resume(made, by="emma")
        Sender(wire).run()
        sweep.sweep()
        assert people.states(made) == {"sent": 60} and len(set(wire.recipients)) == len(wire.mails) == 60


def _going(made: Campaign) -> bool:
    return Campaign.objects.get(pk=made.pk).state == CampaignState.SENDING


def test_a_campaign_of_which_too_much_fails_pauses_itself_and_says_so(acme: Organisation) -> None:
    made = planned(acme, 120)
    Sender(MemoryWire(lambda mail: ForEver("550") if message_of(mail) % 3 else Sent("p"))).run()
    made.refresh_from_db()
    assert made.state == CampaignState.PAUSED and re.match(r"\d+ of \d+ messages failed", made.pause_reason)
    assert people.states(made)["planned"] > 0


def test_a_few_failures_within_the_policy_stop_nothing(acme: Organisation) -> None:
    SendingPolicy.objects.create(organisation=acme, failures_pause_at="0.5")
    made = planned(acme, 20)
    Sender(MemoryWire(only_the_first(*[ForEver("550")] * 6))).run()
    sweep.sweep()
    made.refresh_from_db()
    assert made.state == CampaignState.FINISHED


def test_what_a_dead_sender_held_is_unknown_after_its_lease_and_never_sent_again(acme: Organisation) -> None:
    made = planned(acme, 5)
    now = timezone.now()
    assert len(claim.take(made, made.runs.get().pk, now=now, most=3).messages) == 3
    sweep.sweep(now=now + claim.LEASE)
    assert people.states(made) == {"claimed": 3, "planned": 2}
    sweep.sweep(now=now + claim.LEASE + timedelta(seconds=1))
    wire = MemoryWire()
    Sender(wire).run()
    sweep.sweep()
    made.refresh_from_db()
    assert people.states(made) == {"unknown": 3, "sent": 2} and len(wire.mails) == 2 and made.state == CampaignState.FINISHED


def test_a_sender_that_was_away_for_too_long_sends_nothing_of_what_it_holds(acme: Organisation, monkeypatch: MonkeyPatch) -> None:
    made = planned(acme, 50)
    real, away = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + away[0])
    wire = MemoryWire(before=lambda number: away.__setitem__(0, claim.HOLD_S) if number == 3 else None)
    Sender(wire).run(budget_s=60)
    assert len(wire.mails) <= 3 + sending.TOGETHER and people.states(made) == {"sent": len(wire.mails), "planned": 50 - len(wire.mails)}


def test_whoever_lost_his_claim_writes_nothing_but_what_is_certain(acme: Organisation) -> None:
    made = planned(acme, 4)
    now = timezone.now()
    batch = claim.take(made, made.runs.get().pk, now=now, most=4)
    one, two, three, four = (message.id for message in batch.messages)
    sweep.lose_claims(now + timedelta(hours=1))
    record.write(uuid.uuid4(), [record.sent(one, "p")], organisation=acme.pk, now=now)
    assert people.states(made) == {"unknown": 4}
    outcomes = [record.sent(one, "p"), record.refused(two, "550"), record.back(three, now), record.skipped(four, "no_consent")]
    record.write(batch.claim, outcomes, organisation=acme.pk, now=now)
    assert people.states(made) == {"sent": 1, "failed refused": 1, "unknown": 2}


def test_what_the_provider_told_first_is_kept_and_completed(acme: Organisation) -> None:
    made = planned(acme, 1)
    now = timezone.now()
    batch = claim.take(made, made.runs.get().pk, now=now, most=1)
    Message.objects.update(state="delivered")
    record.write(batch.claim, [record.sent(batch.messages[0].id, "p7")], organisation=acme.pk, now=now)
    message = Message.objects.get()
    assert (message.state, message.provider_id, message.sent_at) == ("delivered", "p7", now)


def test_organisations_and_their_campaigns_take_turns(acme: Organisation, rival: Organisation, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BATCH", 5)
    for organisation, keys in ((acme, "abc"), (rival, "z")):
        people.shoppers(organisation, 15)
        for key in keys:
            campaigns.send(people.campaign(organisation, key), by="emma")
    planning.plan()
    order: list[tuple[str, str]] = []
    real = claim.take

    def noted(campaign: Campaign, run: int, **more: Any) -> Any:
        order.append((campaign.organisation.key, campaign.key))
        return real(campaign, run, **more)

    monkeypatch.setattr(claim, "take", noted)
    Sender(MemoryWire()).run()
    assert order[:6] == [("acme", "a"), ("rival", "z"), ("acme", "b"), ("rival", "z"), ("acme", "c"), ("rival", "z")]
    assert len(order) == 12


def test_a_stop_gives_back_what_has_not_left(acme: Organisation) -> None:
    made = planned(acme, 40)
    stop: list[bool] = []
    wire = MemoryWire(before=lambda number: stop.append(True) if number == 5 else None)
    Sender(wire, stopping=lambda: bool(stop)).run()
    assert 5 <= len(wire.mails) < 12 and people.states(made) == {"sent": len(wire.mails), "planned": 40 - len(wire.mails)}


def test_a_wire_that_breaks_leaves_unknown_only_what_it_had(acme: Organisation) -> None:
    made = planned(acme, 20)

    def breaks(mail: Mail) -> Result:
        raise OSError

    with pytest.raises(OSError):
        Sender(MemoryWire(breaks)).run()
    assert people.states(made) == {"claimed": 3, "planned": 17}


def test_campaigns_are_not_resumed_by_machines_that_stood_still(acme: Organisation) -> None:
    made = planned(acme, 3)
    now = timezone.now()
    assert sending.stood_still(now) == 0
    assert sending.stood_still(now + timedelta(hours=12)) == 0
    fresh = campaigns.send(people.campaign(acme, "fresh"), by="emma", now=now + timedelta(hours=25))
    assert sending.stood_still(now + timedelta(hours=26)) == 1
    made.refresh_from_db()
    fresh.refresh_from_db()
    assert made.state == CampaignState.PAUSED and "14 hours" in made.pause_reason and fresh.state == CampaignState.SENDING
    assert sending.stood_still(now + timedelta(hours=26)) == 0
