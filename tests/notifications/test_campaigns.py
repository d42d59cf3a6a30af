"""Moves of campaigns: what may follow what, who may say so, and when."""

import itertools
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from engagement.models import Organisation
from notifications import campaigns
from notifications.models import CAMPAIGN_MOVES, Campaign, CampaignState, Run, SendingPolicy
from tests.notifications import people

pytestmark = pytest.mark.django_db


def test_the_database_allows_the_moves_of_the_table_and_no_others(acme: Organisation) -> None:
    audience = people.campaign(acme).audience
    for before, after in itertools.permutations(CampaignState.values, 2):
        made = Campaign.objects.create(organisation=acme, key=f"{before}-{after}", audience=audience, time_zone="UTC", state=before)
        try:
            with transaction.atomic():
                Campaign.objects.filter(pk=made.pk).update(state=after)
            allowed = True
        except IntegrityError:
            allowed = False
        assert allowed == (after in CAMPAIGN_MOVES[before]), f"{before} to {after}"


def test_a_campaign_without_a_time_goes_at_once_and_only_once(acme: Organisation) -> None:
    made = campaigns.send(people.campaign(acme), by="emma")
    assert made.state == CampaignState.SENDING and Run.objects.get(campaign=made).finished_at is None
    with pytest.raises(campaigns.WrongState) as told:
        campaigns.send(made, by="emma")
    assert told.value.state == CampaignState.SENDING and "sending" in str(told.value)


def test_a_campaign_with_a_time_waits_for_it(acme: Organisation) -> None:
    now = timezone.now()
    made = campaigns.send(people.campaign(acme, send_at=now + timedelta(hours=1)), by="emma")
    assert made.state == CampaignState.SCHEDULED
    assert campaigns.start_due(now + timedelta(minutes=59)) == 0
    assert campaigns.start_due(now + timedelta(hours=1)) == 1
    assert campaigns.start_due(now + timedelta(hours=1)) == 0
    assert Run.objects.get(campaign=made).due_at == made.send_at


def test_what_was_due_long_ago_waits_for_a_person(acme: Organisation) -> None:
    now = timezone.now()
    made = campaigns.send(people.campaign(acme, send_at=now + timedelta(hours=1)), by="emma")
    assert campaigns.start_due(now + timedelta(hours=14)) == 0
    made.refresh_from_db()
    assert made.state == CampaignState.PAUSED and "13 hours" in made.pause_reason
    resumed = campaigns.resume(made, by="emma", now=now + timedelta(hours=14))
    assert resumed.state == CampaignState.SENDING and Run.objects.filter(campaign=made).count() == 1
    with pytest.raises(campaigns.NotReady):
        campaigns.send(people.campaign(acme, "late", send_at=now - timedelta(hours=13)), by="emma")


def test_a_recurring_campaign_waits_for_its_next_time_after_each_run(acme: Organisation) -> None:
    now = timezone.now()
    made = campaigns.send(people.campaign(acme, recurrence={"every": "day", "at": "10:00"}), by="emma", now=now)
    first = made.send_at
    assert made.state == CampaignState.SCHEDULED and first is not None and now < first <= now + timedelta(days=1)
    assert campaigns.start_due(first) == 1
    assert not campaigns.finish(made.pk, now=first)  # its run is open
    Run.objects.filter(campaign=made).update(finished_at=first)
    assert campaigns.finish(made.pk, now=first + timedelta(minutes=5))
    made.refresh_from_db()
    assert made.state == CampaignState.SCHEDULED and made.send_at == first + timedelta(days=1)


def test_a_recurring_campaign_that_missed_its_time_goes_on_with_the_next(acme: Organisation) -> None:
    made = campaigns.send(people.campaign(acme, recurrence={"every": "day", "at": "10:00"}), by="emma")
    assert made.send_at is not None
    late = made.send_at + timedelta(hours=30)
    campaigns.start_due(late)
    resumed = campaigns.resume(made, by="emma", now=late)
    assert resumed.state == CampaignState.SCHEDULED and resumed.send_at is not None and late < resumed.send_at <= late + timedelta(days=1)


