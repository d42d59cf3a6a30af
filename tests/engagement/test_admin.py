"""The web admin shows members their organisation's rows, lets owners act, and says nothing to anybody else."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from analytics.models import Recut, Transition
from engagement import inbox, partitions, provisioning, set_aside, tenancy
from engagement.database import connect
from engagement.models import (
    ApiKey,
    Beacon,
    Brand,
    Device,
    Event,
    Inbox,
    Membership,
    Organisation,
    Role,
    SetAside,
    Shopper,
    Venue,
    Zone,
    ZoneVersion,
)
from tests.analytics import rows
from tests.cast import box

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

LISTS = (
    "engagement_shopper",
    "engagement_device",
    "engagement_venue",
    "engagement_zone",
    "engagement_beacon",
    "engagement_brand",
    "engagement_zoneversion",
    "engagement_apikey",
    "engagement_setaside",
    "analytics_stay",
    "analytics_transition",
    "analytics_recut",
)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_acme(alice: User) -> Client:
    return browser(alice)


@pytest.fixture
def analyst(bob: User) -> Client:
    return browser(bob)


@pytest.fixture
def stranger(charlie: User) -> Client:
    return browser(charlie)


def payload() -> bytes:
    records = inbox.fix(event_id=uuid4().bytes, at_us=1_790_000_000_000_000, lat=-26.107612, lon=28.056712, accuracy=12.0)
    records += inbox.sighting(event_id=uuid4().bytes, at_us=1_790_000_000_000_000, address=inbox.mac_address(bytes.fromhex("c4be84000001")), rssi=-71)
    records += inbox.transition(event_id=uuid4().bytes, at_us=1_790_000_000_000_000, direction=inbox.ENTER, extra=0)
    return inbox.pack(inbox.Row("install-77", "ios", "2.1", "crm-1", 0, records, ["north-brew"], [(3, "", "too_old")]))


def put_aside(organisation: Organisation, content: bytes | None = None) -> SetAside:
    return SetAside.objects.create(
        organisation=organisation, shard=7, received_at=NOW, events=3, payload=payload() if content is None else content, error="ValueError at fold.py:12"
    )


@pytest.fixture
def furnished(acme: Organisation) -> dict[str, Any]:
    """A row of each kind at Acme, by the model's name in addresses."""
    who = rows.shopper(acme, "crm-secret-person")
    gadget = rows.device(who, "secret-device")
    zone = Zone.objects.get(organisation=acme, key="north-brew")
    provisioning.provision({"organisation": {"key": "acme"}, "zones": [{"key": "north-brew", "exit_grace_s": 240}]})
    stay = rows.stay(who, zone, NOW)
    told = Transition.objects.create(
        organisation=acme, shard=0, shopper_id=who.pk, zone_id=zone.pk, kind=Transition.Kind.ENTERED, started=NOW, at=NOW, created_at=NOW
    )
    return {
        "engagement_shopper": who,
        "engagement_device": gadget,
        "engagement_venue": zone.venue,
        "engagement_zone": zone,
        "engagement_beacon": Beacon.objects.get(organisation=acme, key="b-brew"),
        "engagement_brand": Brand.objects.get(organisation=acme, key="brew"),
        "engagement_zoneversion": zone.versions.get(valid_to=None),
        "engagement_apikey": ApiKey.objects.get(organisation=acme, name="app"),
        "engagement_setaside": put_aside(acme),
        "analytics_stay": stay,
        "analytics_transition": told,
        "analytics_recut": Recut.objects.create(organisation=acme, reason="provisioned brew"),
    }


@pytest.mark.parametrize("name", LISTS)
def test_members_see_each_list_and_page(name: str, furnished: dict[str, Any], at_acme: Client, analyst: Client) -> None:
    for client in (at_acme, analyst):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
        assert client.get(reverse(f"admin:{name}_change", args=[furnished[name].pk])).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_a_stranger_finds_nothing_of_them(name: str, furnished: dict[str, Any], stranger: Client) -> None:
    listed = stranger.get(reverse(f"admin:{name}_changelist")).content.decode()
    assert f"/{furnished[name].pk}/change/" not in listed or name in {"engagement_zone", "engagement_venue"}
    assert "secret-device" not in listed and "crm-secret" not in listed
    for view in ("change", "delete", "history"):
        seen = stranger.get(reverse(f"admin:{name}_{view}", args=[furnished[name].pk]))
        assert seen.status_code in {403, 404}
        assert "secret-device" not in seen.content.decode() and "crm-secret" not in seen.content.decode()


