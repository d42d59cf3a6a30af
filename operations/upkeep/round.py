"""One round of the automatic actions: those that are due, one after another, each failing alone.

    nothing seen                 no row
    seen, the switch is off      no row
    seen, dry run                a row that says what would have been done, once a day while it stays the same
    seen, on                     a row "under way", committed; the deed; "done" or "failed" with what came of it

One process at a time does this, by a lock of its session. So a row that is under way when somebody else has the lock was left by a process that died.
"""

import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils.translation import gettext as _

from engagement import logs
from operations import models
from operations.blocks import Notice
from operations.models import Kind, Mode, Post, Result, Switch
from operations.upkeep.actions import ACTIONS
from operations.upkeep.declaration import Action, Seen

log = logging.getLogger("atrium.upkeep")

LOCK: Final = "atrium upkeep"
KEPT: Final = timedelta(days=90)
SAID_AGAIN: Final = timedelta(days=1)  # a dry run, or a failure, that stays the same
AFTER_FAILURE: Final = timedelta(minutes=5)
WHAT_IS_LEFT: Final = timedelta(minutes=1)  # after a deed: there may be more of it than it did
LONGEST_S: Final = 10.0  # no further action is begun in this round: alarms are read in the same process
_due: dict[str, datetime] = {}  # of this process; looking once too often does no harm


class NoSuchAction(LookupError):
    """Nothing of this name is declared."""


def mode(name: str) -> Mode:
    row = Switch.objects.filter(action=name).first()
    return Mode(row.mode) if row else Mode.ON


def switch(name: str, mode: Mode | str, by: str) -> None:
    """Set the switch of an action. Raises NoSuchAction, and ValueError for a mode that there is not."""
    if name not in {action.name for action in ACTIONS}:
        raise NoSuchAction(name)
    Switch.objects.update_or_create(action=name, defaults={"mode": Mode(mode), "by": by, "at": datetime.now(UTC)})
    _due.pop(name, None)


def look(now: datetime, *, actions: tuple[Action, ...] = ACTIONS) -> int:
    """Do what is due and to be done; returns how many actions did something."""
    if not _take_lock():
        return 0
    try:
        _bury(now)
        began, acted = time.monotonic(), 0
        for action in actions:
            if _due.get(action.name, now) <= now and time.monotonic() - began < LONGEST_S:
                _due[action.name] = now + action.every
                acted += _attend(action, now)
        return acted
    finally:
        _release_lock()


def _take_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        [(ours,)] = cursor.fetchall()
    return bool(ours)


def _release_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [LOCK])


def _bury(now: datetime) -> None:
    died = _("The process ended while it did this. What it left is seen again.")
    models.Action.objects.filter(result=Result.UNDER_WAY).update(result=Result.FAILED, outcome=died, ended_at=now)
    if _due.get("", now) <= now:
        _due[""] = now + timedelta(hours=1)
        models.Action.objects.filter(at__lt=now - KEPT).delete()


def _attend(action: Action, now: datetime) -> bool:
    """Whether something was done."""
    stands = mode(action.name)
    if stands == Mode.OFF:
        return False
    try:
        seen = action.sees(now)
    except Exception as error:
        _fail(action, Seen(_("It could not be looked at."), ""), error, now)
        return False
    if seen is None:
        return False
    if stands == Mode.DRY_RUN:
        _say_once(action, seen, Result.DRY_RUN, "", now)
        return False
    return _do(action, seen, now)


def _do(action: Action, seen: Seen, now: datetime) -> bool:
    row = models.Action.objects.create(action=action.name, at=now, seen=seen.what, done=seen.do)
    began = time.monotonic()
    try:
        outcome = action.does(seen, now)
    except Exception as error:
        row.delete()  # told once a day, and not for each try
        _fail(action, seen, error, now)
        return False
    _due[action.name] = now + min(action.every, WHAT_IS_LEFT)
    row.outcome, row.result, row.ended_at = outcome, Result.DONE, now + timedelta(seconds=time.monotonic() - began)
    with transaction.atomic():
        row.save()
        if action.tells:
            Post.objects.create(kind=Kind.DONE, notice=asdict(_notice(action, seen, outcome, now)), created_at=now, not_before=now)
    log.info("%s: %s %s", action.name, seen.what, outcome)
    return True


def _fail(action: Action, seen: Seen, error: Exception, now: datetime) -> None:
    """The failure's type and place, never its text, which may quote a row."""
    _due[action.name] = now + max(action.every, AFTER_FAILURE)
    log.error("%s failed, and is tried again: %s", action.name, logs.told(error))
    _say_once(action, seen, Result.FAILED, _("It failed (%(error)s), and is tried again.") % {"error": type(error).__name__}, now)


def _say_once(action: Action, seen: Seen, result: Result, outcome: str, now: datetime) -> None:
    """A row, where none of the last day says the same."""
    last = models.Action.objects.filter(action=action.name).order_by("-at", "-pk").first()
    same = last is not None and (last.seen, last.done, last.outcome, last.result) == (seen.what, seen.do, outcome, result)
    if not same or last is None or last.at <= now - SAID_AGAIN:
        models.Action.objects.create(action=action.name, at=now, seen=seen.what, done=seen.do, outcome=outcome, result=result, ended_at=now)


def _notice(action: Action, seen: Seen, outcome: str, now: datetime) -> Notice:
    return Notice(mark="🔧", title=str(action.title), body=f"{seen.what} {outcome}", remedy="", footer=f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
