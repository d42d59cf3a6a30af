"""Alarms: read all, move their states, and leave what people are to be told.

Any number of processes may call `evaluate`: one advisory lock lets one of them move the states, in one transaction with the
history and the posts. People move them too (`acknowledge`, `silence`, `unsilence`), under the same lock.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils.translation import gettext as _

from engagement import display
from engagement.faults import point
from operations.alarms import ALARMS, DECLARED, Declaration, Found, Severity, named
from operations.blocks import Notice
from operations.models import MOVES, WRONG, Alarm, AlarmEvent, Delivery, Incident, Kind, Post, State

log = logging.getLogger("atrium.alarm")

KEPT: Final = timedelta(days=90)  # history
READ_WITHIN: Final = "10s"  # one reading
UNREADABLE_FOR: Final = timedelta(minutes=2)  # a reading may fail once, by a deadlock or a restart, without anybody being woken
SAME_TROUBLE: Final = timedelta(minutes=30)  # an alarm that fires again so soon goes on with its incident
LONGEST_CALM: Final = timedelta(minutes=30)  # each firing of an incident doubles the calm that ends it, up to this
ACKNOWLEDGED_FOR: Final = timedelta(days=1)  # whoever was at it is not any more
LONGEST_SILENCE: Final = timedelta(days=30)
TOLD_AGAIN: Final = timedelta(hours=1)  # while it lasts
MUCH: Final = 2.0  # times as much, or as little, as when it was told
MUCH_AFTER: Final = timedelta(minutes=5)
_LOCK: Final = "atrium alarms"
_MARKS: Final[dict[str, str]] = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}
_LEVELS: Final[dict[str, str]] = {Severity.CRITICAL: "error", Severity.WARNING: "warning"}


class IllegalMove(Exception):
    """A move that the transition table does not have."""


def evaluate(now: datetime) -> None:
    """One round. `now` is the clock of everything in it but the database's own."""
    # Durable: inside somebody's transaction the posts would be seen long after what they say.
    with transaction.atomic(durable=True):
        if not _is_ours():
            return
        alarms = {alarm.name: alarm for alarm in Alarm.objects.select_related("incident")}
        looked = [_look(declaration, alarms.get(declaration.name), now) for declaration in ALARMS]
        _note(alarm for alarm in looked if alarm is not None)
        for alarm in alarms.values():
            if alarm.name not in DECLARED:
                _let_go(alarm, now)
        AlarmEvent.objects.filter(at__lt=now - KEPT).delete()
        Incident.objects.filter(over_at__lt=now - KEPT).delete()
        Post.objects.filter(created_at__lt=now - KEPT).exclude(delivery=Delivery.WAITING).delete()
        point("alarms.before_commit")
    point("alarms.after_commit")


def acknowledge(name: str, by: str, now: datetime) -> None:
    """Somebody is at it. Raises IllegalMove where it is not firing."""
    with _held(name) as alarm:
        _move(alarm, State.ACKNOWLEDGED, now, _("Somebody is at it."), by=by)
        alarm.save()


def silence(name: str, until: datetime, by: str, now: datetime) -> None:
    """Nobody wants to hear of it until then; of one that is right, not when it turns wrong either. Raises IllegalMove where `until` is no such time."""
    if not now < until <= now + LONGEST_SILENCE:
        raise IllegalMove(f"{name}: silent until {until}")
    with _held(name) as alarm:
        alarm.silent_until, alarm.silent_by = until, by
        if alarm.state in (State.PENDING, State.FIRING, State.ACKNOWLEDGED):
            _move(alarm, State.SILENCED, now, _("Silenced until %(until)s.") % {"until": _when(until)}, by=by)
        elif alarm.state == State.SILENCED:
            log.info("The alarm %s is silent until %s.", name, _when(until))
        alarm.save()


def unsilence(name: str, by: str, now: datetime) -> None:
    """Raises IllegalMove where it is not silent."""
    with _held(name) as alarm:
        if alarm.silent_until is None:
            raise IllegalMove(f"{name}: not silent")
        alarm.silent_until, alarm.silent_by = None, ""
        if alarm.state == State.SILENCED:
            _move(alarm, State.FIRING, now, _("It is not silenced any more."), by=by)
        alarm.save()


# --- Under the lock ---------------------------------------------------------------------------------------------------------


