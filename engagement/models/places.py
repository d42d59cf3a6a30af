"""Where: venues, zones and beacons, with their versions."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from engagement.models.tenants import Brand, Organisation


class Venue(models.Model):
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64)  # IANA name; local days of every figure
    # {"mon": [["09:00", "21:00"]], …, "exceptions": {"2026-12-25": []}} on the venue's clock; null: always open. engagement.opening reads it.
    opening_hours = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="venue_key")]

    def __str__(self) -> str:
        return self.name


class ZoneKind(models.TextChoices):
    VENUE = "venue", _("Venue")
    FLOOR = "floor", _("Floor")
    STORE = "store", _("Store")
    AREA = "area", _("Area")
    ENTRANCE = "entrance", _("Entrance")
    STREET = "street", _("Street")


class Zone(models.Model):
    """Identity of a place. What decides observations (boundary, thresholds, parent) is in its versions."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    venue = models.ForeignKey(Venue, on_delete=models.CASCADE, related_name="zones")
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=ZoneKind.choices)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "key"], name="zone_key"),
            models.UniqueConstraint(fields=["venue"], condition=Q(kind="venue"), name="zone_one_root"),
        ]

    def __str__(self) -> str:
        return self.name


class ZoneVersion(models.Model):
    """What a zone was from `valid_from` until `valid_to` (exclusive; null: still is). The first is valid from the beginning of time."""

    zone = models.ForeignKey(Zone, on_delete=models.CASCADE, related_name="versions")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    parent = models.ForeignKey(Zone, on_delete=models.PROTECT, null=True, related_name="+")  # null only for the root
    floor = models.SmallIntegerField(null=True)
    boundary = models.JSONField(null=True)  # GeoJSON Polygon, WGS 84, lon/lat
    exit_grace_s = models.PositiveIntegerField()
    min_stay_s = models.PositiveIntegerField()
    enter_rssi = models.SmallIntegerField()
    hold_rssi = models.SmallIntegerField()
    max_accuracy_m = models.FloatField()

    class Meta:
        verbose_name = _("change of places")
        verbose_name_plural = _("changes of places")
        constraints = [
            models.UniqueConstraint(fields=["zone", "valid_from"], name="zone_version_from"),
            models.UniqueConstraint(fields=["zone"], condition=Q(valid_to=None), name="zone_version_one_current"),
            models.CheckConstraint(condition=Q(valid_to=None) | Q(valid_to__gt=models.F("valid_from")), name="zone_version_order"),
        ]

    def __str__(self) -> str:
        return f"{self.zone} from {self.valid_from:%Y-%m-%d %H:%M}"


class Beacon(models.Model):
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    key = models.CharField(max_length=64)
    address = models.BinaryField(max_length=21)  # engagement.inbox.*_address

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "key"], name="beacon_key"),
            models.UniqueConstraint(fields=["organisation", "address"], name="beacon_address"),
        ]

    def __str__(self) -> str:
        return self.key


class BeaconPlacement(models.Model):
    """Where a beacon hung from `valid_from` until `valid_to`. The first is valid from the beginning of time."""

    beacon = models.ForeignKey(Beacon, on_delete=models.CASCADE, related_name="placements")
    zone = models.ForeignKey(Zone, on_delete=models.CASCADE, related_name="placements")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["beacon", "valid_from"], name="placement_from"),
            models.UniqueConstraint(fields=["beacon"], condition=Q(valid_to=None), name="placement_one_current"),
        ]

    def __str__(self) -> str:
        return f"{self.beacon} in {self.zone}"


class PlacesChange(models.Model):
    """Places changed while events could already be there: what the stream has to judge again. Taken by deletion."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    since = models.DateTimeField(null=True)  # null: from the beginning of time
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"places change {self.pk}"
