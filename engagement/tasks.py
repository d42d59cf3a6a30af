"""What the timetable calls. Each looks for itself at what is to be done, so a lost or doubled call changes nothing."""

import logging

from celery import shared_task
from django.db import connection
from django.utils import timezone

from engagement import database, heartbeats, idempotency, imports, partitions

logger = logging.getLogger(__name__)


@shared_task
def make_partitions() -> None:
    """Daily partitions of the events, made well before their day comes."""
    with database.connect(application_name="atrium partitions") as connection:
        made = partitions.ensure(connection)
    if made:
        logger.info("Made %s partitions, up to %s.", len(made), made[-1])


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
