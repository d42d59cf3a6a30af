"""Audiences over /api/v1: counted, written, read, and nobody else's."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from analytics.audiences import refresh
from analytics.models import Audience, AudienceChange
from engagement.models import Organisation, Shopper, Zone
from tests.analytics.audiences.test_columns import consent, profile
from tests.analytics.rows import shopper, stay

pytestmark = pytest.mark.django_db
Ask = Callable[..., Any]
NOW = timezone.now()
RULE = {"all": [{"visited": {"brand": "brew", "within_days": 3}}, {"not": {"consent": {"channel": "email"}}}]}


@pytest.fixture
def people(acme: Organisation, rival: Organisation) -> dict[str, Shopper]:
    """Ann and a nameless one were at Brew; Ann agreed to e-mail. Cy is the rival's."""
    brew = Zone.objects.get(organisation=acme, key="north-brew")
    found = {"ann": shopper(acme, "ann"), "ben": shopper(acme, "ben"), "nameless": shopper(acme, device="d1"), "cy": shopper(rival, "cy")}
    for name in ("ann", "nameless"):
        stay(found[name], brew, NOW - timedelta(hours=30))
    stay(found["cy"], Zone.objects.get(organisation=rival, key="arcade-shop"), NOW - timedelta(hours=30))
    profile(found["ann"], email="ann@example.com", attributes={"tier": "gold"})
    consent(found["ann"])
    consent(found["cy"])
    return found


@pytest.fixture
def ask(acme_keys: dict[str, str]) -> Ask:
    def ask(method: str, path: str, body: Any = None, *, key: str = acme_keys["secret"], client: Client | None = None, **headers: str) -> Any:
        told = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        sent = headers if client else {"authorization": f"Bearer {key}", **headers}
        return getattr(client or Client(), method)(f"/api/v1/audiences{path}", headers=sent, **told)

    return ask


