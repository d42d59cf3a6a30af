"""What an organisation has now: everything that a provision file can speak of, by key."""

from dataclasses import dataclass, field

from engagement.models import ApiKey, Beacon, BeaconPlacement, Brand, Organisation, Venue, Zone, ZoneVersion


@dataclass(frozen=True)
class State:
    organisation: Organisation | None = None  # None: there is none yet
    brands: dict[str, Brand] = field(default_factory=dict)
    venues: dict[str, Venue] = field(default_factory=dict)
    zones: dict[str, Zone] = field(default_factory=dict)  # root zones too
    versions: dict[str, ZoneVersion] = field(default_factory=dict)  # the current one, by the zone's key
    beacons: dict[str, Beacon] = field(default_factory=dict)
    placements: dict[str, BeaconPlacement] = field(default_factory=dict)  # the current one, by the beacon's key
    keys: dict[str, ApiKey] = field(default_factory=dict)


def load(organisation: Organisation | None) -> State:
    if organisation is None:
        return State()
    brands = {brand.key: brand for brand in Brand.objects.filter(organisation=organisation)}
    zones = {zone.key: zone for zone in Zone.objects.filter(organisation=organisation).select_related("venue", "brand")}
    versions = ZoneVersion.objects.filter(zone__organisation=organisation, valid_to=None).select_related("zone", "parent")
    placements = BeaconPlacement.objects.filter(beacon__organisation=organisation, valid_to=None).select_related("beacon", "zone")
    return State(
        organisation=organisation,
        brands=brands,
        venues={venue.key: venue for venue in Venue.objects.filter(organisation=organisation)},
        zones=zones,
        versions={version.zone.key: version for version in versions},
        beacons={beacon.key: beacon for beacon in Beacon.objects.filter(organisation=organisation)},
        placements={placement.beacon.key: placement for placement in placements},
        keys={key.name: key for key in ApiKey.objects.filter(organisation=organisation)},
    )
