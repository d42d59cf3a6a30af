"""Attack 49: every address that the URLconf has, tried by every role with the ids of Acme. Nobody but a member sees or changes anything.

tests/inventory.py must equal the URLconf: a new address fails here until somebody has said who may use it.
"""

import html
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.http import HttpResponseBase
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from analytics import trial
from analytics.models import Audience, DwellMark, Recut, Regular, Transition
from engagement import imports, provisioning, tenancy
from engagement.models import (
    Device,
    Erasure,
    IdentityClaim,
    Inbox,
    ListMember,
    Organisation,
    Outcome,
    RecentEvent,
    SetAside,
    Shopper,
    ShopperDevice,
    ShopperList,
    Zone,
)
from engagement.profiles import lists
from engagement.profiles.record import record
from notifications import links
from notifications.models import Campaign, Suppression
from operations import evaluation
from tests.analytics.rows import device, shopper, stay
from tests.cast import acme_file
from tests.inventory import ERASERS, KEYED, MAILED, MODELS, READERS, REPORTED, WRITERS, addresses, inventory

VENUES: Final = ("admin/live/",)  # whose numbers are of venues

# What is Acme's alone. Nobody else's answer may have any of these in it.
MARKS: Final = (
    *("Acme Malls", "North Mall", "north-brew", "north-page", "north-door", "Brew & Co", "Page & Sons", "b-brew"),
    *("crm-acme", "install-acme", "acme-error", "acme-reason", "@acme.example"),
)
# Who runs the installation makes users members of organisations and of their brands. That is all he knows of them.
MAY_SEE: Final = {
    "superuser": ("Acme Malls", "@acme.example", "Brew & Co", "Page & Sons", "acme-error"),  # why work is parked: the type and the place of a failure
    "dora": ("Acme Malls", "Brew & Co", "north-brew"),  # she is of Acme, and of this brand
}
OPERATORS_OWN: Final = ("/admin/auth/user/", "/admin/engagement/organisation/", "/admin/operations/")
UNTOUCHED_BY_LOOKING: Final = {"django_session", "auth_user", "django_admin_log", "django_content_type", "auth_permission", "django_migrations"}


def test_the_urlconf_is_the_inventory() -> None:
    found = list(addresses(get_resolver()))
    assert set(found) == inventory()
    assert len(found) == len(set(found))


# --- The world ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(acme: Organisation, rival: Organisation, acme_keys: dict[str, str], alice: User, bob: User, charlie: User) -> Organisation:
    """Acme with a row of everything, each with a mark in it."""
    changed = acme_file()
    changed["zones"][1]["exit_grace_s"] = 77  # a second version, which the admin shows
    provisioning.provision(changed)
    now = timezone.now()
    ann = shopper(acme, "crm-acme-1")
    phone = device(ann, "install-acme-1")
    ShopperDevice.objects.create(shopper=ann, device=phone)
    imports.upload(organisation=acme, name="acme-reason.csv", chunks=[b"id,email\ncrm-acme-9,x@acme.example\n"], by="alice")
    ListMember.objects.create(list=lists.make(acme, "acme-reason"), shopper=ann)
    agreed = {"channel": "email", "given": True, "at": now.isoformat(), "source": "acme-reason"}
    record(acme, [{"id": "crm-acme-1", "email": "ann@acme.example", "attributes": {"tier": "acme-reason"}, "consents": [agreed]}], "alice", now)
    owned: dict[str, Any] = {"organisation": acme, "shard": 1}
    for zone in Zone.objects.filter(organisation=acme):
        stay(ann, zone, now - timedelta(minutes=10), 400)
        Transition.objects.create(**owned, shopper_id=ann.pk, zone_id=zone.pk, kind="entered", started=now, at=now, created_at=now)
        DwellMark.objects.create(zone=zone, minutes=5)
    Recut.objects.create(organisation=acme, reason="acme-reason")
    told = Audience.objects.create(organisation=acme, key="crm-acme-all", name="crm-acme-all", rule={"consent": {"channel": "email"}})
    Campaign.objects.create(organisation=acme, key="crm-acme-news", name="crm-acme-news", audience=told, time_zone="UTC")
    Regular.objects.create(organisation=acme, shopper=ann, zone=Zone.objects.get(organisation=acme, key="north"))
    Erasure.objects.create(organisation=acme, shopper_id=-1, requested_by="crm-acme-asked")
    trial.ask(zone=Zone.objects.get(organisation=acme, key="north-brew"), changes={"exit_grace_s": 300}, by="alice")
    SetAside.objects.create(**owned, received_at=now, events=3, payload=b"", error="acme-error")
    Inbox.objects.create(**owned, received_at=now, events=3, payload=b"")
    Outcome.objects.create(**owned, hour=now, outcome="accepted", events=3)
    RecentEvent.objects.create(organisation=acme, received_at=now, device="install-acme-1", kind="fix", outcome="accepted", zones="north-brew")
    Suppression.objects.create(organisation=acme, address="ann@acme.example", why="bounce", at=now)
    evaluation.evaluate(now)
    IdentityClaim.objects.create(organisation=acme, device_id=phone.pk, shopper_id=ann.pk, occurred_at=now, event_id="00000000-0000-0000-0000-000000000001")
    User.objects.filter(pk__in=(alice.pk, bob.pk)).update(email="somebody@acme.example")
    cy = shopper(rival, "cy")
    device(cy, "install-rival")
    stay(cy, Zone.objects.get(organisation=rival, key="arcade"), now, 400)
    return acme


