"""Nouns of what happened: tenants, places, people, events; and their constraints.

Tables that the door and the stream write carry no foreign-key constraints (ARCHITECTURE.md says why) and are written
without the ORM; they are read-only everywhere else.
"""

from engagement.models.intake import Event, Heartbeat, Inbox, Outcome, RecentEvent, SetAside, ShardState
from engagement.models.people import Device, Erased, Erasure, IdentityClaim, Purchase, Shopper, ShopperDevice
from engagement.models.places import Beacon, BeaconPlacement, PlacesChange, Venue, Zone, ZoneKind, ZoneVersion
from engagement.models.tenants import ApiKey, Brand, KeyKind, Membership, Organisation, Role

__all__ = [
    "ApiKey",
    "Beacon",
    "BeaconPlacement",
    "Brand",
    "Device",
    "Erased",
    "Erasure",
    "Event",
    "Heartbeat",
    "IdentityClaim",
    "Inbox",
    "KeyKind",
    "Membership",
    "Organisation",
    "Outcome",
    "PlacesChange",
    "Purchase",
    "RecentEvent",
    "Role",
    "SetAside",
    "ShardState",
    "Shopper",
    "ShopperDevice",
    "Venue",
    "Zone",
    "ZoneKind",
    "ZoneVersion",
]
