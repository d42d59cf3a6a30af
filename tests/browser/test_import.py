"""A file of shoppers in a browser: uploaded, its columns named, looked at, followed, taken in, and found on the shopper's page."""

from pathlib import Path

from django.contrib.auth.models import User
from playwright.sync_api import expect

from engagement import imports
from engagement.models import ConsentState, Organisation, Shopper
from tests.browser.conftest import PHONE, House

TEXT = "Customer ID;E-Mail;Sprache;tier\r\ncrm-1;ann@example.com;en;gold\r\ncrm-2;nonsense;de;silver\r\ncrm-3;;;\r\n"


def test_emma_takes_in_a_file_and_sees_before_what_it_will_do(house: House, acme: Organisation, emma: User, tmp_path: Path) -> None:
    file = tmp_path / "guests.csv"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    with house.visit("emma", to="/admin/engagement/shopperimport/") as visit:
        page = visit.page
        page.goto(f"{visit.address}/admin/engagement/shopperimport/add/")
        page.set_input_files("input[type=file][name=file]", file)
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_label("What “E-Mail” is")).to_have_value("email")
        expect(page.get_by_label("Name of the attribute in “tier”")).to_have_value("tier")
        page.get_by_label("Everybody in this file agreed to e-mail").check()
        page.get_by_role("button", name="Look at what it would do").click()
        expect(page.get_by_role("alert")).to_contain_text("Of consent the purpose, the wording, the source and the date must be known")
        page.get_by_label("Wording").fill("v3")
        page.get_by_label("Source").fill("till")
        page.get_by_label("Date", exact=True).fill("2026-11-01")
        page.get_by_label("Or a new list of this name").fill("Guests")
        page.get_by_role("button", name="Look at what it would do").click()
        expect(page.get_by_role("status")).to_have_text("0 of 3 rows")
        imports.work(turn_s=30)
        expect(page.get_by_role("heading", name="What it would do")).to_be_visible()  # the page has seen for itself that it is done
        expect(page.locator("#outcome td.right")).to_have_text(["2", "0", "0", "1"])
        expect(page.get_by_role("region", name="Faults by line")).to_contain_text("It is not one e-mail address.")
        assert not Shopper.objects.exists()
        page.get_by_role("button", name="Take in 2 rows").click()
        expect(page.get_by_role("heading", name="The file is being taken in")).to_be_visible()
        imports.work(turn_s=30)
        expect(page.get_by_role("heading", name="What it did")).to_be_visible()
        page.set_viewport_size(PHONE)
        assert visit.width() <= PHONE["width"]
        page.goto(f"{visit.address}/admin/engagement/shopper/{Shopper.objects.get(external_id='crm-1').pk}/change/")
        expect(page.locator("#told")).to_contain_text("ann@example.com")
        expect(page.locator("#told")).to_contain_text("Guests")
        expect(page.get_by_role("region", name="Consents")).to_contain_text("till")
        assert visit.width() <= PHONE["width"]
        assert visit.complaints == []
    assert ConsentState.objects.filter(given=True).count() == 2
