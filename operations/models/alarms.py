"""Nouns of alarms: how each stands, its history, its incidents, and who asked for silence. They are about the installation, and belong to no tenant."""

from typing import Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    OK = "ok", _("OK")  # right, and was never otherwise for long
    PENDING = "pending", _("Pending")  # wrong, but not for as long as the alarm asks
    FIRING = "firing", _("Firing")  # wrong, and told
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")  # wrong, and somebody is at it
    SILENCED = "silenced", _("Silenced")  # wrong, and nobody wants to hear of it for now
    RESOLVED = "resolved", _("Resolved")  # right again, and told


# The transition table. The database holds it too.
MOVES: Final[dict[str, tuple[str, ...]]] = {
    State.OK: (State.PENDING, State.FIRING, State.SILENCED),
    State.PENDING: (State.OK, State.FIRING, State.SILENCED),
    State.FIRING: (State.ACKNOWLEDGED, State.SILENCED, State.RESOLVED),
    State.ACKNOWLEDGED: (State.SILENCED, State.RESOLVED, State.FIRING),  # firing: whoever was at it is not any more
    State.SILENCED: (State.FIRING, State.RESOLVED),
    State.RESOLVED: (State.PENDING, State.FIRING, State.SILENCED),
}
WRONG: Final = (State.FIRING, State.ACKNOWLEDGED, State.SILENCED)


class Alarm(models.Model):
    """How a declared alarm stands. Written by operations.evaluation alone, under its lock."""

    name = models.CharField(max_length=64, primary_key=True)  # of a declaration in operations.alarms
    state = models.CharField(max_length=16, choices=State.choices, default=State.OK)
    since = models.DateTimeField()  # when it entered the state
    calm_since = models.DateTimeField(null=True)  # while it is wrong: since when what it reads is right again
    value = models.FloatField(null=True)  # the last reading; null where it could not be read
    evaluated_at = models.DateTimeField()
    silent_until = models.DateTimeField(null=True)  # asked for while it is wrong, or ahead of it
    silent_by = models.CharField(max_length=150, blank=True)
    incident = models.ForeignKey("Incident", on_delete=models.SET_NULL, null=True, related_name="+")  # the latest

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="alarm_state"),
            models.CheckConstraint(condition=Q(calm_since=None) | Q(state__in=WRONG), name="alarm_calm_while_wrong"),
        ]

    def __str__(self) -> str:
        return self.name


class Incident(models.Model):
    """One trouble, from the first firing to the last, however often it flapped: one message in Slack, and one thread."""

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="incidents")
    began_at = models.DateTimeField()
    over_at = models.DateTimeField(null=True)  # resolved; the same incident goes on where the alarm fires again soon
    firings = models.PositiveIntegerField(default=1)
    told_at = models.DateTimeField(null=True)  # when a post was left of it last, and of which reading: what changed little since is not told again
    told_value = models.FloatField(null=True)
    channel = models.CharField(max_length=64, blank=True)  # of Slack, where its message is; empty where a webhook took it, or nobody
    thread = models.CharField(max_length=64, blank=True)  # Slack's `ts` of its message

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        indexes = [models.Index(fields=["alarm", "-began_at"], name="incident_latest")]

    def __str__(self) -> str:
        return f"{self.alarm_id} {self.began_at:%Y-%m-%d %H:%M}"


def _allowed_moves() -> Q:
    allowed = Q()
    for before, after in MOVES.items():
        allowed |= Q(from_state=str(before), to_state__in=[str(state) for state in after])
    return allowed


class AlarmEvent(models.Model):
    """An alarm moved from one state to another: its history."""

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="events")
    incident = models.ForeignKey(Incident, on_delete=models.SET_NULL, null=True, related_name="events")
    from_state = models.CharField(max_length=16, choices=State.choices)
    to_state = models.CharField(max_length=16, choices=State.choices)
    at = models.DateTimeField()
    value = models.FloatField(null=True)
    sentence = models.TextField()  # for people, as it was then; no addresses, no secrets
    by = models.CharField(max_length=150, blank=True)  # who acknowledged or silenced it; empty: the evaluation

    class Meta:
        verbose_name = _("alarm event")
        verbose_name_plural = _("alarm history")
        constraints = [models.CheckConstraint(condition=_allowed_moves(), name="alarm_event_move")]
        indexes = [models.Index(fields=["at"], name="alarm_event_by_time")]  # operations.evaluation: what is too old to keep

    def __str__(self) -> str:
        return f"{self.alarm_id}: {self.from_state} to {self.to_state}"
