"""Is this process alive, and is the whole ready? For load balancers and supervisors: no key, any Host, no secrets.

`early` must be the first middleware, so that a question asked by bare address is answered whatever ALLOWED_HOSTS says.
"""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import resolve
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from engagement.celery import app
from engagement.database import conninfo
from engagement.heartbeats import beat

logger = logging.getLogger(__name__)

__all__ = ["CHECKS", "STREAM", "beat", "early", "live", "ready"]

ADDRESSES: Final = ("/healthz/live", "/healthz/ready")
EARLY: Final = (*ADDRESSES, "/metrics")  # which looks at the Host itself
STREAM: Final = "stream"  # what a stream process calls itself, or begins its name with
GROUND: Final = ("database", "migrations")
SILENCE: Final = timedelta(seconds=30)  # a stream that works says so at least every few seconds


class NotReady(Exception):
    """Said to whoever asks: a sentence without addresses, names of users, or secrets."""


def early(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path_info not in EARLY:
            return get_response(request)
        request.resolver_match = resolve(request.path_info)
        response: HttpResponse = request.resolver_match.func(request)
        return response

    return middleware


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    checks = {}
    for name, check in CHECKS.items():
        try:
            check()
            checks[name] = "ok"
        except NotReady as problem:
            checks[name] = str(problem)
        if name in GROUND and checks[name] != "ok":
            break  # the others stand on it, and would only say the same
    well = all(said == "ok" for said in checks.values())
    return JsonResponse({"status": "ready" if well else "not ready", "checks": checks}, status=200 if well else 503)


def database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        connection.close()
        raise NotReady(_("The database does not answer.")) from error


def migrations() -> None:
    missing = len(_known_migrations() - set(MigrationRecorder(connection).applied_migrations()))
    if missing:
        raise NotReady(_("%(number)s migrations are not applied yet.") % {"number": missing})


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


def stream() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp() - max(at))::int FROM engagement_heartbeat WHERE process LIKE %s", [STREAM + "%"])
        [(silent_s,)] = cursor.fetchall()
    if silent_s is None:
        raise NotReady(_("No stream process has started yet."))
    if silent_s > SILENCE.total_seconds():
        raise NotReady(_("No stream process has worked for %(seconds)s seconds.") % {"seconds": silent_s})


def broker() -> None:
    try:
        if settings.BROKER_URL.startswith("sqs:"):
            with app.connection_for_write() as link:
                link.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        else:
            _ask_pgmq(re.sub("^pgmq:", "postgresql:", settings.BROKER_URL) or conninfo())
    except Exception as error:  # each transport has exceptions of its own; their texts carry addresses
        logger.warning("The broker does not answer: %s", type(error).__name__)
        raise NotReady(_("The broker does not answer.")) from error


def _ask_pgmq(address: str) -> None:
    """By a connection of our own: the transport's pool waits half a minute for a database that is away, and this answer may not."""
    with psycopg.connect(address, connect_timeout=2, options="-c statement_timeout=2s") as link:
        link.execute("SELECT 1 FROM pgmq.meta LIMIT 1")


CHECKS: Final[dict[str, Callable[[], None]]] = {"database": database, "migrations": migrations, "stream": stream, "broker": broker}
