"""From the terms of the reference to those of the product: numbers for names, columns for records."""

import hashlib
from typing import Final

import numpy as np

from analytics import places as product
from analytics import stays
from engagement import inbox
from tests import reference
from tests.reference import Custom, Enter, Event, Exit, Fix, Sighting, Stay, occurred_at, shopper_of

# The time before which nothing was, in the product's terms; the reference has its own.
_FROM: Final = {reference.BEGINNING: product.BEGINNING}
_TO: Final = {reference.END: None}


def address_of(beacon: str) -> bytes:
    """An address of one of the three kinds, always the same for a name."""
    noise = hashlib.sha256(beacon.encode()).digest()
    kinds = (
        inbox.mac_address(noise[:6]),
        inbox.eddystone_address(noise[:10], noise[10:16]),
        inbox.ibeacon_address(noise[:16], noise[16], noise[17]),
    )
    return kinds[noise[18] % 3]


def number_zones(places: reference.Places) -> dict[str, int]:
    """A number for each zone, not in the order of the tree."""
    return {zone: 100 + 7 * number for number, zone in enumerate(sorted(places.zones, reverse=True))}


def product_places(places: reference.Places) -> product.Places:
    number = number_zones(places)
    return product.Places(
        versions=[
            product.Version(
                zone=number[key],
                key=key,
                valid_from=_FROM.get(v.valid_from, v.valid_from),
                valid_to=_TO.get(v.valid_to, v.valid_to),
                parent=None if v.parent is None else number[v.parent],
                boundary=v.boundary,
                exit_grace_s=v.exit_grace_s,
                min_stay_s=v.min_stay_s,
                enter_rssi=v.enter_rssi,
                hold_rssi=v.hold_rssi,
                max_accuracy_m=v.max_accuracy_m,
            )
            for key, made in places.zones.items()
            for v in made
        ],
        placements=[
            product.Placement(address_of(p.beacon), number[p.zone], _FROM.get(p.valid_from, p.valid_from), _TO.get(p.valid_to, p.valid_to))
            for p in places.placements
        ],
    )


def record_of(event: Event, extra: int) -> bytes:
    """The event as it lies in the inbox. `extra` is where its zone's key or its name lies among the row's extras."""
    match event.payload:
        case Fix(lat, lon, accuracy):
            return inbox.fix(event_id=event.id.bytes, at_us=event.at, lat=lat, lon=lon, accuracy=accuracy)
        case Sighting(beacon, rssi):
            return inbox.sighting(event_id=event.id.bytes, at_us=event.at, address=address_of(beacon), rssi=rssi)
        case Enter():
            return inbox.transition(event_id=event.id.bytes, at_us=event.at, direction=inbox.ENTER, extra=extra)
        case Exit():
            return inbox.transition(event_id=event.id.bytes, at_us=event.at, direction=inbox.EXIT, extra=extra)
        case Custom():
            return inbox.custom(event_id=event.id.bytes, at_us=event.at, extra=extra)


def product_events(events: list[Event]) -> product.Events:
    records = np.frombuffer(b"".join(record_of(event, extra=number) for number, event in enumerate(events)), dtype=inbox.RECORD)
    return product.Events(
        kind=records["kind"],
        occurred_at=np.array([occurred_at(event) for event in events], dtype=np.int64),
        body=records["body"],
        flag=records["flag"],
        rssi=records["rssi"],
        zone_key=[event.payload.zone if isinstance(event.payload, Enter | Exit) else None for event in events],
    )


def product_stays(events: list[Event], places: reference.Places) -> list[Stay]:
    """The stays that the product's pure rooms make of distinct events, all at once. Whose each event is, the reference says."""
    number, index = number_zones(places), product_places(places)
    seen = index.observe(product_events(events))
    owners = [shopper_of(event, events) for event in events]
    shoppers = sorted(set(owners))
    shopper = np.array([shoppers.index(owner) for owner in owners], dtype=np.int64)
    at = np.array([occurred_at(event) for event in events], dtype=np.int64)
    when = at[seen.event]
    chains = stays.fold(
        stays.Segments(shopper[seen.event], seen.zone, when, when, np.where(seen.opening, when, stays.NEVER), index.grace(seen.zone, when)),
        stays.Cuts(shopper[seen.exit_event], seen.exit_zone, at[seen.exit_event]),
    )
    chains = chains.take(chains.opened != stays.NEVER)
    counted = chains.ended - chains.opened >= index.min_stay(chains.zone, chains.opened)
    zones = {zone: key for key, zone in number.items()}
    columns = (chains.shopper, chains.zone, chains.opened, chains.ended, chains.closes_at, counted)
    return sorted(Stay(shoppers[who], zones[zone], *rest) for who, zone, *rest in zip(*(column.tolist() for column in columns), strict=True))
