"""How a line is told: many alarms as one message, one trouble in one thread, no line behind another, and by mail where Slack is away."""

import signal
import subprocess
import sys
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.core.mail import EmailMessage
from django.urls import resolve
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement.models import Organisation
from operations import composing, evaluation, telling, ways
from operations.alarms import DECLARED
from operations.models import Incident, Kind, Post
from tests.operations import fake_slack
from tests.operations.conftest import Scheduler
from tests.operations.fake_slack import FakeSlack, says, texts_of
from tests.operations.line import changes, fires, fires_again, is_over, left
from tests.operations.test_evaluation import flaps
from tests.servers import ROOT

DOWN = says(500, "rollup_error")


def later(now: datetime, **span: float) -> datetime:
    return now + timedelta(**span)


# --- Many as one ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["slack", "bot"])
def test_three_alarms_that_fire_at_once_are_one_message_with_a_line_each(db: None, request: pytest.FixtureRequest, way: str) -> None:
    server: FakeSlack = request.getfixturevalue(way)
    for name in ("first", "second", "third"):
        fires(name)
    assert telling.tell_waiting(timezone.now()) == 1
    [message] = server.messages
    assert server.titles == ["🔴 3 alarms fire at once"]
    assert message["blocks"][1]["text"]["text"].splitlines() == [f"🔴 {name} title: {name} is wrong." for name in ("first", "second", "third")]
    assert {delivery for _, _, delivery in left()} == {"sent"}


def test_two_alarms_are_two_messages_in_their_order(db: None, slack: FakeSlack) -> None:
    fires("first")
    fires("second")
    assert telling.tell_waiting(timezone.now()) == 2
    assert slack.titles == ["🔴 first title", "🔴 second title"]


@pytest.mark.parametrize("way", ["slack", "bot"])
def test_a_hundred_alarms_are_told_within_slacks_limits_and_how_many_are_left_out_is_said(db: None, request: pytest.FixtureRequest, way: str) -> None:
    server: FakeSlack = request.getfixturevalue(way)
    for number in range(telling.LOOK_AHEAD):
        fires(f"alarm-{number}", body="<!channel> & so on " * 30)
    telling.tell_waiting(timezone.now())
    [message] = server.messages
    assert any(text.startswith("+ ") for text in texts_of(message)) and "<" not in "".join(texts_of(message))


def test_alarms_that_are_over_at_once_are_one_message_too(db: None, slack: FakeSlack) -> None:
    incidents = [fires(name) for name in ("first", "second", "third")]
    telling.tell_waiting(timezone.now())
    for incident in incidents:
        is_over(incident)
    assert telling.tell_waiting(timezone.now()) == 1
    assert slack.titles[1:] == ["🟢 3 alarms are over"]


def test_one_message_of_three_alarms_shows_which_of_them_are_over(db: None, bot: FakeSlack) -> None:
    incidents = [fires(name) for name in ("first", "second", "third")]
    telling.tell_waiting(timezone.now())
    is_over(incidents[1])
    telling.tell_waiting(timezone.now())
    assert bot.titles == ["🔴 2 of 3 alarms are firing"]
    assert bot.messages[0]["blocks"][1]["text"]["text"].splitlines()[1] == "🟢 second title: second is right again."
    is_over(incidents[0]), is_over(incidents[2])
    telling.tell_waiting(timezone.now())
    assert bot.titles == ["🟢 Over: 3 alarms"]
    assert [text["blocks"][0]["text"]["text"] for text in bot.threads[bot.messages[0]["ts"]]] == [f"🟢 Over: {n} title" for n in ("second", "first", "third")]


