"""The dashboard in a browser: every panel tells what the API tells, and addresses can be shared."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from engagement.models import Organisation, Shopper, Venue, Zone
from tests.analytics import rows
from tests.browser.conftest import CLOCK, House, Visit
from tests.browser.dashboard import (
    PATH,
    TODAY_ASKED_WITHIN_MS,
    asked,
    drawn,
    look,
    number,
    settled,
    shown_range,
    told,
)
from tests.servers import WHOLE, running_door


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The product without its stream: nothing is posted here, stays are written as the stream would have."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


# --- Every panel tells what the API tells ---------------------------------------------------------------------------------


def test_the_overview_tells_what_the_api_tells(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit)
        api = asked(visit, "footfall", zone="north", **ranged, grain="day", compare="previous")
        fields = {"visitors": "visitors", "visits": "visits", "dwell": "dwell_median_s", "new": "new", "returning": "returning"}
        for tile, field in fields.items():
            assert number(visit, f'[data-tile="{tile}"] [data-number]') == api["total"][field] is not None, tile
        was = api["compare"]["previous"]["total"]["visitors"]
        assert number(visit, '[data-tile="visitors"] .change') == pytest.approx(api["total"]["visitors"] / was - 1)
        assert [row[1] for row in told(visit, "trend")] == drawn(visit, "trend") == [row["visitors"] for row in api["rows"]]
        assert [row[2] for row in told(visit, "trend")] == drawn(visit, "trend", 1) == [row["visitors"] for row in api["compare"]["previous"]["rows"]]

        heat = asked(visit, "heatmap", zone="north", **ranged)
        cells = {(row["weekday"], row["hour"]): row["mean"] for row in heat["rows"]}
        assert [row[1:] for row in told(visit, "heatmap")] == [[cells[day, hour] for hour in range(24)] for day in range(1, 8)]
        assert {(row[1] + 1, row[0]): row[2] for row in drawn(visit, "heatmap")} == cells

        several = asked(visit, "footfall", zone="north-brew,north-page,north-door,north-street", **ranged, grain="month")
        for place in several["places"]:
            assert number(visit, f'[data-zone="{place["place"]["key"]}"]') == place["total"]["visitors"]
        assert visit.complaints == []


def test_today_runs(house: House, alice: User, life: list[Shopper], acme: Organisation) -> None:
    day = datetime.now(CLOCK).date()
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        api = asked(visit, "footfall", zone="north", **{"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}, grain="hour")
        for name in ("visitors", "visits"):
            assert number(visit, f'[data-today="{name}"]') == api["total"][name]
        hours = {row["period"][11:16]: row["visits"] for row in api["rows"]}
        assert {row[0]: row[1] or 0 for row in told(visit, "today")} == hours
        now = asked(visit, "occupancy", zone="north", **{"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()})
        assert number(visit, '[data-today="inside"]') == now["total"]["now"]
        for name in ("ann", "ben"):
            rows.stay(rows.shopper(acme, name), Zone.objects.get(key="north"), datetime.now(UTC) - timedelta(seconds=400), 399)
        expect(visit.page.locator('[data-today="visitors"]')).to_have_attribute("data-value", str(api["total"]["visitors"] + 2), timeout=TODAY_ASKED_WITHIN_MS)
        assert visit.complaints == []


def test_the_plan_and_the_line_tell_any_figure(house: House, alice: User, life: list[Shopper]) -> None:
    fields = {
        "visits": "footfall.visits",
        "dwell": "footfall.dwell_median_s",
        "occupancy": "occupancy.mean",
        "bounce": "bounce.rate",
        "capture": "capture.rate",
    }
    with house.visit("alice", to=PATH) as visit:
        for figure, told_by in fields.items():
            report, field = told_by.split(".")
            ranged = look(visit, figure=figure, place="north-brew")
            alone = asked(visit, report, zone="north-brew", **ranged, grain="day")
            assert [row[1] for row in told(visit, "trend")] == drawn(visit, "trend") == [row[field] for row in alone["rows"]], figure
            for place in asked(visit, report, zone="north-brew,north-page", **ranged, grain="month")["places"]:
                assert number(visit, f'[data-zone="{place["place"]["key"]}"]') == place["total"][field], figure
        look(visit, figure="capture")
        expect(visit.page.locator("#widget-trend")).to_contain_text("Choose a floor or a store.")
        assert visit.complaints == []


def test_the_plan_tells_an_hour_of_the_day(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit, figure="visits")
        visit.page.locator("#hour").focus()
        for _ in range(13):
            visit.page.keyboard.press("ArrowRight")
        settled(visit)
        expect(visit.page.locator("#hour-says")).to_have_text("12:00 to 13:00")
        assert "hour=12" in visit.page.url
        for place in asked(visit, "peak-hours", zone="north-brew,north-page", **ranged)["places"]:
            assert number(visit, f'[data-zone="{place["place"]["key"]}"]') == place["rows"][12]["mean_visits"]
        assert visit.complaints == []


def test_the_visitors_view_tells_what_the_api_tells(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit, view="visitors")
        people = asked(visit, "footfall", zone="north", **ranged, grain="day")["rows"]
        assert [row[1:] for row in told(visit, "newness")] == [[row["visitors"], row["new"], row["returning"]] for row in people]
        assert drawn(visit, "newness", 1) == [row["new"] for row in people]
        shares = asked(visit, "dwell", zone="north", **ranged)["total"]["shares"]
        assert [row[1] for row in told(visit, "dwell")] == drawn(visit, "dwell") == list(shares.values())
        for widget, report, name in (("loyalty", "loyalty", "visits"), ("recency", "recency", "days_ago")):
            api = asked(visit, report, zone="north", **ranged)["rows"]
            assert told(visit, widget) == [[row[name], row["visitors"]] for row in api]
            assert drawn(visit, widget) == [row["visitors"] for row in api]
        peak = asked(visit, "peak-hours", zone="north", **ranged)["rows"]
        assert [row[1:] for row in told(visit, "peak")] == [[row["visits"], row["mean_visits"], row["mean_occupancy"]] for row in peak]
        cohorts = asked(visit, "retention", zone="north", **{**ranged, "from": eleven_months_before(ranged["to"])})["rows"]
        assert [row[1:] for row in told(visit, "retention")] == [
            [row["visitors"], *(month["share"] for month in row["months"])] for row in cohorts if row["visitors"]
        ]
        assert visit.complaints == []


def eleven_months_before(end_day: str) -> str:
    last = datetime.fromisoformat(end_day).date() - timedelta(days=1)
    months = last.year * 12 + last.month - 1 - 11
    return f"{months // 12}-{months % 12 + 1:02}-01"


def test_the_paths_tell_what_the_api_tells(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit, view="paths")
        names = dict(Zone.objects.values_list("key", "name"))
        flows = asked(visit, "flows", zone="north", **ranged)["rows"]
        assert flows and sorted(told(visit, "flows")) == sorted([names[row["from"]], names[row["to"]], row["visits"]] for row in flows if row["visits"])
        pairs = asked(visit, "cross-visits", zone="north", **ranged)["rows"]
        assert [row[1] for row in told(visit, "cross")] == drawn(visit, "cross") == [row["visitors"] for row in pairs]
        passers = asked(visit, "passers-by", zone="north", **ranged, grain="day")
        assert passers["total"]["passers_by"] == 1
        assert [row[1] for row in told(visit, "passers")] == drawn(visit, "passers") == [row["passers_by"] for row in passers["rows"]]
        # Of a store alone: where its own visitors come from and go to.
        look(visit, view="paths", place="north-brew")
        own = [row for row in asked(visit, "flows", zone="north", **ranged)["rows"] if "north-brew" in (row["from"], row["to"]) and row["visits"]]
        assert sorted(told(visit, "flows")) == sorted([names[row["from"]], names[row["to"]], row["visits"]] for row in own)
        assert visit.complaints == []


def order(visit: Visit) -> list[str]:
    listed: list[str] = visit.page.locator("#stores tbody tr").evaluate_all("(rows) => rows.map((row) => row.dataset.store)")
    return listed


def test_the_stores_tell_what_the_api_tells_and_can_be_sorted_and_exported(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit, view="stores")
        columns = {"visitors": ("footfall", "visitors"), "visits": ("footfall", "visits"), "dwell_median_s": ("footfall", "dwell_median_s")}
        columns |= {"new": ("footfall", "new"), "returning": ("footfall", "returning"), "bounce": ("bounce", "rate"), "capture": ("capture", "rate")}
        for column, (report, field) in columns.items():
            for place in asked(visit, report, zone="north-brew,north-page", **ranged)["places"]:
                assert number(visit, f'[data-store="{place["place"]["key"]}"] [data-column="{column}"]') == place["total"][field], column
        visit.page.get_by_role("button", name="Store", exact=True).click()
        settled(visit)
        assert order(visit) == ["north-brew", "north-page"] and "sort=name" in visit.page.url
        visit.page.get_by_role("button", name="Store", exact=True).click()
        settled(visit)
        assert order(visit) == ["north-page", "north-brew"]
        expect(visit.page.locator("#stores th[aria-sort]")).to_have_attribute("aria-sort", "descending")
        with visit.page.expect_download() as export:
            visit.page.locator("#widget-stores").get_by_role("link", name="CSV").click()
        assert "north-brew" in Path(export.value.path()).read_text()
        assert visit.complaints == []


# --- Moving about ---------------------------------------------------------------------------------------------------------


def test_one_goes_from_the_mall_to_a_floor_to_a_store_and_back(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        ranged = look(visit)
        visit.page.locator('[data-zone="north-brew"]').click()
        settled(visit)
        assert parse_qs(urlsplit(visit.page.url).query)["place"] == ["north-brew"]
        brew = asked(visit, "footfall", zone="north-brew", **ranged)["total"]["visitors"]
        assert number(visit, '[data-tile="visitors"] [data-number]') == brew
        expect(visit.page).to_have_title("Brew | Atrium")
        visit.page.get_by_role("navigation", name="Where you are").get_by_role("link", name="Ground").click()
        settled(visit)
        assert "place=north-ground" in visit.page.url
        visit.page.get_by_role("link", name="Stores").click()
        settled(visit)
        visit.page.get_by_role("link", name="Page", exact=True).click()
        settled(visit)
        assert "place=north-page" in visit.page.url and "view=stores" in visit.page.url
        for where in ("place=north-ground", "place=north-ground", "place=north-brew"):
            visit.page.go_back()
            settled(visit)
            assert where in visit.page.url
        assert number(visit, '[data-tile="visitors"] [data-number]') == brew
        visit.page.get_by_label("Place", exact=True).select_option("brand:page")
        visit.page.wait_for_url("**brand=page**")
        settled(visit)
        assert number(visit, '[data-tile="visitors"] [data-number]') == asked(visit, "footfall", brand="page", **ranged)["total"]["visitors"]
        assert visit.complaints == []


def test_an_address_is_shared_with_all_that_was_chosen(house: House, alice: User, bob: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        visit.page.get_by_label("Range", exact=True).select_option("custom")
        day = datetime.now(CLOCK).date()
        visit.page.get_by_label("From", exact=True).fill((day - timedelta(days=20)).isoformat())
        visit.page.get_by_label("Up to and with").fill((day - timedelta(days=5)).isoformat())
        visit.page.get_by_label("Beside it").select_option("year")
        visit.page.get_by_label("By", exact=True).select_option("week")
        visit.page.locator('button[data-figure="visits"]').click()
        visit.page.locator('[data-zone="north-page"]').click()
        settled(visit)
        address = visit.page.url
        expected = asked(visit, "footfall", zone="north-page", **shown_range(visit), grain="week", compare="year")
        assert shown_range(visit) == {"from": (day - timedelta(days=20)).isoformat(), "to": (day - timedelta(days=4)).isoformat()}
        assert [row[1] for row in told(visit, "trend")] == [row["visits"] for row in expected["rows"]]
        assert [row[2] for row in told(visit, "trend")] == [row["visits"] for row in expected["compare"]["year"]["rows"]]
        seen = told(visit, "trend")
        assert visit.complaints == []
    with house.visit("bob", to=urlsplit(address).path + "?" + urlsplit(address).query) as visit:
        settled(visit)
        assert told(visit, "trend") == seen
        expect(visit.page.get_by_label("Beside it")).to_have_value("year")
        assert visit.complaints == []


def test_every_preset_is_a_range_that_the_api_takes(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        for preset in visit.page.locator("#preset option").evaluate_all("(all) => all.map((one) => one.value).filter((value) => value !== 'custom')"):
            visit.page.get_by_label("Range", exact=True).select_option(preset)
            settled(visit)
            ranged = shown_range(visit)
            assert ranged["from"] < ranged["to"], preset
            assert number(visit, '[data-tile="visits"] [data-number]') == asked(visit, "footfall", zone="north", **ranged)["total"]["visits"], preset
        assert visit.complaints == []
