"""What the timetable calls."""

from celery import shared_task
from django.utils import timezone

from notifications import ops
from notifications.feedback import apply


@shared_task(name="notifications.tasks.evaluate", ignore_result=True)
def evaluate() -> None:
    """Every half minute. A lost call is made good by the next; a doubled one finds the lock taken, or nothing new."""
    ops.evaluate(timezone.now())


@shared_task(name="notifications.tasks.apply_feedback", ignore_result=True)
def apply_feedback() -> None:
    """What providers told of the mail, while there is any. A doubled call finds the rows held."""
    apply.apply()
