"""Reports as a customer's program asks for them: one place or several, ranges beside, JSON and CSV, and who may."""

import csv
import io
import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from analytics.models import ZoneDay
from analytics.reports.catalogue import REPORTS
from engagement import provisioning
from engagement.models import Organisation, Shopper, Zone
from tests.analytics.rows import local, shopper, stay, venue
from tests.analytics.test_api import Reader, fault

WEEK = {"from": "2026-11-09", "to": "2026-11-16"}
SAST = "Africa/Johannesburg"
SUITED = {"passers-by": "north-street", "cross-visits": "north", "flows": "north"}  # a place that the report takes; else a store


@pytest.fixture
def reader(acme_keys: dict[str, str]) -> Reader:
    return Reader(acme_keys["secret"])


@pytest.fixture
def root(acme: Organisation) -> Zone:
    return Zone.objects.get(organisation=acme, key="north")


@pytest.fixture
def brew(acme: Organisation) -> Zone:
    return Zone.objects.get(organisation=acme, key="north-brew")


@pytest.fixture
def page(acme: Organisation) -> Zone:
    return Zone.objects.get(organisation=acme, key="north-page")


def people(acme: Organisation, number: int) -> list[Shopper]:
    return [shopper(acme, f"s{one}") for one in range(number)]


def lines(response: Any) -> list[dict[str, str]]:
    assert (response.status_code, response["Content-Type"]) == (200, "text/csv; charset=utf-8"), response.content
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))


# --- One place, several, brands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_says_of_what_it_is_in_its_head(reader: Reader, acme: Organisation, brew: Zone, name: str) -> None:
    stay(shopper(acme, "ann"), brew, local(SAST, 2026, 11, 10, 10))
    key = SUITED.get(name, "north-brew")
    found = reader.get(f"reports/{name}", zone=key, **WEEK).json()
    place = {"kind": "zone", "key": key, "name": {"north": "North Mall"}.get(key, key.removeprefix("north-").title())}
    assert list(found) == ["definitions", "report", "place", "from", "to", "coverage", "restated_at", "rows", "total"]
    assert [found[field] for field in ("definitions", "report", "place", "from", "to")] == [1, name, place, "2026-11-09", "2026-11-16"]
    for row in found["rows"]:
        assert tuple(row) == REPORTS[name].row
    assert tuple(found["total"]) == REPORTS[name].total


def test_several_places_are_answered_in_the_order_they_were_named(reader: Reader, acme: Organisation, brew: Zone, page: Zone) -> None:
    stay(shopper(acme, "ann"), brew, local(SAST, 2026, 11, 10, 10))
    alone = {key: reader.get("reports/footfall", zone=key, **WEEK).json() for key in ("north-brew", "north-page")}
    found = reader.get("reports/footfall", zone="north-page,north-brew", **WEEK).json()
    assert list(found) == ["definitions", "report", "from", "to", "places"]
    assert [one["place"]["key"] for one in found["places"]] == ["north-page", "north-brew"]
    for one in found["places"]:
        assert one == {name: alone[one["place"]["key"]][name] for name in ("place", "coverage", "restated_at", "rows", "total")}


def test_a_report_about_all_places_together_has_one_answer(reader: Reader, acme: Organisation, brew: Zone, page: Zone) -> None:
    ann, ben = people(acme, 2)
    for who, zone in ((ann, brew), (ann, page), (ben, brew)):
        stay(who, zone, local(SAST, 2026, 11, 10, 10))
    found = reader.get("reports/cross-visits", zone="north-brew,north-page", **WEEK).json()
    assert [place["key"] for place in found["places"]] == ["north-brew", "north-page"]
    assert found["rows"] == [{"a": "north-brew", "b": "north-page", "visitors": 1}]
    assert reader.get("reports/cross-visits", zone="north", **WEEK).json()["rows"] == found["rows"]


