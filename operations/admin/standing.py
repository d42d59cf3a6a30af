"""What the operations page says of alarms, and of what Atrium does by itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from engagement import display
from operations.alarms import ALARMS, DECLARED, Declaration
from operations.models import WRONG, Alarm, AlarmEvent, State

TONES: Final = {State.OK: "good", State.RESOLVED: "good", State.PENDING: "warn", State.FIRING: "bad", State.ACKNOWLEDGED: "warn", State.SILENCED: "warn"}
ORDER: Final = (State.FIRING, State.ACKNOWLEDGED, State.SILENCED, State.PENDING, State.RESOLVED, State.OK)
EVENTS_SHOWN: Final = 20
NOT_WATCHED_AFTER: Final = timedelta(minutes=2)  # alarms are read several times a minute


@dataclass(frozen=True)
class Standing:
    """One alarm."""

    name: str
    title: str
    state: str
    tag: SafeString
    since: str
    until: str  # silent until then
    reading: str
    sentence: str  # what is wrong, or what it watches
    told: str  # when it fired, where that was something else: with the names of what it is about
    wrong: bool
    may: tuple[str, ...]  # verbs


@dataclass(frozen=True)
class Alarms:
    rows: list[Standing]  # those that want somebody
    calm: list[Standing]
    headline: str
    tone: str
    events: list["Change"]


@dataclass(frozen=True)
class Change:
    at: str
    title: str
    name: str
    tag: SafeString
    sentence: str
    by: str


def alarms(now: datetime) -> Alarms:
    known = {alarm.name: alarm for alarm in Alarm.objects.filter(name__in=DECLARED)}
    fired = _fired([alarm for alarm in known.values() if alarm.state in WRONG])
    listed = [standing(declared, known.get(declared.name), fired.get(declared.name, "")) for declared in ALARMS]
    listed.sort(key=lambda one: ORDER.index(State(one.state)) if one.state else len(ORDER))
    headline, tone = _headline(known, now)
    events = [change(event) for event in AlarmEvent.objects.order_by("-pk")[:EVENTS_SHOWN]]
    loud = [one for one in listed if one.wrong or one.state == State.PENDING]
    return Alarms(rows=loud, calm=[one for one in listed if one not in loud], headline=headline, tone=tone, events=events)


def _headline(known: dict[str, Alarm], now: datetime) -> tuple[str, str]:
    """One sentence for the whole installation. That nobody watches is worse than anything that was seen."""
    if not known:
        return _("The alarms have never been evaluated. They begin with the process named watch."), "warn"
    silent = now - max(alarm.evaluated_at for alarm in known.values())
    if silent > NOT_WATCHED_AFTER:
        return _("Nobody has looked at the alarms for %(span)s: what stands here is as old. Look whether the process named watch runs.") % {
            "span": display.duration(silent.total_seconds())
        }, "bad"
    states = [alarm.state for alarm in known.values()]
    firing, at_it = states.count(State.FIRING), states.count(State.ACKNOWLEDGED) + states.count(State.SILENCED)
    if firing:
        return ngettext("%(n)d alarm is firing.", "%(n)d alarms are firing.", firing) % {"n": firing}, "bad"
    if at_it:
        return ngettext("%(n)d alarm is known and not over.", "%(n)d alarms are known and not over.", at_it) % {"n": at_it}, "warn"
    if pending := states.count(State.PENDING):
        return ngettext("%(n)d alarm may fire soon.", "%(n)d alarms may fire soon.", pending) % {"n": pending}, "warn"
    return _("Everything is right."), "good"


def _fired(wrong: list[Alarm]) -> dict[str, str]:
    """What was said when each of them fired last."""
    events = AlarmEvent.objects.filter(alarm__in=wrong, to_state=State.FIRING).order_by("alarm", "-pk").distinct("alarm") if wrong else ()
    return {event.alarm_id: event.sentence for event in events}


def standing(declared: Declaration, alarm: Alarm | None, fired: str = "") -> Standing:
    if alarm is None:
        nothing = display.tag(_("Not looked at yet"))
        return Standing(declared.name, str(declared.title), "", nothing, display.NOTHING, "", display.NOTHING, str(declared.reads), "", wrong=False, may=())
    wrong = alarm.state in WRONG
    sentence = _sentence(declared, alarm) if wrong or alarm.state == State.PENDING else str(declared.reads)
    return Standing(
        name=alarm.name,
        title=str(declared.title),
        state=alarm.state,
        tag=display.tag(State(alarm.state).label, TONES[State(alarm.state)]),
        since=display.moment(alarm.since),
        until=display.moment(alarm.silent_until) if alarm.silent_until else "",
        reading=reading(alarm.name, alarm.value),
        sentence=sentence,
        told=fired if fired != sentence else "",
        wrong=wrong,
        may=verbs(alarm),
    )


def verbs(alarm: Alarm) -> tuple[str, ...]:
    """What somebody may do with it. One that is right may be silenced too, before works that will upset it."""
    at_it = ("acknowledge",) if alarm.state == State.FIRING else ()
    return (*at_it, "unsilence" if alarm.silent_until else "silence")


def reading(name: str, value: float | None) -> str:
    if value is None:
        return _("cannot be read")
    return DECLARED[name].show(value) if name in DECLARED else display.number(value)


def _sentence(declared: Declaration, alarm: Alarm) -> str:
    if alarm.calm_since is not None:
        return format_html(_("It is right again since {at}, and over when it stays so."), at=display.moment(alarm.calm_since))
    if alarm.value is None:
        return _("What this alarm watches cannot be read, so nobody knows how it stands.")
    return str(declared.sentence % {"value": declared.show(alarm.value)})


def change(event: AlarmEvent) -> Change:
    return Change(
        at=display.moment(event.at, seconds=True),
        title=title(event.alarm_id),
        name=event.alarm_id,
        tag=state(event.to_state),
        sentence=event.sentence,
        by=event.by,
    )


def title(name: str) -> str:
    return str(DECLARED[name].title) if name in DECLARED else _("%(name)s (no longer watched)") % {"name": name}


def state(name: str) -> SafeString:
    return display.tag(State(name).label, TONES[State(name)])
