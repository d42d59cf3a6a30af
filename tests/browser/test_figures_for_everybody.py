"""The dashboard in a browser when something is missing, slow or not one's own; and everybody can read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Route, expect

from engagement import provisioning
from engagement.models import Organisation, Shopper, Venue
from tests.browser.conftest import PHONE, House, Visit
from tests.browser.dashboard import (
    AXE,
    PATH,
    SERIOUS,
    TODAY_ASKED_WITHIN_MS,
    VIEWS,
    asked,
    look,
    number,
    settled,
    state_of,
    told,
)
from tests.servers import WHOLE, end, running_door


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The product without its stream: nothing is posted here, stays are written as the stream would have."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


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
            visit.page.emulate_media(color_scheme=scheme)
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
