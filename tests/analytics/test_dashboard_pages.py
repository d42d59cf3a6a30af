"""The dashboard's pages: whose places they show, what they do without, and the weekly summary that may leave by mail."""

import hashlib
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from analytics import regulars, weekly
from engagement import provisioning
from engagement.models import Brand, Membership, Organisation, Role, Venue, Zone
from tests.analytics import rows

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_acme(alice: User) -> Client:
    return browser(alice)


@pytest.fixture
def brew(acme: Organisation, north: Venue) -> Client:
    """A member of Acme's brand Brew alone."""
    user = User.objects.create_user("dana")
    Membership.objects.create(user=user, organisation=acme, role=Role.ANALYST, brand=Brand.objects.get(organisation=acme, key="brew"))
    return browser(user)


def page(client: Client, **asked: str) -> str:
    answer = client.get(reverse("figures"), asked)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    return answer.content.decode()


def given(client: Client, **asked: str) -> Any:
    """What the scripts are told."""
    answer = client.get(reverse("figures"), asked)
    return answer.context["given"]


def test_who_logs_in_lands_on_the_figures(at_acme: Client, north: Venue) -> None:
    arrived = at_acme.get(reverse("admin:index"), follow=True)
    assert arrived.redirect_chain[-1][0] == reverse("figures")
    assert 'id="widget-today"' in arrived.content.decode()


def test_the_page_knows_the_tree_of_places(at_acme: Client, north: Venue) -> None:
    told = given(at_acme)
    assert told["start"] == ("place", "north") and told["time_zone"] == "Africa/Johannesburg"
    places = {place["key"]: place for place in told["places"]}
    assert places["north-brew"]["parent"] == "north-ground" and places["north-ground"]["parent"] == "north"
    assert told["brands"] == [{"key": "brew", "name": "Brew & Co"}, {"key": "page", "name": "Page & Sons"}]
    assert "<svg" in page(at_acme) and 'href="?place=north-brew"' in page(at_acme)


def test_an_address_says_which_place(at_acme: Client, north: Venue) -> None:
    assert given(at_acme, place="north-brew")["start"] == ("place", "north-brew")
    assert given(at_acme, brand="page")["start"] == ("brand", "page")


def test_another_venue_brings_its_own_places(at_acme: Client, acme: Organisation, north: Venue) -> None:
    rows.venue(acme, "south", "Europe/Berlin")
    told = given(at_acme, place="south")
    assert [place["key"] for place in told["places"]] == ["south"] and told["time_zone"] == "Europe/Berlin"
    assert [venue["key"] for venue in told["venues"]] == ["north", "south"]


def test_a_brand_brings_its_stores_of_every_venue(at_acme: Client, acme: Organisation, north: Venue) -> None:
    rows.venue(acme, "south", "Europe/Berlin")
    store = {"key": "south-brew", "venue": "south", "name": "Brew South", "kind": "store", "brand": "brew", "boundary": None}
    provisioning.provision({"organisation": {"key": "acme"}, "zones": [store]})
    stores = [place["key"] for place in given(at_acme, brand="brew")["places"] if place["brand"] == "brew"]
    assert sorted(stores) == ["north-brew", "south-brew"]


@pytest.mark.parametrize("asked", [{"place": "north"}, {"place": "north-brew"}, {"brand": "brew"}, {"place": "nowhere"}, {"place": "\0"}])
def test_a_strangers_place_is_no_place(charlie: User, north: Venue, asked: dict[str, str]) -> None:
    stranger = browser(charlie)
    for name in ("figures", "figures_week"):
        answer = stranger.get(reverse(name), asked)
        assert answer.status_code == 404
        assert "North Mall" not in answer.content.decode()
    assert "North Mall" not in page(stranger) and "Arcade" in page(stranger)


def test_who_is_not_logged_in_gets_no_page(north: Venue) -> None:
    for name in ("figures", "figures_week"):
        assert Client().get(reverse(name)).headers["Location"].startswith("/admin/login/")


def test_pages_are_read_and_never_posted(at_acme: Client, north: Venue) -> None:
    for name in ("figures", "figures_week"):
        assert at_acme.post(reverse(name)).status_code == 405


def test_a_brands_member_has_its_stores_and_nothing_around_them(brew: Client) -> None:
    told = given(brew)
    assert told["start"] == ("brand", "brew") and told["venue"] is None and told["venues"] == [] and not told["whole"]
    assert [(place["key"], place["parent"], place["venue"]) for place in told["places"]] == [("north-brew", None, None)]
    for asked in ({}, {"place": "north-brew"}):
        shown = page(brew, **asked)
        for foreign in ("North Mall", "north-page", "Page &amp; Sons", "north-ground", "north-street", '<svg class="plan"'):
            assert foreign not in shown, foreign
    for foreign in ({"place": "north"}, {"place": "north-page"}, {"brand": "page"}):
        assert brew.get(reverse("figures"), foreign).status_code == 404
        assert brew.get(reverse("figures_week"), foreign).status_code == 404


def test_a_brand_without_a_store_is_told_so(acme: Organisation, north: Venue) -> None:
    provisioning.provision({"organisation": {"key": "acme"}, "brands": [{"key": "bare", "name": "Bare"}]})
    user = User.objects.create_user("eve")
    Membership.objects.create(user=user, organisation=acme, brand=Brand.objects.get(key="bare"))
    assert "No store yet" in page(browser(user))
    assert browser(user).get(reverse("figures_week")).status_code == 302


