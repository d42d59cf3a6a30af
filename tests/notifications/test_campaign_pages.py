"""The pages of campaigns: what they say before anything leaves, and to whom they say it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from analytics.models import Audience
from engagement.models import Organisation, Profile
from notifications import drafts
from notifications.admin.beginnings import BEGINNINGS, beginning
from notifications.models import Campaign, CampaignState, Message, MessageState, Run, SendingPolicy, Topic
from tests.analytics import rows

NAMES = ("campaign", "campaign_edit", "campaign_review", "campaign_messages", "campaign_why")


def client(user: User) -> Client:
    made = Client()
    made.force_login(user)
    return made


def shown(user: User, page: str, *args: Any, status: int = 200, **asked: str) -> str:
    answer = client(user).get(reverse(page, args=args), asked)
    assert answer.status_code == status, (page, answer.status_code)
    return answer.content.decode()


def told(user: User, page: str, *args: Any, status: int = 200, **form: Any) -> str:
    answer = client(user).post(reverse(page, args=args), form, follow=True)
    assert answer.status_code == status
    return answer.content.decode()


@pytest.fixture
def everybody(acme: Organisation) -> Audience:
    return Audience.objects.create(organisation=acme, key="all", name="Everybody", rule={"consent": {"channel": "email"}}, count=3)


@pytest.fixture
def news(acme: Organisation, everybody: Audience) -> Campaign:
    words = {"key": "news", "name": "November news", "audience": "all", "variants": [{"name": "a", **beginning("letter")}]}
    return drafts.save(organisation=acme, told=words, by="emma")[0]


@pytest.fixture
def sent(news: Campaign) -> Campaign:
    """It went to crm-0, failed for crm-1, and crm-2 was skipped."""
    now = timezone.now()
    Campaign.objects.filter(pk=news.pk).update(state=CampaignState.SENDING, started_at=now)
    run = Run.objects.create(campaign=news, due_at=now, audience_count=3, planned_at=now)
    fates = (("delivered", ""), ("failed", "refused"), ("skipped", "no_consent"))
    for number, (state, reason) in enumerate(fates):
        who = rows.shopper(news.organisation, f"crm-{number}")
        of = {"organisation": news.organisation, "campaign": news, "run": run, "shopper": who, "send_after": now, "updated_at": now}
        Message.objects.create(**of, state=state, reason=reason, variant=news.variants.get() if state != "skipped" else None)
    news.refresh_from_db()
    return news


def test_without_an_audience_or_a_campaign_the_list_says_what_to_do(emma: User, bob: User, acme: Organisation) -> None:
    assert "Build an audience" in shown(emma, "campaigns") and "No audience yet" in shown(emma, "campaign_new")
    Audience.objects.create(organisation=acme, key="all", name="Everybody", rule={"consent": {"channel": "email"}})
    assert "Write the first campaign" in shown(emma, "campaigns")
    assert "A marketer or an owner" in shown(bob, "campaigns")


def test_a_new_campaign_is_a_draft_with_a_key_of_its_own(emma: User, acme: Organisation, everybody: Audience) -> None:
    for _again in range(2):
        page = told(emma, "campaign_new", name="Spring: Sale!", audience="all", start="letter")
        assert "What does it say?" in page
    assert list(Campaign.objects.values_list("key", "state", "created_by").order_by("key")) == [
        ("spring-sale", "draft", "emma"),
        ("spring-sale-2", "draft", "emma"),
    ]
    assert "It is required" in told(emma, "campaign_new", name=" ", audience="all")


@pytest.mark.parametrize("start", [one.name for one in BEGINNINGS])
def test_what_it_begins_with_is_a_mail_that_can_be_saved(acme: Organisation, everybody: Audience, start: str) -> None:
    words = {"key": "one", "name": "One", "audience": "all", "variants": [{"name": "a", **beginning(start)}]}
    assert drafts.save(organisation=acme, told=words, by="emma")[1]


def test_another_campaign_begins_with_all_that_one_says_but_when(emma: User, charlie: User, sent: Campaign) -> None:
    Campaign.objects.update(send_at=datetime(2026, 12, 1, 8, tzinfo=UTC), holdout="0.2")
    assert "November news, again" in shown(emma, "campaign_new", like=str(sent.pk))
    told(emma, "campaign_new", name="December news", audience="all", like=str(sent.pk))
    made = Campaign.objects.get(key="december-news")
    assert (made.state, made.send_at, float(made.holdout)) == ("draft", None, 0.2)
    assert drafts.told(made)["variants"] == drafts.told(sent)["variants"]
    told(charlie, "campaign_new", name="Mine", audience="all", like=str(sent.pk), status=404)


def test_strangers_see_no_page_of_it(charlie: User, dora: User, sent: Campaign) -> None:
    for name in NAMES:
        assert "November news" not in shown(charlie, name, sent.pk, status=404)
        shown(dora, name, sent.pk, status=403)
    for name in ("campaigns", "campaign_new", "sending_policy"):
        assert "November news" not in shown(charlie, name)
        shown(dora, name, status=403)
    for stranger, status in ((charlie, 404), (dora, 403)):
        told(stranger, "release_parked", sent.pk, status=status)
    assert Message.objects.filter(state=MessageState.FAILED).count() == 1


def test_an_analyst_looks_on_and_writes_nothing(bob: User, news: Campaign) -> None:
    assert "November news" in shown(bob, "campaign", news.pk)
    for name in ("campaign_edit", "campaign_review"):
        shown(bob, name, news.pk, status=403)
    shown(bob, "campaign_new", status=403)
    told(bob, "release_parked", news.pk, status=403)
    told(bob, "sending_policy", sender="Bob <bob@example.com>", failures_pause_at="5", status=403)
    told(bob, "topics", topic="Offers", status=403)
    assert not SendingPolicy.objects.exists() and not Topic.objects.exists()


def test_before_it_leaves_the_page_says_when_from_whom_and_what(emma: User, news: Campaign) -> None:
    page = shown(emma, "campaign_review", news.pk)
    assert "when somebody says so" in page and "name a sender" in page and "Something new is waiting" in page
    SendingPolicy.objects.create(organisation=news.organisation, sender="News <news@example.com>")
    Campaign.objects.update(send_at=datetime(2026, 12, 1, 8, tzinfo=UTC), in_shopper_time=True, time_zone="Africa/Johannesburg")
    page = shown(emma, "campaign_review", news.pk)
    assert "1 Dec, 10:00, on each shopper" in page and "News &lt;news@example.com&gt;" in page
    Campaign.objects.update(in_shopper_time=False, recurrence={"every": "week", "at": "10:00", "on": [1, 4]})
    assert "every Monday, Thursday at 10:00 (Africa/Johannesburg)" in shown(emma, "campaign_review", news.pk)


def test_whoever_changed_it_last_is_told_to_ask_somebody_else(emma: User, alice: User, news: Campaign) -> None:
    SendingPolicy.objects.create(organisation=news.organisation, needs_approval=True)
    assert "Somebody else has to approve it" in shown(emma, "campaign_review", news.pk)
    assert "Approve it" in shown(alice, "campaign_review", news.pk)
    Campaign.objects.update(approved_revision=news.revision, approved_by="alice")
    assert "Approved by alice" in shown(emma, "campaign_review", news.pk)


def test_what_is_past_a_draft_is_no_longer_written(emma: User, sent: Campaign) -> None:
    for name in ("campaign_edit", "campaign_review"):
        answer = client(emma).get(reverse(name, args=[sent.pk]))
        assert answer.status_code == 302 and answer["Location"] == reverse("campaign", args=[sent.pk])


def test_messages_are_listed_by_state_and_reason(emma: User, sent: Campaign) -> None:
    assert all(f"crm-{number}" in shown(emma, "campaign_messages", sent.pk) for number in range(3))
    page = shown(emma, "campaign_messages", sent.pk, state="skipped")
    assert "crm-2" in page and "crm-0<" not in page and "No consent for this purpose" in page
    assert "No message fits" in shown(emma, "campaign_messages", sent.pk, state="bounced")
    assert "crm-1" in shown(emma, "campaign_messages", sent.pk, reason="refused", run="x' OR 1", after="9" * 30 + "x")


def test_parked_messages_are_tried_again_by_whoever_may(emma: User, sent: Campaign) -> None:
    assert "Try 1 message again" in shown(emma, "campaign_messages", sent.pk)
    assert "1 message is tried again" in told(emma, "release_parked", sent.pk)
    assert not Message.objects.filter(state=MessageState.FAILED).exists()
    assert "parked" not in shown(emma, "campaign_messages", sent.pk)


@pytest.mark.parametrize("name", ["crm-2", "ANN@Example.com"])
def test_why_somebody_did_not_get_it_is_told_by_id_and_by_address(emma: User, sent: Campaign, name: str) -> None:
    skipped = rows.shopper(sent.organisation, "crm-2")
    Profile.objects.create(shopper=skipped, organisation=sent.organisation, email="ann@example.com", updated_at=timezone.now())
    page = shown(emma, "campaign_why", sent.pk, shopper=name)
    assert "It was not sent. No consent for this purpose." in page


def test_why_knows_nobody_of_another_organisation(emma: User, sent: Campaign, rival: Organisation) -> None:
    stranger = rows.shopper(rival, "crm-cy")
    for name in ("crm-cy", f"atrium:{stranger.pk}", "nobody@example.com", "\0"):
        page = shown(emma, "campaign_why", sent.pk, shopper=name)
        assert "Nobody is known by this" in page or "Why did somebody" in page


def test_the_policy_is_said_once_and_holds(emma: User, acme: Organisation) -> None:
    form = {
        "sender": "News <news@example.com>",
        "postal_address": "1 Mall Road",
        "capped": "on",
        "cap_messages": "4",
        "cap_days": "7",
        "failures_pause_at": "2.5",
    }
    quiet = {"quiet": "on", "quiet_from": "21:00", "quiet_until": "08:00", "quiet_then": "drop", "by_shop": "on", "needs_approval": "on"}
    assert "Saved" in told(emma, "sending_policy", **form, **quiet)
    saved = SendingPolicy.objects.get(organisation=acme)
    assert (saved.sender, saved.cap_messages, saved.cap_days, float(saved.failures_pause_at), saved.needs_approval) == (form["sender"], 4, 7, 0.025, True)
    assert saved.quiet_hours == {"from": "21:00", "until": "08:00", "then": "drop", "clocks": ["shop"]}
    told(emma, "sending_policy", **{**form, "capped": ""})
    saved.refresh_from_db()
    assert (saved.cap_messages, saved.quiet_hours, saved.needs_approval) == (None, None, False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sender": "News <news@example.com>\r\nBcc: all@example.com"}, "Give one"),
        ({"sender": "nobody"}, "Give one address"),
        ({"capped": "on", "cap_messages": ""}, "Say how many messages"),
        ({"quiet": "on", "quiet_from": "21:00", "quiet_until": "21:00", "by_shop": "on"}, "the two must differ"),
        ({"quiet": "on", "quiet_from": "21:00", "quiet_until": "08:00"}, "by whose clock"),
    ],
)
def test_a_faulty_policy_says_what_to_mend_and_changes_nothing(emma: User, wrong: dict[str, str], said: str) -> None:
    assert said in told(emma, "sending_policy", failures_pause_at="5", **wrong)
    assert not SendingPolicy.objects.exists()


def test_topics_come_and_go_until_something_is_of_them(emma: User, news: Campaign) -> None:
    assert "can be chosen" in told(emma, "topics", topic="Events & more")
    made = Topic.objects.get()
    assert "There is such a topic" in told(emma, "topics", topic="events more")
    Campaign.objects.update(topic=made)
    assert "is in use" in told(emma, "topics", remove=str(made.pk))
    Campaign.objects.update(topic=None)
    assert "was removed" in told(emma, "topics", remove=str(made.pk)) and not Topic.objects.exists()


def test_a_rivals_topic_stays(charlie: User, acme: Organisation) -> None:
    made = Topic.objects.create(organisation=acme, key="events", name="Events")
    told(charlie, "topics", remove=str(made.pk))
    assert Topic.objects.get() == made


def test_the_list_shows_how_far_a_campaign_is(emma: User, sent: Campaign) -> None:
    page = shown(emma, "campaigns", state="sending")
    assert "November news" in page and "100 %" in page and "Sending" in page
    assert "No campaign in this state" in shown(emma, "campaigns", state="draft")
    Run.objects.update(audience_count=6)  # three of six have no row yet
    assert "50 %" in shown(emma, "campaigns")
