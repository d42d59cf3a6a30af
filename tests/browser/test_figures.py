"""The dashboard in a browser: every panel tells what the API tells, addresses can be shared, and everybody can read it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Route, expect

from engagement import provisioning
from engagement.models import Organisation, Shopper, Venue, Zone
from tests.analytics import rows
from tests.browser.conftest import PHONE, House, Visit
from tests.servers import WHOLE, end, running_door

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
VIEWS: Final = ("overview", "visitors", "paths", "stores")
SERIOUS: Final = {"serious", "critical"}
CLOCK: Final = ZoneInfo("Africa/Johannesburg")
SETTLED_WITHIN_MS: Final = 30_000
TODAY_ASKED_WITHIN_MS: Final = 20_000  # today asks every five seconds
PATH: Final = "/admin/figures/"


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The product without its stream: nothing is posted here, stays are written as the stream would have."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


@pytest.fixture
def life(acme: Organisation, north: Venue) -> list[Shopper]:
    """Ten weeks of people at North Mall, up to yesterday, and a few today: each comes on his own days, goes to Brew, then often to Page."""
    zones = {zone.key: zone for zone in Zone.objects.filter(venue=north)}
    people = [rows.shopper(acme, f"crm-{number}") for number in range(14)]
    today = datetime.now(CLOCK).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(70):
        for number, who in enumerate(people):
            if (back * 7 + number * 3) % (5 + number % 4):
                continue
            came = today - timedelta(days=back) + timedelta(hours=9 + number % 8) if back else datetime.now(CLOCK) - timedelta(hours=1)
            came = came.astimezone(UTC)
            rows.stay(who, zones["north-street"], came - timedelta(minutes=3), 60)
            for key in ("north", "north-ground"):
                rows.stay(who, zones[key], came, 2400)
            rows.stay(who, zones["north-brew"], came + timedelta(minutes=2), 60 * (3 + number), counted=number % 5 > 0, grace=120)
            if number % 3:
                rows.stay(who, zones["north-page"], came + timedelta(minutes=22), 900, grace=120)
    rows.stay(rows.shopper(acme, "passer"), zones["north-street"], (today - timedelta(days=2, hours=-12)).astimezone(UTC), 60)
    return people


def asked(visit: Visit, report: str, **query: str) -> Any:
    """The API's own answer, with the session of the window."""
    response = visit.page.request.get(f"{visit.address}/api/v1/reports/{report}?{urlencode(query)}")
    assert response.ok, response.text()
    return response.json()


def settled(visit: Visit) -> None:
    """No panel that is seen is still on its way."""
    expect(visit.page.locator('.view:not([hidden]) .widget:is([data-state="loading"], [data-state="stale"])')).to_have_count(0, timeout=SETTLED_WITHIN_MS)


def look(visit: Visit, **state: str) -> dict[str, str]:
    """Opens the page; returns the range that it shows, as the API takes it."""
    assert visit.open(f"{PATH}?{urlencode(state)}") == 200
    settled(visit)
    return shown_range(visit)


def shown_range(visit: Visit) -> dict[str, str]:
    last = datetime.fromisoformat(visit.page.locator("#until").input_value()).date()
    return {"from": visit.page.locator("#from").input_value(), "to": (last + timedelta(days=1)).isoformat()}


def told(visit: Visit, widget: str) -> list[list[Any]]:
    """The table behind a panel: texts of what names a row, exact values of what is a figure."""
    cells: list[list[Any]] = visit.page.evaluate(
        """(name) => [...document.querySelectorAll(`#widget-${name} tbody tr`)].map((row) => [...row.cells].map((cell) =>
            "value" in cell.dataset ? (["null", "undefined"].includes(cell.dataset.value) ? null : Number(cell.dataset.value)) : cell.textContent))""",
        widget,
    )
    return cells


def drawn(visit: Visit, widget: str, series: int = 0) -> list[Any]:
    """What the picture itself was given."""
    data: list[Any] = visit.page.evaluate(
        "([name, n]) => echarts.getInstanceByDom(document.querySelector(`#widget-${name} [data-chart]`)).getOption().series[n].data", [widget, series]
    )
    return data


def state_of(visit: Visit, widget: str) -> str | None:
    return visit.page.locator(f"#widget-{widget}").get_attribute("data-state")


