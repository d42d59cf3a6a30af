"""Fault 48: what is told of mail is applied once, however often, late, shuffled or early it comes; and only to the message's own organisation."""

import json
import uuid
from datetime import timedelta
from itertools import permutations
from typing import Any, Final

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as depth
from hypothesis import strategies as st
from pytest import LogCaptureFixture, MonkeyPatch

from engagement.models import Consent, ConsentState, Organisation, Profile, Shopper
from notifications import suppressions
from notifications.feedback import amazon as asking
from notifications.feedback import apply, effects, notices
from notifications.models import Campaign, FeedbackNotice, Message, MessageEvent, MessageState, Suppression
from tests.conftest import database_url
from tests.notifications import people
from tests.notifications.feedback.amazon import SUBSCRIBE, TOPIC, Amazon
from tests.notifications.feedback.events import AT, KINDS, PROVIDER_ID, TAKEN, event
from tests.worlds import DEPTH

pytestmark = pytest.mark.django_db

OTHER_ID: Final = "0102018c1f2e3d4c-99999999-1111-2222-3333-444455556666-000000"


@pytest.fixture
def spring(acme: Organisation) -> Campaign:
    return people.campaign(acme)


def ann(campaign: Campaign, state: str = "sent", *, number: int = 0, **more: Any) -> Message:
    """A message to s<number> of the campaign's organisation."""
    shopper = Shopper.objects.filter(organisation=campaign.organisation, external_id=f"s{number}").first()
    pk = shopper.pk if shopper else people.shoppers(campaign.organisation, 1, first=number)[0]
    run, _ = campaign.runs.get_or_create(due_at=TAKEN)
    held = {"claim": uuid.uuid4(), "claimed_at": TAKEN} if state in ("claimed", "sent", "unknown") else {}
    owned = {"organisation": campaign.organisation, "campaign": campaign, "run": run, "shopper_id": pk, "send_after": TAKEN, "updated_at": TAKEN}
    return Message.objects.create(state=state, **{**owned, **held, **more})


def to(message: Message) -> str:
    found: str = Profile.objects.values_list("email", flat=True).get(shopper_id=message.shopper_id)
    return found


def tell(*told: Any, early: bool = False) -> None:
    """Notices that were proved; they came a minute ago, or just now."""
    at = timezone.now() if early else timezone.now() - timedelta(minutes=1)
    for one in told:
        text = one if isinstance(one, str) else json.dumps(one)
        FeedbackNotice.objects.create(key=str(uuid.uuid4()), topic=TOPIC, body=f"event\n{AT.isoformat()}\n{text}", received_at=at)


def applied(*told: Any, early: bool = False) -> int:
    tell(*told, early=early)
    return apply.apply(fetch=Amazon().fetch)


def of(message: Message, kind: str, **more: Any) -> dict[str, Any]:
    return event(kind, message.pk, **{"to": to(message), **more})


def state(message: Message) -> str:
    message.refresh_from_db()
    return message.state


def suppressed(organisation: Organisation) -> dict[str, str]:
    return dict(Suppression.objects.filter(organisation=organisation, lifted_at=None).values_list("address", "why"))


# --- What follows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *(("send", "sent"), ("delivery", "delivered"), ("bounce", "bounced"), ("complaint", "complained"), ("reject", "failed"), ("rendering", "failed")),
        *(("soft_bounce", "sent"), ("delay", "sent"), ("open", "sent"), ("click", "sent"), ("unsubscribe", "sent")),
    ],
)
def test_each_event_says_how_far_a_message_came(spring: Campaign, kind: str, expected: str) -> None:
    for number, before in enumerate(("claimed", "unknown", "sent")):
        message = ann(spring, before, number=number)
        assert applied(of(message, kind)) == 1
        assert state(message) == expected, before
        heard = MessageEvent.objects.get(message=message)
        assert (heard.kind, heard.organisation_id) == (kind, spring.organisation_id)
        if expected != "failed" and before != "sent":  # there our own mark has written them
            assert (message.sent_at, message.provider_id) == (TAKEN, PROVIDER_ID)
        assert message.reason == ("refused" if expected == "failed" else "")


