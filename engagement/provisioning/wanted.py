"""What a provision file asks for, typed. The form is right; what it refers to is not yet looked up. UNSET: not mentioned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, UnsetType

from engagement.opening import Hours

Boundary = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Item:
    place: str  # in the file, as `zones[3]`
    key: str = ""  # empty: faulty, and already told
    faulty: frozenset[str] = frozenset()  # fields that were given, and refused


@dataclass(frozen=True, kw_only=True)
class Named(Item):
    """An organisation or a brand; venues and zones have more."""

    name: str | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class Placed(Named):
    boundary: Boundary | UnsetType | None = UNSET
    thresholds: Mapping[str, float | None] = field(default_factory=dict)  # only those mentioned; None: the default


@dataclass(frozen=True, kw_only=True)
class VenueItem(Placed):
    time_zone: str | UnsetType = UNSET
    opening_hours: Hours | UnsetType | None = UNSET


@dataclass(frozen=True, kw_only=True)
class ZoneItem(Placed):
    venue: str | UnsetType = UNSET
    parent: str | UnsetType | None = UNSET
    kind: str | UnsetType = UNSET
    floor: int | UnsetType | None = UNSET
    brand: str | UnsetType | None = UNSET


@dataclass(frozen=True, kw_only=True)
class BeaconItem(Item):
    zone: str | UnsetType = UNSET
    address: bytes | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class KeyItem(Item):
    """`key` is its name in the file."""

    kind: str | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class Document:
    organisation: Named
    brands: list[Named]
    venues: list[VenueItem]
    zones: list[ZoneItem]
    beacons: list[BeaconItem]
    keys: list[KeyItem]
