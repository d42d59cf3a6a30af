"""Nouns of telling operators: alarms and what became of them. They are about the installation, and belong to no tenant."""

from typing import Final

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    OK = "ok", _("OK")  # right, and was never otherwise for long
    PENDING = "pending", _("Pending")  # wrong, but not for as long as the alarm asks
    FIRING = "firing", _("Firing")  # wrong, and told
    RESOLVED = "resolved", _("Resolved")  # right again, and told


# The transition table. The database holds it too.
MOVES: Final[dict[str, tuple[str, ...]]] = {
    State.OK: (State.PENDING, State.FIRING),
    State.PENDING: (State.OK, State.FIRING),
    State.FIRING: (State.RESOLVED,),
    State.RESOLVED: (State.PENDING, State.FIRING),
}
TOLD: Final = (State.FIRING, State.RESOLVED)  # a move into one of these is told to people


class Delivery(models.TextChoices):
    NOT_NEEDED = "not needed", _("Not needed")
    WAITING = "waiting", _("Waiting")
    SENT = "sent", _("Sent to Slack")
    LOGGED = "logged", _("Written to the log")
    REFUSED = "refused", _("Refused by Slack, written to the log")


class Alarm(models.Model):
    """How a declared alarm stands. Written by notifications.ops alone, under its lock."""

    name = models.CharField(max_length=64, primary_key=True)  # of a declaration in notifications.alarms
    state = models.CharField(max_length=16, choices=State.choices, default=State.OK)
    since = models.DateTimeField()  # when it entered the state
    calm_since = models.DateTimeField(null=True)  # while it fires: since when what it reads is right again
    value = models.FloatField(null=True)  # the last reading; null where it could not be read
    evaluated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="alarm_state"),
            models.CheckConstraint(condition=Q(calm_since=None) | Q(state=State.FIRING), name="alarm_calm_while_firing"),
        ]

    def __str__(self) -> str:
        return self.name


def _allowed_moves() -> Q:
    allowed = Q()
    for before, after in MOVES.items():
        allowed |= Q(from_state=str(before), to_state__in=[str(state) for state in after])
    return allowed


class AlarmEvent(models.Model):
    """An alarm moved from one state to another: its history, and the queue of what people are to be told."""

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="events")
    from_state = models.CharField(max_length=16, choices=State.choices)
    to_state = models.CharField(max_length=16, choices=State.choices)
    at = models.DateTimeField()
    value = models.FloatField(null=True)
    sentence = models.TextField()  # for people, as it was then; no addresses, no secrets
    delivery = models.CharField(max_length=16, choices=Delivery.choices)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)  # not tried earlier: somebody is at it, or Slack asked to wait
    told_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=100, blank=True)  # of the last attempt

    class Meta:
        verbose_name = _("alarm event")
        verbose_name_plural = _("alarm history")
        constraints = [
            models.CheckConstraint(condition=_allowed_moves(), name="alarm_event_move"),
            models.CheckConstraint(condition=Q(delivery__in=Delivery.values), name="alarm_event_delivery"),
            models.CheckConstraint(condition=Q(delivery=Delivery.NOT_NEEDED) ^ Q(to_state__in=TOLD), name="alarm_event_told"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(delivery=Delivery.WAITING), name="alarm_event_waiting"),  # notifications.telling: what is next
            models.Index(fields=["at"], name="alarm_event_by_time"),  # notifications.ops: what is too old to keep
        ]

    def __str__(self) -> str:
        return f"{self.alarm_id}: {self.from_state} to {self.to_state}"
