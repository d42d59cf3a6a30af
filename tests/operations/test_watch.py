"""The process that looks: alone, twice, without its database, killed in the middle, asked to end."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from analytics.models import BeaconHeard
from analytics.stream import loop
from engagement import heartbeats, inbox, partitions
from engagement.models import Beacon, Heartbeat, Inbox, Organisation, Refusal, SetAside
from operations import evaluation, readings, watch
from operations.alarms import DECLARED
from operations.models import Alarm, AlarmEvent, Incident, Post, Reading, State
from tests.conftest import database_url
from tests.operations.fake_slack import FakeSlack, says
from tests.servers import ROOT, until


def poison(organisation: Organisation) -> SetAside:
    return SetAside.objects.create(organisation=organisation, shard=1, received_at=timezone.now(), events=1, payload=b"", error="Error")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["requests-set-aside"],))


def parts(patched: pytest.MonkeyPatch, **acts: Callable[..., Any]) -> None:
    patched.setattr(watch.Watch, "parts", lambda self: acts)


@pytest.mark.django_db(transaction=True)
def test_a_round_reads_moves_tells_measures_and_says_that_it_works(alone: None, slack: FakeSlack, acme: Organisation) -> None:
    poison(acme)
    call_command("watch", "--once")
    assert slack.titles == ["🟠 Requests are set aside"]
    assert Heartbeat.objects.get(process=f"watch@{heartbeats.HOST}").pid
    measured = set(Reading.objects.values_list("name", flat=True))
    assert {readings.STREAM_LAG, readings.INBOX_EVENTS, readings.MESSAGES_PLANNED, readings.SEND_RATE, readings.HEARTBEATS_MISSING} <= measured


@pytest.mark.django_db(transaction=True)
def test_four_at_once_tell_once_and_measure_once(alone: None, slack: FakeSlack, acme: Organisation) -> None:
    poison(acme)
    now, failed = timezone.now(), []
    barrier = threading.Barrier(4)

    def look() -> None:
        try:
            one = watch.Watch(lambda: False)
            for seconds in (0, 15, 30):
                barrier.wait(20)
                one.round(now + timedelta(seconds=seconds))
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert slack.titles == ["🟠 Requests are set aside"]
    assert (AlarmEvent.objects.count(), Incident.objects.count(), Post.objects.count()) == (1, 1, 1)
    minutes = {(now + timedelta(seconds=seconds)).replace(second=0, microsecond=0) for seconds in (0, 15, 30)}
    assert Reading.objects.filter(name=readings.STREAM_LAG).count() == len(minutes)


@pytest.mark.django_db(transaction=True)
def test_each_part_fails_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def broken(now: object) -> None:
        raise ValueError("a secret")

    parts(monkeypatch, one=broken, two=lambda now: done.append("two"), three=broken, four=lambda now: done.append("four"))
    watch.Watch(lambda: False).round(timezone.now())
    assert done == ["two", "four"]
    assert "The watch's part three failed, and is tried again: ValueError" in caplog.text and "a secret" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_waited_for_and_told_of_once(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="atrium.watch")
    done: list[int] = []
    parts(monkeypatch, one=lambda now: done.append(1))
    looking = watch.Watch(lambda: False)
    looking.round(timezone.now())
    with psycopg.connect(database_url(), autocommit=True) as other, connection.cursor() as cursor:
        other.execute("SELECT pg_terminate_backend(%s)", [cursor.connection.info.backend_pid])
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "PORT", 1)
        looking.round(timezone.now())
        looking.round(timezone.now())
        assert slack.titles == []  # a restart is nothing to be told of
        away.setattr(watch, "AWAY_TOLD_S", 0.0)
        slack.next.append(says(500))
        for _round in range(3):
            looking.round(timezone.now())
        assert slack.titles == ["🔴 The database is away"]
    assert done == [1]
    looking.round(timezone.now())
    looking.round(timezone.now())
    assert done == [1, 1, 1]
    assert slack.titles == ["🔴 The database is away", "🟢 Over: the database is back"]
    assert "127.0.0.1" not in str(slack.messages)
    said = [record.getMessage() for record in caplog.records if record.name == "atrium.watch"]
    assert len(said) == 3 and "cannot reach the database (OperationalError)" in said[0] and "HTTP 500" in said[1] and "is back" in said[2]


@pytest.mark.django_db(transaction=True)
def test_a_watch_that_is_killed_leaves_all_or_nothing_and_ends_at_once_when_asked(
    slack: FakeSlack, acme: Organisation, environment: dict[str, str], tmp_path: Path
) -> None:
    """Real processes. Killed before the commit, nothing has moved; killed after it, the next one tells what was to be told."""
    with connection.cursor() as cursor:
        partitions.ensure(cursor.connection)
    poison(acme)
    own = {**environment, "SLACK_WEBHOOK_URL": slack.address}

    def run(**more: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen([sys.executable, "manage.py", "watch"], cwd=ROOT, env={**own, **more}, stdout=log, stderr=log)

    assert run(FAULT="alarms.before_commit:kill").wait(60) == -signal.SIGKILL
    assert not Alarm.objects.exists() and not Post.objects.exists()
    assert run(FAULT="alarms.after_commit:kill").wait(60) == -signal.SIGKILL
    assert Alarm.objects.get(name="requests-set-aside").state == State.FIRING and slack.requests == 0
    whole = run()
    try:
        until(lambda: "🟠 Requests are set aside" in str(slack.titles) + str(slack.messages), within_s=60)
        whole.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert whole.wait(20) == 0 and time.monotonic() - asked < 5
    finally:
        whole.kill()
        whole.wait()
    assert Post.objects.filter(incident__alarm="requests-set-aside").count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_too_old_to_keep_goes_once_an_hour(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    now, beacon = timezone.now(), Beacon.objects.get(organisation=acme, key="b-brew")
    hour = int(now.timestamp()) // 3600
    old, new = now - timedelta(days=10), now - timedelta(hours=1)
    for at in (old, new):
        Reading.objects.create(name="stream-lag", at=at, value=1)
        Refusal.objects.create(organisation=acme, minute=at, reason="inbox_full", requests=1)
        BeaconHeard.objects.create(beacon=beacon, hour=hour - int((now - at).total_seconds()) // 3600, at=at)
        Heartbeat.objects.create(process=f"worker@{at:%H%d}", host="h", at=at)
    looking = watch.Watch(lambda: False)
    looking.forget(now)
    for model in (Reading, Refusal, BeaconHeard, Heartbeat):
        assert model.objects.count() == 1, model
    Reading.objects.create(name="stream-lag", at=old, value=1)
    looking.forget(now + timedelta(minutes=59))
    assert Reading.objects.count() == 2
    looking.forget(now + timedelta(hours=1))
    assert Reading.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_stream_notes_which_beacons_are_heard(acme: Organisation) -> None:
    now, beacon = timezone.now(), Beacon.objects.get(organisation=acme, key="b-brew")
    with connection.cursor() as cursor:
        partitions.ensure(cursor.connection)
    at_us = int(now.timestamp() * 1_000_000)
    records = inbox.sighting(event_id=bytes(15) + b"1", at_us=at_us, address=bytes(beacon.address), rssi=-60)
    records += inbox.sighting(event_id=bytes(15) + b"2", at_us=at_us, address=inbox.mac_address(bytes(6)), rssi=-60)
    row = inbox.Row(device="d", platform="", app_version="", shopper=None, skew_us=0, records=records, extras=[], rejected=[])
    Inbox.objects.create(organisation=acme, shard=inbox.shard_of(acme.pk, "d", "d"), received_at=now, events=2, payload=inbox.pack(row))
    worker = loop.Worker()
    try:
        until(worker.step, within_s=10)
        worker.atlas.heard.write(worker.connection)
    finally:
        worker.connection.close()
    heard = BeaconHeard.objects.get()
    assert (heard.beacon, int(heard.at.timestamp() * 1000)) == (beacon, at_us // 1000)


@pytest.mark.django_db(transaction=True)
def test_a_calm_round_of_all_alarms_takes_a_bounded_number_of_queries(acme: Organisation, rival: Organisation, django_assert_max_num_queries: Any) -> None:
    evaluation.evaluate(timezone.now())
    with django_assert_max_num_queries(6 * len(DECLARED) + 20):
        evaluation.evaluate(timezone.now() + timedelta(minutes=2))
