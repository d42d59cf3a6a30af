"""What shoppers may be told: their addresses and attributes, what they agreed to, lists of them, and imports of all that.

`changed` is the number of the transaction that last wrote the row, set by a trigger: whoever keeps the rows in memory reads again those from
the oldest transaction on that was under way when he last read (analytics.audiences.columns).
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from engagement.models.people import Shopper
from engagement.models.tenants import Organisation


class Channel(models.TextChoices):
    EMAIL = "email", _("E-mail")


class Profile(models.Model):
    """What a shopper's organisation told of him. Its row is also the lock under which messages to him are claimed."""

    shopper = models.OneToOneField(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    email = models.CharField(max_length=254, blank=True)  # as given; compared by lower()
    language = models.CharField(max_length=35, blank=True)  # BCP 47
    time_zone = models.CharField(max_length=64, blank=True)  # IANA name
    attributes = models.JSONField(default=dict)  # name to text, number or truth
    updated_at = models.DateTimeField()
    changed = models.BigIntegerField(default=0, editable=False)

    class Meta:
        # Who has this address: a suppression, a bounce. profile_by_email on (organisation, lower(email)) is made by the migration.
        indexes = [models.Index(fields=["organisation", "changed"], name="profile_changed")]  # what is kept in memory, brought up to date

    def __str__(self) -> str:
        return f"profile of {self.shopper_id}"


class Consent(models.Model):
    """The ledger: somebody agreed, or no longer does. Rows are added and never changed; an erasure alone removes them."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    purpose = models.CharField(max_length=64)  # "marketing", or the organisation's own word
    given = models.BooleanField()
    at = models.DateTimeField()  # when he said so
    source = models.CharField(max_length=64, blank=True)  # checkout, import, unsubscribe, preference page
    wording = models.CharField(max_length=200, blank=True)  # the version of what he was asked
    recorded_at = models.DateTimeField(auto_now_add=True)
    recorded_by = models.CharField(max_length=150, blank=True)  # a user, a key's name; empty: the shopper himself

    class Meta:
        constraints = [
            # The same thing told twice is one row.
            models.UniqueConstraint(fields=["shopper", "channel", "purpose", "at", "given"], name="consent_once"),
        ]

    def __str__(self) -> str:
        return f"consent {self.pk}"


class ConsentState(models.Model):
    """What holds: the latest row of the ledger by `at`; of two at one instant, the withdrawal. Written with the ledger, in one transaction."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    purpose = models.CharField(max_length=64)
    given = models.BooleanField()
    at = models.DateTimeField()
    changed = models.BigIntegerField(default=0, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shopper", "channel", "purpose"], name="consent_state_once")]
        indexes = [models.Index(fields=["organisation", "changed"], name="consent_state_changed")]

    def __str__(self) -> str:
        return f"consent of {self.shopper_id}"


class ShopperList(models.Model):
    """A set of shoppers that somebody put together: of an import, or by hand."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("list of shoppers")
        verbose_name_plural = _("lists of shoppers")
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="shopper_list_key")]

    def __str__(self) -> str:
        return self.name


class ListMember(models.Model):
    """Rows are kept when somebody leaves, so that who keeps lists in memory hears of it."""

    list = models.ForeignKey(ShopperList, on_delete=models.CASCADE, related_name="members", db_index=False)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False)
    present = models.BooleanField(default=True)
    changed = models.BigIntegerField(default=0, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["list", "shopper"], name="list_member_once")]
        indexes = [models.Index(fields=["list", "changed"], name="list_member_changed")]

    def __str__(self) -> str:
        return f"{self.shopper_id} in {self.list_id}"


class ShopperImport(models.Model):
    """Work: a file of shoppers, looked at (dry run) or taken in, with its faults by line."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("Waiting for its columns to be named")
        CHECKING = "checking", _("Being looked at")
        CHECKED = "checked", _("Looked at")
        RUNNING = "running", _("Being taken in")
        FINISHED = "finished", _("Taken in")
        FAILED = "failed", _("Failed")

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)  # of the file
    content = models.BinaryField()  # gzip; emptied a week after it was taken in
    mapping = models.JSONField(default=dict)  # column to field
    consent = models.JSONField(default=dict)  # purpose, wording, source, at: of rows that bring none of their own
    into = models.ForeignKey(ShopperList, on_delete=models.SET_NULL, null=True, blank=True)  # everybody in the file joins it
    state = models.CharField(max_length=10, choices=State.choices, default=State.UPLOADED)
    line = models.IntegerField(default=0)  # lines up to here are done: where to go on
    lines = models.IntegerField(null=True)
    created = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    faults = models.JSONField(default=list)  # the first thousand: line, column, reason; never the value
    attempts = models.SmallIntegerField(default=0)
    asked_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("import of shoppers")
        verbose_name_plural = _("imports of shoppers")
        indexes = [models.Index(fields=["id"], condition=Q(state__in=["checking", "running"]), name="shopper_import_waiting")]

    def __str__(self) -> str:
        return self.name