def _is_ours() -> bool:
    """Whether no other evaluation is under way. In a statement of its own, so that what follows sees all that the one before committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [READ_WITHIN])
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
        [(ours,)] = cursor.fetchall()
    return bool(ours)


@contextmanager
def _held(name: str) -> Iterator[Alarm]:
    """An alarm that nobody else moves meanwhile. A person waits for the round that is under way."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK])
        alarm = Alarm.objects.select_related("incident").filter(name=name).first()
        if alarm is None:
            raise IllegalMove(f"{name}: never evaluated")
        yield alarm


# In one go: a round is mostly of alarms that stand as they stood.
_NOTE: Final = """
    UPDATE operations_alarm SET state = %s, since = %s, calm_since = %s, value = %s, evaluated_at = %s, silent_until = %s, silent_by = %s, incident_id = %s
    WHERE name = %s
"""


def _note(alarms: Iterable[Alarm]) -> None:
    rows = [(one.state, one.since, one.calm_since, one.value, one.evaluated_at, one.silent_until, one.silent_by, one.incident_id, one.name) for one in alarms]
    with connection.cursor() as cursor:
        cursor.executemany(_NOTE, rows)


def _look(declaration: Declaration, alarm: Alarm | None, now: datetime) -> Alarm | None:
    """The alarm as it stands now; nothing where it is not due."""
    if alarm is None:
        alarm = Alarm(name=declaration.name, since=now, evaluated_at=now)
        alarm.save(force_insert=True)
    elif alarm.value is not None and timedelta(0) <= now - alarm.evaluated_at < declaration.every:
        return None
    found, problem = _reading(declaration, now)
    before, entered = alarm.state, alarm.since
    after = _next_state(declaration, alarm, found, now)
    alarm.value, alarm.evaluated_at = None if found is None else found.value, now
    if alarm.silent_until is not None and alarm.silent_until <= now:
        alarm.silent_until, alarm.silent_by = None, ""
    if after != before:
        began = alarm.incident.began_at if alarm.incident else entered
        sentence = _resolved(now - began) if after == State.RESOLVED else _wrong(declaration, found, problem)
        _move(alarm, after, now, sentence)
    elif after in (State.FIRING, State.ACKNOWLEDGED) and alarm.calm_since is None:
        _go_on(declaration, alarm, found, problem, now)
    return alarm


def _reading(declaration: Declaration, now: datetime) -> tuple[Found | None, str]:
    """The reading, or None and why there is none. That is not passed over: it fires as the trouble itself would."""
    try:
        with transaction.atomic():
            found = declaration.read(now)
    except Exception as error:  # whatever one alarm does, the others are read
        log.warning("The alarm %s could not be read: %s", declaration.name, type(error).__name__)
        return None, type(error).__name__
    return (found if isinstance(found, Found) else Found(found)), ""


def _next_state(declaration: Declaration, alarm: Alarm, found: Found | None, now: datetime) -> str:
    wrong = found is None or declaration.is_wrong(found.value)
    silent = alarm.silent_until is not None and alarm.silent_until > now
    if alarm.state in WRONG:
        alarm.calm_since = None if wrong else alarm.calm_since or now
        if alarm.calm_since and now - alarm.calm_since >= _calm(declaration, alarm):
            return State.RESOLVED
        ended = alarm.state == State.SILENCED and not silent
        left = alarm.state == State.ACKNOWLEDGED and now - alarm.since >= ACKNOWLEDGED_FOR
        return State.FIRING if wrong and (ended or left) else alarm.state
    if not wrong:
        return State.OK if alarm.state == State.PENDING else alarm.state
    lasting = declaration.lasting if found is not None else max(declaration.lasting, UNREADABLE_FOR)
    lasted = now - alarm.since if alarm.state == State.PENDING else timedelta(0)
    if lasted < lasting:
        return State.PENDING
    return State.SILENCED if silent else State.FIRING


def _calm(declaration: Declaration, alarm: Alarm) -> timedelta:
    """How long it must be right to be over: the oftener it came back, the longer."""
    firings = alarm.incident.firings if alarm.incident else 1
    return max(declaration.calm, min(declaration.calm * (1 << min(firings - 1, 10)), LONGEST_CALM))