def ids_of(organisation: Organisation, model: type[models.Model]) -> list[str]:
    """Primary keys of the organisation's rows (or of no tenant's), as an address shows them: the two latest are enough."""
    rows: models.QuerySet[Any] = model._default_manager.all()
    if model is User:
        found = rows.filter(memberships__organisation=organisation)
    else:
        found = rows if model._meta.label in tenancy.MACHINE_ONLY else tenancy.scoped(rows, organisation)
    return [str(pk) for pk in found.order_by("-pk").values_list("pk", flat=True)[:2]]


def model_of(address: str) -> type[models.Model] | None:
    """Whose numbers an address has in it."""
    if address.startswith(VENUES):
        return apps.get_model("engagement.Venue")
    parts = address.split("/")
    try:
        return apps.get_model(parts[1], parts[2])
    except (LookupError, IndexError):
        return None


def filled(address: str, organisation: Organisation) -> list[str]:
    """Paths of an address with the organisation's ids, and with the questions that could draw its rows out."""
    if address == "admin/r/<path:content_type_id>/<path:object_id>/":
        kinds = [apps.get_model(label) for label in MODELS]
        return [f"/admin/r/{ContentType.objects.get_for_model(kind).pk}/{pk}/" for kind in kinds for pk in ids_of(organisation, kind)[:1]]
    if address == "admin/autocomplete/":
        return [f"/admin/autocomplete/?app_label={app}&model_name={model}&field_name={field}&term=" for app, model, field in relations()]
    if address in MAILED:
        signed = links.sign({"o": links.OPEN, "c": links.CLICK, "u": links.UNSUBSCRIBE, "p": links.PREFERENCES}[address[2]], 1, 1)
        return [f"/{address[:4]}{signed[:-1]}{'A' if signed[-1] != 'A' else 'B'}", f"/{address[:4]}1"]  # without the mail, one can only guess
    if address in ERASERS:
        return [f"/api/v1/shoppers/{name}" for name in ("crm-acme-1", *(f"atrium:{pk}" for pk in ids_of(organisation, Shopper)))]
    if address in KEYED:
        keys = apps.get_model(KEYED[address])._default_manager.filter(organisation=organisation).values_list("key", flat=True)
        return [f"/{address}".replace("<str:key>", key) + more for key in keys for more in ("", "?organisation=acme")]
    if address in READERS:
        ranged = "from=2026-01-01&to=2027-01-01"
        if address in REPORTED:
            mixed = ("zone=north-brew,arcade-shop", "zone=north-brew,north-page", "zone=north-page", "brand=page")
            return [f"/{address}?{place}&{ranged}" for place in (*mixed, "zone=north-brew", "brand=brew", "organisation=acme&zone=north-brew&format=csv")]
        asked = f"zone=north-brew&{ranged}" if address.endswith("stays") else ""
        return [f"/{address}", f"/{address}?{asked}", f"/{address}?organisation=acme&{asked}"]
    plain = {
        "^api/": "api/anything",
        "admin/notifications/mailbox/<str:name>/": "admin/notifications/mailbox/20261121-100000-000000-1-1/",
        "admin/(?P<url>.*)$": "admin/anything",
        "admin/^(?P<app_label>engagement|auth|analytics|notifications|operations)/$": "admin/engagement/",
    }
    path = "/" + plain.get(address, address)
    if "<" in path:
        start, end = path.index("<"), path.rindex(">") + 1
        model = model_of(address)
        assert model, f"Say whose numbers {address} has."
        return [path[:start] + pk + path[end:] for pk in ids_of(organisation, model)]
    if model_of(address) and not path.endswith("add/"):
        return [
            path,
            f"{path}?q=crm-ac",
            f"{path}?organisation={organisation.pk}",
            f"{path}?zone={ids_of(organisation, Zone)[0]}",
            f"{path}?shopper__external_id=x",
        ]
    return [path, f"{path}?s=crm-ac&q=Nort"] if path == "/admin/search/" else [path]


