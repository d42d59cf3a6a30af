"""Nouns of what it means: stays, their transitions, the figures made of them, and the work of making history again."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from engagement.models import Beacon, Organisation, Shopper, Venue, Zone


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
    done = models.IntegerField(default=0)  # how many that is
    of = models.IntegerField(null=True)  # how many there were when it began
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


class Mark(models.Model):
    """A stay of this zone that starts in this hour was made, changed or removed. Appended with the stay, by the same transaction;
    taken by deletion by whoever makes the zone's day again. Rows are never shared, so writers never wait for each other."""

    zone_id = models.BigIntegerField()
    hour = models.IntegerField()  # hours since 1970, UTC

    class Meta:
        indexes = [models.Index(fields=["zone_id"], name="mark_by_zone")]  # a reader asks what of its zones is not yet made again

    def __str__(self) -> str:
        return f"mark {self.pk}"


class ZoneDay(models.Model):
    """The stays that start on one local day in one zone, as figures and as packed columns: a cache of Stay that can always be made again.

    Two rows where the venue has opening hours: the stays that start inside them, and outside. analytics.facts makes and reads the columns.
    """

    pk = models.CompositePrimaryKey("zone_id", "day", "open")
    zone = models.ForeignKey(Zone, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    day = models.DateField()  # on the venue's clock
    open = models.BooleanField()  # within the opening hours; always true where there are none. This row exists for every made day
    built_at = models.DateTimeField(null=True)  # null: it was not over yet
    due_at = models.DateTimeField(null=True)  # its stays may still change by the clock alone: read them until it is made again at this instant
    restated_at = models.DateTimeField(null=True)  # when it last became another than it was after its day had ended
    reach = models.DateTimeField(null=True)  # when the last of its visits ended: stays of later days can belong to one of them
    digest = models.BigIntegerField(default=0)  # of everything below; 0: no stays
    visits = models.IntegerField(default=0)
    visitors = models.IntegerField(default=0)
    pass_bys = models.IntegerField(default=0)
    dwell_us = models.BigIntegerField(default=0)  # sum over closed counted stays
    classes = models.BinaryField(default=bytes)  # closed counted stays by class of dwell
    hours = models.BinaryField(default=bytes)  # visits, then pass-bys, by hour of the day
    members = models.BinaryField(default=bytes)  # shoppers with a visit (roaring bitmap)
    passed = models.BinaryField(default=bytes)  # shoppers with a pass-by (roaring bitmap)
    class_sets = models.BinaryField(default=bytes)  # shoppers with a closed visit of each class of dwell (roaring bitmaps)
    firsts = models.BinaryField(default=bytes)  # first start of each shopper of `members`, in order of the number
    dwells = models.BinaryField(default=bytes)  # of closed counted stays, rising
    dwell_hours = models.BinaryField(default=bytes)  # their hour of the day
    dwell_shoppers = models.BinaryField(default=bytes)  # and whose they are
    presence = models.BinaryField(default=bytes)  # occupancy at each quarter of an hour, from the day's first instant until the last has left
    activity = models.BinaryField(default=bytes)  # stays of any length in each hour, likewise
    flows = models.BinaryField(default=bytes)  # of a venue's root: from, to and number

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="zoneday_due")]  # what the clock has made due

    def __str__(self) -> str:
        return f"zone {self.zone_id} on {self.day}"


class ZoneIndex(models.Model):
    """When the stored days of a zone last became others. Written by triggers on ZoneDay; analytics.contents keeps lists of days by it."""

    zone_id = models.BigIntegerField(primary_key=True)
    revision = models.BigIntegerField()  # microseconds since 1970; no row: there never was a day

    def __str__(self) -> str:
        return f"index of zone {self.zone_id}"


class Calendar(models.Model):
    """The clock and the opening hours under which a venue's days were cut. Where the venue has others, all its days are made again."""

    venue = models.OneToOneField(Venue, on_delete=models.CASCADE, primary_key=True)
    time_zone = models.CharField(max_length=64)
    opening_hours = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"calendar of {self.venue_id}"