def test_a_strangers_row_is_answered_as_one_that_never_was(furnished: dict[str, Any], stranger: Client) -> None:
    foreign = stranger.get(reverse("admin:engagement_zone_change", args=[furnished["engagement_zone"].pk]))
    missing = stranger.get(reverse("admin:engagement_zone_change", args=[999_999_999]))
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content


def test_a_strangers_number_in_a_filter_finds_nothing(furnished: dict[str, Any], stranger: Client) -> None:
    zone = furnished["engagement_zone"]
    listed = stranger.get(reverse("admin:analytics_stay_changelist"), {"zone": zone.pk}).content.decode()
    assert "crm-secret" not in listed and zone.name not in listed


@pytest.mark.parametrize("name", LISTS)
def test_nobody_deletes_and_analysts_change_nothing(name: str, furnished: dict[str, Any], at_acme: Client, analyst: Client) -> None:
    assert at_acme.post(reverse(f"admin:{name}_delete", args=[furnished[name].pk]), {"post": "yes"}).status_code == 403
    assert analyst.post(reverse(f"admin:{name}_change", args=[furnished[name].pk]), {"name": "Other"}).status_code == 403
    assert analyst.get(reverse(f"admin:{name}_add")).status_code == 403


def test_who_is_not_logged_in_is_sent_to_the_login(furnished: dict[str, Any]) -> None:
    for name in (*[f"admin:{name}_changelist" for name in LISTS], "live", "outcomes", "admin:choose_organisation"):
        answer = Client().get(reverse(name))
        assert answer.status_code == 302 and answer.headers["Location"].startswith("/admin/login/")


def test_a_member_without_the_staff_mark_logs_in_and_others_do_not(alice: User, db: None) -> None:
    login = reverse("admin:login")
    assert Client().post(login, {"username": "alice", "password": "correct horse battery"}).headers["Location"] == "/admin/"
    User.objects.create_user("nobody", password="correct horse battery", is_staff=True)
    refused = Client().post(login, {"username": "nobody", "password": "correct horse battery"})
    assert refused.status_code == 200 and "belongs to no organisation" in refused.content.decode()
    wrong = Client().post(login, {"username": "alice", "password": "wrong"})
    assert "The username or the password is wrong" in wrong.content.decode()


def test_a_membership_withdrawn_counts_at_once(at_acme: Client, alice: User) -> None:
    Membership.objects.filter(user=alice).delete()
    assert at_acme.get(reverse("admin:engagement_shopper_changelist")).status_code == 302


def test_a_superuser_manages_users_and_sees_no_tenant(furnished: dict[str, Any], db: None) -> None:
    root = browser(User.objects.create_superuser("root", password="x"))
    arrived = root.get(reverse("admin:index"), follow=True)
    assert arrived.redirect_chain[-1][0] == reverse("admin:engagement_organisation_changelist")
    assert "add yourself as a member" in arrived.content.decode()
    for name in LISTS:
        assert root.get(reverse(f"admin:{name}_changelist")).status_code == 403
    assert root.get(reverse("live")).status_code == 403


def test_members_reach_neither_users_nor_organisations(at_acme: Client) -> None:
    for name in ("auth_user", "engagement_organisation"):
        assert at_acme.get(reverse(f"admin:{name}_changelist")).status_code == 403
    assert at_acme.get(reverse("admin:autocomplete"), {"app_label": "engagement", "model_name": "membership", "field_name": "user"}).status_code == 403


