"""What the timetable calls."""

from celery import shared_task
from django.utils import timezone

from notifications import ops


@shared_task(name="notifications.tasks.evaluate", ignore_result=True)
def evaluate() -> None:
    """Every half minute. A lost call is made good by the next; a doubled one finds the lock taken, or nothing new."""
    ops.evaluate(timezone.now())
