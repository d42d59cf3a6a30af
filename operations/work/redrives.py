"""Redrives: one item first, the canary; when that went well the rest, at a set rate; and an end for each.

    canary  ->  releasing  ->  settling  ->  finished        each  ->  stopped: what was not sent on stays parked

That an item was sent on, and that it was noted, is one commit: whoever is killed has done both, or neither. Any number of processes may
call `advance`; each redrive is held by one of them, and the others pass it over.

Refused
├── NothingParked      there is nothing of this kind and cause
└── AlreadyUnderWay    what is parked for this cause is being sent on
"""

import logging
import math
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from engagement.faults import point
from engagement.models import Organisation
from operations.models import Redrive, RedriveItem
from operations.work import listing, sums
from operations.work.kinds import DECLARED, Kind

log = logging.getLogger("atrium.work")
State = Redrive.State
Item = RedriveItem.State

RATE: Final = 10.0  # items a second, where nobody says another
FASTEST: Final = 10_000.0
CAUGHT_UP: Final = timedelta(minutes=1)  # no more is released at once than in so long: whoever calls was away
UNDER_WAY: Final = 60  # seconds' worth of items that may be sent on and not at their end: whoever works on them may stand still
FAILED_MOST: Final = 0.2  # share of those at their end that may be parked again
FEW: Final = 5  # parked again, from which on their share says something
LOOKED_AT: Final = 100  # of those that wait, when somebody asks why
KEPT: Final = timedelta(days=90)
OPEN: Final = (State.CANARY, State.RELEASING, State.SETTLING)

MOVES: Final[dict[str, tuple[str, ...]]] = {
    State.CANARY: (State.RELEASING, State.STOPPED),
    State.RELEASING: (State.SETTLING, State.STOPPED),
    State.SETTLING: (State.FINISHED, State.STOPPED),
    State.FINISHED: (),
    State.STOPPED: (),
}


class Refused(Exception):
    """A redrive was not begun; why is a sentence for a person."""


class NothingParked(Refused):
    def __init__(self) -> None:
        super().__init__(_("Nothing of this kind is parked for this cause."))


class AlreadyUnderWay(Refused):
    def __init__(self) -> None:
        super().__init__(_("What is parked for this cause is being sent on already."))


class IllegalMove(Exception):
    """A move that the transition table does not have."""


# --- What people do -------------------------------------------------------------------------------------------------------

_NOTE: Final = """INSERT INTO operations_redriveitem (redrive_id, item, state)
SELECT %(redrive)s, id, 'parked' FROM ({rows}) c WHERE {of} AND cause = %(cause)s"""


def redrive(organisation: Organisation | None, kind: str, cause: str, rate: float = RATE, by: str = "", now: datetime | None = None) -> Redrive:
    """Note all that is parked for the cause, and send the first of it on. `organisation`: None where it is the installation's. Raises Refused."""
    declared, now = DECLARED[kind], now or timezone.now()
    if not 0 < rate <= FASTEST:
        raise ValueError(f"{rate} items a second")
    found = next((one for one in listing.parked(organisation, kind) if (one.organisation, one.cause) == (organisation, cause)), None)
    if found is None:
        raise NothingParked
    try:
        with transaction.atomic():
            made = Redrive.objects.create(
                organisation=organisation, kind=kind, cause=cause, cause_text=found.text, rate=rate, by=by[:150], began_at=now, advanced_at=now
            )
            with connection.cursor() as cursor:
                told: dict[str, Any] = {"redrive": made.pk, "cause": cause, "organisation": organisation.pk if organisation else None}
                cursor.execute(_NOTE.format(rows=listing.with_causes(declared), of=listing.of(organisation)), told)
                made.total = cursor.rowcount
            if not made.total:
                raise NothingParked
            made.save(update_fields=["total"])
            _send_canary(made, declared, now)
            point("work.before_commit")
    except IntegrityError:
        raise AlreadyUnderWay from None
    point("work.after_commit")
    log.info("Redrive %s of %s %s begins, by %s: %s.", made.pk, made.total, kind, by, found.text)
    return made


def stop(redrive: Redrive, by: str, now: datetime | None = None) -> bool:
    """Whether there was something to stop. What was not sent on stays parked; what was goes its way, and is still counted."""
    with transaction.atomic():
        locked = Redrive.objects.select_for_update(of=("self",)).get(pk=redrive.pk)
        if locked.state not in OPEN:
            return False
        _stop(locked, _("Stopped by %(who)s.") % {"who": by}, now or timezone.now())
    return True


def held_up(redrive: Redrive) -> str:
    """Why what was sent on does not go, where that is known; for a person."""
    waiting = RedriveItem.objects.filter(redrive=redrive, state=Item.RELEASED).order_by("item").values_list("item", flat=True)[:LOOKED_AT]
    return DECLARED[redrive.kind].held_up(list(waiting))


# --- What goes on by itself -----------------------------------------------------------------------------------------------