def test_who_has_two_memberships_changes_seats(alice: User, rival: Organisation, at_acme: Client) -> None:
    Membership.objects.create(user=alice, organisation=rival, role=Role.ANALYST)
    assert "North Mall" in at_acme.get(reverse("admin:engagement_venue_changelist")).content.decode()
    at_acme.post(reverse("admin:choose_organisation"), {"organisation": rival.pk})
    listed = at_acme.get(reverse("admin:engagement_venue_changelist")).content.decode()
    assert "Arcade" in listed and "North Mall" not in listed
    # An analyst there, though an owner at home.
    assert at_acme.get(reverse("admin:engagement_apikey_add")).status_code == 403


def test_nobody_takes_a_seat_in_an_organisation_of_others(at_acme: Client, rival: Organisation) -> None:
    at_acme.post(reverse("admin:choose_organisation"), {"organisation": rival.pk})
    assert "North Mall" in at_acme.get(reverse("admin:engagement_venue_changelist")).content.decode()


def test_a_key_is_shown_once_and_works(at_acme: Client, acme: Organisation) -> None:
    shown = at_acme.post(reverse("admin:engagement_apikey_add"), {"name": "till", "kind": "secret"})
    [token] = re.findall(r"atr_sec_[\w-]+", shown.content.decode())
    assert "no-store" in shown.headers["Cache-Control"]
    key = tenancy.find_key(token)
    assert key is not None and key.organisation == acme and key.name == "till"
    for name, arguments in (("changelist", []), ("change", [key.pk])):
        assert token not in at_acme.get(reverse(f"admin:engagement_apikey_{name}", args=arguments)).content.decode()


def test_a_second_key_of_one_name_is_refused_in_words(at_acme: Client) -> None:
    answer = at_acme.post(reverse("admin:engagement_apikey_add"), {"name": "app", "kind": "secret"})
    assert answer.status_code == 200 and "There is a key of this name" in answer.content.decode()


def test_revoking_says_what_it_does_before_it_does_it(at_acme: Client, analyst: Client, stranger: Client, acme: Organisation) -> None:
    key = ApiKey.objects.get(organisation=acme, name="app")
    address = reverse("admin:engagement_apikey_revoke", args=[key.pk])
    assert analyst.post(address).status_code == 403
    assert stranger.post(address).status_code == 404
    assert "every request with this key is refused" in at_acme.get(address).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
    at_acme.post(address)
    key.refresh_from_db()
    assert key.revoked_at is not None


def zone_form(zone: Zone, **changes: Any) -> dict[str, Any]:
    version = ZoneVersion.objects.get(zone=zone, valid_to=None)
    kept = {name: getattr(version, name) for name in ("exit_grace_s", "min_stay_s", "max_accuracy_m", "enter_rssi", "hold_rssi")}
    return {"name": zone.name, **kept, "boundary": "" if version.boundary is None else json.dumps(version.boundary), **changes}


def test_new_thresholds_become_a_version_and_the_old_one_stays(at_acme: Client, acme: Organisation) -> None:
    zone = Zone.objects.get(organisation=acme, key="north-brew")
    revision = acme.places_revision
    answer = at_acme.post(reverse("admin:engagement_zone_change", args=[zone.pk]), zone_form(zone, exit_grace_s=300, name="Brew Bar"))
    assert answer.status_code == 302
    old, new = zone.versions.order_by("valid_from")
    assert (old.exit_grace_s, new.exit_grace_s) == (120, 300)
    assert old.valid_to == new.valid_from and new.boundary == old.boundary
    acme.refresh_from_db()
    zone.refresh_from_db()
    assert acme.places_revision > revision and zone.name == "Brew Bar"
    changed = at_acme.get(reverse("admin:engagement_zoneversion_changelist")).content.decode()
    assert "exit_grace_s 120 → 300" in changed


def test_a_venues_boundary_is_changed_through_its_root_zone(at_acme: Client, north: Venue) -> None:
    root = Zone.objects.get(venue=north, kind="venue")
    wider = json.dumps(box(-120, -120, 120, 120))
    assert at_acme.post(reverse("admin:engagement_zone_change", args=[root.pk]), zone_form(root, boundary=wider)).status_code == 302
    assert root.versions.count() == 2