def test_a_campaign_by_each_shoppers_clock_begins_with_the_first_clock(acme: Organisation) -> None:
    now = timezone.now().replace(microsecond=0)
    made = campaigns.send(people.campaign(acme, send_at=now + timedelta(hours=20), in_shopper_time=True), by="emma", now=now)
    assert campaigns.begins_at(made) == now + timedelta(hours=20 - 14 + 2)  # Johannesburg is two hours ahead of UTC
    assert campaigns.start_due(now + timedelta(hours=8)) == 1


@pytest.mark.parametrize("move", [campaigns.pause, campaigns.resume, campaigns.cancel, campaigns.send, campaigns.unschedule, campaigns.approve])
def test_what_is_cancelled_stays_so(acme: Organisation, move: object) -> None:
    made = campaigns.cancel(people.campaign(acme), by="emma")
    with pytest.raises(campaigns.WrongState) as told:
        move(made, by="emma")
    assert told.value.state == CampaignState.CANCELLED


def test_pausing_says_why_and_resuming_goes_on_with_the_same_run(acme: Organisation) -> None:
    made = campaigns.send(people.campaign(acme), by="emma")
    assert campaigns.pause(made, by="emma").pause_reason == "Paused by emma."
    assert campaigns.resume(made, by="emma").pause_reason == ""
    assert Run.objects.filter(campaign=made).count() == 1
    assert campaigns.pause_itself(made.pk, "Too much failed.") and not campaigns.pause_itself(made.pk, "Again.")


def test_a_second_person_has_to_approve_where_the_organisation_asks_for_it(acme: Organisation) -> None:
    SendingPolicy.objects.create(organisation=acme, needs_approval=True)
    made = people.campaign(acme)
    with pytest.raises(campaigns.NotApproved):
        campaigns.send(made, by="emma")
    with pytest.raises(campaigns.SamePerson):
        campaigns.approve(made, by="emma")
    campaigns.approve(made, by="alice")
    Campaign.objects.filter(pk=made.pk).update(revision=2, changed_by="alice")  # she changed it after all
    with pytest.raises(campaigns.NotApproved):
        campaigns.send(made, by="alice")
    campaigns.approve(made, by="emma")
    assert campaigns.send(made, by="alice").state == CampaignState.SENDING


def test_what_is_not_approved_any_more_does_not_go_by_itself(acme: Organisation) -> None:
    now = timezone.now()
    made = campaigns.send(people.campaign(acme, send_at=now + timedelta(hours=1)), by="emma")
    SendingPolicy.objects.create(organisation=acme, needs_approval=True)
    assert campaigns.start_due(now + timedelta(hours=2)) == 0
    made.refresh_from_db()
    assert made.state == CampaignState.PAUSED
    with pytest.raises(campaigns.NotApproved):
        campaigns.resume(made, by="emma")


def test_a_scheduled_campaign_can_be_a_draft_again_unless_it_was_sent_already(acme: Organisation) -> None:
    made = campaigns.send(people.campaign(acme, recurrence={"every": "day", "at": "10:00"}), by="emma")
    assert campaigns.unschedule(made, by="emma").state == CampaignState.DRAFT
    made = campaigns.send(made, by="emma")
    Run.objects.create(campaign=made, due_at=timezone.now(), finished_at=timezone.now())
    with pytest.raises(campaigns.WrongState):
        campaigns.unschedule(made, by="emma")


def test_nobody_moves_a_campaign_under_another_organisations_name(acme: Organisation, rival: Organisation) -> None:
    made = people.campaign(acme)
    made.organisation = rival
    with pytest.raises(Campaign.DoesNotExist):
        campaigns.send(made, by="charlie")
