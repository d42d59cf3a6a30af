"""One timetable, and the broker that carries it: the same PostgreSQL (pgmq), or SQS.

A message is only a doorbell: a lost or doubled one changes nothing, because every task looks for itself at what is to be done.
Nothing on the way of an event uses the broker.
"""

import logging
import logging.config
import os
import time
from typing import Any, Final

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, setup_logging, task_failure, task_postrun, task_prerun, worker_init
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES
from psycopg.conninfo import make_conninfo

from engagement import logs, metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")

QUEUES: Final = ("atrium", "sending")
VISIBILITY_S: Final = 300  # of SQS: a message that was taken and not confirmed comes back; every one is confirmed as soon as it is taken

# What runs when, in UTC. A message that waited until the next one is due has nothing left to say.
TIMETABLE: Final[dict[str, dict[str, Any]]] = {
    "stored answers forgotten": {"task": "engagement.tasks.forget_answers", "schedule": crontab(minute="37"), "options": {"expires": 3600}},
    "worker works": {"task": "engagement.tasks.beat", "schedule": 10.0, "args": ("worker",), "options": {"expires": 10}},
    "sender works": {"task": "engagement.tasks.beat", "schedule": 10.0, "args": ("sender",), "options": {"expires": 10, "queue": "sending"}},
    "imports of shoppers": {"task": "engagement.tasks.work_imports", "schedule": 2.0, "options": {"expires": 2}},
    "nightly recount": {"task": "analytics.tasks.recount", "schedule": crontab(hour="3", minute="10"), "options": {"expires": 12 * 3600}},
    "audiences kept fresh": {"task": "analytics.tasks.refresh_audiences", "schedule": 2.0, "options": {"expires": 2}},
    "feedback applied": {"task": "notifications.tasks.apply_feedback", "schedule": 2.0, "options": {"expires": 2}},
    "messages planned": {"task": "notifications.tasks.plan", "schedule": 2.0, "options": {"expires": 2}},
    "account asked": {"task": "notifications.tasks.ask_account", "schedule": 60.0, "options": {"expires": 60}},
    "messages sent": {"task": "notifications.tasks.send", "schedule": 1.0, "options": {"expires": 1}},
    "messages swept up after": {"task": "notifications.tasks.sweep", "schedule": 10.0, "options": {"expires": 10}},
    "feedback judged": {"task": "notifications.tasks.judge_feedback", "schedule": 10.0, "options": {"expires": 10}},
}


def transport() -> dict[str, Any]:
    """Where the broker is and how it is spoken to, as Celery's settings."""
    given = settings.BROKER_URL
    if given.startswith("sqs:"):
        options: dict[str, Any] = {
            "visibility_timeout": VISIBILITY_S,
            "queue_name_prefix": "" if settings.BROKER_QUEUES else "atrium-",
            "wait_time_seconds": 10,
        }
        if settings.BROKER_QUEUES:  # made with the machines, so nobody here may make others
            options["predefined_queues"] = {name: {"url": url} for name, url in settings.BROKER_QUEUES.items()}
        return {"broker_url": given, "broker_transport_options": {**options, **({"region": settings.AWS_REGION} if settings.AWS_REGION else {})}}
    # The migrations install pgmq's tables. Being notified, one connection waits for all queues; polling them would take turns.
    options = {"init_extension": False, "use_notify": True, "wait_time_seconds": 0, "pool_size": 2}
    if given:
        return {"broker_url": given, "broker_transport_options": options}
    database = settings.DATABASES["default"]
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    known = {key: database[name] for key, name in names.items() if database.get(name)}
    conninfo = make_conninfo(**known, **{key: str(value) for key, value in database["OPTIONS"].items()}, application_name="atrium broker")
    return {"broker_url": "pgmq://the-database", "broker_transport_options": {**options, "conn_string": conninfo}}


TRANSPORT_ALIASES["sqs"] = "engagement.sqs:Transport"
app = Celery("engagement")
app.conf.update(
    **transport(),
    beat_schedule=TIMETABLE,
    beat_scheduler="engagement.ticking:Scheduler",
    beat_schedule_filename=str(settings.VAR / "timetable"),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_default_queue="atrium",
    task_routes={"notifications.tasks.send": {"queue": "sending"}},  # a process of its own: mail that is slow to leave keeps nothing else waiting
    task_ignore_result=True,
    task_acks_late=False,
    task_publish_retry=False,
    timezone="UTC",
    worker_concurrency=2,
    worker_enable_remote_control=False,  # its reply queues have names too long for pgmq, and SQS cannot carry them
    worker_hijack_root_logger=False,
    worker_max_tasks_per_child=200,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)
app.autodiscover_tasks()


TASKS: Final = metrics.counters("atrium_tasks_total", "Calls of the timetable's tasks that ended, and how", "task", "result")
TASK_SECONDS: Final = metrics.histograms("atrium_task_seconds", "How long the timetable's tasks work", "task")
SLOW_S: Final = 30.0  # a task that took longer says so; the others only when they have something to say
logger = logging.getLogger("atrium.tasks")


@worker_init.connect
def name_the_worker(sender: Any, **_: Any) -> None:
    metrics.begin("sender" if str(sender.hostname).startswith("sender@") else "worker", folder=settings.METRICS_FOLDER)


@beat_init.connect
def name_the_scheduler(**_: Any) -> None:
    metrics.begin("scheduler", folder=settings.METRICS_FOLDER)


@task_prerun.connect
def count_from_here(task: Any, **_: Any) -> None:
    logs.begin_request()
    task.request.began = time.perf_counter()


@task_failure.connect
def tell_of_a_failure(sender: Any, exception: BaseException, **_: Any) -> None:
    """In place of Celery's own line, which quotes the failure's text, and with it perhaps a row of the database."""
    logger.error("The task %s failed: %s", sender.name, logs.told(exception))


@task_postrun.connect
def count_to_here(task: Any, state: str | None = None, **_: Any) -> None:
    took = time.perf_counter() - getattr(task.request, "began", time.perf_counter())
    TASKS.of(task.name, (state or "unknown").lower()).inc()
    TASK_SECONDS.of(task.name).observe(took)
    if took > SLOW_S:
        logger.info("The task %s worked for %.0f s.", task.name, took, extra={"duration_ms": took * 1000})
    logs.end_request()


@setup_logging.connect
def log_as_everybody_does(**_: Any) -> None:
    logging.config.dictConfig(settings.LOGGING)