def test_a_wrong_boundary_is_refused_beside_its_field(at_acme: Client, acme: Organisation) -> None:
    zone = Zone.objects.get(organisation=acme, key="north-brew")
    bow_tie = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}'
    answer = at_acme.post(reverse("admin:engagement_zone_change", args=[zone.pk]), zone_form(zone, boundary=bow_tie))
    assert answer.status_code == 200 and "crosses itself" in answer.content.decode()
    assert zone.versions.count() == 1


def test_owners_rename_venues_and_brands(at_acme: Client, north: Venue, acme: Organisation) -> None:
    at_acme.post(reverse("admin:engagement_venue_change", args=[north.pk]), {"name": "North Gate", "time_zone": "Africa/Johannesburg"})
    brand = Brand.objects.get(organisation=acme, key="brew")
    at_acme.post(reverse("admin:engagement_brand_change", args=[brand.pk]), {"name": "Brewers"})
    north.refresh_from_db()
    brand.refresh_from_db()
    assert (north.name, brand.name) == ("North Gate", "Brewers")


def test_a_time_zone_that_is_none_is_refused_in_words(at_acme: Client, north: Venue) -> None:
    answer = at_acme.post(reverse("admin:engagement_venue_change", args=[north.pk]), {"name": "North", "time_zone": "Mars/Olympus"})
    assert answer.status_code == 200 and "Please correct the error" in answer.content.decode()


def test_replay_puts_a_request_back_once(acme: Organisation) -> None:
    row = put_aside(acme)
    assert set_aside.replay(organisation=acme, ids=[row.pk]) == (1, 3)
    assert set_aside.replay(organisation=acme, ids=[row.pk]) == (0, 0)
    back = Inbox.objects.get()
    assert (back.organisation_id, back.shard, back.received_at, back.events, bytes(back.payload)) == (acme.pk, 7, NOW, 3, bytes(row.payload))
    row.refresh_from_db()
    assert row.replayed_at is not None


def test_nobody_replays_the_rows_of_others(acme: Organisation, rival: Organisation) -> None:
    row = put_aside(acme)
    assert set_aside.replay(organisation=rival, ids=[row.pk]) == (0, 0)
    assert not Inbox.objects.exists()


def test_owners_replay_from_the_page_and_from_the_list(at_acme: Client, analyst: Client, stranger: Client, acme: Organisation) -> None:
    one, other = put_aside(acme), put_aside(acme)
    address = reverse("admin:engagement_setaside_replay", args=[one.pk])
    assert analyst.post(address).status_code == 403
    assert stranger.post(address).status_code == 404
    assert at_acme.get(address).status_code == 405
    assert not Inbox.objects.exists()
    at_acme.post(address)
    choice = {"action": "replay", "_selected_action": [str(one.pk), str(other.pk)]}
    analyst.post(reverse("admin:engagement_setaside_changelist"), choice)
    assert Inbox.objects.count() == 1
    said = at_acme.post(reverse("admin:engagement_setaside_changelist"), choice, follow=True).content.decode()
    assert Inbox.objects.count() == 2
    assert "1 request is back in the inbox" in said


def test_what_was_set_aside_can_be_read_without_anybodys_exact_place(at_acme: Client, acme: Organisation) -> None:
    page = at_acme.get(reverse("admin:engagement_setaside_change", args=[put_aside(acme).pk])).content.decode()
    assert "-26.108, 28.057" in page and "-26.1076" not in page
    assert "mac c4:be:84:00:00:01, -71 dBm" in page and "enter north-brew" in page and "too_old" in page


@pytest.mark.parametrize("content", [b"", b"\xc1", b"no request", inbox.pack(inbox.Row("d", "", "", None, 0, b"short", [], []))])
def test_bytes_that_are_no_request_are_said_to_be_none(content: bytes, at_acme: Client, acme: Organisation) -> None:
    page = at_acme.get(reverse("admin:engagement_setaside_change", args=[put_aside(acme, content).pk]))
    assert page.status_code == 200 and "cannot be read as a request" in page.content.decode()


