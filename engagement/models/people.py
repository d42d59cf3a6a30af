"""Who: shoppers and their devices, what they said of themselves, what they bought, and that they were erased."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from engagement.models.tenants import Brand, Organisation


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


class IdentityClaim(models.Model):
    """An identified event that may come before the one that decides a device's owner. Settled under both shards' locks."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    device_id = models.BigIntegerField()
    shopper_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    event_id = models.UUIDField()

    def __str__(self) -> str:
        return f"claim {self.pk}"


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
