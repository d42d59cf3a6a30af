"""The pages that mails lead to, as a shopper sees them: at a desk and on a phone, by day and by night, without a script."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect

from engagement.models import Brand, ConsentState, Organisation, Shopper, Venue
from notifications import links
from notifications.models import Campaign, Content, Message, Preference, Suppression, Topic, Variant
from tests.browser.conftest import DESK, PHONE, House, Visit
from tests.notifications import ledger, people
from tests.servers import WHOLE, running_door

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    """The product without its stream: nobody walks here."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server:
        yield House(browser, server)


@pytest.fixture
def told(acme: Organisation) -> Message:
    """What Ann got an hour ago, of Brew, about events; others speak German."""
    (number,) = people.shoppers(acme, 1, prefix="ann-")
    made = people.campaign(acme, brand=Brand.objects.get(organisation=acme, key="brew"))
    Content.objects.create(variant=Variant.objects.get(campaign=made), language="de", subject="x", body="x")
    Campaign.objects.filter(pk=made.pk).update(state="sending")
    Topic.objects.create(organisation=acme, key="events", name="Events and tastings")
    return ledger.message(ledger.run(made, timezone.now() - timedelta(hours=1)), Shopper.objects.get(pk=number))


@pytest.fixture(autouse=True)
def same_key(environment: dict[str, str], settings: object) -> None:
    """What is signed here is read there."""
    settings.SECRET_KEY = environment["SECRET_KEY"]


def paths(of: Message) -> dict[str, str]:
    return {
        "leave": f"/m/u/{links.sign(links.UNSUBSCRIBE, of.pk, of.shopper_id)}",
        "choose": f"/m/p/{links.sign(links.PREFERENCES, of.pk, of.shopper_id)}",
        "wrong": "/m/u/wrong",
    }


def flaws(visit: Visit) -> list[str]:
    """What axe finds. It is evaluated past the page's policy, which would let no script in."""
    visit.page.evaluate(AXE.read_text())
    return [one["id"] for one in visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]]


def test_everybody_can_read_the_pages(house: House, told: Message) -> None:
    for size in (DESK, PHONE):
        with house.visit(size=size) as visit:
            for scheme, ground in (("light", "rgb(244, 246, 248)"), ("dark", "rgb(19, 25, 32)")):
                visit.page.emulate_media(color_scheme=scheme)
                for name, path in paths(told).items():
                    assert visit.open(path) == (404 if name == "wrong" else 200)
                    assert visit.width() <= size["width"]
                    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground, "The stylesheet came, and follows."
                    assert not flaws(visit), (name, scheme)
            assert [said for said in visit.complaints if "404" not in said] == []
            assert not visit.page.context.cookies()


def test_a_shopper_chooses_leaves_and_comes_back_on_a_phone_without_scripts(house: House, told: Message) -> None:
    with house.visit(size=PHONE, java_script_enabled=False) as visit:
        page = visit.page
        visit.open(paths(told)["choose"])
        page.get_by_label("Brew & Co").uncheck()
        page.get_by_label("Language").select_option("de")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        expect(page.get_by_label("Brew & Co")).not_to_be_checked()
        expect(page.get_by_label("Events and tastings")).to_be_checked()
        page.get_by_role("link", name="Unsubscribe from everything").click()
        expect(page.get_by_role("heading")).to_have_text("Unsubscribe?")
        assert not Suppression.objects.exists(), "Looking is not leaving."
        page.get_by_role("button", name="Unsubscribe").click()
        expect(page.get_by_role("heading")).to_have_text("You are unsubscribed")
        assert not ConsentState.objects.get(shopper=told.shopper).given and Suppression.objects.get().lifted_at is None
        page.get_by_role("link", name="Choose what you get").click()
        page.get_by_role("button", name="Send me e-mail again").click()
        expect(page.get_by_label("Brew & Co")).not_to_be_checked()
        assert ConsentState.objects.get(shopper=told.shopper).given and Suppression.objects.get().lifted_at is not None
        assert not Preference.objects.get(brand__key="brew").wished
        assert not page.context.cookies()
