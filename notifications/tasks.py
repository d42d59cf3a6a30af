"""What the timetable calls."""

from celery import shared_task
from django.utils import timezone

from notifications import ops


# The limits are shorter than a claim on a message (notifications.telling), so that nobody works on one that has run out.
@shared_task(name="notifications.tasks.evaluate", ignore_result=True, soft_time_limit=100, time_limit=120)
def evaluate() -> None:
    """Every half minute. A lost call is made good by the next; a doubled one finds the lock taken, or nothing new."""
    ops.evaluate(timezone.now())
