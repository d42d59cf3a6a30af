"""The form of a provision file: bytes to JSON, JSON to typed items, with every fault and its place."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from django.utils.translation import gettext as _
from msgspec import UNSET

from engagement.models import KeyKind, ZoneKind
from engagement.provisioning import fields
from engagement.provisioning.boundary import boundary
from engagement.provisioning.defaults import THRESHOLDS
from engagement.provisioning.faults import Fault, Refused, Wrong
from engagement.provisioning.fields import Check, optional
from engagement.provisioning.wanted import BeaconItem, Document, Item, KeyItem, Named, VenueItem, ZoneItem

Made = TypeVar("Made", bound=Item)
_DAY_S: Final = 86_400
_LIMITS: Final[dict[str, Check]] = {
    "exit_grace_s": optional(fields.whole(0, _DAY_S)),
    "min_stay_s": optional(fields.whole(0, _DAY_S)),
    "enter_rssi": optional(fields.whole(-127, 20)),
    "hold_rssi": optional(fields.whole(-127, 20)),
    "max_accuracy_m": optional(fields.number(0, 10_000)),
}
_ORGANISATION: Final[dict[str, Check]] = {"key": fields.slug, "name": fields.name(200)}
_BRAND: Final[dict[str, Check]] = {"key": fields.key, "name": fields.name(200)}
_VENUE: Final[dict[str, Check]] = {
    **_BRAND,
    "time_zone": fields.time_zone,
    "opening_hours": optional(fields.opening_hours),
    "boundary": optional(boundary),
    **_LIMITS,
}
_ZONE: Final[dict[str, Check]] = {
    **_BRAND,
    "venue": fields.key,
    "parent": optional(fields.key),
    "kind": fields.one_of(*(kind.value for kind in ZoneKind)),
    "floor": optional(fields.whole(-100, 300)),
    "brand": optional(fields.key),
    "boundary": optional(boundary),
    **_LIMITS,
}
_ADDRESSES: Final[dict[str, Check]] = {"ibeacon": fields.ibeacon, "eddystone": fields.eddystone, "mac": fields.mac}
_BEACON: Final[dict[str, Check]] = {"key": fields.key, "zone": fields.key, **_ADDRESSES}
_KEY: Final[dict[str, Check]] = {"name": fields.name(64), "kind": fields.one_of(*(kind.value for kind in KeyKind))}
_SECTIONS: Final = ("brands", "venues", "zones", "beacons", "keys")


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names were given twice; Python's parser would keep the last in silence."""

    doubled: tuple[str, ...] = ()


def parse(raw: bytes) -> Any:
    """The JSON value of a file. Raises Refused where it cannot be read, or where an object has a name twice."""
    doubtful = []

    def build(pairs: list[tuple[str, Any]]) -> _Object:
        built = _Object(pairs)
        if len(built) != len(pairs):
            names = [name for name, _value in pairs]
            built.doubled = tuple(sorted({name for name in names if names.count(name) > 1}))
            doubtful.append(built)
        return built

    try:
        value = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=build)
    except UnicodeDecodeError:
        raise Refused([Fault("", _("The file is not text in UTF-8."))]) from None
    except RecursionError:
        raise Refused([Fault("", _("The file is nested too deeply."))]) from None
    except json.JSONDecodeError as error:
        sentence = _("The file is not JSON: line %(line)d, column %(column)d: %(reason)s.")
        raise Refused([Fault("", sentence % {"line": error.lineno, "column": error.colno, "reason": error.msg})]) from None
    except ValueError:
        raise Refused([Fault("", _("The file holds a number that is too long."))]) from None
    if doubtful:
        raise Refused(list(_doubled(value, "")))
    return value


def _doubled(value: Any, place: str) -> list[Fault]:
    found = []
    if isinstance(value, _Object):
        found = [Fault(f"{place}.{name}".lstrip("."), _("This field is given twice.")) for name in value.doubled]
        below = [(child, f"{place}.{name}".lstrip(".")) for name, child in value.items()]
    elif isinstance(value, list):
        below = [(child, f"{place}[{index}]") for index, child in enumerate(value)]
    else:
        below = []
    for child, where in below:
        found.extend(_doubled(child, where))
    return found


