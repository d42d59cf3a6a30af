"""Audiences and campaigns in a browser: built, written, looked at, sent into the mailbox, clicked, unsubscribed, and adding up."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
from notifications.models import Campaign, Message
from tests.analytics import rows
from tests.browser.conftest import DESK, PHONE, House, Visit
from tests.servers import ROOT, WHOLE, running_door

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


# --- A campaign, from the first word to the last figure ------------------------------------------------------------------------

CAMPAIGNS: Final = "/admin/notifications/campaign/"
PERSON: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"  # a headless browser counts as a machine
)
SENT_WITHIN_MS: Final = 40_000


@contextmanager
def labour(environment: dict[str, str], house: House, log: Path) -> Iterator[None]:
    """One process that plans and sends, as the workers do."""
    told = {**environment, "ATRIUM_URL": f"http://127.0.0.1:{house.server.port}"}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.labour", "plan", "send", "sweep"],
            env={**told, "DJANGO_SETTINGS_MODULE": "engagement.settings"},
            stdout=out,
            stderr=out,
            cwd=ROOT,
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def agreed(acme: Organisation, crowd: list[Shopper]) -> Audience:
    return Audience.objects.create(organisation=acme, key="north", name="At North Mall", rule={"visited": {"venue": "north", "within_days": 30}})


def asked(visit: Visit, path: str) -> Any:
    """The API's own answer, with the session of the window."""
    response = visit.page.request.get(f"{visit.address}/api/v1/campaigns/{path}")
    assert response.ok, response.text()
    return response.json()


def value(page: Page, selector: str) -> int:
    return int(str(page.locator(selector).get_attribute("data-value")))


def write(visit: Visit) -> None:
    """A sender for all campaigns, and a campaign with its words."""
    page = visit.page
    visit.open("/admin/notifications/policy/")
    page.get_by_label("From", exact=True).first.fill("Acme News <news@acme.example>")
    page.get_by_label("Postal address").fill("1 Mall Road, Johannesburg")
    page.get_by_role("button", name="Save the policy").click()
    expect(page.get_by_text("Saved. It holds")).to_be_visible()
    assert findings(page) == []
    visit.open(CAMPAIGNS)
    page.get_by_role("link", name="Write the first campaign").click()
    page.get_by_label("Name (shoppers do not see it)").fill("November news")
    page.get_by_label("A letter").check()
    assert findings(page) == []
    page.get_by_role("button", name="Make the draft").click()
    page.locator("#subject").fill("Hello {{ attributes.first_name }}")
    page.locator("#body").fill(f'<p>Dear {{{{ attributes.first_name }}}}, <a href="{visit.address}/healthz/live">look</a>.</p>')
    expect(page.locator("#saved")).to_have_text("Saved")


def test_a_campaign_is_written_sent_read_clicked_and_adds_up(
    house: House, emma: User, acme: Organisation, agreed: Audience, environment: dict[str, str], tmp_path: Path
) -> None:
    with labour(environment, house, tmp_path / "labour.log"), house.visit("emma", to="/admin/notifications/mailbox/", user_agent=PERSON) as visit:
        page = visit.page
        assert "No mail yet" in page.content() and findings(page) == []
        write(visit)
        looked_at_and_tried(visit)
        scheduled_and_taken_back(visit)
        left = reviewed_and_sent(visit)
        finished(visit, left)
        clicked_and_unsubscribed(visit, left)
        proved(visit, left)
        assert visit.complaints == []


def looked_at_and_tried(visit: Visit) -> None:
    page = visit.page
    expect(page.locator("#mail-subject")).to_contain_text("Hello Ann")
    expect(page.frame_locator("#frame").locator("p").first).to_contain_text("Dear Ann")
    who = page.locator("#mail-subject").text_content()
    page.get_by_label("Shown as").select_option(index=1)
    expect(page.locator("#mail-subject")).not_to_have_text(str(who))
    page.get_by_role("button", name="Phone").click()
    assert page.locator("#frame").bounding_box()["width"] <= 377
    assert findings(page) == []
    page.locator("#subject").fill("Hello {{ attributes.nobody_has_it }}")
    expect(page.locator("#preview-trouble, #told, #remarks-list").filter(has_text="nobody_has_it").first).to_be_visible()
    visit.complaints.clear()  # of the refusal, which the page tells
    page.locator("#subject").fill("Hello {{ attributes.first_name }}")
    expect(page.locator("#mail-subject")).to_contain_text("Hello Ann")
    page.get_by_label("Send a test").fill("emma@example.com")
    page.get_by_role("button", name="Send the test").click()
    expect(page.locator("#test-told")).to_contain_text("on its way")


