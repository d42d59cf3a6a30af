"""Purchases as a customer's program tells them: taken once, one by one, and by nobody else."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from engagement import provisioning, purchases, shoppers, tenancy
from engagement.inbox import shard_of
from engagement.models import Brand, Erased, Erasure, Membership, Organisation, Purchase, Role, Shopper
from engagement.purchases import Reason

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/purchases"
AT = "2026-11-19T10:00:00Z"
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def order(**fields: Any) -> dict[str, Any]:
    return {"id": "order-1001", "shopper": "crm-42", "brand": "brew", "at": AT, "amount": "12.50", "currency": "EUR", **fields}


def tell(client: Client, *told: Any, **query: str) -> Any:
    return client.post(ADDRESS, json.dumps({"purchases": list(told)}), content_type="application/json", query_params=query)


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


class TestTaken:
    def test_a_purchase_is_created_then_unchanged_then_updated(self, acme: Organisation, program: Client) -> None:
        assert results(tell(program, order())) == [("order-1001", "created")]
        row = Purchase.objects.select_related("brand", "shopper").get()
        assert (row.organisation, row.brand.key, row.shopper.external_id, row.amount, row.currency) == (acme, "brew", "crm-42", Decimal("12.50"), "EUR")
        assert row.at == datetime(2026, 11, 19, 10, tzinfo=UTC)
        assert results(tell(program, order(at="2026-11-19T12:00:00+02:00", amount=12.5))) == [("order-1001", "unchanged")]
        assert results(tell(program, order(amount="9", brand="page"))) == [("order-1001", "updated")]
        row = Purchase.objects.select_related("brand").get()
        assert (row.amount, row.brand.key) == (Decimal("9.00"), "page")
        assert results(tell(program, {key: value for key, value in order().items() if key not in ("amount", "currency")})) == [("order-1001", "updated")]
        row = Purchase.objects.get()
        assert (row.amount, row.currency) == (None, "")

    def test_a_shopper_whom_nobody_has_seen_is_made_where_the_stream_looks_for_him(self, acme: Organisation, program: Client) -> None:
        tell(program, order(), order(id="b", shopper="Zoë"))
        found = {one.external_id: one for one in Shopper.objects.filter(organisation=acme)}
        assert {name: one.shard for name, one in found.items()} == {name: shard_of(acme.pk, "s", name) for name in ("crm-42", "Zoë")}
        tell(program, order(id="c"))
        assert Shopper.objects.count() == 2

    def test_a_bad_one_never_costs_the_good_ones(self, acme: Organisation, program: Client) -> None:
        told = [order(id="a"), None, order(id="b", brand="nobody"), order(id="c", amount="-1"), order(id="d")]
        assert results(tell(program, *told)) == [("a", "created"), ("", "malformed"), ("b", "unknown_brand"), ("c", "out_of_range"), ("d", "created")]
        assert set(Purchase.objects.values_list("key", flat=True)) == {"a", "d"}

    def test_one_that_stands_twice_in_a_list_is_one_and_two_of_one_id_are_not_guessed_at(self, acme: Organisation, program: Client) -> None:
        assert results(tell(program, order(), order(), order(amount="1"))) == [
            ("order-1001", "created"),
            ("order-1001", "unchanged"),
            ("order-1001", "repeated"),
        ]
        assert Purchase.objects.get().amount == Decimal("12.50")

    def test_a_thousand_are_taken_in_as_many_statements_as_one(self, acme: Organisation, program: Client) -> None:
        def statements(*told: Any) -> int:
            with CaptureQueriesContext(
                connection,
            ) as seen:
                answer = results(tell(program, *told))
            assert {result for _, result in answer} == {"created"}
            return len(seen)

        one = statements(order())
        many = statements(*(order(id=f"o-{n}", shopper=f"crm-{n % 300}") for n in range(1000)))
        assert many <= one + 1
        assert Purchase.objects.count() == 1001

    def test_the_same_key_at_two_organisations_is_two_purchases(
        self, acme: Organisation, rival: Organisation, program: Client, rival_keys: dict[str, str]
    ) -> None:
        provisioning.provision({"organisation": {"key": "rival"}, "brands": [{"key": "brew", "name": "Brew Rival"}]})
        other = Client(headers={"authorization": f"Bearer {rival_keys['secret']}"})
        assert results(tell(program, order())) == results(tell(other, order())) == [("order-1001", "created")]
        assert {(row.organisation_id, row.shopper.organisation_id, row.brand.organisation_id) for row in Purchase.objects.all()} == {
            (one.pk, one.pk, one.pk) for one in (acme, rival)
        }
        tell(other, order(amount="1"))
        assert Purchase.objects.get(organisation=acme).amount == Decimal("12.50")


REFUSED: list[tuple[Any, Reason]] = [
    ("order-1001", Reason.MALFORMED),
    ([], Reason.MALFORMED),
    (order(note="x"), Reason.UNKNOWN_FIELD),
    *(({key: value for key, value in order().items() if key != name}, Reason.MISSING_FIELD) for name in purchases.NEEDED),
    (order(id=None), Reason.MISSING_FIELD),
    (order(id=""), Reason.MALFORMED),
    (order(id=1001), Reason.MALFORMED),
    (order(id="x" * 129), Reason.MALFORMED),
    (order(id="a\x00b"), Reason.MALFORMED),
    (order(shopper="a\x00b"), Reason.MALFORMED),
    (order(shopper="\ud800"), Reason.MALFORMED),
    (order(shopper="atrium:7"), Reason.MALFORMED),
    (order(brand="a\x00b"), Reason.MALFORMED),
    (order(brand="Brew"), Reason.UNKNOWN_BRAND),
    (order(brand=["brew"]), Reason.MALFORMED),
    (order(at="2026-11-19"), Reason.MALFORMED),
    (order(at="2026-11-19T10:00:00"), Reason.MALFORMED),
    (order(at="2026-02-30T10:00:00Z"), Reason.MALFORMED),
    (order(at="2026-11-19T10:00:00+25:00"), Reason.MALFORMED),
    (order(at="0001-01-01T00:00:00+10:00"), Reason.MALFORMED),
    (order(at=1_790_000_000), Reason.MALFORMED),
    (order(at="1969-12-31T23:59:59Z"), Reason.OUT_OF_RANGE),
    (order(at="9999-12-31T23:59:59Z"), Reason.IN_FUTURE),
    (order(at="9999-12-31T23:59:59-10:00"), Reason.MALFORMED),
    (order(amount="-0.01"), Reason.OUT_OF_RANGE),
    (order(amount="12.505"), Reason.OUT_OF_RANGE),
    (order(amount="12,50"), Reason.OUT_OF_RANGE),
    (order(amount="1e3"), Reason.OUT_OF_RANGE),
    (order(amount="1000000000000"), Reason.OUT_OF_RANGE),
    (order(amount=10**30), Reason.OUT_OF_RANGE),
    (order(amount=1e300), Reason.OUT_OF_RANGE),
    (order(amount=float("nan")), Reason.OUT_OF_RANGE),
    (order(amount=float("inf")), Reason.OUT_OF_RANGE),
    (order(amount=0.1 + 0.2), Reason.OUT_OF_RANGE),
    (order(amount="٣"), Reason.OUT_OF_RANGE),
    (order(amount=True), Reason.MALFORMED),
    (order(amount={"value": 1}), Reason.MALFORMED),
    (order(amount=None), Reason.MISSING_FIELD),
    (order(currency=None), Reason.MISSING_FIELD),
    (order(currency="eur"), Reason.MALFORMED),
    (order(currency="EURO"), Reason.MALFORMED),
    (order(currency="EUR\n"), Reason.MALFORMED),
]


class TestRefused:
    @pytest.mark.parametrize(("item", "reason"), REFUSED)
    def test_one_that_is_wrong_is_rejected_with_its_reason(self, acme: Organisation, program: Client, item: Any, reason: Reason) -> None:
        [told] = tell(program, item).json()["results"]
        assert (told["result"], told["reason"]) == ("rejected", reason)
        assert told["detail"].endswith(".")
        assert not Purchase.objects.exists()
        assert not Shopper.objects.exists()

    @pytest.mark.parametrize("amount", ["0", "0.5", "12.50", "999999999999.99", 0, 12, 12.5, 12.0, 999999999999.99])
    def test_amounts_at_the_edge_are_exact(self, acme: Organisation, program: Client, amount: Any) -> None:
        assert results(tell(program, order(amount=amount))) == [("order-1001", "created")]
        assert Purchase.objects.get().amount == Decimal(str(amount))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below)
        )
    )
    def test_nothing_that_json_can_say_breaks_it(self, value: Any) -> None:
        for item in (value, *(order(**{name: value}) for name in purchases.FIELDS)):
            try:
                purchases.read(item, NOW)
            except purchases.Refused as refused:
                assert refused.detail.endswith(".")

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"{", b"[]", b"null", b"{}", b'{"purchases": []}', b'{"purchases": {}}', b'{"purchases": [1], "more": 1}', b"\xff\xfe\x00",
            b'{"purchases": [1], "purchases": [2]}', b'{"purchases": ' + b"[" * 100_000, b'{"purchases": [' + b"1" * 5_000 + b"]}",
        ],
    )  # fmt: skip
    def test_a_body_that_holds_no_list_of_them_is_refused_whole(self, acme: Organisation, program: Client, body: bytes) -> None:
        response = program.post(ADDRESS, body, content_type="application/json")
        assert (response.status_code, response["Content-Type"], response.json()["code"]) == (400, "application/problem+json", "bad_body")

    def test_a_name_given_twice_is_not_guessed_at(self, acme: Organisation, program: Client) -> None:
        twice = json.dumps(order()).replace('"amount"', '"amount": "1", "amount"', 1)
        assert results(program.post(ADDRESS, f'{{"purchases": [{twice}]}}', content_type="application/json")) == [("", "malformed")]

    def test_one_more_than_a_thousand_and_a_body_too_large_are_refused_whole(self, acme: Organisation, program: Client) -> None:
        many = tell(program, *(order(id=str(n)) for n in range(1001)))
        assert (many.status_code, many.json()["code"]) == (400, "bad_body")
        large = program.post(ADDRESS, b" " * (2 * 1024 * 1024 + 1), content_type="application/json")
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        assert not Purchase.objects.exists()

    def test_only_json_by_post_and_no_unknown_parameter(self, acme: Organisation, program: Client) -> None:
        assert program.post(ADDRESS, {"purchases": "x"}).status_code == 415
        assert program.get(ADDRESS).status_code == program.put(ADDRESS).status_code == program.delete(ADDRESS).status_code == 405
        assert tell(program, order(), brand="brew").json()["code"] == "bad_parameter"

    def test_who_was_erased_gets_no_older_purchase_and_is_not_made_again_for_it(self, acme: Organisation, program: Client) -> None:
        digest, until = shoppers.digest(acme.pk, shoppers.SHOPPER, "crm-42"), timezone.now() - timedelta(hours=1)
        Erased.objects.create(organisation=acme, erasure=Erasure.objects.create(organisation=acme), digest=digest, until=until)
        told = order(at=(until - timedelta(seconds=1)).isoformat())
        assert results(tell(program, told, told, order(id="other", shopper="crm-43"))) == [
            *[("order-1001", "erased")] * 2,
            ("other", "created"),
        ]
        assert not Shopper.objects.filter(external_id="crm-42").exists()
        assert results(tell(program, order(at=(until + timedelta(seconds=1)).isoformat()))) == [("order-1001", "created")]


class TestWho:
    def test_an_owner_may_and_an_analyst_and_a_brands_member_may_not(self, alice: User, bob: User, dora: User) -> None:
        assert results(tell(member(alice), order())) == [("order-1001", "created")]
        for user in (bob, dora):
            response = tell(member(user), order(id="theirs"))
            assert (response.status_code, response.json()["code"]) == (403, "forbidden"), user
        assert Purchase.objects.count() == 1

    def test_charlie_and_keys_that_sit_in_apps_change_nothing(self, acme: Organisation, charlie: User, acme_keys: dict[str, str]) -> None:
        refused = [
            tell(Client(), order()),
            tell(member(charlie), order(), organisation="acme"),
            *(tell(Client(headers={"authorization": f"Bearer {acme_keys[kind]}"}), order()) for kind in ("publishable", "import")),
            tell(Client(headers={"authorization": "Bearer atr_sec_" + "x" * 43}), order()),
        ]
        assert [response.status_code for response in refused] == [401, 403, 403, 403, 401]
        assert not Purchase.objects.exists() and not Shopper.objects.exists()

    def test_a_brand_of_somebody_else_is_as_unknown_as_one_that_never_was(self, acme: Organisation, charlie: User, rival: Organisation) -> None:
        said = [tell(member(charlie), order(brand=brand)).json()["results"][0] for brand in ("brew", "never")]
        assert said[0] == said[1] and said[0]["reason"] == "unknown_brand"

    def test_who_has_two_memberships_says_for_whom(self, acme: Organisation, rival: Organisation, alice: User) -> None:
        Membership.objects.create(user=alice, organisation=rival, role=Role.ANALYST)
        assert tell(member(alice), order(), organisation="rival").status_code == 403
        assert results(tell(member(alice), order(), organisation="acme")) == [("order-1001", "created")]

    def test_a_session_alone_is_not_enough_for_a_page_of_somebody_else(self, alice: User) -> None:
        """Another site's page can make a browser send the session, but not the token."""
        client = member(alice, enforce_csrf_checks=True)
        assert tell(client, order()).status_code == 403
        assert not Purchase.objects.exists()
        client.get("/admin/password_change/")
        token = client.cookies["csrftoken"].value
        body = json.dumps({"purchases": [order()]})
        assert results(client.post(ADDRESS, body, content_type="application/json", headers={"x-csrftoken": token})) == [("order-1001", "created")]

    def test_a_revoked_key_is_refused(self, program: Client, acme: Organisation) -> None:
        tenancy.revoke(acme.apikey_set.get(name="ops"))
        assert tell(program, order()).status_code == 401


