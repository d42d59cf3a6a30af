"""The reading addresses as a customer's program meets them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics import listing
from engagement.models import Inbox, Membership, Organisation, Outcome, Role, Shopper, ShopperDevice, Zone
from engagement.protocols import atrium
from engagement.protocols.refusals import InvalidEnvelope
from tests.analytics.rows import device, local, shopper, stay, venue

START = datetime(2026, 10, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Reader:
    """A program with a key."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"authorization": f"Bearer {token}"})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query)

    def stays(self, **query: Any) -> list[dict[str, Any]]:
        response = self.get("stays", **query)
        assert response.status_code == 200, response.content
        results: list[dict[str, Any]] = response.json()["results"]
        return results


@pytest.fixture
def reader(acme_keys: dict[str, str]) -> Reader:
    return Reader(acme_keys["secret"])


@pytest.fixture
def root(acme: Organisation) -> Zone:
    return Zone.objects.get(organisation=acme, key="north")


def fault(response: Any, parameter: str) -> str:
    """The code of the refusal of one parameter."""
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "bad_parameter"
    [code] = [error["code"] for error in problem["errors"] if error["parameter"] == parameter]
    return str(code)


def test_a_stay_says_who_was_where_and_how_long(acme: Organisation, reader: Reader, root: Zone) -> None:
    made = stay(shopper(acme, "crm-42"), root, START + timedelta(microseconds=250_000), 2490.5)
    assert reader.get("stays").json() == {
        "next": None,
        "results": [
            {
                "id": made.pk,
                "shopper": "crm-42",
                "zone": "north",
                "started": "2026-10-01T08:00:00.250000Z",
                "ended": "2026-10-01T08:41:30.750000Z",
                "dwell_s": 2490.5,
                "counted": True,
                "open": False,
            }
        ],
    }


def test_a_stay_is_open_until_nothing_can_extend_it(acme: Organisation, reader: Reader, root: Zone) -> None:
    now = timezone.now()
    stay(shopper(acme, "ann"), root, now - HOUR, 3_000, grace=900)
    stay(shopper(acme, "ben"), root, now - HOUR, 2_000, grace=900)
    stay(shopper(acme, "cat"), root, now - HOUR, 3_000, cut=True)
    assert [row["open"] for row in reader.stays()] == [True, False, False]


