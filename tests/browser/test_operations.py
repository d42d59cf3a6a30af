"""The operations page in a browser: when all is well, with three things broken, and what is done about them by clicking."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, expect
from pytest_django.fixtures import Settings

from engagement import partitions
from engagement.database import connect
from engagement.models import Heartbeat, Organisation, Venue
from operations import evaluation, readings
from operations.models import Alarm, Reading, Redrive, State
from tests.browser.conftest import PASSWORD, PHONE, House, Visit
from tests.browser.dashboard import AXE, SERIOUS
from tests.operations import world
from tests.servers import WHOLE, end, running_door

PATH = "/admin/operations/"


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The web server alone: nothing evaluates the alarms, so they stand as the test has written them."""
    User.objects.create_superuser("root", password=PASSWORD)
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


def fits_and_is_fair(visit: Visit) -> None:
    """On a phone nothing is wider than the screen, and axe finds nothing serious, in light and dark."""
    visit.page.set_viewport_size(PHONE)
    visit.page.evaluate("for (const one of document.querySelectorAll('#content details')) one.open = true")
    assert visit.width() <= PHONE["width"]
    visit.page.evaluate(AXE.read_text())
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=scheme)
        found = visit.page.evaluate("axe.run('#content, main', {resultTypes: ['violations']})")["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS] == []


def test_a_healthy_installation_is_seen_at_a_glance(house: House) -> None:
    world.healthy(timezone.now())
    with house.visit("root", to=PATH) as visit:
        expect(visit.page.locator("#headline")).to_have_text("Everything is right.")
        expect(visit.page.get_by_text("Silent for")).to_have_count(0)
        expect(visit.page.get_by_text("Nothing is parked.")).to_be_visible()
        expect(visit.page.locator("#lag-chart")).to_have_attribute("data-drawn", "yes")
        visit.page.get_by_text("Show as table").click()
        expect(visit.page.locator("#lag-table tbody tr").first).to_be_visible()
        fits_and_is_fair(visit)
        assert visit.complaints == []


@pytest.fixture
def broken(house: House, acme: Organisation, settings: Settings) -> None:
    """The stream has stopped, requests are set aside, the last backup is old; and the alarms were evaluated for four minutes."""
    now = timezone.now()
    world.in_trouble(now, acme)
    Alarm.objects.all().delete()
    settings.BACKUP_URL = "file:///nowhere"
    Reading.objects.create(name=readings.BACKUP_AGE, at=now - timedelta(minutes=5), value=timedelta(hours=74).total_seconds())
    with connect(application_name="atrium-tests") as session:
        partitions.ensure(session)
    for minutes in (4, 2, 0):
        evaluation.evaluate(now - timedelta(minutes=minutes))


def test_three_things_broken_are_named_and_dealt_with_by_clicking(house: House, broken: None) -> None:
    with house.visit("root", to=PATH) as visit:
        expect(visit.page.locator("#headline")).to_have_text("3 alarms are firing.")
        for name, said in (("stream-silent", "No stream process has worked for 12 min"), ("requests-set-aside", "12."), ("backup-old", "3 days 2 h old")):
            expect(visit.page.locator(f"#alarm-{name}")).to_contain_text(said)
        expect(visit.page.locator("#panel-processes tbody tr").first).to_contain_text("Silent for 12 min")
        expect(visit.page.locator("#panel-parked")).to_contain_text("KeyError in analytics.stream.store")
        expect(visit.page.locator("#panel-backups")).to_contain_text("The last good backup is 3 days 2 h old.")
        visit.page.get_by_role("button", name="Acknowledge: The stream is silent").click()
        expect(visit.page.get_by_text("is acknowledged: you are at it.")).to_be_visible()
        visit.page.get_by_role("link", name="Silence until a time: Requests are set aside").click()
        visit.page.get_by_label("8 hours").check()
        visit.page.get_by_role("button", name="Silence it").click()
        expect(visit.page.locator("#headline")).to_have_text("1 alarm is firing.")
        assert [Alarm.objects.get(pk=name).state for name in ("stream-silent", "requests-set-aside")] == [State.ACKNOWLEDGED, State.SILENCED]
        visit.page.get_by_label("A second, at most").fill("50")
        visit.page.get_by_role("button", name="Send on again").click()
        expect(visit.page.locator("#panel-parked .sums")).to_contain_text("11 still parked + 1 on their way")
        assert Redrive.objects.get().rate == 50
        fits_and_is_fair(visit)
        visit.open("/admin/operations/alarm/stream-silent/change/")
        expect(visit.page.get_by_role("heading", name="Runbook")).to_be_visible()
        fits_and_is_fair(visit)
        assert visit.complaints == []


def test_the_page_follows_what_happens_and_keeps_what_somebody_types(house: House, acme: Organisation) -> None:
    world.in_trouble(timezone.now(), acme)
    with house.visit("root", to=PATH) as visit:
        visit.page.clock.install()
        visit.open(PATH)
        expect(visit.page.locator("#lag-chart")).to_have_attribute("data-drawn", "yes")
        visit.page.get_by_text("What happened last").click()
        rate = visit.page.get_by_label("A second, at most")
        rate.fill("3.5")
        Heartbeat.objects.filter(process__startswith="stream").update(at=timezone.now())
        world.alarm("stream-silent", State.RESOLVED, timezone.now())
        visit.page.clock.run_for(16_000)
        expect(visit.page.locator("#headline")).to_have_text("1 alarm is firing.")
        expect(visit.page.get_by_text("Silent for")).to_have_count(0)
        expect(visit.page.locator("#alarm-stream-silent")).to_have_count(0)
        expect(rate).to_have_value("3.5")
        expect(rate).to_be_focused()
        expect(visit.page.locator("#history")).to_have_attribute("open", "")
        assert visit.complaints == []
        end(house.server)
        visit.page.clock.run_for(16_000)
        expect(visit.page.locator("#connection")).to_contain_text("No connection, trying again.")
        expect(rate).to_have_value("3.5")