def test_the_body_is_emptied_when_it_was_applied(spring: Campaign) -> None:
    message = ann(spring)
    applied(of(message, "bounce"))
    assert list(FeedbackNotice.objects.values_list("body", "problem", "attempts")) == [("", "", 0)]
    assert FeedbackNotice.objects.get().applied_at


def test_a_late_send_after_the_delivery_changes_nothing(spring: Campaign) -> None:
    message = ann(spring)
    applied(of(message, "delivery"))
    applied(of(message, "send"))
    assert state(message) == "delivered"
    assert set(MessageEvent.objects.values_list("kind", flat=True)) == {"delivery", "send"}


def test_what_comes_before_our_own_mark_is_not_undone_by_it(spring: Campaign) -> None:
    message = ann(spring, "claimed")
    applied(of(message, "delivery"))
    marked = Message.objects.filter(pk=message.pk, claim=message.claim, state=MessageState.CLAIMED).update(state="sent")  # as the sender marks it
    assert (marked, state(message)) == (0, "delivered")


def test_what_arrived_is_not_sent_again_and_what_is_only_said_to_be_sent_may_be(spring: Campaign) -> None:
    waiting, again = ann(spring, "planned", attempts=1), ann(spring, "planned", attempts=1, number=1)
    applied(of(waiting, "delivery"), of(again, "send"), of(again, "reject"))
    assert (state(waiting), state(again)) == ("delivered", "planned")
    failed = ann(spring, "failed", reason="tried_enough", number=2)
    applied(of(failed, "bounce"))
    assert (state(failed), failed.reason) == ("bounced", "")


@pytest.mark.parametrize("before", ["skipped", "held_out"])
def test_what_was_never_sent_stays_what_it_is(spring: Campaign, before: str) -> None:
    message = ann(spring, before)
    applied(of(message, "delivery"))
    assert state(message) == before


def test_a_bounce_for_ever_suppresses_and_one_for_now_does_not(spring: Campaign, acme: Organisation) -> None:
    hard, soft = ann(spring, number=1), ann(spring, number=2)
    applied(of(hard, "bounce"), of(soft, "soft_bounce"))
    assert suppressed(acme) == {"s1@acme.example.com": "bounce"}
    assert Suppression.objects.get().message_id == hard.pk
    assert not Consent.objects.exists()  # an address that does not exist withdraws nothing
    assert not ConsentState.objects.filter(given=False).exists()


@pytest.mark.parametrize(("kind", "source"), [("complaint", "complaint"), ("unsubscribe", "unsubscribe")])
def test_who_complains_or_leaves_is_suppressed_and_agrees_no_longer(spring: Campaign, acme: Organisation, kind: str, source: str) -> None:
    ConsentState.objects.all().delete()
    message = ann(spring)
    ConsentState.objects.update(at=TAKEN - timedelta(days=1))
    for _again in range(2):
        applied(of(message, kind))
    assert suppressed(acme) == {"s0@acme.example.com": source}
    [ledger] = Consent.objects.all()
    assert (ledger.shopper_id, ledger.purpose, ledger.given, ledger.at, ledger.source) == (message.shopper_id, "marketing", False, AT, source)
    assert list(ConsentState.objects.values_list("given", flat=True)) == [False]


def test_a_bounce_of_an_address_that_nobody_has_any_more_is_not_kept(spring: Campaign, acme: Organisation) -> None:
    message = ann(spring)
    told = of(message, "bounce")
    Profile.objects.update(email="new@acme.example.com")
    applied(told)
    assert (state(message), suppressed(acme)) == ("bounced", {})


# --- Never anybody else's ------------------------------------------------------------------------------------------------