@pytest.mark.parametrize("way", ["slack", "bot"])
def test_what_came_and_went_while_slack_was_away_is_told_as_one_message(db: None, request: pytest.FixtureRequest, way: str) -> None:
    server: FakeSlack = request.getfixturevalue(way)
    now = timezone.now()
    server.next.append(DOWN)
    incident = fires("first")
    telling.tell_waiting(now)
    changes(incident, "bob is at it.")
    is_over(incident)
    still = fires("second")
    assert telling.tell_waiting(later(now, seconds=30)) == 2
    assert server.titles == ["🟢 Over: first title", "🔴 second title"]
    assert server.messages[0]["blocks"][1]["text"]["text"] == "first is wrong.\nfirst is right again."
    assert left() == [("first", "fired", "sent"), ("first", "changed", "not needed"), ("first", "over", "sent"), ("second", "fired", "sent")]
    assert bool(Incident.objects.get(pk=still.pk).thread) is (way == "bot")


def test_what_fired_while_slack_was_away_is_one_message_also_where_some_of_it_is_over(db: None, slack: FakeSlack) -> None:
    now = timezone.now()
    slack.next.append(DOWN)
    first = fires("first")
    telling.tell_waiting(now)
    is_over(first), fires("second")
    third = fires("third")
    assert telling.tell_waiting(later(now, seconds=30)) == 1
    assert slack.titles == ["🔴 2 of 3 alarms are firing"]
    is_over(third)
    telling.tell_waiting(later(now, seconds=60))
    assert slack.titles[1:] == ["🟢 Over: third title"]


# --- One trouble, one thread ------------------------------------------------------------------------------------------------


def test_a_bot_edits_the_message_while_it_lasts_and_answers_in_its_thread(db: None, bot: FakeSlack) -> None:
    incident = fires("first")
    telling.tell_waiting(timezone.now())
    changes(incident, "bob is at it.")
    telling.tell_waiting(timezone.now())
    assert bot.titles == ["🔴 first title"] and bot.messages[0]["blocks"][1]["text"]["text"] == "first is wrong.\nbob is at it."
    is_over(incident)
    telling.tell_waiting(timezone.now())
    assert bot.titles == ["🟢 Over: first title"] and bot.edits == 2
    answers = bot.threads[bot.messages[0]["ts"]]
    assert [answer["blocks"][1]["text"]["text"] for answer in answers] == ["bob is at it.", "first is right again."]


def test_an_alarm_that_flaps_ten_times_makes_one_message_and_one_thread(db: None, bot: FakeSlack) -> None:
    now = timezone.now()
    incident = fires("first", at=now)
    for minute in range(10):
        telling.tell_waiting(later(now, minutes=6 * minute))
        is_over(incident, at=later(now, minutes=6 * minute + 3))
        telling.tell_waiting(later(now, minutes=6 * minute + 3))
        assert bot.titles == ["🟢 Over: first title"]
        if minute < 9:
            fires_again(incident, at=later(now, minutes=6 * minute + 6))
            telling.tell_waiting(later(now, minutes=6 * minute + 6))
            assert bot.titles == ["🔴 first title"]
    assert list(bot.threads) == [bot.messages[0]["ts"]] and len(bot.threads[bot.messages[0]["ts"]]) == 19


@pytest.mark.parametrize("way", ["slack", "bot"])
def test_flaps_that_the_evaluation_sees_are_one_thread_or_four_messages(
    db: None, scheduler: Scheduler, acme: Organisation, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    server: FakeSlack = request.getfixturevalue(way)
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["requests-set-aside"],))
    scheduler.now -= timedelta(days=1)
    flaps(scheduler, acme, 3)
    scheduler.run(minutes=0 if way == "bot" else 31)
    title = "Requests are set aside"
    if way == "bot":
        assert server.titles == [f"🟢 Over: {title}"] and list(server.threads) == [server.messages[0]["ts"]]
    else:
        assert server.titles == [f"🟠 {title}", f"🟢 Over: {title}", f"🟠 {title}", f"🟢 Over: {title}"]


def test_the_buttons_lead_somewhere() -> None:
    for _text, address in composing.links("stream-behind"):
        assert resolve(urlsplit(address).path).url_name