def relations() -> list[tuple[str, str, str]]:
    kinds = [apps.get_model(label) for label in MODELS]
    return [(kind._meta.app_label, kind._meta.model_name or "", field.name) for kind in kinds for field in kind._meta.get_fields() if field.many_to_one]


def everything() -> dict[str, tuple[int, str | None]]:
    """A fingerprint of each table, but of those that sessions and logging in write."""
    tables = sorted(set(connection.introspection.table_names()) - UNTOUCHED_BY_LOOKING)
    with connection.cursor() as cursor:
        found = {}
        for table in tables:
            cursor.execute(f'SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" AS t')
            found[table] = cursor.fetchone()
        return found


def with_key(token: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token}"})


def with_session(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def shown(response: HttpResponseBase) -> str:
    content = b"".join(response) if response.streaming else response.content
    return html.unescape(content.decode())


def leaked(response: HttpResponseBase, role: str = "") -> set[str]:
    """Marks in an answer."""
    told = shown(response)
    return {mark for mark in MARKS if mark in told and mark not in MAY_SEE.get(role, ())}


# --- Who sees nothing -----------------------------------------------------------------------------------------------------


@pytest.fixture
def strangers(world: Organisation, charlie: User, dora: User, acme_keys: dict[str, str], rival_keys: dict[str, str]) -> dict[str, Client]:
    """Everybody who must see nothing of Acme. Its own publishable and import keys are strangers to what is read, and Dora to all but her brand's figures."""
    return {
        "anonymous": Client(),
        "publishable": with_key(acme_keys["publishable"]),
        "import": with_key(acme_keys["import"]),
        "rival's secret": with_key(rival_keys["secret"]),
        "nobody's key": with_key("atr_sec_" + "x" * 43),
        "charlie": with_session(charlie),
        "dora": with_session(dora),
        "no member": with_session(User.objects.create_user("nemo")),
        "superuser": with_session(User.objects.create_superuser("root")),
    }


@pytest.mark.filterwarnings("ignore::django.core.paginator.UnorderedObjectListWarning")  # a list too long to be sorted
def test_a_stranger_sees_nothing_at_any_address(world: Organisation, strangers: dict[str, Client]) -> None:
    wrong = []
    for address, path in tried(world):
        for role, client in strangers.items():
            response = client.get(path)
            named = response.status_code == 200 and is_foreign(address, path) and not rightful(role, path)
            told = leaked(response, role) - ({"North Mall"} if role == "dora" and path.startswith("/api/v1/places") else set())  # where her store is
            if named or told or broken(response, path):
                wrong.append((role, path, response.status_code, told))
    assert not wrong, wrong


def tried(world: Organisation) -> Iterator[tuple[str, str]]:
    """Every address, and its paths."""
    for address in sorted(inventory()):
        for path in filled(address, world):
            yield address, path


def rightful(role: str, path: str) -> bool:
    """What one of the strangers may see after all."""
    brews = path.startswith("/api/v1/places") or (path.startswith("/api/v1/reports/") and ("zone=north-brew&" in path or "brand=brew&" in path))
    return (role == "superuser" and path.startswith(OPERATORS_OWN)) or (role == "dora" and brews)


def broken(response: HttpResponseBase, path: str) -> bool:
    return response.status_code >= 500 and path != "/healthz/ready"


def is_foreign(address: str, path: str) -> bool:
    """The path names a row of Acme, so that 200 would be wrong whatever is in it."""
    return ("<" in address and "(?P<" not in address) or "north-brew" in path or "north-page" in path or "brand=" in path or "organisation=acme" in path


def test_a_stranger_changes_nothing_at_any_address(world: Organisation, strangers: dict[str, Client]) -> None:
    before = everything()
    wrong = []
    for role in ("anonymous", "publishable", "rival's secret", "charlie", "dora", "superuser"):
        for address, path in tried(world):
            if address == "admin/logout/" or "?" in path or rightful(role, path):
                continue
            response = strangers[role].post(path, forged(world, address))
            if leaked(response, role) or broken(response, path):
                wrong.append((role, path, response.status_code, leaked(response, role)))
    assert not wrong, wrong
    ShopperList.objects.exclude(organisation=world).delete()  # Charlie's own: the form needs nothing but a name
    assert everything() == before


def test_a_stranger_erases_nobody(world: Organisation, strangers: dict[str, Client]) -> None:
    before = everything()
    for role, client in strangers.items():
        for address in ERASERS:
            for path in filled(address, world):
                response = client.delete(path)
                assert response.status_code in {401, 403, 404} and not leaked(response, role), (role, path)
    assert everything() == before


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_stranger_changes_nothing_that_has_a_key(world: Organisation, strangers: dict[str, Client], method: str) -> None:
    before = everything()
    for role, client in strangers.items():
        for address in KEYED:
            for path in filled(address, world):
                response = getattr(client, method)(path, '{"name": "stolen"}', content_type="application/json")
                assert response.status_code in {401, 403, 404, 405} and not leaked(response, role), (role, path)
    assert everything() == before


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_no_address_of_the_api_takes_a_change(world: Organisation, strangers: dict[str, Client], method: str) -> None:
    for address in READERS | WRITERS:
        for role, client in strangers.items():
            response = getattr(client, method)(f"/{address}")
            assert response.status_code in {401, 403, 405} and not leaked(response), role


def forged(world: Organisation, address: str) -> dict[str, Any]:
    """A form that would choose Acme, confirm a deletion, and run an action on Acme's rows."""
    model = model_of(address)
    picked = ids_of(world, model) if model else []
    return {"post": "yes", "organisation": world.pk, "action": "delete_selected", "_selected_action": picked, "key": "stolen", "name": "stolen"}


def test_choosing_a_foreign_organisation_changes_no_seat(world: Organisation, strangers: dict[str, Client]) -> None:
    for role in ("charlie", "no member", "dora", "superuser"):
        strangers[role].post("/admin/organisation/", {"organisation": world.pk})
        response = strangers[role].get("/admin/", follow=True)
        assert not leaked(response, role), role


def test_the_api_says_to_each_role_how_far_it_came(world: Organisation, strangers: dict[str, Client]) -> None:
    unknown, unfit, elsewhere = {"anonymous", "nobody's key"}, {"publishable", "import", "no member", "superuser"}, {"rival's secret", "charlie"}
    for path in ("stays", *(address.removeprefix("api/v1/") for address in sorted(REPORTED))):
        for roles, status in ((unknown, 401), (unfit, 403), (elsewhere, 404)):
            for role in roles:
                response = strangers[role].get(f"/api/v1/{path}?zone=north-brew&from=2026-01-01&to=2027-01-01")
                assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), role