def test_a_brand_is_all_its_stores_in_all_venues(reader: Reader, acme: Organisation, brew: Zone) -> None:
    venue(acme, "harbour", "America/New_York")
    more = {"key": "harbour-brew", "venue": "harbour", "name": "Brew", "kind": "store", "brand": "brew", "boundary": None}
    provisioning.provision({"organisation": {"key": "acme", "name": "Acme Malls"}, "zones": [more]})
    ann, ben = people(acme, 2)
    stay(ann, brew, local(SAST, 2026, 11, 10, 1))
    # Late in New York's evening of the 10th, which is the 11th in Johannesburg: each store's days are its own.
    for who in (ann, ben):
        stay(who, Zone.objects.get(key="harbour-brew"), local("America/New_York", 2026, 11, 10, 23))
    found = reader.get("reports/visitors", brand="brew", **WEEK).json()
    assert found["place"] == {"kind": "brand", "key": "brew", "name": "Brew & Co"}
    assert {row["period"]: row["visitors"] for row in found["rows"] if row["visits"]} == {"2026-11-10": 2}
    assert (found["total"]["visits"], found["total"]["visitors"]) == (3, 2)


def test_only_some_hours_are_counted_where_that_is_asked_for(reader: Reader, acme: Organisation, root: Zone) -> None:
    root.venue.opening_hours = {"tue": [["09:00", "21:00"]]}
    root.venue.save()
    for number, hour in enumerate((8, 10, 12, 22)):
        stay(shopper(acme, f"s{number}"), root, local(SAST, 2026, 11, 10, hour))
    visits = {hours: reader.get("reports/footfall", zone="north", hours=hours, **WEEK).json()["total"]["visits"] for hours in ("all", "open", "closed")}
    assert visits == {"all": 4, "open": 2, "closed": 2}


def test_a_restated_day_says_when_and_only_for_its_place(reader: Reader, acme: Organisation, brew: Zone, page: Zone) -> None:
    for zone, restated in ((brew, datetime(2026, 11, 12, 3, tzinfo=UTC)), (page, None)):
        ZoneDay.objects.create(zone=zone, day=date(2026, 11, 10), open=True, built_at=restated, restated_at=restated)
    found = reader.get("reports/footfall", zone="north-brew,north-page", **WEEK).json()["places"]
    assert [one["restated_at"] for one in found] == ["2026-11-12T03:00:00Z", None]
    assert reader.get("reports/footfall", zone="north-brew", **{"from": "2026-11-11", "to": "2026-11-16"}).json()["restated_at"] is None


def test_coverage_is_the_share_of_hours_in_which_anybody_was_in_the_venue(reader: Reader, acme: Organisation, root: Zone) -> None:
    for hour in range(6):
        stay(shopper(acme, "ann"), root, local(SAST, 2026, 11, 10, hour), 600)
    found = reader.get("reports/footfall", zone="north-brew", **{"from": "2026-11-10", "to": "2026-11-11"}).json()
    assert (found["coverage"], found["total"]["visits"]) == (0.25, 0)
    tomorrow = (timezone.now() + timedelta(days=3)).date()
    assert reader.get("reports/footfall", zone="north", **{"from": str(tomorrow), "to": str(tomorrow + timedelta(1))}).json()["coverage"] is None


# --- Ranges beside --------------------------------------------------------------------------------------------------------


def test_what_stands_beside_a_range_is_what_asking_for_it_gives(reader: Reader, acme: Organisation, brew: Zone) -> None:
    for day in ((2026, 11, 10), (2026, 11, 3), (2025, 11, 11)):
        stay(shopper(acme, f"s{day}"), brew, local(SAST, *day, 10))
    asked = {"zone": "north-brew", "compare": "previous,year", "hours": "all", **WEEK}
    found = reader.get("reports/footfall", **asked).json()
    assert {name: (one["from"], one["to"]) for name, one in found["compare"].items()} == {
        "previous": ("2026-11-02", "2026-11-09"),
        "year": ("2025-11-10", "2025-11-17"),
    }
    for one in found["compare"].values():
        again = reader.get("reports/footfall", **{**asked, "compare": "", "from": one["from"], "to": one["to"]}).json()
        assert (one["rows"], one["total"]) == (again["rows"], again["total"])
        assert one["total"]["visits"] == 1
    assert "compare" not in reader.get("reports/footfall", zone="north-brew", **WEEK).json()
    several = reader.get("reports/footfall", **{**asked, "zone": "north-brew,north-page"}).json()
    assert several["places"][0]["compare"] == found["compare"]


