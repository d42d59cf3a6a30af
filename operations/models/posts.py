"""Nouns of telling: what people are to be told, in Slack and by mail, until it is told."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from engagement.models import Organisation
from operations.models.alarms import Incident


class Kind(models.TextChoices):
    FIRED = "fired", _("An alarm fired")
    CHANGED = "changed", _("An alarm goes on")  # edits the message, or answers in its thread; not told where neither is possible
    OVER = "over", _("An alarm is over")
    DONE = "done", _("Atrium acted by itself")
    NEWS = "news", _("News for marketers")


class Delivery(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    SENT = "sent", _("Sent to Slack")
    MAILED = "mailed", _("Sent by e-mail")
    LOGGED = "logged", _("Written to the log")
    REFUSED = "refused", _("Refused by Slack, written to the log")
    NOT_NEEDED = "not needed", _("Not needed any more")


class Post(models.Model):
    """One thing to be told, and the queue of them: each line of posts is told in its order. No line waits for another."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, null=True)  # whose marketers; null: the operators' line
    kind = models.CharField(max_length=16, choices=Kind.choices)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, null=True, related_name="posts")
    notice = models.JSONField()  # operations.blocks.Notice; no addresses, no positions, no secrets
    reference = models.CharField(max_length=100, blank=True)  # of news: told once for each, as campaign-finished:17 or week:2026-47
    created_at = models.DateTimeField(default=timezone.now)
    delivery = models.CharField(max_length=16, choices=Delivery.choices, default=Delivery.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)  # not tried earlier: somebody is at it, or Slack asked to wait
    told_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)  # by the second way, while Slack was away
    problem = models.CharField(max_length=100, blank=True)  # of the last attempt

    class Meta:
        verbose_name = _("message to people")
        verbose_name_plural = _("messages to people")
        constraints = [
            models.CheckConstraint(condition=Q(delivery__in=Delivery.values), name="post_delivery"),
            models.CheckConstraint(condition=Q(kind="news") ^ Q(organisation=None), name="post_line"),
            models.UniqueConstraint(fields=["organisation", "reference"], condition=Q(kind="news"), name="post_news_once"),
        ]
        indexes = [
            models.Index(fields=["organisation", "id"], condition=Q(delivery="waiting"), name="post_waiting"),  # operations.telling: what is next
            models.Index(fields=["created_at"], name="post_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class NewsChannel(models.Model):
    """Where an organisation's marketers are told news: an address of Slack's, kept encrypted, shown to nobody again."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, primary_key=True)
    address = models.BinaryField()  # operations.news seals it with SECRET_KEY
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField(default=timezone.now)
    campaigns = models.BooleanField(default=True)  # tell when one has finished, or paused itself
    weekly = models.BooleanField(default=True)  # tell the week's figures
    problem = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name = _("channel for news")
        verbose_name_plural = _("channels for news")

    def __str__(self) -> str:
        return f"news of {self.organisation_id}"
