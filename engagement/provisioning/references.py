"""What a file says against itself and against what is there: keys, references, the tree, addresses, thresholds."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from msgspec import UNSET, UnsetType

from engagement.models import ZoneKind
from engagement.provisioning.defaults import resolve
from engagement.provisioning.faults import Fault
from engagement.provisioning.state import State
from engagement.provisioning.wanted import Document, Item, Placed


@dataclass(frozen=True)
class _After:
    """How keys would hang together once the file was applied."""

    document: Document
    state: State
    brands: set[str]
    venues: set[str]
    venue_of: dict[str, str]  # of each zone, root zones too; "" where the file's own answer was refused
    parent_of: dict[str, str]  # of each zone but the roots


def check(document: Document, state: State) -> list[Fault]:
    """All faults that need more than one value to see."""
    after = _after(document, state)
    steps = (_doubled, _missing, _taken, _fixed, _brands, _zones, _parents, _cycles, _beacons, _addresses, _thresholds)
    return [fault for step in steps for fault in step(after)]


def _after(document: Document, state: State) -> _After:
    venues = set(state.venues) | {venue.key for venue in document.venues}
    venue_of = {key: zone.venue.key for key, zone in state.zones.items()} | {key: key for key in venues}
    parent_of = {key: version.parent.key for key, version in state.versions.items() if version.parent is not None}
    for zone in document.zones:
        if zone.key in venues:
            continue
        known = venue_of.setdefault(zone.key, zone.venue if isinstance(zone.venue, str) else "")
        if zone.parent is not UNSET or zone.key not in parent_of:
            parent_of[zone.key] = zone.parent if isinstance(zone.parent, str) else known
    brands = set(state.brands) | {brand.key for brand in document.brands}
    return _After(document=document, state=state, brands=brands, venues=venues, venue_of=venue_of, parent_of=parent_of)


def _doubled(after: _After) -> Iterator[Fault]:
    document = after.document
    sections: tuple[tuple[Sequence[Item], str], ...] = (
        (document.brands, "key"),
        (document.venues, "key"),
        (document.zones, "key"),
        (document.beacons, "key"),
        (document.keys, "name"),
    )
    for items, identity in sections:
        first: dict[str, str] = {}
        for item in items:
            if item.key and first.setdefault(item.key, item.place) != item.place:
                sentence = _("%(key)s is already in the file, at %(place)s.")
                yield Fault(f"{item.place}.{identity}", sentence % {"key": item.key, "place": first[item.key]})


def _missing(after: _After) -> Iterator[Fault]:
    """What a new thing must have. A thing that exists may leave it unsaid."""
    document, state = after.document, after.state
    yield from _lacking([document.organisation], {state.organisation.key} if state.organisation else set(), "name")
    yield from _lacking(document.brands, state.brands, "name")
    yield from _lacking(document.venues, state.venues, "name", "time_zone")
    yield from _lacking(document.zones, state.zones, "venue", "name", "kind")
    yield from _lacking(document.beacons, state.beacons, "zone", "address")
    yield from _lacking(document.keys, state.keys, "kind")


def _lacking(items: Sequence[Item], known: Container[str], *names: str) -> Iterator[Fault]:
    for item in items:
        for name in names:
            if item.key in known or getattr(item, name) is not UNSET or name in item.faulty:
                continue
            if name == "address":
                yield Fault(item.place, _("A beacon has exactly one of ibeacon, eddystone and mac."))
            else:
                yield Fault(f"{item.place}.{name}", _("This field is missing."))


def _taken(after: _After) -> Iterator[Fault]:
    """A venue's root zone has the venue's key, and keys of zones are unique in the organisation."""
    for zone in after.document.zones:
        if zone.key and zone.key in after.venues:
            yield Fault(f"{zone.place}.key", _("%(key)s is the key of a venue, and so of its root zone.") % {"key": zone.key})
    for venue in after.document.venues:
        if venue.key in after.state.zones and venue.key not in after.state.venues:
            yield Fault(f"{venue.place}.key", _("%(key)s is already the key of a zone.") % {"key": venue.key})


def _fixed(after: _After) -> Iterator[Fault]:
    """What belongs to the identity of a thing: events of the past were judged by it."""
    state = after.state
    for zone in after.document.zones:
        known = state.zones.get(zone.key)
        if known and zone.venue in after.venues and zone.venue != known.venue.key:
            yield Fault(f"{zone.place}.venue", _("This zone belongs to venue %(key)s and cannot move to another.") % {"key": known.venue.key})
    for beacon in after.document.beacons:
        there = state.beacons.get(beacon.key)
        if there and beacon.address is not UNSET and beacon.address != bytes(there.address):
            yield Fault(beacon.place, _("The address of a beacon cannot change. Give the new beacon a key of its own."))
    for key in after.document.keys:
        made = state.keys.get(key.key)
        if made and key.kind is not UNSET and key.kind != made.kind:
            yield Fault(f"{key.place}.kind", _("This key is %(kind)s and cannot become another kind. Make a new key.") % {"kind": made.kind})


def _unknown(place: str, noun: str, key: str | UnsetType | None, known: Container[str]) -> Iterator[Fault]:
    if isinstance(key, str) and key not in known:
        yield Fault(place, _("There is no %(noun)s %(key)s.") % {"noun": noun, "key": key})


def _brands(after: _After) -> Iterator[Fault]:
    for zone in after.document.zones:
        yield from _unknown(f"{zone.place}.brand", _("brand"), zone.brand, after.brands)


def _zones(after: _After) -> Iterator[Fault]:
    for zone in after.document.zones:
        yield from _unknown(f"{zone.place}.venue", _("venue"), zone.venue, after.venues)
        if zone.kind == ZoneKind.VENUE:
            yield Fault(f"{zone.place}.kind", _("A venue has one root zone, which is made with the venue. Choose another kind."))


def _beacons(after: _After) -> Iterator[Fault]:
    for beacon in after.document.beacons:
        yield from _unknown(f"{beacon.place}.zone", _("zone"), beacon.zone, after.venue_of)


def _parents(after: _After) -> Iterator[Fault]:
    for zone in after.document.zones:
        yield from _unknown(f"{zone.place}.parent", _("zone"), zone.parent, after.venue_of)
        if not isinstance(zone.parent, str):
            continue
        venue, other = after.venue_of.get(zone.key), after.venue_of.get(zone.parent)
        if venue in after.venues and other in after.venues and venue != other:
            yield Fault(f"{zone.place}.parent", _("Zone %(key)s is in another venue, %(venue)s.") % {"key": zone.parent, "venue": other})


def _cycles(after: _After) -> Iterator[Fault]:
    """Each loop once, at the first of its zones that the file gives a parent."""
    told: set[str] = set()
    sound: set[str] = set()  # from here the root is reached
    for zone in after.document.zones:
        path: list[str] = []
        on_path: set[str] = set()
        key: str | None = zone.key
        while key and key not in sound and key not in on_path:
            path.append(key)
            on_path.add(key)
            key = after.parent_of.get(key)
        if key and key == zone.key and key in on_path and key not in told:
            told |= on_path
            loop = " < ".join([*path, key])
            yield Fault(f"{zone.place}.parent", _("The zone would lie below itself: %(loop)s.") % {"loop": loop})
        elif not (key and key in on_path):
            sound |= on_path


def _addresses(after: _After) -> Iterator[Fault]:
    holders = {bytes(beacon.address): key for key, beacon in after.state.beacons.items()}
    for beacon in after.document.beacons:
        if isinstance(beacon.address, bytes):
            holder = holders.setdefault(beacon.address, beacon.key)
            if holder != beacon.key:
                yield Fault(beacon.place, _("Beacon %(key)s has this address already.") % {"key": holder})


def _thresholds(after: _After) -> Iterator[Fault]:
    for venue in after.document.venues:
        yield from _hold_above_enter(venue, ZoneKind.VENUE, after.state)
    for zone in after.document.zones:
        known = after.state.zones.get(zone.key)
        kind = zone.kind if isinstance(zone.kind, str) else known.kind if known else None
        if kind is not None and zone.key not in after.venues:
            yield from _hold_above_enter(zone, kind, after.state)


def _hold_above_enter(item: Placed, kind: str, state: State) -> Iterator[Fault]:
    if {"enter_rssi", "hold_rssi"} & item.faulty:
        return
    current = state.versions.get(item.key)
    limits = resolve(item.thresholds, kind=kind, current=current, current_kind=current.zone.kind if current else None)
    if limits["hold_rssi"] > limits["enter_rssi"]:
        name = "hold_rssi" if "hold_rssi" in item.thresholds else "enter_rssi"
        sentence = _("hold_rssi (%(hold)d) must not be above enter_rssi (%(enter)d).")
        yield Fault(f"{item.place}.{name}", sentence % {"hold": limits["hold_rssi"], "enter": limits["enter_rssi"]})
