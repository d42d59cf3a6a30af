"""Nouns of what happened: tenants, places, people, events; and their constraints.

Tables that the door and the stream write carry no foreign-key constraints (ARCHITECTURE.md says why) and are written
without the ORM; they are read-only everywhere else.
"""

from engagement.models.intake import Event, Heartbeat, IdempotentAnswer, Inbox, Outcome, RecentEvent, Refusal, SetAside, ShardState
from engagement.models.people import Device, Erased, Erasure, IdentityClaim, Purchase, Shopper, ShopperDevice
from engagement.models.places import Beacon, BeaconPlacement, PlacesChange, Venue, Zone, ZoneKind, ZoneVersion
from engagement.models.profiles import Channel, Consent, ConsentState, ListMember, Profile, ShopperImport, ShopperList
from engagement.models.tenants import ApiKey, Brand, KeyKind, Membership, Organisation, Role

__all__ = [
    "ApiKey",
    "Beacon",
    "BeaconPlacement",
    "Brand",
    "Channel",
    "Consent",
    "ConsentState",
    "Device",
    "Erased",
    "Erasure",
    "Event",
    "Heartbeat",
    "IdempotentAnswer",
    "IdentityClaim",
    "Inbox",
    "KeyKind",
    "ListMember",
    "Membership",
    "Organisation",
    "Outcome",
    "PlacesChange",
    "Profile",
    "Purchase",
    "RecentEvent",
    "Refusal",
    "Role",
    "SetAside",
    "ShardState",
    "Shopper",
    "ShopperDevice",
    "ShopperImport",
    "ShopperList",
    "Venue",
    "Zone",
    "ZoneKind",
    "ZoneVersion",
]
