"""What the timetable calls. Each looks for itself at what is to be done, so a lost or doubled call changes nothing."""

import logging

from celery import shared_task

from engagement import database, partitions

logger = logging.getLogger(__name__)


@shared_task
def make_partitions() -> None:
    """Daily partitions of the events, made well before their day comes."""
    with database.connect(application_name="atrium partitions") as connection:
        made = partitions.ensure(connection)
    if made:
        logger.info("Made %s partitions, up to %s.", len(made), made[-1])