def lines(response: Any) -> list[dict[str, Any]]:
    assert response["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in b"".join(response).splitlines()]


def test_a_rule_is_counted_with_its_branches_and_said_in_words(people: dict[str, Shopper], ask: Ask) -> None:
    response = ask("post", "/count", {"rule": RULE})
    assert response.status_code == 200
    assert response.json() == {
        "path": "",
        "count": 1,
        "branches": [
            {"path": "all.0", "count": 2, "branches": []},
            {"path": "all.1", "count": 2, "branches": [{"path": "all.1.not", "count": 1, "branches": []}]},
        ],
        "words": "Shoppers who visited Brew & Co in the last 3 days, and who have not agreed to e-mail for marketing.",
    }
    assert not Audience.objects.exists()


def test_an_audience_is_written_changed_and_read(people: dict[str, Shopper], ask: Ask) -> None:
    body = {"key": "brewers", "name": "Brewers", "rule": RULE}
    made = ask("post", "", body)
    assert (made.status_code, made.json()["count"], made.json()["created_by"]) == (201, 1, "ops")
    assert ask("post", "", body).status_code == 200
    other = ask("put", "/brewers", {"rule": RULE["all"][0]})
    assert (other.status_code, other.json()["count"], other.json()["name"]) == (200, 2, "Brewers")
    assert [one["key"] for one in ask("get", "").json()["results"]] == ["brewers"]
    one = ask("get", "/brewers").json()
    assert (one["count"], one["rule"], one["faults"]) == (2, RULE["all"][0], [])
    found = lines(ask("get", "/brewers/members"))
    assert [who["shopper"] for who in found] == ["ann", f"atrium:{people['nameless'].pk}"] and all(who["since"] for who in found)
    changes = ask("get", "/brewers/changes").json()["results"]
    assert [(one["joined"], one["left"]) for one in changes] == [(1, 0), (1, 0)]
    moved = lines(ask("get", "/brewers/changes?limit=1", accept="application/x-ndjson"))
    assert [(one["shopper"], one["joined"]) for one in moved] == [("ann", True)]
    assert ask("get", f"/brewers/changes?before={changes[0]['id']}").json()["results"] == changes[1:]


def test_who_joins_and_leaves_is_written_with_the_instant(people: dict[str, Shopper], acme: Organisation, ask: Ask) -> None:
    ask("post", "", {"key": "agreed", "name": "Agreed", "rule": {"consent": {"channel": "email"}}})
    consent(people["ben"])
    assert [who["since"] is None for who in lines(ask("get", "/agreed/members"))] == [False, True]  # nobody has refreshed it since
    consent(people["ann"], given=False)
    moment = timezone.now()
    [audience] = Audience.objects.all()
    assert refresh.one(audience.pk, now=moment) and not refresh.one(audience.pk)
    change = AudienceChange.objects.latest("pk")
    assert (change.at, change.joined_count, change.left_count) == (moment, 1, 1)
    assert lines(ask("get", "/agreed/members")) == [{"shopper": "ben", "since": moment.isoformat().replace("+00:00", "Z")}]


def test_a_faulty_rule_is_refused_with_every_place(people: dict[str, Shopper], ask: Ask) -> None:
    rule = {"any": [{"visited": {"zone": "arcade-shop"}}, {"list": "none"}, {"audience": "none"}, {"campaign": {"key": "none", "state": "sent"}}]}
    refused = ask("post", "/count", {"rule": rule})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_parameter")
    assert sorted(one["parameter"] for one in refused.json()["errors"]) == [
        "rule.any.0.visited.zone",
        "rule.any.1.list",
        "rule.any.2.audience",
        "rule.any.3.campaign.key",
    ]
    refused = ask("post", "", {"key": "count", "name": "", "rule": {"visited": {"brand": "brew", "within_days": "x"}}})
    assert [one["parameter"] for one in refused.json()["errors"]] == ["key", "name", "rule.visited.within_days"]
    for body in ({}, {"rule": {"list": "x"}, "more": 1}, [1], "x"):
        assert ask("post", "/count", body).status_code == 400
    assert not Audience.objects.exists()


def test_an_audience_cannot_be_made_of_itself(people: dict[str, Shopper], ask: Ask) -> None:
    assert ask("post", "", {"key": "a", "name": "A", "rule": {"audience": "a"}}).status_code == 400
    ask("post", "", {"key": "a", "name": "A", "rule": RULE})
    assert ask("post", "", {"key": "b", "name": "B", "rule": {"not": {"audience": "a"}}}).json()["count"] == 2
    refused = ask("post", "", {"key": "a", "name": "A", "rule": {"any": [RULE, {"audience": "b"}]}})
    assert refused.json()["errors"] == [{"parameter": "rule.any.1.audience", "code": "invalid", "detail": "This audience would be made of itself."}]


def test_an_audience_that_others_need_is_not_removed(people: dict[str, Shopper], ask: Ask) -> None:
    ask("post", "", {"key": "a", "name": "First", "rule": RULE})
    ask("post", "", {"key": "b", "name": "Second", "rule": {"audience": "a"}})
    refused = ask("delete", "/a")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use") and "Second" in refused.json()["detail"]
    assert ask("delete", "/b").json() == {"removed": True} == ask("delete", "/a").json()
    assert ask("get", "/a").status_code == ask("delete", "/a").status_code == 404


def test_a_write_told_again_is_done_once(people: dict[str, Shopper], ask: Ask) -> None:
    body = {"key": "a", "name": "A", "rule": RULE}
    told = [ask("post", "", body, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [one.status_code for one in told] == [201, 201] and told[0].json() == told[1].json()
    assert ask("post", "", {**body, "name": "B"}, **{"Idempotency-Key": "k1"}).status_code == 422


def test_who_may_look_and_who_may_write(
    people: dict[str, Shopper], ask: Ask, alice: User, emma: User, bob: User, dora: User, charlie: User, acme_keys: dict[str, str], rival_keys: dict[str, str]
) -> None:
    body = {"key": "a", "name": "A", "rule": RULE}

    def session(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    for user in (alice, emma):
        assert ask("post", "", body, client=session(user)).status_code in (200, 201)
    looker, refused = (
        session(bob),
        (ask("post", "", body, client=session(bob)), ask("put", "/a", {"name": "B"}, client=session(bob)), ask("delete", "/a", client=session(bob))),
    )
    assert [one.status_code for one in refused] == [403, 403, 403]
    for path in ("", "/a", "/a/members", "/a/changes"):
        assert ask("get", path, client=looker).status_code == 200
        assert ask("get", path, client=session(dora)).status_code == 403
        for key in ("publishable", "import"):
            assert ask("get", path, key=acme_keys[key]).status_code == 403
    assert ask("post", "/count", {"rule": RULE}, client=looker).json()["count"] == 1
    assert ask("post", "/count", {"rule": RULE}, client=session(dora)).status_code == 403
    for client, key in ((session(charlie), ""), (None, rival_keys["secret"])):
        assert ask("get", "", client=client, key=key).json() == {"results": []}
        for method, path in (("get", "/a"), ("get", "/a/members"), ("get", "/a/changes"), ("put", "/a"), ("delete", "/a")):
            assert ask(method, path, {"name": "x"} if method == "put" else None, client=client, key=key).status_code == 404, path
        for rule in (RULE, {"audience": "a"}, {"visited": {"venue": "north"}}):
            assert ask("post", "/count", {"rule": rule}, client=client, key=key).status_code == 400
        assert ask("post", "/count", {"rule": {"consent": {"channel": "email"}}}, client=client, key=key).json()["count"] == 1  # Cy
    assert Audience.objects.count() == 1