@pytest.mark.parametrize("way", ["slack", "bot", "mail", "log"])
def test_no_address_key_or_position_is_told_whoever_wrote_it_in(
    db: None, request: pytest.FixtureRequest, way: str, mailoutbox: list[EmailMessage], caplog: pytest.LogCaptureFixture
) -> None:
    server: FakeSlack | None = request.getfixturevalue(way) if way in ("slack", "bot") else None
    if way == "mail":
        request.getfixturevalue("mailed")
    secrets = ("ann@example.com", "-26.10763", "28.05671", "atr_sec_abcdefghijklmnop", "https://hooks.slack.com/services/T0/B0/xyz", "xoxb-12-ab")
    fires("first", body=f"Of {' and '.join(secrets)}: 12.5 % since 2026-11-21 22:39 UTC.")
    fires("second")
    fires("third")
    telling.tell_waiting(timezone.now())
    told = str(server.messages if server else [(mail.subject, mail.body) for mail in mailoutbox] or caplog.messages)
    assert "12.5 % since 2026-11-21 22:39 UTC." in told and not [secret for secret in secrets if secret.removeprefix("https://hooks.slack.com") in told]


def test_with_a_webhook_the_second_end_is_told_when_it_has_stayed_away(db: None, slack: FakeSlack) -> None:
    """A webhook's message cannot be changed. Ten flaps are four messages: it fired, it was over, it was not, and now it is."""
    now = timezone.now()
    incident = fires("first", at=now)
    for minute in range(10):
        telling.tell_waiting(later(now, minutes=6 * minute))
        is_over(incident, at=later(now, minutes=6 * minute + 3))
        telling.tell_waiting(later(now, minutes=6 * minute + 3))
        if minute < 9:
            fires_again(incident, at=later(now, minutes=6 * minute + 6))
            telling.tell_waiting(later(now, minutes=6 * minute + 6))
    assert slack.titles == ["🔴 first title", "🟢 Over: first title", "🔴 first title"]
    fires("second")  # is not kept waiting by the end that is held back
    telling.tell_waiting(later(now, minutes=58))
    telling.tell_waiting(later(now, minutes=86))
    assert slack.titles[3:] == ["🔴 second title"]
    telling.tell_waiting(later(now, minutes=88))
    assert slack.titles[4:] == ["🟢 Over: first title"]
    assert not Post.objects.filter(delivery="waiting").exists()


def test_a_flap_before_its_end_was_told_is_not_told_at_all(db: None, slack: FakeSlack) -> None:
    now = timezone.now()
    incident = fires("first")
    telling.tell_waiting(now)
    slack.next.append(DOWN)
    is_over(incident)
    telling.tell_waiting(now)
    fires_again(incident)
    telling.tell_waiting(later(now, seconds=30))
    assert slack.titles == ["🔴 first title"]
    assert left()[1:] == [("first", "over", "not needed"), ("first", "changed", "not needed")]


@pytest.mark.parametrize("behaviour", [0, 1], ids=["the edit is lost", "the answer is lost"])
def test_what_a_bot_could_not_do_is_done_later_and_once(db: None, bot: FakeSlack, behaviour: int) -> None:
    now = timezone.now()
    incident = fires("first")
    telling.tell_waiting(now)
    is_over(incident)

    bot.next.extend([bot.accept, DOWN] if behaviour else [DOWN])
    assert telling.tell_waiting(now) == 0
    assert telling.tell_waiting(later(now, seconds=30)) == 1
    assert bot.titles == ["🟢 Over: first title"] and len(bot.threads[bot.messages[0]["ts"]]) == 1


def test_a_message_that_somebody_deleted_is_followed_by_a_new_one(db: None, bot: FakeSlack) -> None:
    incident = fires("first")
    telling.tell_waiting(timezone.now())
    bot.messages.clear()
    is_over(incident)
    telling.tell_waiting(timezone.now())
    assert bot.titles == ["🟢 Over: first title"] and bot.threads == {}


