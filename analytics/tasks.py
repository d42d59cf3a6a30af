import logging

from celery import shared_task

from analytics import recount as recounting
from analytics.audiences import refresh

logger = logging.getLogger("atrium.recount")


@shared_task(name="analytics.tasks.recount", ignore_result=True)
def recount() -> None:
    """Nightly: a difference is an alarm, since the figures can then not be trusted."""
    report = recounting.recount()
    if report.differences:
        logger.error("ALARM: the recount found %s differences in %s stays. Run manage.py recount to see them.", report.differences, report.stays)
    else:
        logger.info("The recount found no difference in %s stays of %s shoppers.", report.stays, report.shoppers)


@shared_task(name="analytics.tasks.refresh_audiences", ignore_result=True)
def refresh_audiences() -> None:
    """Who joined and left since the last round, within seconds of what changed it."""
    refresh.step()
