"""The pages of imports and lists: uploaded, named, looked at, taken in; by who may tell of shoppers, and nobody else."""

from datetime import timedelta
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from engagement import imports
from engagement.models import ConsentState, Organisation, Profile, Shopper, ShopperImport, ShopperList
from engagement.profiles import sheet
from engagement.profiles.record import record

pytestmark = pytest.mark.django_db
ADDRESS: Final = "/admin/engagement/shopperimport/"
TEXT: Final = b"id,email,tier\na,a@example.com,<b>gold</b>\nb,nonsense@,silver\n"
COLUMNS: Final = {"meaning_0": "id", "meaning_1": "email", "meaning_2": "text", "name_0": "", "name_1": "", "name_2": "tier"}
AGREED: Final = {"everybody": "on", "purpose": "marketing", "wording": "v3", "source": "till", "at": "2026-11-01"}


def member(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, content: bytes = TEXT) -> Any:
    return client.post(f"{ADDRESS}add/", {"file": SimpleUploadedFile("people.csv", content)})


def page(client: Client, row: ShopperImport) -> str:
    response = client.get(f"{ADDRESS}{row.pk}/change/")
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    return response.content.decode()


@pytest.fixture
def client(emma: User) -> Client:
    return member(emma)


def test_from_the_upload_to_the_shoppers(client: Client, acme: Organisation) -> None:
    assert upload(client).status_code == 302
    row = ShopperImport.objects.get()
    shown = page(client, row)
    assert "What the columns are" in shown and "&lt;b&gt;gold" in shown and "<b>gold" not in shown
    assert client.post(f"{ADDRESS}{row.pk}/change/", {**COLUMNS, **AGREED, "new_list": "Spring guests"}).status_code == 302
    assert 'data-progress="' in page(client, row)
    assert client.get(f"{ADDRESS}{row.pk}/progress").json() == {"finished": False, "percent": 0, "text": "0 of 2 rows"}
    imports.work()
    assert client.get(f"{ADDRESS}{row.pk}/progress").json()["finished"] is True
    shown = page(client, row)
    assert 'type="date" name="at" value="2026-11-01"' in shown and "Take in 1 row<" in shown
    assert "What it would do" in shown and "It is not one e-mail address." in shown and "nonsense@" not in shown.split("What the columns are")[0]
    assert not Shopper.objects.exists()
    assert client.post(f"{ADDRESS}{row.pk}/run/").status_code == 302
    imports.work()
    shown = page(client, row)
    assert "What it did" in shown and "nonsense" not in shown
    assert Profile.objects.get().attributes == {"tier": "<b>gold</b>"}
    assert ConsentState.objects.get().at.isoformat() == "2026-10-31T22:00:00+00:00"  # midnight in Johannesburg
    made = ShopperList.objects.get()
    assert (made.key, made.members.count()) == ("spring-guests", 1)
    told = client.get(f"/admin/engagement/shopper/{Shopper.objects.get().pk}/change/").content.decode()
    assert "a@example.com" in told and "Spring guests" in told and "till" in told and "&lt;b&gt;gold" in told
    assert "Spring guests" in client.get("/admin/engagement/shopperlist/").content.decode()
    assert f">{Shopper.objects.get()}</a>" in client.get(f"/admin/engagement/shopperlist/{made.pk}/change/").content.decode()
    assert client.post(f"{ADDRESS}{row.pk}/discard/").status_code == 302
    assert not ShopperImport.objects.exists() and Shopper.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.decode().encode("utf-16"), "UTF-16"),
        ("id,name\na,Zoë\n".encode("latin-1"), "CSV UTF-8"),
        (b"", "The file is empty."),
        (b'id\n"a\n', "Line 2: A quotation mark"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(client: Client, content: bytes, said: str) -> None:
    response = upload(client, content)
    assert response.status_code == 200 and said in response.content.decode()
    assert not ShopperImport.objects.exists()


def test_a_file_too_large_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_BYTES", 10)
    assert "more than 50 MB" in upload(client).content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"meaning_0": ""}, "Say which column has the shopper"),
        ({"meaning_1": "id"}, "Two columns have the same meaning"),
        ({"name_2": ""}, "Every attribute needs a name"),
        ({**AGREED, "wording": ""}, "Of consent the purpose, the wording"),
        ({**AGREED, "at": str(timezone.localdate() + timedelta(days=2))}, "This day is still to come."),
        ({"meaning_1": "password"}, "Select a valid choice."),
        ({"into": "999999"}, "Select a valid choice."),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_begun(client: Client, fields: dict[str, str], said: str) -> None:
    upload(client)
    row = ShopperImport.objects.get()
    response = client.post(f"{ADDRESS}{row.pk}/change/", {**COLUMNS, **fields})
    assert response.status_code == 200 and said in response.content.decode()
    row.refresh_from_db()
    assert row.state == ShopperImport.State.UPLOADED


def test_a_list_of_the_rival_cannot_be_chosen(client: Client, rival: Organisation) -> None:
    theirs = ShopperList.objects.create(organisation=rival, key="theirs", name="Theirs")
    upload(client)
    row = ShopperImport.objects.get()
    assert "Theirs" not in page(client, row)
    assert client.post(f"{ADDRESS}{row.pk}/change/", {**COLUMNS, "into": str(theirs.pk)}).status_code == 200


def test_charlie_an_analyst_and_a_brands_member_see_and_do_nothing_here(client: Client, charlie: User, bob: User, dora: User, acme: Organisation) -> None:
    upload(client)
    row = ShopperImport.objects.get()
    for user, statuses in ((charlie, {404}), (bob, {403, 404}), (dora, {403, 404}), (None, {302})):
        other = member(user) if user else Client()
        for end in ("change/", "progress"):
            assert other.get(f"{ADDRESS}{row.pk}/{end}").status_code in statuses, (user, end)
        for end in ("change/", "run/", "again/", "discard/"):
            assert other.post(f"{ADDRESS}{row.pk}/{end}", COLUMNS).status_code in statuses, (user, end)
    assert upload(member(bob)).status_code == 403
    row.refresh_from_db()
    assert (row.state, ShopperImport.objects.count()) == (ShopperImport.State.UPLOADED, 1)
    record(acme, [{"id": "ann", "email": "ann@acme.example"}], "ops", timezone.now())
    ann = f"/admin/engagement/shopper/{Shopper.objects.get().pk}/change/"
    assert "ann@acme.example" in client.get(ann).content.decode()
    seen = member(bob).get(ann)
    assert seen.status_code == 200 and "ann@acme.example" not in seen.content.decode()
    assert "Imports" not in member(bob).get("/admin/engagement/shopper/").content.decode()


def test_two_lists_of_one_name_have_keys_of_their_own(client: Client, acme: Organisation, bob: User) -> None:
    for _ in range(2):
        assert client.post("/admin/engagement/shopperlist/add/", {"name": "Größte Gäste"}).status_code == 302
    assert sorted(ShopperList.objects.values_list("organisation__key", "key")) == [("acme", "grote-gaste"), ("acme", "grote-gaste-2")]
    first = ShopperList.objects.order_by("pk").first()
    assert first is not None
    client.post(f"/admin/engagement/shopperlist/{first.pk}/change/", {"name": "Renamed", "key": "other"})
    first.refresh_from_db()
    assert first.name == "Renamed" and first.key != "other"
    assert member(bob).post("/admin/engagement/shopperlist/add/", {"name": "x"}).status_code == 403
