"""What load balancers and supervisors are told: without a key, under any Host, and without secrets."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement import health, heartbeats
from engagement.models import Heartbeat
from tests.conftest import database_url

UNKNOWN_HOST = {"host": "10.0.3.17:8000"}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that answers: these tests are not about it."""
    monkeypatch.setitem(health.CHECKS, "broker", lambda: None)


def ready(expected: int) -> dict[str, Any]:
    response = Client(headers=UNKNOWN_HOST).get("/healthz/ready")
    assert response.status_code == expected, response.content
    checks: dict[str, Any] = response.json()["checks"]
    return checks


def test_alive_is_said_without_the_database_and_to_anybody() -> None:
    for headers in ({}, UNKNOWN_HOST, {"host": "evil example"}, {"authorization": "Bearer nonsense"}):
        response = Client(headers=headers).get("/healthz/live")
        assert (response.status_code, response.json()) == (200, {"status": "live"})
    assert "no-store" in response["Cache-Control"]


def test_only_these_two_addresses_answer_any_host(db: None) -> None:
    for path in ("/healthz/", "/healthz/live/", "/healthz/ready/../../admin/", "/api/v1/status", "/admin/"):
        assert Client(headers=UNKNOWN_HOST).get(path).status_code in {400, 401, 404}
    assert Client().post("/healthz/live").status_code == 405
    assert Client().head("/healthz/live").status_code == 200


def test_ready_needs_a_stream_that_works(db: None, broker: None) -> None:
    assert ready(503)["stream"] == "No stream process has started yet."
    Heartbeat.objects.create(process="beat", at=timezone.now())
    assert ready(503)["stream"] == "No stream process has started yet."
    Heartbeat.objects.create(process="stream 1", at=timezone.now() - timedelta(hours=2))
    assert ready(503)["stream"].startswith("No stream process has worked for 72")
    Heartbeat.objects.create(process="stream 2", at=timezone.now() - timedelta(seconds=5))
    assert ready(200) == {"database": "ok", "migrations": "ok", "stream": "ok", "broker": "ok"}


def test_ready_takes_a_fixed_number_of_queries(db: None, broker: None) -> None:
    Heartbeat.objects.create(process="stream", at=timezone.now())
    ready(200)
    with CaptureQueriesContext(connection) as queries:
        ready(200)
    assert len(queries) <= 4


def test_a_missing_migration_is_said_and_what_stands_on_it_is_not_asked(db: None) -> None:
    MigrationRecorder(connection).record_unapplied("engagement", "0001_initial")
    assert ready(503) == {"database": "ok", "migrations": "1 migrations are not applied yet."}


def test_a_database_that_is_away_is_said_without_its_address(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed: password of atrium is wrong")

    with monkeypatch.context() as patched:
        patched.setattr(health.connection, "cursor", away)
        patched.setattr(health.connection, "close", lambda: None)
        assert ready(503) == {"database": "The database does not answer."}


def test_a_broker_that_is_away_is_said_without_its_address(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "conninfo", lambda: "host=127.0.0.1 port=1 user=broker password=secret")
    asked = time.monotonic()
    assert ready(503)["broker"] == "The broker does not answer."
    assert time.monotonic() - asked < 5


@pytest.fixture
def raw(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url(), autocommit=True) as raw_connection:
        yield raw_connection


def test_a_process_beats_again_and_again_in_one_row(raw: psycopg.Connection[Any]) -> None:
    health.beat(raw, "stream 1")
    first = Heartbeat.objects.get().at
    health.beat(raw, "stream 1")
    assert Heartbeat.objects.get().at > first
    health.beat(raw, "stream 2")
    assert Heartbeat.objects.count() == 2


def test_a_beat_says_where_the_process_is_since_when_and_in_which_version(raw: psycopg.Connection[Any], settings: Settings) -> None:
    began = timezone.now()
    health.beat(raw, "stream-0")
    told = Heartbeat.objects.get()
    assert (told.process, told.host, told.pid, told.version) == (f"stream-0@{socket.gethostname()}", socket.gethostname(), os.getpid(), settings.VERSION)
    assert told.started_at < began and began - told.started_at < timedelta(days=1)


def test_machines_that_are_gone_are_forgotten_and_the_last_of_a_kind_is_not(raw: psycopg.Connection[Any]) -> None:
    now = timezone.now()
    ages = {"stream-0@gone": 30, "stream-11@here": 0, "worker@gone": 60, "worker@later": 30, "web@gone": 20, "web@here": 0}
    Heartbeat.objects.bulk_create(Heartbeat(process=name, host=name.partition("@")[2], at=now - timedelta(hours=hours)) for name, hours in ages.items())
    Heartbeat.objects.create(process="sender", at=now - timedelta(days=9))  # of no machine: a mark, not a process
    assert heartbeats.forget(raw) == 2
    assert set(Heartbeat.objects.values_list("process", flat=True)) == {"stream-11@here", "worker@later", "web@gone", "web@here", "sender"}


def test_the_embedded_broker_answers(transactional_db: None, environment: dict[str, str]) -> None:
    program = "import django; django.setup(); from engagement import health; health.broker(); print('it answers')"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.endswith("it answers\n"), ended.stderr
