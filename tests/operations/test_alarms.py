"""Each alarm fires and resolves by its real cause, told to Slack once each."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.db import connection
from django.utils import timezone

from analytics import figures, recount
from analytics.models import Stay
from engagement import health, partitions, set_aside
from engagement.models import Heartbeat, Inbox, Organisation, SetAside, Zone
from operations import evaluation, upkeep
from operations.alarms import ALARMS, DECLARED, Declaration
from operations.models import Alarm
from tests.analytics.rows import shopper, stay
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack


def test_nothing_is_said_while_nothing_is_wrong(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    scheduler.run(minutes=5)
    assert (told(), slack.requests) == ([], 0)
    assert set(Alarm.objects.values_list("name", "state")) == {(declaration.name, "ok") for declaration in ALARMS}


def fired_then_resolved(name: str) -> list[tuple[str, str, str]]:
    return [(name, "fired", "sent"), (name, "over", "sent")]


def test_a_request_set_aside_fires_until_it_is_sent_on(calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation) -> None:
    poison = SetAside.objects.create(organisation=acme, shard=1, received_at=timezone.now(), events=3, payload=b"", error="a secret error")
    scheduler.run(minutes=5)
    assert slack.titles == ["🟠 Requests are set aside"]
    assert set_aside.replay(organisation=acme, ids=[poison.pk]) == (1, 3)
    scheduler.run(minutes=5)
    assert slack.titles == ["🟠 Requests are set aside", "🟢 Over: Requests are set aside"]
    assert told() == fired_then_resolved("requests-set-aside")
    assert "a secret error" not in str(slack.messages)


def test_an_old_inbox_row_fires_until_the_stream_takes_it(calm: None, slack: FakeSlack, scheduler: Scheduler, acme: Organisation) -> None:
    Inbox.objects.create(organisation=acme, shard=1, received_at=scheduler.now, events=1, payload=b"")
    scheduler.run(minutes=5)
    assert told() == []  # five minutes are long, but may be an import
    scheduler.run(minutes=2)
    assert slack.titles == ["🔴 The stream is behind"]
    assert "6 min" in slack.messages[0]["text"]
    Inbox.objects.all().delete()
    scheduler.run(minutes=3)
    assert told() == fired_then_resolved("stream-behind")


def test_a_stream_without_heartbeat_fires_until_one_beats(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    Heartbeat.objects.filter(process__startswith="stream").update(at=scheduler.now)
    scheduler.run(minutes=3)
    assert slack.titles == ["🔴 The stream is silent"]
    with connection.cursor() as cursor:
        health.beat(cursor.connection, "stream-1")
    scheduler.run(minutes=3)
    assert told() == fired_then_resolved("stream-silent")


def test_a_stream_that_never_ran_fires_and_other_processes_do_not_speak_for_it(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    Heartbeat.objects.filter(process__startswith="stream").delete()
    scheduler.run(minutes=2)
    assert slack.titles == ["🔴 The stream is silent"]
    assert "as long as it exists" in slack.messages[0]["text"]


def test_one_stream_of_two_is_enough(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    Heartbeat.objects.create(process="stream-1", at=scheduler.now - timedelta(days=3))
    scheduler.run(minutes=3)
    assert told() == []


def test_a_missing_partition_fires_until_it_is_made(calm: None, slack: FakeSlack, scheduler: Scheduler) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.name_of(tomorrow)}")
        scheduler.run(minutes=1)
        assert slack.titles == ["🟠 Partitions are not made ahead"]
        partitions.ensure(cursor.connection, first=tomorrow, last=tomorrow)
    scheduler.run(minutes=3)
    assert told() == fired_then_resolved("partitions-missing")


@pytest.mark.django_db(transaction=True)
def test_a_recount_with_a_difference_fires_until_one_finds_none(
    slack: FakeSlack, scheduler: Scheduler, acme: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["recount-differs"],))
    stay(shopper(acme, "crm-1"), Zone.objects.get(organisation=acme, key="north-brew"), timezone.now(), 400)  # of no event
    assert recount.recount().differences
    scheduler.run(minutes=1)
    assert slack.titles == ["🔴 The recount found a difference"]
    Stay.objects.all().delete()
    assert not recount.recount().differences
    scheduler.run(minutes=3)
    assert told() == fired_then_resolved("recount-differs")


@pytest.mark.django_db(transaction=True)
def test_a_day_that_nobody_makes_fires_until_it_is_made(slack: FakeSlack, scheduler: Scheduler, acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED["figures-behind"],))
    brew, noon = Zone.objects.get(organisation=acme, key="north-brew"), datetime(2026, 11, 20, 10, tzinfo=UTC)
    stay(shopper(acme, "crm-1"), brew, noon, 400)
    with figures.session() as session:
        figures.catch_up(session, now=noon + timedelta(hours=1))  # the day is not over: it is noted as due at midnight, and then nobody comes
        scheduler.now = noon + timedelta(days=2)
        scheduler.run(minutes=2)
        assert slack.titles == ["🟠 Figures are not made"]
        figures.catch_up(session, now=scheduler.now)
    scheduler.run(minutes=3)
    assert told() == fired_then_resolved("figures-behind")


@pytest.mark.parametrize("declaration", ALARMS, ids=lambda declaration: declaration.name)
def test_every_alarm_says_what_is_wrong_and_what_to_do(declaration: Declaration) -> None:
    for text in (declaration.threshold(), declaration.reads, declaration.sentence % {"value": declaration.show(declaration.limit)}, declaration.remedy):
        assert str(text).endswith(".")
    assert 0 < len(str(declaration.title)) <= 60
    assert len(DECLARED) == len(ALARMS)


def test_every_alarm_has_its_heading_in_the_runbook_and_no_heading_is_without_an_alarm() -> None:
    page = (settings.BASE_DIR / "RUNBOOK.md").read_text()
    alarms = page.split("\n## Alarms\n")[1].split("\n## ")[0]
    headings = re.findall(r"^### (.*)$", alarms, re.MULTILINE)
    assert sorted(headings) == sorted(DECLARED)
    assert not set(re.findall(r"^### (.*)$", page.replace(alarms, ""), re.MULTILINE)) & set(DECLARED)
    for heading in headings:
        section = alarms.split(f"### {heading}\n")[1].split("\n### ")[0]
        assert section.count("\n- ") >= 1 and section.strip()[0] != "-", heading  # what it means, then what to look at and to type
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", alarms)) - {action.name for action in upkeep.ACTIONS}
    assert named <= set(DECLARED)  # alarms that another's section sends people to
    assert set(re.findall(r"manage\.py ([a-z_]+)", alarms)) <= set(get_commands())
