"""Marketers' news: once each, in their own channel, never of few people, and never in somebody else's."""

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement.models import Organisation, Zone
from notifications import governor
from notifications.models import Campaign, Run
from operations import news, sealing, telling
from operations.models import Kind, NewsChannel, Post
from tests.analytics.rows import local, shopper, stay, venue
from tests.notifications import ledger, people
from tests.operations.fake_slack import FakeSlack, says, texts_of
from tests.operations.line import fires

HERE = "Africa/Johannesburg"
NOW = local(HERE, 2026, 11, 16, 9)  # a Monday, in the morning
OF_ACME, OF_THE_RIVAL = "/services/T0ACME/B0ACME/xoxsecretacme", "/services/T0RIVAL/B0RIVAL/xoxsecretrival"


@pytest.fixture
def hooks(slack: FakeSlack, settings: Settings) -> FakeSlack:
    """The operators' channel is there too, and stays empty."""
    settings.SLACK_API_URL = slack.base
    settings.ATRIUM_URL = "https://atrium.example.com"
    return slack


def channel(organisation: Organisation, base: str, path: str = OF_ACME, **more: object) -> NewsChannel:
    fields = {"address": sealing.seal(base + path), "set_by": "alice", "set_at": NOW - timedelta(days=30), **more}
    return NewsChannel.objects.create(organisation=organisation, **fields)


def move(campaign: Campaign, *states: str, **fields: object) -> None:
    """One after the other, since the database knows which may follow which."""
    for state in states:
        Campaign.objects.filter(pk=campaign.pk).update(state=state, **fields)


def finished_run(organisation: Organisation, states: dict[str, int], name: str = "Spring", ended: str = "finished") -> Run:
    made = people.campaign(organisation, name=name)
    run = ledger.run(made, NOW - timedelta(hours=2))
    numbers = iter(range(1000))
    for state, count in states.items():
        for _ in range(count):
            ledger.message(run, shopper(organisation, f"s{next(numbers)}"), state)
    move(made, "sending", ended, finished_at=NOW)
    Run.objects.filter(pk=run.pk).update(finished_at=NOW)
    return Run.objects.select_related("campaign").get(pk=run.pk)


def lines(message: dict[str, object]) -> list[str]:
    return [line for text in texts_of(message) for line in text.splitlines()]


def test_a_finished_campaign_is_told_once_with_its_counts_and_its_report(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    run = finished_run(acme, {"delivered": 20, "sent": 11, "bounced": 10, "skipped": 12, "unknown": 10, "held_out": 13})
    assert [news.look(NOW), news.look(NOW), news.look(NOW + timedelta(days=1))] == [1, 0, 0]
    telling.tell_waiting(NOW)
    [message] = hooks.messages
    assert hooks.hooks == [OF_ACME] and hooks.titles == ["📣 Campaign finished: Spring"]
    for said in ("delivered: 20", "sent, no word yet: 11", "bounced: 10", "skipped: 12", "unknown: 10", "held out: 13"):
        assert said in lines(message)
    assert "meant for 76 people" in str(message) and "failed" not in str(message)
    assert message["blocks"][-1]["elements"][0]["url"] == f"https://atrium.example.com/admin/notifications/campaign/{run.campaign_id}/"


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({"delivered": 30, "bounced": 1}, ["delivered: hidden", "bounced: <10"]),
        ({"delivered": 1, "held_out": 1}, ["delivered: <10", "held out: <10"]),
        ({"delivered": 30}, ["delivered: 30"]),
    ],
)
def test_counts_of_few_people_are_hidden_and_so_is_what_would_tell_them(db: None, acme: Organisation, states: dict[str, int], told: list[str]) -> None:
    notice = news.finished(finished_run(acme, states))
    assert list(notice.lines) == told
    assert ("<10 people" in notice.body) is (sum(states.values()) < 10)


