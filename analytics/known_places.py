"""The places whose figures somebody may read, with their names: venues, zones as they are now, and brands."""

from typing import Any, Final

from django.db.models import F

from engagement import tenancy
from engagement.models import Venue, ZoneVersion

THRESHOLDS: Final = ("exit_grace_s", "min_stay_s", "enter_rssi", "hold_rssi", "max_accuracy_m")


def known_places(principal: tenancy.Principal) -> dict[str, list[Any]]:
    """A brand's member knows its stores, and of the venues around them their names and clocks: not what else is in them."""
    zones = tenancy.zones_of(principal)
    found = (
        ZoneVersion.objects.filter(zone__in=zones, valid_to=None)
        .order_by("zone__venue__key", "zone__key")
        .values("floor", *THRESHOLDS, key=F("zone__key"), name=F("zone__name"), kind=F("zone__kind"), venue=F("zone__venue__key"),
                time_zone=F("zone__venue__time_zone"), brand=F("zone__brand__key"), above=F("parent__key"))
    )  # fmt: skip
    rows = list(found)
    keys = {row["key"] for row in rows}
    venues = Venue.objects.filter(zones__in=zones).distinct().order_by("key").values("key", "name", "time_zone", "opening_hours")
    return {
        "venues": list(venues),
        "zones": [
            {
                **{name: row[name] for name in ("key", "name", "kind", "venue", "time_zone", "floor", "brand")},
                "parent": row["above"] if row["above"] in keys else None,
                "thresholds": {name: row[name] for name in THRESHOLDS},
            }
            for row in rows
        ],
        "brands": list(tenancy.brands_of(principal).order_by("key").values("key", "name")),
    }
