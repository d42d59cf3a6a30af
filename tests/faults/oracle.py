"""What must be so after everything, whatever happened: the database beside what was acknowledged and what the definitions say."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from analytics.recount import recount
from engagement import inbox
from engagement.models import Organisation
from tests import figures_reference, reference
from tests.analytics.figures_oracle import agree, places_of
from tests.analytics.stage import instant
from tests.faults.crowd import Identity
from tests.faults.ground import Town
from tests.figures_reference import Question, World, Zone
from tests.reference import Custom, Enter, Event, Exit, Fix, Payload, Placement, Places, Shopper, Sighting, Stay, Version

_EVENTS: Final = """
SELECT o.key, d.key, e.event_id, e.kind, e.occurred_at, s.external_id, e.lat, e.lon, e.accuracy, e.beacon, e.rssi, e.zone, e.direction, e.name
FROM engagement_event e JOIN engagement_organisation o ON o.id = e.organisation_id JOIN engagement_device d ON d.id = e.device_id
LEFT JOIN engagement_shopper s ON s.id = e.shopper_id ORDER BY e.event_id
"""
_STAYS: Final = """
SELECT o.key, s.external_id, s.device_key, z.key, t.started, t.ended, t.closes_at, t.counted
FROM analytics_stay t JOIN engagement_organisation o ON o.id = t.organisation_id
JOIN engagement_shopper s ON s.id = t.shopper_id JOIN engagement_zone z ON z.id = t.zone_id
"""
_VERSIONS: Final = """
SELECT o.key, z.key, p.key, v.exit_grace_s, v.min_stay_s, v.max_accuracy_m, v.enter_rssi, v.hold_rssi, v.boundary, v.valid_from, v.valid_to
FROM engagement_zoneversion v JOIN engagement_zone z ON z.id = v.zone_id JOIN engagement_organisation o ON o.id = z.organisation_id
LEFT JOIN engagement_zone p ON p.id = v.parent_id
"""
_PLACEMENTS: Final = """
SELECT o.key, b.address, z.key, p.valid_from, p.valid_to FROM engagement_beaconplacement p JOIN engagement_beacon b ON b.id = p.beacon_id
JOIN engagement_zone z ON z.id = p.zone_id JOIN engagement_organisation o ON o.id = z.organisation_id
"""
_ZONES: Final = """
SELECT o.key, z.id, z.key, z.kind, v.time_zone, r.key, b.key FROM engagement_zone z JOIN engagement_organisation o ON o.id = z.organisation_id
JOIN engagement_venue v ON v.id = z.venue_id JOIN engagement_zone r ON r.venue_id = v.id AND r.kind = 'venue' LEFT JOIN engagement_brand b ON b.id = z.brand_id
ORDER BY z.id
"""
# Told twice: `entered` of one stay, or `dwelled` past one mark, without a re-cut in between.
_TOLD_TWICE: Final = """
SELECT shopper_id, zone_id, kind, started, minutes, count(*) FROM analytics_transition t WHERE kind IN ('entered', 'dwelled')
AND NOT EXISTS (SELECT 1 FROM analytics_transition r WHERE r.kind = 're-cut' AND r.shopper_id = t.shopper_id AND r.zone_id = t.zone_id)
GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1
"""


def differences(town: Town, *, acknowledged: set[Identity] | None = None, set_aside: int = 0) -> list[str]:
    """Empty where all is well. `acknowledged`: exactly these events must be stored. `set_aside`: so many requests may have been."""
    found: list[str] = []
    events = stored_events(town)
    stored = Counter((event.organisation, event.device, event.id) for event in events)
    found += [f"stored {count} times: {identity}" for identity, count in stored.items() if count > 1]
    if acknowledged is not None:
        found += [f"lost: {identity}" for identity in sorted(acknowledged - stored.keys())]
        found += [f"never acknowledged: {identity}" for identity in sorted(stored.keys() - acknowledged)]
    found += _unlike("stay", stored_stays(town), expected_stays(town, events))
    outcomes = town.outcomes()
    counted = outcomes.get("accepted", 0) + outcomes.get("unmatched", 0)
    if counted != len(events):
        found.append(f"{counted} events counted as accepted, {len(events)} stored")
    aside = town.value("SELECT count(*) FROM engagement_setaside WHERE replayed_at IS NULL")
    if aside != set_aside:
        found.append(f"{aside} requests set aside: {town.rows('SELECT error FROM engagement_setaside')}")
    if not town.drained():
        found.append("work is left over")
    found += [f"told twice: {row}" for row in town.rows(_TOLD_TWICE)]
    with town.pointed():
        found += [f"recount: {example}" for example in recount().examples]
    return found


def figures(town: Town) -> list[str]:
    """What the reports say otherwise than the definitions do of the stored stays. Empty where all is well."""
    found: list[str] = []
    now = datetime.now(UTC)
    for organisation, world, numbers in worlds(town, instant(now)):
        for question in (
            Question(now.date() - timedelta(days=4), now.date() + timedelta(days=1)),
            Question(now.date() - timedelta(days=1), now.date(), "hour"),
        ):
            with town.pointed():
                try:
                    agree(Organisation.objects.get(key=organisation), numbers, world, question, places_of(world))
                except AssertionError as error:
                    found.append(f"figures of {organisation}: {error}")
    return found


def worlds(town: Town, now: int) -> Iterator[tuple[str, World, dict[str, int]]]:
    """Each organisation's places and stored stays, in the terms of the figures' reference; and the primary keys of its zones."""
    stays, known = stored_stays(town), places(town)
    people = {shopper: number for number, shopper in enumerate(sorted({stay.shopper for stay in stays}))}
    zones: dict[str, dict[str, Zone]] = defaultdict(dict)
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    for organisation, number, key, kind, time_zone, root, brand in town.rows(_ZONES):
        parents = tuple((version.valid_from, version.parent) for version in sorted(known[organisation].zones[key], key=lambda version: version.valid_from))
        zones[organisation][key], numbers[organisation][key] = Zone(key, kind, time_zone, root, parents, brand), number
    for organisation, own in zones.items():
        listed = (stay for stay in stays if stay.shopper.organisation == organisation)
        told = tuple(figures_reference.Stay(people[stay.shopper], stay.zone, stay.started, stay.ended, stay.closes_at, stay.counted) for stay in listed)
        yield organisation, World(own, told, now), numbers[organisation]


def _unlike(noun: str, seen: list[Stay], wanted: list[Stay]) -> list[str]:
    have, want = Counter(seen), Counter(wanted)
    return [f"missing {noun}: {one}" for one in (want - have).elements()] + [f"strange {noun}: {one}" for one in (have - want).elements()]


def stored_events(town: Town) -> list[Event]:
    """Every row of the event table in the reference's terms. Its time is corrected already."""
    return [
        Event(organisation, device, event_id, _payload(*payload), instant(at), instant(at), shopper=shopper)
        for organisation, device, event_id, kind, at, shopper, *rest in town.rows(_EVENTS)
        for payload in [(kind, *rest)]
    ]