def test_a_name_cannot_speak_to_slack(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    finished_run(acme, {"delivered": 10}, name="<!channel> & <https://evil.example|sale>\r\n*x*")
    news.look(NOW)
    telling.tell_waiting(NOW)
    said = "".join(texts_of(hooks.messages[0]))
    assert "&lt;!channel&gt; &amp; &lt;https" in said and "<" not in said


def test_a_campaign_that_was_cancelled_or_finished_before_the_channel_was_set_is_no_news(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    kept = channel(acme, hooks.base, weekly=False)
    finished_run(acme, {"delivered": 10}, ended="cancelled")
    assert news.look(NOW) == 0
    Campaign.objects.all().delete()
    finished_run(acme, {"delivered": 10})
    NewsChannel.objects.filter(pk=kept.pk).update(set_at=NOW + timedelta(minutes=1))
    assert news.look(NOW) == 0
    NewsChannel.objects.filter(pk=kept.pk).update(set_at=NOW - timedelta(days=1), campaigns=False)
    assert news.look(NOW) == 0
    NewsChannel.objects.filter(pk=kept.pk).update(campaigns=True)
    assert news.look(NOW + timedelta(days=8)) == 0
    assert news.look(NOW) == 1


def test_a_campaign_that_paused_itself_is_told_and_told_again_when_it_does_so_again(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    made = people.campaign(acme, name="Spring")
    move(made, "sending", "paused", pause_reason="Paused by emma.")
    assert news.look(NOW) == 0
    for _ in range(2):
        move(made, "sending", "paused", paused_itself=True, pause_reason="7 of 20 messages failed.")
        assert [news.look(NOW), news.look(NOW)] == [1, 0]
        move(made, "sending", paused_itself=False, pause_reason="")
        assert news.look(NOW) == 0
    telling.tell_waiting(NOW)
    assert hooks.titles == ["⏸ Campaign paused itself: Spring"] * 2 and "7 of 20 messages failed." in lines(hooks.messages[0])


def visits(zone: Zone, monday: datetime, people_: int) -> None:
    for number in range(people_):
        stay(shopper(zone.organisation, f"v{number}"), zone, monday + timedelta(days=2, hours=11), 1200)


def test_the_weeks_figures_are_told_on_monday_morning_of_the_first_venues_clock_once(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base)
    root = Zone.objects.get(organisation=acme, key="north")
    south = venue(acme, "south", "Europe/London")
    visits(root, local(HERE, 2026, 11, 9), 24)
    visits(root, local(HERE, 2026, 11, 2), 20)
    visits(south, local(HERE, 2026, 11, 9), 3)
    mornings = [local(HERE, 2026, 11, 15, 23), local(HERE, 2026, 11, 16, 7, 59), local(HERE, 2026, 11, 16, 8), NOW, local(HERE, 2026, 11, 17, 9)]
    assert [news.look(at) for at in mornings] == [0, 0, 1, 0, 0]
    telling.tell_waiting(NOW)
    assert hooks.titles == ["📈 The week 2026-W46"]
    said = lines(hooks.messages[0])
    assert "North Mall: Visitors 24 (+20 %) · Visits 24 (+20 %) · Dwell, median 20 min (±0 %)" in said
    assert "South: Visitors &lt;10 · Visits &lt;10 · Dwell, median &lt;10" in said  # three people
    assert hooks.messages[0]["blocks"][-1]["elements"][0]["url"].endswith("/admin/figures/week?week=2026-W46")


def test_a_week_is_not_told_days_later_nor_to_who_set_the_channel_after_it(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    kept = channel(acme, hooks.base)
    assert news.look(local(HERE, 2026, 11, 18, 9)) == 0
    NewsChannel.objects.filter(pk=kept.pk).update(set_at=local(HERE, 2026, 11, 16, 8, 30))
    assert news.look(NOW) == 0
    NewsChannel.objects.filter(pk=kept.pk).update(set_at=NOW - timedelta(days=2), weekly=False)
    assert news.look(NOW) == 0


def test_each_organisation_is_told_its_own_news_in_its_own_channel(db: None, acme: Organisation, rival: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    channel(rival, hooks.base, OF_THE_RIVAL, weekly=False)
    finished_run(acme, {"delivered": 10}, name="Acme's")
    finished_run(rival, {"delivered": 10}, name="Rival's")
    assert news.look(NOW) == 2
    telling.tell_waiting(NOW)
    assert dict(zip(hooks.hooks, hooks.titles, strict=True)) == {
        OF_ACME: "📣 Campaign finished: Acme's",
        OF_THE_RIVAL: "📣 Campaign finished: Rival's",
    }


def test_no_line_waits_for_another(db: None, acme: Organisation, rival: Organisation, hooks: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Acme's webhook was withdrawn: it is asked less and less, its page says so, and operators read no marketers' news."""
    kept = channel(acme, hooks.base, "/services/T9GONE/B0/x", weekly=False)
    channel(rival, hooks.base, OF_THE_RIVAL, weekly=False)
    finished_run(acme, {"delivered": 10}, name="Acme's")
    finished_run(rival, {"delivered": 10}, name="Rival's")
    news.look(NOW)
    fires("stream-behind", at=NOW)
    telling.tell_waiting(NOW)
    assert hooks.titles == ["🔴 stream-behind title", "📣 Campaign finished: Rival's"]
    assert NewsChannel.objects.get(pk=kept.pk).problem == "HTTP 404 no_service"
    for hours in range(48):
        telling.tell_waiting(NOW + timedelta(hours=hours))
    assert 10 < Post.objects.get(organisation=acme).attempts < 50
    assert "Acme's" not in caplog.text and f"News of organisation {acme.pk} cannot be told (HTTP 404 no_service)." in caplog.text
    NewsChannel.objects.filter(pk=kept.pk).update(address=sealing.seal(hooks.base + OF_ACME))
    telling.tell_waiting(NOW + timedelta(hours=50))
    assert hooks.titles[2:] == ["📣 Campaign finished: Acme's"] and NewsChannel.objects.get(pk=kept.pk).problem == ""


def test_news_a_week_old_are_not_told_any_more_nor_where_the_channel_was_taken_away(
    db: None, acme: Organisation, rival: Organisation, hooks: FakeSlack
) -> None:
    channel(acme, hooks.base, weekly=False)
    channel(rival, hooks.base, OF_THE_RIVAL, weekly=False)
    finished_run(acme, {"delivered": 10}), finished_run(rival, {"delivered": 10})
    news.look(NOW)
    NewsChannel.objects.filter(organisation=rival).delete()
    telling.tell_waiting(NOW + timedelta(days=8))
    assert hooks.messages == [] and set(Post.objects.values_list("delivery", flat=True)) == {"not needed"}


def test_with_another_secret_key_news_wait_and_the_address_is_not_guessed(db: None, acme: Organisation, hooks: FakeSlack, settings: Settings) -> None:
    kept = channel(acme, hooks.base, weekly=False)
    finished_run(acme, {"delivered": 10})
    news.look(NOW)
    before = settings.SECRET_KEY
    settings.SECRET_KEY = "another key for the tests alone"
    telling.tell_waiting(NOW)
    assert hooks.requests == 0 and "SECRET_KEY" in NewsChannel.objects.get(pk=kept.pk).problem
    settings.SECRET_KEY = before
    telling.tell_waiting(NOW + timedelta(hours=2))
    assert len(hooks.messages) == 1


def test_a_copy_of_the_database_brought_up_elsewhere_tells_no_news(db: None, acme: Organisation, hooks: FakeSlack, settings: Settings) -> None:
    channel(acme, hooks.base, weekly=False)
    finished_run(acme, {"delivered": 10})
    assert governor.at_home()
    news.look(NOW)
    settings.INSTANCE = "staging"
    telling.tell_waiting(NOW)
    assert hooks.requests == 0
    settings.INSTANCE = ""
    telling.tell_waiting(NOW)
    assert len(hooks.messages) == 1


def test_the_database_alone_does_not_tell_the_address(db: None, acme: Organisation) -> None:
    kept = channel(acme, "https://hooks.slack.com")
    assert b"xoxsecretacme" not in bytes(NewsChannel.objects.get(pk=kept.pk).address)
    assert sealing.seal("x") != sealing.seal("x") and sealing.unseal(sealing.seal("x")) == "x"
    with pytest.raises(sealing.Unreadable):
        sealing.unseal(b"damaged")


def test_what_fails_for_one_organisation_keeps_no_other_waiting(
    db: None, acme: Organisation, rival: Organisation, hooks: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel(acme, hooks.base, weekly=False)
    channel(rival, hooks.base, OF_THE_RIVAL, weekly=False)
    finished_run(acme, {"delivered": 10}, name="Acme's"), finished_run(rival, {"delivered": 10}, name="Rival's")
    whole = news.finished

    def breaks(run: Run) -> news.Notice:
        if run.campaign.organisation_id == acme.pk:
            raise ZeroDivisionError
        return whole(run)

    with monkeypatch.context() as broken:
        broken.setattr(news, "finished", breaks)
        assert news.look(NOW) == 1
    assert news.look(NOW) == 1


@pytest.mark.django_db(transaction=True)
def test_any_number_of_processes_leave_one_post(acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    finished_run(acme, {"delivered": 10})
    together = threading.Barrier(4)

    def look() -> None:
        together.wait(10)
        news.look(NOW)
        telling.tell_waiting(timezone.now())
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Post.objects.filter(kind=Kind.NEWS).count() == 1
    assert len(hooks.messages) <= 1


def test_slack_away_keeps_news_in_their_order(db: None, acme: Organisation, hooks: FakeSlack) -> None:
    channel(acme, hooks.base, weekly=False)
    for name in ("a", "b"):
        news._leave(acme.pk, name, news.Notice(mark="📣", title=name, body="", remedy="", footer=""), NOW)
    hooks.next.append(says(429, "rate_limited", Retry_After="100"))
    telling.tell_waiting(NOW)
    telling.tell_waiting(NOW + timedelta(seconds=90))
    assert hooks.requests == 1
    telling.tell_waiting(NOW + timedelta(seconds=101))
    assert hooks.titles == ["📣 a", "📣 b"]
