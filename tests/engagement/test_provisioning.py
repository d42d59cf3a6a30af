"""The provision file applied: what is made, what changes, and which versions that leaves."""

import copy
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from engagement import database, provisioning, tenancy
from engagement.inbox import describe_address
from engagement.models import ApiKey, Beacon, BeaconPlacement, Brand, Device, Organisation, PlacesChange, Shopper, Venue, Zone, ZoneVersion
from tests import cast

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
THE_WHOLE_FILE = 1 + 2 + 1 + 6 + 3 + 3  # organisation, brands, venue, zones with the root, beacons, keys


def update(**sections: Any) -> dict[str, Any]:
    return {"organisation": {"key": "acme"}, **sections}


def change_zone(key: str = "north-brew", now: datetime = NOON, **fields: Any) -> provisioning.Report:
    return provisioning.provision(update(zones=[{"key": key, **fields}]), now=now)


def current(key: str) -> ZoneVersion:
    return ZoneVersion.objects.select_related("parent", "zone").get(zone__key=key, valid_to=None)


def spans(key: str) -> list[tuple[datetime, datetime | None]]:
    return list(ZoneVersion.objects.filter(zone__key=key).order_by("valid_from").values_list("valid_from", "valid_to"))


def revision(organisation: Organisation) -> int:
    return Organisation.objects.values_list("places_revision", flat=True).get(pk=organisation.pk)


def counts() -> list[int]:
    return [model.objects.count() for model in (Organisation, Brand, Venue, Zone, ZoneVersion, Beacon, BeaconPlacement, ApiKey, PlacesChange)]


def test_a_file_makes_everything_it_names(acme: Organisation) -> None:
    root, brew = current("north"), current("north-brew")
    assert (root.zone.kind, root.parent, root.zone.venue.time_zone) == ("venue", None, "Africa/Johannesburg")
    assert brew.parent and brew.parent.key == "north-ground"
    assert brew.zone.brand and brew.zone.brand.name == "Brew & Co"
    assert current("north-door").parent == root.zone
    addresses = {beacon.key: describe_address(bytes(beacon.address)) for beacon in Beacon.objects.filter(organisation=acme)}
    assert addresses == {
        "b-brew": "ibeacon f7826da6-4fa2-4e98-8024-bc5b71e0893e 1 7",
        "b-page": "eddystone edd1ebeac04e5defa017 0123456789ab",
        "b-door": "mac c4:be:84:00:00:01",
    }
    assert revision(acme) == 1


def test_a_zone_without_a_threshold_takes_the_default_of_its_kind(db: None) -> None:
    document = cast.acme_file()
    document["zones"].append({"key": "north-food", "venue": "north", "name": "Food", "kind": "area", "boundary": None, "exit_grace_s": None})
    provisioning.provision(document)
    rows = ZoneVersion.objects.values_list("zone__kind", "exit_grace_s", "min_stay_s", "max_accuracy_m", "enter_rssi", "hold_rssi").distinct()
    assert set(rows) == {
        ("venue", 900, 300, 100, -85, -95),
        ("floor", 120, 30, 50, -85, -95),
        ("store", 120, 120, 50, -85, -95),
        ("entrance", 120, 30, 50, -85, -95),
        ("area", 60, 30, 50, -85, -95),
        ("street", 60, 0, 50, -85, -95),
    }


def test_thresholds_that_are_given_are_kept_also_zero_ones(db: None) -> None:
    document = cast.acme_file()
    document["venues"][0] |= {"exit_grace_s": 1800, "min_stay_s": 0, "max_accuracy_m": 12.5, "enter_rssi": -60, "hold_rssi": -60}
    provisioning.provision(document)
    root = current("north")
    assert (root.exit_grace_s, root.min_stay_s, root.max_accuracy_m, root.enter_rssi, root.hold_rssi) == (1800, 0, 12.5, -60, -60)