def test_a_message_whose_sender_was_killed_after_slacks_yes_is_told_again_and_nothing_is_lost(
    db: None, bot: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    incidents = fires("first"), fires("second")
    with monkeypatch.context() as killed:
        killed.setattr(telling, "_note", lambda *_args, **_fields: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            telling.tell_waiting(now)
    assert telling.tell_waiting(later(now, minutes=2)) == 0  # its claim still stands
    assert telling.tell_waiting(later(now, minutes=4)) == 2
    assert bot.titles == ["🔴 first title", "🔴 first title", "🔴 second title"]
    is_over(incidents[0])
    telling.tell_waiting(later(now, minutes=5))
    assert bot.titles == ["🔴 first title", "🟢 Over: first title", "🔴 second title"]


def test_a_slow_slack_is_given_so_much_time_and_no_more(db: None, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LINE_FOR_S", -1.0)
    fires("first")
    assert telling.tell_waiting(timezone.now()) == 0 and slack.requests == 0
    assert Post.objects.get().attempts == 0  # nobody else is kept from it


@pytest.mark.django_db(transaction=True)
def test_a_real_process_killed_after_slacks_yes_loses_nothing_and_keeps_the_order(bot: FakeSlack, environment: dict[str, str]) -> None:
    for name in ("first", "second"):
        fires(name)
    surroundings = {**environment, "SLACK_BOT_TOKEN": fake_slack.TOKEN, "SLACK_CHANNEL": fake_slack.CHANNEL, "SLACK_API_URL": bot.base}
    act = "from django.utils import timezone; from operations import telling; telling.tell_waiting(timezone.now())"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", act]

    def lives(**more: str) -> int:
        return subprocess.run(command, cwd=ROOT, env={**surroundings, **more}, capture_output=True, timeout=60).returncode

    assert lives(FAULT="tell.before_note:kill") == -signal.SIGKILL
    assert bot.titles == ["🔴 first title"] and list(Post.objects.order_by("pk").values_list("delivery", "attempts")) == [("waiting", 1), ("waiting", 0)]
    assert lives() == 0 and len(bot.messages) == 1  # the dead one's claim still stands
    Post.objects.filter(attempts=1).update(not_before=timezone.now())
    assert lives() == 0
    assert bot.titles == ["🔴 first title", "🔴 first title", "🔴 second title"]
    assert set(Post.objects.values_list("delivery", flat=True)) == {"sent"}


def test_buttons_lead_to_the_runbook_the_page_and_silence(db: None, slack: FakeSlack, settings: Settings) -> None:
    settings.ATRIUM_URL = "https://atrium.example.com"
    incident = fires("stream-behind")
    telling.tell_waiting(timezone.now())
    settings.ATRIUM_RUNBOOK_URL = "https://wiki.example.com/RUNBOOK.md"
    is_over(incident)
    telling.tell_waiting(timezone.now())
    first, last = ([(button["text"]["text"], button["url"]) for button in message["blocks"][-1]["elements"]] for message in slack.messages)
    page = "https://atrium.example.com/admin/operations/"
    assert first == [("Runbook", f"{page}alarm/stream-behind/change/"), ("Operation", page), ("Silence for 1 h", f"{page}alarm/stream-behind/silence/")]
    assert last == [("Runbook", "https://wiki.example.com/RUNBOOK.md#stream-behind"), ("Operation", page)]


# --- By mail ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailed(settings: Settings) -> None:
    settings.OPERATORS_EMAIL = ["ops@example.com", "night@example.com"]


def test_what_slack_does_not_take_for_five_minutes_goes_by_mail_once_and_to_slack_later(
    db: None, slack: FakeSlack, mailed: None, mailoutbox: list[EmailMessage]
) -> None:
    now = timezone.now()
    fires("first", at=now)
    incident = fires("second", at=now)
    slack.next.extend([DOWN] * 40)
    for half_minutes in range(9):
        telling.tell_waiting(later(now, seconds=30 * half_minutes))
    assert mailoutbox == []
    is_over(incident, at=later(now, minutes=5))
    for half_minutes in range(10, 40):
        telling.tell_waiting(later(now, seconds=30 * half_minutes))
    assert [mail.subject for mail in mailoutbox] == ["🔴 2 messages", "🟢 Over: second title"]
    assert mailoutbox[0].to == ["ops@example.com", "night@example.com"] and "first is wrong." in str(mailoutbox[0].body)
    slack.next.clear()
    telling.tell_waiting(later(now, minutes=30))
    assert slack.titles == ["🔴 first title", "🟢 Over: second title"]
    assert set(Post.objects.values_list("delivery", flat=True)) == {"sent"} and len(mailoutbox) == 2


def test_without_slack_operators_are_told_by_mail_alone(db: None, mailed: None, mailoutbox: list[EmailMessage], settings: Settings) -> None:
    settings.ATRIUM_URL = "https://atrium.example.com"
    incident = fires("first", body="two\nlines <b>")
    telling.tell_waiting(timezone.now())
    is_over(incident)
    telling.tell_waiting(timezone.now())
    assert [mail.subject for mail in mailoutbox] == ["🔴 first title", "🟢 Over: first title"]
    assert mailoutbox[0].body == (
        "two\nlines <b>\n\nMend it.\n\nRunbook: https://atrium.example.com/admin/operations/alarm/first/change/\n"
        "Operation: https://atrium.example.com/admin/operations/\n"
        "Silence for 1 h: https://atrium.example.com/admin/operations/alarm/first/silence/\n\nCritical\n"
    )
    assert left() == [("first", "fired", "mailed"), ("first", "over", "mailed")]


@pytest.mark.parametrize("with_slack", [True, False])
def test_mail_that_does_not_leave_is_tried_again_and_not_all_the_time(
    db: None, request: pytest.FixtureRequest, mailed: None, mailoutbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch, with_slack: bool
) -> None:
    now, tries = timezone.now(), []

    def refuses(*_args: object, **_more: object) -> int:
        tries.append(1)
        raise OSError("ops@example.com is not at home")

    if with_slack:
        request.getfixturevalue("slack").next.extend([DOWN] * 100)
    fires("first", at=now - timedelta(minutes=5))
    with monkeypatch.context() as away:
        away.setattr(EmailMessage, "send", refuses)
        for quarter_minutes in range(20):
            telling.tell_waiting(later(now, seconds=15 * quarter_minutes))
    assert mailoutbox == [] and 4 <= len(tries) <= 6
    telling.tell_waiting(later(now, minutes=10))
    assert [mail.subject for mail in mailoutbox] == ["🔴 first title"]
    assert "@" not in str(list(Post.objects.values()))


def test_a_title_with_lines_in_it_makes_no_header_of_a_mail(db: None, mailed: None, mailoutbox: list[EmailMessage]) -> None:
    incident = fires("first")
    notice = {**Post.objects.get().notice, "title": "x\r\nBcc: evil@example.com"}
    Post.objects.filter(incident=incident).update(notice=notice)
    telling.tell_waiting(timezone.now())
    assert "Bcc" not in mailoutbox[0].message() and ways.ByMail(["a@example.com"]).edits is False


def test_the_log_is_told_once_and_of_changes_only_where_it_was_said_to_be_over(db: None, caplog: pytest.LogCaptureFixture) -> None:
    incident = fires("first")
    changes(incident, "bob is at it.")
    telling.tell_waiting(timezone.now())
    assert left() == [("first", "fired", "logged"), ("first", "changed", "not needed")]
    assert Post.objects.get(kind=Kind.FIRED).told_at is not None
