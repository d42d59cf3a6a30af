"""What the timetable calls. Each looks for itself at what is to be done, so a lost or doubled call changes nothing."""

from celery import shared_task
from django.db import connection
from django.utils import timezone

from engagement import heartbeats, idempotency, imports


@shared_task
def beat(process: str) -> None:
    """Every ten seconds, on each queue: whoever takes this takes tasks."""
    with connection.cursor() as cursor:
        heartbeats.beat(cursor.connection, process)


@shared_task
def forget_answers() -> None:
    """Stored answers of writes that nobody will send again, and files that nobody takes in."""
    idempotency.forget(timezone.now())
    imports.drop_old(timezone.now())


@shared_task
def work_imports() -> None:
    """Files of shoppers, for a moment. A doubled call finds the same rows held, and takes others or none."""
    imports.work()