def test_the_rival_is_never_written_to_whatever_a_notice_says(spring: Campaign, acme: Organisation, rival: Organisation) -> None:
    theirs = ann(people.campaign(rival))
    Profile.objects.filter(organisation=rival).update(email="s0@acme.example.com")  # the same person at both
    ours = ann(spring)
    applied(of(ours, "complaint"))
    assert suppressed(acme) == {"s0@acme.example.com": "complaint"}
    assert (suppressed(rival), state(theirs)) == ({}, "sent")
    assert set(MessageEvent.objects.values_list("organisation_id", flat=True)) == {acme.pk}
    assert ConsentState.objects.get(organisation=rival).given


def test_an_unknown_message_is_passed_over_and_counted(spring: Campaign, acme: Organisation, caplog: LogCaptureFixture) -> None:
    message = ann(spring)
    applied(event("bounce", message.pk + 1000, to="s0@acme.example.com"), event("bounce", to="s0@acme.example.com"), of(message, "delivery"))
    assert list(FeedbackNotice.objects.filter(applied_at__isnull=False).order_by("pk").values_list("problem", flat=True)) == ["unknown message"] * 2 + [""]
    assert (suppressed(acme), state(message)) == ({}, "delivered")
    assert "s0@" not in caplog.text


def test_the_same_number_of_another_installation_is_not_ours(spring: Campaign) -> None:
    message, relayed = ann(spring, provider_id=OTHER_ID), ann(spring, number=1, provider_id="a queue's own id")
    applied(of(message, "bounce"), of(relayed, "bounce"))
    assert (state(message), state(relayed)) == ("sent", "bounced")


def test_without_our_number_the_provider_s_id_finds_it(spring: Campaign) -> None:
    message = ann(spring, provider_id=PROVIDER_ID, sent_at=TAKEN + timedelta(seconds=3))
    ann(spring, number=1, provider_id=OTHER_ID, sent_at=TAKEN)
    applied(event("delivery", to=to(message)))
    assert (state(message), MessageEvent.objects.count()) == ("delivered", 1)


def test_one_that_overtook_our_mark_waits_for_it(spring: Campaign) -> None:
    message = ann(spring, "claimed")
    assert applied(event("delivery", to=to(message)), early=True) == 0
    assert FeedbackNotice.objects.get().applied_at is None
    Message.objects.update(state="sent", provider_id=PROVIDER_ID, sent_at=TAKEN)
    FeedbackNotice.objects.update(received_at=timezone.now() - timedelta(seconds=11))
    assert apply.apply(fetch=Amazon().fetch) == 1
    assert state(message) == "delivered"


def test_of_an_erased_shopper_nothing_personal_is_written(spring: Campaign, acme: Organisation) -> None:
    message = ann(spring)
    told = [of(message, kind) for kind in KINDS]
    Profile.objects.filter(organisation=acme).delete()
    Shopper.objects.filter(pk=message.shopper_id).delete()
    assert applied(*told) == len(told)
    message.refresh_from_db()
    assert (message.shopper_id, message.state, message.provider_id) == (-message.pk, "complained", "")
    assert not MessageEvent.objects.filter(kind__in=("open", "click")).exists()
    assert (suppressed(acme), Consent.objects.count()) == ({}, 0)


# --- Any order, any repetition -------------------------------------------------------------------------------------------


def outcome(message: Message) -> Any:
    message.refresh_from_db()
    events = sorted(MessageEvent.objects.filter(message=message).values_list("kind", "at", "source", "detail"))
    return (
        (message.state, message.reason, message.sent_at, message.provider_id, events),
        sorted(Suppression.objects.values_list("address", "why", "at", "lifted_at")),
        sorted(Consent.objects.values_list("purpose", "given", "at", "source")),
        sorted(ConsentState.objects.values_list("given", "at")),
    )


