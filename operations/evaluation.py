"""Alarms: read all, move their states, tell people once when one fires and once when it is over.

Any number of schedulers may call `evaluate`: one advisory lock lets one of them move the states, in one transaction with the
history, and what is to be told is claimed row by row afterwards.
"""

import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils.translation import gettext as _

from engagement import display
from operations import telling
from operations.alarms import ALARMS, DECLARED, Declaration, Severity
from operations.blocks import Notice
from operations.models import MOVES, WRONG, Alarm, AlarmEvent, Delivery, Incident, Kind, Post, State

log = logging.getLogger("atrium.alarm")

KEPT: Final = timedelta(days=90)  # history
READ_WITHIN: Final = "10s"  # one reading
UNREADABLE_FOR: Final = timedelta(minutes=2)  # a reading may fail once, by a deadlock or a restart, without anybody being woken
TOLD: Final[dict[str, str]] = {State.FIRING: Kind.FIRED, State.RESOLVED: Kind.OVER}
_LOCK: Final = "atrium alarms"
_MARKS: Final[dict[str, str]] = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}
_LEVELS: Final[dict[str, str]] = {Severity.CRITICAL: "error", Severity.WARNING: "warning"}


class IllegalMove(Exception):
    """A move that the transition table does not have."""


def evaluate(now: datetime) -> None:
    """One round. `now` is the clock of everything in it but the database's own."""
    # Durable: inside somebody's transaction the messages would leave before what they say is committed.
    with transaction.atomic(durable=True):
        if not _is_ours():
            return
        for declaration in ALARMS:
            _look(declaration, now)
        AlarmEvent.objects.filter(at__lt=now - KEPT).delete()
        Incident.objects.filter(over_at__lt=now - KEPT).delete()
        Post.objects.filter(created_at__lt=now - KEPT).exclude(delivery=Delivery.WAITING).delete()
    telling.tell_waiting(now)


def _is_ours() -> bool:
    """Whether no other evaluation is under way. In a statement of its own, so that what follows sees all that the one before committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [READ_WITHIN])
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
        [(ours,)] = cursor.fetchall()
    return bool(ours)


def _look(declaration: Declaration, now: datetime) -> None:
    alarm, _made = Alarm.objects.get_or_create(name=declaration.name, defaults={"since": now, "evaluated_at": now})
    value, problem = _reading(declaration, now)
    before, entered = alarm.state, alarm.since
    after = _next_state(declaration, alarm, value, now)
    alarm.value, alarm.evaluated_at = value, now
    if after != before:
        sentence = _resolved(now - entered) if after == State.RESOLVED else _wrong(declaration, value, problem)
        _move(alarm, after, now, sentence)
    alarm.save()


def _reading(declaration: Declaration, now: datetime) -> tuple[float | None, str]:
    """The value, or None and why it could not be read. That is not passed over: it fires as the trouble itself would."""
    try:
        with transaction.atomic():
            return declaration.read(now), ""
    except Exception as error:  # whatever one alarm does, the others are read
        log.warning("The alarm %s could not be read: %s: %s", declaration.name, type(error).__name__, error)
        return None, type(error).__name__


def _next_state(declaration: Declaration, alarm: Alarm, value: float | None, now: datetime) -> str:
    wrong = value is None or value > declaration.above
    if alarm.state in WRONG:
        alarm.calm_since = None if wrong else alarm.calm_since or now
        return State.RESOLVED if alarm.calm_since and now - alarm.calm_since >= declaration.calm else alarm.state
    if not wrong:
        return State.OK if alarm.state == State.PENDING else alarm.state
    lasting = declaration.lasting if value is not None else max(declaration.lasting, UNREADABLE_FOR)
    lasted = now - alarm.since if alarm.state == State.PENDING else timedelta(0)
    return State.FIRING if lasted >= lasting else State.PENDING


def _move(alarm: Alarm, after: str, now: datetime, sentence: str) -> None:
    if after not in MOVES[alarm.state]:
        raise IllegalMove(f"{alarm.name}: {alarm.state} to {after}")
    if after == State.FIRING:
        alarm.incident = Incident.objects.create(alarm=alarm, began_at=now)
    elif after == State.RESOLVED:
        Incident.objects.filter(alarm=alarm, over_at=None).update(over_at=now)
    event = AlarmEvent.objects.create(
        alarm=alarm, incident=alarm.incident, from_state=alarm.state, to_state=after, at=now, value=alarm.value, sentence=sentence
    )
    if after in TOLD:
        notice = asdict(notice_of(event))
        Post.objects.create(kind=TOLD[after], incident=alarm.incident, notice=notice, created_at=now, not_before=now)
    alarm.state, alarm.since, alarm.calm_since = after, now, None


def notice_of(event: AlarmEvent) -> Notice:
    """An alarm that is declared no more is told by its name: its message was promised."""
    declaration = DECLARED.get(event.alarm_id)
    title = str(declaration.title) if declaration else event.alarm_id
    severity = declaration.severity if declaration else Severity.WARNING
    when = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if event.to_state == State.RESOLVED:
        return Notice(mark="🟢", title=_("Over: %(title)s") % {"title": title}, body=event.sentence, remedy="", footer=when)
    remedy = _("What to do: %(remedy)s") % {"remedy": declaration.remedy} if declaration else ""
    return Notice(mark=_MARKS[severity], title=title, body=event.sentence, remedy=remedy, footer=f"{severity.label}, {when}", level=_LEVELS[severity])


def _wrong(declaration: Declaration, value: float | None, problem: str) -> str:
    if value is None:
        return _("What this alarm watches cannot be read (%(problem)s), so nobody knows how it stands.") % {"problem": problem}
    return str(declaration.sentence % {"value": declaration.show(value)})


def _resolved(lasted: timedelta) -> str:
    return _("It is right again. It lasted %(span)s.") % {"span": display.duration(lasted.total_seconds())}