def test_a_day_on_which_the_clock_changes_stands_beside_whole_days(reader: Reader, acme: Organisation) -> None:
    there = venue(acme, "berlin", "Europe/Berlin")
    for day in (28, 29):  # the 29th has 23 hours
        stay(shopper(acme, f"s{day}"), there, local("Europe/Berlin", 2026, 3, day, 23, 30))
    found = reader.get("reports/footfall", zone="berlin", compare="previous", **{"from": "2026-03-29", "to": "2026-03-30"}).json()
    assert (found["total"]["visits"], found["compare"]["previous"]["total"]["visits"]) == (1, 1)
    assert found["compare"]["previous"]["from"] == "2026-03-28"


def test_instants_are_compared_by_the_places_own_clock(reader: Reader, acme: Organisation) -> None:
    venue(acme, "berlin", "Europe/Berlin")
    asked = {"from": "2027-04-03T09:00:00+02:00", "to": "2027-04-03T12:00:00+02:00", "compare": "previous,year"}
    found = reader.get("reports/footfall", zone="berlin", **asked).json()
    assert (found["from"], found["to"]) == ("2027-04-03T07:00:00Z", "2027-04-03T10:00:00Z")
    assert (found["compare"]["previous"]["from"], found["compare"]["previous"]["to"]) == ("2027-04-03T04:00:00Z", "2027-04-03T07:00:00Z")
    assert (found["compare"]["year"]["from"], found["compare"]["year"]["to"]) == ("2026-03-28T08:00:00Z", "2026-03-28T11:00:00Z")  # winter time
    found = reader.get("reports/footfall", zone="berlin", **{**asked, "from": "2027-04-03"}).json()  # a date and an instant
    assert found["compare"]["year"]["from"] == "2026-03-27T23:00:00Z"
    assert fault(reader.get("reports/footfall", zone="berlin,north", **asked), "compare") == "invalid"
    assert reader.get("reports/footfall", zone="berlin,north", **{**asked, "compare": "previous"}).status_code == 200


# --- Wrong questions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "query", "parameter", "code"),
    [
        ("footfall", {"zone": ""}, "zone", "required"),
        ("footfall", {"zone": "north", "brand": "brew"}, "brand", "invalid"),
        ("footfall", {"zone": "north,north"}, "zone", "repeated"),
        ("footfall", {"zone": "north,"}, "zone", "invalid"),
        ("footfall", {"zone": ","}, "zone", "invalid"),
        ("footfall", {"zone": ",".join(f"z{one}" for one in range(21))}, "zone", "invalid"),
        ("cross-visits", {"zone": ",".join(f"z{one}" for one in range(51))}, "zone", "invalid"),
        ("footfall", {"zone": "x" * 513}, "zone", "invalid"),
        ("footfall", {"zone": "north", "compare": "previous,week"}, "compare", "invalid"),
        ("footfall", {"zone": "north", "compare": "year,year"}, "compare", "repeated"),
        ("footfall", {"zone": "north", "hours": "night"}, "hours", "invalid"),
        ("footfall", {"zone": "north", "format": "xml"}, "format", "invalid"),
        ("footfall", {"zone": "north", "from": "2026-11-17"}, "to", "invalid"),
        ("heatmap", {"zone": "north", "grain": "day"}, "grain", "unknown"),
        ("heatmap", {"zone": "north", "from": "1950-01-01"}, "to", "invalid"),
        ("passers-by", {"zone": "north-brew"}, "zone", "invalid"),
        ("passers-by", {"brand": "brew"}, "brand", "invalid"),
        ("capture", {"zone": "north"}, "zone", "invalid"),
        ("footfall", {"zone": "north", "grain": "hour", "from": "2020-01-01"}, "grain", "invalid"),
        ("footfall", {"zone": "north-brew,north-page", "grain": "hour", "from": "2025-11-01", "compare": "previous,year"}, "grain", "invalid"),
    ],
)
def test_a_wrong_question_is_refused_by_the_name_of_its_parameter(reader: Reader, report: str, query: dict[str, str], parameter: str, code: str) -> None:
    assert fault(reader.get(f"reports/{report}", **{**WEEK, **query}), parameter) == code


