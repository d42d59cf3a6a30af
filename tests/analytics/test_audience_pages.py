"""The pages of audiences: what they say, and to whom."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pyroaring import BitMap

from analytics.admin import conditions
from analytics.audiences import parsing, rules
from analytics.models import Audience, AudienceChange
from engagement import tenancy
from engagement.models import Consent, ConsentState, Organisation, Profile, ShopperList, Venue
from tests.analytics import rows

RULE: dict[str, Any] = {"all": [{"visited": {"zone": "north-brew", "within_days": 30}}, {"not": {"attribute": {"name": "tier", "is": "gold"}}}]}


def client(user: User) -> Client:
    made = Client()
    made.force_login(user)
    return made


def shown(user: User, name: str, *args: Any, status: int = 200) -> str:
    answer = client(user).get(reverse(name, args=args))
    assert answer.status_code == status
    return answer.content.decode()


@pytest.fixture
def regulars(acme: Organisation, north: Venue) -> Audience:
    """Of three, one of whom may be told by e-mail; five joined in these days, and two left."""
    people = [rows.shopper(acme, f"crm-{number}") for number in range(3)]
    now = timezone.now()
    for one in people[:2]:
        Profile.objects.create(shopper=one, organisation=acme, email=f"{one}@example.com", language="de", attributes={"tier": "gold", "age": 7}, updated_at=now)
    of = {"organisation": acme, "shopper": people[0], "channel": "email", "purpose": "marketing", "given": True, "at": now}
    Consent.objects.create(**of)
    ConsentState.objects.create(**of)
    members = BitMap(one.pk for one in people)
    made = Audience.objects.create(
        organisation=acme, key="regulars", name="Regulars of Brew", rule=RULE, members=members.serialize(), count=3, refreshed_at=now
    )
    for days, joined, left in ((40, 0, 0), (3, 4, 2), (1, 1, 0)):
        AudienceChange.objects.create(audience=made, at=now - timedelta(days=days), joined_count=joined, left_count=left)
    return made


def given(page: str) -> Any:
    found = re.search(r'<script id="given" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_list_says_who_is_meant_and_how_many_they_are(emma: User, regulars: Audience) -> None:
    page = shown(emma, "audiences")
    assert "Regulars of Brew" in page and ">3<" in page and "+3" in page
    assert "who visited Brew in the last 30 days, and whose tier is not gold" in page


def test_a_rule_that_cannot_be_read_any_more_is_said_to_be_so(emma: User, regulars: Audience) -> None:
    Audience.objects.update(rule={"visited": {"nowhere": 1}})
    assert "This rule cannot be read" in shown(emma, "audiences")
    assert "This rule cannot be read" in shown(emma, "audience", regulars.pk)


def test_without_an_audience_the_list_says_what_to_do(emma: User, bob: User) -> None:
    assert "Build the first audience" in shown(emma, "audiences")
    assert "A marketer or an owner" in shown(bob, "audiences") and "Build the first" not in shown(bob, "audiences")


def test_an_audience_tells_its_history_its_reach_and_some_of_its_members(emma: User, regulars: Audience) -> None:
    page = shown(emma, "audience", regulars.pk)
    days = given(page)["days"]
    assert [(day["joined"], day["left"], day["count"]) for day in days] == [(0, 0, 0), (4, 2, 2), (1, 0, 3)]
    assert "5 joined, 2 left" in page and "crm-0@example.com" in page
    assert re.search(r'<p class="big">1</p><p class="small">with an address and consent', page)


def test_an_analyst_looks_and_builds_nothing(bob: User, regulars: Audience) -> None:
    assert "Change the rule" not in shown(bob, "audience", regulars.pk)
    shown(bob, "audience_new", status=403)
    shown(bob, "audience_edit", regulars.pk, status=403)


def test_strangers_see_none_of_it(charlie: User, dora: User, regulars: Audience) -> None:
    for name in ("audience", "audience_edit"):
        shown(charlie, name, regulars.pk, status=404)
        shown(dora, name, regulars.pk, status=403)
    for name in ("audiences", "audience_new"):
        assert "Regulars of Brew" not in shown(charlie, name)
        shown(dora, name, status=403)
    assert reverse("audiences") not in shown(dora, "figures")


def test_the_builder_offers_what_there_is_and_every_beginning_is_a_rule(emma: User, regulars: Audience, acme: Organisation) -> None:
    ShopperList.objects.create(organisation=acme, key="vip", name="VIP evening")
    told = given(shown(emma, "audience_edit", regulars.pk))
    offered = {one["kind"]: one for one in told["conditions"]}
    assert set(offered) | {"all", "any", "not"} == set(parsing.KINDS)
    assert offered["list"]["fields"][0]["options"] == [["vip", "VIP evening"]]
    assert offered["audience"]["missing"], "an audience is not made of itself"
    assert told["rule"] == RULE
    assert {"name": "tier", "kind": "string", "values": ["gold"]} in told["attributes"]
    member = tenancy.principal_of_user(emma, acme)
    assert member
    for one in conditions.starts(conditions.conditions(member)):
        rules.parse(json.loads(one["rule"]))


def test_every_condition_begins_as_a_rule_that_can_be_counted(emma: User, regulars: Audience, acme: Organisation) -> None:
    ShopperList.objects.create(organisation=acme, key="vip", name="VIP evening")
    for one in given(shown(emma, "audience_new"))["conditions"]:
        if not one["missing"] and one["kind"] != "attribute":  # whose name and value people write
            rules.parse({one["kind"]: one["start"]})
