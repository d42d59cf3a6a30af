"""What Prometheus and CloudWatch read: beside what the processes count, how things stand in the database; and the address that Prometheus asks.

Nothing here is of one organisation, and each number is one query that is bounded: behind an index, over a small table, or given up after two seconds.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings
from django.db import Error, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.views.decorators.cache import never_cache

from engagement import metrics
from engagement.metrics import shelf, text
from engagement.metrics.measures import Gauge
from operations import work

logger = logging.getLogger("atrium.metrics")

FRESH_S: Final = 15.0
PARKED: Final = "atrium_parked_items"
SHARE: Final = 20.0  # a reading that took t seconds holds for 20 t: looking must not become the load
LONGEST_S: Final = "2s"  # of one query

# Name, text, labels, and a query whose rows are a value and then the labels' values.
_STANDING: Final[tuple[tuple[str, str, tuple[str, ...], str], ...]] = (
    (
        "atrium_stream_lag_seconds",
        "How long the first request in the inbox has waited",
        (),
        "SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - received_at) FROM engagement_inbox ORDER BY id LIMIT 1), 0)",
    ),
    ("atrium_inbox_requests", "Requests that wait for the stream", (), "SELECT count(*) FROM engagement_inbox"),
    ("atrium_inbox_events", "Events that wait for the stream", (), "SELECT coalesce(sum(events), 0) FROM engagement_inbox"),
    ("atrium_set_aside_requests", "Requests set aside and not sent on", (), "SELECT count(*) FROM engagement_setaside WHERE replayed_at IS NULL"),
    (
        "atrium_messages",
        "Messages of the runs that are under way, by state",
        ("state",),
        """SELECT coalesce(sum(x.n), 0), s.state FROM unnest(%(states)s::text[]) s (state)
           LEFT JOIN (SELECT m.state, count(*) AS n FROM notifications_run r JOIN notifications_message m ON m.run_id = r.id
                      WHERE r.finished_at IS NULL GROUP BY m.state) x ON x.state = s.state GROUP BY s.state""",
    ),
    (
        "atrium_send_rate_per_second",
        "Messages sent a second, over the last minute",
        (),
        "SELECT count(*) / 60.0 FROM notifications_message WHERE sent_at > now() - interval '1 minute' AND sent_at <= now()",
    ),
    (
        "atrium_send_quota_used_ratio",
        "Share of the account's quota of 24 hours that is used",
        (),
        "SELECT sent / quota FROM notifications_sendingaccount WHERE quota > 0",
    ),
    (
        "atrium_send_brake_ratio",
        "Share of the account's rate that marketing may use",
        (),
        "SELECT brake FROM notifications_sendingaccount",
    ),
    (
        "atrium_feedback_waiting_notices",
        "Notices about mail that are not applied yet",
        (),
        "SELECT count(*) FROM notifications_feedbacknotice WHERE applied_at IS NULL",
    ),
    (
        "atrium_alarms",
        "Alarms, by state",
        ("state",),
        """SELECT count(a.name), s.state FROM unnest(%(alarms)s::text[]) s (state) LEFT JOIN operations_alarm a ON a.state = s.state GROUP BY s.state""",
    ),
    ("atrium_posts_waiting", "What waits to be told to people", (), "SELECT count(*) FROM operations_post WHERE delivery = 'waiting'"),
    (
        "atrium_actions_last_day",
        "What Atrium did by itself in the last 24 hours, by action and result",
        ("action", "result"),
        "SELECT count(*), action, result FROM operations_action WHERE at > now() - interval '1 day' GROUP BY action, result",
    ),
    (
        "atrium_heartbeat_age_seconds",
        "How long ago a process of this name last said that it works, on whichever machine",
        ("process",),
        """SELECT extract(epoch FROM clock_timestamp() - max(at)), split_part(process, '@', 1) FROM engagement_heartbeat
           WHERE host <> '' GROUP BY 2""",
    ),
    (
        "atrium_processes",
        "Processes of this name that said within a minute that they work, on all machines",
        ("process",),
        """SELECT count(*) FILTER (WHERE at > clock_timestamp() - interval '1 minute'), split_part(process, '@', 1) FROM engagement_heartbeat
           WHERE host <> '' GROUP BY 2""",
    ),
)
_CLOSED_LISTS: Final[dict[str, Any]] = {
    "states": ["planned", "claimed", "sent", "delivered", "bounced", "complained", "failed", "skipped", "held_out", "unknown"],
    "alarms": ["ok", "pending", "firing", "acknowledged", "silenced", "resolved"],
}


class _Last:
    """The last reading, for as long as it holds. Whoever comes while it is made waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Gauge] = []
        self._until = 0.0

    def read(self) -> list[Gauge]:
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._found = list(_read())
                now = time.monotonic()
                self._until = now + max(FRESH_S, SHARE * (now - began))
            return self._found

    def forget(self) -> None:
        self._until = 0.0


_last: Final = _Last()


def gauges() -> list[Gauge]:
    """How things stand in the database; at most some seconds old."""
    return _last.read()


def _read() -> Iterator[Gauge]:
    """Each fails alone: what could not be read is missing, and Prometheus and CloudWatch know what that means."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()  # of a thread that serves no requests, nobody else asks
    for name, said, labels, query in _STANDING:
        for value, *values in _bounded(name, lambda query=query: _asked(query)):  # type: ignore[misc]
            yield Gauge(name, said, float(value), labels, tuple(values))
    for value in _bounded(PARKED, lambda: [work.number_parked()]):
        yield Gauge(PARKED, "Parked work of all kinds, of each at most a thousand", float(value))


def _bounded(name: str, ask: Callable[[], list[Any]]) -> list[Any]:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST_S}'")
            return ask()
    except Error as error:
        logger.warning("The metric %s could not be read: %s", name, type(error).__name__)
        return []


def _asked(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, _CLOSED_LISTS)
        return list(cursor.fetchall())


# --- The address ----------------------------------------------------------------------------------------------------------

# What a proxy adds of whoever is behind it. A request that has one of these comes from farther away than its connection says.
_FORWARDED: Final = (
    *("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP", "HTTP_X_AMZN_TRACE_ID"),
    *("HTTP_X_AMZ_CF_ID", "HTTP_X_CLUSTER_CLIENT_IP", "HTTP_X_ORIGINAL_FORWARDED_FOR"),
)


@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """For everybody else there is nothing here."""
    if settings.METRICS != metrics.PROMETHEUS or request.method not in {"GET", "HEAD"} or not (_has_token(request) or _is_near(request)):
        raise Http404
    metrics.tell_now()
    return HttpResponse(text.written(shelf.read(settings.METRICS_FOLDER), gauges()), content_type=text.TYPE)


def _has_token(request: HttpRequest) -> bool:
    scheme, _blank, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted.encode())


def _is_near(request: HttpRequest) -> bool:
    """From this machine or its private network, by no proxy, and asked for by a name that is ours: a page elsewhere may have its own name lead here."""
    if any(name in _FORWARDED or name.startswith("HTTP_X_FORWARDED") for name in request.META):
        return False
    try:
        peer = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None) or peer
    return bool(mapped.is_loopback or mapped.is_private) and _is_our_name(request.META.get("HTTP_HOST"))


def _is_our_name(host: str | None) -> bool:
    if host is None:  # no browser leaves it out
        return True
    name, _port = split_domain_port(host)
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return validate_host(name, ["localhost", *settings.ALLOWED_HOSTS])
    return True
