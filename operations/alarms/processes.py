"""Alarms about the processes: whether each says that it works, and keeps up."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from analytics.models import Recount, ZoneDay
from engagement import health
from engagement.models import Heartbeat, Inbox
from operations.alarms.declaration import Declaration, Severity, exact, span

_MINUTE: Final = timedelta(minutes=1)


def silence(process: str) -> Callable[[datetime], float]:
    """Seconds since any process of that kind said that it works. One that is gone for good, of several machines', is no trouble: the others go on."""

    def read(now: datetime) -> float:
        # With its machine, or a number before that; a row without a machine is no process (engagement.heartbeats), but for those of old.
        kind = Q(process__startswith=f"{process}@") | Q(process__startswith=f"{process}-")
        latest: datetime | None = Heartbeat.objects.filter(kind).aggregate(latest=Max("at"))["latest"]
        return max(0.0, (now - latest).total_seconds()) if latest else math.inf

    return read


def stream_lag(now: datetime) -> float:
    """Seconds that the first row of the inbox has waited. By its number, which an index has: the oldest time would mean reading the whole inbox."""
    first = Inbox.objects.order_by("pk").values_list("received_at", flat=True).first()
    return max(0.0, (now - first).total_seconds()) if first else 0.0


def figures_lag(now: datetime) -> float:
    """Seconds since the first of the days that are due should have been made. Readers make it from its stays meanwhile, so figures stay right."""
    first = ZoneDay.objects.filter(due_at__lte=now).order_by("due_at").values_list("due_at", flat=True).first()
    return (now - first).total_seconds() if first else 0.0


def differences_of_last_recount(now: datetime) -> float:
    return Recount.objects.order_by("-pk").values_list("differences", flat=True).first() or 0


def _silent(name: str, process: str, *, title: Any, sentence: Any, remedy: Any, severity: Severity = Severity.CRITICAL, after_s: float = 60) -> Declaration:
    # A start takes some seconds, and after a machine has slept all are silent for a moment: so it lasts a while before it fires.
    return Declaration(
        name=name,
        title=title,
        reads=_("The time since such a process last said that it works."),
        read=silence(process),
        above=after_s,
        lasting=timedelta(seconds=30) if process == health.STREAM else _MINUTE,
        severity=severity,
        show=span,
        sentence=sentence,
        remedy=remedy,
    )


ALARMS: Final = (
    _silent(
        "stream-silent",
        health.STREAM,
        title=_("The stream is silent"),
        sentence=_("No stream process has worked for %(value)s. Events are accepted and kept, but no stay is made of them."),
        remedy=_("Look whether the stream process runs and what its log says last, and start it again. It goes on where it ended."),
    ),
    _silent(
        "web-silent",
        "web",
        title=_("The web server is silent"),
        sentence=_("No web server has worked for %(value)s. Phones cannot deliver their events, and keep them for later."),
        remedy=_("Look whether the web process runs and what its log says last, and start it again. Look at /healthz/live from outside."),
    ),
    _silent(
        "worker-silent",
        "worker",
        title=_("The worker takes no tasks"),
        severity=Severity.WARNING,
        after_s=120,
        sentence=_("No worker has taken a task for %(value)s. Audiences, feedback, imports and partitions wait."),
        remedy=_("Look whether the worker and the scheduler run and what their logs say last, and start them again. Look at the broker."),
    ),
    _silent(
        "sender-silent",
        "sender",
        title=_("The sender takes no tasks"),
        severity=Severity.WARNING,
        after_s=180,  # a task that sends may take twenty seconds, and a wire that stalls a minute
        sentence=_("No sender has taken a task for %(value)s. Messages of campaigns wait, and after twelve hours a person is asked about them."),
        remedy=_("Look whether the sender and the scheduler run and what their logs say last, and start them again. Look at the broker."),
    ),
    _silent(
        "scheduler-silent",
        "scheduler",
        title=_("The scheduler is silent"),
        severity=Severity.WARNING,
        sentence=_("The scheduler has not ticked for %(value)s. Nothing of the timetable is begun: no messages, no audiences, no recount."),
        remedy=_("Look whether the scheduler runs and what its log says last, and start it again. It needs the broker."),
    ),
    _silent(
        "figures-silent",
        "figures",
        title=_("The figures process is silent"),
        severity=Severity.WARNING,
        after_s=300,  # it says so between two portions of its work, and a year's days of a venue are one of them
        sentence=_("No figures process has worked for %(value)s. Reports are right, but take longer."),
        remedy=_("Look whether the figures process runs and what its log says last, and start it again. It goes on where it ended."),
    ),
    Declaration(
        name="stream-behind",
        title=_("The stream is behind"),
        reads=_("How long the first request in the inbox has waited."),
        read=stream_lag,
        above=300,
        lasting=_MINUTE,
        severity=Severity.CRITICAL,
        show=span,
        sentence=_("The first request in the inbox has waited for %(value)s. The figures are late by as much."),
        remedy=_("An import of history ends by itself. Else read the log of the stream, look at the load of the database, or run more stream processes."),
    ),
    Declaration(
        name="figures-behind",
        title=_("Figures are not made"),
        reads=_("How long the first day that is due has waited to be made into figures."),
        read=figures_lag,
        above=300,
        lasting=_MINUTE,
        severity=Severity.WARNING,
        show=span,
        sentence=_("A day that is over has waited for %(value)s to be made into figures. Reports are right, but take longer."),
        remedy=_("Look whether the figures process runs and what its log says last, and start it again. It goes on where it ended."),
    ),
    Declaration(
        name="recount-differs",
        title=_("The recount found a difference"),
        reads=_("How many differences the last recount found."),
        read=differences_of_last_recount,
        above=0,
        severity=Severity.CRITICAL,
        show=exact,
        sentence=_("Differences that the last recount found between the stays and their events: %(value)s. Figures may be wrong."),
        remedy=_("Run manage.py recount to see them. The alarm ends with the first recount that finds none."),
    ),
)
