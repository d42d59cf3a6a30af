"""Bounces and complaints slow marketing down before Amazon does, over a volume that proves something; and people are told."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest import MonkeyPatch

from engagement.models import Organisation
from notifications import campaigns, governor, rates
from notifications.feedback import brake
from notifications.models import Campaign, CampaignState, FeedbackNotice, SendingAccount
from notifications.rates import BOUNCES, COMPLAINTS
from operations import evaluation
from operations.alarms import DECLARED
from tests.notifications import people
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack

pytestmark = pytest.mark.django_db
HOUR: Final = timedelta(hours=1)
_SENT: Final = """
WITH made AS (
    INSERT INTO notifications_message (organisation_id, campaign_id, run_id, channel, shopper_id, state, reason, send_after, attempts, provider_id, sent_at,
                                       updated_at)
    SELECT %(organisation)s, 1, 1, 'email', coalesce((SELECT max(shopper_id) FROM notifications_message), 0) + n, 'sent', '', %(at)s, 0, '', %(at)s, %(at)s
    FROM generate_series(1, %(sent)s) n RETURNING id)
INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, detail)
SELECT %(organisation)s, id, %(kind)s, %(at)s, s::text, '', '' FROM made, generate_series(1, 2) s
WHERE id IN (SELECT id FROM made ORDER BY id LIMIT %(heard)s)
"""


def sent(organisation: Organisation, number: int, at: datetime, *, bounced: int = 0, complained: int = 0) -> None:
    """Mails, some of which bounced or were complained of, each told twice."""
    kind, heard = ("complaint", complained) if complained else ("bounce", bounced)
    with connection.cursor() as cursor:
        cursor.execute(_SENT, {"organisation": organisation.pk, "sent": number, "at": at, "kind": kind, "heard": heard})


def test_a_rate_is_of_the_latest_volume(acme: Organisation) -> None:
    now = timezone.now()
    sent(acme, 10_000, now - 3 * HOUR, bounced=5000)  # a bad list, some time ago
    assert rates.rate(BOUNCES, now).value == 0.5
    sent(acme, 9_999, now - timedelta(minutes=20), bounced=100)
    assert rates.rate(BOUNCES, now).value == pytest.approx(5100 / 19_999)
    sent(acme, 1, now - timedelta(minutes=20))  # now the last half hour is volume enough
    found = rates.rate(BOUNCES, now)
    assert (found.heard, found.sent, found.value) == (100, 10_000, 0.01)


def test_a_handful_proves_nothing_and_each_mail_counts_once(acme: Organisation) -> None:
    now = timezone.now()
    assert rates.rate(BOUNCES, now).value == 0
    sent(acme, 10, now, bounced=5)
    assert rates.rate(BOUNCES, now).value == 5 / BOUNCES.least
    sent(acme, 10, now, complained=2)
    assert rates.rate(COMPLAINTS, now).value == 2 / COMPLAINTS.least
    assert rates.rate(BOUNCES, now + timedelta(days=31)).value == 0


@pytest.mark.parametrize(
    ("bounced", "complained", "share"),
    [(0, 0, 1.0), (19, 0, 1.0), (20, 0, 0.5), (39, 0, 0.5), (40, 0, 0.0), (0, 2, 1.0), (0, 3, 0.5), (0, 4, 0.0), (20, 4, 0.0), (40, 3, 0.0)],
)
def test_marketing_is_slowed_and_stopped_by_the_worse_of_both(acme: Organisation, bounced: int, complained: int, share: float) -> None:
    now = timezone.now()
    sent(acme, 990, now, bounced=bounced)
    sent(acme, 10, now, complained=complained)
    assert brake.look(now) == share
    account = SendingAccount.objects.get()
    assert (account.brake, bool(account.brake_reason)) == (share, share < 1)


def test_what_is_stopped_goes_on_when_a_person_says_so_or_the_mail_is_old(acme: Organisation) -> None:
    now = timezone.now()
    sent(acme, 1000, now - HOUR, bounced=100)
    assert brake.look(now) == 0
    assert governor.take(governor.MARKETING, 1).instants == ()
    assert brake.look(now + timedelta(days=31)) == 1
    assert brake.look(now) == 0
    call_command("release_brake")
    assert SendingAccount.objects.get().brake == 1
    assert brake.look(timezone.now()) == 1
    sent(acme, 1000, now + HOUR, bounced=50)  # mended it was not
    assert brake.look(now + 2 * HOUR) == 0


# --- Alarms --------------------------------------------------------------------------------------------------------------


def only(monkeypatch: MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED[name],))


@pytest.mark.parametrize(("name", "bad"), [("mail-bounces", {"bounced": 25}), ("mail-complained-of", {"complained": 3})])
def test_rates_that_rise_are_told(acme: Organisation, slack: FakeSlack, scheduler: Scheduler, monkeypatch: MonkeyPatch, name: str, bad: dict[str, int]) -> None:
    only(monkeypatch, name)
    governor.brake(1, "")
    sent(acme, 1000, scheduler.now, **bad)
    scheduler.run(minutes=1)
    assert len(slack.titles) == 1
    SendingAccount.objects.update(judged_from=timezone.now())
    scheduler.run(minutes=4)
    assert told() == [(name, "fired", "sent"), (name, "over", "sent")]


def test_a_quota_that_is_nearly_used_is_told(slack: FakeSlack, scheduler: Scheduler, monkeypatch: MonkeyPatch) -> None:
    only(monkeypatch, "mail-quota-near")
    governor.brake(1, "")
    SendingAccount.objects.update(quota=-1, sent=10_000)
    scheduler.run(minutes=2)
    assert told() == []
    SendingAccount.objects.update(quota=50_000, sent=46_000)
    scheduler.run(minutes=1)
    SendingAccount.objects.update(sent=1000)
    scheduler.run(minutes=4)
    assert told() == [("mail-quota-near", "fired", "sent"), ("mail-quota-near", "over", "sent")]
    assert "92.00 %" in slack.messages[0]["text"]


def test_a_campaign_that_paused_itself_is_told_and_one_that_a_person_paused_is_not(
    acme: Organisation, slack: FakeSlack, scheduler: Scheduler, monkeypatch: MonkeyPatch
) -> None:
    only(monkeypatch, "campaign-paused-itself")
    by_emma, by_itself = people.campaign(acme, "one"), people.campaign(acme, "two")
    Campaign.objects.update(state=CampaignState.SENDING)
    campaigns.pause(by_emma, by="emma")
    scheduler.run(minutes=2)
    assert told() == []
    campaigns.pause_itself(by_itself.pk, "7 of 10 messages failed.")
    scheduler.run(minutes=1)
    assert slack.titles == ["🟠 A campaign paused itself"]
    campaigns.cancel(by_itself, by="emma")
    scheduler.run(minutes=4)
    assert told() == [("campaign-paused-itself", "fired", "sent"), ("campaign-paused-itself", "over", "sent")]


def test_notices_that_nobody_applies_are_told(slack: FakeSlack, scheduler: Scheduler, monkeypatch: MonkeyPatch) -> None:
    only(monkeypatch, "feedback-not-applied")
    notice = FeedbackNotice.objects.create(key="1", topic="t", body="ann@acme.example.com", received_at=scheduler.now)
    scheduler.run(minutes=4)
    assert told() == []
    scheduler.run(minutes=4)
    assert slack.titles == ["🟠 Feedback is not applied"]
    assert "ann@" not in str(slack.messages)
    FeedbackNotice.objects.filter(pk=notice.pk).update(applied_at=timezone.now())
    scheduler.run(minutes=4)
    assert told() == [("feedback-not-applied", "fired", "sent"), ("feedback-not-applied", "over", "sent")]
