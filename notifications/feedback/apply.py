"""Applying what was told: in sets, under row locks that nobody waits for, each notice once. A set that fails is tried one by one, so that one bad
notice stops nobody else's."""

import logging
import time
from datetime import datetime, timedelta
from typing import Final

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from engagement import metrics
from notifications.feedback import amazon, effects, notices, ses, sns
from notifications.feedback.certificates import Fetch
from notifications.feedback.notices import Waiting

SET: Final = 500
WITHIN_S: Final = 20.0  # one call of the task
READY: Final = timedelta(seconds=30)  # by then our own mark is written, and with it the provider's id
LARGEST_ANSWER: Final = 64 * 1024
UNKNOWN: Final = "unknown message"
NOTHING: Final = "nothing of our mail"

APPLIED: Final = metrics.counters("atrium_feedback_total", "What providers told of mail, by kind, once it is applied", "kind")

logger = logging.getLogger("atrium.feedback")


def apply(*, fetch: Fetch = amazon.fetch) -> int:
    """All that waits, for a while. Returns how many notices were applied."""
    deadline, applied = time.monotonic() + WITHIN_S, 0
    confirm(fetch)
    while time.monotonic() < deadline:
        done = _a_set(timezone.now())
        applied += done
        if not done:
            break
    return applied


def _a_set(now: datetime) -> int:
    """How many were applied or put off for good; 0: nothing waits that could be."""
    taken: list[Waiting] = []
    try:
        return _try(now, SET, taken)
    except OperationalError:  # a deadlock, a lost connection: not the notices' fault. Those who call come again.
        raise
    except Exception as error:
        logger.warning("A set of %s notices could not be applied (%s). They are tried one by one.", len(taken), type(error).__name__)
    return sum(_alone(now, one) for one in taken)


def _alone(now: datetime, one: Waiting) -> int:
    try:
        return _try(now, 1, [], only=one.id)
    except OperationalError:
        raise
    except Exception as error:
        logger.error("The notice %s could not be applied: %s.", one.id, type(error).__name__)
        with connection.cursor() as cursor:
            notices.failed(cursor, [one.id], type(error).__name__)
        return 0


def _try(now: datetime, most: int, taken: list[Waiting], *, only: int | None = None) -> int:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        waiting = notices.waiting(cursor, now, most=most, only=only)
        if not waiting:
            return 0
        taken.extend(waiting)
        problems: dict[int, str] = {}
        heard: list[tuple[Waiting, ses.Heard]] = []
        for one in waiting:
            try:
                found = ses.read(one.text, one.said_at)
            except ses.Unreadable as error:
                problems[one.id] = f"unreadable: {error}"
                continue
            if found is None:
                problems[one.id] = NOTHING
            else:
                heard.append((one, found))
        early = []
        for (one, found), known in zip(heard, effects.apply(cursor, [found for _, found in heard], now), strict=True):
            # It may have overtaken our own mark, which has the provider's id.
            if not known and found.message is None and found.provider_id and now - one.received_at < READY:
                early.append(one.id)
            else:
                problems[one.id] = "" if known else UNKNOWN
        notices.failed(cursor, early, UNKNOWN)
        notices.done(cursor, problems, now)
    for one, found in heard:
        if problems.get(one.id) == "":
            APPLIED.of(found.kind).inc()
    return len(problems)


def confirm(fetch: Fetch) -> int:
    """Subscriptions of our topics, which Amazon asks to confirm. Outside of any transaction; who comes second confirms once more, which changes nothing."""
    now = timezone.now()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        asked = notices.waiting(cursor, now, most=10, confirming=True)
        notices.failed(cursor, [one.id for one in asked], "not confirmed yet")
    confirmed = 0
    for one in asked:
        problem = _confirm_one(one, fetch)
        with connection.cursor() as cursor:
            if problem is None:
                notices.done(cursor, {one.id: ""}, timezone.now())
                confirmed += 1
                logger.info("The subscription to %s is confirmed.", one.topic)
            else:
                cursor.execute("UPDATE notifications_feedbacknotice SET problem = %s WHERE id = %s", [problem, one.id])
                logger.warning("The subscription to %s could not be confirmed (%s). It is tried again.", one.topic, problem)
    return confirmed


def _confirm_one(one: Waiting, fetch: Fetch) -> str | None:
    """None: done. The address is looked at again here, where it is asked."""
    if not sns.is_subscribe_address(one.text, one.topic):
        return "not an address of Amazon SNS"
    try:
        fetch(one.text, at_most=LARGEST_ANSWER)
    except amazon.NotFetched as error:
        return str(error)
    return None
