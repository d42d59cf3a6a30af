"""From a due campaign to a row for everybody: once, whatever happens meanwhile, and the sums add up at every instant."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection
from django.utils import timezone
from pyroaring import BitMap
from pytest import MonkeyPatch

from engagement.models import Erasure, Organisation
from notifications import arms, campaigns, planning
from notifications.models import Campaign, CampaignState, Message, Reason, Run
from tests.notifications import people

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_slices(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SLICE", 10)


def started(organisation: Organisation, **more: Any) -> Campaign:
    return campaigns.send(people.campaign(organisation, **more), by="emma")


def test_everybody_in_the_audience_has_one_row_with_his_fate(acme: Organisation, rival: Organisation, small_slices: None) -> None:
    well = people.shoppers(acme, 60)
    [silent] = people.shoppers(acme, 1, first=100, email=False)
    people.shoppers(acme, 5, first=200, consent=False)  # not in the audience: its rule asks for consent
    people.shoppers(rival, 5)
    people.suppress(acme, "s7@acme.example.com")
    made = started(acme, variants=(1, 3), holdout="0.2")
    assert planning.plan() == 61
    assert planning.plan() == 0
    held = int(arms.held(made.pk, np.array([s for s in well if s != well[7]]), 0.2).sum())
    assert people.states(made) == {"planned": 59 - held, "held_out": held, "skipped no_address": 1, "skipped suppressed": 1}
    run = made.runs.get()
    assert (run.audience_count, bytes(run.audience), run.cursor) == (61, b"", max(well[-1], silent)) and run.planned_at
    assert sum(campaigns.counts(made).values()) == 61


def test_variants_are_drawn_for_those_who_are_told_and_stay_the_same(acme: Organisation) -> None:
    shoppers = people.shoppers(acme, 300)
    made = started(acme, variants=(1, 3), holdout="0.1")
    planning.plan()
    of = dict(Message.objects.filter(campaign=made, state="planned").values_list("shopper_id", "variant__name"))
    chosen = np.array(sorted(of))
    assert [of[shopper] for shopper in chosen.tolist()] == ["ab"[index] for index in arms.variants(made.pk, chosen, [1, 3]).tolist()]
    assert 0.6 < sum(name == "b" for name in of.values()) / len(of) < 0.9
    assert not Message.objects.filter(campaign=made, state="held_out", variant__isnull=False).exists()
    assert set(chosen.tolist()) == set(np.array(shoppers)[~arms.held(made.pk, np.array(shoppers), 0.1)].tolist())


def test_the_audience_is_taken_once(acme: Organisation, small_slices: None) -> None:
    people.shoppers(acme, 25)
    made = started(acme)
    planning.plan(budget_s=0)  # taken and kept; no slice yet
    assert campaigns.counts(made)["planned"] == 25
    people.shoppers(acme, 5, first=100)
    assert planning.plan() == 25


def test_planning_goes_on_where_it_stopped_and_the_sums_add_up_meanwhile(acme: Organisation, small_slices: None, monkeypatch: MonkeyPatch) -> None:
    people.shoppers(acme, 35)
    made = started(acme, holdout="0.3")
    seen: list[dict[str, int]] = []

    def die(name: str) -> None:
        if name == "plan.after_commit":
            seen.append(campaigns.counts(made))
            raise KeyboardInterrupt

    monkeypatch.setattr(planning, "point", die)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            planning.plan()
    monkeypatch.undo()
    assert planning.plan() == 0
    assert [sum(counts.values()) for counts in seen] == [35] * 4 and sum(campaigns.counts(made).values()) == 35
    assert Message.objects.filter(campaign=made).count() == 35 and made.runs.get().planned_at


def test_a_slice_that_is_not_committed_leaves_nothing(acme: Organisation, monkeypatch: MonkeyPatch) -> None:
    people.shoppers(acme, 5)
    made = started(acme)

    def die(name: str) -> None:
        if name == "plan.before_commit":
            raise KeyboardInterrupt

    monkeypatch.setattr(planning, "point", die)
    with pytest.raises(KeyboardInterrupt):
        planning.plan()
    monkeypatch.undo()
    assert not Message.objects.filter(campaign=made).exists() and planning.plan() == 5


def test_nobody_gets_a_second_row_of_a_run(acme: Organisation) -> None:
    people.shoppers(acme, 1)
    made = started(acme)
    planning.plan()
    Run.objects.update(cursor=0, planned_at=None, audience=BitMap([Message.objects.get().shopper_id]).serialize())  # as if the cursor were lost
    with pytest.raises(IntegrityError, match="message_once"):
        planning.plan()
    assert campaigns.counts(made)["planned"] == 1


def test_a_paused_campaign_is_planned_when_it_goes_on_and_a_cancelled_one_is_accounted_for(acme: Organisation, small_slices: None) -> None:
    people.shoppers(acme, 15)
    made = started(acme, holdout="0.5")
    planning.plan(budget_s=0)
    campaigns.pause(made, by="emma")
    assert planning.plan() == 0
    campaigns.cancel(made, by="emma")
    assert planning.plan() == 15
    assert people.states(made) == {"skipped cancelled": 15}


def test_each_shopper_is_told_at_the_time_on_his_own_clock(acme: Organisation) -> None:
    now = datetime.fromisoformat("2026-11-21T06:00:00+00:00")
    people.shoppers(acme, 1)
    people.shoppers(acme, 1, first=10, time_zone="Europe/Berlin")
    people.shoppers(acme, 1, first=20, time_zone="Asia/Tokyo")
    made = people.campaign(acme, send_at=now + timedelta(hours=2), in_shopper_time=True)  # ten o'clock in Johannesburg
    campaigns.send(made, by="emma", now=now)
    planning.plan(now=now)
    assert [f"{at:%H:%M}" for at in Message.objects.order_by("shopper_id").values_list("send_after", flat=True)] == ["08:00", "09:00", "06:00"]


def test_whoever_is_erased_while_his_campaign_is_planned_leaves_no_number(acme: Organisation, small_slices: None) -> None:
    shoppers = people.shoppers(acme, 12)
    made = started(acme)
    planning.plan(budget_s=0)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM engagement_profile WHERE shopper_id = %s", [shoppers[3]])
        cursor.execute("DELETE FROM engagement_shopper WHERE id = %s", [shoppers[3]])
    planning.plan()
    assert not Message.objects.filter(shopper_id=shoppers[3]).exists()
    assert Message.objects.get(campaign=made, shopper_id__lt=0).reason in (Reason.ERASED, Reason.NO_ADDRESS)
    assert sum(campaigns.counts(made).values()) == 12


def test_whoever_is_erased_while_his_campaign_is_paused_leaves_its_audience_too(acme: Organisation, small_slices: None) -> None:
    shoppers = people.shoppers(acme, 12)
    made = started(acme)
    planning.plan(budget_s=0)
    campaigns.pause(made, by="emma")
    Erasure.objects.create(organisation=acme, requested_by="alice", finished_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM engagement_profile WHERE shopper_id = %s", [shoppers[3]])
        cursor.execute("DELETE FROM engagement_shopper WHERE id = %s", [shoppers[3]])
    planning.plan()
    assert shoppers[3] not in BitMap.deserialize(bytes(made.runs.get().audience))
    assert sum(campaigns.counts(made).values()) == 12
    campaigns.resume(made, by="emma")
    planning.plan()
    assert people.states(made) == {"planned": 11, "skipped erased": 1} and sum(campaigns.counts(made).values()) == 12


def test_an_audience_that_cannot_be_made_waits_for_somebody(acme: Organisation) -> None:
    people.shoppers(acme, 1)
    made = started(acme, rule={"audience": "gone"})
    planning.plan()
    made.refresh_from_db()
    assert made.state == CampaignState.PAUSED and "audience" in made.pause_reason


def test_an_empty_audience_is_planned_at_once(acme: Organisation) -> None:
    made = started(acme)
    assert planning.plan() == 0
    assert made.runs.get().planned_at and sum(campaigns.counts(made).values()) == 0


def test_a_due_campaign_is_planned_without_anybody(acme: Organisation) -> None:
    people.shoppers(acme, 3)
    at = timezone.now() + timedelta(hours=1)
    made = campaigns.send(people.campaign(acme, send_at=at), by="emma")
    assert planning.plan(now=at - timedelta(seconds=1)) == 0
    assert planning.plan(now=at) == 3
    assert set(Message.objects.filter(campaign=made).values_list("send_after", flat=True)) == {at}
