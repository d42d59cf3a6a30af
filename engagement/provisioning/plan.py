"""The difference between a file and what is there: what to make, what to change from what to what. Touches nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from django.utils.translation import gettext as _
from msgspec import UnsetType

from engagement.inbox import describe_address
from engagement.models import Brand, Organisation, Venue, Zone, ZoneKind, ZoneVersion
from engagement.opening import EXCEPTIONS, WEEKDAYS, Hours, written
from engagement.provisioning.defaults import THRESHOLDS, resolve
from engagement.provisioning.state import State
from engagement.provisioning.wanted import BeaconItem, Document, KeyItem, Named, VenueItem, ZoneItem

Value = TypeVar("Value")
Target = TypeVar("Target")
Difference = tuple[str, Any, Any]  # field, from, to


class Verb(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Step(Generic[Target]):
    noun: str
    key: str
    verb: Verb
    target: Target
    differences: tuple[Difference, ...] = ()

    def differs(self, *names: str) -> bool:
        return any(name in names for name, _old, _new in self.differences)


@dataclass(frozen=True, kw_only=True)
class NamedTarget:
    key: str
    name: str


@dataclass(frozen=True, kw_only=True)
class VenueTarget(NamedTarget):
    time_zone: str
    opening_hours: Hours | None


@dataclass(frozen=True, kw_only=True)
class ZoneTarget(NamedTarget):
    """`settings` is what its current version shall say, under the names of ZoneVersion, without the parent."""

    venue: str
    kind: str
    brand: str | None
    parent: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BeaconTarget:
    key: str
    zone: str
    address: bytes


@dataclass(frozen=True, kw_only=True)
class KeyTarget:
    key: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    organisation: Step[NamedTarget]
    brands: list[Step[NamedTarget]]
    venues: list[Step[VenueTarget]]
    zones: list[Step[ZoneTarget]]  # root zones too
    beacons: list[Step[BeaconTarget]]
    keys: list[Step[KeyTarget]]

    def steps(self) -> Iterator[Step[Any]]:
        yield self.organisation
        for section in (self.brands, self.venues, self.zones, self.beacons, self.keys):
            yield from section


VENUE_FIELDS = ("name", "time_zone", "opening_hours")
VERSIONED = ("parent", "floor", "boundary", *THRESHOLDS)  # a change of one of these makes a version; any other does not


def compare(document: Document, state: State) -> Plan:
    """The way from the state to the document, which has no faults."""
    return Plan(
        organisation=_organisation(document.organisation, state.organisation),
        brands=[_brand(item, state.brands.get(item.key)) for item in document.brands],
        venues=[_venue(item, state.venues.get(item.key)) for item in document.venues],
        zones=[*(_root(item, state) for item in document.venues), *(_zone(item, state) for item in document.zones)],
        beacons=[_beacon(item, state) for item in document.beacons],
        keys=[_key(item, state) for item in document.keys],
    )


def _said(value: Value | UnsetType, otherwise: Callable[[], Value]) -> Value:
    return otherwise() if isinstance(value, UnsetType) else value


def _step(noun: str, target: Target, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Step[Target]:
    if before is None:
        return Step(noun=noun, key=key, verb=Verb.CREATE, target=target)
    differences = tuple((name, before[name], value) for name, value in after.items() if before[name] != value)
    return Step(noun=noun, key=key, verb=Verb.CHANGE if differences else Verb.KEEP, target=target, differences=differences)


def _organisation(item: Named, known: Organisation | None) -> Step[NamedTarget]:
    target = NamedTarget(key=item.key, name=_said(item.name, lambda: known.name if known else ""))
    return _step(_("organisation"), target, item.key, {"name": known.name} if known else None, {"name": target.name})


def _brand(item: Named, known: Brand | None) -> Step[NamedTarget]:
    target = NamedTarget(key=item.key, name=_said(item.name, lambda: known.name if known else ""))
    return _step(_("brand"), target, item.key, {"name": known.name} if known else None, {"name": target.name})


def _venue(item: VenueItem, known: Venue | None) -> Step[VenueTarget]:
    target = VenueTarget(
        key=item.key,
        name=_said(item.name, lambda: known.name if known else ""),
        time_zone=_said(item.time_zone, lambda: known.time_zone if known else ""),
        opening_hours=_said(item.opening_hours, lambda: known.opening_hours if known else None),
    )
    before = {name: getattr(known, name) for name in VENUE_FIELDS} if known else None
    return _step(_("venue"), target, item.key, before, {name: getattr(target, name) for name in VENUE_FIELDS})


def _root(item: VenueItem, state: State) -> Step[ZoneTarget]:
    """The venue's root zone: what a venue says of place, under the venue's key and name."""
    known, version = state.zones.get(item.key), state.versions.get(item.key)
    limits = resolve(item.thresholds, kind=ZoneKind.VENUE, current=version, current_kind=ZoneKind.VENUE)
    target = ZoneTarget(
        key=item.key,
        name=_said(item.name, lambda: known.name if known else ""),
        venue=item.key,
        kind=ZoneKind.VENUE,
        brand=None,
        parent=None,
        settings={"floor": None, "boundary": _said(item.boundary, lambda: version.boundary if version else None), **limits},
    )
    return _zone_step(_("root zone"), target, known, version)


def _zone(item: ZoneItem, state: State) -> Step[ZoneTarget]:
    known, version = state.zones.get(item.key), state.versions.get(item.key)
    kind = _said(item.kind, lambda: known.kind if known else "")
    venue = _said(item.venue, lambda: known.venue.key if known else "")
    parent = _said(item.parent, lambda: version.parent.key if version and version.parent else None)
    brand = _said(item.brand, lambda: known.brand.key if known and known.brand else None)
    limits = resolve(item.thresholds, kind=kind, current=version, current_kind=known.kind if known else None)
    floor = _said(item.floor, lambda: version.floor if version else None)
    boundary = _said(item.boundary, lambda: version.boundary if version else None)
    target = ZoneTarget(
        key=item.key,
        name=_said(item.name, lambda: known.name if known else ""),
        venue=venue,
        kind=kind,
        brand=brand,
        parent=parent or venue,
        settings={"floor": floor, "boundary": boundary, **limits},
    )
    return _zone_step(_("zone"), target, known, version)


def _zone_step(noun: str, target: ZoneTarget, known: Zone | None, version: ZoneVersion | None) -> Step[ZoneTarget]:
    after = {"name": target.name, "kind": target.kind, "brand": target.brand, "parent": target.parent, **target.settings}
    if known is None or version is None:
        return _step(noun, target, target.key, None, after)
    before = {
        "name": known.name,
        "kind": known.kind,
        "brand": known.brand.key if known.brand else None,
        "parent": version.parent.key if version.parent else None,
        **{name: getattr(version, name) for name in target.settings},
    }
    return _step(noun, target, target.key, before, after)


def _beacon(item: BeaconItem, state: State) -> Step[BeaconTarget]:
    known, placement = state.beacons.get(item.key), state.placements.get(item.key)
    zone = _said(item.zone, lambda: placement.zone.key if placement else "")
    target = BeaconTarget(key=item.key, zone=zone, address=_said(item.address, lambda: bytes(known.address) if known else b""))
    return _step(_("beacon"), target, item.key, {"zone": placement.zone.key} if placement else None, {"zone": zone})


def _key(item: KeyItem, state: State) -> Step[KeyTarget]:
    known = state.keys.get(item.key)
    target = KeyTarget(key=item.key, kind=_said(item.kind, lambda: known.kind if known else ""))
    return _step(_("key"), target, item.key, {} if known else None, {})


def describe(plan: Plan) -> list[str]:
    """The difference in plain lines: one for each thing made, one for each field changed."""
    lines = []
    for step in plan.steps():
        names = {"noun": step.noun, "key": step.key}
        if step.verb is Verb.CREATE:
            lines.append(_("create %(noun)s %(key)s%(what)s") % {**names, "what": _what(step.target)})
        for field, old, new in step.differences:
            change = {"field": field, "old": _shown(old), "new": _shown(new)}
            lines.append(_("change %(noun)s %(key)s: %(field)s %(old)s -> %(new)s") % {**names, **change})
    return lines


def _what(target: object) -> str:
    if isinstance(target, BeaconTarget):
        return _(" in %(zone)s: %(address)s") % {"zone": target.zone, "address": describe_address(target.address)}
    if isinstance(target, ZoneTarget) and target.parent:
        return _(" (%(kind)s) in %(parent)s: %(name)s") % {"kind": target.kind, "parent": target.parent, "name": target.name}
    if isinstance(target, KeyTarget):
        return f" ({target.kind})"
    return f": {target.name}" if isinstance(target, NamedTarget) else ""


def _shown(value: Any) -> str:
    if value is None:
        return _("none")
    if not isinstance(value, dict):
        return str(value)
    if "coordinates" not in value:
        return _hours(value)
    return _("%(type)s with %(number)d positions") % {"type": value["type"], "number": _positions(value["coordinates"])}


def _hours(hours: Hours) -> str:
    """`mon 09:00-21:00; 2026-12-25 closed`."""
    named = {**{name: hours[name] for name in WEEKDAYS if hours.get(name)}, **hours.get(EXCEPTIONS, {})}
    return "; ".join(f"{name} {written(listed) or _('closed')}" for name, listed in named.items()) or _("always closed")


def _positions(coordinates: Any) -> int:
    if coordinates and isinstance(coordinates[0], list) and coordinates[0] and isinstance(coordinates[0][0], list):
        return sum(_positions(part) for part in coordinates)
    return len(coordinates)
