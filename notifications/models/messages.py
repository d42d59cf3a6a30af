"""Nouns of telling shoppers: messages and what became of them, who may not be told, and the pace at which an account may send."""

from typing import Final

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from engagement.models import Brand, Channel, Organisation, Shopper
from notifications.models.campaigns import Campaign, Link, Run, Topic, Variant


class MessageState(models.TextChoices):
    PLANNED = "planned", _("Planned")
    CLAIMED = "claimed", _("Being sent")
    SENT = "sent", _("Sent")  # the provider has taken it
    DELIVERED = "delivered", _("Delivered")
    BOUNCED = "bounced", _("Bounced")
    COMPLAINED = "complained", _("Complained")
    FAILED = "failed", _("Failed")  # parked: a person decides
    SKIPPED = "skipped", _("Skipped")
    HELD_OUT = "held_out", _("Held out")  # of the group that is left alone, so that the others can be compared with it
    UNKNOWN = "unknown", _("Unknown")  # it may have left; never sent again by itself


# The transition table. notifications.delivery and feedback move by it, and a trigger refuses every other move.
MESSAGE_MOVES: Final[dict[str, tuple[str, ...]]] = {
    # Heard of although it waits for another try: what certainly arrived is not sent again.
    MessageState.PLANNED: (MessageState.CLAIMED, MessageState.SKIPPED, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED),
    # Back to planned: it is certain that it did not leave.
    MessageState.CLAIMED: (
        MessageState.PLANNED,
        MessageState.SKIPPED,
        MessageState.SENT,
        MessageState.FAILED,
        MessageState.UNKNOWN,
        MessageState.DELIVERED,
        MessageState.BOUNCED,
        MessageState.COMPLAINED,
    ),
    MessageState.UNKNOWN: (MessageState.SENT, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED, MessageState.FAILED),
    MessageState.SENT: (MessageState.FAILED, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED),  # failed: taken, then rejected
    MessageState.DELIVERED: (MessageState.BOUNCED, MessageState.COMPLAINED),  # some mail bounces after it was taken
    MessageState.BOUNCED: (MessageState.COMPLAINED,),
    MessageState.COMPLAINED: (),
    # Planned: released by a person. The others: it did arrive, whatever was answered.
    MessageState.FAILED: (MessageState.PLANNED, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED),
    MessageState.SKIPPED: (),
    MessageState.HELD_OUT: (),
}
# Of these it is certain, or possible, that the shopper has got something: they count for caps.
COUNTED: Final = (
    MessageState.CLAIMED,
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.BOUNCED,
    MessageState.COMPLAINED,
    MessageState.UNKNOWN,
)


class Reason(models.TextChoices):
    """Why a message was skipped or failed: the closed list."""

    NO_ADDRESS = "no_address", _("No e-mail address is known")
    NO_CONSENT = "no_consent", _("No consent for this purpose")
    SUPPRESSED = "suppressed", _("The address may not be sent to")
    NOT_WISHED = "not_wished", _("The shopper does not wish messages of this brand or topic")
    CAPPED = "capped", _("Enough messages in these days")
    QUIET_HOURS = "quiet_hours", _("Quiet hours, and the campaign does not wait")
    ERASED = "erased", _("The shopper was erased")
    CANCELLED = "cancelled", _("The campaign was cancelled")
    NO_CONTENT = "no_content", _("The text could not be made for this shopper")
    REFUSED = "refused", _("The provider refused it for ever")
    TRIED_ENOUGH = "tried_enough", _("The provider refused it again and again")


