"""/api/v1/shoppers as a customer's program uses it: told one by one, once under a key, by nobody else, and shown to who may."""

import json
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.test import Client

from engagement.models import Consent, ListMember, Organisation, Profile, Shopper, ShopperList
from engagement.profiles.told import FIELDS, Reason

pytestmark = pytest.mark.django_db
ADDRESS: Final = "/api/v1/shoppers"
AGREED: Final = {"channel": "email", "purpose": "marketing", "given": True, "at": "2026-11-19T10:00:00Z", "source": "checkout", "wording": "v3"}
ANN: Final = {"id": "crm-42", "email": "a@example.com", "language": "en", "time_zone": None, "attributes": {"tier": "gold"}, "consents": [AGREED]}


def tell(client: Client, *told: Any, key: str = "", **query: str) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(ADDRESS, json.dumps({"shoppers": list(told)}), content_type="application/json", query_params=query, headers=headers)


def results(response: Any) -> list[tuple[str, str]]:
    """Of each: its id, and what became of it, or why it was rejected."""
    assert response.status_code == 200, response.content
    return [(one["id"], one.get("reason", one["result"])) for one in response.json()["results"]]


@pytest.fixture
def program(acme_keys: dict[str, str]) -> Client:
    return Client(headers={"authorization": f"Bearer {acme_keys['secret']}"})


def member(user: User, **more: Any) -> Client:
    client = Client(**more)
    client.force_login(user)
    return client


def test_shoppers_are_created_then_unchanged_and_a_bad_one_costs_no_other(acme: Organisation, program: Client) -> None:
    told = [ANN, {"id": "b", "email": "nobody"}, "x", {"id": "c"}]
    assert results(tell(program, *told)) == [("crm-42", "created"), ("b", "bad_email"), ("", "malformed"), ("c", "created")]
    assert results(tell(program, ANN)) == [("crm-42", "unchanged")]
    rejected = tell(program, told[1]).json()["results"][0]
    assert rejected == {"id": "b", "result": "rejected", "reason": "bad_email", "field": "email", "detail": rejected["detail"]}
    assert "nobody" not in rejected["detail"]
    assert Consent.objects.get().recorded_by == "ops"


def test_under_one_key_it_is_done_once_and_answered_the_same(program: Client) -> None:
    first, again = (tell(program, ANN, key="k-1") for _ in range(2))
    assert results(first) == results(again) == [("crm-42", "created")]
    assert first.content == again.content
    assert tell(program, {"id": "other"}, key="k-1").status_code == 422
    assert results(tell(program, ANN, key="k-2")) == [("crm-42", "unchanged")]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"shoppers": []}', b'{"shoppers": {}}', b'{"shoppers": [1], "more": 1}', b"\xff\xfe\x00"])
def test_a_body_that_holds_no_list_of_them_is_refused_whole(program: Client, body: bytes) -> None:
    for headers in ({}, {"Idempotency-Key": "k"}):
        response = program.post(ADDRESS, body, content_type="application/json", headers=headers)
        assert (response.status_code, response["Content-Type"], response.json()["code"]) == (400, "application/problem+json", "bad_body")


def test_one_more_than_a_thousand_and_a_body_too_large_are_refused_whole(program: Client) -> None:
    assert tell(program, *({"id": str(n)} for n in range(1001))).json()["code"] == "bad_body"
    large = program.post(ADDRESS, b" " * (8 * 1024 * 1024 + 1), content_type="application/json")
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    assert not Shopper.objects.exists()


def test_what_is_known_of_somebody_is_told_to_who_asks_for_him(acme: Organisation, program: Client) -> None:
    tell(program, ANN)
    ann = Shopper.objects.get()
    ListMember.objects.create(list=ShopperList.objects.create(organisation=acme, key="vips", name="VIPs"), shopper=ann)
    ListMember.objects.create(list=ShopperList.objects.create(organisation=acme, key="left", name="Left"), shopper=ann, present=False)
    found = program.get(f"{ADDRESS}/crm-42").json()
    consents = found.pop("consents")
    assert found == {
        **{"id": "crm-42", "email": "a@example.com", "language": "en", "time_zone": None, "attributes": {"tier": "gold"}, "lists": ["vips"]},
        "first_seen": found["first_seen"],
    }
    assert [{name: one[name] for name in AGREED} for one in consents] == [AGREED]
    someone = Shopper.objects.create(organisation=acme, shard=1, device_key="phone")
    assert program.get(f"{ADDRESS}/atrium:{someone.pk}").json()["attributes"] == {}
    missing = program.get(f"{ADDRESS}/nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


class TestWho:
    def test_an_owner_and_a_marketer_may_and_an_analyst_and_a_brands_member_may_not(self, alice: User, emma: User, bob: User, dora: User) -> None:
        for user in (alice, emma):
            assert tell(member(user), ANN).status_code == member(user).get(f"{ADDRESS}/crm-42").status_code == 200
        for user in (bob, dora):
            for response in (tell(member(user), {"id": "theirs"}), member(user).get(f"{ADDRESS}/crm-42")):
                assert (response.status_code, response.json()["code"]) == (403, "forbidden"), user
        assert Profile.objects.count() == 1
        assert member(emma).delete(f"{ADDRESS}/crm-42").status_code == 403

    def test_charlie_and_keys_that_sit_in_apps_change_and_see_nothing(
        self, acme: Organisation, program: Client, charlie: User, acme_keys: dict[str, str]
    ) -> None:
        tell(program, ANN)
        strangers = {
            Client(): 401,
            member(charlie): 403,
            **{Client(headers={"authorization": f"Bearer {acme_keys[kind]}"}): 403 for kind in ("publishable", "import")},
            Client(headers={"authorization": "Bearer atr_sec_" + "x" * 43}): 401,
        }
        for client, status in strangers.items():
            assert tell(client, {"id": "crm-42", "email": "eve@example.com"}, organisation="acme").status_code == status
            assert client.get(f"{ADDRESS}/crm-42", query_params={"organisation": "acme"}).status_code == status
        assert Profile.objects.get().email == "a@example.com"
        assert member(charlie).get(f"{ADDRESS}/crm-42").status_code == 404
        assert results(tell(member(charlie), {"id": "crm-42"})) == [("crm-42", "created")]
        assert Profile.objects.filter(organisation=acme).count() == 1


def test_the_document_says_what_is_taken_and_every_reason() -> None:
    document = json.loads(Client().get("/api/v1/schema", headers={"accept": "application/json"}).content)
    described = document["paths"]["/api/v1/shoppers"]["post"]
    item = described["requestBody"]["content"]["application/json"]["schema"]["properties"]["shoppers"]["items"]
    assert set(item["properties"]) == set(FIELDS)
    assert set(described["responses"]) == {"200", "400", "401", "403", "409", "413", "415", "422", "503"}
    answer = described["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["results"]["items"]["properties"]
    assert set(answer["reason"]["enum"]) == set(Reason)
    assert {parameter["name"] for parameter in described["parameters"]} == {"organisation", "Idempotency-Key"}
