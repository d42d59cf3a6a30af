"""May this go to this shopper now? Asked in sets and asked in rows, the answer is the same."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pyroaring import BitMap

from engagement.models import Brand, Organisation
from notifications import eligibility
from notifications.eligibility import Later
from notifications.models import Campaign, Message, Preference, Reason, SendingPolicy, Suppression, Topic
from tests.notifications import people

pytestmark = pytest.mark.django_db


def rows(campaign: Campaign, shoppers: list[int], now: datetime | None = None) -> dict[int, Reason | Later | None]:
    with connection.cursor() as cursor:
        return eligibility.judge(cursor, campaign, shoppers, now or timezone.now())


def both(campaign: Campaign, shoppers: list[int], now: datetime | None = None) -> dict[int, Reason | None]:
    """The verdicts, by either way."""
    now = now or timezone.now()
    asked = rows(campaign, shoppers, now)
    found = eligibility.sort_out(campaign, BitMap(shoppers), now)
    in_sets = {shopper: reason for reason, those in found.reasons.items() for shopper in those} | dict.fromkeys(found.left)
    assert asked == in_sets
    return in_sets


def told(campaign: Campaign, shopper: int, at: datetime, state: str = "sent") -> None:
    run, _ = campaign.runs.get_or_create(due_at=at)
    Message.objects.create(
        organisation_id=campaign.organisation_id, campaign=campaign, run=run, shopper_id=shopper, state=state, send_after=at,
        claim="00000000-0000-0000-0000-000000000001", claimed_at=at, updated_at=at,
    )  # fmt: skip


def test_everybody_has_one_reason_the_first_that_holds(acme: Organisation, rival: Organisation) -> None:
    brand = Brand.objects.get(organisation=acme, key="brew")
    campaign = people.campaign(acme, brand=brand, cap_messages=1, cap_days=7)
    well, unwished, capped = people.shoppers(acme, 3)
    [silent] = people.shoppers(acme, 1, first=10, email=False, consent=False)
    [refusing] = people.shoppers(acme, 1, first=20, consent=False)
    [suppressed] = people.shoppers(acme, 1, first=30, prefix="Bounced")
    people.suppress(acme, "bounced30@acme.example.com")
    people.suppress(rival, "s0@acme.example.com")  # the rival's suppressions are the rival's
    Preference.objects.create(organisation=acme, shopper_id=unwished, brand=brand, wished=False, at=timezone.now())
    told(campaign, capped, timezone.now() - timedelta(days=6))
    [stranger] = people.shoppers(rival, 1)
    assert both(campaign, [well, unwished, capped, silent, refusing, suppressed, stranger]) == {
        well: None, unwished: Reason.NOT_WISHED, capped: Reason.CAPPED, silent: Reason.NO_ADDRESS, refusing: Reason.NO_CONSENT,
        suppressed: Reason.SUPPRESSED, stranger: Reason.NO_ADDRESS,
    }  # fmt: skip


def test_what_changes_is_seen_at_the_next_look(acme: Organisation) -> None:
    campaign = people.campaign(acme)
    [shopper] = people.shoppers(acme, 1)
    assert both(campaign, [shopper]) == {shopper: None}
    people.suppress(acme, "s0@acme.example.com")
    assert both(campaign, [shopper]) == {shopper: Reason.SUPPRESSED}
    Suppression.objects.update(lifted_at=timezone.now())
    assert both(campaign, [shopper]) == {shopper: None}
    people.withdraw(shopper)
    assert both(campaign, [shopper]) == {shopper: Reason.NO_CONSENT}


def test_a_suppression_follows_the_address_and_not_the_shopper(acme: Organisation) -> None:
    campaign = people.campaign(acme)
    one, other = people.shoppers(acme, 2)
    people.suppress(acme, "s0@acme.example.com")
    assert both(campaign, [one, other]) == {one: Reason.SUPPRESSED, other: None}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engagement_profile SET email = 'new@acme.example.com' WHERE shopper_id = %s", [one])
        cursor.execute("UPDATE engagement_profile SET email = 'S0@acme.example.com' WHERE shopper_id = %s", [other])
    assert both(campaign, [one, other]) == {one: None, other: Reason.SUPPRESSED}


def test_a_wish_about_another_brand_or_topic_is_no_matter(acme: Organisation) -> None:
    brew, page = Brand.objects.filter(organisation=acme).order_by("key")
    topic = Topic.objects.create(organisation=acme, key="offers", name="Offers")
    one, other = people.shoppers(acme, 2)
    Preference.objects.create(organisation=acme, shopper_id=one, brand=page, wished=False, at=timezone.now())
    Preference.objects.create(organisation=acme, shopper_id=other, topic=topic, wished=False, at=timezone.now())
    assert both(people.campaign(acme, "a", brand=brew), [one, other]) == {one: None, other: None}
    assert both(people.campaign(acme, "b", brand=brew, topic=topic), [one, other]) == {one: None, other: Reason.NOT_WISHED}
    assert both(people.campaign(acme, "c", brand=page), [one, other]) == {one: Reason.NOT_WISHED, other: None}


def test_caps_count_in_a_window_that_rolls_by_brand_and_for_all_of_them(acme: Organisation) -> None:
    brew, page = Brand.objects.filter(organisation=acme).order_by("key")
    now = timezone.now()
    SendingPolicy.objects.create(organisation=acme, cap_messages=3, cap_days=30)
    of_brew, of_page, of_none = (people.campaign(acme, f"c{n}", brand=brand, cap_messages=2, cap_days=7) for n, brand in enumerate((brew, page, None)))
    [shopper] = people.shoppers(acme, 1)
    told(of_brew, shopper, now - timedelta(days=7))
    told(of_brew, shopper, now - timedelta(days=6))
    assert both(of_brew, [shopper], now) == {shopper: None}  # the first is out of the window at this instant
    assert both(of_brew, [shopper], now - timedelta(seconds=1)) == {shopper: Reason.CAPPED}
    assert both(of_page, [shopper], now) == both(of_none, [shopper], now) == {shopper: None}
    told(of_none, shopper, now - timedelta(days=1))
    assert both(of_page, [shopper], now) == {shopper: Reason.CAPPED}  # three of all brands in thirty days
    assert both(of_page, [shopper], now + timedelta(days=23)) == {shopper: None}


@pytest.mark.parametrize(("state", "counts"), [("claimed", True), ("sent", True), ("bounced", True), ("unknown", True), ("failed", False), ("skipped", False)])
def test_a_cap_counts_what_may_have_arrived(acme: Organisation, state: str, counts: bool) -> None:
    campaign = people.campaign(acme, cap_messages=1, cap_days=7)
    [shopper] = people.shoppers(acme, 1)
    told(campaign, shopper, timezone.now(), state)
    assert both(campaign, [shopper], timezone.now()) == {shopper: Reason.CAPPED if counts else None}


def test_quiet_hours_hold_or_drop_by_the_shoppers_clock_and_the_shops(acme: Organisation) -> None:
    evening = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)  # 21:30 in Johannesburg
    hours = {"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shopper", "shop"]}
    [home] = people.shoppers(acme, 1)
    [abroad] = people.shoppers(acme, 1, first=10, time_zone="America/New_York")
    [nowhere] = people.shoppers(acme, 1, first=20, time_zone="Mars/Olympus")
    morning = Later(datetime(2026, 11, 22, 6, 0, tzinfo=UTC))
    assert rows(people.campaign(acme, "a", quiet_hours=hours), [home, abroad, nowhere], evening) == {
        home: morning, nowhere: morning, abroad: Later(datetime(2026, 11, 22, 13, 0, tzinfo=UTC)),
    }  # fmt: skip
    drop = people.campaign(acme, "b", quiet_hours={**hours, "then": "drop", "clocks": ["shopper"]})
    assert rows(drop, [home, abroad], evening) == {home: Reason.QUIET_HOURS, abroad: None}
    SendingPolicy.objects.create(organisation=acme, quiet_hours=hours)
    assert rows(people.campaign(acme, "c"), [home], evening) == {home: morning}
    assert rows(people.campaign(acme, "d", quiet_hours={}), [home], evening) == {home: None}  # its own: none