def read(value: Any) -> tuple[Document, list[Fault]]:
    """The items of the file and what is wrong with their form. Raises Refused where there is nothing to go on with."""
    if not isinstance(value, dict):
        raise Refused([Fault("", _("The file must hold one JSON object."))])
    faults = [Fault(str(name), _("There is no such section.")) for name in value if name not in {"organisation", *_SECTIONS}]
    document = Document(
        organisation=_item("organisation", value.get("organisation"), _named(_ORGANISATION), faults),
        brands=_section(value, "brands", _named(_BRAND), faults),
        venues=_section(value, "venues", _venue, faults),
        zones=_section(value, "zones", _zone, faults),
        beacons=_section(value, "beacons", _beacon, faults),
        keys=_section(value, "keys", _key, faults),
    )
    return document, faults


def _section(value: dict[str, Any], section: str, make: Callable[[str, Any, list[Fault]], Made], faults: list[Fault]) -> list[Made]:
    given = value.get(section, [])
    if not isinstance(given, list):
        faults.append(Fault(section, _("This must be a list.")))
        return []
    return [_item(f"{section}[{index}]", raw, make, faults) for index, raw in enumerate(given)]


def _item(place: str, raw: Any, make: Callable[[str, Any, list[Fault]], Made], faults: list[Fault]) -> Made:
    if isinstance(raw, dict):
        return make(place, raw, faults)
    faults.append(Fault(place, _("This must be an object.")))
    blank = make(place, {}, [])
    return replace(blank, faulty=frozenset(field.name for field in dataclasses.fields(blank)))


def _checked(place: str, raw: dict[str, Any], checks: dict[str, Check], faults: list[Fault], identity: str = "key") -> tuple[dict[str, Any], frozenset[str]]:
    """The valid fields that the item mentions, and the names of the refused ones."""
    given: dict[str, Any] = {}
    refused = set()
    for name, value in raw.items():
        if name not in checks:
            faults.append(Fault(f"{place}.{name}", _("There is no such field.")))
            continue
        try:
            given[name] = checks[name](value)
        except Wrong as wrong:
            refused.add(name)
            faults.extend(Fault(f"{place}.{name}{below}", message) for below, message in wrong.parts)
    if identity not in raw:
        faults.append(Fault(f"{place}.{identity}", _("This field is missing.")))
    return given, frozenset(refused)


def _named(checks: dict[str, Check]) -> Callable[[str, Any, list[Fault]], Named]:
    def make(place: str, raw: Any, faults: list[Fault]) -> Named:
        given, refused = _checked(place, raw, checks, faults)
        return Named(place=place, faulty=refused, key=given.get("key", ""), name=given.get("name", UNSET))

    return make


def _thresholds(given: dict[str, Any]) -> dict[str, float | None]:
    return {name: given[name] for name in THRESHOLDS if name in given}


def _venue(place: str, raw: Any, faults: list[Fault]) -> VenueItem:
    given, refused = _checked(place, raw, _VENUE, faults)
    return VenueItem(
        place=place,
        faulty=refused,
        key=given.get("key", ""),
        name=given.get("name", UNSET),
        time_zone=given.get("time_zone", UNSET),
        opening_hours=given.get("opening_hours", UNSET),
        boundary=given.get("boundary", UNSET),
        thresholds=_thresholds(given),
    )


def _zone(place: str, raw: Any, faults: list[Fault]) -> ZoneItem:
    given, refused = _checked(place, raw, _ZONE, faults)
    return ZoneItem(
        place=place,
        faulty=refused,
        key=given.get("key", ""),
        name=given.get("name", UNSET),
        venue=given.get("venue", UNSET),
        parent=given.get("parent", UNSET),
        kind=given.get("kind", UNSET),
        floor=given.get("floor", UNSET),
        brand=given.get("brand", UNSET),
        boundary=given.get("boundary", UNSET),
        thresholds=_thresholds(given),
    )


def _beacon(place: str, raw: Any, faults: list[Fault]) -> BeaconItem:
    given, refused = _checked(place, raw, _BEACON, faults)
    mentioned = [name for name in _ADDRESSES if name in raw]
    if len(mentioned) > 1:
        faults.append(Fault(place, _("A beacon has exactly one of ibeacon, eddystone and mac.")))
    address = given.get(mentioned[0], UNSET) if len(mentioned) == 1 else UNSET
    if mentioned and address is UNSET:
        refused |= {"address"}
    return BeaconItem(place=place, faulty=refused, key=given.get("key", ""), zone=given.get("zone", UNSET), address=address)


def _key(place: str, raw: Any, faults: list[Fault]) -> KeyItem:
    given, refused = _checked(place, raw, _KEY, faults, identity="name")
    return KeyItem(place=place, faulty=refused, key=given.get("name", ""), kind=given.get("kind", UNSET))
