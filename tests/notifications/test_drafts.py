"""Drafts: everything that is wrong is said at once, what is told comes back as it was told, and what is past being a draft stays as it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.models import Audience
from engagement.models import Organisation
from notifications import drafts
from notifications.draft_form import Faults, read
from notifications.models import Campaign, Content, Topic, Variant
from tests.notifications import people
from tests.worlds import search


def spring(**more: Any) -> dict[str, Any]:
    """The contract's example."""
    return {
        "key": "spring", "name": "Spring", "brand": None, "audience": "everybody", "channel": "email", "from": "News <news@example.com>",
        "variants": [{"name": "a", "weight": 1, "subject": "Spring is here", "html": "<p>Come and see.</p>", "text": None}],
        "holdout": 0.05, "send_at": None, "quiet_hours": None, "frequency_cap": {"messages": 2, "days": 7}, **more,
    }  # fmt: skip


def variant(**more: Any) -> dict[str, Any]:
    return {**spring()["variants"][0], **more}


def places(told: Any) -> list[str]:
    with pytest.raises(Faults) as raised:
        read(told)
    return [fault.place for fault in raised.value.faults]


WRONG: list[tuple[Any, list[str]]] = [
    (None, [""]),
    ([], [""]),
    ({}, ["key", "name", "audience", "variants"]),
    (spring(surprise=1), ["surprise"]),
    (spring(key="two words"), ["key"]),
    (spring(key="../up"), ["key"]),
    (spring(key=7), ["key"]),
    (spring(name="x" * 201), ["name"]),
    (spring(name="a\nb"), ["name"]),
    (spring(channel="push"), ["channel"]),
    (spring(**{"from": "news@example.com\r\nBcc: all@example.com"}), ["from"]),
    (spring(**{"from": "News <news@example.com>, Other <other@example.com>"}), ["from"]),
    (spring(**{"from": "nobody"}), ["from"]),
    (spring(**{"from": "News <news@localhost>"}), ["from"]),
    (spring(holdout=1), ["holdout"]),
    (spring(holdout=-0.1), ["holdout"]),
    (spring(holdout=0.00001), ["holdout"]),
    (spring(holdout="0.05"), ["holdout"]),
    (spring(holdout=True), ["holdout"]),
    (spring(holdout=float("nan")), ["holdout"]),
    (spring(send_at="2026-11-19"), ["send_at"]),
    (spring(send_at="2026-11-19T10:00:00"), ["send_at"]),
    (spring(send_at=1_700_000_000), ["send_at"]),
    (spring(frequency_cap={"messages": 0, "days": 400, "hours": 1}), ["frequency_cap.hours", "frequency_cap.messages", "frequency_cap.days"]),
    (spring(frequency_cap=3), ["frequency_cap"]),
    (spring(quiet_hours={"from": "25:00", "until": "8", "then": "wait", "clocks": []}),
     [f"quiet_hours.{name}" for name in ("from", "until", "then", "clocks")]),
    (spring(quiet_hours={"from": "08:00", "until": "08:00"}), ["quiet_hours.until"]),
    (spring(recurrence={"every": "year", "at": "10:00"}), ["recurrence.every"]),
    (spring(recurrence={"every": "week", "at": "10:00", "on": [0, 8]}), ["recurrence.on"]),
    (spring(recurrence={"every": "day", "on": ["1"]}), ["recurrence.on", "recurrence.at"]),
    (spring(time_zone="Mars/Olympus"), ["time_zone"]),
    (spring(outcome_days=0), ["outcome_days"]),
    (spring(in_shopper_time="yes"), ["in_shopper_time"]),
    (spring(variants=[]), ["variants"]),
    (spring(variants=[None, variant(weight=0)]), ["variants.0", "variants.1.weight"]),
    (spring(variants=[variant(), variant()]), ["variants.1.name"]),
    (spring(variants=[variant(subject="Hello\r\nBcc: all@example.com")]), ["variants.0.subject"]),
    (spring(variants=[variant(subject="Hello\u2028there", preheader="a\x0bb")]), ["variants.0.subject", "variants.0.preheader"]),
    (spring(variants=[variant(html=None)]), ["variants.0.html"]),
    (spring(variants=[variant(mjml="<mjml></mjml>")]), ["variants.0.mjml"]),
    (spring(variants=[variant(html="x" * 400_001)]), ["variants.0.html"]),
    (spring(variants=[variant(html="a\x00b")]), ["variants.0.html"]),
    (spring(variants=[variant(attachments=["x.pdf"])]), ["variants.0.attachments"]),
    (spring(variants=[variant(languages=[{"language": "de"}, {"language": "DE", "subject": "x", "html": "y"}])]),
     ["variants.0.languages.0.html", "variants.0.languages.0.subject", "variants.0.languages.1.language"]),
    (spring(variants=[variant(languages=[{"language": "<b>", "subject": "x", "html": "y"}])]), ["variants.0.languages.0.language"]),
]  # fmt: skip


