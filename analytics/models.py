"""Nouns of what it means: stays, their transitions, and the work of making history again."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from engagement.models import Organisation, Shopper, Zone


class Stay(models.Model):
    """A chain of observations with at least one opening. Written by the stream alone; always made again from the events."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shard = models.SmallIntegerField()
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    zone = models.ForeignKey(Zone, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    started = models.DateTimeField()  # first opening observation
    ended = models.DateTimeField()  # last observation
    closes_at = models.DateTimeField()  # the last instant at which a further observation would extend it
    cut = models.BooleanField(default=False)  # closes_at comes from an exit, not from the grace
    counted = models.BooleanField()  # dwell >= min_stay_s of the version valid at `started`
    closed = models.BooleanField(default=False)  # the sweep has told `left`; readers use closes_at and their own clock

    class Meta:
        constraints = [
            # The stream: stays of a shopper from a horizon on; and that nothing is stored twice.
            models.UniqueConstraint(fields=["shopper", "started", "zone"], name="stay_once"),
            models.CheckConstraint(condition=Q(ended__gte=F("started")), name="stay_order"),
        ]
        indexes = [
            models.Index(fields=["zone", "started"], name="stay_by_zone"),  # reports, and /api/v1/stays of a zone
            models.Index(fields=["organisation", "started"], name="stay_by_time"),  # /api/v1/stays of all zones
            # The sweep. No column of it changes while a stay grows, so growing stays a HOT update.
            models.Index(fields=["shard"], condition=Q(closed=False), name="stay_not_closed"),
        ]

    def __str__(self) -> str:
        return f"stay {self.pk}"


class DwellMark(models.Model):
    """Somebody asked to be told when a stay in this zone passes this many minutes."""

    zone = models.ForeignKey(Zone, on_delete=models.CASCADE)
    minutes = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["zone", "minutes"], name="dwell_mark_once")]

    def __str__(self) -> str:
        return f"{self.zone}: {self.minutes} min"


class Transition(models.Model):
    """The outbox: what changed in somebody's presence. Written with the stay it speaks of, in one transaction."""

    class Kind(models.TextChoices):
        ENTERED = "entered"
        DWELLED = "dwelled"
        LEFT = "left"
        RECUT = "re-cut"  # a stay that was already told is no longer as it was told

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shard = models.SmallIntegerField()
    shopper_id = models.BigIntegerField()
    zone_id = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    started = models.DateTimeField()  # of the stay
    at = models.DateTimeField()  # when it happened, by the events
    minutes = models.PositiveSmallIntegerField(null=True)  # of a dwell mark
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Recut(models.Model):
    """Work: make the stays of an organisation again from its events since an instant. The stream does it, a slice at a time."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    since = models.DateTimeField(null=True)  # null: from the beginning
    cursor = models.BigIntegerField(default=0)  # shoppers up to here are done
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    changed = models.BigIntegerField(default=0)  # stays made, changed or removed

    class Meta:
        verbose_name = _("re-cut")
        verbose_name_plural = _("re-cuts")

    def __str__(self) -> str:
        return f"re-cut {self.pk}"


class Recount(models.Model):
    """What a recount found: everything again from the events, beside what is stored."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    shoppers = models.BigIntegerField()
    stays = models.BigIntegerField()
    differences = models.BigIntegerField()
    examples = models.JSONField(default=list)  # the first differences, as sentences; ids only, no positions

    def __str__(self) -> str:
        return f"recount {self.pk}: {self.differences} differences"
