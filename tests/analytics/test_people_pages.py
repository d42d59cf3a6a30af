"""Deciding about staff and residents, and erasing shoppers, as people and programs do it: who may, what they are told, and what it does."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from analytics import regulars
from analytics.models import Mark, Regular
from engagement import shoppers
from engagement.models import Brand, Erased, Erasure, Organisation, Purchase, Shopper, Zone
from tests.analytics.rows import device, local, shopper, stay

pytestmark = pytest.mark.django_db

MONDAY: Final = local("Africa/Johannesburg", 2026, 10, 5, 8)
LIST: Final = "/admin/analytics/regular/"
NOW: Final = datetime.now(UTC)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def key(token: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token}"})


def suggestion(organisation: Organisation, name: str) -> Regular:
    """Somebody with three long days in North Mall, and a short visit the week after."""
    root = Zone.objects.get(organisation=organisation, kind="venue")
    who = shopper(organisation, name)
    for day in range(3):
        stay(who, root, MONDAY + timedelta(days=day), 5 * 3600)
    stay(who, root, MONDAY + timedelta(days=7), 600)
    return Regular.objects.create(organisation=organisation, shopper=who, zone=root, week=MONDAY.date(), days=3, longest_s=5 * 3600)


def state(row: Regular) -> str:
    row.refresh_from_db()
    return row.state


# --- Staff and residents ----------------------------------------------------------------------------------------------------


def test_the_list_says_what_speaks_for_each(acme: Organisation, alice: User) -> None:
    row = suggestion(acme, "cleaner")
    page = browser(alice).get(LIST).content.decode()
    for told in ("cleaner", "North Mall", "Mon 5 Oct 2026", "5 h 0 min", "0 shoppers are left out", f'formaction="{LIST}{row.pk}/decide/"'):
        assert told in page, told
    assert regulars.visits([row]) == {row.pk: 3}
    assert browser(alice).get(f"{LIST}{row.pk}/change/").status_code == 200


def test_the_list_asks_the_database_the_same_number_of_times_however_long_it_is(acme: Organisation, alice: User, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        suggestion(acme, f"cleaner {number}")
    client = browser(alice)
    client.get(LIST)
    with django_assert_max_num_queries(20):
        assert client.get(LIST).content.decode().count("formaction") >= 60


@pytest.mark.parametrize(
    ("start", "button", "end"), [("suggested", "confirmed", "confirmed"), ("suggested", "dismissed", "dismissed"), ("dismissed", "suggested", "suggested")]
)
def test_one_click_decides_and_one_click_takes_it_back(acme: Organisation, alice: User, start: str, button: str, end: str) -> None:
    row = suggestion(acme, "cleaner")
    Regular.objects.update(state=start)
    Mark.objects.all().delete()
    answer = browser(alice).post(f"{LIST}{row.pk}/decide/", {"state": button}, follow=True)
    assert answer.redirect_chain and answer.status_code == 200
    assert state(row) == end
    assert row.decided_by == ("alice" if end != "suggested" else "")
    assert Mark.objects.exists() == (end == "confirmed")


def test_several_are_decided_at_once_and_said_how_many(acme: Organisation, alice: User) -> None:
    rows = [suggestion(acme, name) for name in ("cleaner", "guard", "ann")]
    client = browser(alice)
    chosen = {"action": "leave_out", "_selected_action": [row.pk for row in rows[:2]]}
    page = client.post(LIST, chosen, follow=True).content.decode()
    assert "2 shoppers are left out of all figures" in page
    assert [state(row) for row in rows] == ["confirmed", "confirmed", "suggested"]
    assert regulars.left_out(acme) == 2
    page = client.post(f"{LIST}?state=confirmed", {**chosen, "action": "undo"}, follow=True).content.decode()
    assert "The decisions about 2 shoppers are undone" in page
    assert regulars.left_out(acme) == 0


def test_an_unknown_decision_is_no_decision(acme: Organisation, alice: User) -> None:
    row = suggestion(acme, "cleaner")
    assert browser(alice).post(f"{LIST}{row.pk}/decide/", {"state": "promoted"}).status_code == 404
    assert browser(alice).get(f"{LIST}{row.pk}/decide/").status_code == 405
    assert state(row) == "suggested"


def test_an_analyst_looks_and_does_not_decide(acme: Organisation, bob: User) -> None:
    row = suggestion(acme, "cleaner")
    client = browser(bob)
    page = client.get(LIST).content.decode()
    assert "cleaner" in page and "formaction" not in page and "leave_out" not in page
    assert client.post(f"{LIST}{row.pk}/decide/", {"state": "confirmed"}).status_code == 403
    assert client.post(f"/admin/engagement/shopper/{row.shopper_id}/leave-out/").status_code == 403
    client.post(LIST, {"action": "leave_out", "_selected_action": [row.pk]})
    assert state(row) == "suggested"


def test_a_brands_member_and_a_rival_see_nothing_and_decide_nothing(acme: Organisation, dora: User, charlie: User) -> None:
    row = suggestion(acme, "cleaner")
    for user, refused in ((dora, {403}), (charlie, {404})):
        client = browser(user)
        assert b"cleaner" not in client.get(LIST).content
        for path in (f"{LIST}{row.pk}/decide/", f"/admin/engagement/shopper/{row.shopper_id}/leave-out/"):
            assert client.post(path, {"state": "confirmed"}).status_code in refused | {403}
        client.post(LIST, {"action": "leave_out", "_selected_action": [row.pk]})
        assert state(row) == "suggested"


def test_somebody_is_marked_on_his_own_page(acme: Organisation, alice: User) -> None:
    who = shopper(acme, "night guard")
    stay(who, Zone.objects.get(key="north"), MONDAY, 600)
    client, page = browser(alice), f"/admin/engagement/shopper/{who.pk}/"
    assert "leave out of all figures" in client.get(f"{page}change/").content.decode()
    told = client.post(f"{page}leave-out/", follow=True).content.decode()
    assert "1 shopper is left out" in told and "Staff or resident: Left out" in told
    assert Regular.objects.get().decided_by == "alice"


# --- Erasure ------------------------------------------------------------------------------------------------------------------


def known(organisation: Organisation, name: str) -> Shopper:
    """Somebody with a stay, a device and a purchase."""
    who = shopper(organisation, name)
    device(who, f"phone of {name}")
    stay(who, Zone.objects.get(organisation=organisation, kind="venue"), MONDAY, 600)
    if brand := Brand.objects.filter(organisation=organisation).first():
        Purchase.objects.create(organisation=organisation, key=f"of {name}", shopper=who, brand=brand, at=MONDAY)
    return who


def test_the_page_says_beforehand_what_erasing_takes_and_does_it_when_told_so(acme: Organisation, alice: User) -> None:
    ann = known(acme, "ann")
    client, address = browser(alice), f"/admin/engagement/shopper/{ann.pk}/erase/"
    assert address in client.get(f"/admin/engagement/shopper/{ann.pk}/change/").content.decode()
    page = client.get(address).content.decode()
    for told in ("Erase ann?", "1 stay<", "0 events", "1 device that nobody else used", "1 purchase<", "cannot be undone"):
        assert told in page, told
    assert not Erasure.objects.exists()
    assert "is being erased" in client.post(address, follow=True).content.decode()
    row = Erasure.objects.get()
    assert (row.organisation, row.shopper_id, row.requested_by) == (acme, ann.pk, "alice")
    assert "is being erased already" in client.get(address).content.decode()
    client.post(address)
    assert Erasure.objects.count() == 1
    assert "waiting" in client.get("/admin/engagement/erasure/").content.decode()
    assert address not in client.get(f"/admin/engagement/shopper/{ann.pk}/change/").content.decode()


def test_only_who_may_erases(acme: Organisation, acme_keys: dict[str, str], rival_keys: dict[str, str], bob: User, charlie: User, dora: User) -> None:
    ann = known(acme, "ann")
    for user in (bob, charlie, dora):
        for method in ("get", "post"):
            assert getattr(browser(user), method)(f"/admin/engagement/shopper/{ann.pk}/erase/").status_code in {403, 404}, user
        assert browser(user).delete("/api/v1/shoppers/ann").status_code in {403, 404}, user
    for token, status in ((acme_keys["publishable"], 403), (acme_keys["import"], 403), (rival_keys["secret"], 404), ("atr_sec_" + "x" * 43, 401)):
        assert key(token).delete("/api/v1/shoppers/ann").status_code == status
    assert Client().delete("/api/v1/shoppers/ann").status_code == 401
    assert not Erasure.objects.exists()


def test_the_api_erases_by_the_apps_own_id_and_by_the_products(acme: Organisation, acme_keys: dict[str, str]) -> None:
    client = key(acme_keys["secret"])
    odd = "crm/42 ü?"
    for name in ("ann", odd):
        known(acme, name)
    kiosk = shopper(acme, device="kiosk")
    for name in ("ann", "crm%2F42%20%C3%BC%3F", f"atrium:{kiosk.pk}"):
        answer = client.delete(f"/api/v1/shoppers/{name}")
        assert (answer.status_code, answer.json()["state"], answer.json()["finished_at"]) == (202, "waiting", None), name
    assert Erasure.objects.count() == 3
    assert {row.requested_by for row in Erasure.objects.all()} == {"ops"}


def test_asked_again_the_api_says_how_far_it_is(acme: Organisation, acme_keys: dict[str, str]) -> None:
    client = key(acme_keys["secret"])
    ann = known(acme, "ann")
    first = client.delete("/api/v1/shoppers/ann").json()
    assert client.delete("/api/v1/shoppers/ann").json() == first
    row = Erasure.objects.get()
    Shopper.objects.filter(pk=ann.pk).delete()  # as the stream does it
    Erasure.objects.update(shopper_id=None, finished_at=NOW, events=7, stays=1)
    Erased.objects.create(organisation=acme, erasure=row, digest=shoppers.digest(acme.pk, "s", "ann"), until=NOW)
    done = client.delete("/api/v1/shoppers/ann")
    assert (done.status_code, done.json()["state"], done.json()["events"]) == (200, "done", 7)


@pytest.mark.parametrize("name", ["nobody", "atrium:", "atrium:12x", "atrium:999999", "atrium:-1", "atrium:" + "9" * 40, "%00", "x" * 4000, "atrium:١"])
def test_who_is_unknown_is_not_found(acme: Organisation, acme_keys: dict[str, str], name: str) -> None:
    answer = key(acme_keys["secret"]).delete(f"/api/v1/shoppers/{name}")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_a_shopper_with_a_name_is_not_found_by_number(acme: Organisation, acme_keys: dict[str, str]) -> None:
    ann = known(acme, "ann")
    assert key(acme_keys["secret"]).delete(f"/api/v1/shoppers/atrium:{ann.pk}").status_code == 404


def test_the_address_takes_no_other_question(acme: Organisation, acme_keys: dict[str, str]) -> None:
    known(acme, "ann")
    client = key(acme_keys["secret"])
    for method in ("post", "put", "patch"):
        assert getattr(client, method)("/api/v1/shoppers/ann").status_code == 405
    assert client.delete("/api/v1/shoppers/ann?now=1").status_code == 400
    assert not Erasure.objects.exists()


def test_the_command_erases_one_and_again_those_whom_a_backup_brought_back(acme: Organisation, capsys: pytest.CaptureFixture[str]) -> None:
    ann = known(acme, "ann")
    call_command("erase", "acme", "ann")
    assert Erasure.objects.get().shopper_id == ann.pk
    for wrong in (("acme", "nobody"), ("nowhere", "ann"), ("acme",), ()):
        with pytest.raises(CommandError):
            call_command("erase", *wrong)
    Erasure.objects.all().delete()
    gone = Erasure.objects.create(organisation=acme, finished_at=NOW)
    Erased.objects.create(organisation=acme, erasure=gone, digest=shoppers.digest(acme.pk, "s", "ann"), until=datetime.now(UTC))
    call_command("erase", "--again")
    assert Erasure.objects.get(finished_at=None).shopper_id == ann.pk
    assert "1 shopper" in capsys.readouterr().out
