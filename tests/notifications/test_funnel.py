"""Before it is sent: who falls away and why, and that planning does what the funnel said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pyroaring import BitMap
from pytest import MonkeyPatch

from engagement.models import Organisation
from notifications import campaigns, governor, planning
from notifications.funnel import QuietHours, funnel
from notifications.governor import Pace
from notifications.models import Message
from tests.notifications import people

pytestmark = pytest.mark.django_db
EVENING = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)  # 21:30 in Johannesburg


@pytest.fixture(autouse=True)
def pace(monkeypatch: MonkeyPatch) -> dict[str, Any]:
    said = {"rate": 10.0, "left_today": None}
    monkeypatch.setattr(governor, "pace", lambda lane: Pace(**said))
    return said


def test_the_funnel_is_exact_and_planning_does_what_it_said(acme: Organisation, rival: Organisation) -> None:
    everybody = {"not": {"attribute": {"name": "gone", "is": True}}}
    people.shoppers(acme, 200)
    people.shoppers(acme, 3, first=300, email=False)
    people.shoppers(acme, 4, first=400, consent=False)
    people.shoppers(rival, 7)
    people.suppress(acme, "s7@acme.example.com")
    made = people.campaign(acme, rule=everybody, holdout="0.1", cap_messages=1, cap_days=7)
    earlier = people.campaign(acme, "earlier")
    run = earlier.runs.create(due_at=timezone.now())
    Message.objects.create(
        organisation=acme, campaign=earlier, run=run, shopper_id=people.shoppers(acme, 1, first=500)[0], state="sent",
        claim="00000000-0000-0000-0000-000000000001", claimed_at=timezone.now(), send_after=timezone.now(), updated_at=timezone.now(),
    )  # fmt: skip
    found = funnel(made)
    assert (found.match, found.no_address, found.no_consent, found.suppressed, found.not_wished, found.capped) == (208, 3, 4, 1, 0, 1)
    assert found.holdout + found.left == 199 and 5 < found.holdout < 40
    campaigns.send(made, by="emma")
    planning.plan()
    assert people.states(made) == {
        "planned": found.left, "held_out": found.holdout, "skipped no_address": 3, "skipped no_consent": 4, "skipped suppressed": 1, "skipped capped": 1,
    }  # fmt: skip


def test_the_pace_says_when_the_last_one_is_told(acme: Organisation, pace: dict[str, Any]) -> None:
    people.shoppers(acme, 100)
    made = people.campaign(acme)
    found = funnel(made, now=EVENING)
    assert (found.rate, found.starts_at, found.finish_at, found.quiet) == (10.0, EVENING, EVENING + timedelta(seconds=10), None)
    pace["rate"] = None
    assert funnel(made, now=EVENING).finish_at == EVENING
    pace["left_today"] = 50.0  # of a hundred: at the day's pace it takes two days
    assert funnel(made, now=EVENING).finish_at == EVENING + timedelta(days=2)
    pace["left_today"] = 0.0
    assert funnel(made, now=EVENING).finish_at is None


def test_quiet_hours_say_how_many_wait_and_how_many_are_dropped(acme: Organisation) -> None:
    people.shoppers(acme, 20)
    people.shoppers(acme, 5, first=100, time_zone="America/New_York")
    hours = {"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shopper"]}
    morning = datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert funnel(people.campaign(acme, "a", quiet_hours=hours), now=EVENING).quiet == QuietHours(20, 0, morning)
    assert funnel(people.campaign(acme, "b", quiet_hours={**hours, "then": "drop"}), now=EVENING).quiet == QuietHours(0, 20, None)


def test_a_campaign_by_each_clock_ends_with_the_last_of_them(acme: Organisation) -> None:
    people.shoppers(acme, 10)
    people.shoppers(acme, 10, first=100, time_zone="America/New_York")
    at = datetime(2026, 11, 22, 8, tzinfo=UTC)  # ten o'clock in Johannesburg; in New York it is that at 15:00 UTC
    found = funnel(people.campaign(acme, send_at=at, in_shopper_time=True), now=EVENING)
    assert found.finish_at == datetime(2026, 11, 22, 15, 0, 1, tzinfo=UTC)


def test_somebody_elses_members_are_in_nobodys_funnel(acme: Organisation, rival: Organisation) -> None:
    strangers = people.shoppers(rival, 5)
    found = funnel(people.campaign(acme), BitMap(strangers))
    assert found.left == 0 and found.no_address == 5
