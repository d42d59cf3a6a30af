"""Slack on bad days, as a local server plays them: nothing is lost, the order stays, and the address is shown nowhere."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django.utils import timezone
from django.views.debug import ExceptionReporter, get_exception_reporter_filter
from pytest_django.fixtures import Settings

from engagement import environment
from operations import blocks, slack, telling, ways
from operations.models import Alarm, Incident, Kind, Post
from tests.operations.fake_slack import (
    CHANNEL,
    SECRET,
    TOKEN,
    Behaviour,
    FakeSlack,
    babbles,
    cuts,
    cuts_in_the_answer,
    echoes_the_address,
    refuses,
    says,
    stalls,
)
from tests.servers import free_port

PARTS: Any = SECRET.split("/")


@pytest.fixture(autouse=True)
def nothing_says_the_address(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the loudest log level, and in every column of what is kept."""
    stores = "db" in request.fixturenames
    if stores:
        request.getfixturevalue("db")  # so that it ends after this
    caplog.set_level(logging.DEBUG)
    yield
    said = "\n".join(f"{record.getMessage()} {record.exc_text or ''} {record.args}" for record in caplog.get_records("call"))
    kept = str([*Post.objects.values(), *Incident.objects.values()]) if stores else ""
    assert not [part for part in PARTS if part in said + kept]


def waiting(number: int) -> list[Post]:
    """Messages nobody was told yet, the oldest first."""
    earlier = timezone.now() - timedelta(seconds=1)
    return [Post.objects.create(kind=Kind.DONE, notice=asdict(notice(f"Message {index}.")), not_before=earlier) for index in range(number)]


def notice(body: str) -> blocks.Notice:
    return blocks.Notice(mark="🔵", title="T", body=body, remedy="", footer="")


def numbers(server: FakeSlack) -> list[str]:
    return [message["blocks"][1]["text"]["text"] for message in server.messages]


DOWN: Any = {
    "500": says(500, "rollup_error"),
    "an error page with the address in it": echoes_the_address,
    "the webhook was withdrawn": says(404, "no_service"),
    "forbidden": says(403, "invalid_token"),
    "a redirection": says(302, Location="/elsewhere"),
    "a redirection that keeps the method": says(307, Location="/elsewhere"),
    "cut": cuts,
    "cut in the answer": cuts_in_the_answer,
    "no HTTP": babbles,
    "unknown letters": says(500, "x", Content_Type="text/plain; charset=klingon"),
}


