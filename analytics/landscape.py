"""The places that somebody's figures are of: a venue with its zones, brands with their stores. A brand's member has his own stores, and no venue."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import QuerySet

from analytics.plan import Place
from analytics.reports.reading import Subject
from engagement import tenancy
from engagement.models import Brand, Venue, Zone, ZoneKind, ZoneVersion
from engagement.tenancy import Principal


class NoSuchPlace(Exception):
    """The reader has no such place; a stranger's is as unknown as one that never was."""


@dataclass(frozen=True)
class Spot:
    """A zone as the page needs it. `parent`, `brand` and `venue` are keys; a place that the reader may not know of is None."""

    key: str
    name: str
    kind: str
    floor: int | None
    parent: str | None
    brand: str | None
    venue: str | None


@dataclass(frozen=True)
class Landscape:
    """What one page shows. `venue` is None for a brand's member, and where there is none yet."""

    venue: Venue | None
    venues: list[Venue]
    spots: list[Spot]
    brands: list[tuple[str, str]]  # key and name, of those with a store that the reader may see
    drawn: list[Place]  # the venue's zones with their boundaries, for its plan
    start: tuple[str, str] | None  # ("place" or "brand", key) that the page is of; None: nothing is there
    time_zone: str
    opening_hours: bool  # some venue of the page has any

    def as_json(self) -> dict[str, Any]:
        return {
            "venue": {"key": self.venue.key, "name": self.venue.name} if self.venue else None,
            "venues": [{"key": one.key, "name": one.name} for one in self.venues],
            "places": [asdict(spot) for spot in self.spots],
            "brands": [{"key": key, "name": name} for key, name in self.brands],
            "start": self.start,
            "time_zone": self.time_zone,
        }


def around(principal: Principal, *, place: str = "", brand: str = "") -> Landscape:
    """The page of a zone (by key), of a brand, or of the reader's first place. Raises NoSuchPlace."""
    zones = tenancy.zones_of(principal)
    brands = list(tenancy.brands_of(principal).filter(zone__in=zones).distinct().order_by("name"))
    chosen = zones.select_related("venue").filter(key=place).first() if place and "\0" not in place else None
    wanted = next((one for one in brands if one.key == brand), None)
    if (place and chosen is None) or (brand and wanted is None):
        raise NoSuchPlace
    if principal.brand is not None:
        return _of_a_brand(principal.brand, zones, brands, chosen)
    venues = list(Venue.objects.filter(organisation=principal.organisation).order_by("name"))
    store = zones.select_related("venue").filter(brand=wanted).order_by("venue__name").first() if wanted else None
    venue = chosen.venue if chosen else store.venue if store else venues[0] if venues else None
    versions = _current(zones.filter(venue=venue)) if venue else []
    spots = [_spot(one) for one in versions]
    if wanted:
        known = {spot.key for spot in spots}
        spots += [_spot(one) for one in _current(zones.filter(brand=wanted)) if one.zone.key not in known]
    start = ("brand", wanted.key) if wanted else ("place", chosen.key if chosen else venue.key) if venue else None
    return Landscape(
        venue=venue,
        venues=venues,
        spots=spots,
        brands=[(one.key, one.name) for one in brands],
        drawn=[_drawn(one) for one in versions],
        start=start,
        time_zone=venue.time_zone if venue else "UTC",
        opening_hours=venue is not None and venue.opening_hours is not None,
    )


def _of_a_brand(own: Brand, zones: QuerySet[Zone], brands: list[Brand], chosen: Zone | None) -> Landscape:
    """Its stores without what lies around them: not the venue, not its floors, no neighbour."""
    versions = _current(zones)
    spots = [Spot(one.zone.key, one.zone.name, one.zone.kind, None, None, own.key, None) for one in versions]
    first = (chosen or versions[0].zone).venue if versions else None
    return Landscape(
        venue=None,
        venues=[],
        spots=spots,
        brands=[(one.key, one.name) for one in brands],
        drawn=[],
        start=("place", chosen.key) if chosen else ("brand", own.key) if versions else None,
        time_zone=first.time_zone if first else "UTC",
        opening_hours=first is not None and first.opening_hours is not None,
    )


def _current(zones: QuerySet[Zone]) -> list[ZoneVersion]:
    found = ZoneVersion.objects.filter(zone__in=zones, valid_to=None).select_related("zone__venue", "zone__brand", "parent")
    return list(found.order_by("floor", "zone__name"))


def _spot(version: ZoneVersion) -> Spot:
    zone = version.zone
    return Spot(
        key=zone.key,
        name=zone.name,
        kind=zone.kind,
        floor=version.floor,
        parent=version.parent.key if version.parent else None,
        brand=zone.brand.key if zone.brand else None,
        venue=zone.venue.key,
    )


def _drawn(version: ZoneVersion) -> Place:
    zone = version.zone
    return Place(key=zone.key, name=zone.name, kind=zone.kind, floor=version.floor, boundary=version.boundary, page=f"?place={zone.key}")


def subjects(principal: Principal, found: Landscape) -> tuple[Subject, list[Subject]]:
    """What the page is of, and the stores in it (the venue's, or the brand's), as reports take them. The page has a start."""
    assert found.start is not None
    kind, key = found.start
    zones = {zone.key: zone for zone in tenancy.zones_of(principal).filter(key__in=[spot.key for spot in found.spots])}
    listed = [spot for spot in found.spots if spot.kind == ZoneKind.STORE]
    if kind == "brand":
        listed = [spot for spot in listed if spot.brand == key]
        own = tuple(zones[spot.key].pk for spot in found.spots if spot.brand == key)
        return Subject("brand", key, dict(found.brands)[key], own), _each(listed, zones)
    within = [spot for spot in listed if spot.key != key and key in _above(spot, {one.key: one for one in found.spots})]
    return Subject("zone", key, zones[key].name, (zones[key].pk,)), _each(within, zones)


def _each(spots: Iterable[Spot], zones: dict[str, Zone]) -> list[Subject]:
    return [Subject("zone", spot.key, spot.name, (zones[spot.key].pk,)) for spot in spots]


def _above(spot: Spot, known: dict[str, Spot]) -> set[str]:
    """The keys of the places that hold a place, as far as the reader knows them."""
    found: set[str] = set()
    while spot.parent is not None and spot.parent in known and spot.parent not in found:
        found.add(spot.parent)
        spot = known[spot.parent]
    return found