def test_pages_give_every_stay_once_and_in_order(acme: Organisation, reader: Reader, root: Zone) -> None:
    people = [shopper(acme, f"s{number}") for number in range(23)]
    made = [stay(who, root, START + timedelta(minutes=number // 5)) for number, who in enumerate(people)]
    seen, cursor, pages = [], None, 0
    while cursor or not pages:
        page = reader.get("stays", limit=7, cursor=cursor or "").json()
        seen += [row["id"] for row in page["results"]]
        cursor, pages = page["next"], pages + 1
    assert seen == [row.pk for row in sorted(made, key=lambda row: (row.started, row.pk))]
    assert pages == 4
    assert len(reader.stays(limit=23)) == 23
    assert reader.get("stays", limit=23).json()["next"] is None


def test_ndjson_gives_all_in_slices(acme: Organisation, acme_keys: dict[str, str], root: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SLICE", 4)
    for number in range(10):
        stay(shopper(acme, f"s{number}"), root, START + timedelta(minutes=number % 3))
    client = Client(headers={"authorization": f"Bearer {acme_keys['secret']}", "accept": "application/x-ndjson"})
    response = client.get("/api/v1/stays", {"from": "2026-10-01", "zone": "north"})
    assert (response.status_code, response["Content-Type"], response.streaming) == (200, "application/x-ndjson", True)
    rows = [json.loads(line) for line in response.getvalue().splitlines()]
    assert rows == Reader(acme_keys["secret"]).stays()
    assert len(rows) == 10


def test_a_range_is_told_in_local_dates_or_instants_and_ends_before_its_end(acme: Organisation, reader: Reader, root: Zone) -> None:
    for hour in (0, 1, 24):
        stay(shopper(acme, f"h{hour}"), root, local("Africa/Johannesburg", 2026, 10, 1) + hour * HOUR)
    for query, wanted in (
        ({"from": "2026-10-01", "to": "2026-10-02"}, ["h0", "h1"]),
        ({"from": "2026-10-02"}, ["h24"]),
        ({"to": "2026-09-30T23:00:00Z"}, ["h0"]),
        ({"from": "2026-10-01T01:00:00+02:00", "to": "2026-10-01T01:00:00.000001+02:00"}, ["h1"]),
        ({"from": "2026-10-01T01:00:00 02:00", "to": "2026-10-02"}, ["h1"]),
        ({"from": "2026-10-02", "to": "2026-10-02"}, []),
        ({"from": "1900-01-02", "to": "2999-12-31"}, ["h0", "h1", "h24"]),
    ):
        assert [row["shopper"] for row in reader.stays(**query)] == wanted, query
        assert [row["shopper"] for row in reader.stays(zone="north", **query)] == wanted, query


def test_without_a_zone_dates_are_utc_where_venues_disagree(acme: Organisation, reader: Reader, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local("Africa/Johannesburg", 2026, 10, 1))
    assert len(reader.stays(**{"from": "2026-10-01"})) == 1
    venue(acme, "harbour", "America/New_York")
    assert len(reader.stays(**{"from": "2026-10-01"})) == 0
    assert len(reader.stays(**{"from": "2026-10-01", "zone": "north"})) == 1


def test_a_shopper_goes_by_the_apps_id_or_by_the_products(acme: Organisation, rival: Organisation, reader: Reader, root: Zone) -> None:
    nobody = shopper(acme, device="install-9")
    stay(nobody, root, START)
    stay(shopper(acme, "ann"), root, START + HOUR)
    [unnamed, named] = reader.stays()
    assert (unnamed["shopper"], named["shopper"]) == (f"atrium:{nobody.pk}", "ann")
    assert reader.stays(shopper=unnamed["shopper"]) == [unnamed]
    assert reader.stays(shopper="ann") == [named]
    other = shopper(rival, device="install-9")
    for stranger in (
        "install-9",
        str(nobody.pk),
        f"atrium:{other.pk}",
        "atrium:99999999999999999999",
        "atrium:",
        "ann\x85",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ):
        assert reader.stays(shopper=stranger) == []


def test_a_named_shopper_does_not_answer_to_the_products_number(acme: Organisation, reader: Reader, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, START)
    assert reader.stays(shopper=f"atrium:{Shopper.objects.get(external_id='ann').pk}") == []


def test_a_device_leads_to_who_owns_it_and_who_used_it(acme: Organisation, rival: Organisation, reader: Reader, root: Zone) -> None:
    ann, ben, cat = (shopper(acme, name) for name in ("ann", "ben", "cat"))
    phone = device(ann, "install-1")
    ShopperDevice.objects.create(shopper=ann, device=phone)
    ShopperDevice.objects.create(shopper=ben, device=phone)
    device(cat, "install-2")
    device(shopper(rival, "cy"), "install-3")
    for number, who in enumerate((ann, ben, cat)):
        stay(who, root, START + number * HOUR)
    assert [row["shopper"] for row in reader.stays(device="install-1")] == ["ann", "ben"]
    assert [row["shopper"] for row in reader.stays(device="install-1", shopper="ben")] == ["ben"]
    assert [row["shopper"] for row in reader.stays(device="install-2", zone="north", limit=1)] == ["cat"]
    assert reader.stays(device="install-3") == []


def test_a_page_takes_a_fixed_number_of_queries(acme: Organisation, reader: Reader, root: Zone) -> None:
    for number in range(12):
        stay(shopper(acme, f"s{number}"), root, START + number * HOUR)
    for limit in (2, 10):
        with CaptureQueriesContext(connection) as queries:
            reader.stays(zone="north", limit=limit)
        assert len(queries) == 3  # key, zone, page


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ({"cursor": "abc"}, "cursor", "invalid"),
        ({"cursor": "W10:1vMxyz:AAAA"}, "cursor", "invalid"),
        ({"limit": "0"}, "limit", "invalid"),
        ({"limit": "1001"}, "limit", "invalid"),
        ({"limit": "9" * 400}, "limit", "invalid"),
        ({"limit": "٣"}, "limit", "invalid"),
        ({"from": "yesterday"}, "from", "invalid"),
        ({"from": "0000-01-01"}, "from", "invalid"),
        ({"from": "9999-12-31"}, "from", "invalid"),
        ({"to": "9999-12-31T23:59:59-23:59"}, "to", "invalid"),
        ({"to": "0001-01-01T00:00:00+23:59"}, "to", "invalid"),
        ({"to": "2026-02-30"}, "to", "invalid"),
        ({"to": "2026-10-01T10:00:00"}, "to", "invalid"),
        ({"to": "2026-W47-1"}, "to", "invalid"),
        ({"from": "2026-10-02", "to": "2026-10-01"}, "to", "invalid"),
        ({"zone": "no\0rth"}, "zone", "invalid"),
        ({"shopper": "\0"}, "shopper", "invalid"),
        ({"device": "x" * 10_000}, "device", "invalid"),
        ({"shoper": "ann"}, "shoper", "unknown"),
        ({"limit": ["3", "4"]}, "limit", "repeated"),
    ],
)
def test_a_wrong_parameter_is_named(reader: Reader, query: dict[str, Any], parameter: str, code: str) -> None:
    assert fault(reader.get("stays", **query), parameter) == code


def test_all_wrong_parameters_are_named_at_once(reader: Reader) -> None:
    response = reader.get("reports/footfall", **{"from": "x", "grain": "year", "colour": "red"})
    assert [fault(response, name) for name in ("zone", "from", "to", "grain", "colour")] == ["required", "invalid", "required", "invalid", "unknown"]


def test_an_empty_parameter_is_an_absent_one(acme: Organisation, reader: Reader, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, START)
    empty = dict.fromkeys(("zone", "from", "to", "shopper", "device", "cursor", "limit", "organisation"), "")
    assert len(reader.stays(**empty)) == 1


def test_bytes_that_are_no_text_find_nobody(acme: Organisation, reader: Reader) -> None:
    for raw in ("%FF%FE", "%ED%A0%80", "%C0%80"):
        assert reader.client.get(f"/api/v1/stays?shopper={raw}&device={raw}").json()["results"] == []
        assert reader.client.get(f"/api/v1/stays?{raw}={raw}").status_code == 400
        assert reader.client.get(f"/api/v1/stays?zone={raw}").status_code == 404
        assert reader.client.get(f"/api/v1/stays?organisation={raw}").status_code == 403


def test_footfall_has_a_row_for_each_day_and_a_total(acme: Organisation, reader: Reader, root: Zone) -> None:
    ann = shopper(acme, "ann")
    stay(ann, root, local("Africa/Johannesburg", 2026, 10, 1, 10), 600.25)
    stay(ann, root, local("Africa/Johannesburg", 2026, 10, 3, 10), 1200)
    stay(ann, root, local("Africa/Johannesburg", 2026, 10, 3, 15), 60, counted=False)
    nothing = dict.fromkeys(("visits", "visitors", "new", "returning", "pass_bys"), 0) | dict.fromkeys(("dwell_median_s", "dwell_p90_s", "dwell_mean_s"))
    found = reader.get("reports/footfall", zone="north", grain="day", **{"from": "2026-10-01", "to": "2026-10-04"})
    assert {name: found.json()[name] for name in ("definitions", "rows", "total")} == {
        "definitions": 1,
        "rows": [
            {"period": "2026-10-01", **nothing, "visits": 1, "visitors": 1, "new": 1, "dwell_median_s": 600.25, "dwell_p90_s": 600.25, "dwell_mean_s": 600.25},
            {"period": "2026-10-02", **nothing},
            {
                "period": "2026-10-03",
                **nothing,
                "visits": 1,
                "visitors": 1,
                "returning": 1,
                "pass_bys": 1,
                "dwell_median_s": 1200,
                "dwell_p90_s": 1200,
                "dwell_mean_s": 1200,
            },
        ],
        "total": {**nothing, "visits": 2, "visitors": 1, "new": 1, "pass_bys": 1, "dwell_median_s": 900.125, "dwell_p90_s": 1140.025, "dwell_mean_s": 900.125},
    }


def test_footfall_refuses_more_rows_than_anybody_reads(reader: Reader) -> None:
    response = reader.get("reports/footfall", zone="north", grain="hour", **{"from": "1900-01-01", "to": "2999-01-01"})
    assert fault(response, "grain") == "invalid"
    assert reader.get("reports/footfall", zone="north", grain="month", **{"from": "1950-01-01", "to": "2500-01-01"}).status_code == 200


def test_footfall_takes_a_fixed_number_of_queries(reader: Reader) -> None:
    for grain in ("hour", "month"):
        with CaptureQueriesContext(connection) as queries:
            reader.get("reports/footfall", zone="north", grain=grain, **{"from": "2026-01-01", "to": "2026-12-01"})
        assert len(queries) == 2  # key, zone; figures are read beside Django


def test_status_tells_how_far_the_work_is(acme: Organisation, rival: Organisation, reader: Reader) -> None:
    Outcome.objects.create(organisation=acme, hour=START, shard=1, outcome="accepted", events=5)
    Outcome.objects.create(organisation=acme, hour=START, shard=1, outcome="too_old", events=2)
    Outcome.objects.create(organisation=rival, hour=START, shard=1, outcome="accepted", events=70)
    assert reader.get("status").json() == {"inbox": {"requests": 0, "events": 0, "oldest_s": 0}, "processed_events": 5, "version": "0.1.0"}
    Inbox.objects.create(organisation=acme, shard=1, received_at=timezone.now() - HOUR, events=3, payload=b"")
    Inbox.objects.create(organisation=rival, shard=1, received_at=timezone.now() - 2 * HOUR, events=9, payload=b"")
    found = reader.get("status").json()["inbox"]
    assert (found["requests"], found["events"]) == (1, 3)
    assert 3_590 < found["oldest_s"] < 3_700


def test_a_rivals_zone_is_as_unknown_as_one_that_never_was(acme_keys: dict[str, str], rival_keys: dict[str, str]) -> None:
    ranged = {"from": "2026-10-01", "to": "2026-10-02"}
    for key in ("north", "north-brew", "nowhere"):
        for path in ("stays", "reports/footfall"):
            response = Reader(rival_keys["secret"]).get(path, zone=key, **ranged)
            assert (response.status_code, response.json()["code"]) == (404, "not_found")
            assert b"North" not in response.content
    assert Reader(rival_keys["secret"]).get("stays", zone="arcade").status_code == 200


def test_only_a_living_secret_key_reads(acme: Organisation, acme_keys: dict[str, str]) -> None:
    for kind in ("publishable", "import"):
        response = Reader(acme_keys[kind]).get("status")
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    secret = acme_keys["secret"]
    for token in ("", "x", secret[:-1], secret + "x", secret.swapcase(), "é" * 51, "\xff" * 51):
        response = Reader(token).get("status")
        assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="atrium"')
    for header in (f"Basic {secret}", f"Token {secret}", secret):
        assert Client(headers={"authorization": header}).get("/api/v1/status").status_code == 401
    assert Client(headers={"authorization": f"bearer  {secret} "}).get("/api/v1/status").status_code == 200
    acme.apikey_set.update(revoked_at=timezone.now())
    assert Reader(secret).get("status").status_code == 401


def test_who_asks_without_a_key_is_told_how(db: None) -> None:
    response = Client().get("/api/v1/stays")
    assert (response.status_code, response["Content-Type"], response.json()["code"]) == (401, "application/problem+json", "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="atrium"'


def test_members_read_with_their_session_and_strangers_do_not(acme: Organisation, rival: Organisation, bob: User, charlie: User) -> None:
    client = Client()
    client.force_login(bob)
    assert client.get("/api/v1/stays", {"zone": "north"}).status_code == 200
    assert client.get("/api/v1/stays", {"zone": "north", "organisation": "acme"}).status_code == 200
    for organisation in ("rival", "nobody", "\0"):
        assert client.get("/api/v1/stays", {"organisation": organisation}).status_code == 403
    client.force_login(charlie)
    assert client.get("/api/v1/stays", {"zone": "north"}).status_code == 404
    assert client.get("/api/v1/stays", {"organisation": "acme"}).status_code == 403
    client.force_login(User.objects.create_superuser("root", password="x"))
    assert client.get("/api/v1/stays").status_code == 403


def test_somebody_of_two_organisations_chooses(acme: Organisation, rival: Organisation, bob: User) -> None:
    Membership.objects.create(user=bob, organisation=rival, role=Role.ANALYST)
    client = Client()
    client.force_login(bob)
    for query, zone, status in (({}, "north", 200), ({"organisation": "rival"}, "arcade", 200), ({"organisation": "rival"}, "north", 404)):
        assert client.get("/api/v1/stays", {**query, "zone": zone}).status_code == status


def test_a_key_opens_no_other_organisation(acme_keys: dict[str, str], rival: Organisation) -> None:
    assert Reader(acme_keys["secret"]).get("status", organisation="rival").status_code == 403
    assert Reader(acme_keys["secret"]).get("status", organisation="acme").status_code == 200


def test_a_key_that_is_sent_decides_even_beside_a_session(rival_keys: dict[str, str], bob: User) -> None:
    client = Client(headers={"authorization": f"Bearer {rival_keys['secret']}"})
    client.force_login(bob)
    assert client.get("/api/v1/stays", {"zone": "north"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "status", "code"), [("post", 405, "method_not_allowed"), ("delete", 405, "method_not_allowed"), ("options", 405, "method_not_allowed")]
)
def test_other_methods_are_refused(reader: Reader, method: str, status: int, code: str) -> None:
    for path in ("stays", "reports/footfall", "status"):
        response = getattr(reader.client, method)(f"/api/v1/{path}")
        assert (response.status_code, response.json()["code"], response["Allow"]) == (status, code, "GET, HEAD")


def test_a_form_that_is_not_offered_is_406(reader: Reader) -> None:
    response = reader.client.get("/api/v1/stays", headers={"accept": "text/csv"})
    assert (response.status_code, response["Content-Type"], response.json()["code"]) == (406, "application/problem+json", "not_acceptable")
    response = reader.client.get("/api/v1/stays?limit=x", headers={"accept": "application/x-ndjson"})
    assert fault(response, "limit") == "invalid"


def test_an_unknown_address_is_answered_in_the_apis_own_form(reader: Reader) -> None:
    for path in ("/api/v1/stay", "/api/v1/stays/", "/api/v2/stays", "/api/", "/api/v1/reports/footfall/x"):
        response = reader.client.get(path)
        assert (response.status_code, response["Content-Type"], response.json()["code"]) == (404, "application/problem+json", "not_found")


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr(listing, "page", away)
    response = reader.get("stays")
    assert (response.status_code, response["Content-Type"], response["Retry-After"], response.json()["code"]) == (
        503,
        "application/problem+json",
        "5",
        "unavailable",
    )
    assert b"10.1.2.3" not in response.content


def test_nobody_on_the_way_may_keep_an_answer(reader: Reader) -> None:
    for response in (reader.get("stays"), reader.get("stays", zone="nowhere"), Client().get("/api/v1/status")):
        assert response["Cache-Control"] == "no-store"


def test_an_app_cannot_take_an_id_of_the_products_form() -> None:
    event = {"id": "01930000-0000-7000-8000-000000000001", "type": "custom", "at": "2026-10-01T08:00:00Z", "name": "x"}
    body = json.dumps({"device": {"id": "d"}, "shopper": {"id": "atrium:7"}, "events": [event]}).encode()
    with pytest.raises(InvalidEnvelope, match="atrium:"):
        atrium.read(body, received_us=int(START.timestamp()) * 1_000_000, imported=False)