class Message(models.Model):
    """One recipient, one channel, one run. The row is the queue, and what is said of a campaign adds up over these rows."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.EMAIL)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False)  # erased: minus the message's number
    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, null=True, db_index=False, db_constraint=False)
    state = models.CharField(max_length=10, choices=MessageState.choices)
    reason = models.CharField(max_length=16, choices=Reason.choices, blank=True)
    send_after = models.DateTimeField()
    attempts = models.SmallIntegerField(default=0)
    claim = models.UUIDField(null=True)  # of the claim it was last taken with: whoever holds another one may no longer write
    claimed_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    provider_id = models.CharField(max_length=128, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Nobody is told twice, whoever plans at the same time; also: why somebody got it, and what an erasure finds.
            models.UniqueConstraint(fields=["shopper", "run", "channel"], name="message_once"),
            models.CheckConstraint(condition=Q(state__in=MessageState.values), name="message_state"),
            models.CheckConstraint(condition=Q(reason="") | Q(state__in=["skipped", "failed", "planned"]), name="message_reason"),
            models.CheckConstraint(condition=~Q(state="claimed") | Q(claim__isnull=False, claimed_at__isnull=False), name="message_claim"),
        ]
        indexes = [
            models.Index(fields=["run", "id"], name="message_by_run"),  # a campaign's list and its sums
            models.Index(fields=["run", "send_after"], condition=Q(state="planned"), name="message_to_claim"),
            models.Index(fields=["claimed_at"], condition=Q(state="claimed"), name="message_claimed"),  # whose worker died
            models.Index(fields=["shopper", "claimed_at"], condition=Q(claimed_at__isnull=False), name="message_for_caps"),
            models.Index(fields=["organisation", "id"], condition=Q(state="failed", reason="tried_enough"), name="message_parked"),  # operations.work
            # How much was sent lately, and which message a provider's id is of: rows lie nearly in this order, so it costs next to nothing.
            BrinIndex(fields=["sent_at"], autosummarize=True, pages_per_range=32, name="message_sent"),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"


class MessageEvent(models.Model):
    """What was heard of a message: from the provider, from its links, from the shopper. Added once each, in any order."""

    class Kind(models.TextChoices):
        SEND = "send", _("Taken by the provider")
        DELIVERY = "delivery", _("Delivered")
        DELAY = "delay", _("Delayed")
        BOUNCE = "bounce", _("Bounced")
        SOFT_BOUNCE = "soft_bounce", _("Bounced for now")
        COMPLAINT = "complaint", _("Complained")
        REJECT = "reject", _("Refused by the provider")
        RENDERING_FAILURE = "rendering", _("The provider could not make the text")
        OPEN = "open", _("Opened")
        CLICK = "click", _("Clicked")
        UNSUBSCRIBE = "unsubscribe", _("Unsubscribed")

    class By(models.TextChoices):
        PERSON = "person", _("A person")
        MACHINE = "machine", _("A machine")
        UNKNOWN = "unknown", _("Unknown")

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=11, choices=Kind.choices)
    at = models.DateTimeField()
    source = models.CharField(max_length=128)  # what it was heard by: told twice under the same, it is one
    by = models.CharField(max_length=7, choices=By.choices, blank=True)  # of opens and clicks
    link = models.ForeignKey(Link, on_delete=models.CASCADE, null=True, db_index=False, db_constraint=False)
    detail = models.CharField(max_length=200, blank=True)  # the provider's code; no address

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "kind", "source"], name="message_event_once")]
        indexes = [models.Index(fields=["kind", "at"], condition=Q(kind__in=["bounce", "complaint"]), name="message_event_bad")]  # rates

    def __str__(self) -> str:
        return f"{self.kind} of message {self.message_id}"


class Suppression(models.Model):
    """An address that an organisation may not send to, until somebody lifts it. One row an address, kept when lifted."""

    class Why(models.TextChoices):
        BOUNCE = "bounce", _("It bounced for ever")
        COMPLAINT = "complaint", _("Its owner complained")
        UNSUBSCRIBE = "unsubscribe", _("Its owner unsubscribed")
        MANUAL = "manual", _("By hand")

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.EMAIL)
    address = models.CharField(max_length=254)  # in lower case
    why = models.CharField(max_length=11, choices=Why.choices)
    at = models.DateTimeField()
    message = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True, db_constraint=False, db_index=False)
    added_by = models.CharField(max_length=150, blank=True)  # of those by hand
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=150, blank=True)
    lift_reason = models.CharField(max_length=200, blank=True)
    changed = models.BigIntegerField(default=0, editable=False)  # as in engagement.models.profiles

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "channel", "address"], name="suppression_once")]
        indexes = [models.Index(fields=["organisation", "changed"], name="suppression_changed")]

    def __str__(self) -> str:
        return f"suppression {self.pk}"


class Preference(models.Model):
    """A shopper's wish about a brand or a topic. Where there is none, he is told."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    shopper = models.ForeignKey(Shopper, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.EMAIL)
    brand = models.ForeignKey(Brand, on_delete=models.CASCADE, null=True)
    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, null=True)
    wished = models.BooleanField()
    at = models.DateTimeField()
    changed = models.BigIntegerField(default=0, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shopper", "channel", "brand"], condition=Q(topic=None), name="preference_of_brand"),
            models.UniqueConstraint(fields=["shopper", "channel", "topic"], condition=Q(brand=None), name="preference_of_topic"),
            models.CheckConstraint(condition=Q(brand=None) ^ Q(topic=None), name="preference_of_one"),
        ]
        indexes = [models.Index(fields=["organisation", "changed"], name="preference_changed")]

    def __str__(self) -> str:
        return f"preference {self.pk}"


class SendingAccount(models.Model):
    """The one account that everything is sent through: its limits, how near they are, and when the next message may leave. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    rate = models.FloatField(default=14)  # messages a second that the provider allows
    quota = models.FloatField(default=-1)  # in 24 hours; below zero: no limit
    sent = models.FloatField(default=0)  # in the last 24 hours, as the provider last said, and what was granted since
    asked_at = models.DateTimeField(null=True)  # when the provider last said so
    pace = models.FloatField(default=1)  # share of the rate in use: lower after the provider refused for being too fast
    brake = models.FloatField(default=1)  # share that marketing may use: 1, less where bounces or complaints rise, 0 where they must stop
    brake_reason = models.CharField(max_length=100, blank=True)
    judged_from = models.DateTimeField(null=True)  # what was sent before does not count for the brake: a person mended the cause
    free_at = models.DateTimeField(null=True)  # when the next message may leave
    backed_off_at = models.DateTimeField(null=True)
    home = models.CharField(max_length=64, blank=True)  # which installation sends: a copy of its database does not (notifications.governor)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="sending_account_one")]

    def __str__(self) -> str:
        return "the sending account"


class FeedbackNotice(models.Model):
    """What a provider told, verified and not yet applied; then kept a month. `key` is the provider's: told twice, it is one."""

    key = models.CharField(max_length=128, unique=True)
    topic = models.CharField(max_length=256)
    body = models.TextField()  # emptied once it was applied: it has addresses in it
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    problem = models.CharField(max_length=200, blank=True)  # why it could not be applied; no address

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(applied_at=None), name="feedback_notice_waiting")]

    def __str__(self) -> str:
        return f"notice {self.pk}"
