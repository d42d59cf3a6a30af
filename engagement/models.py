"""Nouns of what happened: tenants, places, people, events; and their constraints.

Tables that the door and the stream write carry no foreign-key constraints (ARCHITECTURE.md says why) and are written
without the ORM; they are read-only everywhere else.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Organisation(models.Model):
    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    places_revision = models.PositiveIntegerField(default=0, editable=False)  # raised by each change of places; the stream reloads
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")  # may change places and keys
    ANALYST = "analyst", _("Analyst")  # may look


class Membership(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.ANALYST)
    # A brand's member sees the figures of the brand's stores, and nothing else of the organisation.
    brand = models.ForeignKey("Brand", on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    def clean(self) -> None:
        if self.brand is not None and self.brand.organisation_id != self.organisation_id:
            raise ValidationError({"brand": _("This brand belongs to another organisation.")})


class Brand(models.Model):
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="brand_key")]

    def __str__(self) -> str:
        return self.name


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


class KeyKind(models.TextChoices):
    PUBLISHABLE = "publishable", _("Publishable: the app posts events")
    SECRET = "secret", _("Secret: a server reads and manages")
    IMPORT = "import", _("Import: posts events of any age, starts no message")


class ApiKey(models.Model):
    """Only the SHA-256 digest is kept: the token has 256 random bits, so a slow hash would add nothing but latency."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=KeyKind.choices)
    prefix = models.CharField(max_length=16)  # the visible beginning of the token, to tell keys apart
    digest = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="api_key_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Shopper(models.Model):
    """One person: either the app's own id was given (`external_id`), or a device of its own (`device_key`)."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shard = models.SmallIntegerField()
    external_id = models.CharField(max_length=128, null=True)
    device_key = models.CharField(max_length=128, null=True)
    last_at = models.DateTimeField(null=True)  # greatest occurred_at of all accepted events
    horizon = models.DateTimeField(null=True)  # no stay that a prompt event could extend started before this
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "external_id"], name="shopper_external"),
            models.UniqueConstraint(fields=["organisation", "device_key"], name="shopper_device"),
            models.CheckConstraint(
                condition=Q(external_id=None, device_key__isnull=False) | Q(external_id__isnull=False, device_key=None), name="shopper_one_origin"
            ),
        ]

    def __str__(self) -> str:
        return self.external_id or f"shopper {self.pk}"


class Device(models.Model):
    """An app's installation. `owner` has its anonymous events; `first_*` is the identified event that decided so."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    key = models.CharField(max_length=128)
    platform = models.CharField(max_length=32, blank=True)
    app_version = models.CharField(max_length=32, blank=True)
    owner = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, related_name="owned_devices")
    first_identified_at = models.DateTimeField(null=True)
    first_identified_event = models.UUIDField(null=True)
    # Bounds of at - occurred_at over its events, in seconds, and the UTC days of `at`, as days since 1970: they tell
    # the late path which partitions can hold events of a window, and where a repeat under another day could lie.
    skew_min_s = models.BigIntegerField(default=0)
    skew_max_s = models.BigIntegerField(default=0)
    days = ArrayField(models.IntegerField(), default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="device_key")]

    def __str__(self) -> str:
        return self.key


class ShopperDevice(models.Model):
    """A shopper was named in a request of this device: where the late path looks for the shopper's identified events."""

    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    device = models.ForeignKey(Device, on_delete=models.DO_NOTHING, db_constraint=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shopper", "device"], name="shopper_device_once")]

    def __str__(self) -> str:
        return f"{self.shopper} on {self.device}"


class Inbox(models.Model):
    """One accepted request on its way to the stream. Written by the door, deleted by the stream; nobody else writes."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shard = models.SmallIntegerField()
    received_at = models.DateTimeField()
    events = models.IntegerField()  # accepted events inside; 0 for a row that only reports refusals
    imported = models.BooleanField(default=False)  # posted with an import key: starts no message
    payload = models.BinaryField()  # engagement.inbox.pack

    class Meta:
        # The stream's claim: the oldest rows of a shard, organisation by organisation.
        indexes = [models.Index(fields=["shard", "organisation", "id"], name="inbox_claim")]

    def __str__(self) -> str:
        return f"inbox {self.pk}"


class ShardState(models.Model):
    """How often work on a shard was begun without being finished. One row a shard, made by the migration."""

    shard = models.SmallIntegerField(primary_key=True)
    attempts = models.IntegerField(default=0)
    suspect = models.BigIntegerField(null=True)  # the inbox row being tried alone
    suspect_attempts = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"shard {self.shard}"


class SetAside(models.Model):
    """An inbox row that failed alone, again and again: its bytes and its error, until somebody replays it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False)
    shard = models.SmallIntegerField()
    received_at = models.DateTimeField()
    events = models.IntegerField()
    imported = models.BooleanField(default=False)
    payload = models.BinaryField()
    error = models.TextField()  # never the payload's content: type and place of the failure
    set_aside_at = models.DateTimeField(auto_now_add=True)
    replayed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("request set aside")
        verbose_name_plural = _("set aside")

    def __str__(self) -> str:
        return f"set aside {self.pk}"


