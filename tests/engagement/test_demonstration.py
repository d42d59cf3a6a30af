"""The demonstration: told twice it goes on, its history and its present meet without a hole, and somebody is always about."""

import json
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from engagement import demonstration, feeder, tenancy
from engagement.demonstration import APP, HISTORY, Kept
from engagement.feeder import Feeder
from engagement.models import ApiKey, Membership, Venue, Zone
from engagement.sender import Tally
from engagement.simulation.traces import Trace

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def var(settings: Settings, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    return tmp_path


class Recorder:
    """Takes the place of the sender, and keeps what it was given, by key."""

    sent: dict[str, list[dict[str, Any]]] = {}

    def __init__(self, *, key: str, **_: Any) -> None:
        self.tally = Tally()
        self._bodies = self.sent.setdefault(key, [])

    def put(self, body: bytes, label: str = "") -> None:
        self._bodies.append(json.loads(body))

    def drain(self) -> None:
        pass

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[dict[str, Any]]]]:
    monkeypatch.setattr(feeder, "Sender", Recorder)
    monkeypatch.setattr(feeder.Backlog, "wait", lambda *_: None)
    monkeypatch.setattr(demonstration, "HISTORY_DAYS", 3)
    monkeypatch.setattr(feeder, "LIVE_PACE", 1.0)
    Recorder.sent = {}
    yield Recorder.sent


def ids(bodies: list[dict[str, Any]]) -> Counter[str]:
    return Counter(event["id"] for body in bodies for event in body["events"])


def instants(bodies: list[dict[str, Any]]) -> list[float]:
    return [datetime.fromisoformat(event["at"]).timestamp() for body in bodies for event in body["events"]]


def make() -> Feeder:
    return Feeder(host="127.0.0.1", port=1, stop=threading.Event(), say=lambda _: None)


@pytest.mark.parametrize("hour", range(24))
def test_at_every_hour_there_is_a_city_in_which_the_shops_are_busy(hour: int) -> None:
    now = NOON.replace(hour=hour)
    assert 10 <= now.astimezone(ZoneInfo(demonstration.city_of(now).time_zone)).hour < 20


@pytest.mark.django_db
def test_the_mall_is_provisioned_with_a_login_and_keys_and_told_again_nothing_changes(var: Path) -> None:
    first = demonstration.prepare(NOON)
    assert Zone.objects.filter(kind="store").count() == 40
    user = User.objects.get(username="demo")
    assert user.check_password(first.password)
    assert Membership.objects.get(user=user).role == "owner"
    assert stat.S_IMODE((var / "demo.json").stat().st_mode) == 0o600
    rows = set(ApiKey.objects.values_list("pk", "digest"))
    again = demonstration.prepare(NOON + timedelta(days=3))
    assert (again.password, again.first_day, again.keys) == (first.password, first.first_day, first.keys)
    assert set(ApiKey.objects.values_list("pk", "digest")) == rows


@pytest.mark.django_db
def test_the_mall_stays_in_its_city_when_it_is_told_again_by_night() -> None:
    demonstration.prepare(NOON)
    demonstration.prepare(NOON + timedelta(hours=12))
    assert Venue.objects.get().time_zone == "Africa/Johannesburg"


@pytest.mark.django_db
def test_a_lost_file_costs_a_new_password_and_new_keys_and_nothing_else(var: Path) -> None:
    demonstration.prepare(NOON)
    (var / "demo.json").unlink()
    kept = demonstration.prepare(NOON)
    assert User.objects.get(username="demo").check_password(kept.password)
    assert all(tenancy.find_key(token) for token in kept.keys.values())
    assert ApiKey.objects.count() == len(kept.keys) == 3


@pytest.mark.django_db
def test_a_file_that_speaks_of_another_database_is_not_believed() -> None:
    demonstration.save(Kept(password="kept-password", first_day=NOON.date(), live_from=NOON.date(), keys={APP: "gone"}, sent={"2026-11-19": 9e9}))
    kept = demonstration.prepare(NOON)
    assert kept.password == "kept-password"
    assert kept.sent == {}
    assert kept.first_day == NOON.date() - timedelta(days=demonstration.HISTORY_DAYS)
    assert tenancy.find_key(kept.keys[APP])


@pytest.mark.django_db
def test_history_sends_every_day_up_to_now_today_and_yesterday_first(recorded: dict[str, list[dict[str, Any]]]) -> None:
    kept = demonstration.prepare(NOON)
    feeding = make()
    feeding.send_history(NOON.timestamp())
    sent = recorded[kept.keys[HISTORY]]
    wanted = {
        text
        for day in feeding._days(NOON.date())
        for trace in feeding.traces(day)
        for at, text in zip(trace.times, trace.texts, strict=True)
        if at <= NOON.timestamp()
    }
    assert set(ids(sent)) == {json.loads(text)["id"] for text in wanted}
    days = [datetime.fromtimestamp(min(instants([body])), ZoneInfo("Africa/Johannesburg")).date() for body in sent]
    order = list(dict.fromkeys(days))
    assert order[:2] == [NOON.date(), NOON.date() - timedelta(days=1)]
    assert demonstration.load().sent.keys() == {str(kept.first_day + timedelta(days=number)) for number in range(4)}
    assert all("sent_at" not in body for body in sent)


@pytest.mark.django_db
def test_told_again_history_sends_only_what_is_missing(recorded: dict[str, list[dict[str, Any]]]) -> None:
    kept = demonstration.prepare(NOON)
    make().send_history(NOON.timestamp())
    recorded[kept.keys[HISTORY]].clear()
    make().send_history(NOON.timestamp() + 3600)
    sent = instants(recorded[kept.keys[HISTORY]])
    assert min(sent) > NOON.timestamp() - feeder.OVERLAP_S
    assert NOON.timestamp() + 3000 < max(sent) <= NOON.timestamp() + 3600


@pytest.mark.django_db
def test_the_present_begins_where_history_ends(recorded: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = demonstration.prepare(NOON)
    feeding, began = make(), NOON.timestamp()
    clock = iter([began + second for second in range(0, 40_000, 20)])
    monkeypatch.setattr(feeder.time, "time", lambda: next(clock, None) or feeding.stop.set() or began + 40_000)
    monkeypatch.setattr(feeding.stop, "wait", lambda _: None)
    feeding.send_present(began)
    sent = recorded[kept.keys[APP]]
    assert {"sent_at", "device"} <= sent[0].keys()
    assert began < min(instants(sent)) < began + 60
    until = began + 30_000  # a parcel may be late at the end
    wanted = {json.loads(text)["id"] for trace in feeding.traces(NOON.date()) for at, text in zip(trace.times, trace.texts, strict=True) if began < at <= until}
    assert wanted <= set(ids(sent))


def test_a_trace_is_cut_after_one_instant_and_up_to_another() -> None:
    trace = Trace(None, "d", "ios", None, [1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"])
    assert feeder.between(trace, 1.0, 3.0).texts == ["b", "c"]