@depth(max_examples=25 * DEPTH, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_order_and_repetition_says_the_same(spring: Campaign, data: st.DataObject) -> None:
    one = st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 3))
    told = data.draw(st.lists(one, min_size=1, max_size=6))
    shuffled = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told), max_size=4))]))
    cuts = data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3))
    before = data.draw(st.sampled_from(["claimed", "unknown", "sent", "delivered", "planned", "failed"]))
    found = []
    for order, edges in ((told, []), (shuffled, sorted(cuts))):
        message = ann(spring, before)
        ConsentState.objects.update(given=True, at=TAKEN - timedelta(days=1))
        for first, last in zip([0, *edges], [*edges, len(order)], strict=True):
            applied(*(of(message, kind, at=AT + timedelta(seconds=second)) for kind, second in order[first:last]))
        found.append(outcome(message))
        for kind_of_row in (MessageEvent, Message, Suppression, Consent, FeedbackNotice):
            kind_of_row.objects.all().delete()
    assert found[0] == found[1]


def test_all_orders_of_a_bounce_a_complaint_and_an_unsubscription(spring: Campaign, acme: Organisation) -> None:
    for number, order in enumerate(permutations(("bounce", "complaint", "unsubscribe"))):
        message = ann(spring, number=number)
        for kind in order:
            applied(of(message, kind))
        assert (state(message), suppressed(acme)[to(message)]) == ("complained", "complaint")


def test_what_was_lifted_comes_back_only_by_what_happened_after(spring: Campaign, acme: Organisation) -> None:
    message = ann(spring)
    applied(of(message, "bounce"))
    suppressions.lift(suppression=Suppression.objects.get(), by="emma", reason="The mailbox is back.", now=AT + timedelta(minutes=5))
    applied(of(message, "bounce"), of(message, "bounce", at=AT + timedelta(minutes=4)))
    assert suppressed(acme) == {}
    applied(of(message, "bounce", at=AT + timedelta(minutes=6)))
    assert suppressed(acme) == {"s0@acme.example.com": "bounce"}


# --- Work ----------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_stops_nobody(spring: Campaign) -> None:
    message = ann(spring)
    assert applied("", "{}", '{"notificationType": "Received", "mail": {}}', of(message, "delivery")) == 4
    problems = list(FeedbackNotice.objects.order_by("pk").values_list("problem", flat=True))
    assert problems == ["unreadable: no JSON", "unreadable: no event that is known", "nothing of our mail", ""]
    assert state(message) == "delivered"


def test_a_notice_that_breaks_is_tried_less_and_less_and_then_left_and_the_others_go_on(spring: Campaign, monkeypatch: MonkeyPatch) -> None:
    good, bad = ann(spring), ann(spring, number=1)
    whole = effects.apply

    def breaks(cursor: Any, heard: Any, now: Any) -> list[bool]:
        if any(one.message == bad.pk for one in heard):
            raise ValueError("s1@acme.example.com")
        return whole(cursor, heard, now)

    monkeypatch.setattr(effects, "apply", breaks)
    assert applied(of(bad, "delivery"), of(good, "delivery"), early=True) == 1
    left = FeedbackNotice.objects.get(applied_at=None)
    assert (state(good), left.attempts, left.problem) == ("delivered", 1, "ValueError")
    for attempts in range(2, notices.TRIES + 1):
        FeedbackNotice.objects.filter(pk=left.pk).update(received_at=timezone.now() - timedelta(seconds=10 * (attempts - 1) ** 2 - 1))
        assert apply.apply(fetch=Amazon().fetch) == 0
        left.refresh_from_db()
        assert left.attempts == attempts - 1  # not its time yet
        FeedbackNotice.objects.filter(pk=left.pk).update(received_at=timezone.now() - timedelta(days=1))
        apply.apply(fetch=Amazon().fetch)
        left.refresh_from_db()
        assert left.attempts == attempts
    monkeypatch.undo()
    assert apply.apply(fetch=Amazon().fetch) == 0  # left for a person


def test_a_deadlock_is_nobody_s_fault(spring: Campaign, monkeypatch: MonkeyPatch) -> None:
    message = ann(spring)

    def meets(*_: Any) -> list[bool]:
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(effects, "apply", meets)
    with pytest.raises(OperationalError):
        applied(of(message, "delivery"))
    monkeypatch.undo()
    assert FeedbackNotice.objects.get().attempts == 0
    assert apply.apply(fetch=Amazon().fetch) == 1


