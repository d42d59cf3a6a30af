"""Nouns of what Atrium does by itself: each action and its switch, parked work sent on again, backups, and readings over time."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from engagement.models import Organisation


class Mode(models.TextChoices):
    ON = "on", _("On")
    DRY_RUN = "dry run", _("Dry run")  # says what it would do
    OFF = "off", _("Off")


class Switch(models.Model):
    """How an automatic action stands, where somebody has said so; the others are on."""

    action = models.CharField(max_length=64, primary_key=True)  # of a declaration in operations.upkeep
    mode = models.CharField(max_length=16, choices=Mode.choices)
    by = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(mode__in=Mode.values), name="switch_mode")]

    def __str__(self) -> str:
        return f"{self.action}: {self.mode}"


class Result(models.TextChoices):
    UNDER_WAY = "under way", _("Under way")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    DRY_RUN = "dry run", _("Would have been done")


class Action(models.Model):
    """Something that Atrium did by itself: what was seen, what was done, what came of it."""

    action = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)
    seen = models.TextField()
    done = models.TextField()
    outcome = models.TextField(blank=True)
    result = models.CharField(max_length=16, choices=Result.choices, default=Result.UNDER_WAY)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("automatic action")
        verbose_name_plural = _("automatic actions")
        constraints = [models.CheckConstraint(condition=Q(result__in=Result.values), name="action_result")]
        indexes = [models.Index(fields=["action", "-at"], name="action_latest"), models.Index(fields=["at"], name="action_by_time")]

    def __str__(self) -> str:
        return f"{self.action} {self.at:%Y-%m-%d %H:%M}"


class Redrive(models.Model):
    """Parked work of one kind and cause, sent on again: one first, the rest when that one went well, at a set rate."""

    class State(models.TextChoices):
        CANARY = "canary", _("The first is tried")
        RELEASING = "releasing", _("The rest is sent on")
        SETTLING = "settling", _("All are sent on; some are not at their end")
        FINISHED = "finished", _("Finished")
        STOPPED = "stopped", _("Stopped")  # the canary failed, or somebody stopped it: what was not sent on stays parked

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, null=True)  # null: the installation's own work
    kind = models.CharField(max_length=32)  # of operations.work
    cause = models.CharField(max_length=64)  # digest of the cause, as operations.work groups by it
    cause_text = models.CharField(max_length=300)  # for people; no addresses, no positions
    state = models.CharField(max_length=16, choices=State.choices, default=State.CANARY)
    rate = models.FloatField()  # items a second
    total = models.PositiveIntegerField(default=0)  # items noted when it began: what the counts of its items must add up to
    by = models.CharField(max_length=150)
    began_at = models.DateTimeField(default=timezone.now)
    advanced_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    why = models.TextField(blank=True)  # it was stopped

    class Meta:
        verbose_name = _("redrive")
        verbose_name_plural = _("redrives")
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["canary", "releasing", "settling", "finished", "stopped"]), name="redrive_state"),
            models.CheckConstraint(condition=Q(rate__gt=0), name="redrive_rate"),
            models.UniqueConstraint(
                fields=["organisation", "kind", "cause"],
                condition=Q(state__in=["canary", "releasing", "settling"]),
                name="redrive_one_at_a_time",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"redrive {self.pk}"


class RedriveItem(models.Model):
    """One parked row of a redrive, and how it went. The counts by state add up to what was parked when it began."""

    class State(models.TextChoices):
        PARKED = "parked", _("Still parked")
        RELEASED = "released", _("Sent on")
        DONE = "done", _("Went well")
        PARKED_AGAIN = "parked again", _("Parked again")
        GONE = "gone", _("Gone meanwhile")  # erased, cancelled, sent on by somebody else: it is not parked, and nobody can say that it went well

    redrive = models.ForeignKey(Redrive, on_delete=models.CASCADE, related_name="items")
    item = models.BigIntegerField()  # primary key of the parked row
    state = models.CharField(max_length=16, choices=State.choices, default=State.PARKED)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["redrive", "item"], name="redrive_item_once"),
            models.CheckConstraint(condition=Q(state__in=["parked", "released", "done", "parked again", "gone"]), name="redrive_item_state"),
            # What went some way was sent on by this, and what is parked was not.
            models.CheckConstraint(
                condition=Q(state="gone") | Q(state="parked", released_at=None) | Q(state__in=["released", "done", "parked again"], released_at__isnull=False),
                name="redrive_item_released",
            ),
        ]
        indexes = [models.Index(fields=["redrive", "state", "item"], name="redrive_item_by_state")]

    def __str__(self) -> str:
        return f"{self.redrive_id}: {self.item}"


class Backup(models.Model):
    """A backup that was made, as far as this database knows: a restored one knows those before it. The folder's own list is the truth."""

    name = models.CharField(max_length=100, unique=True)  # of its folder, as 2026-11-21T031000Z
    made_at = models.DateTimeField()
    bytes = models.BigIntegerField(default=0)
    verified_at = models.DateTimeField(null=True)  # restored into a scratch database, and found whole
    removed_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)  # no secrets

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        indexes = [models.Index(fields=["-made_at"], name="backup_latest")]

    def __str__(self) -> str:
        return self.name


class Reading(models.Model):
    """What was measured at a minute, for lines over the day. Kept for eight days."""

    name = models.CharField(max_length=64)  # stream-lag, inbox-events, messages-planned, send-rate, ...
    at = models.DateTimeField()
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "at"], name="reading_once")]
        indexes = [models.Index(fields=["at"], name="reading_by_time")]

    def __str__(self) -> str:
        return f"{self.name} {self.value:g}"