def scheduled_and_taken_back(visit: Visit) -> None:
    """For another day, and back: nothing has left."""
    page = visit.page
    page.get_by_role("link", name="3. When").click()
    page.get_by_label("Once, at a time").check()
    page.locator("#send_at").fill((timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT10:00"))
    expect(page.locator("#when-words")).to_contain_text("10:00, by the clock of Africa/Johannesburg")
    page.get_by_role("link", name="Look at it before sending").click()
    page.get_by_role("button", name="Schedule for").click()
    expect(page.locator("#state")).to_have_text("Scheduled")
    page.get_by_role("button", name="Back to draft").click()
    page.get_by_role("link", name="3. When").click()
    page.get_by_label("When I say so").check()
    page.get_by_role("link", name="4. Limits").click()
    page.get_by_label("Held out, in %").fill("25")
    expect(page.locator("#saved")).to_have_text("Saved")
    page.get_by_role("link", name="Look at it before sending").click()


def reviewed_and_sent(visit: Visit) -> int:
    """Returns to how many."""
    page = visit.page
    button = page.get_by_role("button", name="Send to")
    expect(button).to_be_enabled()
    api = asked(visit, "november-news/funnel")
    out = ("no_address", "no_consent", "suppressed", "not_wished", "capped", "holdout")
    for name in ("match", *out, "left"):
        assert value(page, f"#funnel .{name}") == api[name], name
    assert api["match"] == CROWD == sum(api[name] for name in out) + api["left"]
    expect(button).to_have_text(f"Send to {api['left']} people")
    assert findings(page) == []
    button.click()
    return int(api["left"])


def finished(visit: Visit, left: int) -> None:
    page = visit.page
    expect(page.locator("#state")).to_have_text("Finished", timeout=SENT_WITHIN_MS)
    expect(page.locator("#adds")).to_have_text(f"{CROWD} of {CROWD} in the audience: everybody is accounted for.")
    told = {name: value(page, f'#states [data-state="{name}"]') for name in ("sent", "skipped", "held_out")}
    assert told["sent"] == left and sum(told.values()) == CROWD
    assert findings(page) == []
    # People read later than machines: who follows a link at once is taken for one.
    Message.objects.filter(state="sent").update(sent_at=timezone.now() - timedelta(minutes=5))


def clicked_and_unsubscribed(visit: Visit, left: int) -> None:
    page = visit.page
    visit.open("/admin/notifications/mailbox/")
    expect(page.locator("#mailbox tbody tr")).to_have_count(left + 1)  # and the test
    expect(page.get_by_role("link", name="[Test] Hello Ann")).to_have_count(1)
    assert findings(page) == []
    page.locator("#mailbox tbody tr").filter(has_not_text="[Test]").first.get_by_role("link").click()
    assert findings(page) == []
    frame = page.frame_locator("#frame")
    with page.expect_popup() as opened:
        frame.get_by_role("link", name="look", exact=True).click()
    opened.value.wait_for_url("**/healthz/live")
    with page.expect_popup() as opened:
        frame.get_by_role("link", name="Unsubscribe").click()
    opened.value.get_by_role("button", name="Unsubscribe").click()
    expect(opened.value.locator("h1")).not_to_have_text("Unsubscribe?")


def proved(visit: Visit, left: int) -> None:
    page = visit.page
    campaign = Campaign.objects.get()
    visit.open(f"{CAMPAIGNS}{campaign.pk}/")
    page.locator('#report[data-state="ready"]').wait_for()
    api = asked(visit, "november-news/report")
    assert api["adds_up"] and api["audience"] == CROWD
    heard = api["engagement"]["total"]
    assert (heard["clicked"]["person"], heard["unsubscribed"]) == (1, 1), heard
    assert sum(heard["opened"].values()) == 1  # by whom is no matter here: a headless browser's frame tells on it
    cells = page.locator("#by-variant tbody tr td").evaluate_all("(cells) => cells.slice(1).map((one) => Number(one.dataset.value))")
    by = [heard[what][who] for what in ("opened", "clicked") for who in ("person", "machine", "unknown")]
    assert cells == [left, heard["sent"], heard["delivered"], *by, heard["unsubscribed"]]
    expect(page.locator("#sentence")).to_contain_text(api["outcome"]["visits"]["sentence"])
    expect(page.locator("#links")).to_contain_text("/healthz/live")
    assert findings(page) == [] and visit.width() == DESK["width"]

    page.get_by_role("link", name="Message by message").click()
    expect(page.locator("#messages tbody tr")).to_have_count(CROWD)
    page.get_by_label("State").select_option("sent")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#messages tbody tr")).to_have_count(left)
    gone = Message.objects.get(messageevent__kind="unsubscribe")
    page.get_by_role("row").filter(has_text=str(gone.pk)).get_by_role("link", name="Why?").click()
    expect(page.locator("#verdict")).to_contain_text("It was sent")
    assert findings(page) == []