def test_a_thousand_notices_take_the_queries_of_one_set_for_each_five_hundred(spring: Campaign, django_assert_max_num_queries: Any) -> None:
    [first, *rest] = people.shoppers(spring.organisation, 200)
    run = spring.runs.create(due_at=TAKEN)
    owned = {"organisation": spring.organisation, "campaign": spring, "run": run, "send_after": TAKEN, "updated_at": TAKEN}
    sent = {"state": "sent", "claim": uuid.uuid4(), "claimed_at": TAKEN}
    messages = Message.objects.bulk_create([Message(shopper_id=shopper, **owned, **sent) for shopper in (first, *rest)])
    tell(*(event(kind, message.pk, to="x@y.example") for message in messages for kind in ("send", "delivery", "open")))
    with django_assert_max_num_queries(2 * 20 + 10):
        assert apply.apply(fetch=Amazon().fetch) == 600
    assert set(Message.objects.values_list("state", flat=True)) == {"delivered"}
    assert MessageEvent.objects.count() == 600


def test_what_was_applied_is_kept_a_month(spring: Campaign) -> None:
    applied(of(ann(spring), "delivery"))
    assert notices.forget(timezone.now() + timedelta(days=29)) == 0
    assert notices.forget(timezone.now() + timedelta(days=31)) == 1


# --- Confirming ----------------------------------------------------------------------------------------------------------


def subscribe(address: str = SUBSCRIBE) -> FeedbackNotice:
    body, at = f"confirm\n{AT.isoformat()}\n{address}", timezone.now() - timedelta(minutes=1)
    return FeedbackNotice.objects.create(key=str(uuid.uuid4()), topic=TOPIC, body=body, received_at=at)


def test_a_subscription_is_confirmed_by_asking_its_address_once() -> None:
    subscribe()
    amazon = Amazon()
    for _again in range(2):
        apply.apply(fetch=amazon.fetch)
    assert amazon.asked == [SUBSCRIBE]
    assert FeedbackNotice.objects.get().applied_at and FeedbackNotice.objects.get().body == ""


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest/meta-data", SUBSCRIBE.replace("https", "http"), SUBSCRIBE.replace("amazonaws", "evil")])
def test_an_address_to_inside_is_not_asked_even_if_it_stood_in_the_table(address: str) -> None:
    subscribe(address)
    amazon = Amazon()
    apply.apply(fetch=amazon.fetch)
    assert (amazon.asked, FeedbackNotice.objects.get().problem) == ([], "not an address of Amazon SNS")


def test_one_that_cannot_be_confirmed_is_tried_again_later(caplog: LogCaptureFixture) -> None:
    row = subscribe()
    amazon = Amazon({SUBSCRIBE: asking.NotFetched("HTTP 500")})
    for _again in range(3):
        apply.apply(fetch=amazon.fetch)
    assert len(amazon.asked) == 1 or FeedbackNotice.objects.get().attempts < 4
    assert "Token" not in caplog.text and TOPIC in caplog.text
    amazon.answers[SUBSCRIBE] = b"ok"
    FeedbackNotice.objects.filter(pk=row.pk).update(received_at=timezone.now() - timedelta(hours=1))
    apply.apply(fetch=amazon.fetch)
    assert FeedbackNotice.objects.get().applied_at


@pytest.mark.django_db(transaction=True)
def test_what_another_worker_holds_is_not_waited_for(spring: Campaign) -> None:
    first, second = ann(spring), ann(spring, number=1)
    tell(of(first, "delivery"))
    with psycopg.connect(database_url()) as other:
        other.execute("SELECT 1 FROM notifications_feedbacknotice FOR UPDATE")
        assert applied(of(second, "delivery")) == 1
        assert (state(first), state(second)) == ("sent", "delivered")
    assert apply.apply(fetch=Amazon().fetch) == 1
    assert state(first) == "delivered"
