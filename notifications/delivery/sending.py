"""The loop of a sender: whose turn it is, a claim, then mail after mail at the governor's instants. Any number of senders may run.

What a sender holds and has not handed to the wire it gives back when it stops, for whatever reason; what it has handed over and heard nothing of
stays claimed, and is `unknown` when its lease is over (notifications.delivery.sweep).
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from engagement import metrics
from engagement.faults import point
from notifications import campaigns, eligibility, governor
from notifications.channels.wire import ForEver, ForNow, Late, Result, Sent, Timed, Unknown, Wait, Wire
from notifications.delivery import claim, record, sweep
from notifications.delivery.claim import Batch, Message
from notifications.eligibility import Later
from notifications.mail import Mail
from notifications.models import Campaign, CampaignState, MessageState, Reason
from notifications.rendering import CannotCompose, Composer, NoContent, compose

logger = logging.getLogger("atrium.sender")

BUDGET_S: Final = 20.0  # of one call; the bell rings again
BATCH: Final = 50  # claimed at once, where nothing limits the pace: what is unknown of a sender that is killed
BATCH_S: Final = 2.0  # else what the pace allows in so long
TOGETHER: Final = 25  # composed and asked for once more just before they leave, at most; fewer where the pace lets fewer leave meanwhile
FRESH_S: Final = 0.5  # how long that answer holds
WRITE_AT: Final = 50  # outcomes written in one commit
WRITE_S: Final = 0.3  # or after so long
REST_S: Final = (1.0, 60.0)  # while the provider is in trouble: doubled each time
COMPOSERS: Final = 20
COUNT_S: Final = 3.0
MAILS: Final = metrics.counters("atrium_mails_total", "Mails of campaigns that were handed to the provider, and what it said", "result")
_STOPPED: Final = ("quota", "stopped", "not_home")


class Sender:
    """Of one thread, as its wire is. `stopping` is asked between mails."""

    def __init__(self, wire: Wire, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self._wire, self._stopping = wire, stopping
        self._turns = claim.Turns()
        self._composers: OrderedDict[tuple[int, int], Composer] = OrderedDict()
        self._rest_s, self._resting_until = 0.0, 0.0
        self._counted: dict[int, float] = {}

    def run(self, *, budget_s: float = BUDGET_S, now: Callable[[], datetime] = timezone.now) -> int:
        """Until nothing is due, or the time is up. Returns the number of messages whose end is known now."""
        until, done, passed_over = time.monotonic() + budget_s, 0, set[int]()
        while time.monotonic() < until and not self._stopping() and time.monotonic() >= self._resting_until:
            pace = governor.pace(governor.MARKETING)
            if pace.rate == 0 or not governor.at_home():
                break
            turn = self._turns.next(now(), passed_over)
            if turn is None:
                break
            composer = self._composer(turn[0])
            batch = claim.take(composer.campaign, turn[1], now=now(), most=_most(pace.rate)) if composer else None
            if batch is None or composer is None or not batch.touched:
                passed_over.add(turn[1])  # somebody else is at it, or holds those whose turn it is
                continue
            delivery = _Delivery(self._wire, batch, composer.composer, self._stopping, now, together=min(TOGETHER, _most(pace.rate, FRESH_S)))
            delivery.run()
            done += batch.touched
            self._look_after(batch.run, delivery)
            if self._is_stuck(delivery):
                break
        return done

    def _look_after(self, run: int, delivery: "_Delivery") -> None:
        """Counting a large run takes a moment: after a failure, and not more often than every few seconds."""
        if delivery.failed and time.monotonic() - self._counted.get(run, 0.0) > COUNT_S:
            self._counted[run] = time.monotonic()
            sweep.stop_if_failing(run)

    def _is_stuck(self, delivery: "_Delivery") -> bool:
        """Whether there is no use in going on now. A provider in trouble is left alone, longer each time."""
        if delivery.trouble:
            self._rest_s = min(max(self._rest_s * 2, REST_S[0]), REST_S[1])
            self._resting_until = time.monotonic() + self._rest_s
            logger.warning("The provider takes no mail now (%s); the next try is in %.0f s.", delivery.trouble, self._rest_s)
        elif delivery.sent:
            self._rest_s = 0.0
        return bool(delivery.trouble or delivery.halted)

    def _composer(self, campaign: int) -> "_Composed | None":
        """None where its text cannot be made: the campaign waits for somebody then."""
        found = Campaign.objects.select_related("organisation").get(pk=campaign)
        key = (found.pk, found.revision)
        if key not in self._composers:
            try:
                self._composers[key] = compose(found)
            except CannotCompose as faults:
                campaigns.pause_itself(found.pk, _("Its text cannot be made: %(faults)s") % {"faults": faults})
                return None
        self._composers.move_to_end(key)
        while len(self._composers) > COMPOSERS:
            self._composers.popitem(last=False)
        return _Composed(found, self._composers[key])


@dataclass(frozen=True)
class _Composed:
    campaign: Campaign
    composer: Composer


def _most(rate: float | None, within_s: float = BATCH_S) -> int:
    """How many can leave within so long."""
    return BATCH if rate is None else max(1, min(BATCH, int(rate * within_s)))


class _Delivery:
    """One batch, from its claim to its outcomes."""

    def __init__(
        self, wire: Wire, batch: Batch, composer: Composer, stopping: Callable[[], bool], now: Callable[[], datetime], *, together: int = TOGETHER
    ) -> None:
        self._wire, self._batch, self._composer, self._stopping, self._now = wire, batch, composer, stopping, now
        self._together = together  # composed, and asked for once more, just before they leave
        self._waiting = deque(batch.messages)  # not handed to the wire
        self._flying: deque[Message] = deque()  # handed to it, and not heard of
        self._outcomes: list[record.Outcome] = []
        self._ends = time.monotonic() + claim.HOLD_S
        self._written = time.monotonic()
        self.sent = self.failed = 0
        self.halted = False  # the governor lets nobody send
        self.trouble = ""  # the provider takes nothing from anybody

    def run(self) -> None:
        try:
            while self._waiting and not self._over():
                for result in self._wire.send(self._feed()):
                    self._hear(self._flying.popleft(), result)
        finally:
            self._outcomes += [record.back(message.id, self._now()) for message in self._waiting]
            self._write()

    def _over(self) -> bool:
        return self.halted or bool(self.trouble) or self._stopping() or time.monotonic() >= self._ends

    def _feed(self) -> Iterator[Mail | Timed | Wait]:
        """Mails as they may leave. A generator that the wire pulls: between two pulls results are heard."""
        while self._waiting and not self._over():
            ready = self._ready()
            fresh = time.monotonic() + FRESH_S
            while ready and not self._over():
                grant = governor.take(governor.MARKETING, len(ready))
                for instant in grant.instants:
                    if self._over():
                        return
                    message, mail = ready.popleft()
                    self._waiting.remove(message)
                    self._flying.append(message)
                    yield grant.of(mail, instant)
                if not grant.instants and grant.why in _STOPPED:
                    self.halted = True
                elif not grant.instants:
                    yield Wait(min(grant.again_at, self._ends))
                if time.monotonic() > fresh:
                    break  # asked for once more; their mails are made again, too

    def _ready(self) -> deque[tuple[Message, Mail]]:
        """The next few, asked for once more and composed. Those that may no longer go leave the line here."""
        some = [self._waiting[index] for index in range(min(self._together, len(self._waiting)))]
        fates = leaving(self._batch, some, self._now())
        ready: deque[tuple[Message, Mail]] = deque()
        for message, fate in zip(some, fates, strict=True):
            if fate is None:
                try:
                    ready.append((message, self._composer.mail(message.id, message.variant, message.person)))
                    continue
                except NoContent:
                    fate = record.Outcome(message.id, MessageState.FAILED, Reason.NO_CONTENT, tried=False)
            self._waiting.remove(message)
            self._outcomes.append(fate)
        return ready

    def _hear(self, message: Message, result: Result) -> None:
        point("send.transmitted")
        MAILS.of(_word(result)).inc()
        now = self._now()
        match result:
            case Sent(provider_id):
                self.sent += 1
                self._outcomes.append(record.sent(message.id, provider_id))
            case Late():
                self._waiting.append(message)
            case ForNow(detail, throttled, of_all):
                if throttled:
                    governor.pause_for_throttle()
                    self._outcomes.append(record.back(message.id, now + record.BEATEN))
                elif of_all:
                    self.trouble = detail
                    self._outcomes.append(record.back(message.id, now))
                else:
                    self._outcomes.append(record.refused_for_now(message.id, message.attempts, now, detail))
            case ForEver(detail):
                self._outcomes.append(record.refused(message.id, detail))
            case Unknown():
                self._outcomes.append(record.unknown(message.id))
        if len(self._outcomes) >= WRITE_AT or time.monotonic() - self._written > WRITE_S:
            self._write()

    def _write(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        record.write(self._batch.claim, outcomes, organisation=self._batch.campaign.organisation_id, now=self._now())
        self._written = time.monotonic()
        self.failed += sum(one.state == MessageState.FAILED for one in outcomes)


def _word(result: Result) -> str:
    match result:
        case Sent():
            return "sent"
        case Late():
            return "late"
        case ForNow(_, throttled, of_all):
            return "too_fast" if throttled else "provider_away" if of_all else "refused_for_now"
        case ForEver():
            return "refused"
        case Unknown():
            return "unknown"


_STANDING: Final = """SELECT m.id, c.state, m.state = 'claimed' AND m.claim = %(claim)s, m.shopper_id, coalesce(p.email, '')
    FROM notifications_message m JOIN notifications_campaign c ON c.id = m.campaign_id LEFT JOIN engagement_profile p ON p.shopper_id = m.shopper_id
    WHERE m.id = ANY(%(ids)s)"""


def leaving(batch: Batch, messages: Sequence[Message], now: datetime) -> list[record.Outcome | None]:
    """What keeps claimed messages from leaving after all; None: nothing. It was judged when they were claimed, and asked again here: a campaign
    is paused, somebody withdraws, an hour turns quiet meanwhile. Caps are not: the message itself counts by now."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, {"claim": batch.claim, "ids": [message.id for message in messages]})
        standing = {row[0]: row[1:] for row in cursor.fetchall()}
        uncapped = replace(batch.terms, own=None, all_brands=None)
        verdicts = eligibility.judge(cursor, batch.campaign, [message.person.shopper for message in messages], now, terms=uncapped)
    gone = ("", False, 0, "")
    return [_fate(message, standing.get(message.id, gone), verdicts[message.person.shopper], now) for message in messages]


