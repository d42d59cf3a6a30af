"""Audiences and campaigns in a browser: built, written, looked at, sent into the mailbox, clicked, unsubscribed, and adding up."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from analytics.audiences import evaluate, rules
from analytics.models import Audience
from engagement.models import Consent, ConsentState, Organisation, Profile, Shopper, Venue, Zone
from tests.analytics import rows
from tests.browser.conftest import PHONE, House, Visit
from tests.servers import WHOLE, running_door

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
SERIOUS: Final = {"serious", "critical"}
AUDIENCES: Final = "/admin/analytics/audience/"
CROWD: Final = 24


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The product without its stream: nothing is posted here, stays are written as the stream would have."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


@pytest.fixture
def crowd(acme: Organisation, north: Venue) -> list[Shopper]:
    """Two dozen at North Mall: every second visited Brew, every third has gold, one in six has no address, one in eight never agreed."""
    zones = {zone.key: zone for zone in Zone.objects.filter(venue=north)}
    people = [rows.shopper(acme, f"crm-{number}") for number in range(CROWD)]
    now = timezone.now()
    for number, who in enumerate(people):
        address, tier = ("" if number % 6 == 5 else f"crm-{number}@example.com"), ("gold" if number % 3 == 0 else "silver")
        Profile.objects.create(shopper=who, organisation=acme, email=address, attributes={"tier": tier, "first_name": f"Ann {number}"}, updated_at=now)
        if number % 8 != 7:
            said = {"organisation": acme, "shopper": who, "channel": "email", "purpose": "marketing", "given": True, "at": now - timedelta(days=9)}
            Consent.objects.create(**said, source="checkout")
            ConsentState.objects.create(**said)
        came = now - timedelta(days=2 + number % 5)
        rows.stay(who, zones["north"], came, 2400)
        if number % 2 == 0:
            rows.stay(who, zones["north-brew"], came + timedelta(minutes=2), 900, grace=120)
    return people


def findings(page: Page) -> list[Any]:
    """What axe-core finds that is serious. Mails in their frames are their authors'."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE.read_text())
    found: list[Any] = page.evaluate(
        "axe.run(document, {iframes: false}).then((told) => told.violations.map((one) => [one.id, one.impact, one.nodes[0].html]))"
    )
    return [one for one in found if one[1] in SERIOUS]


def counted(visit: Visit) -> int:
    """The total, once it is of the rule that is shown."""
    visit.page.locator('#builder[data-state="fresh"]').wait_for()
    return int(str(visit.page.locator("#total").get_attribute("data-value")))


def shown_rule(visit: Visit) -> Any:
    return json.loads(unquote(urlsplit(visit.page.url).fragment))


def add(visit: Visit, label: str, at: int = -1) -> Any:
    """A condition, in the group whose chooser is so-and-so-manieth; returns its box."""
    visit.page.get_by_label("Add a condition…").nth(at).select_option(label=label)
    return visit.page.locator("fieldset.condition").last


def test_an_audience_is_built_by_clicking_and_every_count_is_the_apis(house: House, emma: User, acme: Organisation, crowd: list[Shopper]) -> None:
    with house.visit("emma", to=AUDIENCES) as visit:
        page = visit.page
        assert findings(page) == []
        page.get_by_role("link", name="Build the first audience").click()
        expect(page.locator("#words")).to_have_text("Add a condition, and the count appears here.")

        add(visit, "Visited").get_by_label("Where").select_option(label="Brew & Co")
        expect(page.locator("#words")).to_contain_text("Brew & Co")
        assert counted(visit) == CROWD / 2
        page.get_by_role("button", name="Add a group").first.click()
        page.get_by_label("Who of this group meets it").last.select_option(label="None of these")
        attribute = add(visit, "Attribute", 0)
        expect(page.locator("#unfinished")).to_have_text("One condition is not filled in, and does not count yet.")
        expect(page.get_by_role("button", name="Save the audience")).to_be_disabled()
        attribute.get_by_label("Name").fill("tier")
        attribute.get_by_label("Value").fill("gold")
        expect(page.locator("#words")).to_contain_text("whose tier is not gold")

        total, rule = counted(visit), shown_rule(visit)
        assert rule == {"all": [{"visited": {"brand": "brew", "within_days": 30}}, {"not": {"attribute": {"name": "tier", "is": "gold"}}}]}
        api = evaluate.count(acme, rules.parse(rule))
        assert total == api.count == len([n for n in range(CROWD) if n % 2 == 0 and n % 3])
        branches = page.locator("#tree output.count").evaluate_all("(listed) => listed.map((one) => Number(one.dataset.value))")
        visited, other = api.branches
        assert branches == [api.count, visited.count, other.count, other.branches[0].count]
        assert findings(page) == []

        page.reload()  # what was built is in the address
        assert counted(visit) == total
        page.get_by_label("What you call it").fill("Silver at Brew!")
        expect(page.get_by_label("Key, for programs")).to_have_value("silver-at-brew")
        page.get_by_role("button", name="Save the audience").click()
        page.get_by_role("link", name="Silver at Brew!").click()
        expect(page.locator("#members")).to_have_text(str(total))
        assert findings(page) == [] and visit.complaints == []
    assert Audience.objects.get().rule == rule


def test_the_builder_says_what_is_wrong_and_goes_on(house: House, emma: User, crowd: list[Shopper]) -> None:
    with house.visit("emma", to=f"{AUDIENCES}new/", size=PHONE) as visit:
        page = visit.page
        page.get_by_role("button", name="Who may be told").click()
        before = counted(visit)
        page.route("**/audiences/count*", lambda route: route.abort())
        add(visit, "Language", 0)
        expect(page.locator("#says")).to_contain_text("The server did not answer")
        assert page.locator("#builder").get_attribute("data-state") == "failed"
        assert page.locator("#total").get_attribute("data-value") == str(before)  # what was counted last stays, and is said to be old
        page.unroute("**/audiences/count*")
        page.get_by_role("button", name="Try again").click()
        assert counted(visit) == 0
        add(visit, "Purchased", 0).get_by_label("Currency").fill("eu")
        expect(page.locator("[data-fault]").last).to_contain_text("three capital letters")
        assert visit.width() == PHONE["width"]
