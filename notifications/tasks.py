"""What the timetable calls. Each looks at the rows for what is to be done: a lost call is made good by the next, a doubled one finds nothing, or shares."""

import threading
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down
from django.utils import timezone

from notifications import governor, planning
from notifications.channels.email import open_wire
from notifications.delivery import sending
from notifications.delivery import sweep as sweeping
from notifications.feedback import apply, brake, notices


@shared_task(name="notifications.tasks.apply_feedback", ignore_result=True)
def apply_feedback() -> None:
    """What providers told of the mail, while there is any. A doubled call finds the rows held."""
    apply.apply()


@shared_task(name="notifications.tasks.judge_feedback", ignore_result=True)
def judge_feedback() -> None:
    """Every ten seconds: how much bounces and is complained of, and how fast marketing may go; and notices of last month forgotten."""
    brake.look(timezone.now())
    notices.forget(timezone.now())


_stopping = threading.Event()
_own = threading.local()  # each thread's sender, with its connections and compiled texts


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """Whoever is at work gives back what has not left, and ends within a second or so."""
    _stopping.set()


@shared_task(name="notifications.tasks.plan", ignore_result=True)
def plan() -> None:
    """Every two seconds: campaigns that are due, and runs whose messages are not planned yet."""
    planning.plan(stopping=_stopping.is_set)


@shared_task(name="notifications.tasks.send", ignore_result=True)
def send() -> None:
    """Every second, of its own queue: works for as long as there is something to send, at most for some twenty seconds."""
    sending.stood_still(timezone.now())
    if not hasattr(_own, "sender"):
        _own.sender = sending.Sender(open_wire(), stopping=_stopping.is_set)
    if _own.sender.run():
        sweeping.finish(timezone.now())


@shared_task(name="notifications.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Every ten seconds: claims of the dead, messages of cancelled campaigns, runs with nothing left, campaigns of which too much fails."""
    sweeping.sweep()


@shared_task(name="notifications.tasks.ask_account", ignore_result=True)
def ask_account() -> None:
    """Every minute: how fast the provider lets the account send, and how much of today's quota is used."""
    governor.refresh()