def _payload(
    kind: int,
    lat: float,
    lon: float,
    accuracy: float,
    beacon: bytes | None,
    rssi: int | None,
    zone: str,
    direction: int,
    name: str,
) -> Payload:
    if kind == inbox.FIX:
        return Fix(lat, lon, accuracy)
    if kind == inbox.SIGHTING:
        return Sighting(bytes(beacon or b"").hex(), rssi)
    if kind == inbox.TRANSITION:
        return Enter(zone) if direction == inbox.ENTER else Exit(zone)
    return Custom(name)


def stored_stays(town: Town) -> list[Stay]:
    return [
        Stay(_who(organisation, external, device), zone, instant(started), instant(ended), instant(closes), counted)
        for organisation, external, device, zone, started, ended, closes, counted in town.rows(_STAYS)
    ]


def _who(organisation: str, external: str | None, device: str | None) -> Shopper:
    return Shopper(organisation, "device", str(device)) if external is None else Shopper(organisation, "shopper", external)


def expected_stays(town: Town, events: list[Event]) -> list[Stay]:
    """What the definitions say of these events. Asked for people who share no device one by one, since the reference is slow."""
    known = places(town)
    return [stay for group in _circles(events) for stay in reference.stays(group, known)]


def _circles(events: list[Event]) -> list[list[Event]]:
    """Events parted so that no device and no shopper is in two parts."""
    head: dict[Any, Any] = {}

    def find(node: Any) -> Any:
        while head.setdefault(node, node) != node:
            node = head[node]
        return node

    for event in events:
        device = (event.organisation, "device", event.device)
        if event.shopper is not None:
            head[find(device)] = find((event.organisation, "shopper", event.shopper))
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[find((event.organisation, "device", event.device))].append(event)
    return list(groups.values())


def places(town: Town) -> dict[str, Places]:
    """Each organisation's places, all versions, in the reference's terms."""
    versions: dict[str, dict[str, list[Version]]] = defaultdict(lambda: defaultdict(list))
    for organisation, zone, parent, grace, least, accuracy, enter, hold, boundary, since, until in town.rows(_VERSIONS):
        versions[organisation][zone].append(Version(parent, grace, least, accuracy, enter, hold, boundary, *_span(since, until)))
    placements: dict[str, list[Placement]] = defaultdict(list)
    for organisation, address, zone, since, until in town.rows(_PLACEMENTS):
        placements[organisation].append(Placement(bytes(address).hex(), zone, *_span(since, until)))
    return {
        organisation: Places({zone: tuple(made) for zone, made in zones.items()}, tuple(placements[organisation])) for organisation, zones in versions.items()
    }


def _span(since: datetime, until: datetime | None) -> tuple[int, int]:
    return reference.BEGINNING if since.year == 1 else instant(since), reference.END if until is None else instant(until)


def identities(town: Town) -> list[tuple[str, str, UUID]]:
    """Of every stored event; one that is stored twice is there twice."""
    return [(event.organisation, event.device, event.id) for event in stored_events(town)]
