"""How alarms move: hold times, flapping, readings that fail, and two schedulers at once."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from engagement.models import Heartbeat, Inbox, Organisation, SetAside
from operations import alarms, evaluation, telling
from operations.alarms import DECLARED
from operations.blocks import Notice
from operations.models import MOVES, Alarm, AlarmEvent, Delivery, Incident, Kind, Post, State
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack


def poison(organisation: Organisation) -> SetAside:
    return SetAside.objects.create(organisation=organisation, shard=1, received_at=timezone.now(), events=1, payload=b"", error="Error")


def test_a_short_trouble_is_in_the_history_and_nobody_is_told(calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation) -> None:
    Inbox.objects.create(organisation=acme, shard=1, received_at=scheduler.now - timedelta(minutes=10), events=1, payload=b"")
    scheduler.evaluate()
    assert Alarm.objects.get(name="stream-behind").state == State.PENDING
    Inbox.objects.all().delete()
    scheduler.run(minutes=2)
    assert Alarm.objects.get(name="stream-behind").state == State.OK
    assert list(AlarmEvent.objects.order_by("pk").values_list("from_state", "to_state")) == [("ok", "pending"), ("pending", "ok")]
    assert (told(), slack.requests) == ([], 0)


def test_an_alarm_that_flaps_ten_times_in_its_calm_is_told_once_and_once_more_when_it_is_over(
    calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation
) -> None:
    for _flap in range(10):
        row = poison(acme)
        scheduler.run(minutes=1)
        row.delete()
        scheduler.run(minutes=1)
    assert slack.titles == ["🟠 Requests are set aside"]
    scheduler.run(minutes=3)
    assert slack.titles == ["🟠 Requests are set aside", "🟢 Over: Requests are set aside"]


def flaps(scheduler: Scheduler, organisation: Organisation, times: int) -> list[float]:
    """Wrong for a minute, then right until it is over, again and again. Minutes that each calm took."""
    calms = []
    for _flap in range(times):
        row = poison(organisation)
        scheduler.run(minutes=1)
        row.delete()
        began = scheduler.now
        while Alarm.objects.get(name="requests-set-aside").state != State.RESOLVED:
            scheduler.evaluate()
        calms.append((scheduler.now - began).total_seconds() / 60)
    return calms


def test_ten_flaps_are_one_incident_and_each_asks_for_a_longer_calm(calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation) -> None:
    scheduler.now -= timedelta(days=1)
    calms = flaps(scheduler, acme, 10)
    assert calms == [2.5, 4.5, 8.5, 16.5, *[30.5] * 6]
    incident = Incident.objects.get()
    assert (incident.firings, incident.over_at) == (10, scheduler.now)
    assert [kind for _alarm, kind, _how in told()] == ["fired", "over", *["changed", "over"] * 9]
    assert len(slack.titles) <= 12  # a webhook cannot edit, and yet is told far less than each of it
    scheduler.run(minutes=31)
    poison(acme)
    scheduler.run(minutes=1)
    assert Incident.objects.count() == 2  # after such a calm it is a new trouble
    assert [kind for _alarm, kind, _how in told()][-1:] == ["fired"]


def test_what_cannot_be_read_fires_itself_and_costs_the_others_nothing(
    calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(now: object) -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM no_such_table")
        return 0.0

    whole = alarms.ALARMS
    monkeypatch.setattr(evaluation, "ALARMS", tuple(replace(one, read=broken) if one.name == "stream-behind" else one for one in whole))
    poison(acme)
    scheduler.run(minutes=1)
    assert slack.titles == ["🟠 Requests are set aside"]  # at once, whatever came before it in the list
    scheduler.run(minutes=3)
    assert slack.titles[1:] == ["🔴 The stream is behind"]
    assert "cannot be read (ProgrammingError)" in slack.messages[1]["text"]
    monkeypatch.setattr(evaluation, "ALARMS", whole)
    scheduler.run(minutes=3)
    assert slack.titles[2:] == ["🟢 Over: The stream is behind"]


def test_a_reading_that_fails_once_wakes_nobody(calm: None, slack: FakeSlack, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(alarms.declaration, "COUNTED_UP_TO", "no number")
        scheduler.evaluate()
    scheduler.run(minutes=3)
    assert told() == []
    assert "requests-set-aside" in AlarmEvent.objects.filter(to_state=State.PENDING, value=None).values_list("alarm", flat=True)


def test_the_log_is_told_where_there_is_no_slack(calm: None, scheduler: Scheduler, acme: Organisation, caplog: pytest.LogCaptureFixture) -> None:
    row = poison(acme)
    scheduler.run(minutes=2)
    row.delete()
    scheduler.run(minutes=3)
    said = [(record.name, record.levelno, record.getMessage()) for record in caplog.records if record.name == "atrium.alarm"]
    assert [(name, level) for name, level, _ in said] == [("atrium.alarm", logging.WARNING), ("atrium.alarm", logging.INFO)]
    assert "Requests set aside because they cannot be processed: 1." in said[0][2] and "What to do: " in said[0][2]
    assert said[1][2].startswith("Over: Requests are set aside. It is right again. It lasted ")
    assert told() == [("requests-set-aside", "fired", "logged"), ("requests-set-aside", "over", "logged")]


def test_moves_that_the_table_does_not_have_are_refused_by_the_code_and_by_the_database(calm: None, scheduler: Scheduler) -> None:
    scheduler.evaluate()
    alarm = Alarm.objects.get(name="stream-behind")
    with pytest.raises(evaluation.IllegalMove):
        evaluation._move(alarm, State.RESOLVED, scheduler.now, "Nothing.")
    moved = {"alarm": alarm, "at": scheduler.now, "sentence": "Nothing."}
    wrong = [(before, after) for before in State for after in State if after not in MOVES[before]]
    assert len(wrong) == 19
    for before, after in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            AlarmEvent.objects.create(**moved, from_state=before, to_state=after)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alarm.objects.filter(pk=alarm.pk).update(calm_since=scheduler.now)


def test_history_is_kept_for_its_time_and_what_waits_is_kept_until_it_is_told(calm: None, scheduler: Scheduler) -> None:
    scheduler.evaluate()
    alarm, old = Alarm.objects.get(name="stream-behind"), scheduler.now - timedelta(days=91)
    AlarmEvent.objects.create(alarm=alarm, at=old, sentence="Old.", from_state=State.OK, to_state=State.PENDING)
    ended = Incident.objects.create(alarm=alarm, began_at=old, over_at=old)
    going = Incident.objects.create(alarm=alarm, began_at=old)
    notice = asdict(Notice(mark="", title="Old", body="", remedy="", footer=""))
    told_long_ago, waiting = (
        Post.objects.create(kind=Kind.FIRED, incident=going, notice=notice, created_at=old, not_before=timezone.now() + timedelta(days=1), delivery=how)
        for how in (Delivery.SENT, Delivery.WAITING)
    )
    scheduler.evaluate()
    assert not AlarmEvent.objects.exists()
    assert list(Incident.objects.all()) == [going] != [ended]
    assert list(Post.objects.all()) == [waiting] != [told_long_ago]


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_tell_once(slack: FakeSlack, acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["requests-set-aside"],))

    def round_of(at: datetime) -> None:
        evaluation.evaluate(at)
        telling.tell_waiting(at)

    now = timezone.now()
    for hours in range(10):
        poison(acme)
        at_once(partial(round_of, now + timedelta(hours=hours)))
        SetAside.objects.all().delete()
        for minutes in (1, 3):
            at_once(partial(round_of, now + timedelta(hours=hours, minutes=minutes)))
    assert slack.titles == ["🟠 Requests are set aside", "🟢 Over: Requests are set aside"] * 10
    assert told() == [("requests-set-aside", "fired", "sent"), ("requests-set-aside", "over", "sent")] * 10


def at_once(what: Callable[[], None], times: int = 4) -> None:
    barrier = threading.Barrier(times)
    failed = []

    def run() -> None:
        try:
            barrier.wait(10)
            what()
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed


@pytest.mark.django_db(transaction=True)
def test_while_slack_is_waited_for_no_transaction_is_open(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["stream-silent"],))
    seen: list[str] = []

    def look() -> None:
        with connection.cursor() as cursor:  # of the server's thread: another connection
            cursor.execute(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            seen.extend(state for (state,) in cursor.fetchall())
        connections.close_all()

    slack.watch = look
    Heartbeat.objects.create(process="stream-0@here", host="here", at=timezone.now() - timedelta(hours=1))
    for seconds in (0, 40):
        evaluation.evaluate(timezone.now() + timedelta(seconds=seconds))
        telling.tell_waiting(timezone.now() + timedelta(seconds=seconds))
    assert slack.titles == ["🔴 The stream is silent"]
    assert seen and set(seen) == {"idle"}


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_run_inside_somebodys_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError):
        evaluation.evaluate(timezone.now())