def test_the_first_versions_are_valid_from_the_beginning(acme: Organisation) -> None:
    assert set(ZoneVersion.objects.values_list("valid_from", "valid_to")) == {(BEGINNING, None)}
    assert set(BeaconPlacement.objects.values_list("valid_from", "valid_to")) == {(BEGINNING, None)}


def test_programs_without_the_orm_can_read_the_beginning(db: None) -> None:
    """Also where the database's own time zone lies west of Greenwich."""
    ours = sql.Identifier(connection.settings_dict["NAME"])
    with database.connect(application_name="test time zone") as plain:
        plain.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'America/New_York'").format(ours))
        try:
            with database.connect(application_name="test beginning") as other:
                assert other.execute("SELECT '0001-01-01T00:00:00Z'::timestamptz").fetchone() == (BEGINNING,)
        finally:
            plain.execute(sql.SQL("ALTER DATABASE {} RESET timezone").format(ours))


def test_the_same_file_again_changes_nothing(acme: Organisation) -> None:
    before = counts()
    report = provisioning.provision(cast.acme_file())
    assert (report.created, report.changed, report.unchanged, report.keys, report.lines) == (0, 0, THE_WHOLE_FILE, {}, [])
    assert (counts(), revision(acme)) == (before, 1)


def test_the_example_of_the_contract_is_taken_as_it_stands(db: None) -> None:
    """Its boundary has no coordinates, which is a boundary of null."""
    document = cast.acme_file()
    document["venues"][0]["boundary"] = {"type": "Polygon", "coordinates": []}
    provisioning.provision(document)
    assert current("north").boundary is None


def test_what_a_file_does_not_mention_is_left_alone(acme: Organisation) -> None:
    before = counts()
    report = change_zone(name="Brew Bar")
    assert (report.created, report.changed, report.unchanged) == (0, 1, 1)
    assert report.lines == ["change zone north-brew: name Brew -> Brew Bar"]
    assert counts() == before
    assert Zone.objects.get(key="north-brew").name == "Brew Bar"


@pytest.mark.parametrize("fields", [{"name": "Other"}, {"brand": "page"}, {"brand": None}, {"kind": "store", "name": "Other"}])
def test_a_name_a_brand_or_a_kind_makes_no_version(acme: Organisation, fields: dict[str, Any]) -> None:
    change_zone(**fields)
    assert spans("north-brew") == [(BEGINNING, None)]
    assert revision(acme) == 2


def test_a_kind_makes_no_version_where_the_thresholds_are_given(db: None) -> None:
    given = {"exit_grace_s": 77, "min_stay_s": 7, "enter_rssi": -70, "hold_rssi": -80, "max_accuracy_m": 20}
    document = cast.acme_file()
    document["zones"][3] |= given
    provisioning.provision(document)
    change_zone("north-door", kind="area")
    assert spans("north-door") == [(BEGINNING, None)]


def test_a_threshold_nobody_gave_follows_the_kind(acme: Organisation) -> None:
    change_zone("north-door", kind="area", min_stay_s=77)
    version = current("north-door")
    assert (version.exit_grace_s, version.min_stay_s) == (60, 77)
    assert spans("north-door") == [(BEGINNING, NOON), (NOON, None)]


