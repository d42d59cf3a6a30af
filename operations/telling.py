"""What waits to be told, told in order: to Slack, or to the log where there is none. One message at a time, outside any transaction.

The row is the queue. Only the first waiting row may be claimed, so two processes never change the order. A process that dies
between Slack's yes and its own note leaves the claim to run out, and the message is sent again: of trouble better twice than never.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F

from operations import blocks, slack
from operations.models import Delivery, Post

log = logging.getLogger("atrium.alarm")
Clock = Callable[[], datetime]

TOGETHER: Final = 5  # in one go; what gathered while Slack was away comes in portions
CLAIM: Final = timedelta(minutes=3)  # far longer than one message takes, so that an older claim is a dead one's
UNSURE_FIRST: Final = timedelta(seconds=20)  # doubled each time: a Slack that takes messages and answers too late would be flooded with copies
UNSURE_LONGEST: Final = timedelta(minutes=10)
_LEVELS: Final = {"error": logging.ERROR, "warning": logging.WARNING}


def tell_waiting(now: datetime) -> int:
    """Returns how many were told. Stops at the first that has to wait: those behind it are younger."""
    clock = _clock(now)
    for told in range(TOGETHER):
        post = _claim(clock())
        if post is None or not _tell(post, clock):
            return told
    return TOGETHER


def _clock(now: datetime) -> Clock:
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)


def _claim(now: datetime) -> Post | None:
    """The first waiting post, unless it has to wait or another process is at it. One guarded UPDATE: of two processes, one gets it."""
    first = Post.objects.filter(delivery=Delivery.WAITING).order_by("pk").first()
    if first is None:
        return None
    free = Post.objects.filter(pk=first.pk, delivery=Delivery.WAITING, not_before__lte=now)
    if not free.update(not_before=now + CLAIM, attempts=F("attempts") + 1):
        return None
    first.refresh_from_db()
    return first


def _tell(post: Post, clock: Clock) -> bool:
    """Whether the line goes on."""
    notice = blocks.Notice(**post.notice)
    if not settings.SLACK_WEBHOOK_URL:
        _write(notice)
        _note(post, delivery=Delivery.LOGGED, told_at=clock())
        return True
    try:
        slack.post(settings.SLACK_WEBHOOK_URL, blocks.payload(notice))
    except slack.GiveUp as problem:
        log.error("Slack refuses a message (%s), so it is told here.", problem)
        _write(notice)
        _note(post, delivery=Delivery.REFUSED, told_at=clock(), problem=str(problem))
        return True
    except slack.TryLater as problem:
        if post.attempts == 1:
            log.error("Slack cannot be told (%s). The message is kept, and sent when Slack takes it again.", problem)
            _write(notice)
        _note(post, not_before=clock() + _pause(post, problem), problem=str(problem))
        return False
    _note(post, delivery=Delivery.SENT, told_at=clock(), problem="")
    return True


def _pause(post: Post, problem: slack.TryLater) -> timedelta:
    """What Slack asked for, or until the next evaluation; longer and longer where the message may have arrived."""
    doublings = min(post.attempts - 1, 10)
    return min(UNSURE_FIRST * 2**doublings, UNSURE_LONGEST) if problem.unsure else problem.wait


def _note(post: Post, **fields: Any) -> None:
    Post.objects.filter(pk=post.pk).update(**fields)


def _write(notice: blocks.Notice) -> None:
    text = " ".join(part for part in (f"{notice.title}.", notice.body, notice.remedy, f"({notice.footer})") if part)
    log.log(_LEVELS.get(notice.level, logging.INFO), "%s", text)
