"""The live page and its figures: true, of one organisation alone, and cheap."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from engagement import provisioning
from engagement.models import Inbox, Membership, Organisation, Outcome, RecentEvent, Role, Venue, Zone
from tests.analytics import rows

pytestmark = pytest.mark.django_db


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_acme(alice: User) -> Client:
    return browser(alice)


def now_of(client: Client, venue: Venue, **query: str) -> Any:
    answer = client.get(reverse("live_now", args=[venue.pk]), query)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    return answer.json()


def outcome(organisation: Organisation, hour: datetime, name: str, events: int, shard: int = 0) -> None:
    Outcome.objects.create(organisation=organisation, hour=hour.replace(minute=0, second=0, microsecond=0), shard=shard, outcome=name, events=events)


def test_the_first_page_is_the_first_venue(at_acme: Client, north: Venue) -> None:
    first = at_acme.get(reverse("live"), follow=True)
    assert first.redirect_chain[-1][0] == reverse("live_venue", args=[north.pk])
    page = first.content.decode()
    assert "<svg" in page and 'data-zone="north-brew"' in page and "kind-street" in page


def test_a_strangers_venue_is_no_venue(charlie: User, north: Venue) -> None:
    stranger = browser(charlie)
    for name in ("live_venue", "live_now"):
        answer = stranger.get(reverse(name, args=[north.pk]))
        assert answer.status_code == 404
        assert "North Mall" not in answer.content.decode()


def test_who_is_not_logged_in_gets_no_figure(north: Venue) -> None:
    assert Client().get(reverse("live_now", args=[north.pk])).status_code == 302


def test_figures_are_read_and_never_posted(at_acme: Client, north: Venue) -> None:
    assert at_acme.post(reverse("live_now", args=[north.pk])).status_code == 405


def test_who_is_inside_is_counted_by_zone(at_acme: Client, north: Venue, acme: Organisation) -> None:
    root, brew = Zone.objects.get(venue=north, kind="venue"), Zone.objects.get(key="north-brew")
    began = timezone.now() - timedelta(minutes=5)
    for name in ("ann", "ben"):
        rows.stay(rows.shopper(acme, name), root, began, 290)
    rows.stay(rows.shopper(acme, "ann"), brew, began, 290)
    assert now_of(at_acme, north)["occupancy"] == {"north": 2, "north-brew": 1}


def test_outcomes_are_totals_since_a_whole_hour(at_acme: Client, north: Venue, acme: Organisation, rival: Organisation) -> None:
    now = timezone.now()
    for shard in (1, 2):
        outcome(acme, now, "accepted", 10, shard)
    outcome(acme, now - timedelta(hours=1), "too_old", 3)
    outcome(acme, now - timedelta(hours=5), "accepted", 1000)
    outcome(rival, now, "accepted", 77)
    seen = now_of(at_acme, north)
    assert seen["counts"] == {"accepted": 20, "too_old": 3}
    since = datetime.fromisoformat(seen["since"])
    assert (since.minute, since.second) == (0, 0)
    # A page that stays open goes on counting from where it began.
    earlier = (now - timedelta(hours=6)).isoformat()
    assert now_of(at_acme, north, since=earlier)["counts"]["accepted"] == 1020


@pytest.mark.parametrize(
    "since", ["", "yesterday", "2026-13-45T00:00:00Z", "2020-01-01T00:00:00Z", "2026-11-20T10:00:00", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_a_wrong_beginning_becomes_the_hour_before(since: str, at_acme: Client, north: Venue) -> None:
    seen = datetime.fromisoformat(now_of(at_acme, north, since=since)["since"])
    assert timedelta(hours=1) <= datetime.now(UTC) - seen < timedelta(hours=2)


def test_the_last_events_say_what_became_of_them(at_acme: Client, north: Venue, acme: Organisation, rival: Organisation) -> None:
    at = datetime(2026, 11, 20, 10, 0, 5, tzinfo=UTC)
    for organisation, device in ((acme, "phone-1"), (rival, "phone-of-a-stranger")):
        RecentEvent.objects.create(
            organisation=organisation, received_at=at, device=device, kind="fix", outcome="accepted", zones="north-brew, north-ground, north"
        )
    RecentEvent.objects.create(organisation=acme, received_at=at, device="phone-2", kind="", outcome="too_old", zones="")
    refused, accepted = now_of(at_acme, north)["events"]
    assert (accepted["at"], accepted["device"], accepted["label"], accepted["zones"]) == ("12:00:05", "phone-1", "Accepted", ["Brew"])
    assert (refused["label"], refused["tone"], refused["zones"]) == ("Too old", "bad", [])


def test_the_inbox_is_told_by_depth_and_age(at_acme: Client, north: Venue, acme: Organisation, rival: Organisation) -> None:
    received = timezone.now() - timedelta(seconds=30)
    for organisation in (acme, rival):
        Inbox.objects.create(organisation=organisation, shard=0, received_at=received, events=5, payload=b"")
    waiting = now_of(at_acme, north)["inbox"]
    assert (waiting["requests"], waiting["events"]) == (1, 5) and 29 < waiting["oldest_s"] < 60


def test_a_poll_costs_the_same_few_queries_however_much_there_is(at_acme: Client, north: Venue, acme: Organisation, django_assert_num_queries: Any) -> None:
    for number in range(30):
        RecentEvent.objects.create(
            organisation=acme, received_at=timezone.now(), device=f"phone-{number}", kind="fix", outcome="accepted", zones="north-brew north"
        )
    # Session, user, organisations, membership, time zone; venue, zones, inbox, outcomes, occupancy, events and their zones.
    with django_assert_num_queries(12):
        now_of(at_acme, north)


def test_an_organisation_without_a_venue_is_told_what_to_do(alice: User, at_acme: Client) -> None:
    provisioning.provision({"organisation": {"key": "bare", "name": "Bare Ltd"}})
    Membership.objects.all().delete()
    Membership.objects.create(user=alice, organisation=Organisation.objects.get(key="bare"), role=Role.OWNER)
    page = at_acme.get(reverse("live")).content.decode()
    assert "No venue yet" in page and "manage.py provision" in page and "bare" in page


def test_a_venue_without_events_shows_how_to_send_the_first(at_acme: Client, north: Venue, acme: Organisation) -> None:
    address = reverse("live_venue", args=[north.pk])
    page = at_acme.get(address).content.decode()
    assert "curl -X POST http://testserver/v1/events" in page and "atr_pub_" in page
    outcome(acme, timezone.now(), "accepted", 1)
    assert "curl" not in at_acme.get(address).content.decode()


def test_what_became_of_the_events_is_told_by_the_hour(at_acme: Client, charlie: User, acme: Organisation) -> None:
    outcome(acme, timezone.now(), "accepted", 1234567)
    outcome(acme, timezone.now(), "a_new_reason", 1)
    page = at_acme.get(reverse("outcomes")).content.decode()
    assert "1,234,567" in page and "1,234,568" in page and "A new reason" in page and "SAST" in page
    assert "Nothing came in these hours" in browser(charlie).get(reverse("outcomes")).content.decode()
