"""A plan to rows, in bulk, inside the caller's transaction and under the lock of the organisation's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from django.db.models import F, Model

from engagement import tenancy
from engagement.models import ApiKey, Beacon, BeaconPlacement, Brand, Device, KeyKind, Organisation, PlacesChange, Venue, Zone, ZoneVersion
from engagement.provisioning.plan import VENUE_FIELDS, VERSIONED, BeaconTarget, Plan, Step, Verb, ZoneTarget
from engagement.provisioning.state import State

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)  # the first version: history that is imported later finds it
_BATCH: Final = 1000
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class _Rows:
    """What is there by key, growing as it is made."""

    organisation: Organisation
    brands: dict[str, Brand]
    venues: dict[str, Venue]
    zones: dict[str, Zone]
    beacons: dict[str, Beacon]


def apply(plan: Plan, state: State, now: datetime) -> dict[str, str]:
    """Do what the plan says; returns the tokens of the keys made, by name."""
    wanted = plan.organisation.target
    organisation = state.organisation or Organisation.objects.create(key=wanted.key, name=wanted.name)
    rows = _Rows(organisation, dict(state.brands), dict(state.venues), dict(state.zones), dict(state.beacons))
    expects_events = _may_have_events(organisation, state)
    if plan.organisation.verb is Verb.CHANGE:
        Organisation.objects.filter(pk=organisation.pk).update(name=wanted.name)
    _brands(plan, rows)
    _venues(plan, rows)
    _zones(plan, rows)
    since = [*_zone_versions(plan, state, rows, now), *_beacons(plan, state, rows, now)]
    if any(step.verb is not Verb.KEEP for section in (plan.brands, plan.venues, plan.zones, plan.beacons) for step in section):
        Organisation.objects.filter(pk=organisation.pk).update(places_revision=F("places_revision") + 1)
    if since and expects_events:
        earliest = min(since)
        PlacesChange.objects.create(organisation=organisation, since=None if earliest == BEGINNING else earliest, reason=_reason(plan))
    return _keys(plan, organisation)


def _may_have_events(organisation: Organisation, state: State) -> bool:
    """Whether events could have been judged by the places as they were.

    A key for the door is enough: an event may be on its way that no table shows yet.
    """
    return any(key.kind != KeyKind.SECRET for key in state.keys.values()) or Device.objects.filter(organisation=organisation).exists()


def _reason(plan: Plan) -> str:
    keys = [step.key for section in (plan.zones, plan.beacons) for step in section if step.verb is not Verb.KEEP]
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ("provisioned " + ", ".join(keys[:3]))[: 200 - len(more)] + more


def _rewrite(model: type[Row], rows: list[Row], names: Sequence[str]) -> None:
    """Existing rows, by their primary key. Django's bulk_update builds a CASE for each field and row: some ten times slower."""
    model._default_manager.bulk_create(rows, batch_size=_BATCH, update_conflicts=True, unique_fields=["id"], update_fields=list(names))


def _brands(plan: Plan, rows: _Rows) -> None:
    new = [Brand(organisation=rows.organisation, key=step.key, name=step.target.name) for step in plan.brands if step.verb is Verb.CREATE]
    rows.brands.update({brand.key: brand for brand in Brand.objects.bulk_create(new, batch_size=_BATCH)})
    changed = [step for step in plan.brands if step.verb is Verb.CHANGE]
    for step in changed:
        rows.brands[step.key].name = step.target.name
    _rewrite(Brand, [rows.brands[step.key] for step in changed], ("name",))


def _venues(plan: Plan, rows: _Rows) -> None:
    new = [
        Venue(organisation=rows.organisation, key=step.key, **{name: getattr(step.target, name) for name in VENUE_FIELDS})
        for step in plan.venues
        if step.verb is Verb.CREATE
    ]
    rows.venues.update({venue.key: venue for venue in Venue.objects.bulk_create(new, batch_size=_BATCH)})
    changed = [step for step in plan.venues if step.verb is Verb.CHANGE]
    for step in changed:
        for name in VENUE_FIELDS:
            setattr(rows.venues[step.key], name, getattr(step.target, name))
    _rewrite(Venue, [rows.venues[step.key] for step in changed], VENUE_FIELDS)


