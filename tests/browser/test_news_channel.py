"""The page of the marketers' channel in a browser: an owner sets it with the keyboard, tries it, and takes it away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from engagement.models import Organisation, Venue
from operations.models import NewsChannel
from tests.browser.conftest import PHONE, House
from tests.browser.test_campaigns import findings
from tests.operations import fake_slack
from tests.operations.fake_slack import FakeSlack
from tests.servers import WHOLE, running_door

HOOK = "/services/T0ACME/B0ACME/xoxsecretacme"


@pytest.fixture
def hooks() -> Iterator[FakeSlack]:
    with fake_slack.running() as server:
        yield server


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser, hooks: FakeSlack) -> Iterator[House]:
    with running_door({**environment, "SLACK_API_URL": hooks.base}, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


def test_an_owner_sets_the_channel_with_the_keyboard_tries_it_and_takes_it_away(house: House, acme: Organisation, alice: User, hooks: FakeSlack) -> None:
    with house.visit("alice", to="/admin/news/") as visit:
        page = visit.page
        page.get_by_role("link", name="Slack channel").wait_for()
        field = page.get_by_label("Address of an incoming webhook")
        field.fill("https://evil.example/services/T0/B0/x")
        field.press("Enter")
        expect(page.get_by_text("This is no address of an incoming webhook")).to_be_visible()
        page.get_by_label("Address of an incoming webhook").fill(hooks.base + HOOK)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Set by alice")).to_be_visible()
        assert "xoxsecretacme" not in page.content()
        page.get_by_role("button", name="Send a test message").press("Enter")
        expect(page.get_by_text("Slack has taken it.")).to_be_visible()
        assert hooks.titles == ["👋 This channel works"]
        assert findings(page) == []
        page.set_viewport_size(PHONE)
        assert visit.width() <= PHONE["width"]
        page.get_by_role("button", name="Remove the channel").click()
        expect(page.get_by_text("Nobody is told news any more")).to_be_visible()
        assert not NewsChannel.objects.exists() and visit.complaints == []
