"""What is counted is what happened: once each, and not before it is committed."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from analytics import answering, figures
from analytics.stream import loop, timing, work
from engagement import inbox, partitions
from engagement.metrics import Counter, Family
from engagement.models import Inbox, Organisation, Zone
from notifications import campaigns, planning
from notifications.channels.wire import ForEver, ForNow, Result, Sent
from notifications.delivery import sending
from notifications.delivery.sending import Sender
from notifications.feedback import apply
from notifications.models import FeedbackNotice, Message
from tests.analytics.rows import shopper, stay
from tests.notifications import people
from tests.notifications.feedback.amazon import TOPIC
from tests.notifications.feedback.events import AT, event
from tests.notifications.wires import MemoryWire

NOW = datetime.now(UTC).replace(microsecond=0)


def more(family: Family[Counter], act: Callable[[], object]) -> dict[str, float]:
    """What an act adds to each child."""
    before = {values: child.value for values, child in family.children.items()}
    act()
    return {values[0]: child.value - before.get(values, 0) for values, child in family.children.items() if child.value != before.get(values, 0)}


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


@pytest.mark.django_db(transaction=True)
def test_events_are_counted_once_their_transaction_is_committed(worker: loop.Worker, acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    us = int(NOW.timestamp()) * 1_000_000
    records = b"".join(inbox.fix(event_id=bytes(15) + bytes([n]), at_us=us + n, lat=0.0, lon=0.0, accuracy=5.0) for n in (1, 2, 2))
    row = inbox.Row("phone", "ios", "1.0", "ann", 0, records, [], [])
    shard = inbox.shard_of(acme.pk, "s", "ann")
    Inbox.objects.create(organisation=acme, shard=shard, received_at=NOW, events=3, payload=inbox.pack(row))
    fails = iter([True])
    point = work.point

    def broken(name: str) -> None:
        if name == "stream.before_commit" and next(fails, False):
            raise ValueError("once")
        point(name)

    monkeypatch.setattr(work, "point", broken)
    transactions = timing.ROWS.sum
    assert more(timing.OUTCOMES, worker.step) == {}
    counted = more(timing.OUTCOMES, lambda: [worker.step() for _ in range(5)])
    assert counted == {"accepted": 2, "duplicate": 1}
    assert timing.ROWS.sum == transactions + 1


def test_a_transaction_that_takes_long_says_what_it_was_at(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="atrium.stream")
    for slow in (False, True):
        monkeypatch.setattr(timing, "SLOW_S", -1.0 if slow else 10.0)
        timing.begin()
        timing.took(7)
        timing.lap("store")
        timing.tell(2)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("A transaction of 2 requests and 7 events took") and line.endswith("for the stage store.")


@pytest.mark.django_db(transaction=True)
def test_mails_are_counted_by_what_became_of_them(acme: Organisation) -> None:
    people.shoppers(acme, 5)
    campaigns.send(people.campaign(acme), by="emma")
    planning.plan()
    answers: list[Result] = [ForEver("550"), ForNow("451"), Sent("a"), Sent("b"), Sent("c")]
    counted = more(sending.MAILS, lambda: Sender(MemoryWire(lambda _: answers.pop(0))).run())
    assert counted == {"refused": 1, "refused_for_now": 1, "sent": 3}


@pytest.mark.django_db(transaction=True)
def test_feedback_is_counted_once_it_is_applied(acme: Organisation) -> None:
    people.shoppers(acme, 1)
    campaigns.send(people.campaign(acme), by="emma")
    planning.plan()
    Sender(MemoryWire()).run()
    [message] = Message.objects.all()
    told = [event("delivery", message.pk, to="s0@acme.example.com"), event("delivery", 987_654_321, to="nobody@acme.example.com")]
    for number, one in enumerate(told):
        at = timezone.now() - timedelta(minutes=1)
        FeedbackNotice.objects.create(key=str(number), topic=TOPIC, body=f"event\n{AT.isoformat()}\n{json.dumps(one)}", received_at=at)
    assert more(apply.APPLIED, apply.apply) == {"delivery": 1}
    assert more(apply.APPLIED, apply.apply) == {}


@pytest.mark.django_db
def test_the_time_of_a_report_is_told_under_its_name(acme: Organisation, acme_keys: dict[str, str]) -> None:
    seconds = answering.SECONDS.of("footfall")
    before = sum(seconds.counts)
    asked = {"zone": "north", "from": "2026-11-01", "to": "2026-11-08"}
    answer = Client().get("/api/v1/reports/footfall", asked, headers={"Authorization": f"Bearer {acme_keys['secret']}"})
    assert answer.status_code == 200
    assert sum(seconds.counts) == before + 1


@pytest.mark.django_db(transaction=True)
def test_days_are_counted_when_they_are_made(acme: Organisation) -> None:
    stay(shopper(acme, "ann"), Zone.objects.get(organisation=acme, key="north"), NOW - timedelta(days=3), 600)
    before, steps = figures.DAYS.value, sum(figures.STEP_SECONDS.counts)
    with figures.session() as connection:
        while figures._timed_step(connection, careful=False):
            pass
    assert figures.DAYS.value > before
    assert sum(figures.STEP_SECONDS.counts) > steps
