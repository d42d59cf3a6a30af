"""Tests of the tests of telling: each small lie put into it is found out by a check that the truth passes."""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import HTTPErrorProcessor

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement.models import Organisation
from operations import blocks, composing, news, telling, ways
from operations import slack as api
from operations.models import Incident, Post
from tests.operations.fake_slack import FakeSlack, fault, says
from tests.operations.line import changes, fires, fires_again, is_over
from tests.operations.test_news import NOW, OF_ACME, OF_THE_RIVAL, channel, finished_run

Check = Callable[[Any, FakeSlack, pytest.FixtureRequest], None]


def mutant_of(module: ModuleType, truth: str, lie: str) -> ModuleType:
    """The module with one expression replaced."""
    source = Path(str(module.__file__)).read_text()
    assert source.count(truth) == 1, f"The mutant has lost its place: {truth!r} is {source.count(truth)} times in {module.__name__}."
    changed = ModuleType(f"mutant_of_{module.__name__.rpartition('.')[2]}")
    sys.modules[changed.__name__] = changed  # dataclasses look their module up
    try:
        exec(compile(source.replace(truth, lie), changed.__name__, "exec"), changed.__dict__)
    finally:
        del sys.modules[changed.__name__]
    return changed


# --- Checks: each is of the module that it is given, sound or not -------------------------------------------------------------