@pytest.mark.parametrize("behaviour", DOWN.values(), ids=DOWN)
def test_slack_down_keeps_the_messages_and_sends_them_in_order_later(
    db: None, slack: FakeSlack, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    posts = waiting(3)
    now = timezone.now()
    for seconds in (0, 30, 90):
        slack.next.append(behaviour)
        assert telling.tell_waiting(now + timedelta(seconds=seconds)) == 0
    assert (slack.messages, slack.requests) == ([], 3)  # one try each time, of the first alone
    loud = [record.getMessage() for record in caplog.records if record.name == "atrium.alarm"]
    assert len(loud) == 2 and "The message is kept" in loud[0] and "Message 0." in loud[1]  # said once, and the trouble itself with it
    assert telling.tell_waiting(now + timedelta(seconds=180)) == 3
    assert numbers(slack) == ["Message 0.", "Message 1.", "Message 2."]
    assert set(Post.objects.values_list("delivery", "problem")) == {("sent", "")}
    assert list(Post.objects.order_by("pk").values_list("pk", "attempts")) == [(posts[0].pk, 4), (posts[1].pk, 1), (posts[2].pk, 1)]


def test_a_slow_slack_is_waited_for_no_longer_than_the_limit(db: None, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(1)
    monkeypatch.setattr("operations.slack.TIMEOUT_S", 0.4)
    slack.next.append(stalls(slack))
    assert telling.tell_waiting(timezone.now()) == 0
    slack.released.set()
    monkeypatch.undo()
    assert Post.objects.get().problem == "TimeoutError"
    assert telling.tell_waiting(timezone.now() + timedelta(seconds=30)) == 1


def test_a_slack_that_takes_messages_and_loses_every_answer_is_not_flooded(db: None, slack: FakeSlack) -> None:
    waiting(1)
    now = timezone.now()
    slack.next.extend([cuts] * 100)
    for half_minutes in range(60):
        assert telling.tell_waiting(now + timedelta(seconds=30 * half_minutes)) == 0
    assert slack.requests <= 8
    post = Post.objects.get()
    assert post.not_before - now < timedelta(minutes=41)  # and it is not forgotten


REFUSED_FOR_NOW = ("ratelimited", "invalid_auth", "channel_not_found", "not_in_channel", "is_archived", "internal_error", "fatal_error", "a_word_of_next_year")
BOT_DOWN: Any = {
    **{word: refuses(word) for word in REFUSED_FOR_NOW},
    "no JSON": says(200, "<html>"),
    "JSON of another kind": says(200, "[1]"),
    "neither yes nor no": says(200, '{"ok": "yes"}'),
    "500": says(500, '{"ok": true}'),
    "the token in it": says(502, TOKEN),
    "a redirection": says(302, Location="/elsewhere"),
    "cut": cuts,
    "cut in the answer": cuts_in_the_answer,
    "no HTTP": babbles,
}


@pytest.mark.parametrize("behaviour", BOT_DOWN.values(), ids=BOT_DOWN)
def test_a_bots_message_that_slack_does_not_take_now_is_kept_and_sent_in_order_later(db: None, bot: FakeSlack, behaviour: Behaviour) -> None:
    waiting(2)
    now = timezone.now()
    bot.next.append(behaviour)
    assert telling.tell_waiting(now) == 0
    assert telling.tell_waiting(now + timedelta(seconds=30)) == 2
    assert numbers(bot) == ["Message 0.", "Message 1."]


@pytest.mark.parametrize("word", sorted(slack.WRONG_MESSAGE_WORDS))
def test_a_bots_message_that_slack_will_never_take_goes_to_the_log_and_those_behind_it_go_on(
    db: None, bot: FakeSlack, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(2)
    bot.next.append(refuses(word))
    assert telling.tell_waiting(timezone.now()) == 2
    assert numbers(bot) == ["Message 1."] and any("Message 0." in record.getMessage() for record in caplog.records)
    assert list(Post.objects.order_by("pk").values_list("delivery", "problem")) == [("refused", word), ("sent", "")]


def test_retry_after_is_honoured_for_a_bot_too(db: None, bot: FakeSlack) -> None:
    waiting(1)
    now = timezone.now()
    bot.next.append(refuses("ratelimited", Retry_After="100"))
    assert telling.tell_waiting(now) == 0
    assert telling.tell_waiting(now + timedelta(seconds=90)) == 0 and bot.requests == 1
    assert telling.tell_waiting(now + timedelta(seconds=101)) == 1


def test_a_wrong_token_and_a_wrong_channel_wait_until_somebody_mends_them(db: None, bot: FakeSlack, settings: Settings) -> None:
    waiting(1)
    for setting, wrong, problem in (("SLACK_CHANNEL", "C0ELSEWHERE", "channel_not_found"), ("SLACK_BOT_TOKEN", f"{TOKEN}x", "invalid_auth")):
        right = getattr(settings, setting)
        setattr(settings, setting, wrong)
        assert telling.tell_waiting(timezone.now()) == 0
        assert Post.objects.get().problem == problem
        setattr(settings, setting, right)
    assert telling.tell_waiting(timezone.now()) == 1


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX: y", f"{TOKEN}\u20ac"])
def test_a_token_that_no_header_takes_is_not_quoted(bot: FakeSlack, token: str) -> None:
    with pytest.raises(slack.TryLater) as raised:
        slack.Bot(token, CHANNEL, bot.base).post(blocks.payload(notice("B.")))
    assert not [part for part in PARTS if part in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"]


def test_nobody_listening_is_slack_down(db: None, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/services/{SECRET}"
    waiting(1)
    assert telling.tell_waiting(timezone.now()) == 0
    assert Post.objects.get().problem == "ConnectionRefusedError"


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(db: None, slack: FakeSlack, form: str) -> None:
    waiting(2)
    now = timezone.now()
    asked = "100" if form == "seconds" else format_datetime(now + timedelta(seconds=100), usegmt=False)
    slack.next.append(says(429, "rate_limited", Retry_After=asked))
    assert telling.tell_waiting(now) == 0
    for seconds in (30, 60, 90):
        assert telling.tell_waiting(now + timedelta(seconds=seconds)) == 0
    assert slack.requests == 1  # not even tried
    assert telling.tell_waiting(now + timedelta(seconds=120)) == 2
    assert numbers(slack) == ["Message 0.", "Message 1."]


@pytest.mark.parametrize("asked", ["", "soon", "-5", "1e9", "٣", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00"])
def test_a_retry_after_that_says_nothing_means_the_next_time(db: None, slack: FakeSlack, asked: str) -> None:
    waiting(1)
    now = timezone.now()
    slack.next.append(says(429, "rate_limited", Retry_After=asked.encode().decode("latin-1")))
    assert telling.tell_waiting(now) == 0
    assert telling.tell_waiting(now + timedelta(seconds=30)) == 1


def test_an_absurd_retry_after_is_an_hour(db: None, slack: FakeSlack) -> None:
    waiting(1)
    now = timezone.now()
    slack.next.append(says(429, "rate_limited", Retry_After="9" * 30))
    assert telling.tell_waiting(now) == 0
    assert telling.tell_waiting(now + timedelta(minutes=61)) == 1


def test_a_message_that_slack_refuses_goes_to_the_log_and_those_behind_it_go_on(db: None, slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    waiting(2)
    slack.next.append(says(400, "invalid_blocks"))
    assert telling.tell_waiting(timezone.now()) == 2
    assert numbers(slack) == ["Message 1."]
    assert list(Post.objects.order_by("pk").values_list("delivery", "problem")) == [("refused", "HTTP 400 invalid_blocks"), ("sent", "")]
    assert any("Message 0." in record.getMessage() for record in caplog.records)


def test_what_gathered_comes_in_portions(db: None, slack: FakeSlack) -> None:
    waiting(12)
    now = timezone.now()
    assert [telling.tell_waiting(now + timedelta(seconds=30 * later)) for later in range(4)] == [5, 5, 2, 0]
    assert numbers(slack) == [f"Message {index}." for index in range(12)]


def test_a_message_whose_sender_died_is_sent_when_its_claim_has_run_out(db: None, slack: FakeSlack) -> None:
    waiting(2)
    now = timezone.now()
    assert telling._claim(None, ways.operators(), now) is not None  # and then nothing more is heard of it
    assert telling.tell_waiting(now + timedelta(minutes=2)) == 0  # nobody overtakes
    assert telling.tell_waiting(now + timedelta(minutes=4)) == 2
    assert numbers(slack) == ["Message 0.", "Message 1."]


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(db: None, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    waiting(1)
    assert telling.tell_waiting(timezone.now()) == 1


@pytest.mark.parametrize("address", [f"https://127.0.0.1:1/services/{SECRET} x", f"https://hooks..example/services/{SECRET}", f"https://[::1/{SECRET}"])
def test_an_address_that_no_library_takes_is_not_quoted(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(slack.TryLater) as raised:
        slack.post(address, blocks.payload(notice("B.")))
    assert not [part for part in PARTS if part in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"]


def test_a_page_of_an_error_hides_the_address(settings: Settings, slack: FakeSlack) -> None:
    settings.DEBUG = True
    settings.BROKER_URL = f"pgmq://user:{SECRET}@127.0.0.1/db"
    request = RequestFactory().get("/")
    settings.SLACK_BOT_TOKEN = TOKEN
    assert "SLACK_WEBHOOK_URL" in get_exception_reporter_filter(request).get_safe_settings()
    page = ExceptionReporter(request, ValueError, ValueError("x"), None).get_traceback_html()
    assert "SLACK_WEBHOOK_URL" in page and not [part for part in PARTS if part in page]


@pytest.mark.parametrize("address", [f"http://hooks.slack.com/services/{SECRET}", f"ftp://127.0.0.1/{SECRET}", SECRET, "https://"])
def test_the_setting_takes_https_or_this_machine_and_never_shows_what_it_saw(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", address)
    with pytest.raises(ImproperlyConfigured, match="SLACK_WEBHOOK_URL") as raised:
        environment.webhook("SLACK_WEBHOOK_URL")
    assert not [part for part in PARTS if part in str(raised.value)]


BAD_SETTINGS = {
    "SLACK_BOT_TOKEN": ("bot_token", {}, [f"xoxp-{SECRET}", f"{TOKEN} x", SECRET]),
    "SLACK_CHANNEL": ("channel", {"needed_by": "SLACK_BOT_TOKEN"}, ["", "operators", "#operators"]),
    "SLACK_API_URL": ("trial_address", {}, ["http://slack.com", f"https://127.0.0.1/{SECRET}", "http://"]),
    "ATRIUM_RUNBOOK_URL": ("page_address", {}, ["wiki", "https://", "javascript:alert(1)", "https://w.example/#a", "https://w.example/<!channel>"]),
    "OPERATORS_EMAIL": ("mail_addresses", {}, ["ann", "ann@example.com, secret@", "a@example.com\nBcc: b@example.com"]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, _, values) in BAD_SETTINGS.items() for value in values])
def test_wrong_settings_of_telling_are_refused_with_their_names_and_no_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    reader, more, _ = BAD_SETTINGS[name]
    with pytest.raises(ImproperlyConfigured, match=name) as raised:
        getattr(environment, reader)(name, **more)
    assert not [part for part in (*PARTS, "secret@", "ann@") if part in str(raised.value)]


def test_right_settings_of_telling_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TOKEN": TOKEN,
        "MAIL": "a@example.com, b@example.com",
        "PAGE": "https://wiki.example.com/RUNBOOK.md",
        "API": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    assert environment.bot_token("TOKEN") == TOKEN and environment.mail_addresses("MAIL") == ["a@example.com", "b@example.com"]
    assert environment.page_address("PAGE").endswith(".md") and environment.trial_address("API") == "http://127.0.0.1:1"
    assert environment.channel("NONE", needed_by="") == "" and environment.mail_addresses("NONE") == []


def test_no_page_of_the_admin_shows_the_address(db: None, slack: FakeSlack, admin_client: Client) -> None:
    now = timezone.now()
    Alarm.objects.create(name="stream-behind", since=now, evaluated_at=now)
    waiting(1)
    slack.next.append(echoes_the_address)
    telling.tell_waiting(now)
    for path in ("", "now", "alarm/", "alarm/stream-behind/change/", "alarmevent/", "post/", f"post/{Post.objects.get().pk}/change/"):
        page = admin_client.get(f"/admin/operations/{path}", follow=True)
        assert page.status_code == 200 and not [part for part in PARTS if part in page.content.decode()]
