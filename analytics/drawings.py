"""The plan of a venue as it is now, from its zones' current versions."""

from django.urls import reverse

from analytics.plan import Place
from engagement.models import Venue, ZoneVersion


def places_of(venue: Venue) -> list[Place]:
    """Every zone of the venue, the root too, by floor and name."""
    versions = ZoneVersion.objects.filter(zone__venue=venue, valid_to=None).select_related("zone").order_by("floor", "zone__name")
    return [
        Place(
            key=one.zone.key,
            name=one.zone.name,
            kind=one.zone.kind,
            floor=one.floor,
            boundary=one.boundary,
            page=reverse("admin:engagement_zone_change", args=[one.zone_id]),
        )
        for one in versions
    ]