def advance(now: datetime) -> None:
    """A step of each redrive that is not at its end, and of those stopped that are owed the end of what they had sent on."""
    going = set(Redrive.objects.filter(state__in=OPEN).values_list("pk", flat=True))
    going |= set(Redrive.objects.filter(state=State.STOPPED, items__state=Item.RELEASED).values_list("pk", flat=True))
    for pk in sorted(going):
        try:
            _advance(pk, now)
        except Exception as error:  # one that cannot go on keeps no other; it is where it was, and is tried again
            log.error("ALARM: redrive %s cannot go on, and is tried again: %s", pk, type(error).__name__)
    _forget(now)


def _advance(pk: int, now: datetime) -> None:
    with transaction.atomic(durable=True):
        held = Redrive.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
        if held is None:
            return
        kind = DECLARED[held.kind]
        _settle(held, kind)
        if held.state in OPEN:
            _step(held, kind, now)
        point("work.before_commit")
    point("work.after_commit")


def _step(redrive: Redrive, kind: Kind, now: datetime) -> None:
    if redrive.state == State.CANARY:
        _judge_canary(redrive, kind, now)
    if redrive.state == State.RELEASING:
        _release_at_rate(redrive, kind, now)
    if redrive.state == State.SETTLING and not sums.count(redrive).released:
        _finish(redrive, now)


def _judge_canary(redrive: Redrive, kind: Kind, now: datetime) -> None:
    found = sums.count(redrive)
    if found.released:
        return
    if found.parked_again:
        _stop(redrive, _("The first was parked again, so the cause is not mended. The rest stays parked."), now)
    elif found.done or not _send_canary(redrive, kind, now):
        _move(redrive, State.RELEASING, advanced_at=now)


def _release_at_rate(redrive: Redrive, kind: Kind, now: datetime) -> None:
    found = sums.count(redrive)
    if found.parked_again >= FEW and found.parked_again > FAILED_MOST * (found.parked_again + found.done):
        told = {"again": found.parked_again, "ended": found.parked_again + found.done}
        _stop(redrive, _("Of the first %(ended)s, %(again)s were parked again. The rest stays parked.") % told, now)
        return
    one = timedelta(seconds=1 / redrive.rate)
    behind, most = now - redrive.advanced_at, max(CAUGHT_UP, one)
    due = min(behind, most) // one
    number = min(due, max(0, math.ceil(redrive.rate * UNDER_WAY) - found.released), found.parked)
    if number > 0:
        _release(redrive, kind, number, now)
    if due > 0:
        redrive.advanced_at = now if behind > most else redrive.advanced_at + due * one  # what is less than one item's time is not lost
        redrive.save(update_fields=["advanced_at"])
    if number >= found.parked:
        _move(redrive, State.SETTLING)


def _finish(redrive: Redrive, now: datetime) -> None:
    found = sums.count(redrive)
    try:
        sums.check(redrive, found)
    except sums.DoesNotAddUp as error:
        log.error("ALARM: %s", error)
        _stop(redrive, _("Its sums do not add up: %(sums)s.") % {"sums": found}, now)
        return
    _move(redrive, State.FINISHED, ended_at=now)
    log.info("Redrive %s is finished: %s.", redrive.pk, found)


# --- Items ----------------------------------------------------------------------------------------------------------------


def _send_canary(redrive: Redrive, kind: Kind, now: datetime) -> bool:
    """False: nothing is parked any more."""
    while RedriveItem.objects.filter(redrive=redrive, state=Item.PARKED).exists():
        if _release(redrive, kind, 1, now, canary=True):
            return True
    return False


def _release(redrive: Redrive, kind: Kind, number: int, now: datetime, *, canary: bool = False) -> int:
    """Send on the next so many; returns how many went. The others of them are parked no more: somebody else sent them on, or they were erased."""
    items = RedriveItem.objects.filter(redrive=redrive, state=Item.PARKED)
    chosen = list(items.order_by("item").values_list("item", flat=True)[:number])
    gone = kind.release(redrive.organisation_id, chosen, now, canary)
    items.filter(item__in=gone).update(state=Item.RELEASED, released_at=now)
    items.filter(item__in=chosen).update(state=Item.GONE)
    return len(gone)


def _settle(redrive: Redrive, kind: Kind) -> None:
    """What became of those that were sent on: all of them as of one instant."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE operations_redriveitem o SET state = f.fate FROM (
                    SELECT i.id, coalesce(({kind.fate}), 'gone') AS fate FROM operations_redriveitem i WHERE i.redrive_id = %s AND i.state = 'released') f
                 WHERE o.id = f.id AND f.fate <> 'released'""",
            [redrive.pk],
        )


def _stop(redrive: Redrive, why: str, now: datetime) -> None:
    _move(redrive, State.STOPPED, why=why, ended_at=now)
    log.warning("Redrive %s is stopped: %s", redrive.pk, why)


def _move(redrive: Redrive, to: str, **fields: Any) -> None:
    if to not in MOVES[redrive.state]:
        raise IllegalMove(f"redrive {redrive.pk}: {redrive.state} to {to}")
    redrive.state = to
    for name, value in fields.items():
        setattr(redrive, name, value)
    redrive.save(update_fields=["state", *fields])


def _forget(now: datetime) -> None:
    old = list(Redrive.objects.filter(ended_at__lt=now - KEPT).values_list("pk", flat=True)[:100])
    if old:
        RedriveItem.objects.filter(redrive__in=old).delete()
        Redrive.objects.filter(pk__in=old).delete()
