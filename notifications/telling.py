"""What waits to be told, told in order: to Slack, or to the log where there is none. One message at a time, outside any transaction.

The row is the queue. Only the first waiting row may be claimed, so two processes never change the order. A process that dies
between Slack's yes and its own note leaves the claim to run out, and the message is sent again: of trouble better twice than never.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F
from django.utils.translation import gettext as _

from notifications import blocks, slack
from notifications.alarms import DECLARED, Severity
from notifications.models import AlarmEvent, Delivery, State

log = logging.getLogger("atrium.alarm")
Clock = Callable[[], datetime]

TOGETHER: Final = 5  # in one go; what gathered while Slack was away comes in portions
CLAIM: Final = timedelta(minutes=3)  # far longer than one message takes, so that an older claim is a dead one's
UNSURE_FIRST: Final = timedelta(seconds=20)  # doubled each time: a Slack that takes messages and answers too late would be flooded with copies
UNSURE_LONGEST: Final = timedelta(minutes=10)
_MARKS: Final[dict[str, str]] = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}
_LEVELS: Final[dict[str, int]] = {Severity.CRITICAL: logging.ERROR, Severity.WARNING: logging.WARNING}


def tell_waiting(now: datetime) -> int:
    """Returns how many were told. Stops at the first that has to wait: those behind it are younger."""
    clock = _clock(now)
    for told in range(TOGETHER):
        event = _claim(clock())
        if event is None or not _tell(event, clock):
            return told
    return TOGETHER


def _clock(now: datetime) -> Clock:
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)


def _claim(now: datetime) -> AlarmEvent | None:
    """The first waiting event, unless it has to wait or another process is at it. One guarded UPDATE: of two processes, one gets it."""
    first = AlarmEvent.objects.filter(delivery=Delivery.WAITING).order_by("pk").first()
    if first is None:
        return None
    free = AlarmEvent.objects.filter(pk=first.pk, delivery=Delivery.WAITING, not_before__lte=now)
    if not free.update(not_before=now + CLAIM, attempts=F("attempts") + 1):
        return None
    first.refresh_from_db()
    return first


def _tell(event: AlarmEvent, clock: Clock) -> bool:
    """Whether the line goes on."""
    notice = notice_of(event)
    if not settings.SLACK_WEBHOOK_URL:
        _write(event, notice)
        _note(event, delivery=Delivery.LOGGED, told_at=clock())
        return True
    try:
        slack.post(settings.SLACK_WEBHOOK_URL, blocks.payload(notice))
    except slack.GiveUp as problem:
        log.error("Slack refuses a message (%s), so it is told here.", problem)
        _write(event, notice)
        _note(event, delivery=Delivery.REFUSED, told_at=clock(), problem=str(problem))
        return True
    except slack.TryLater as problem:
        if event.attempts == 1:
            log.error("Slack cannot be told (%s). The message is kept, and sent when Slack takes it again.", problem)
            _write(event, notice)
        _note(event, not_before=clock() + _pause(event, problem), problem=str(problem))
        return False
    _note(event, delivery=Delivery.SENT, told_at=clock(), problem="")
    return True


def _pause(event: AlarmEvent, problem: slack.TryLater) -> timedelta:
    """What Slack asked for, or until the next evaluation; longer and longer where the message may have arrived."""
    doublings = min(event.attempts - 1, 10)
    return min(UNSURE_FIRST * 2**doublings, UNSURE_LONGEST) if problem.unsure else problem.wait


def _note(event: AlarmEvent, **fields: Any) -> None:
    AlarmEvent.objects.filter(pk=event.pk).update(**fields)


def notice_of(event: AlarmEvent) -> blocks.Notice:
    """An alarm that is declared no more is told by its name: its message was promised."""
    declaration = DECLARED.get(event.alarm_id)
    title = str(declaration.title) if declaration else event.alarm_id
    severity = declaration.severity if declaration else Severity.WARNING
    when = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if event.to_state == State.RESOLVED:
        return blocks.Notice(mark="🟢", title=_("Over: %(title)s") % {"title": title}, body=event.sentence, remedy="", footer=when)
    remedy = _("What to do: %(remedy)s") % {"remedy": declaration.remedy} if declaration else ""
    return blocks.Notice(mark=_MARKS[severity], title=title, body=event.sentence, remedy=remedy, footer=f"{severity.label}, {when}")


def _write(event: AlarmEvent, notice: blocks.Notice) -> None:
    declaration = DECLARED.get(event.alarm_id)
    level = _LEVELS[declaration.severity if declaration else Severity.WARNING] if event.to_state == State.FIRING else logging.INFO
    log.log(level, "%s", " ".join(part for part in (f"{notice.title}.", notice.body, notice.remedy, f"({notice.footer})") if part))
