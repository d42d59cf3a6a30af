"""What came in: requests on their way, events, what became of them, and which processes work."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from engagement.models.tenants import Organisation


class Inbox(models.Model):
    """One accepted request on its way to the stream. Written by the door, deleted by the stream; nobody else writes."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    shard = models.SmallIntegerField()
    received_at = models.DateTimeField()
    events = models.IntegerField()  # accepted events inside; 0 for a row that only reports refusals
    imported = models.BooleanField(default=False)  # posted with an import key: starts no message
    payload = models.BinaryField()  # engagement.inbox.pack

    class Meta:
        # The stream's claim: the oldest rows of a shard, organisation by organisation.
        indexes = [models.Index(fields=["shard", "organisation", "id"], name="inbox_claim")]

    def __str__(self) -> str:
        return f"inbox {self.pk}"


class ShardState(models.Model):
    """How often work on a shard was begun without being finished. One row a shard, made by the migration."""

    shard = models.SmallIntegerField(primary_key=True)
    attempts = models.IntegerField(default=0)
    suspect = models.BigIntegerField(null=True)  # the inbox row being tried alone
    suspect_attempts = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"shard {self.shard}"


class SetAside(models.Model):
    """An inbox row that failed alone, again and again: its bytes and its error, until somebody replays it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False)
    shard = models.SmallIntegerField()
    received_at = models.DateTimeField()
    events = models.IntegerField()
    imported = models.BooleanField(default=False)
    payload = models.BinaryField()
    error = models.TextField()  # never the payload's content: type and place of the failure
    set_aside_at = models.DateTimeField(auto_now_add=True)
    replayed_at = models.DateTimeField(null=True)
    inbox = models.BigIntegerField(null=True)  # the number that it had in the inbox
    replayed_as = models.BigIntegerField(null=True)  # the number that it got there when it was sent on; gone from there and not set aside again: it went well

    class Meta:
        verbose_name = _("request set aside")
        verbose_name_plural = _("set aside")
        # operations.work: what is parked, by organisation; and what became of what was sent on.
        indexes = [
            models.Index(fields=["organisation", "id"], condition=models.Q(replayed_at=None), name="set_aside_parked"),
            models.Index(fields=["inbox"], name="set_aside_by_inbox"),
        ]

    def __str__(self) -> str:
        return f"set aside {self.pk}"


class Event(models.Model):
    """An accepted event, once. Partitioned by `day`; the unique key (day, device, event_id) is the promise."""

    pk = models.CompositePrimaryKey("day", "device_id", "event_id")
    day = models.DateField()  # UTC day of `at`, as the client said it: a retry cannot change it
    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    device_id = models.BigIntegerField()
    event_id = models.UUIDField()
    kind = models.SmallIntegerField()  # engagement.inbox.FIX and the others
    at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    shopper_id = models.BigIntegerField(null=True)  # whom the request named; null: anonymous, so the device's owner
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)
    accuracy = models.FloatField(null=True)
    beacon = models.BinaryField(null=True)  # engagement.inbox.*_address
    rssi = models.SmallIntegerField(null=True)
    zone = models.CharField(max_length=64, null=True)  # key named by a transition
    direction = models.SmallIntegerField(null=True)
    name = models.CharField(max_length=128, null=True)
    properties = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "engagement_event"

    def __str__(self) -> str:
        return f"event {self.event_id}"


class Outcome(models.Model):
    """How many events came to what, by hour of receipt. The shard is in the key, so shards never wait for each other."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    hour = models.DateTimeField()  # start of the UTC hour of received_at
    shard = models.SmallIntegerField()
    outcome = models.CharField(max_length=24)  # accepted, unmatched, duplicate, or the reason of a refusal
    events = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "hour", "shard", "outcome"], name="outcome_key")]

    def __str__(self) -> str:
        return f"{self.outcome} {self.events}"


class RecentEvent(models.Model):
    """A sample of the last minutes for the live page: what came and what became of it. Pruned by the stream."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    received_at = models.DateTimeField()
    device = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    outcome = models.CharField(max_length=24)
    zones = models.CharField(max_length=400)  # keys of the zones it opened, parted by spaces

    class Meta:
        indexes = [models.Index(fields=["organisation", "id"], name="recent_event_latest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"


class Heartbeat(models.Model):
    """When a process last said that it works, and where it runs. engagement.health writes and reads it."""

    process = models.CharField(max_length=128, primary_key=True)  # its name, and the machine's where several have one of that name
    at = models.DateTimeField()
    host = models.CharField(max_length=64, blank=True, db_default="")  # also of who beats without knowing it
    pid = models.IntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    version = models.CharField(max_length=32, blank=True, db_default="")

    def __str__(self) -> str:
        return f"{self.process} {self.at:%Y-%m-%d %H:%M:%S}"


class Refusal(models.Model):
    """Requests that the door turned away before it read them: whose, in which minute, why. Kept for two days, for those who run the installation."""

    organisation = models.ForeignKey(Organisation, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    minute = models.DateTimeField()
    reason = models.CharField(max_length=32)  # the code of the answer
    requests = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "minute", "reason"], name="refusal_key")]
        indexes = [models.Index(fields=["minute"], name="refusal_by_minute")]  # the alarm: the last minutes; and what is too old to keep

    def __str__(self) -> str:
        return f"{self.reason} {self.minute:%H:%M} {self.requests}"


class IdempotentAnswer(models.Model):
    """What a write was answered, by the caller's Idempotency-Key: told again, it is answered again and not done again. Kept for a day."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, db_index=False)
    key = models.CharField(max_length=128)
    request = models.BinaryField(max_length=32)  # keyed digest of method, address and body: another request under the same key is refused
    status = models.SmallIntegerField()
    answer = models.TextField()  # JSON, as it was sent: committed with what was done, so a row without an answer is never seen
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="idempotent_answer_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotent_answer_by_age")]  # what is old enough to go

    def __str__(self) -> str:
        return f"answer {self.pk}"