def test_a_brands_member_is_refused_everything_but_figures(world: Organisation, strangers: dict[str, Client]) -> None:
    """By right, and not for want of rows: the same addresses show a row to Acme's other members."""
    dora = strangers["dora"]
    for label in MODELS:
        for path in filled(f"admin/{label.lower().replace('.', '/')}/", world)[:1] + filled(
            f"admin/{label.lower().replace('.', '/')}/<path:object_id>/change/", world
        ):
            assert dora.get(path).status_code in {403, 404}, path
    for path in ("/admin/live/", *filled("admin/live/<int:pk>/", world), *filled("admin/live/<int:pk>/now", world), "/admin/outcomes/"):
        assert dora.get(path).status_code == 403, path
    for path in ("stays", "stays?zone=north-brew", "status"):
        assert dora.get(f"/api/v1/{path}").status_code == 403, path
    for zone in ("north", "north-ground", "north-page", "north-door", "arcade"):
        assert dora.get(f"/api/v1/reports/footfall?zone={zone}&from=2026-01-01&to=2027-01-01").status_code in {403, 404}, zone


def test_a_strangers_own_pages_hold_his_own_rows(strangers: dict[str, Client]) -> None:
    """Otherwise the attacks above would prove nothing: the pages work, and show him what is his."""
    assert "Arcade" in shown(strangers["charlie"].get("/admin/live/", follow=True))
    assert [row["shopper"] for row in strangers["rival's secret"].get("/api/v1/stays").json()["results"]] == ["cy"]


# --- Who sees, and who may not change -------------------------------------------------------------------------------------


def test_members_see_at_every_address_that_strangers_were_refused(world: Organisation, alice: User) -> None:
    client = with_session(alice)
    for label in set(MODELS) - {"auth.User", "engagement.Organisation"} - {label for label in MODELS if label.startswith("operations.")}:
        address = f"admin/{label.lower().replace('.', '/')}/"
        assert leaked(client.get(f"/{address}", follow=True)), label
        response = client.get(filled(f"{address}<path:object_id>/change/", world)[0])
        assert response.status_code == 200 and leaked(response), label


def test_an_analyst_looks_and_changes_nothing(world: Organisation, bob: User) -> None:
    client = with_session(bob)
    before = everything()
    for address in sorted(inventory() - {"admin/logout/"}):
        for path in filled(address, world):
            if "?" not in path:
                assert not broken(client.post(path, forged(world, address)), path), path
    assert everything() == before
    assert Device.objects.get(key="install-acme-1")
    assert client.get("/api/v1/stays?zone=north-brew").status_code == 200