@pytest.mark.parametrize(("told", "expected"), WRONG)
def test_what_is_wrong_is_said_with_its_place(told: Any, expected: list[str]) -> None:
    assert sorted(places(told)) == sorted(expected)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert sorted(places(spring(key="", holdout=2, variants=[variant(subject=""), variant(name="b", html="")]))) == [
        "holdout", "key", "variants.0.subject", "variants.1.html"
    ]  # fmt: skip


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "from", "until", "every", "subject", "x"]), inner, max_size=3),
    max_leaves=6,
)


@search(150)
@given(st.sampled_from(sorted(spring())), values)
def test_nothing_that_json_can_say_breaks_the_form(name: str, value: Any) -> None:
    try:
        read(spring(**{name: value}))
    except Faults as faults:
        assert all(fault.detail and fault.place.split(".")[0] == name for fault in faults.faults)


@pytest.fixture
def everybody(acme: Organisation) -> Audience:
    return Audience.objects.create(organisation=acme, key="everybody", name="Everybody", rule=people.EVERYBODY)


def save(acme: Organisation, told: dict[str, Any], by: str = "emma") -> Campaign:
    return drafts.save(organisation=acme, told=told, by=by)[0]


@pytest.mark.django_db
class TestSaved:
    def test_a_draft_comes_back_as_it_was_told(self, acme: Organisation, everybody: Audience) -> None:
        Topic.objects.create(organisation=acme, key="offers", name="Offers")
        german = {"language": "de", "subject": "Frühling", "preheader": "", "html": "<p>Kommen Sie.</p>", "text": "Kommen Sie."}
        told = spring(
            brand="brew", topic="offers", purpose="marketing", send_at="2026-12-01T08:30:00Z", in_shopper_time=True, outcome_days=14, time_zone="Europe/Berlin",
            quiet_hours={"from": "21:00", "until": "08:00", "then": "drop", "clocks": ["shop"]}, recurrence={"every": "week", "at": "10:00", "on": [1, 4]},
            variants=[variant(preheader="Look", languages=[german]), variant(name="b", weight=3)],
        )  # fmt: skip
        expected = {**told, "variants": [{**told["variants"][0]}, {**told["variants"][1], "preheader": ""}]}
        assert drafts.told(save(acme, told)) == expected
        assert drafts.told(save(acme, drafts.told(Campaign.objects.get()))) == expected
        assert Campaign.objects.get().revision == 1

    def test_what_is_left_out_gets_its_default(self, acme: Organisation, everybody: Audience) -> None:
        made = save(acme, {name: spring()[name] for name in ("key", "name", "audience", "variants")})
        assert (float(made.holdout), made.purpose, made.sender, made.outcome_days) == (0.05, "marketing", "", 7)
        assert made.time_zone == "Africa/Johannesburg"  # of its first venue

    def test_each_change_raises_the_revision_and_the_same_again_does_not(self, acme: Organisation, everybody: Audience) -> None:
        save(acme, spring())
        assert [
            save(acme, told).revision
            for told in (spring(), spring(name="Later"), spring(name="Later"), spring(), spring(variants=[variant(html="<p>Do come.</p>")]))
        ] == [1, 2, 2, 3, 4]
        assert (Variant.objects.count(), Content.objects.get().body) == (1, "<p>Do come.</p>")
        assert save(acme, spring(), by="alice").changed_by == "alice"

    def test_what_it_names_must_exist_and_be_ones_own(self, acme: Organisation, rival: Organisation, everybody: Audience) -> None:
        Audience.objects.create(organisation=rival, key="theirs", name="Theirs", rule=people.EVERYBODY)
        with pytest.raises(Faults) as raised:
            save(acme, spring(brand="nobody", topic="none", audience="theirs"))
        assert [(fault.place, fault.code) for fault in raised.value.faults] == [("brand", "unknown"), ("topic", "unknown"), ("audience", "unknown")]
        assert not Campaign.objects.exists()

    def test_what_no_mail_can_be_made_of_is_refused_with_its_place(self, acme: Organisation, everybody: Audience) -> None:
        broken = "<p>{% if attributes.tier %}Hello</p>"
        with pytest.raises(Faults) as raised:
            save(acme, spring(variants=[variant(languages=[{"language": "de", "subject": "{{ shopper.id", "html": broken}])]))
        assert {fault.place for fault in raised.value.faults} == {"variants.0.languages.0.html", "variants.0.languages.0.subject"}

    def test_what_is_past_being_a_draft_stays_as_it_is(self, acme: Organisation, everybody: Audience) -> None:
        made = save(acme, spring())
        Campaign.objects.filter(pk=made.pk).update(state="scheduled")
        with pytest.raises(drafts.NotADraft) as raised:
            save(acme, spring(name="Otherwise"))
        assert raised.value.state == "scheduled"
        assert Campaign.objects.get().name == "Spring"

    def test_two_organisations_have_the_same_key(self, acme: Organisation, rival: Organisation, everybody: Audience) -> None:
        Audience.objects.create(organisation=rival, key="everybody", name="Everybody", rule=people.EVERYBODY)
        assert save(acme, spring()).pk != save(rival, spring(name="Theirs")).pk
        assert Campaign.objects.get(organisation=acme).name == "Spring"
