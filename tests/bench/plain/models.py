"""The tables that one would begin with: an event a row, and a stay that each event updates."""

from django.db import models


class PlainEvent(models.Model):
    objects: models.Manager["PlainEvent"] = models.Manager()

    organisation_id = models.BigIntegerField()
    device = models.CharField(max_length=128)
    event_id = models.UUIDField()
    at = models.DateTimeField()
    lat = models.FloatField()
    lon = models.FloatField()
    accuracy = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation_id", "device", "event_id"], name="plain_event_once")]


class PlainStay(models.Model):
    objects: models.Manager["PlainStay"] = models.Manager()

    organisation_id = models.BigIntegerField()
    device = models.CharField(max_length=128)
    zone_id = models.BigIntegerField()
    started = models.DateTimeField()
    ended = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["device", "zone_id", "ended"], name="plain_stay_latest")]
