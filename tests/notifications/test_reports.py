"""The report of a campaign: sums that add up, three columns of opens, and an outcome that says how sure it is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from engagement.models import Organisation, Zone
from notifications import reports
from notifications.models import Campaign, Link, MessageState, Run, Variant
from tests.analytics.rows import local, shopper, stay
from tests.notifications import ledger, people

pytestmark = pytest.mark.django_db
HERE = "Africa/Johannesburg"
NOW = local(HERE, 2026, 11, 1, 12)


def at(day: int, *clock: int) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


@pytest.fixture
def spring(acme: Organisation) -> Campaign:
    brew = Zone.objects.select_related("brand").get(organisation=acme, key="north-brew")
    return people.campaign(acme, brand=brew.brand, variants=(1, 2))


def ask(campaign: Campaign, **more: Any) -> dict[str, Any]:
    return reports.report(campaign, now=NOW, **more)


class TestSums:
    def test_the_states_add_up_to_the_audience_also_while_it_is_planned_and_after_somebody_was_erased(self, acme: Organisation, spring: Campaign) -> None:
        run = ledger.run(spring, at(1, 10))
        for number, (state, reason, more) in enumerate(
            (
                *(("delivered", "", {"variant": variant}) for variant in "aab"),
                ("bounced", "", {}),
                ("failed", "refused", {"variant": "b"}),
                ("skipped", "no_consent", {}),
                ("skipped", "capped", {"meant": True}),
                ("held_out", "", {}),
            )
        ):
            ledger.message(run, shopper(acme, f"s{number}"), state, reason=reason, **more)
        Run.objects.filter(pk=run.pk).update(audience_count=10)  # two have no row yet
        shopper(acme, "s0").delete()
        found = ask(spring, parts=("sums",))
        assert found["audience"] == sum(found["counts"].values()) == 10
        assert found["counts"] == dict.fromkeys(MessageState.values, 0) | {
            "planned": 2, "delivered": 3, "bounced": 1, "failed": 1, "skipped": 2, "held_out": 1
        }  # fmt: skip
        assert found["reasons"] == {"failed": {"refused": 1}, "skipped": {"no_consent": 1, "capped": 1}}
        assert (found["adds_up"], found["left"], found["erased"]) == (True, 4, 1)
        assert [(one["name"], one["weight"], sum(one["counts"].values())) for one in found["variants"]] == [("a", 1, 4), ("b", 2, 2)]

    def test_a_ledger_that_does_not_add_up_says_so(self, acme: Organisation, spring: Campaign) -> None:
        run = ledger.run(spring, at(1, 10))
        for name in ("ann", "ben"):
            ledger.message(run, shopper(acme, name))
        Run.objects.filter(pk=run.pk).update(audience_count=1)
        assert not ask(spring, parts=("sums",))["adds_up"]

    def test_a_draft_has_a_report_of_nothing(self, spring: Campaign) -> None:
        found = ask(spring)
        assert (found["audience"], found["adds_up"], found["outcome"]) == (0, True, None)
        assert found["engagement"]["over_time"]["rows"] == []


class TestEngagement:
    @pytest.fixture
    def sent(self, acme: Organisation, spring: Campaign) -> list[Any]:
        run = ledger.run(spring, at(1, 10))
        return [ledger.message(run, shopper(acme, f"s{number}"), variant="ab"[number % 2]) for number in range(6)]

    def test_a_message_is_opened_once_by_whoever_is_most(self, spring: Campaign, sent: list[Any]) -> None:
        first, second, third, *_ = sent
        for of, by, hour in (
            (first, "machine", 10),
            (first, "person", 12),
            (first, "person", 13),
            (second, "machine", 10),
            (second, "", 11),
            (third, "machine", 10),
        ):
            ledger.event(of, "open", at(1, hour, 5), by=by)
        ledger.event(first, "unsubscribe", at(1, 14))
        for of in sent:
            ledger.event(of, "delivery", at(1, 10, 1))
            ledger.event(of, "send", at(1, 10))
        found = ask(spring, parts=("engagement",))["engagement"]
        assert found["total"] == {
            "sent": 6, "delivered": 6, "unsubscribed": 1,
            "opened": {"person": 1, "unknown": 1, "machine": 1}, "clicked": {"person": 0, "unknown": 0, "machine": 0},
        }  # fmt: skip
        assert [(one["name"], one["sent"], one["opened"]["person"], one["opened"]["machine"]) for one in found["variants"]] == [("a", 3, 1, 1), ("b", 3, 0, 0)]
        rows = found["over_time"]["rows"]
        assert found["over_time"]["bucket"] == "hour"
        assert [(row["period"][11:13], row["variant"]) for row in rows] == [("08", "a"), ("08", "b"), ("09", "b"), ("10", "a"), ("12", "a")]
        assert rows[0]["period"] == "2026-10-01T08:00:00Z"
        for name in ("sent", "delivered", "unsubscribed"):
            assert sum(row[name] for row in rows) == found["total"][name]
        for name in ("opened", "clicked"):
            assert {who: sum(row[name][who] for row in rows) for who in found["total"][name]} == found["total"][name]

    def test_what_took_longer_is_told_by_the_day_of_the_campaigns_clock(self, spring: Campaign, sent: list[Any]) -> None:
        ledger.event(sent[0], "open", at(6, 0, 30), by="person")  # the fifth in UTC
        rows = ask(spring, parts=("engagement",))["engagement"]["over_time"]["rows"]
        assert [(row["period"], row["opened"]["person"]) for row in rows if row["opened"]["person"]] == [("2026-10-06", 1)]

    def test_links_by_clicks_of_people_and_those_that_nobody_clicked(self, acme: Organisation, rival: Organisation, spring: Campaign, sent: list[Any]) -> None:
        one, two, three = (Link.objects.create(campaign=spring, url=f"https://acme.example/{name}") for name in ("one", "two", "three"))
        for of, link, by in (
            (sent[0], one, "person"),
            (sent[0], two, "person"),
            (sent[0], two, "person"),
            (sent[1], two, "unknown"),
            (sent[2], one, "machine"),
        ):
            ledger.event(of, "click", at(1, 11), by=by, link=link)
        ledger.event(sent[3], "click", at(1, 11), by="person")
        theirs = ledger.message(ledger.run(people.campaign(rival, "theirs"), at(1, 10)), shopper(rival, "cy"))
        ledger.event(theirs, "click", at(1, 11), by="person", link=three)
        assert ask(spring, parts=("engagement",))["engagement"]["links"] == [
            {"url": "https://acme.example/two", "clicks": 3, "messages": 2, "machine": 0},
            {"url": None, "clicks": 1, "messages": 1, "machine": 0},
            {"url": "https://acme.example/one", "clicks": 1, "messages": 1, "machine": 1},
            {"url": "https://acme.example/three", "clicks": 0, "messages": 0, "machine": 0},
        ]


class TestOutcome:
    def prepare(self, acme: Organisation, spring: Campaign, *, told: tuple[int, int], held: tuple[int, int]) -> None:
        """So many told and held out, and how many of them came."""
        brew, root = (Zone.objects.get(organisation=acme, key=key) for key in ("north-brew", "north"))
        stay(shopper(acme, "somebody"), root, at(2, 10))
        run = ledger.run(spring, at(1, 10))
        for state, (size, came) in (("delivered", told), ("held_out", held)):
            for number in range(size):
                who = shopper(acme, f"{state}{number}")
                ledger.message(run, who, state, variant="ab"[number % 2])
                if number < came:
                    stay(who, brew, at(2, 10) + timedelta(minutes=number))

    def test_a_difference_with_its_interval(self, acme: Organisation, spring: Campaign) -> None:
        self.prepare(acme, spring, told=(60, 45), held=(40, 10))
        found = ask(spring)["outcome"]
        visits = found["visits"]
        assert visits["messaged"] == {"shoppers": 60, "did": 45, "share": 0.75}
        assert visits["held_out"] == {"shoppers": 40, "did": 10, "share": 0.25}
        assert (visits["difference"], visits["verdict"]) == (0.5, "more")
        assert 0.30 < visits["low"] < 0.32 and 0.64 < visits["high"] < 0.66
        assert visits["sentence"].startswith("50.0 percentage points more")
        assert sum(one["visits"]["did"] for one in found["variants"]) == 45
        assert (found["days"], found["brand"], found["complete"]) == (7, "brew", True)
        assert (found["since"], found["until"]) == ("2026-10-01T08:00:00Z", "2026-10-08T08:00:00Z")
        assert 0 < found["coverage"] < 1

    def test_too_few_to_say(self, acme: Organisation, spring: Campaign) -> None:
        self.prepare(acme, spring, told=(19, 6), held=(1, 0))
        found = ask(spring)["outcome"]
        assert found["visits"]["verdict"] == found["purchases"]["verdict"] == "too_few"
        assert found["visits"]["sentence"] == "Too few to say: of both groups together 6 of 20."

    def test_no_difference_says_how_many_would_show_one(self, acme: Organisation, spring: Campaign) -> None:
        self.prepare(acme, spring, told=(40, 20), held=(30, 14))
        visits = ask(spring)["outcome"]["visits"]
        assert visits["verdict"] == "open" and visits["needed"] > 5_000
        assert f"An audience of about {visits['needed']:,}" in visits["sentence"]

    def test_before_the_windows_are_over_it_says_so(self, acme: Organisation, spring: Campaign) -> None:
        self.prepare(acme, spring, told=(3, 1), held=(1, 0))
        found = reports.report(spring, now=at(4, 10))
        assert found["outcome"]["complete"] is False

    def test_the_rivals_rows_are_in_no_figure(self, acme: Organisation, rival: Organisation, spring: Campaign) -> None:
        theirs = people.campaign(rival, "theirs")
        ledger.message(ledger.run(theirs, at(1, 10)), shopper(rival, "cy"))
        assert ask(spring)["audience"] == 0
        assert Variant.objects.filter(campaign=theirs).exists()