def test_a_devices_page_shows_the_events_of_a_day_and_of_nobody_else(at_acme: Client, acme: Organisation, rival: Organisation) -> None:
    with connect(application_name="partitions") as connection:
        partitions.ensure(connection, first=NOW.date(), last=NOW.date())
    gadget = rows.device(rows.shopper(acme, "ann"), "phone")
    Device.objects.filter(pk=gadget.pk).update(days=[(NOW.date() - date(1970, 1, 1)).days])
    common: dict[str, Any] = {
        "day": NOW.date(),
        "device_id": gadget.pk,
        "kind": inbox.FIX,
        "at": NOW,
        "occurred_at": NOW,
        "received_at": NOW + timedelta(minutes=9),
    }
    Event.objects.create(organisation=acme, event_id=uuid4(), lat=-26.107612, lon=28.056712, accuracy=7.0, **common)
    Event.objects.create(organisation=rival, event_id=uuid4(), lat=50.0, lon=10.0, accuracy=7.0, **common)
    page = at_acme.get(reverse("admin:engagement_device_change", args=[gadget.pk])).content.decode()
    assert "-26.108, 28.057 ± 7 m" in page and "50.000" not in page and "9 min" in page
    assert "14:00:00 SAST" in page  # Johannesburg's clock
    empty = at_acme.get(reverse("admin:engagement_device_change", args=[gadget.pk]), {"day": "2026-11-19"}).content.decode()
    assert "No event of this device on this day" in empty
    assert at_acme.get(reverse("admin:engagement_device_change", args=[gadget.pk]), {"day": "2026-13-45"}).status_code == 200


def test_shoppers_are_found_by_their_whole_id(at_acme: Client, acme: Organisation) -> None:
    for name in ("ann", "anna"):
        rows.shopper(acme, name)
    rows.shopper(acme, device="tablet-1")
    listed = reverse("admin:engagement_shopper_changelist")
    assert {row.external_id for row in at_acme.get(listed).context["cl"].result_list} == {"ann", "anna"}
    assert [row.external_id for row in at_acme.get(listed, {"q": "ann"}).context["cl"].result_list] == ["ann"]
    assert [row.device_key for row in at_acme.get(listed, {"q": "tablet-1"}).context["cl"].result_list] == ["tablet-1"]
    assert [row.device_key for row in at_acme.get(listed, {"known": "no"}).context["cl"].result_list] == ["tablet-1"]


@pytest.mark.parametrize("name", ["engagement_shopper", "engagement_device", "engagement_setaside", "analytics_stay", "analytics_transition"])
def test_machine_made_tables_are_never_counted(name: str, furnished: dict[str, Any], at_acme: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(20) as seen:
        at_acme.get(reverse(f"admin:{name}_changelist"))
    table = name.replace("engagement_", '"engagement_').replace("analytics_", '"analytics_') + '"'
    # The badge counts what is set aside, to a hundred: its COUNT has a LIMIT inside.
    counts = [query["sql"] for query in seen.captured_queries if "COUNT(" in query["sql"] and table in query["sql"] and "LIMIT" not in query["sql"]]
    assert counts == []


def test_every_page_forbids_content_of_other_hosts(at_acme: Client) -> None:
    policy = at_acme.get(reverse("admin:engagement_venue_changelist")).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy


def test_names_are_text_and_never_markup(at_acme: Client, acme: Organisation) -> None:
    evil = "<img src=x onerror=alert(1)>"
    who = Shopper.objects.create(organisation=acme, shard=0, external_id=evil)
    rows.device(who, "</script>" + evil)
    Zone.objects.filter(organisation=acme, key="north-brew").update(name=evil)
    rows.stay(who, Zone.objects.get(organisation=acme, key="north-brew"), NOW)
    for address in (
        reverse("admin:engagement_shopper_changelist"),
        reverse("admin:engagement_shopper_change", args=[who.pk]),
        reverse("admin:engagement_device_changelist"),
        reverse("admin:analytics_stay_changelist"),
        reverse("admin:engagement_venue_change", args=[Venue.objects.get(organisation=acme).pk]),
        reverse("live_venue", args=[Venue.objects.get(organisation=acme).pk]),
    ):
        assert evil not in at_acme.get(address).content.decode()