class Event(models.Model):
    """An accepted event, once. Partitioned by `day`; the unique key (day, device, event_id) is the promise."""

    pk = models.CompositePrimaryKey("day", "device_id", "event_id")
    day = models.DateField()  # UTC day of `at`, as the client said it: a retry cannot change it
    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    device_id = models.BigIntegerField()
    event_id = models.UUIDField()
    kind = models.SmallIntegerField()  # engagement.inbox.FIX and the others
    at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    shopper_id = models.BigIntegerField(null=True)  # whom the request named; null: anonymous, so the device's owner
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)
    accuracy = models.FloatField(null=True)
    beacon = models.BinaryField(null=True)  # engagement.inbox.*_address
    rssi = models.SmallIntegerField(null=True)
    zone = models.CharField(max_length=64, null=True)  # key named by a transition
    direction = models.SmallIntegerField(null=True)
    name = models.CharField(max_length=128, null=True)
    properties = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "engagement_event"

    def __str__(self) -> str:
        return f"event {self.event_id}"


class IdentityClaim(models.Model):
    """An identified event that may come before the one that decides a device's owner. Settled under both shards' locks."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    device_id = models.BigIntegerField()
    shopper_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    event_id = models.UUIDField()

    def __str__(self) -> str:
        return f"claim {self.pk}"


class Outcome(models.Model):
    """How many events came to what, by hour of receipt. The shard is in the key, so shards never wait for each other."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    hour = models.DateTimeField()  # start of the UTC hour of received_at
    shard = models.SmallIntegerField()
    outcome = models.CharField(max_length=24)  # accepted, unmatched, duplicate, or the reason of a refusal
    events = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "hour", "shard", "outcome"], name="outcome_key")]

    def __str__(self) -> str:
        return f"{self.outcome} {self.events}"


class RecentEvent(models.Model):
    """A sample of the last minutes for the live page: what came and what became of it. Pruned by the stream."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    received_at = models.DateTimeField()
    device = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    outcome = models.CharField(max_length=24)
    zones = models.CharField(max_length=400)  # keys of the zones it opened, parted by spaces

    class Meta:
        indexes = [models.Index(fields=["organisation", "id"], name="recent_event_latest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"


class Heartbeat(models.Model):
    """When a process that has no door of its own last said that it works. engagement.health writes and reads it."""

    process = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.process} {self.at:%Y-%m-%d %H:%M:%S}"


class Purchase(models.Model):
    """What a shopper bought of a brand, as the organisation's own systems tell it. `key` is theirs: told twice, it is one purchase."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=128)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, db_index=False)
    at = models.DateTimeField()
    amount = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)  # ISO 4217

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="purchase_once")]
        indexes = [
            # Conversion. It has all that is asked: of twenty brands' year, a visit to the table for each purchase would take most of the time.
            models.Index(fields=["brand", "at"], include=["organisation", "shopper"], name="purchase_by_brand"),
            models.Index(fields=["shopper"], name="purchase_by_shopper"),  # a shopper's page, a merge, an erasure
        ]

    def __str__(self) -> str:
        return f"purchase {self.key}"


class Erasure(models.Model):
    """Work, and what is left of it: that a shopper was erased, when, and how much it was. No longer who. The stream does it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    shopper_id = models.BigIntegerField(null=True)  # whom; null once it is done
    requested_at = models.DateTimeField(auto_now_add=True)
    requested_by = models.CharField(max_length=150, blank=True)  # who asked: a user, or a key's name
    finished_at = models.DateTimeField(null=True)
    events = models.BigIntegerField(default=0)
    stays = models.BigIntegerField(default=0)
    devices = models.IntegerField(default=0)  # that nobody else used
    purchases = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shopper_id"], condition=Q(shopper_id__isnull=False), name="erasure_once")]
        indexes = [
            models.Index(fields=["organisation", "id"], name="erasure_by_organisation"),  # the admin's list; how many events a recount must miss
            models.Index(fields=["id"], condition=Q(finished_at=None), name="erasure_waiting"),  # the stream
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk}"


class Erased(models.Model):
    """The name of a shopper or device that was erased, as a keyed digest: what is from before `until` is not taken in under it again."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE)
    digest = models.BinaryField(max_length=32)  # engagement.shoppers.digest
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "digest"], name="erased_once")]
        indexes = [models.Index(fields=["organisation", "until"], name="erased_until")]  # the stream: is anything of a batch so old?

    def __str__(self) -> str:
        return f"erased until {self.until:%Y-%m-%d %H:%M:%S}"
