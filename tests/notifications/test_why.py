"""Why somebody got it or did not: for each reason that there is, the page says the one that the ledger has."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from engagement.models import Brand, Consent, Organisation, Profile, Shopper
from notifications import arms, why
from notifications.models import Campaign, Preference, Reason, SendingPolicy, Suppression
from tests.analytics.rows import local
from tests.notifications import ledger, people

pytestmark = pytest.mark.django_db
HERE = "Africa/Johannesburg"
TEN = local(HERE, 2026, 10, 1, 10)


@pytest.fixture
def ann(acme: Organisation) -> Shopper:
    """She agreed, in a shop."""
    [number] = people.shoppers(acme, 1, prefix="ann", given_at=TEN - timedelta(days=30))
    Consent.objects.create(
        organisation=acme, shopper_id=number, channel="email", purpose="marketing", given=True, at=TEN - timedelta(days=30), source="checkout", wording="v3"
    )
    return Shopper.objects.get(pk=number)


@pytest.fixture
def spring(acme: Organisation) -> Campaign:
    return people.campaign(acme, brand=Brand.objects.get(organisation=acme, key="brew"))


def ask(campaign: Campaign, shopper: Shopper, now: datetime | None = None) -> tuple[str, dict[str, list[tuple[str, bool | None]]]]:
    """The verdict; and under each heading, what is said and whether it let the message pass."""
    found = why.explain(campaign, shopper, now=now)
    steps: dict[str, list[tuple[str, bool | None]]] = {}
    for step in found["steps"]:
        steps.setdefault(step["what"], []).append((step["detail"], step["ok"]))
    return found["verdict"], steps


def stops(steps: dict[str, list[tuple[str, bool | None]]]) -> list[str]:
    return [what for what, said in steps.items() if any(ok is False for _, ok in said)]


class TestBeforeItRan:
    def test_everything_lets_her_pass(self, spring: Campaign, ann: Shopper) -> None:
        verdict, steps = ask(spring, ann)
        assert verdict == "It would be sent now."
        assert stops(steps) == []
        assert list(steps) == ["Audience", "Address", "Consent", "Suppression", "Wishes", "Frequency", "Quiet hours", "Holdout", "Variant"]
        assert steps["Consent"] == [("Given (checkout, v3).", None), ("The shopper agrees to “marketing”.", True)]

    @pytest.mark.parametrize(
        ("reason", "heading"),
        [("no_address", "Address"), ("no_consent", "Consent"), ("suppressed", "Suppression"), ("not_wished", "Wishes"), ("capped", "Frequency")],
    )
    def test_what_stands_in_the_way_is_what_would_be_decided(self, acme: Organisation, spring: Campaign, ann: Shopper, reason: str, heading: str) -> None:
        self.hinder(acme, spring, ann, reason)
        verdict, steps = ask(spring, ann)
        assert verdict == f"It would not be sent now: {Reason(reason).label}."
        assert stops(steps) == [heading]

    def hinder(self, acme: Organisation, spring: Campaign, ann: Shopper, reason: str) -> None:
        now = timezone.now()
        spring.audience.rule = {"not": {"attribute": {"name": "tier", "is": "gold"}}}
        spring.audience.save()
        if reason == "no_address":
            Profile.objects.filter(shopper=ann).update(email="")
        elif reason == "no_consent":
            people.withdraw(ann.pk)
            Consent.objects.create(organisation=acme, shopper=ann, channel="email", purpose="marketing", given=False, at=now, source="unsubscribe")
        elif reason == "suppressed":
            people.suppress(acme, "ann0@acme.example.com")
        elif reason == "not_wished":
            Preference.objects.create(organisation=acme, shopper=ann, brand=spring.brand, wished=False, at=now)
        else:
            SendingPolicy.objects.create(organisation=acme, cap_messages=1, cap_days=7)
            other = people.campaign(acme, "other")
            ledger.message(ledger.run(other, now - timedelta(days=2)), ann)

    def test_the_messages_that_count_against_the_limit_are_named(self, acme: Organisation, spring: Campaign, ann: Shopper) -> None:
        Campaign.objects.filter(pk=spring.pk).update(cap_messages=2, cap_days=7)
        spring.refresh_from_db()
        now = timezone.now()
        for key, brand, days in (("ours", spring.brand, 2), ("old", spring.brand, 8), ("others", None, 1)):
            ledger.message(ledger.run(people.campaign(acme, key, brand=brand), now - timedelta(days=days)), ann)
        assert ask(spring, ann)[1]["Frequency"] == [("At most 2 messages in any 7 days, of this brand: there was 1.", True), ("“Ours” counts.", None)]

    def test_somebody_who_is_not_in_the_audience(self, spring: Campaign, ann: Shopper) -> None:
        spring.audience.rule = {"attribute": {"name": "tier", "is": "gold"}}
        spring.audience.save()
        verdict, steps = ask(spring, ann)
        assert verdict == "It would not be sent now: the shopper is not in the audience."
        assert stops(steps) == ["Audience"]

    def test_quiet_hours_by_both_clocks(self, spring: Campaign, ann: Shopper) -> None:
        Profile.objects.filter(shopper=ann).update(time_zone="America/New_York")
        spring.quiet_hours = {"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shopper", "shop"]}
        spring.save()
        verdict, steps = ask(spring, ann, now=local(HERE, 2026, 10, 1, 10))
        assert verdict == "It would be sent when the quiet hours are over."
        assert steps["Quiet hours"] == [("From 21:00 until 08:00 on these clocks: America/New_York, Africa/Johannesburg.", None), ("They hold now.", None)]
        assert ask(spring, ann, now=local(HERE, 2026, 10, 1, 15))[0] == "It would be sent now."

    def test_somebody_who_would_be_held_out(self, acme: Organisation, spring: Campaign, ann: Shopper) -> None:
        spring.holdout = 0.5
        spring.save()
        crowd = people.shoppers(acme, 12)
        out = arms.held(spring.pk, np.array(crowd), 0.5).tolist()
        said = [ask(spring, row)[0] for row in Shopper.objects.filter(pk__in=crowd).order_by("pk")]
        assert said == ["It would not be sent: the shopper would be held out." if held else "It would be sent now." for held in out]


class TestAfterItRan:
    @pytest.mark.parametrize(
        ("state", "more", "verdict"),
        [
            ("planned", {}, "It is planned, and waits for its turn."),
            ("delivered", {"provider_id": "ses-1"}, "It was delivered."),
            ("skipped", {"reason": "no_consent"}, "It was not sent. No consent for this purpose."),
            ("failed", {"reason": "refused"}, "It could not be sent. The provider refused it for ever."),
            ("held_out", {}, "It was not sent: the shopper is of the group that is left alone, so that the others can be compared with it."),
            ("unknown", {}, "It may have been sent. Nobody can know, so it is not sent again."),
        ],
    )
    def test_the_verdict_is_what_the_ledger_says(self, spring: Campaign, ann: Shopper, state: str, more: dict[str, Any], verdict: str) -> None:
        message = ledger.message(ledger.run(spring, TEN), ann, state, **more)
        said, steps = ask(spring, ann)
        assert said == verdict
        assert steps["Audience"][0] == ("The shopper was in “For spring” when it was planned.", True)
        assert steps[f"Message {message.pk}"]

    def test_what_was_heard_is_told_in_order(self, spring: Campaign, ann: Shopper) -> None:
        message = ledger.message(ledger.run(spring, TEN), ann, "delivered", provider_id="ses-1", attempts=1)
        ledger.event(message, "click", TEN + timedelta(hours=2), by="person")
        ledger.event(message, "delivery", TEN + timedelta(minutes=1), detail="250 ok")
        ledger.event(message, "open", TEN + timedelta(hours=1), by="machine")
        assert [said for said, _ in ask(spring, ann)[1][f"Message {message.pk}"]] == [
            *("It was taken to be sent (1 try).", "The provider took it as ses-1.", "Delivered (250 ok)."),
            *("Opened (A machine).", "Clicked (A person).", "Delivered."),
        ]

    def test_what_holds_now_does_not_change_what_was_decided(self, acme: Organisation, spring: Campaign, ann: Shopper) -> None:
        """She unsubscribed after it had come."""
        ledger.message(ledger.run(spring, TEN), ann, "delivered")
        Suppression.objects.create(organisation=acme, address="ann0@acme.example.com", why="unsubscribe", at=TEN + timedelta(days=1))
        verdict, steps = ask(spring, ann)
        assert verdict == "It was delivered."
        assert steps["Suppression"] == [("The address was suppressed: Its owner unsubscribed.", False)]

    def test_somebody_who_joined_the_audience_later_was_not_in_it(self, spring: Campaign, ann: Shopper) -> None:
        ledger.run(spring, TEN)
        verdict, steps = ask(spring, ann)
        assert verdict == "It was not sent: the shopper was not in the audience when it was planned."
        assert steps["Audience"] == [
            ("The shopper was not in “For spring” when it was planned.", False), ("The shopper is in “For spring” now.", True)
        ]  # fmt: skip

    def test_the_page_has_no_address_of_anybody(self, spring: Campaign, ann: Shopper) -> None:
        ledger.message(ledger.run(spring, TEN), ann, "delivered")
        assert "@" not in str(why.explain(spring, ann))