def _fate(message: Message, standing: tuple[str, bool, int, str], verdict: Reason | Later | None, now: datetime) -> record.Outcome | None:
    state, ours, shopper, email = standing
    if shopper < 0:
        return record.skipped(message.id, Reason.ERASED)
    if state == CampaignState.CANCELLED:
        return record.skipped(message.id, Reason.CANCELLED)
    if not ours or state != CampaignState.SENDING or isinstance(verdict, Later) or verdict == Reason.QUIET_HOURS:
        return record.back(message.id, now)  # what is not ours any more is not written
    if verdict is not None:
        return record.skipped(message.id, verdict)
    return None if email == message.person.email else record.back(message.id, now)  # he moved: with the new address


def stood_still(now: datetime) -> int:
    """Note that a sender, of whichever machine, is at work. Where none was for longer than anything may be late, ask a person about every
    campaign that is under way. How many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH before AS (SELECT at FROM engagement_heartbeat WHERE process = 'sender' FOR UPDATE),
                    beat AS (INSERT INTO engagement_heartbeat (process, at, host, version) VALUES ('sender', %(now)s, '', '')
                             ON CONFLICT (process) DO UPDATE SET at = greatest(engagement_heartbeat.at, excluded.at))
               SELECT at FROM before""",
            {"now": now},
        )
        found = cursor.fetchone()
    if found is None or now - found[0] <= campaigns.STALE:
        return 0
    hours = (now - found[0]) // timedelta(hours=1)
    going = Campaign.objects.filter(state=CampaignState.SENDING, started_at__lt=found[0]).values_list("pk", flat=True)
    why = _("Sending stood still for %(hours)s hours. Resume it if it should still go.") % {"hours": hours}
    return sum(campaigns.pause_itself(pk, why) for pk in list(going))