def _zones(plan: Plan, rows: _Rows) -> None:
    """The identities. All of them before any version, since a version may name any zone as its parent."""
    new = []
    for step in plan.zones:
        if step.verb is Verb.CREATE:
            target = step.target
            brand = rows.brands[target.brand] if target.brand else None
            zone = Zone(organisation=rows.organisation, venue=rows.venues[target.venue], key=step.key, name=target.name, kind=target.kind, brand=brand)
            new.append(zone)
    rows.zones.update({zone.key: zone for zone in Zone.objects.bulk_create(new, batch_size=_BATCH)})
    changed = [step for step in plan.zones if step.differs("name", "kind", "brand")]
    for step in changed:
        zone, target = rows.zones[step.key], step.target
        zone.name, zone.kind, zone.brand = target.name, target.kind, rows.brands[target.brand] if target.brand else None
    _rewrite(Zone, [rows.zones[step.key] for step in changed], ("name", "kind", "brand"))


def _zone_versions(plan: Plan, state: State, rows: _Rows, now: datetime) -> list[datetime]:
    """Write the versions; returns the instants from which each holds."""
    opened, rewritten, closed = [], [], []
    for step in plan.zones:
        if step.verb is Verb.CREATE:
            opened.append(ZoneVersion(zone=rows.zones[step.key], valid_from=BEGINNING, **_settings(step, rows)))
        elif step.differs(*VERSIONED):
            current = state.versions[step.key]
            if current.valid_from < now:
                closed.append(current.pk)
                opened.append(ZoneVersion(zone=rows.zones[step.key], valid_from=now, **_settings(step, rows)))
            else:
                # A second change at the same instant: one that nothing was ever judged by leaves no trace.
                for name, value in _settings(step, rows).items():
                    setattr(current, name, value)
                rewritten.append(current)
    ZoneVersion.objects.filter(pk__in=closed).update(valid_to=now)
    ZoneVersion.objects.bulk_create(opened, batch_size=_BATCH)
    _rewrite(ZoneVersion, rewritten, VERSIONED)
    return [version.valid_from for version in (*opened, *rewritten)]


def _settings(step: Step[ZoneTarget], rows: _Rows) -> Mapping[str, Any]:
    return {"parent": rows.zones[step.target.parent] if step.target.parent else None, **step.target.settings}


def _beacons(plan: Plan, state: State, rows: _Rows, now: datetime) -> list[datetime]:
    """Write beacons and where they hang; returns the instants from which each holds."""
    new = [Beacon(organisation=rows.organisation, key=step.key, address=step.target.address) for step in plan.beacons if step.verb is Verb.CREATE]
    rows.beacons.update({beacon.key: beacon for beacon in Beacon.objects.bulk_create(new, batch_size=_BATCH)})
    opened, rewritten, closed = [], [], []
    for step in plan.beacons:
        current = state.placements.get(step.key)
        if current is None:
            opened.append(_placement(step, rows, BEGINNING))
        elif step.verb is Verb.CHANGE and current.valid_from < now:
            closed.append(current.pk)
            opened.append(_placement(step, rows, now))
        elif step.verb is Verb.CHANGE:
            current.zone = rows.zones[step.target.zone]
            rewritten.append(current)
    BeaconPlacement.objects.filter(pk__in=closed).update(valid_to=now)
    BeaconPlacement.objects.bulk_create(opened, batch_size=_BATCH)
    _rewrite(BeaconPlacement, rewritten, ("zone",))
    return [placement.valid_from for placement in (*opened, *rewritten)]


def _placement(step: Step[BeaconTarget], rows: _Rows, valid_from: datetime) -> BeaconPlacement:
    return BeaconPlacement(beacon=rows.beacons[step.key], zone=rows.zones[step.target.zone], valid_from=valid_from)


def _keys(plan: Plan, organisation: Organisation) -> dict[str, str]:
    made: dict[str, str] = {}
    rows: list[ApiKey] = []
    for step in plan.keys:
        if step.verb is Verb.CREATE:
            row, made[step.key] = tenancy.new_key(organisation=organisation, name=step.key, kind=step.target.kind)
            rows.append(row)
    ApiKey.objects.bulk_create(rows, batch_size=_BATCH)
    return made