def claimed_once(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    fires("first")
    assert told._claim(None, ways.operators(), timezone.now()) is not None
    assert told.tell_waiting(timezone.now()) == 0


def in_order(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    fires("first")
    fires("second")
    told.tell_waiting(timezone.now())
    assert server.titles == ["🔴 first title", "🔴 second title"]


def none_overtakes(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    fires("first")
    fires("second")
    server.next.append(says(429, "rate_limited", Retry_After="100"))
    told.tell_waiting(timezone.now())
    told.tell_waiting(timezone.now())
    assert server.messages == []


def three_as_one(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    for name in ("first", "second", "third"):
        fires(name)
    told.tell_waiting(timezone.now())
    assert len(server.messages) == 1


def two_as_two(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    in_order(told, server, request)


def a_change_is_no_message(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    incident = fires("first")
    told.tell_waiting(timezone.now())
    changes(incident, "bob is at it.")
    told.tell_waiting(timezone.now())
    assert server.titles == ["🔴 first title"]


def an_end_is_one(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    now = timezone.now()
    incident = fires("first", at=now)
    told.tell_waiting(now)
    is_over(incident, at=now)
    told.tell_waiting(now)
    fires_again(incident, at=now)
    told.tell_waiting(now)
    is_over(incident, at=now)
    told.tell_waiting(now)
    assert server.titles == ["🔴 first title", "🟢 Over: first title", "🔴 first title"]
    told.tell_waiting(now + timedelta(minutes=31))
    assert len(server.titles) == 4


def an_end_that_was_none_is_not_told(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    incident = fires("first")
    told.tell_waiting(timezone.now())
    is_over(incident)
    Incident.objects.update(over_at=None)
    told.tell_waiting(timezone.now())
    assert server.titles == ["🔴 first title"]


def own_line(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("settings").SLACK_API_URL = server.base
    acme, rival = request.getfixturevalue("acme"), request.getfixturevalue("rival")
    channel(acme, server.base, weekly=False)
    channel(rival, server.base, OF_THE_RIVAL, weekly=False)
    finished_run(acme, {"delivered": 10}, name="Acme's")
    finished_run(rival, {"delivered": 10}, name="Rival's")
    news.look(NOW)
    told.tell_waiting(NOW)
    assert sorted(zip(server.hooks, server.titles, strict=True)) == [
        (OF_ACME, "📣 Campaign finished: Acme's"),
        (OF_THE_RIVAL, "📣 Campaign finished: Rival's"),
    ]


def mailed_once(told: Any, server: FakeSlack, request: pytest.FixtureRequest) -> None:
    settings: Settings = request.getfixturevalue("settings")
    outbox: list[EmailMessage] = request.getfixturevalue("mailoutbox")
    settings.OPERATORS_EMAIL = ["ops@example.com"]
    now = timezone.now()
    fires("first", at=now - timedelta(minutes=6))
    server.next.extend([says(500)] * 9)
    for minute in range(3):
        told.tell_waiting(now + timedelta(minutes=minute))
    assert len(outbox) == 1 and Post.objects.get().delivery == "waiting"


TELLING: dict[str, tuple[str, str, Check]] = {
    "a claim holds nobody back": ("free.update(not_before=now + CLAIM, attempts", "free.update(attempts", claimed_once),
    "the youngest first": ('select_related("incident").order_by("pk")\n\n\ndef _claim', 'select_related("incident").order_by("-pk")\n\n\ndef _claim', in_order),
    "who waits is overtaken": ("delivery=Delivery.WAITING).exclude(held)", "delivery=Delivery.WAITING, not_before__lte=now).exclude(held)", none_overtakes),
    "each alarm its message": ("len(fired) < GROUPED", "True", three_as_one),
    "two are many": ("len(fired) < GROUPED", "len(fired) < 2", two_as_two),
    "changes are told": ("{} if (way.edits and incident.thread) or _is_thought_over(incident) else not_needed", "{}", a_change_is_no_message),
    "nobody hears that it goes on": (" or _is_thought_over(incident)", "", an_end_is_one),
    "each end is told": ("incident.firings > 1 and", "incident.firings > 99 and", an_end_is_one),
    "an end is told of what goes on": ("if incident.over_at is None or Post", "if Post", an_end_that_was_none_is_not_told),
    "a line is everybody's": (
        "objects.filter(organisation=organisation, delivery=Delivery.WAITING).exclude",
        "objects.filter(delivery=Delivery.WAITING).exclude",
        own_line,
    ),
    "mailed each time": ("update(mailed_at=now)]", "exists()]", mailed_once),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_lie_about_telling_is_found_out(db: None, slack: FakeSlack, request: pytest.FixtureRequest, name: str) -> None:
    truth, lie, check = TELLING[name]
    with pytest.raises((AssertionError, TypeError)):
        check(mutant_of(telling, truth, lie), slack, request)


@pytest.mark.parametrize("check", list(dict.fromkeys(check for _, _, check in TELLING.values())), ids=lambda check: check.__name__)
def test_the_truth_about_telling_passes(db: None, slack: FakeSlack, request: pytest.FixtureRequest, check: Check) -> None:
    check(telling, slack, request)


# --- Slack and its limits -----------------------------------------------------------------------------------------------------


def harmless(made: Any) -> None:
    notice = made.Notice(mark="🔴", title="T", body="<!channel> & co", remedy="", footer="", links=(("x", "javascript:alert(1)"),), lines=("&" * 400,) * 60)
    payload = made.payload(notice)
    assert "<!channel>" not in json.dumps(payload) and fault(json.dumps(payload).encode()) is None
    long = made.payload(made.Notice(mark="🔴", title="&" * 200, body="B", remedy="", footer=""))
    assert fault(json.dumps(long).encode()) is None


@pytest.mark.parametrize(
    ("truth", "lie"),
    [
        ("_ESCAPES.get(shown, shown)", "shown"),
        ("if length > limit:", "if False:"),
        ("if length > LINES_LIMIT:", "if False:"),
        ("bool(_ADDRESS.fullmatch(address))", "True"),
    ],
)
def test_a_lie_about_limits_is_found_out(truth: str, lie: str) -> None:
    harmless(blocks)
    with pytest.raises(AssertionError):
        harmless(mutant_of(blocks, truth, lie))


ANSWERS: dict[str, tuple[Any, str, Any, tuple[int, int]]] = {
    "follows redirections": (says(302, Location="/elsewhere"), "_AsAnswered", HTTPErrorProcessor, (0, 2)),
    "takes every refusal for a moment's": (says(400, "invalid_blocks"), "WRONG_MESSAGE", frozenset(), (2, 0)),
    "asks again at once": (says(429, "rate_limited", Retry_After="100"), "_asked_wait", lambda _headers: timedelta(0), (0, 2)),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("sound", [True, False])
def test_a_lie_about_answers_is_found_out(db: None, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, name: str, sound: bool) -> None:
    behaviour, guard, lie, counts = ANSWERS[name]
    if not sound:
        monkeypatch.setattr(api, guard, lie)
    fires("first")
    fires("second")
    slack.next.append(behaviour)
    first = telling.tell_waiting(timezone.now())
    told = telling.tell_waiting(timezone.now()) if name == "asks again at once" else first
    assert told == counts[0 if sound else 1]


def few_are_hidden(module: Any, acme: Organisation) -> None:
    run = finished_run(acme, {"delivered": 30, "bounced": 1})
    assert list(module.finished(run).lines) == ["delivered: hidden", "bounced: <10"]


def test_a_lie_about_few_people_is_found_out(db: None, acme: Organisation, rival: Organisation) -> None:
    few_are_hidden(news, acme)
    with pytest.raises(AssertionError):
        few_are_hidden(mutant_of(news, "small_cells.hide(RULE, [], row, [], {})", "([], row)"), rival)


def test_a_lie_about_the_button_of_silence_is_found_out(db: None) -> None:
    post = is_over(fires("first"))
    assert len(composing.notice(post).links) == 2
    assert len(mutant_of(composing, "silence=post.kind != Kind.OVER", "silence=True").notice(post).links) == 3


@pytest.mark.parametrize("lie", [("own and ", ""), ("_WEBHOOK_PATH.fullmatch(parts.path) is not None", "True"), (" and not parts.query", "")])
def test_a_lie_about_addresses_is_found_out(lie: tuple[str, str]) -> None:
    evil = ["https://evil.example/services/T0/B0/x", "https://hooks.slack.com/x", "https://hooks.slack.com/services/T0/B0/x?y"]
    assert not any(api.is_webhook(address) for address in evil)
    assert any(mutant_of(api, *lie).is_webhook(address) for address in evil)
