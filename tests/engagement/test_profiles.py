"""What is told of shoppers: taken one by one, written together, by whoever tells it at once, and nothing of it lost."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from engagement import shoppers
from engagement.inbox import shard_of
from engagement.models import Consent, ConsentState, Erased, Erasure, Organisation, Profile, Shopper
from engagement.profiles import consents, told
from engagement.profiles.record import Answer, record
from engagement.profiles.told import Reason, Refused
from tests.worlds import search

pytestmark = pytest.mark.django_db
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT: Final = "2026-11-19T10:00:00Z"


def person(**fields: Any) -> dict[str, Any]:
    return {"id": "crm-42", **fields}


def agreed(given: Any = True, at: str = AT, **fields: Any) -> dict[str, Any]:
    return {"channel": "email", "purpose": "marketing", "given": given, "at": at, "source": "checkout", "wording": "v3", **fields}


def tell(organisation: Organisation, *items: Any) -> list[str]:
    """What became of each, or why it was rejected."""
    return [answer.reason or answer.result for answer in answers(organisation, *items)]


def answers(organisation: Organisation, *items: Any) -> list[Answer]:
    return record(organisation, items, "ops", NOW)


def profile(id: str = "crm-42") -> tuple[str, str, str, dict[str, Any]]:
    row = Profile.objects.get(shopper__external_id=id)
    return row.email, row.language, row.time_zone, row.attributes


def states(id: str = "crm-42") -> dict[str, tuple[bool, datetime]]:
    return {row.purpose: (row.given, row.at) for row in ConsentState.objects.filter(shopper__external_id=id)}


class TestFields:
    def test_a_shopper_is_created_then_unchanged_then_updated(self, acme: Organisation) -> None:
        whole = person(email=" ann@Example.com ", language="en_za", time_zone="Africa/Johannesburg", attributes={"tier": "gold", "kids": 2, "vip": True})
        assert [tell(acme, whole), tell(acme, whole)] == [["created"], ["unchanged"]]
        assert profile() == ("ann@Example.com", "en-ZA", "Africa/Johannesburg", {"tier": "gold", "kids": 2, "vip": True})
        assert tell(acme, person(language="zh-hant-tw")) == ["updated"]
        assert profile() == ("ann@Example.com", "zh-Hant-TW", "Africa/Johannesburg", {"tier": "gold", "kids": 2, "vip": True})
        shopper = Shopper.objects.get()
        assert (shopper.organisation, shopper.shard) == (acme, shard_of(acme.pk, "s", "crm-42"))

    def test_what_is_not_told_stays_and_what_is_told_as_null_goes(self, acme: Organisation) -> None:
        tell(acme, person(email="ann@example.com", language="en", time_zone="Europe/London", attributes={"tier": "gold", "kids": 2}))
        assert tell(acme, person(), person(attributes={}), person(consents=None)) == ["unchanged"] * 3
        assert tell(acme, person(attributes={"kids": None, "vip": True})) == ["updated"]
        assert profile()[3] == {"tier": "gold", "vip": True}
        assert tell(acme, person(email=None, language="", time_zone=None)) == ["updated"]
        assert profile() == ("", "", "", {"tier": "gold", "vip": True})
        assert tell(acme, person(attributes=None)) == ["updated"]
        assert profile()[3] == {}

    def test_true_is_not_one(self, acme: Organisation) -> None:
        tell(acme, person(attributes={"vip": 1}))
        assert tell(acme, person(attributes={"vip": True})) == ["updated"]
        assert profile()[3]["vip"] is True

    def test_one_whom_a_phone_has_shown_already_is_the_same_shopper(self, acme: Organisation) -> None:
        known = Shopper.objects.create(organisation=acme, shard=1, external_id="crm-42")
        assert tell(acme, person(email="ann@example.com")) == ["created"]
        assert Profile.objects.get().shopper == known and Shopper.objects.count() == 1

    def test_the_same_id_at_two_organisations_is_two_shoppers(self, acme: Organisation, rival: Organisation) -> None:
        for organisation in (acme, rival):
            assert tell(organisation, person(email=f"{organisation.key}@example.com", consents=[agreed()])) == ["created"]
        assert {(row.organisation_id, row.shopper.organisation_id, row.email) for row in Profile.objects.select_related("shopper")} == {
            (one.pk, one.pk, f"{one.key}@example.com") for one in (acme, rival)
        }
        tell(rival, person(email=None, consents=[agreed(False, "2026-11-19T11:00:00Z")]))
        assert Profile.objects.get(organisation=acme).email == "acme@example.com"
        assert ConsentState.objects.get(organisation=acme).given

    def test_one_who_stands_twice_in_a_list_is_told_of_in_that_order(self, acme: Organisation) -> None:
        first, later = person(email="a@example.com", attributes={"a": 1, "b": 1}), person(email="b@example.com", attributes={"b": None}, consents=[agreed()])
        assert tell(acme, first, later, first | {"email": "b@example.com"}, first) == ["created", "updated", "updated", "unchanged"]
        assert profile() == ("a@example.com", "", "", {"a": 1, "b": 1})
        assert tell(acme, person(attributes={"a": 1}), person(attributes=None)) == ["updated", "updated"]
        assert profile()[3] == {}

    def test_a_bad_one_never_costs_the_good_ones(self, acme: Organisation) -> None:
        assert tell(acme, person(id="a"), 7, person(id="b", email="x"), person(id="c")) == ["created", "malformed", "bad_email", "created"]
        assert set(Shopper.objects.values_list("external_id", flat=True)) == {"a", "c"}

    def test_a_shopper_has_at_most_fifty_attributes_whoever_told_them(self, acme: Organisation) -> None:
        assert tell(acme, person(attributes={f"a{n}": n for n in range(50)})) == ["created"]
        more = person(email="late@example.com", attributes={"one more": 1}, consents=[agreed()])
        assert tell(acme, more, person(id="other")) == ["too_much", "created"]
        assert profile()[0] == "" and not Consent.objects.exists()
        assert tell(acme, person(attributes={"one more": 1, "a1": None})) == ["updated"]
        halves = [person(id="new", attributes={f"{half}{n}": n for n in range(30)}) for half in "ab"]
        assert tell(acme, *halves) == ["too_much", "too_much"]
        assert not Shopper.objects.filter(external_id="new").exists()

    def test_a_thousand_take_a_handful_of_statements(self, acme: Organisation) -> None:
        def statements(*items: Any) -> int:
            with CaptureQueriesContext(connection) as seen:
                tell(acme, *items)
            return len([one for one in seen if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))])

        def many(first: int, **fields: Any) -> list[dict[str, Any]]:
            return [person(id=f"p-{n}", email=f"{n}@example.com", consents=[agreed()], **fields) for n in range(first, first + 1000)]

        assert statements(person(consents=[agreed()])) == statements(*many(0)) == 7
        assert statements(*many(0)) == 5
        assert statements(*many(500, language="en")) == 9
        assert (Profile.objects.count(), Consent.objects.count(), ConsentState.objects.count()) == (1501, 1501, 1501)


WRONG: Final[list[tuple[Any, Reason, str]]] = [
    ("crm-42", Reason.MALFORMED, ""),
    ([["id", "a"]], Reason.MALFORMED, ""),
    ({}, Reason.MISSING_FIELD, "id"),
    (person(name="Ann"), Reason.UNKNOWN_FIELD, ""),
    *((person(id=id), Reason.MALFORMED, "id") for id in ("", 7, "x" * 129, "a\x00", "\ud800", "atrium:7", "a\nb")),
    *(
        (person(email=email), Reason.BAD_EMAIL, "email")
        for email in (
            *(
                "ann",
                "ann@",
                "@example.com",
                "a b@example.com",
                "a@b@example.com",
                "ann@localhost",
                "ann@[127.0.0.1]",
                '"a b"@example.com',
                7,
                ["a@example.com"],
            ),
            *(
                "ann@example.com\n",
                "ann@example.com\r\nBcc: eve@example.com",
                "ann@example.com, eve@example.com",
                "Ann <ann@example.com>",
                "ann@exa\x00mple.com",
            ),
            *("a" * 243 + "@example.com", "ann@example.com\u2028", "ann@.example.com", "ann@-example.com"),
        )
    ),
    *((person(language=one), Reason.BAD_LANGUAGE, "language") for one in ("english", "e", "en-", "en--ZA", "en ZA", "en\n", 7, "en-" + "x" * 40, "ı")),
    *((person(time_zone=one), Reason.UNKNOWN_TIME_ZONE, "time_zone") for one in ("UTC+2", "Europe/Nowhere", "europe/london", "localtime", "../etc/passwd", 7)),
    (person(attributes=[1]), Reason.MALFORMED, "attributes"),
    (person(attributes={"": 1}), Reason.MALFORMED, "attributes"),
    (person(attributes={" tier": 1}), Reason.MALFORMED, "attributes"),
    (person(attributes={"x" * 65: 1}), Reason.MALFORMED, "attributes"),
    (person(attributes={"tier": ["gold"]}), Reason.MALFORMED, "attributes"),
    (person(attributes={"tier": {"is": "gold"}}), Reason.MALFORMED, "attributes"),
    (person(attributes={"tier": "x" * 501}), Reason.MALFORMED, "attributes"),
    (person(attributes={"tier": "a\x00"}), Reason.MALFORMED, "attributes"),
    *((person(attributes={"n": n}), Reason.OUT_OF_RANGE, "attributes") for n in (2**53 + 1, -(10**30), 1e300, float("nan"), float("inf"))),
    (person(attributes={f"a{n}": n for n in range(51)}), Reason.TOO_MUCH, "attributes"),
    (person(consents={}), Reason.MALFORMED, "consents"),
    (person(consents=[agreed()] * 101), Reason.TOO_MUCH, "consents"),
    (person(consents=[agreed(), "yes"]), Reason.MALFORMED, "consents.1"),
    (person(consents=[agreed(note="x")]), Reason.UNKNOWN_FIELD, "consents.0"),
    (person(consents=[{"given": True, "at": AT}]), Reason.MISSING_FIELD, "consents.0.channel"),
    (person(consents=[{"channel": "email", "at": AT}]), Reason.MISSING_FIELD, "consents.0.given"),
    (person(consents=[{"channel": "email", "given": True}]), Reason.MISSING_FIELD, "consents.0.at"),
    (person(consents=[agreed(channel="pigeon")]), Reason.UNKNOWN_CHANNEL, "consents.0.channel"),
    (person(consents=[agreed(channel=["email"])]), Reason.UNKNOWN_CHANNEL, "consents.0.channel"),
    (person(consents=[agreed(given="yes")]), Reason.MALFORMED, "consents.0.given"),
    (person(consents=[agreed(given=1)]), Reason.MALFORMED, "consents.0.given"),
    (person(consents=[agreed(at="2026-11-19")]), Reason.MALFORMED, "consents.0.at"),
    (person(consents=[agreed(at="1969-12-31T23:59:59Z")]), Reason.OUT_OF_RANGE, "consents.0.at"),
    (person(consents=[agreed(at="2026-11-20T12:05:01Z")]), Reason.IN_FUTURE, "consents.0.at"),
    (person(consents=[agreed(purpose="x" * 65)]), Reason.MALFORMED, "consents.0.purpose"),
    (person(consents=[agreed(source="x" * 65)]), Reason.MALFORMED, "consents.0.source"),
    (person(consents=[agreed(wording=3)]), Reason.MALFORMED, "consents.0.wording"),
]


class TestRefused:
    @pytest.mark.parametrize(("item", "reason", "field"), WRONG)
    def test_one_that_is_wrong_is_rejected_with_its_reason_and_its_place(self, item: Any, reason: Reason, field: str) -> None:
        with pytest.raises(Refused) as refused:
            told.read(item, NOW)
        assert (refused.value.reason, refused.value.field) == (reason, field)
        assert refused.value.detail.endswith(".")

    def test_every_reason_is_tried(self) -> None:
        assert {reason for _, reason, _ in WRONG} | {Reason.ERASED} == set(Reason)

    @pytest.mark.parametrize("language", ["en", "en-ZA", "zh-Hant-TW", "es-419", "gsw", "sl-rozaj-biske", "de-CH-1996", "en-GB-u-ca-gregory", "zh-yue"])
    def test_languages_that_there_are_are_taken_as_they_are_written(self, language: str) -> None:
        assert told.language(language) == told.language(language.upper()) == told.language(language.replace("-", "_")) == language

    @pytest.mark.parametrize("email", ["ann@example.com", "ann+tag@mail.example.co.za", "o'neil@example.com", "ann@bücher.example", "a@b.co"])
    def test_addresses_that_people_have_are_taken(self, email: str) -> None:
        assert told.email(email) == email

    @search(40)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below)
        )
    )
    def test_nothing_that_json_can_say_breaks_it(self, value: Any) -> None:
        items = (value, *(person(**{name: value}) for name in told.FIELDS), *(person(consents=[agreed(**{name: value})]) for name in told.CONSENT_FIELDS))
        for item in items:
            try:
                told.read(item, NOW)
            except Refused as refused:
                assert refused.detail.endswith(".")

    def test_who_was_erased_gets_no_older_consent_and_is_not_made_again_for_it(self, acme: Organisation) -> None:
        digest, until = shoppers.digest(acme.pk, shoppers.SHOPPER, "crm-42"), NOW - timedelta(hours=1)
        Erased.objects.create(organisation=acme, erasure=Erasure.objects.create(organisation=acme), digest=digest, until=until)
        old = person(email="ann@example.com", consents=[agreed(at=until.isoformat())])
        assert tell(acme, old, person(id="other")) == ["erased", "created"]
        assert not Shopper.objects.filter(external_id="crm-42").exists()
        assert tell(acme, person(consents=[agreed(at=(until + timedelta(seconds=1)).isoformat())])) == ["created"]


class TestConsents:
    def test_told_twice_it_is_one_row_and_the_ledger_says_who_recorded_it(self, acme: Organisation) -> None:
        assert tell(acme, person(consents=[agreed(), agreed()])) == ["created"]
        assert tell(acme, person(consents=[agreed(source="another")])) == ["unchanged"]
        row = Consent.objects.get()
        assert (row.channel, row.purpose, row.given, row.source, row.wording, row.recorded_by) == ("email", "marketing", True, "checkout", "v3", "ops")
        assert tell(acme, person(consents=[agreed(at="2026-11-19T12:00:00+02:00")])) == ["unchanged"]  # the same instant
        assert tell(acme, person(consents=[{"channel": "email", "given": True, "at": "2026-11-19T10:00:01Z"}])) == ["updated"]
        assert Consent.objects.count() == 2

    def test_the_latest_holds_and_of_two_at_one_instant_the_withdrawal(self, acme: Organisation) -> None:
        """Whatever the order, and whether they come together or one by one."""
        rows = [
            agreed(True, "2026-11-19T10:00:00Z"),
            agreed(False, "2026-11-19T10:00:00Z"),
            agreed(True, "2026-11-18T10:00:00Z"),
            agreed(False, "2026-11-17T10:00:00Z"),
        ]
        for n, order in enumerate(itertools.permutations(rows)):
            tell(acme, person(id=f"together-{n}", consents=list(order)))
            for one in order:
                tell(acme, person(id=f"apart-{n}", consents=[one]))
        assert ConsentState.objects.count() == 48
        assert set(ConsentState.objects.values_list("given", "at")) == {(False, datetime(2026, 11, 19, 10, tzinfo=UTC))}

    def test_each_purpose_holds_for_itself(self, acme: Organisation) -> None:
        tell(acme, person(consents=[agreed(), agreed(False, "2026-11-19T11:00:00Z", purpose="events")]))
        assert {purpose: given for purpose, (given, _) in states().items()} == {"marketing": True, "events": False}

    def test_a_withdrawal_by_the_shopper_holds_at_once(self, acme: Organisation, rival: Organisation) -> None:
        tell(acme, person(consents=[agreed()]))
        ann = Shopper.objects.get().pk
        with connection.cursor() as cursor:
            assert not consents.withdraw(cursor, rival.pk, ann, "email", "marketing", NOW, "unsubscribe")
            assert states()["marketing"][0]
            for _ in range(2):
                assert consents.withdraw(cursor, acme.pk, ann, "email", "marketing", NOW, "unsubscribe", "page 1")
            assert not consents.withdraw(cursor, acme.pk, ann + 1, "email", "marketing", NOW, "unsubscribe")
        assert states() == {"marketing": (False, NOW)}
        assert [(row.given, row.source, row.recorded_by) for row in Consent.objects.order_by("at")] == [(True, "checkout", "ops"), (False, "unsubscribe", "")]

    def test_what_holds_is_noted_with_the_transaction_that_wrote_it(self, acme: Organisation) -> None:
        tell(acme, person(consents=[agreed()]))
        assert Profile.objects.get().changed > 0 and ConsentState.objects.get().changed > 0


@pytest.mark.django_db(transaction=True)
def test_sixteen_who_tell_of_the_same_shoppers_at_once_all_are_heard(acme: Organisation) -> None:
    """Each tells an attribute and a consent of his own of everybody, in an order of his own. Nothing is lost, and nobody waits in a circle."""
    names = [f"crm-{n}" for n in range(120)]
    start = threading.Barrier(16)

    def once(number: int) -> set[str]:
        order = random.Random(number).sample(names, len(names))
        start.wait()
        try:
            found: set[str] = set()
            for part in (order[:60], order[30:], order):
                fields = {"attributes": {f"a{number}": number}, "consents": [agreed(number % 2 == 0, f"2026-11-19T10:{number:02}:00Z")]}
                found |= {str(answer.result) for answer in record(acme, [person(**{"id": id, **fields}) for id in part], "ops", NOW)}
            return found
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as pool:
        results = set().union(*pool.map(once, range(16)))
    assert results == {"created", "updated", "unchanged"}
    assert {row.shopper.external_id: row.attributes for row in Profile.objects.select_related("shopper")} == {
        name: {f"a{number}": number for number in range(16)} for name in names
    }
    assert Consent.objects.count() == 16 * 120
    assert set(ConsentState.objects.values_list("given", "at")) == {(False, datetime(2026, 11, 19, 10, 15, tzinfo=UTC))}