def test_twenty_places_are_taken(reader: Reader, acme: Organisation) -> None:
    zones = [{"key": f"z{one}", "venue": "north", "name": f"Z {one}", "kind": "area", "boundary": None} for one in range(20)]
    provisioning.provision({"organisation": {"key": "acme", "name": "Acme Malls"}, "zones": zones})
    assert len(reader.get("reports/visitors", zone=",".join(zone["key"] for zone in zones), **WEEK).json()["places"]) == 20


def test_a_brand_without_stores_says_what_to_do(reader: Reader, acme: Organisation) -> None:
    provisioning.provision({"organisation": {"key": "acme", "name": "Acme Malls"}, "brands": [{"key": "new", "name": "New"}]})
    assert fault(reader.get("reports/footfall", brand="new", **WEEK), "brand") == "invalid"


# --- Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPORTS)
def test_charlie_sees_no_place_of_acme_and_apps_keys_see_no_figures(
    acme_keys: dict[str, str], charlie: User, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    client = Client()
    client.force_login(charlie)
    caplog.set_level(logging.INFO)
    for query in ({"zone": "north-brew"}, {"brand": "brew"}, {"zone": "arcade,north-brew"}, {"zone": "north-brew,north-page"}):
        for form in ("json", "csv"):
            response = client.get(f"/api/v1/reports/{name}", {**query, "format": form, **WEEK})
            assert (response.status_code, response.json()["code"]) == (404, "not_found")
            for kind in ("publishable", "import"):
                assert Reader(acme_keys[kind]).get(f"reports/{name}", **query, format=form, **WEEK).status_code == 403
    assert not [record for record in caplog.records if record.name == "analytics.export"]


def test_a_brands_member_asks_about_its_stores_and_nothing_else(dora: User) -> None:
    client = Client()
    client.force_login(dora)
    for query in ({"zone": "north-brew"}, {"brand": "brew"}):
        for more in ({}, {"compare": "previous,year"}, {"format": "csv"}):
            assert client.get("/api/v1/reports/footfall", {**query, **more, **WEEK}).status_code == 200
    for query in ({"zone": "north"}, {"zone": "north-page"}, {"zone": "north-brew,north-page"}, {"brand": "page"}, {"brand": "brew,page"}):
        assert client.get("/api/v1/reports/footfall", {**query, **WEEK}).status_code == 404
    for query in ({"zone": "north-brew"}, {"brand": "brew"}):
        assert client.get("/api/v1/reports/capture", {**query, **WEEK}).status_code == 403  # it would tell the mall's visitors


# --- Exports --------------------------------------------------------------------------------------------------------------


def test_an_export_has_a_line_for_each_row_and_a_total(reader: Reader, acme: Organisation, brew: Zone) -> None:
    for number, who in enumerate(people(acme, 12)):
        stay(who, brew, local(SAST, 2026, 11, 10, 10), 600)
        if number < 4:
            stay(who, brew, local(SAST, 2026, 11, 11, 10), 600)
    response = reader.get("reports/footfall", zone="north-brew", format="csv", compare="previous", **WEEK)
    assert response["Content-Disposition"] == 'attachment; filename="footfall-north-brew-2026-11-09-2026-11-16.csv"'
    assert response["Cache-Control"] == "no-store"
    found = lines(response)
    assert [line["period"] for line in found] == [f"2026-11-{day:02}" for day in range(9, 16)] + ["total"]
    assert [line["visits"] for line in found] == ["0", "12", "<10", "0", "0", "0", "0", "hidden"]
    assert [line["visitors"] for line in found] == ["0", "12", "<10", "0", "0", "0", "0", "12"]
    assert (found[1]["dwell_mean_s"], found[2]["dwell_mean_s"], found[1]["previous_period"], found[1]["previous_visits"]) == ("600", "<10", "2026-11-03", "0")
    assert {(line["place"], line["name"], line["definitions"]) for line in found} == {("north-brew", "Brew", "1")}


def test_an_export_hides_what_a_few_shoppers_did_often(reader: Reader, acme: Organisation, brew: Zone) -> None:
    """Fifteen pass-bys of three people are a figure over three shoppers: by the day and by the hour."""
    for who in people(acme, 3):
        for minute in range(0, 50, 10):
            stay(who, brew, local(SAST, 2026, 11, 10, 10, minute), 30, counted=False)
    for who in [shopper(acme, f"t{number}") for number in range(11)]:
        stay(who, brew, local(SAST, 2026, 11, 12, 10), 30, counted=False)
    day = {"from": "2026-11-10", "to": "2026-11-13"}
    for report in ("footfall", "bounce"):
        assert [line["pass_bys"] for line in lines(reader.get(f"reports/{report}", zone="north-brew", format="csv", **day))] == ["<10", "0", "11", "hidden"]
        hours = lines(reader.get(f"reports/{report}", zone="north-brew", grain="hour", format="csv", **day))
        assert {line["period"]: line["pass_bys"] for line in hours if line["pass_bys"] != "0"} == {
            "2026-11-10T10:00:00+02:00": "<10",
            "2026-11-12T10:00:00+02:00": "11",
            "total": "hidden",
        }


@pytest.mark.parametrize(("report", "cell"), [("heatmap", {"weekday": "2", "hour": "10"}), ("peak-hours", {"hour": "10"})])
def test_an_export_hides_an_hour_of_few_shoppers_who_came_every_week(reader: Reader, acme: Organisation, brew: Zone, report: str, cell: dict[str, str]) -> None:
    for week in range(5):
        for who in people(acme, 3):
            stay(who, brew, local(SAST, 2026, 10, 6, 10) + timedelta(weeks=week))
        for number in range(3):
            stay(shopper(acme, f"other {week} {number}"), brew, local(SAST, 2026, 10, 6, 12) + timedelta(weeks=week))
    ranged = {"from": "2026-10-01", "to": "2026-11-10"}
    assert [row["visits"] for row in reader.get(f"reports/{report}", zone="north-brew", **ranged).json()["rows"] if row["visits"]] == [15, 15]
    found = lines(reader.get(f"reports/{report}", zone="north-brew", format="csv", **ranged))
    visits = {(line.get("weekday"), line["hour"]): line["visits"] for line in found if line["visits"] not in ("0", "")}
    busy = (cell.get("weekday"), "12")
    assert (visits[cell.get("weekday"), "10"], visits[busy]) == ("<10", "15")


def test_an_export_hides_the_classes_of_dwell_that_few_had(reader: Reader, acme: Organisation, brew: Zone) -> None:
    for number, who in enumerate(people(acme, 40)):
        stay(who, brew, local(SAST, 2026, 11, 10, 10), 4000 if number < 3 else 1200 if number < 18 else 600)
    for grain in ("day", "hour"):
        [line] = [
            one
            for one in lines(reader.get("reports/dwell", zone="north-brew", grain=grain, format="csv", **WEEK))
            if one["visits"] == "40" and one["period"] != "total"
        ]
        shares = [line[f"shares_{name}"] for name in ("under_5", "from_5_to_15", "from_15_to_30", "from_30_to_60", "over_60")]
        assert shares == ["0.0", "0.55", "hidden", "0.0", "<10"]


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_can_be_exported_with_what_stands_beside_it(reader: Reader, acme: Organisation, brew: Zone, page: Zone, name: str) -> None:
    for who in people(acme, 12):
        for zone in (brew, page):
            stay(who, zone, local(SAST, 2026, 11, 10, 10))
    key = SUITED.get(name, "north-brew")
    found = lines(reader.get(f"reports/{name}", zone=key, format="csv", compare="previous,year", **WEEK))
    assert found and all(None not in line for line in found)
    assert any(column.startswith("year_") for column in found[0]) and list(found[0])[-3:] == ["coverage", "restated_at", "definitions"]


def test_names_cannot_run_in_a_spreadsheet(reader: Reader, acme: Organisation) -> None:
    name = "=cmd|' /C calc'!A0\", \"x"
    zone = {"key": "evil", "venue": "north", "name": name, "kind": "area", "boundary": None}
    provisioning.provision({"organisation": {"key": "acme", "name": "Acme Malls"}, "zones": [zone]})
    found = lines(reader.get("reports/footfall", zone="evil", format="csv", **WEEK))
    assert {line["name"] for line in found} == {f"'{name}"}


def test_the_accept_header_chooses_the_form_and_the_parameter_goes_before_it(reader: Reader, acme: Organisation) -> None:
    for accept, form, wanted in (
        ("text/csv", "", "text/csv; charset=utf-8"),
        ("application/json", "", "application/json"),
        ("text/html, */*;q=0.8", "", "application/json"),
        ("application/json", "csv", "text/csv; charset=utf-8"),
        ("text/csv", "json", "application/json"),
    ):
        response = reader.client.get("/api/v1/reports/footfall", {"zone": "north", "format": form, **WEEK}, headers={"accept": accept})
        assert (response.status_code, response["Content-Type"]) == (200, wanted), accept
    response = reader.client.get("/api/v1/reports/footfall", {"zone": "nowhere", "format": "csv", **WEEK})
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_an_export_is_written_down_with_who_and_what_and_no_figure(
    reader: Reader, acme: Organisation, brew: Zone, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="analytics.export")
    stay(shopper(acme, "ann"), brew, local(SAST, 2026, 11, 10, 10), 777)
    reader.get("reports/footfall", zone="north-brew,north-page", **WEEK)
    assert not [record for record in caplog.records if record.name == "analytics.export"]
    reader.get("reports/footfall", zone="north-brew,north-page", format="csv", **WEEK)
    client = Client()
    client.force_login(bob)
    client.get("/api/v1/reports/loyalty", {"brand": "brew", "format": "csv", **WEEK})
    [by_key, by_bob] = [record.getMessage() for record in caplog.records if record.name == "analytics.export"]
    assert by_key.startswith("key 'ops' (atr_sec_")
    assert by_key.endswith(" of acme exports footfall of zone north-brew, zone north-page, 2026-11-09 to 2026-11-16")
    assert by_bob == "user 'bob' of acme exports loyalty of brand brew, 2026-11-09 to 2026-11-16"


# --- Places ---------------------------------------------------------------------------------------------------------------


def test_places_are_told_with_their_names_and_present_thresholds(reader: Reader, acme: Organisation) -> None:
    found = reader.get("places").json()
    assert found["venues"] == [{"key": "north", "name": "North Mall", "time_zone": SAST, "opening_hours": None}]
    assert found["brands"] == [{"key": "brew", "name": "Brew & Co"}, {"key": "page", "name": "Page & Sons"}]
    zones = {zone["key"]: zone for zone in found["zones"]}
    assert list(zones) == ["north", "north-brew", "north-door", "north-ground", "north-page", "north-street"]
    assert zones["north-brew"] == {
        "key": "north-brew",
        "name": "Brew",
        "kind": "store",
        "venue": "north",
        "time_zone": SAST,
        "floor": 0,
        "brand": "brew",
        "parent": "north-ground",
        "thresholds": {"exit_grace_s": 120, "min_stay_s": 120, "enter_rssi": -85, "hold_rssi": -95, "max_accuracy_m": 50.0},
    }
    assert (zones["north"]["parent"], zones["north-ground"]["parent"]) == (None, "north")


def test_a_brands_member_gets_its_stores_and_strangers_get_their_own(acme: Organisation, acme_keys: dict[str, str], dora: User, charlie: User) -> None:
    client = Client()
    client.force_login(dora)
    found = client.get("/api/v1/places").json()
    assert [(zone["key"], zone["parent"]) for zone in found["zones"]] == [("north-brew", None)]
    assert ([one["key"] for one in found["venues"]], [one["key"] for one in found["brands"]]) == (["north"], ["brew"])
    client.force_login(charlie)
    assert {zone["key"] for zone in client.get("/api/v1/places").json()["zones"]} == {"arcade", "arcade-shop"}
    assert client.get("/api/v1/places", {"organisation": "acme"}).status_code == 403
    for kind in ("publishable", "import"):
        assert Reader(acme_keys[kind]).get("places").status_code == 403
    assert Client().get("/api/v1/places").status_code == 401
