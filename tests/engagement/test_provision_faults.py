"""Everything that a provision file can say wrongly, and the place and sentence that the writer of the file gets."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import shapely

from engagement import provisioning
from engagement.models import Organisation
from engagement.provisioning.boundary import boundary
from engagement.provisioning.faults import Wrong
from tests import cast

Change = Callable[[dict[str, Any]], Any]
SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def faults_of(document: Any) -> dict[str, str]:
    with pytest.raises(provisioning.Refused) as refused:
        provisioning.provision(document)
    told = {fault.place: fault.message for fault in refused.value.faults}
    assert len(told) == len(refused.value.faults), "No place is told twice."
    return told


def set_in(section: str, index: int, **fields: Any) -> Change:
    return lambda document: document[section][index].update(fields)


def drop_from(section: str, index: int, name: str) -> Change:
    return lambda document: document[section][index].pop(name)


def add_to(section: str, item: Any) -> Change:
    return lambda document: document[section].append(item)


def zone(**fields: Any) -> dict[str, Any]:
    return {"key": "new", "venue": "north", "name": "New", "kind": "area", **fields}


SINGLE: list[tuple[Change, str, str]] = [
    # Sections and items.
    (lambda document: document.pop("organisation"), "organisation", "must be an object"),
    (lambda document: document.update(organisation=[]), "organisation", "must be an object"),
    (lambda document: document.update(organisation={}), "organisation.key", "missing"),
    (lambda document: document["organisation"].pop("name"), "organisation.name", "missing"),
    (lambda document: document["organisation"].update(key="Acme Malls"), "organisation.key", "letters"),
    (lambda document: document["organisation"].update(key=7), "organisation.key", "must be a text"),
    (lambda document: document.update(zonez=[]), "zonez", "no such section"),
    (lambda document: document.update(keys={}), "keys", "must be a list"),
    (add_to("zones", "north-food"), "zones[5]", "must be an object"),
    (add_to("zones", None), "zones[5]", "must be an object"),
    # Fields.
    (set_in("zones", 1, flor=1), "zones[1].flor", "no such field"),
    (set_in("brands", 0, name=""), "brands[0].name", "1 to 200"),
    (set_in("brands", 0, name="  "), "brands[0].name", "1 to 200"),
    (set_in("brands", 0, name="x" * 201), "brands[0].name", "1 to 200"),
    (set_in("brands", 0, name="a\x00b"), "brands[0].name", "control characters"),
    (set_in("brands", 0, name="\ud800"), "brands[0].name", "control characters"),
    (set_in("zones", 1, name=None), "zones[1].name", "must be a text"),
    (drop_from("zones", 1, "key"), "zones[1].key", "missing"),
    (drop_from("zones", 1, "name"), "zones[1].name", "missing"),
    (drop_from("zones", 1, "kind"), "zones[1].kind", "missing"),
    (drop_from("zones", 1, "venue"), "zones[1].venue", "missing"),
    (drop_from("venues", 0, "time_zone"), "venues[0].time_zone", "missing"),
    (set_in("venues", 0, time_zone="Africa/Atlantis"), "venues[0].time_zone", "IANA"),
    (set_in("venues", 0, time_zone="../../etc/passwd"), "venues[0].time_zone", "IANA"),
    (set_in("venues", 0, time_zone="Factory"), "venues[0].time_zone", "IANA"),
    (set_in("zones", 1, kind="shop"), "zones[1].kind", "one of: venue, floor, store"),
    (set_in("zones", 1, kind=["store"]), "zones[1].kind", "one of"),
    (set_in("zones", 1, floor=0.5), "zones[1].floor", "whole number"),
    (set_in("zones", 1, floor=True), "zones[1].floor", "whole number"),
    (set_in("zones", 1, floor=40_000), "zones[1].floor", "-100 to 300"),
    (set_in("zones", 1, exit_grace_s=-1), "zones[1].exit_grace_s", "0 to 86400"),
    (set_in("zones", 1, exit_grace_s=86_401), "zones[1].exit_grace_s", "0 to 86400"),
    (set_in("zones", 1, min_stay_s="30"), "zones[1].min_stay_s", "whole number"),
    (set_in("zones", 1, max_accuracy_m=float("nan")), "zones[1].max_accuracy_m", "number from 0"),
    (set_in("zones", 1, max_accuracy_m=float("inf")), "zones[1].max_accuracy_m", "number from 0"),
    (set_in("zones", 1, max_accuracy_m=10**400), "zones[1].max_accuracy_m", "number from 0"),
    (set_in("zones", 1, enter_rssi=-200), "zones[1].enter_rssi", "-127 to 20"),
    (set_in("zones", 1, enter_rssi=-90, hold_rssi=-80), "zones[1].hold_rssi", "must not be above"),
    (set_in("zones", 1, hold_rssi=-80), "zones[1].hold_rssi", "hold_rssi (-80) must not be above enter_rssi (-85)"),
    (set_in("venues", 0, enter_rssi=-96), "venues[0].enter_rssi", "must not be above"),
    # Keys, references, the tree.
    (add_to("zones", zone(key="north-brew")), "zones[5].key", "already in the file, at zones[1]"),
    (add_to("venues", {"key": "north", "name": "N", "time_zone": "UTC"}), "venues[1].key", "already in the file"),
    (add_to("brands", {"key": "brew", "name": "N"}), "brands[2].key", "already in the file"),
    (add_to("keys", {"name": "app", "kind": "secret"}), "keys[3].name", "already in the file"),
    (set_in("zones", 1, key="north"), "zones[1].key", "key of a venue"),
    (set_in("zones", 1, kind="venue"), "zones[1].kind", "one root zone"),
    (set_in("zones", 1, venue="south"), "zones[1].venue", "no venue south"),
    (set_in("zones", 1, parent="nowhere"), "zones[1].parent", "no zone nowhere"),
    (set_in("zones", 1, brand="nobody"), "zones[1].brand", "no brand nobody"),
    (set_in("zones", 1, key="a/b", parent=None), "zones[1].key", "1 to 64"),
    (set_in("zones", 1, parent="north-brew"), "zones[1].parent", "below itself: north-brew < north-brew"),
    (set_in("zones", 0, parent="north-brew"), "zones[0].parent", "below itself: north-ground < north-brew < north-ground"),
    # Beacons and keys for the door.
    (set_in("beacons", 0, zone="nowhere"), "beacons[0].zone", "no zone nowhere"),
    (drop_from("beacons", 0, "zone"), "beacons[0].zone", "missing"),
    (drop_from("beacons", 0, "ibeacon"), "beacons[0]", "exactly one of"),
    (set_in("beacons", 0, mac=cast.MAC), "beacons[0]", "exactly one of"),
    (set_in("beacons", 0, ibeacon="f782"), "beacons[0].ibeacon", "must be an object"),
    (set_in("beacons", 0, ibeacon={**cast.IBEACON, "uuid": "f782"}), "beacons[0].ibeacon.uuid", "UUID"),
    (set_in("beacons", 0, ibeacon={**cast.IBEACON, "major": 65_536}), "beacons[0].ibeacon.major", "0 to 65535"),
    (set_in("beacons", 0, ibeacon={**cast.IBEACON, "power": 1}), "beacons[0].ibeacon.power", "no such field"),
    (set_in("beacons", 0, ibeacon={"uuid": cast.IBEACON["uuid"], "major": 1}), "beacons[0].ibeacon.minor", "missing"),
    (set_in("beacons", 1, eddystone={**cast.EDDYSTONE, "namespace": "edd1"}), "beacons[1].eddystone.namespace", "exactly 20"),
    (set_in("beacons", 1, eddystone={**cast.EDDYSTONE, "instance": "zz3456789abc"}), "beacons[1].eddystone.instance", "exactly 12"),
    (set_in("beacons", 2, mac="c4:be:84:00:00"), "beacons[2].mac", "6 bytes"),
    (set_in("beacons", 2, mac="c4:be-84:00:00:01"), "beacons[2].mac", "6 bytes"),
    (add_to("beacons", {"key": "b4", "zone": "north", "mac": "C4BE84000001"}), "beacons[3]", "Beacon b-door has this address"),
    (drop_from("keys", 0, "name"), "keys[0].name", "missing"),
    (drop_from("keys", 0, "kind"), "keys[0].kind", "missing"),
    (set_in("keys", 0, kind="public"), "keys[0].kind", "one of: publishable, secret, import"),
    # Boundaries: where in the file (what is wrong with them is told below).
    (set_in("zones", 1, boundary={"type": "Point", "coordinates": [0, 0]}), "zones[1].boundary.type", "Polygon"),
    (set_in("venues", 0, boundary={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 91]]]}), "venues[0].boundary.coordinates[0][2]", "latitude"),
]


@pytest.mark.parametrize(("change", "place", "words"), SINGLE, ids=[f"{index}-{place}" for index, (_change, place, _words) in enumerate(SINGLE)])
def test_a_fault_is_named_with_its_place_and_nothing_is_made(db: None, change: Change, place: str, words: str) -> None:
    document = cast.acme_file()
    change(document)
    told = faults_of(document)
    assert words in told[place]
    assert not Organisation.objects.exists()


EXPECTED_BESIDE = {"organisation.key", "zones[1].key"}  # a new organisation needs a name too; what hangs on an unknown zone is unknown too


@pytest.mark.parametrize(("change", "place"), [(change, place) for change, place, _words in SINGLE if place not in EXPECTED_BESIDE])
def test_one_fault_is_not_told_as_several(db: None, change: Change, place: str) -> None:
    document = cast.acme_file()
    change(document)
    others = {told for told in faults_of(document) if told != place and not told.startswith("beacons[0].zone")}
    assert others == set()


def test_all_faults_are_named_at_once_in_the_order_of_the_file(db: None) -> None:
    document = cast.acme_file()
    document["zones"] += [zone(key=f"n{i}", parent="nowhere") for i in range(8)]
    set_in("zones", 2, kind="venue", colour="red", exit_grace_s=-1)(document)
    set_in("venues", 0, time_zone="Mars", boundary={"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1]]]})(document)
    set_in("beacons", 0, ibeacon={"uuid": "x", "major": -1})(document)
    document["more"] = 1
    assert list(faults_of(document)) == [
        "venues[0].boundary",
        "venues[0].time_zone",
        "zones[2].colour",
        "zones[2].exit_grace_s",
        "zones[2].kind",
        *(f"zones[{i}].parent" for i in range(5, 13)),
        "beacons[0].ibeacon.major",
        "beacons[0].ibeacon.minor",
        "beacons[0].ibeacon.uuid",
        "more",
    ]


class TestAgainstWhatIsThere:
    """The same rules where the other half is in the database."""

    @pytest.fixture(autouse=True)
    def _places(self, acme: Organisation, rival: Organisation) -> None:
        second = {"key": "south", "name": "South", "time_zone": "UTC"}
        shop = {"key": "south-shop", "venue": "south", "name": "Shop", "kind": "store"}
        provisioning.provision({"organisation": {"key": "acme"}, "venues": [second], "zones": [shop]})

    @pytest.mark.parametrize(
        ("sections", "place", "words"),
        [
            ({"zones": [{"key": "north-brew", "venue": "south"}]}, "zones[0].venue", "belongs to venue north"),
            ({"zones": [{"key": "north-brew", "venue": "nowhere"}]}, "zones[0].venue", "no venue nowhere"),
            ({"zones": [{"key": "north-brew", "parent": "south-shop"}]}, "zones[0].parent", "in another venue, south"),
            ({"zones": [{"key": "north-brew", "parent": "south"}]}, "zones[0].parent", "in another venue, south"),
            ({"zones": [zone(parent="south-shop")]}, "zones[0].parent", "in another venue"),
            ({"zones": [{"key": "north-ground", "parent": "north-brew"}]}, "zones[0].parent", "below itself"),
            ({"zones": [{"key": "north", "name": "N"}]}, "zones[0].key", "key of a venue"),
            ({"venues": [{"key": "north-brew", "name": "N", "time_zone": "UTC"}]}, "venues[0].key", "already the key of a zone"),
            ({"zones": [{"key": "north-brew", "hold_rssi": -80}]}, "zones[0].hold_rssi", "must not be above"),
            ({"beacons": [{"key": "b9", "zone": "north", "ibeacon": cast.IBEACON}]}, "beacons[0]", "Beacon b-brew has this address"),
            ({"beacons": [{"key": "b-brew", "mac": "00:00:00:00:00:01"}]}, "beacons[0]", "address of a beacon cannot change"),
            ({"keys": [{"name": "app", "kind": "secret"}]}, "keys[0].kind", "cannot become another kind"),
            ({"zones": [{"key": "arcade-shop", "name": "Mine"}]}, "zones[0].venue", "missing"),
            ({"beacons": [{"key": "b-brew", "zone": "arcade-shop"}]}, "beacons[0].zone", "no zone arcade-shop"),
        ],
    )
    def test_a_fault_is_named(self, sections: dict[str, Any], place: str, words: str) -> None:
        assert words in faults_of({"organisation": {"key": "acme"}, **sections})[place]

    def test_a_loop_of_two_zones_that_change_places_is_told_once(self) -> None:
        zones = [{"key": "north-brew", "parent": "north-page"}, {"key": "north-page", "parent": "north-brew"}]
        assert list(faults_of({"organisation": {"key": "acme"}, "zones": zones})) == ["zones[0].parent"]

    def test_parent_and_child_may_change_places(self) -> None:
        zones = [{"key": "north-brew", "parent": None}, {"key": "north-ground", "parent": "north-brew"}]
        assert provisioning.provision({"organisation": {"key": "acme"}, "zones": zones}).changed == 2


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON: line 1, column 1"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"n": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"zones": [{"key": "a", "kind": "area", "key": "b"}]}', "zones[0].key: This field is given twice."),
        (b'{"organisation": {}, "organisation": {}}', "organisation: This field is given twice."),
    ],
    ids=["empty", "not JSON", "not UTF-8", "deep", "long number", "field twice", "section twice"],
)
def test_a_file_that_cannot_be_read_says_why(raw: bytes, words: str) -> None:
    with pytest.raises(provisioning.Refused, match=words.replace("[", r"\[").replace("]", r"\]")):
        provisioning.parse(raw)


def test_a_byte_order_mark_does_no_harm() -> None:
    assert provisioning.parse(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("document", [[], None, "acme", 7])
def test_a_file_that_holds_no_object_is_refused(db: None, document: Any) -> None:
    assert list(faults_of(document)) == [""]


class TestBoundaries:
    @staticmethod
    def wrong(coordinates: Any, kind: str = "Polygon") -> tuple[str, str]:
        with pytest.raises(Wrong) as wrong:
            boundary({"type": kind, "coordinates": coordinates})
        return wrong.value.parts[0]

    def test_an_open_ring_is_closed_and_heights_are_dropped(self) -> None:
        assert boundary({"type": "Polygon", "coordinates": [[[0, 0, 7], [1, 0, 7], [1, 1, 7], [0, 1, 7]]]}) == {"type": "Polygon", "coordinates": [SQUARE]}

    def test_holes_are_kept(self) -> None:
        hole = [[0.2, 0.2], [0.4, 0.2], [0.4, 0.4], [0.2, 0.2]]
        kept = boundary({"type": "Polygon", "coordinates": [SQUARE, hole]})
        assert shapely.geometry.shape(kept).area == pytest.approx(0.98)

    def test_several_parts_are_taken(self) -> None:
        other = [[[5, 5], [6, 5], [6, 6], [5, 5]]]
        kept = boundary({"type": "MultiPolygon", "coordinates": [[SQUARE], other]})
        assert shapely.geometry.shape(kept).area == 1.5

    @pytest.mark.parametrize(
        ("coordinates", "place", "words"),
        [
            ("here", ".coordinates", "list of rings"),
            ([7], ".coordinates", "list of rings"),
            ([[]], ".coordinates[0]", "three different positions"),
            ([[[0, 0], [1, 1], [0, 0]]], ".coordinates[0]", "three different positions"),
            ([[[0, 0], [1, 1], [2, 2], [0, 0]]], "", "encloses no area"),
            ([[[0, 0], [0, 0], [0, 0], [0, 0]]], "", "encloses no area"),
            ([[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]], "", "crosses itself, near longitude 0.5, latitude 0.5"),
            ([[[0, 0], [3, 1], [3, 0], [0, 7], [0, 0]]], "", "crosses itself, near longitude 2.625, latitude 0.875"),
            ([SQUARE, [[2, 2], [3, 2], [3, 3], [2, 2]]], "", "hole lies outside"),
            ([[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]], ".coordinates[0]", "180th meridian"),
            ([[[179, 0], [181, 0], [181, 1], [179, 0]]], ".coordinates[0][1]", "longitude lies from -180"),
            ([[[0, 0], [1, 0], [float("nan"), 1], [0, 0]]], ".coordinates[0][2]", "longitude lies from -180"),
            ([[[0, 0], [1, 0], [10**400, 1], [0, 0]]], ".coordinates[0][2]", "longitude lies from -180"),
            ([[[0, 0], ["1", 0], [1, 1], [0, 0]]], ".coordinates[0][1]", "[longitude, latitude]"),
            ([[[0, 0], [True, 0], [1, 1], [0, 0]]], ".coordinates[0][1]", "[longitude, latitude]"),
            ([[[0, 0], [1], [1, 1], [0, 0]]], ".coordinates[0][1]", "[longitude, latitude]"),
            ([[0, 0], [1, 0], [1, 1], [0, 0]], ".coordinates[0][0]", "[longitude, latitude]"),
        ],
    )
    def test_a_faulty_one_is_refused_in_plain_words(self, coordinates: Any, place: str, words: str) -> None:
        where, message = self.wrong(coordinates)
        assert (where, words in message) == (place, True), message

    def test_parts_that_overlap_are_refused(self) -> None:
        assert self.wrong([[SQUARE], [SQUARE]], "MultiPolygon")[1]

    def test_unknown_members_are_refused(self) -> None:
        with pytest.raises(Wrong, match="no such field"):
            boundary({"type": "Polygon", "coordinates": [SQUARE], "crs": {}})

    @pytest.mark.parametrize("value", [[], "POLYGON((0 0, 1 0, 1 1, 0 0))", 7])
    def test_what_is_no_geometry_is_refused(self, value: Any) -> None:
        with pytest.raises(Wrong, match="GeoJSON Polygon or null"):
            boundary(value)

    def test_ten_thousand_vertices_are_taken_and_a_hundred_thousand_refused_at_once(self) -> None:
        def circle(vertices: int) -> list[list[float]]:
            angles = (2 * math.pi * index / vertices for index in range(vertices))
            return [[math.cos(angle), math.sin(angle)] for angle in angles]

        began = time.monotonic()
        assert boundary({"type": "Polygon", "coordinates": [circle(9_999)]}) is not None
        assert "at most 10000 vertices; this one has 100000" in self.wrong([circle(100_000)])[1]
        assert time.monotonic() - began < 5