def test_an_organisation_without_a_venue_is_told_what_to_do(alice: User, at_acme: Client) -> None:
    provisioning.provision({"organisation": {"key": "bare", "name": "Bare Ltd"}})
    Membership.objects.all().delete()
    Membership.objects.create(user=alice, organisation=Organisation.objects.get(key="bare"), role=Role.OWNER)
    assert "No venue yet" in page(at_acme)


def test_the_page_costs_the_same_few_queries_however_many_places_there_are(
    at_acme: Client, acme: Organisation, north: Venue, django_assert_num_queries: Any
) -> None:
    more = [{"key": f"north-{n}", "venue": "north", "name": f"Shop {n}", "kind": "store", "boundary": None} for n in range(40)]
    provisioning.provision({"organisation": {"key": "acme"}, "zones": more})
    # Session, user, organisations, membership, clock; brands, venues, zones with their versions, whether anything came, who is left out; the sidebar's.
    with django_assert_num_queries(15):
        page(at_acme)


def test_the_page_says_how_many_are_left_out(at_acme: Client, acme: Organisation, rival: Organisation, north: Venue) -> None:
    assert "left out" not in page(at_acme)
    for organisation, names in ((acme, "ab"), (rival, "xyz")):
        for name in names:
            regulars.mark(shopper=rows.shopper(organisation, name), organisation=organisation, by="owner")
    assert "2 shoppers are left out of every figure" in page(at_acme)


def test_nothing_on_the_page_comes_from_elsewhere_and_no_script_is_inline(at_acme: Client, north: Venue) -> None:
    shown = page(at_acme)
    own = shown[shown.index('id="figures"') :]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', own)
    assert not re.search(r"<script(?![^>]*(?:src=|application/json))", own)
    assert not re.search(r"\son\w+=", own)


@pytest.mark.parametrize("folder", ["analytics/static/analytics/vendor", "tests/browser/vendor"])
def test_what_others_made_is_as_they_published_it(folder: str) -> None:
    told = re.findall(r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", (ROOT / folder / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _hash in told) == sorted(one.name for one in (ROOT / folder).glob("*.js"))
    for name, promised in told:
        assert hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest() == promised, name


# --- The weekly summary ---------------------------------------------------------------------------------------------------

MONDAY = date(2026, 11, 9)


def visited(acme: Organisation, zone: str, day: datetime, people: range, *, seconds: float = 600) -> None:
    for number in people:
        rows.stay(rows.shopper(acme, f"crm-{number}"), Zone.objects.get(key=zone), day, seconds)


def week(client: Client, **asked: str) -> str:
    answer = client.get(reverse("figures_week"), {"week": "2026-W46", **asked})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_week_is_told_beside_the_one_before(at_acme: Client, acme: Organisation, north: Venue) -> None:
    tuesday = rows.local("Africa/Johannesburg", 2026, 11, 10, 12)
    visited(acme, "north", tuesday, range(30))
    visited(acme, "north", tuesday - timedelta(days=7), range(20))
    shown = week(at_acme)
    assert "2026-W46" in shown and "+50 %" in shown and "before 20" in shown
    assert "<script" not in shown and '<link rel="stylesheet"' not in shown and "<style" not in shown
    assert "from=2026-11-09&amp;to=2026-11-16" in shown


def test_a_week_begins_and_ends_on_the_venues_clock(acme: Organisation, north: Venue) -> None:
    monday = rows.local("Africa/Johannesburg", 2026, 11, 9, 0, 30)
    assert weekly.last_full(monday - timedelta(hours=1), "Africa/Johannesburg") == date(2026, 10, 26)
    assert weekly.last_full(monday, "Africa/Johannesburg") == date(2026, 11, 2)
    assert weekly.last_full(monday, "America/New_York") == date(2026, 10, 26)


def test_few_people_are_never_told_in_a_mail(at_acme: Client, acme: Organisation, north: Venue) -> None:
    tuesday = rows.local("Africa/Johannesburg", 2026, 11, 10, 12)
    visited(acme, "north-brew", tuesday, range(7), seconds=1234)
    visited(acme, "north-page", tuesday - timedelta(days=7), range(4))
    visited(acme, "north-page", tuesday, range(15))
    shown = week(at_acme)
    line = {one[0]: re.findall(r"<td[^>]*>([^<]*(?:&lt;10)?)", one[1]) for one in re.findall(r'<th scope="row"[^>]*>([^<]+)</th>(.*?)</tr>', shown)}
    assert [cell.strip() for cell in line["Brew"]] == ["&lt;10", "&lt;10", "&lt;10", "&lt;10", "0"]
    # The four who came again give their number away beside the fifteen, unless the new ones are hidden too.
    assert [cell.strip() for cell in line["Page"]][3:] == ["hidden", "&lt;10"]


@pytest.mark.parametrize("asked", ["2026-W54", "2026-11-09", "soon", "0001-W01", "9999-W60", "2999-W01", "2026-W99999999999"])
def test_a_week_that_has_not_ended_or_is_none_is_refused(at_acme: Client, north: Venue, asked: str) -> None:
    assert at_acme.get(reverse("figures_week"), {"week": asked}).status_code == 404


def test_a_brands_member_is_mailed_its_stores_alone(brew: Client, acme: Organisation) -> None:
    shown = week(brew)
    assert "Brew" in shown
    for foreign in ("North Mall", "Page", "Ground", "Street"):
        assert foreign not in shown, foreign