@pytest.mark.parametrize(
    "fields",
    [
        {"boundary": cast.box(0, 0, 5, 5)},
        {"boundary": None},
        {"exit_grace_s": 61},
        {"min_stay_s": 61},
        {"enter_rssi": -84},
        {"hold_rssi": -94},
        {"max_accuracy_m": 51},
        {"parent": None},
        {"floor": 1},
        {"floor": None},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_decides_observations_makes_a_version(acme: Organisation, fields: dict[str, Any]) -> None:
    change_zone(**fields)
    assert spans("north-brew") == [(BEGINNING, NOON), (NOON, None)]
    (name, value), *_ = fields.items()
    found = getattr(current("north-brew"), name)
    assert (found.key if name == "parent" else found) == ("north" if name == "parent" else value)
    assert revision(acme) == 2


def test_a_venue_speaks_for_its_root_zone(acme: Organisation) -> None:
    provisioning.provision(update(venues=[{"key": "north", "name": "North", "time_zone": "Africa/Maseru", "exit_grace_s": 600}]), now=NOON)
    assert (Zone.objects.get(key="north").name, Venue.objects.get(key="north").time_zone) == ("North", "Africa/Maseru")
    assert spans("north") == [(BEGINNING, NOON), (NOON, None)]


def test_null_takes_a_threshold_back_to_its_default(acme: Organisation) -> None:
    change_zone(min_stay_s=7)
    change_zone(min_stay_s=None, now=NOON + timedelta(hours=1))
    assert current("north-brew").min_stay_s == 120


def test_two_changes_at_one_instant_leave_no_empty_version(acme: Organisation) -> None:
    change_zone(min_stay_s=7)
    change_zone(min_stay_s=8)
    assert spans("north-brew") == [(BEGINNING, NOON), (NOON, None)]
    assert current("north-brew").min_stay_s == 8


def test_a_clock_that_goes_backwards_leaves_no_version_that_ends_before_it_begins(acme: Organisation) -> None:
    change_zone(min_stay_s=7)
    change_zone(min_stay_s=8, now=NOON - timedelta(hours=1))
    assert spans("north-brew") == [(BEGINNING, NOON), (NOON, None)]
    assert current("north-brew").min_stay_s == 8


def test_a_moved_beacon_keeps_its_past(acme: Organisation) -> None:
    for now in (NOON, NOON):
        provisioning.provision(update(beacons=[{"key": "b-brew", "zone": "north-page"}]), now=now)
    provisioning.provision(update(beacons=[{"key": "b-brew", "zone": "north"}]), now=NOON)
    rows = BeaconPlacement.objects.filter(beacon__key="b-brew").order_by("valid_from").values_list("zone__key", "valid_from", "valid_to")
    assert list(rows) == [("north-brew", BEGINNING, NOON), ("north", NOON, None)]


def test_an_address_written_otherwise_is_the_same_address(acme: Organisation) -> None:
    shout = {name: value.upper() if isinstance(value, str) else value for name, value in cast.IBEACON.items()}
    beacons = [{"key": "b-brew", "ibeacon": shout}, {"key": "b-door", "mac": "C4-BE-84-00-00-01"}]
    assert provisioning.provision(update(beacons=beacons)).changed == 0


def test_an_organisation_may_use_the_keys_and_addresses_of_another(acme: Organisation, rival: Organisation) -> None:
    document = cast.acme_file() | {"organisation": {"key": "third", "name": "Third"}}
    assert provisioning.provision(document).created == THE_WHOLE_FILE
    assert (revision(acme), revision(rival)) == (1, 1)


def test_a_stranger_cannot_be_reached_through_a_reference(acme: Organisation, rival: Organisation) -> None:
    with pytest.raises(provisioning.Refused) as refused:
        change_zone(parent="arcade", brand="arcade-brand")
    assert [fault.place for fault in refused.value.faults] == ["zones[0].brand", "zones[0].parent"]


class TestAskingForARecut:
    """Places that change under events ask the stream to judge those events again."""

    def test_a_new_organisation_has_nothing_to_judge_again(self, acme: Organisation) -> None:
        assert not PlacesChange.objects.exists()

    def test_a_new_zone_or_beacon_reaches_back_to_the_beginning(self, acme: Organisation) -> None:
        provisioning.provision(update(zones=[{"key": "new", "venue": "north", "name": "New", "kind": "area"}]))
        provisioning.provision(update(beacons=[{"key": "new", "zone": "north", "mac": "c4:be:84:00:00:02"}]))
        assert list(PlacesChange.objects.values_list("organisation", "since", "reason")) == [(acme.pk, None, "provisioned new")] * 2

    def test_a_new_version_reaches_back_to_its_beginning(self, acme: Organisation) -> None:
        change_zone(min_stay_s=7)
        assert list(PlacesChange.objects.values_list("since", flat=True)) == [NOON]

    def test_several_changes_ask_once_from_the_earliest(self, acme: Organisation) -> None:
        zones = [{"key": "north-brew", "min_stay_s": 7}, *({"key": f"n{i}", "venue": "north", "name": "N", "kind": "area"} for i in range(4))]
        provisioning.provision(update(zones=zones))
        assert list(PlacesChange.objects.values_list("since", "reason")) == [(None, "provisioned north-brew, n0, n1 and 2 more")]

    def test_a_name_asks_for_nothing(self, acme: Organisation) -> None:
        change_zone(name="Other")
        assert not PlacesChange.objects.exists()

    def test_without_a_key_for_the_door_there_are_no_events(self, db: None) -> None:
        provisioning.provision(cast.acme_file() | {"keys": [{"name": "ops", "kind": "secret"}]})
        change_zone(min_stay_s=7)
        assert not PlacesChange.objects.exists()

    def test_devices_that_are_there_have_events_also_without_a_key(self, db: None) -> None:
        provisioning.provision(cast.acme_file() | {"keys": []})
        acme = Organisation.objects.get()
        owner = Shopper.objects.create(organisation=acme, shard=0, device_key="phone")
        Device.objects.create(organisation=acme, key="phone", owner=owner)
        change_zone(min_stay_s=7)
        assert list(PlacesChange.objects.values_list("since", flat=True)) == [NOON]


def test_tokens_are_told_once_and_work(acme: Organisation, acme_keys: dict[str, str]) -> None:
    again = provisioning.provision(update(keys=[{"name": "app", "kind": "publishable"}, {"name": "second", "kind": "publishable"}]))
    assert list(again.keys) == ["second"]
    for kind, token in acme_keys.items():
        key = tenancy.find_key(token)
        assert key is not None
        assert (key.kind, key.organisation) == (kind, acme)


def test_a_dry_run_tells_the_difference_and_changes_nothing(acme: Organisation) -> None:
    before = counts(), revision(acme)
    document = update(zones=[{"key": "north-brew", "min_stay_s": 7}], keys=[{"name": "more", "kind": "secret"}])
    report = provisioning.provision(document, dry_run=True)
    assert (report.created, report.changed, report.keys) == (1, 1, {})
    assert report.lines == ["change zone north-brew: min_stay_s 120 -> 7", "create key more (secret)"]
    assert (counts(), revision(acme)) == before


def test_a_dry_run_of_a_new_organisation_makes_none(db: None) -> None:
    assert provisioning.provision(cast.acme_file(), dry_run=True).created == THE_WHOLE_FILE
    assert not Organisation.objects.exists()


def test_a_refused_file_changes_nothing_not_even_its_good_parts(acme: Organisation) -> None:
    before = counts(), revision(acme)
    document = update(zones=[{"key": "north-brew", "name": "Other"}, {"key": "x", "venue": "nowhere", "name": "X", "kind": "area"}])
    with pytest.raises(provisioning.Refused):
        provisioning.provision(document)
    assert (counts(), revision(acme)) == before
    assert Zone.objects.get(key="north-brew").name == "Brew"


@pytest.mark.django_db(transaction=True)
def test_one_organisation_is_provisioned_one_file_at_a_time() -> None:
    """Two first files at once: one makes, the other finds. Without the lock the second breaks on a unique key."""
    barrier = threading.Barrier(3)

    def run(_number: int) -> int:
        try:
            barrier.wait()
            return provisioning.provision(cast.acme_file()).created
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        created = sorted(pool.map(run, range(3)))
    assert created == [0, 0, THE_WHOLE_FILE]
    assert Organisation.objects.get().places_revision == 1


def large_file(zones: int) -> dict[str, Any]:
    document = cast.acme_file()
    document["zones"] = [
        {
            "key": f"z{i}",
            "venue": "north",
            "parent": f"z{i - i % 50}" if i % 50 else None,
            "name": f"Z {i}",
            "kind": "area",
            "boundary": cast.box(i, 0, i + 1, 1),
        }
        for i in range(zones)
    ]
    document["beacons"] = [{"key": f"b{i}", "zone": f"z{i}", "ibeacon": {**cast.IBEACON, "major": i}} for i in range(zones)]
    return document


def test_the_number_of_statements_does_not_grow_with_the_file(db: None) -> None:
    def statements(document: dict[str, Any]) -> int:
        with CaptureQueriesContext(connection) as seen:
            provisioning.provision(document)
        return len(seen)

    few, many = large_file(5), large_file(500)
    many["organisation"] = {"key": "large", "name": "Large"}
    assert statements(few) == statements(many) <= 30
    for zone in (*few["zones"], *many["zones"]):
        zone |= {"min_stay_s": 1, "name": "Other"}
    assert statements(few) == statements(many) <= 30


class TestTheCommand:
    @staticmethod
    def run(tmp_path: Path, document: Any, *options: str) -> tuple[dict[str, Any], str]:
        path = tmp_path / "places.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        out, err = io.StringIO(), io.StringIO()
        call_command("provision", str(path), *options, stdout=out, stderr=err, no_color=True)
        return json.loads(out.getvalue()), err.getvalue()

    def test_it_prints_one_object_with_the_tokens_and_the_difference_beside_it(self, db: None, tmp_path: Path) -> None:
        told, difference = self.run(tmp_path, cast.acme_file())
        assert {name: told[name] for name in ("organisation", "dry_run", "created", "changed", "unchanged")} == {
            "organisation": "acme",
            "dry_run": False,
            "created": THE_WHOLE_FILE,
            "changed": 0,
            "unchanged": 0,
        }
        assert set(told["keys"]) == {"app", "ops", "history"}
        assert "create zone north-brew (store) in north-ground: Brew\n" in difference
        assert "create beacon b-door in north-door: mac c4:be:84:00:00:01\n" in difference
        assert not any(token in difference for token in told["keys"].values())

    def test_told_again_it_does_nothing(self, db: None, tmp_path: Path) -> None:
        self.run(tmp_path, cast.acme_file())
        assert self.run(tmp_path, cast.acme_file()) == (
            {"organisation": "acme", "dry_run": False, "created": 0, "changed": 0, "unchanged": THE_WHOLE_FILE, "keys": {}},
            "",
        )

    def test_a_dry_run_prints_and_makes_nothing(self, db: None, tmp_path: Path) -> None:
        told, difference = self.run(tmp_path, cast.acme_file(), "--dry-run")
        assert (told["dry_run"], told["keys"], "create organisation acme: Acme Malls\n" in difference) == (True, {}, True)
        assert not Organisation.objects.exists()

    def test_a_refused_file_is_an_error_that_names_each_fault(self, db: None, tmp_path: Path) -> None:
        document = copy.deepcopy(cast.acme_file())
        document["zones"][1]["parent"] = "nowhere"
        document["venues"][0]["time_zone"] = "Mars"
        with pytest.raises(CommandError) as error:
            self.run(tmp_path, document)
        assert error.value.returncode == 1
        assert str(error.value).splitlines() == [
            "Nothing was changed. The file has 2 faults:",
            "  venues[0].time_zone: This is not a time zone of the IANA list, such as Africa/Johannesburg.",
            "  zones[1].parent: There is no zone nowhere.",
        ]

    def test_a_missing_file_is_said_in_a_sentence(self, db: None) -> None:
        with pytest.raises(CommandError, match="cannot be read: No such file"):
            call_command("provision", "/nowhere/places.json")
