"""Nouns of a campaign: what is said, to which audience, when; and its runs."""

from typing import Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from analytics.models import Audience
from engagement.models import Brand, Channel, Organisation


class CampaignState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    SCHEDULED = "scheduled", _("Scheduled")  # its next run has an instant
    SENDING = "sending", _("Sending")  # a run is being planned or sent
    PAUSED = "paused", _("Paused")  # by a person, or by itself; `pause_reason` says why
    FINISHED = "finished", _("Finished")
    CANCELLED = "cancelled", _("Cancelled")


# The transition table. notifications.campaigns moves by it, and a trigger refuses every other move.
CAMPAIGN_MOVES: Final[dict[str, tuple[str, ...]]] = {
    CampaignState.DRAFT: (CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.CANCELLED),
    CampaignState.SCHEDULED: (CampaignState.DRAFT, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.CANCELLED),
    CampaignState.SENDING: (CampaignState.PAUSED, CampaignState.SCHEDULED, CampaignState.FINISHED, CampaignState.CANCELLED),
    CampaignState.PAUSED: (CampaignState.SENDING, CampaignState.SCHEDULED, CampaignState.CANCELLED),
    CampaignState.FINISHED: (CampaignState.SENDING,),  # somebody releases what failed
    CampaignState.CANCELLED: (),
}


class SendingPolicy(models.Model):
    """What holds for everything that an organisation sends. A campaign may be stricter."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, primary_key=True)
    sender = models.CharField(max_length=320, blank=True)  # "Name <address>", where a campaign names none
    postal_address = models.TextField(blank=True)  # at the foot of every mail
    # At most so many messages to a shopper in any so many days, counted over all brands; null: no limit.
    cap_messages = models.PositiveSmallIntegerField(null=True, blank=True)
    cap_days = models.PositiveSmallIntegerField(null=True, blank=True)
    # {"from": "21:00", "until": "08:00", "then": "hold" | "drop", "clocks": ["shopper", "shop"]}
    quiet_hours = models.JSONField(null=True, blank=True)
    needs_approval = models.BooleanField(default=False)  # by a second person, before anything is sent
    failures_pause_at = models.DecimalField(max_digits=4, decimal_places=3, default="0.05")  # share of failures at which a campaign pauses itself

    def __str__(self) -> str:
        return f"policy of {self.organisation_id}"


class Topic(models.Model):
    """What a shopper may wish for or not, besides brands: offers, events, news."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="topic_key")]

    def __str__(self) -> str:
        return self.name


class Campaign(models.Model):
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, null=True, blank=True)  # whose wishes and caps count; null: the organisation's own
    topic = models.ForeignKey(Topic, on_delete=models.PROTECT, null=True, blank=True)
    audience = models.ForeignKey(Audience, on_delete=models.PROTECT, related_name="campaigns")
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.EMAIL)
    purpose = models.CharField(max_length=64, default="marketing")
    sender = models.CharField(max_length=320, blank=True)  # empty: the policy's
    holdout = models.DecimalField(max_digits=5, decimal_places=4, default="0.05")
    cap_messages = models.PositiveSmallIntegerField(null=True, blank=True)  # of this brand's messages (of the organisation's own, where it has no brand)
    cap_days = models.PositiveSmallIntegerField(null=True, blank=True)
    quiet_hours = models.JSONField(null=True, blank=True)  # as in the policy; null: the policy's
    send_at = models.DateTimeField(null=True, blank=True)  # null: when somebody says so
    in_shopper_time = models.BooleanField(default=False)  # at that time on each shopper's own clock
    recurrence = models.JSONField(null=True, blank=True)  # {"every": "day" | "week" | "month", "at": "10:00", "on": [1, 4]}; null: once
    time_zone = models.CharField(max_length=64)  # the shop's clock: of recurrence, of quiet hours, and of shoppers who have told none
    outcome_days = models.PositiveSmallIntegerField(default=7)  # within which a visit counts as the campaign's outcome
    state = models.CharField(max_length=10, choices=CampaignState.choices, default=CampaignState.DRAFT)
    pause_reason = models.CharField(max_length=200, blank=True)
    paused_itself = models.BooleanField(default=False)  # not by a person: an alarm says so while it is paused
    judged_from = models.DateTimeField(null=True)  # what failed before does not pause it: a person says that the cause is mended
    revision = models.PositiveIntegerField(default=1)  # raised by each change of what is said or to whom
    approved_revision = models.PositiveIntegerField(null=True)  # which of them somebody else approved
    approved_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)
    changed_by = models.CharField(max_length=150, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "key"], name="campaign_key"),
            models.CheckConstraint(condition=Q(state__in=CampaignState.values), name="campaign_state"),
            models.CheckConstraint(condition=Q(holdout__gte=0, holdout__lt=1), name="campaign_holdout"),
            models.CheckConstraint(condition=Q(cap_messages=None, cap_days=None) | Q(cap_messages__gte=1, cap_days__gte=1), name="campaign_cap"),
        ]
        indexes = [models.Index(fields=["state", "send_at"], condition=Q(state__in=["scheduled", "sending"]), name="campaign_due")]

    def __str__(self) -> str:
        return self.name


class Variant(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="variants", db_index=False)
    name = models.CharField(max_length=64)
    weight = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "name"], name="variant_name"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="variant_weight"),
        ]

    def __str__(self) -> str:
        return self.name


class Content(models.Model):
    """A variant's words in one language. The one without a language is for everybody whose language has none of its own."""

    class Kind(models.TextChoices):
        HTML = "html", _("HTML")
        MJML = "mjml", _("MJML")

    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, related_name="contents", db_index=False)
    language = models.CharField(max_length=35, blank=True)
    subject = models.TextField()  # Liquid, as all of it is
    preheader = models.TextField(blank=True)
    kind = models.CharField(max_length=4, choices=Kind.choices, default=Kind.HTML)
    body = models.TextField()
    text = models.TextField(blank=True)  # empty: made of the body

    class Meta:
        constraints = [models.UniqueConstraint(fields=["variant", "language"], name="content_language")]

    def __str__(self) -> str:
        return self.language or "-"


class Run(models.Model):
    """One sending of a campaign: the first and only one, or one of a recurring campaign's."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="runs", db_index=False)
    due_at = models.DateTimeField()
    audience = models.BinaryField(default=bytes)  # who met the rule when planning began (roaring bitmap); their messages' states add up to it
    audience_count = models.IntegerField(null=True)  # null: planning has not begun
    cursor = models.BigIntegerField(default=0)  # shoppers up to here have their message
    planned_at = models.DateTimeField(null=True)  # when all had
    finished_at = models.DateTimeField(null=True)  # when none was left to do

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "due_at"], name="run_once")]
        indexes = [models.Index(fields=["id"], condition=Q(finished_at=None), name="run_unfinished")]

    def __str__(self) -> str:
        return f"run {self.pk} of campaign {self.campaign_id}"


class Link(models.Model):
    """An address that a campaign's mails point to. A click names it by its number, so nobody can be sent anywhere else."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="links", db_index=False)
    url = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "url"], name="link_once")]

    def __str__(self) -> str:
        return f"link {self.pk}"
