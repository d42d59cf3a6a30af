"""Processes that end are known by their silence, and those that come back by their word."""

import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from engagement import celery, heartbeats, tasks, ticking
from engagement.models import Heartbeat
from operations import evaluation, telling
from operations.alarms import DECLARED
from operations.models import Alarm, State
from tests.faults.processes import Process
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack
from tests.servers import until

SILENT = {"web": "web-silent", "worker": "worker-silent", "sender": "sender-silent", "scheduler": "scheduler-silent", "figures": "figures-silent"}


@pytest.mark.parametrize("process", SILENT)
def test_a_process_that_says_nothing_any_more_fires_until_it_does(calm: None, slack: FakeSlack, scheduler: Scheduler, process: str) -> None:
    title, mark = DECLARED[SILENT[process]].title, "🔴" if process == "web" else "🟠"
    Heartbeat.objects.filter(process=f"{process}@here").update(at=scheduler.now)
    scheduler.run(minutes=8)
    assert slack.titles == [f"{mark} {title}"]
    with connection.cursor() as cursor:
        heartbeats.beat(cursor.connection, process)  # on another machine: it is the kind that matters
    scheduler.run(minutes=3)
    assert slack.titles == [f"{mark} {title}", f"🟢 Over: {title}"]
    assert {alarm for alarm, _kind, _how in told()} == {SILENT[process]}


def test_a_process_that_never_ran_fires_and_a_mark_without_a_machine_is_no_process(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    Heartbeat.objects.filter(process="sender@here").delete()
    Heartbeat.objects.create(process="sender", at=timezone.now())
    scheduler.run(minutes=2)
    assert slack.titles == ["🟠 The sender takes no tasks"]
    assert "as long as it exists" in slack.messages[0]["text"]


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_is_killed_is_told_of_and_its_return_too(
    slack: FakeSlack, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real time, with a real process: so the limits are shorter, and all else is as it is."""
    quick = replace(DECLARED["stream-silent"], above=8, lasting=timedelta(seconds=0.5), calm=timedelta(seconds=1))
    monkeypatch.setattr(evaluation, "ALARMS", (quick,))
    stream = Process([sys.executable, "manage.py", "stream"], environment, tmp_path / "log")

    def state() -> str:
        now = timezone.now()
        evaluation.evaluate(now)
        telling.tell_waiting(now)
        return Alarm.objects.get().state

    stream.start()
    try:
        until(lambda: Heartbeat.objects.filter(process=f"stream-0@{heartbeats.HOST}").exists(), within_s=30)
        assert state() == State.OK
        stream.kill()
        until(lambda: state() == State.FIRING, within_s=20, every_s=0.2)
        assert slack.titles == ["🔴 The stream is silent"]
        stream.start()
        until(lambda: state() == State.RESOLVED, within_s=30, every_s=0.2)
    finally:
        stream.end()
    assert slack.titles == ["🔴 The stream is silent", "🟢 Over: The stream is silent"]


def test_whoever_takes_a_task_says_so_by_it(db: None) -> None:
    for entry in (one for one in celery.TIMETABLE.values() if one["task"] == "engagement.tasks.beat"):
        tasks.beat(*entry["args"])
    assert set(Heartbeat.objects.values_list("process", flat=True)) == {f"worker@{heartbeats.HOST}", f"sender@{heartbeats.HOST}"}
    queues = {entry["args"][0]: entry["options"].get("queue") for entry in celery.TIMETABLE.values() if entry["task"] == "engagement.tasks.beat"}
    assert queues == {"worker": None, "sender": "sending"}


@pytest.mark.django_db(transaction=True)
def test_the_scheduler_says_that_it_ticks_and_a_database_that_is_away_keeps_no_bell_from_ringing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    rung: list[str] = []
    app = celery.app
    scheduler = ticking.Scheduler(app, schedule_filename=str(tmp_path / "timetable"), lazy=False)
    scheduler.__dict__["producer"] = None  # no broker is asked
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer=None: rung.append(entry.name))
    began = timezone.now()
    try:
        monkeypatch.setattr(ticking, "BEAT_S", 0.0)
        with monkeypatch.context() as away:
            away.setattr(ticking.database, "connect", _away)
            until(lambda: scheduler.tick() is not None and len(rung) > 1, within_s=10, every_s=0.2)
        assert not Heartbeat.objects.exists()
        scheduler.tick()
        assert Heartbeat.objects.get(process=f"scheduler@{heartbeats.HOST}").at > began
        scheduler._connection.close()  # and is lost once more
        before = time.monotonic()
        scheduler.tick()
        assert time.monotonic() - before < 1
        scheduler.tick()
        assert Heartbeat.objects.get().at > began
    finally:
        scheduler.close()


def _away(**_: object) -> None:
    raise ticking.psycopg.OperationalError("away")
