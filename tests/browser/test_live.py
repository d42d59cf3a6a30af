"""The live page in a browser: what a phone posts is seen at once, on the plan and in the list, by those who may see it."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from engagement import provisioning
from engagement.models import ApiKey, Organisation, Venue, Zone
from tests.browser.conftest import PHONE, House, Visit
from tests.cast import at, box
from tests.servers import WHOLE, end, running_door

SEEN_WITHIN_S = 3
EVERY_MS = 2000  # the page asks so often


def fix(east: float, north: float, *, device: str) -> dict[str, Any]:
    """Somebody stands there now."""
    lon, lat = at(east, north)
    event = {"id": str(uuid4()), "type": "fix", "at": datetime.now(UTC).isoformat(), "lat": lat, "lon": lon, "accuracy": 5.0}
    return {"device": {"id": device}, "events": [event]}


def figure(visit: Visit, zone: str) -> Any:
    return visit.page.locator(f'[data-zone="{zone}"] .figure')


def ready(visit: Visit) -> None:
    """The first figures are there."""
    expect(visit.page.locator("#inside")).to_have_text("0")


def test_a_posted_event_is_seen_within_three_seconds(house: House, alice: User, north: Venue, acme_keys: dict[str, str]) -> None:
    with house.visit("alice") as visit:
        ready(visit)
        expect(visit.page).to_have_title("North Mall, live | Atrium")
        expect(figure(visit, "north-brew")).to_have_text("0")
        began = time.monotonic()
        assert house.server.post(acme_keys["publishable"], fix(-50, 50, device="phone-7")).status == 202
        row = visit.page.locator("#events tbody tr").first
        expect(row).to_contain_text("phone-7", timeout=SEEN_WITHIN_S * 1000)
        assert time.monotonic() - began < SEEN_WITHIN_S
        expect(row).to_contain_text("Accepted")
        expect(row).to_contain_text("Brew")
        expect(figure(visit, "north-brew")).to_have_text("1")
        expect(visit.page.locator("#inside")).to_have_text("1")
        expect(visit.page.locator('[data-zone="north-brew"]')).to_have_attribute("data-level", "1")
        expect(visit.page.locator('[data-outcome="accepted"] dd')).to_have_text("1")
        # He walks over to the other shop, and a second one comes.
        house.server.post(acme_keys["publishable"], fix(50, 50, device="phone-8"))
        expect(figure(visit, "north-page")).to_have_text("1")
        expect(visit.page.locator("#inside")).to_have_text("2")
        assert visit.complaints == []


def test_a_strangers_venue_is_not_there(house: House, alice: User, charlie: User, north: Venue) -> None:
    with house.visit("charlie") as visit:
        expect(visit.page.get_by_role("heading", name="Arcade, live")).to_be_visible()
        for path in (f"/admin/live/{north.pk}/", f"/admin/live/{north.pk}/now", f"/admin/engagement/venue/{north.pk}/change/"):
            assert visit.open(path) == 404
            assert "North Mall" not in visit.page.content()


def test_the_page_says_when_the_server_is_gone_and_recovers(house: House, alice: User, environment: dict[str, str], tmp_path: Any) -> None:
    with house.visit("alice") as visit:
        ready(visit)
        end(house.server)
        expect(visit.page.get_by_role("status")).to_have_text("No connection, trying again.")
        again = {**environment, "PORT": str(house.server.port)}
        with running_door(again, tmp_path / "again.log", application=WHOLE) as other:
            # The new server has another port: the page's requests are sent on to it.
            visit.page.route("**/now?*", lambda route: route.continue_(url=route.request.url.replace(f":{house.server.port}", f":{other.port}")))
            expect(visit.page.get_by_role("status")).to_be_hidden()


def test_who_is_logged_out_elsewhere_is_told_so(house: House, alice: User) -> None:
    with house.visit("alice") as visit:
        ready(visit)
        visit.page.context.clear_cookies()
        expect(visit.page.get_by_role("link", name="Log in again")).to_be_visible()


def test_nothing_is_asked_while_nobody_looks(house: House, alice: User) -> None:
    with house.visit("alice") as visit:
        ready(visit)
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url) if "/now?" in request.url else None)
        look = """(hidden) => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
        visit.page.evaluate(look, True)
        asked.clear()
        visit.page.wait_for_timeout(EVERY_MS * 2)
        assert asked == []
        with visit.page.expect_request("**/now?*"):
            visit.page.evaluate(look, False)