def number(visit: Visit, selector: str) -> float | None:
    value = visit.page.locator(selector).get_attribute("data-value")
    return None if value in {None, "null", "undefined"} else float(str(value))


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


# --- Empty, failed, slow --------------------------------------------------------------------------------------------------


def test_a_place_where_nobody_was_says_so(house: House, alice: User, north: Venue) -> None:
    with house.visit("alice", to=PATH) as visit:
        for view in VIEWS:
            look(visit, view=view)
            states = visit.page.locator(".view:not([hidden]) .widget").evaluate_all("(all) => all.map((one) => [one.dataset.widget, one.dataset.state])")
            assert all(state in {"empty", "none"} or name in {"tiles", "plan", "stores"} for name, state in states), states
        look(visit)
        expect(visit.page.locator("#widget-trend .state")).to_contain_text("Nobody was here in this range.")
        expect(visit.page.get_by_text("No event has come yet")).to_be_visible()
        assert visit.complaints == []


def test_what_cannot_be_fetched_says_so_and_is_tried_again(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:

        def refuse(route: Route) -> None:
            route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "The database is away."}')

        visit.page.route("**/reports/heatmap*", refuse)
        look(visit)
        heat = visit.page.locator("#widget-heatmap")
        expect(heat).to_have_attribute("data-state", "failed")
        expect(heat).to_contain_text("The database is away.")
        assert state_of(visit, "trend") == "ready"
        visit.page.unroute("**/reports/heatmap*")
        heat.get_by_role("button", name="Try again").click()
        expect(heat).to_have_attribute("data-state", "ready")