def _move(alarm: Alarm, after: str, now: datetime, sentence: str, *, by: str = "") -> None:
    if after not in MOVES[alarm.state]:
        raise IllegalMove(f"{alarm.name}: {alarm.state} to {after}")
    if after in WRONG and alarm.state not in WRONG:
        _begin(alarm, now)
        by = by or (alarm.silent_by if after == State.SILENCED else "")
    elif after == State.RESOLVED and alarm.incident is not None:
        alarm.incident.over_at = now
        alarm.incident.save(update_fields=["over_at"])  # its thread is written meanwhile by whoever tells
    event = AlarmEvent.objects.create(
        alarm=alarm, incident=alarm.incident, from_state=alarm.state, to_state=after, at=now, value=alarm.value, sentence=sentence, by=by
    )
    alarm.state, alarm.since, alarm.calm_since = after, now, None
    if after in (*WRONG, State.RESOLVED):
        _post(alarm, event)


def _begin(alarm: Alarm, now: datetime) -> None:
    """An incident, or the one that was over only just now."""
    last = alarm.incident
    if last is not None and last.over_at is not None and now - last.over_at <= SAME_TROUBLE:
        last.over_at = None
        last.firings += 1
        last.save(update_fields=["over_at", "firings"])
    else:
        alarm.incident = Incident.objects.create(alarm=alarm, began_at=now)


def _post(alarm: Alarm, event: AlarmEvent) -> None:
    """FIRED once an incident; of one that nobody was told of, because it came in a silence, neither its changes nor its end."""
    incident = alarm.incident
    if incident is None or (incident.told_at is None and event.to_state != State.FIRING):
        return
    kind = Kind.OVER if event.to_state == State.RESOLVED else Kind.FIRED if incident.told_at is None else Kind.CHANGED
    _leave(incident, kind, notice_of(event), alarm.value, event.at)


def _go_on(declaration: Declaration, alarm: Alarm, found: Found | None, problem: str, now: datetime) -> None:
    """While it lasts: told again where it has become much more or less, and every hour."""
    incident = alarm.incident
    if incident is None or incident.told_at is None:
        return
    much = found is not None and _differs_much(found.value, incident.told_value) and now - incident.told_at >= MUCH_AFTER
    if much or now - incident.told_at >= TOLD_AGAIN:
        notice = _notice(declaration.name, alarm.state, _wrong(declaration, found, problem), now)
        _leave(incident, Kind.CHANGED, notice, alarm.value, now)


def _differs_much(value: float, told: float | None) -> bool:
    if told is None or math.isinf(value) or math.isinf(told):
        return value != told
    low, high = sorted((abs(value), abs(told)))
    return high > 0 and high >= MUCH * low


def _leave(incident: Incident, kind: str, notice: Notice, value: float | None, now: datetime) -> None:
    Post.objects.create(kind=kind, incident=incident, notice=asdict(notice), created_at=now, not_before=now)
    incident.told_at, incident.told_value = now, value
    incident.save(update_fields=["told_at", "told_value"])


def _let_go(alarm: Alarm, now: datetime) -> None:
    """An alarm that a release does not declare any more."""
    after = State.RESOLVED if alarm.state in WRONG else State.OK if alarm.state == State.PENDING else alarm.state
    if after != alarm.state:
        _move(alarm, after, now, _("It is not watched any more."))
        alarm.save()


# --- Words ------------------------------------------------------------------------------------------------------------------


def notice_of(event: AlarmEvent) -> Notice:
    return _notice(event.alarm_id, event.to_state, event.sentence, event.at)


def _notice(name: str, state: str, sentence: str, at: datetime) -> Notice:
    """An alarm that is declared no more is told by its name: its message was promised."""
    declaration = DECLARED.get(name)
    title = str(declaration.title) if declaration else name
    severity = declaration.severity if declaration else Severity.WARNING
    if state == State.RESOLVED:
        return Notice(mark="🟢", title=_("Over: %(title)s") % {"title": title}, body=sentence, remedy="", footer=_when(at))
    remedy = _("What to do: %(remedy)s") % {"remedy": declaration.remedy} if declaration else ""
    return Notice(mark=_MARKS[severity], title=title, body=sentence, remedy=remedy, footer=f"{severity.label}, {_when(at)}", level=_LEVELS[severity])


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _wrong(declaration: Declaration, found: Found | None, problem: str) -> str:
    if found is None:
        return _("What this alarm watches cannot be read (%(problem)s), so nobody knows how it stands.") % {"problem": problem}
    told = str(declaration.sentence % {"value": declaration.show(found.value)})
    return " ".join(part for part in (told, named(found.names)) if part)


def _resolved(lasted: timedelta) -> str:
    return _("It is right again. It lasted %(span)s.") % {"span": display.duration(lasted.total_seconds())}