def test_the_document_says_what_is_taken_and_every_reason(acme: Organisation) -> None:
    document = json.loads(Client().get("/api/v1/schema", headers={"accept": "application/json"}).content)
    described = document["paths"]["/api/v1/purchases"]["post"]
    item = described["requestBody"]["content"]["application/json"]["schema"]["properties"]["purchases"]["items"]
    assert set(item["properties"]) == set(purchases.FIELDS)
    assert set(described["responses"]) == {"200", "400", "401", "403", "413", "415", "503"}
    answer = described["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["results"]["items"]["properties"]
    assert set(answer["reason"]["enum"]) == set(Reason)
    assert {reason for _, reason in REFUSED} | {Reason.REPEATED, Reason.ERASED} == set(Reason)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_purchase_and_one_shopper(acme: Organisation) -> None:
    """In opposite orders, so that they would wait for each other if the order were theirs."""
    told = [order(id=f"o-{n:03d}", shopper=f"crm-{n % 50}") for n in range(300)]
    start = threading.Barrier(4)

    def once(items: list[Any]) -> list[str]:
        start.wait()
        try:
            return [answer.result for answer in purchases.record(organisation=acme, told=items, now=NOW)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(once, told[::step]) for step in (1, -1, 1, -1)]]
    assert sorted(itertools.chain.from_iterable(found)) == ["created"] * 300 + ["unchanged"] * 900
    assert (Purchase.objects.count(), Shopper.objects.count(), Brand.objects.filter(purchase__isnull=False).distinct().count()) == (300, 50, 1)