def test_a_server_that_is_gone_is_told_and_what_is_there_stays(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        before = told(visit, "trend")
        end(house.server)
        expect(visit.page.locator("#connection")).to_contain_text("could not be fetched", timeout=TODAY_ASKED_WITHIN_MS)
        assert told(visit, "trend") == before and state_of(visit, "trend") == "ready"


def test_who_is_logged_out_elsewhere_is_shown_the_way_in(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        visit.page.context.clear_cookies()
        visit.page.locator('[data-zone="north-brew"]').click()
        expect(visit.page.locator("#widget-trend").get_by_role("link", name="Log in again")).to_be_visible()


def test_panels_have_their_outline_while_figures_are_on_their_way(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        waiting: list[Route] = []
        visit.page.route("**/reports/heatmap*", lambda route: waiting.append(route))
        visit.open(PATH)
        expect(visit.page.locator("#widget-heatmap .skeleton")).to_be_visible()
        expect(visit.page.locator("#widget-heatmap")).to_have_attribute("aria-busy", "true")
        expect(visit.page.locator("#widget-trend")).to_have_attribute("data-state", "ready")
        for route in waiting:
            route.continue_()
        expect(visit.page.locator("#widget-heatmap .skeleton")).to_be_hidden()
        assert visit.complaints == []


# --- Whose figures --------------------------------------------------------------------------------------------------------


def test_a_brands_member_sees_its_stores_and_asks_for_nothing_else(house: House, alice: User, dora: User, life: list[Shopper]) -> None:
    with house.visit("dora", to=PATH) as visit:
        asking: list[str] = []
        visit.page.on("request", lambda request: asking.append(request.url) if "/reports/" in request.url else None)
        for view in VIEWS:
            for where in ({"brand": "brew"}, {"place": "north-brew"}):
                ranged = look(visit, view=view, **where)
                seen = visit.page.content()
                assert all(foreign not in seen for foreign in ("north-page", "Page &amp; Sons", "North Mall", "north-ground"))
                if view == "overview":
                    api = asked(visit, "footfall", **{("zone" if key == "place" else key): value for key, value in where.items()}, **ranged)
                    assert number(visit, '[data-tile="visitors"] [data-number]') == api["total"]["visitors"] > 0
        assert asking and all("brew" in url and "north-page" not in url for url in asking)
        assert visit.open(f"{PATH}?place=north-page") == 404
        assert [one for one in visit.complaints if "404" not in one] == []


def test_a_strangers_place_is_not_there(house: House, charlie: User, life: list[Shopper]) -> None:
    with house.visit("charlie", to=PATH) as visit:
        look(visit)
        expect(visit.page).to_have_title("Arcade | Atrium")
        assert "North Mall" not in visit.page.content() and visit.complaints == []
        for asking in ("?place=north", "?brand=brew", "week?place=north"):
            assert visit.open(PATH + asking) == 404


# --- For everybody --------------------------------------------------------------------------------------------------------


def test_nothing_serious_is_in_the_way_of_anybody(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH, bypass_csp=True) as visit:
        for scheme, view in [(scheme, view) for scheme in ("light", "dark") for view in VIEWS]:
            visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            look(visit, view=view, figure="dwell", place="north-brew" if scheme == "dark" else "north")
            assert (scheme, view, serious(visit)) == (scheme, view, [])
        visit.open(f"{PATH}week")
        assert serious(visit) == []


def serious(visit: Visit) -> list[Any]:
    """What axe finds, with every table open."""
    visit.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    visit.page.add_script_tag(path=AXE)
    found = visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    # On the plan a zone says `Brew: 11 min` to a reader and shows `11` over `Brew`: the same words in another order, and with the unit.
    found = [one for one in found if one["id"] != "label-content-name-mismatch" or any("data-zone" not in node["html"] for node in one["nodes"])]
    return [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"][:4]]) for one in found if one["impact"] in SERIOUS]


def test_every_view_fits_a_phone(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH, size=PHONE) as visit:
        for state in (*({"view": view} for view in VIEWS), {"place": "north-brew", "from": "2026-01-01", "to": "2026-02-01"}):
            look(visit, **state)
            assert (state, visit.width() <= PHONE["width"], visit.complaints) == (state, True, [])
        visit.open(f"{PATH}week")
        assert visit.width() <= PHONE["width"]
        assert visit.complaints == []


def test_a_figure_explains_itself_to_the_pointer_and_to_the_keyboard(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        tile = visit.page.locator('button[data-figure="visitors"]')
        tile.hover()
        expect(visit.page.get_by_role("tooltip")).to_contain_text("Different people")
        visit.page.keyboard.press("Escape")
        expect(visit.page.get_by_role("tooltip")).to_be_hidden()
        visit.page.locator('button[data-figure="dwell"]').focus()
        expect(visit.page.get_by_role("tooltip")).to_contain_text("Half of the visits")
        visit.page.keyboard.press("Enter")
        settled(visit)
        expect(visit.page.locator("#title-trend")).to_have_text("Dwell, median")
        visit.page.locator('[data-zone="north-brew"]').focus()
        visit.page.keyboard.press("Enter")
        settled(visit)
        assert "place=north-brew" in visit.page.url and visit.complaints == []


def test_a_picture_is_saved(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        for widget in ("trend", "heatmap", "plan"):
            with visit.page.expect_download() as saved:
                visit.page.locator(f"#widget-{widget} [data-png]").click()
            assert saved.value.suggested_filename == f"{widget}.png"
            picture = Path(saved.value.path()).read_bytes()
            assert picture.startswith(b"\x89PNG") and len(picture) > 5_000, widget
        assert visit.complaints == []


def test_pictures_follow_the_theme(house: House, alice: User, life: list[Shopper]) -> None:
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        of_line = "echarts.getInstanceByDom(document.querySelector('#widget-trend [data-chart]')).getOption().series[0].itemStyle.color"
        light = visit.page.evaluate(of_line)
        visit.page.evaluate("document.documentElement.classList.add('dark')")
        visit.page.wait_for_function(f"{of_line} !== '{light}'")
        assert visit.complaints == []


def test_another_venue_brings_its_page(house: House, alice: User, acme: Organisation, life: list[Shopper]) -> None:
    provisioning.provision({"organisation": {"key": acme.key}, "venues": [{"key": "south", "name": "South", "time_zone": "Europe/Berlin", "boundary": None}]})
    with house.visit("alice", to=PATH) as visit:
        look(visit)
        visit.page.get_by_label("Place", exact=True).select_option("place:south")
        visit.page.wait_for_url("**place=south**")
        settled(visit)
        expect(visit.page.locator("#span")).to_contain_text("Europe/Berlin")
        visit.page.go_back()
        visit.page.wait_for_url(lambda url: "south" not in url)
        settled(visit)
        expect(visit.page).to_have_title("North Mall | Atrium")
        assert visit.complaints == []