class BeaconHeard(models.Model):
    """That a beacon was heard in an hour, and when last. Written by the stream, kept for nine days: a beacon that falls silent is known by it."""

    beacon = models.ForeignKey(Beacon, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    hour = models.IntegerField()  # hours since 1970, UTC
    at = models.DateTimeField()  # by the events

    class Meta:
        constraints = [models.UniqueConstraint(fields=["beacon", "hour"], name="beacon_heard_once")]

    def __str__(self) -> str:
        return f"{self.beacon_id} {self.at:%Y-%m-%d %H:%M}"


class Regular(models.Model):
    """Somebody who is about every week for so long that he works or lives there. Confirmed ones are left out of every figure."""

    class State(models.TextChoices):
        SUGGESTED = "suggested", _("Suggested")
        CONFIRMED = "confirmed", _("Left out")
        DISMISSED = "dismissed", _("Counted")

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.SUGGESTED)
    zone = models.ForeignKey(Zone, on_delete=models.CASCADE, null=True)  # where it was seen; null: marked by hand
    week = models.DateField(null=True)  # Monday of the ISO week that suggested it
    days = models.SmallIntegerField(null=True)  # with more than 4 h, in that week
    longest_s = models.IntegerField(null=True)  # the most on one of these days
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = _("staff or resident")
        verbose_name_plural = _("staff and residents")
        constraints = [models.UniqueConstraint(fields=["organisation", "shopper"], name="regular_once")]

    def __str__(self) -> str:
        return f"{self.shopper} ({self.state})"


class Trial(models.Model):
    """Work: what other thresholds would have made of a zone's last days, beside what was made of them."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    zone = models.ForeignKey(Zone, on_delete=models.CASCADE)
    settings = models.JSONField()  # the thresholds that are tried; a boundary where it is tried too
    present = models.JSONField(default=dict)  # the thresholds that the zone had when this was asked
    since = models.DateTimeField()
    until = models.DateTimeField()
    done = models.IntegerField(default=0)  # shoppers
    of = models.IntegerField(null=True)  # how many there are; null: nobody has looked yet
    attempts = models.SmallIntegerField(default=0)  # at the next slice: a process that dies of it must not die of it for ever
    result = models.JSONField(null=True)
    failed = models.CharField(max_length=200, blank=True)
    asked_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    saved_at = models.DateTimeField(null=True)  # when its settings became the zone's
    saved_by = models.CharField(max_length=150, blank=True)

    class Meta:
        indexes = [models.Index(fields=["done", "id"], condition=Q(finished_at=None), name="trial_unfinished")]  # the worker: who is least far

    def __str__(self) -> str:
        return f"trial {self.pk}"


class TrialSlice(models.Model):
    """Some of a trial's shoppers, and what was found of them: a row of its own, so that no slice rewrites what the others found."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="slices")
    shoppers = models.BinaryField()  # their numbers, int64, little-endian
    found = models.JSONField(null=True)  # counts on both sides; null: still to be done
    present_dwells = models.BinaryField(default=bytes)  # of closed counted stays, microseconds, int64, little-endian
    tried_dwells = models.BinaryField(default=bytes)

    def __str__(self) -> str:
        return f"slice {self.pk} of {self.trial}"


class Audience(models.Model):
    """A saved rule and, as a cache that can always be made again, who meets it. Written by analytics.audiences alone."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    rule = models.JSONField()
    members = models.BinaryField(default=bytes)  # roaring bitmap of shopper numbers
    count = models.IntegerField(default=0)
    state = models.CharField(max_length=64, blank=True)  # digest of all that the members were made of: the same, and nothing has to be done
    refreshed_at = models.DateTimeField(null=True)  # null: never, or its rule was changed
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="audience_key")]

    def __str__(self) -> str:
        return self.name


class AudienceChange(models.Model):
    """Who joined and who left an audience, as found by one refresh. Two bitmaps, since the first may be a million."""

    audience = models.ForeignKey(Audience, on_delete=models.CASCADE, related_name="changes", db_index=False)
    at = models.DateTimeField()
    joined = models.BinaryField(default=bytes)
    left = models.BinaryField(default=bytes)
    joined_count = models.IntegerField(default=0)
    left_count = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["audience", "at"], name="audience_change_by_time")]  # the audience's page, and since when somebody is in it

    def __str__(self) -> str:
        return f"change {self.pk} of audience {self.audience_id}"
