"""/api/v1/campaigns as a customer's program uses it, and as nobody else may."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from analytics.models import Audience
from engagement.models import Organisation, Shopper
from notifications import planning
from notifications.models import Campaign, Message, MessageState, SendingPolicy
from tests.analytics.rows import local
from tests.notifications import ledger, people
from tests.notifications.test_drafts import spring, variant

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/campaigns"
TEN = local("Africa/Johannesburg", 2026, 10, 1, 10)


@pytest.fixture
def everybody(acme: Organisation) -> Audience:
    return Audience.objects.create(organisation=acme, key="everybody", name="Everybody", rule=people.EVERYBODY)


def with_key(token: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def program(acme_keys: dict[str, str], everybody: Audience) -> Client:
    return with_key(acme_keys["secret"])


def session(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def tell(client: Client, path: str = "", body: Any = None, method: str = "post", key: str = "") -> Any:
    headers = {"idempotency-key": key or uuid4().hex}
    sent = "" if body is None else json.dumps(body)
    return getattr(client, method)(f"{ADDRESS}{path}", sent, content_type="application/json", headers=headers)


def lines(response: Any) -> list[dict[str, Any]]:
    assert response["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in b"".join(response).splitlines()]


class TestWritten:
    def test_a_draft_is_made_then_replaced_then_changed(self, program: Client) -> None:
        made = tell(program, body=spring())
        assert made.status_code == 201
        said = made.json()
        assert (said["state"], said["holdout"], said["from"], said["frequency_cap"]) == ("draft", 0.05, "News <news@example.com>", {"messages": 2, "days": 7})
        assert said["counts"] == dict.fromkeys(MessageState.values, 0)
        again = tell(program, body=spring(name="Later"))
        assert (again.status_code, again.json()["name"], again.json()["revision"]) == (200, "Later", 2)
        whole = {name: value for name, value in spring().items() if name != "key"}
        assert tell(program, "/spring", whole, "put").json()["name"] == "Spring"
        patched = tell(program, "/spring", {"holdout": 0.1}, "patch").json()
        assert (patched["holdout"], patched["name"], patched["revision"]) == (0.1, "Spring", 4)
        assert program.get(f"{ADDRESS}/spring").json() == patched

    def test_told_twice_under_one_key_it_is_done_once(self, program: Client) -> None:
        first, second = (tell(program, body=spring(), key="one") for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 201)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert tell(program, body=spring(name="Other"), key="one").status_code == 422
        assert Campaign.objects.get().revision == 1

    def test_every_fault_is_said_with_its_place_and_nothing_is_made(self, program: Client) -> None:
        refused = tell(program, body=spring(audience="nobody", brand="none"))
        assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
        assert [(fault["place"], fault["code"]) for fault in refused.json()["errors"]] == [("brand", "unknown"), ("audience", "unknown")]
        attack = tell(program, body=spring(variants=[variant(subject="Hello\r\nBcc: all@example.com")]))
        assert [fault["place"] for fault in attack.json()["errors"]] == ["variants.0.subject"]
        for body in ([], "x", None, 7):
            assert tell(program, body=body).status_code == 400
        assert tell(program, "/nothing", spring(), "put").status_code == 404
        assert not Campaign.objects.exists()

    def test_a_campaign_keeps_its_key_and_past_being_a_draft_its_content(self, program: Client) -> None:
        tell(program, body=spring())
        assert tell(program, "/spring", spring(key="autumn"), "put").json()["errors"][0]["place"] == "key"
        Campaign.objects.update(state="sending")
        for response in (tell(program, body=spring(name="x")), tell(program, "/spring", {"name": "x"}, "patch")):
            assert (response.status_code, response.json()["code"], response.json()["state"]) == (409, "wrong_state", "sending")

    def test_campaigns_are_listed_latest_first_page_by_page(self, program: Client) -> None:
        for key in ("one", "two", "three"):
            tell(program, body=spring(key=key))
        page = program.get(f"{ADDRESS}?limit=2").json()
        assert [row["key"] for row in page["results"]] == ["three", "two"]
        rest = program.get(f"{ADDRESS}?limit=2&cursor={page['next']}").json()
        assert ([row["key"] for row in rest["results"]], rest["next"]) == (["one"], None)
        assert program.get(f"{ADDRESS}?state=sent").status_code == 400
        assert program.get(f"{ADDRESS}?state=finished").json()["results"] == []


class TestMoved:
    def test_a_campaign_goes_through_its_states_and_each_wrong_move_is_told_where_it_is(self, program: Client) -> None:
        tell(program, body=spring())
        for verb, expected in (
            ("pause", (409, "draft")), ("resume", (409, "draft")), ("send", (200, "sending")), ("send", (409, "sending")), ("pause", (200, "paused")),
            ("resume", (200, "sending")), ("cancel", (200, "cancelled")), ("cancel", (409, "cancelled")), ("resume", (409, "cancelled")),
        ):  # fmt: skip
            response = tell(program, f"/spring/{verb}")
            assert (response.status_code, response.json()["state"]) == expected, verb
            assert response.status_code == 200 or response.json()["code"] == "wrong_state"

    def test_a_send_under_one_key_is_answered_again_and_done_once(self, program: Client) -> None:
        tell(program, body=spring())
        answers = [tell(program, "/spring/send", {"at": None}, key="go") for _ in range(2)]
        assert [answer.json()["state"] for answer in answers] == ["sending", "sending"]
        assert Campaign.objects.get().runs.count() == 1

    def test_a_time_can_be_given_when_it_is_sent(self, program: Client) -> None:
        tell(program, body=spring())
        assert tell(program, "/spring/send", {"at": "soon"}).json()["errors"][0]["place"] == "at"
        assert tell(program, "/spring/send", {"when": "2099-01-01T10:00:00Z"}).status_code == 400
        scheduled = tell(program, "/spring/send", {"at": "2099-01-01T10:00:00Z"}).json()
        assert (scheduled["state"], scheduled["send_at"]) == ("scheduled", "2099-01-01T10:00:00Z")
        assert tell(program, "/spring/unschedule").json()["state"] == "draft"

    def test_where_the_organisation_asks_for_it_somebody_else_approves(self, acme: Organisation, program: Client, alice: User, emma: User, bob: User) -> None:
        SendingPolicy.objects.create(organisation=acme, needs_approval=True)
        writer, second = session(emma), session(alice)
        assert tell(writer, body=spring()).json()["needs_approval"] is True
        assert tell(writer, "/spring/send").json()["code"] == "not_ready"
        assert tell(writer, "/spring/approve").status_code == 409
        assert tell(session(bob), "/spring/approve").status_code == 403
        assert tell(second, "/spring/approve").json()["approved_by"] == "alice"
        tell(writer, "/spring", {"name": "Changed"}, "patch")
        assert tell(writer, "/spring/send").status_code == 409
        tell(second, "/spring/approve")
        assert tell(writer, "/spring/send").json()["state"] == "sending"

    def test_failed_messages_are_planned_again(self, acme: Organisation, program: Client) -> None:
        tell(program, body=spring())
        campaign = Campaign.objects.get()
        run = ledger.run(campaign, TEN)
        [one, two] = Shopper.objects.filter(pk__in=people.shoppers(acme, 2)).order_by("pk")
        ledger.message(run, one, "failed", reason="tried_enough")
        ledger.message(run, two, "failed", reason="refused")
        Campaign.objects.filter(pk=campaign.pk).update(state="sending")
        assert tell(program, "/spring/release", {"reason": "whatever"}).status_code == 400
        assert tell(program, "/spring/release", {"reason": "refused"}).json() == {"released": 1}
        assert tell(program, "/spring/release").json() == {"released": 1}


class TestRead:
    def test_the_funnel_adds_up_and_planning_does_what_it_said(self, acme: Organisation, program: Client, transactional_db: None) -> None:
        people.shoppers(acme, 40)
        people.shoppers(acme, 4, prefix="unreachable", email=False)
        for shopper in people.shoppers(acme, 3, prefix="later"):
            Shopper.objects.get(pk=shopper)
            people.withdraw(shopper)
        people.suppress(acme, "s7@acme.example.com")
        Audience.objects.filter(key="everybody").update(rule={"not": {"attribute": {"name": "tier", "is": "gold"}}})
        tell(program, body=spring(holdout=0.2))
        funnel = program.get(f"{ADDRESS}/spring/funnel").json()
        assert (funnel["match"], funnel["no_address"], funnel["no_consent"], funnel["suppressed"]) == (47, 4, 3, 1)
        assert funnel["match"] == sum(funnel[name] for name in ("no_address", "no_consent", "suppressed", "not_wished", "capped", "holdout", "left"))
        tell(program, "/spring/send")
        planning.plan()
        said = program.get(f"{ADDRESS}/spring").json()
        assert sum(said["counts"].values()) == 47
        assert (said["counts"]["planned"], said["counts"]["held_out"], said["counts"]["skipped"]) == (funnel["left"], funnel["holdout"], 8)
        assert [run["counts"] for run in said["runs"]] == [said["counts"]]
        found = lines(program.get(f"{ADDRESS}/spring/messages"))
        assert len(found) == 47
        assert {line["reason"] for line in found if line["state"] == "skipped"} == {"no_address", "no_consent", "suppressed"}

    def test_messages_are_told_one_by_one(self, acme: Organisation, program: Client) -> None:
        tell(program, body=spring())
        campaign = Campaign.objects.get()
        run = ledger.run(campaign, TEN)
        rows = Shopper.objects.filter(pk__in=people.shoppers(acme, 3)).order_by("pk")
        first, second, third = (
            ledger.message(run, row, state, reason=reason)
            for row, (state, reason) in zip(rows, (("sent", ""), ("skipped", "no_consent"), ("held_out", "")), strict=True)
        )
        rows[2].delete()
        expected = [
            {"shopper": "s0", "state": "sent", "reason": None, "variant": "a", "message_id": str(first.pk), "sent_at": "2026-10-01T08:00:00Z"},
            {"shopper": "s1", "state": "skipped", "reason": "no_consent", "variant": None, "message_id": str(second.pk), "sent_at": None},
            {"shopper": None, "state": "held_out", "reason": None, "variant": None, "message_id": str(third.pk), "sent_at": None},
        ]
        address = f"{ADDRESS}/spring/messages"
        assert lines(program.get(address)) == expected
        assert lines(program.get(f"{address}?limit=1")) == expected[:1]
        assert lines(program.get(f"{address}?limit=1&cursor={first.pk}")) == expected[1:2]
        assert lines(program.get(f"{address}?run={run.pk}&state=sent,held_out")) == [expected[0], expected[2]]
        assert lines(program.get(f"{address}?reason=no_consent")) == [expected[1]]
        for wrong in ("cursor=x", "cursor=999999", "run=7x", "state=gone", "reason=none", "limit=0", "page=2"):
            assert program.get(f"{address}?{wrong}").status_code == 400, wrong

    def test_the_report_in_parts(self, program: Client) -> None:
        tell(program, body=spring())
        assert set(program.get(f"{ADDRESS}/spring/report").json()) >= {"counts", "adds_up", "engagement", "outcome"}
        assert "engagement" not in program.get(f"{ADDRESS}/spring/report?parts=sums,outcome").json()
        assert program.get(f"{ADDRESS}/spring/report?parts=all").status_code == 400

    def test_why_of_a_shopper(self, acme: Organisation, program: Client) -> None:
        people.shoppers(acme, 1)
        tell(program, body=spring(holdout=0))
        found = program.get(f"{ADDRESS}/spring/why?shopper=s0").json()
        assert (found["shopper"], found["verdict"]) == ("s0", "It would be sent now.")
        assert program.get(f"{ADDRESS}/spring/why?shopper=nobody").status_code == 404
        assert program.get(f"{ADDRESS}/spring/why").status_code == 400


class TestKeptApart:
    def test_nobody_else_sees_or_writes(
        self, acme: Organisation, program: Client, acme_keys: dict[str, str], rival_keys: dict[str, str], charlie: User, dora: User, bob: User
    ) -> None:
        tell(program, body=spring())
        before = list(Campaign.objects.values())
        reads = ("", "/spring", "/spring/funnel", "/spring/messages", "/spring/report", "/spring/why?shopper=s0")
        writes = [("", "post"), ("/spring", "put"), ("/spring", "patch"), *((f"/spring/{verb}", "post") for verb in ("send", "cancel", "approve", "release"))]
        strangers = {
            "nobody": (Client(), {401}),
            "publishable": (with_key(acme_keys["publishable"]), {403}),
            "rival": (with_key(rival_keys["secret"]), {200, 400, 404}),
            "charlie": (session(charlie), {200, 400, 404}),
            "dora": (session(dora), {403}),
        }
        for who, (client, expected) in strangers.items():
            for path in reads:
                response = client.get(f"{ADDRESS}{path}")
                assert response.status_code in expected, (who, path)
                assert b"Spring" not in (b"" if response.streaming else response.content)
            for path, method in writes:
                assert tell(client, path, spring(), method).status_code in expected | {403} - {200, 201}, (who, path)
        for path, method in writes:
            assert tell(session(bob), path, spring(), method).status_code == 403
        assert session(bob).get(f"{ADDRESS}/spring").status_code == 200
        assert list(Campaign.objects.values()) == before
        assert not Message.objects.exists()
