"""What Prometheus is told and who may ask; the lines that requests leave in the log; and that none of it knows a person."""

import json
import logging
import re
import subprocess
import sys
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from engagement import heartbeats, logs
from engagement.metrics import shelf
from engagement.models import Inbox, Organisation, SetAside
from notifications import links
from operations import metrics
from operations.models import Action, Alarm
from tests.engagement.test_metrics import check_object
from tests.servers import ROOT, WHOLE, Server, running_door, until

TOKEN = "a-token-for-the-tests-alone"


@pytest.fixture(autouse=True)
def read_anew() -> None:
    metrics._last.forget()


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.METRICS_FOLDER = tmp_path / "metrics"
    settings.METRICS, settings.METRICS_TOKEN = "prometheus", TOKEN
    return tmp_path


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in text_string_to_metric_families(text) for one in family.samples}


# --- Who may ask ----------------------------------------------------------------------------------------------------------

NEAR: list[dict[str, str]] = [
    {"REMOTE_ADDR": "127.0.0.1"},
    {"REMOTE_ADDR": "::1"},
    {"REMOTE_ADDR": "10.0.3.7", "HTTP_HOST": "10.0.1.2:8000"},
    {"REMOTE_ADDR": "::ffff:192.168.1.9", "HTTP_HOST": "[fd00::1]:8000"},
    {"REMOTE_ADDR": "8.8.8.8", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"},
    {"REMOTE_ADDR": "10.0.3.7", "HTTP_X_FORWARDED_FOR": "8.8.8.8", "HTTP_AUTHORIZATION": f"bearer {TOKEN}", "HTTP_HOST": "atrium.example"},
]
FAR: list[dict[str, str]] = [
    {"REMOTE_ADDR": "8.8.8.8"},
    {"REMOTE_ADDR": ""},
    {"REMOTE_ADDR": "not an address"},
    {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "8.8.8.8"},
    {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": ""},
    {"REMOTE_ADDR": "10.0.0.9", "HTTP_FORWARDED": "for=8.8.8.8"},
    {"REMOTE_ADDR": "10.0.0.9", "HTTP_X_REAL_IP": "10.0.0.8"},
    {"REMOTE_ADDR": "10.0.0.9", "HTTP_X_AMZN_TRACE_ID": "Root=1-67891233-abcdef012345678912345678"},
    {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "evil.example"},
    {"REMOTE_ADDR": "8.8.8.8", "HTTP_AUTHORIZATION": "Bearer "},
    {"REMOTE_ADDR": "8.8.8.8", "HTTP_AUTHORIZATION": f"Bearer {TOKEN[:-1]}"},
    {"REMOTE_ADDR": "8.8.8.8", "HTTP_AUTHORIZATION": f"Basic {TOKEN}"},
]


@pytest.mark.django_db
@pytest.mark.parametrize("who", NEAR)
def test_who_is_near_or_has_the_token_is_answered(folder: Path, who: dict[str, str]) -> None:
    answer = Client().get("/metrics", **who)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "no-store" in answer["Cache-Control"]
    assert samples(answer.text)["atrium_stream_lag_seconds", ()] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("who", FAR)
def test_for_everybody_else_there_is_nothing_there(folder: Path, who: dict[str, str]) -> None:
    asked, unknown = Client().get("/metrics", **who), Client().get("/nothing-here", **{**who, "HTTP_HOST": "localhost"})  # type: ignore[arg-type]
    assert (asked.status_code, asked.content) == (404, unknown.content)


@pytest.mark.django_db
def test_without_a_token_nobody_can_send_the_right_one(folder: Path, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    for given in ("Bearer", "Bearer ", "bearer  "):
        assert Client().get("/metrics", REMOTE_ADDR="8.8.8.8", HTTP_AUTHORIZATION=given).status_code == 404


@pytest.mark.django_db
def test_it_is_only_read_and_only_where_prometheus_is_meant(folder: Path, settings: Settings) -> None:
    assert Client().post("/metrics").status_code == 404
    for mode in ("emf", "off"):
        settings.METRICS = mode
        assert Client().get("/metrics").status_code == 404


@pytest.mark.django_db
def test_a_database_that_is_away_leaves_what_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:

    def away() -> None:
        raise OperationalError("it quotes an address: ann@acme.example")

    monkeypatch.setattr(metrics, "transaction", SimpleNamespace(atomic=away))
    shelf.Place(folder / "metrics", "web").write()
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    found = samples(answer.text)
    assert ("atrium_stream_batch_events_count", (("process", "web"),)) in found
    assert ("atrium_inbox_events", ()) not in found
    assert "OperationalError" in caplog.text and "ann@" not in caplog.text


# --- What stands in the database ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_how_things_stand_is_read(folder: Path, acme: Organisation) -> None:
    now = timezone.now()
    for minutes in (5, 1):
        Inbox.objects.create(organisation=acme, shard=1, received_at=now - timedelta(minutes=minutes), events=3, payload=b"")
    SetAside.objects.create(organisation=acme, shard=1, received_at=now, events=1, payload=b"", error="x")
    Alarm.objects.create(name="stream-behind", state="firing", since=now, evaluated_at=now)
    Action.objects.create(action="stuck-worker", seen="x", done="y", result="done")
    with connection.cursor() as cursor:
        heartbeats.beat(cursor.connection, "stream-0")
    found = {(one.name, one.values): one.value for one in metrics.gauges()}
    assert found["atrium_stream_lag_seconds", ()] == pytest.approx(300, abs=30)
    assert found["atrium_inbox_requests", ()] == 2
    assert found["atrium_inbox_events", ()] == 6
    assert found["atrium_set_aside_requests", ()] == 1
    assert found["atrium_alarms", ("firing",)] == 1
    assert found["atrium_alarms", ("pending",)] == 0
    assert found["atrium_actions_last_day", ("stuck-worker", "done")] == 1
    assert found["atrium_messages", ("planned",)] == 0
    assert found["atrium_processes", ("stream-0",)] == 1
    assert found["atrium_heartbeat_age_seconds", ("stream-0",)] < 60
    assert found["atrium_parked_items", ()] >= 1


@pytest.mark.django_db
def test_a_reading_holds_for_a_while_and_one_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    broken = ("atrium_broken", "X", (), "SELECT no_such_column")
    slow = ("atrium_slow", "X", (), "SELECT 1 FROM pg_sleep(1)")
    monkeypatch.setattr(metrics, "_STANDING", (broken, slow, *metrics._STANDING))
    monkeypatch.setattr(metrics, "LONGEST_S", "20ms")
    first = metrics.gauges()
    names = {one.name for one in first}
    assert "atrium_inbox_events" in names and not names & {"atrium_broken", "atrium_slow"}
    assert [record.getMessage().partition(" could")[0] for record in caplog.records][:2] == ["The metric atrium_broken", "The metric atrium_slow"]
    assert metrics.gauges() is first


# --- Requests -------------------------------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(logs.Json().format(record)) for record in caplog.records if record.name == "atrium.web"]


@pytest.mark.django_db
def test_a_request_leaves_one_line_with_its_route_and_never_its_path(caplog: pytest.LogCaptureFixture, acme: Organisation, alice: User) -> None:
    caplog.set_level(logging.INFO, logger="atrium.web")
    secret = links.sign(links.PREFERENCES, 12, 34)
    client = Client()
    client.force_login(alice)
    for path in (
        f"/m/p/{secret}",
        "/api/v1/shoppers/crm-42",
        "/api/v1/stays?shopper=crm-42&zone=nowhere",
        "/admin/figures/",
        "/nothing/crm-42",
        "/healthz/live",
    ):
        client.get(path)
    told = lines(caplog)
    routes = ["m/p/<path:token>", "api/v1/shoppers/<path:shopper>", "api/v1/stays", "admin/figures/", "(none)"]
    assert [line["route"] for line in told] == routes
    assert not re.search(f"crm-42|{secret}|nowhere", json.dumps(told))
    assert all(line["duration_ms"] > 0 and line["method"] == "GET" and line["status"] >= 200 for line in told)


@pytest.mark.django_db
def test_the_line_of_a_page_says_whose_it_was(settings: Settings, acme: Organisation, alice: User, acme_keys: dict[str, str]) -> None:
    seen: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(logs.Json().format(record))

    handler = Keeper()
    logging.getLogger("atrium.web").addHandler(handler)
    try:
        client = Client()
        client.force_login(alice)
        client.get("/admin/figures/", headers={"X-Request-Id": "the-first"})
        Client().get("/api/v1/places", headers={"Authorization": f"Bearer {acme_keys['secret']}", "X-Request-Id": "the-second"})
        Client().get("/admin/login/", headers={"X-Request-Id": "the-third"})
    finally:
        logging.getLogger("atrium.web").removeHandler(handler)
    told = [json.loads(line) for line in seen]
    assert [(line["request_id"], line.get("organisation")) for line in told] == [("the-first", "acme"), ("the-second", "acme"), ("the-third", None)]


@pytest.mark.django_db
def test_every_answer_has_its_number(acme: Organisation) -> None:
    for path in ("/admin/login/", "/api/v1/stays", "/nothing", "/healthz/live", "/static/engagement/atrium.css"):
        for given, kept in (("mine-1234", True), ("not\tsane", False)):
            answer = Client().get(path, headers={"X-Request-Id": given})
            answer.close()
            assert answer["X-Request-Id"] and (answer["X-Request-Id"] == given) == kept
    Client().get("/admin/login/")
    assert logs.request_id.get() == ""


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/schema"])
def test_a_request_that_fails_says_a_number_under_which_the_log_tells_why(path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("nobody may read ann@acme.example")

    monkeypatch.setattr("django.utils.cache.patch_vary_headers", fail)
    monkeypatch.setattr("django.middleware.locale.LocaleMiddleware.process_request", fail)
    answer = Client(raise_request_exception=False).get(path, headers={"X-Request-Id": "say-this-1"})
    assert answer.status_code == 500
    assert "say-this-1" in answer.text and "ann@" not in answer.text
    if path.startswith("/api/"):
        assert answer["Content-Type"] == "application/problem+json" and answer.json()["code"] == "failed"
    [failed] = [record for record in caplog.records if record.name == "django.request"]
    told = logs.Json().format(failed)
    assert "ValueError" in told and "ann@" not in told


# --- Real processes: what no log and no metric may know -------------------------------------------------------------------

PRIVATE = {
    "position": "-26.107612",
    "position too": "28.056734",
    "shopper": "crm-very-own-shopper",
    "device": "install-very-own-device",
    "address": "ann.secret@acme.example",
    "property": "coupon-very-own",
}


def body(**more: Any) -> dict[str, Any]:
    at = timezone.now().isoformat()
    fix = {"id": "00000000-0000-0000-0000-000000000001", "type": "fix", "at": at, "lat": -26.107612, "lon": 28.056734, "accuracy": 8.0}
    custom = {"id": "00000000-0000-0000-0000-000000000002", "type": "custom", "at": at, "name": "x", "properties": {"coupon": PRIVATE["property"]}}
    return {
        "device": {"id": PRIVATE["device"]},
        "shopper": {"id": PRIVATE["shopper"]},
        "events": [fix, custom, {"id": "00000000-0000-0000-0000-000000000003", "type": "fix", "at": at}],
        **more,
    }


@pytest.mark.django_db(transaction=True)
def test_no_log_and_no_metric_of_real_processes_knows_a_person(
    environment: dict[str, str], acme: Organisation, acme_keys: dict[str, str], tmp_path: Path
) -> None:
    chosen = {**environment, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG", "METRICS_TOKEN": TOKEN}
    log = tmp_path / "web.log"
    with running_door(chosen, log, application=WHOLE) as server, (tmp_path / "stream.log").open("wb") as out:
        stream = subprocess.Popen([sys.executable, "manage.py", "stream"], cwd=ROOT, env=chosen, stdout=out, stderr=subprocess.STDOUT)
        try:
            signed = talk(server, acme_keys)
            until(lambda: not Inbox.objects.exists(), within_s=30)
            found: dict[Any, float] = until(lambda: told_of_the_stream(server), within_s=30)
            text = server.request("GET", "/metrics").body.decode()
        finally:
            stream.terminate()
            stream.wait(30)
    assert found["atrium_accepted_requests_total", (("process", "web"),)] == 1
    assert found["atrium_accepted_events_total", (("process", "web"),)] == 2
    assert found["atrium_rejected_events_total", (("process", "web"), ("reason", "missing_field"))] == 1
    assert found["atrium_refused_requests_total", (("code", "unknown_key"), ("process", "web"))] == 1
    assert found["atrium_outcomes_total", (("outcome", "accepted"), ("process", "stream-0"))] == 2
    stages = {dict(labels)["stage"] for name, labels in found if name == "atrium_stream_stage_seconds_count"}
    assert stages == {"claim", "identify", "store", "place", "fold", "write", "commit"}
    written = log.read_text() + (tmp_path / "stream.log").read_text()
    for what, private in {**PRIVATE, **acme_keys, "signed": signed}.items():
        assert private not in text, what
        assert private not in written, what
    whole = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert {line["process"] for line in whole} <= {"web", "stream-0"}
    asked = [line for line in whole if line["logger"] == "atrium.web" and line.get("request_id") == "asked-by-us"]
    assert [line["route"] for line in asked] == ["api/v1/shoppers", "m/p/<path:token>"]
    assert asked[0]["organisation"] == "acme"


def talk(server: Server, keys: dict[str, str]) -> str:
    """Whatever people and their phones say that is theirs. Returns an address of theirs."""
    ours = {"x-request-id": "asked-by-us"}
    answer = server.post(keys["publishable"], body(), **ours)
    assert (answer.status, answer.json["accepted"], answer.headers["x-request-id"]) == (202, 2, "asked-by-us")
    assert server.post("atr_pub_unknown", body()).status == 401
    profile = {"shoppers": [{"id": PRIVATE["shopper"], "email": PRIVATE["address"]}]}
    secret = {"authorization": f"Bearer {keys['secret']}", "content-type": "application/json", "idempotency-key": "once", **ours}
    assert server.request("POST", "/api/v1/shoppers", json.dumps(profile).encode(), secret).status == 200
    signed = links.sign(links.PREFERENCES, 1, 987_654_321)
    server.request("GET", f"/m/p/{signed}", headers=ours)
    return signed


def told_of_the_stream(server: Server) -> dict[Any, float] | None:
    """Once the stream has laid down what it counted, as Prometheus reads it; and nobody behind a proxy is told."""
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/metrics", headers={"X-Forwarded-For": "8.8.8.8"})
    assert connection.getresponse().status == 404
    connection.close()
    answer = server.request("GET", "/metrics", headers={"host": "10.0.0.5:8000"})
    assert answer.status == 200, answer.body
    found = samples(answer.body.decode())
    return found if ("atrium_outcomes_total", (("outcome", "accepted"), ("process", "stream-0"))) in found else None


@pytest.mark.django_db(transaction=True)
def test_a_door_that_fails_says_a_number_and_tells_cloudwatch_at_its_end(environment: dict[str, str], acme_keys: dict[str, str], tmp_path: Path) -> None:
    once, log = tmp_path / "once", tmp_path / "door.log"
    once.touch()
    broken = {"METRICS": "emf", "LOG_FORMAT": "json", "FAULT": "door.decoded:raise", "FAULT_ONCE": str(once)}
    with running_door(environment, log, **broken) as server:
        failed = server.post(acme_keys["publishable"], body(), **{"x-request-id": "say-this-2"})
        assert (failed.status, failed.json["code"]) == (503, "unavailable")
        assert "say-this-2" in failed.json["detail"]
        assert server.post(acme_keys["publishable"], body()).status == 202
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    [why] = [json.loads(line) for line in lines if "say-this-2" in line]
    assert why["level"] == "error" and "InjectedFault" in why["message"]
    told = [check_object(line) for line in lines if line.startswith('{"_aws"')]
    assert sum(line.get("atrium_accepted_events_total", 0) for line in told) == 2
    assert sum(line.get("atrium_refused_requests_total", 0) for line in told) == 1