def test_floors_above_one_another_are_tabs_and_venues_are_chosen(house: House, alice: User, acme: Organisation) -> None:
    room = {"kind": "store", "venue": "tower", "boundary": box(-20, -20, 20, 20)}
    rooms = [{**room, "key": key, "name": key.title(), "floor": floor} for key, floor in (("cellar", -1), ("shop", 0), ("loft", 1))]
    venue = {"key": "tower", "name": "Tower", "time_zone": "Europe/Berlin", "boundary": box(-30, -30, 30, 30)}
    provisioning.provision({"organisation": {"key": acme.key}, "venues": [venue], "zones": rooms})
    with house.visit("alice") as visit:
        visit.page.get_by_label("Venue").select_option("Tower")
        expect(visit.page.get_by_role("heading", name="Tower, live")).to_be_visible()
        ground = visit.page.get_by_role("tab", name="Floor 0")
        expect(ground).to_have_attribute("aria-selected", "true")
        expect(visit.page.locator('[data-zone="shop"]')).to_be_visible()
        expect(visit.page.locator('[data-zone="loft"]')).to_be_hidden()
        ground.focus()
        visit.page.keyboard.press("ArrowRight")
        expect(visit.page.get_by_role("tab", name="Floor 1")).to_be_focused()
        expect(visit.page.locator('[data-zone="loft"]')).to_be_visible()
        expect(visit.page.locator('[data-zone="shop"]')).to_be_hidden()
        assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_in_light_and_dark_and_complains_of_nothing(house: House, alice: User, north: Venue, scheme: str) -> None:
    zone, key = Zone.objects.get(key="north-brew"), ApiKey.objects.get(organisation=north.organisation, name="app")
    lists = [f"engagement/{name}" for name in ("shopper", "device", "venue", "zone", "beacon", "brand", "zoneversion", "apikey", "setaside")]
    pages = [f"/admin/{name}/" for name in (*lists, "analytics/stay", "analytics/transition", "analytics/recut", "outcomes", "organisation")]
    pages += [f"/admin/live/{north.pk}/", f"/admin/engagement/venue/{north.pk}/change/", f"/admin/engagement/zone/{zone.pk}/change/"]
    pages += ["/admin/engagement/apikey/add/", f"/admin/engagement/apikey/{key.pk}/change/", f"/admin/engagement/apikey/{key.pk}/revoke/"]
    with house.visit("alice", size=PHONE, color_scheme=scheme) as visit:
        for path in pages:
            assert visit.open(path) == 200, path
            assert visit.width() <= PHONE["width"], path
            assert visit.page.evaluate("document.documentElement.classList.contains('dark')") == (scheme == "dark")
            title = visit.page.title()
            assert title.endswith("| Atrium") and "Select" not in title, path
        assert visit.complaints == []


def reached(visit: Visit, most: int = 120) -> list[str]:
    """What the Tab key leads to, by its name, in order."""
    names: list[str] = []
    for _ in range(most):
        visit.page.keyboard.press("Tab")
        name = visit.page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || document.activeElement.tagName).trim()"
        )
        if name == "BODY":
            break
        names.append(name)
    return names


def test_the_keyboard_reaches_everything(house: House, alice: User, north: Venue) -> None:
    with house.visit("alice") as visit:
        ready(visit)
        visit.page.evaluate("document.body.focus()")
        names = reached(visit)
        for wanted in ("Live", "Zones", "API keys", "Sidebar", "Brew: 0 inside now", "Page: 0 inside now", "As a list", "Last events"):
            assert any(wanted in name for name in names), (wanted, names)
        assert any("alice" in name for name in names)
        # A zone on the plan is opened with the keyboard as with the pointer.
        visit.page.locator('[data-zone="north-brew"]').focus()
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url("**/admin/engagement/zone/**")


def test_the_sidebar_and_the_filters_open_with_the_keyboard_on_a_phone(house: House, alice: User) -> None:
    with house.visit("alice", size=PHONE) as visit:
        visit.open("/admin/analytics/stay/")
        visit.page.get_by_role("button", name="Sidebar").focus()
        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_role("link", name="Shoppers")).to_be_visible()
        visit.page.keyboard.press("Enter")
        filters = visit.page.get_by_role("button", name="Filters")
        filters.focus()
        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_label("Day of its start")).to_be_visible()


def test_a_key_made_in_the_browser_posts_the_first_event(house: House, alice: User) -> None:
    with house.visit("alice") as visit:
        expect(visit.page.get_by_text("No event has come yet")).to_be_visible()
        visit.open("/admin/engagement/apikey/add/")
        visit.page.get_by_label("Name").fill("till")
        visit.page.get_by_role("button", name="Save").click()
        token = visit.page.locator("#token").inner_text()
        assert house.server.post(token, fix(-50, 50, device="till-1")).status == 202
        visit.page.get_by_role("link", name="I have it, go on").click()
        expect(visit.page.get_by_role("link", name="till")).to_be_visible()
        assert token not in visit.page.content()
        assert visit.complaints == []
