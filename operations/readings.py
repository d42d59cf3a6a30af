"""What is measured at each minute, for lines over the day and for alarms. What lies outside the database is asked for here, outside any transaction.

Two that measure the same minute write one row.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from django.conf import settings
from django.db import connection, connections

from operations import backups
from operations.models import Reading

log = logging.getLogger("atrium.watch")

KEPT: Final = timedelta(days=8)
CERTIFICATES_EVERY: Final = timedelta(hours=1)
BACKUPS_EVERY: Final = timedelta(minutes=10)
AGAIN: Final = timedelta(minutes=5)  # one that could not be read
TLS_TIMEOUT_S: Final = 5.0
BACKUP_AGE: Final = "backup-age"
REPLICA_LAG: Final = "replica-lag"
STREAM_LAG: Final = "stream-lag"
INBOX_EVENTS: Final = "inbox-events"
MESSAGES_PLANNED: Final = "messages-planned"
SEND_RATE: Final = "send-rate"
HEARTBEATS_MISSING: Final = "heartbeats-missing"

# Each of one number, behind an index or over a table that is small unless there is trouble.
_QUERIES: Final = {
    STREAM_LAG: "SELECT coalesce((SELECT extract(epoch FROM %(now)s - received_at) FROM engagement_inbox ORDER BY id LIMIT 1), 0)::float8",
    INBOX_EVENTS: "SELECT coalesce(sum(events), 0)::float8 FROM engagement_inbox",
    MESSAGES_PLANNED: """SELECT coalesce(sum(n), 0)::float8 FROM notifications_run r,
                         LATERAL (SELECT count(*) AS n FROM notifications_message m WHERE m.run_id = r.id AND m.state = 'planned') x
                         WHERE r.finished_at IS NULL""",
    SEND_RATE: "SELECT count(*)::float8 / 60 FROM notifications_message WHERE sent_at > %(now)s - interval '1 minute' AND sent_at <= %(now)s",
    HEARTBEATS_MISSING: r"""SELECT count(*)::float8 FROM (
                              SELECT max(at) AS at FROM engagement_heartbeat WHERE host <> '' GROUP BY regexp_replace(split_part(process, '@', 1), '-\d+$', '')
                            ) kinds WHERE at < %(now)s - interval '2 minutes'""",
}


def take(now: datetime) -> None:
    """Measure, where nobody has in this minute. Each fails alone."""
    minute = now.replace(second=0, microsecond=0)
    if Reading.objects.filter(name=STREAM_LAG, at=minute).exists():
        return
    wanted: dict[str, Callable[[], float]] = {name: partial(_ask, query, now) for name, query in _QUERIES.items()}
    if settings.REPORTS_DATABASE != "default":
        wanted[REPLICA_LAG] = replica_lag
    if settings.BACKUP_URL:
        wanted |= {BACKUP_AGE: partial(backup_age, now)} if _is_due(BACKUP_AGE, BACKUPS_EVERY, now) else {}
    for one in settings.CERTIFICATES:
        wanted |= {certificate_name(one): partial(days_left, one, now)} if _is_due(certificate_name(one), CERTIFICATES_EVERY, now) else {}
    found = []
    for name, measure in wanted.items():
        try:
            found.append(Reading(name=name, at=minute, value=measure()))
        except Exception as error:  # its text may quote an address
            log.warning("The reading %s failed: %s", name, type(error).__name__)
    Reading.objects.bulk_create(found, ignore_conflicts=True)


def forget(now: datetime) -> None:
    Reading.objects.filter(at__lt=now - KEPT).delete()


def _ask(query: str, now: datetime) -> float:
    with connection.cursor() as cursor:
        cursor.execute(query, {"now": now})
        [(value,)] = cursor.fetchall()
    return float(value)


def replica_lag() -> float:
    """How much older the latest heartbeat is there: what readers see, and not what the replica believes of itself."""
    latest = []
    for alias in ("default", settings.REPORTS_DATABASE):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT max(at) FROM engagement_heartbeat")
            [(at,)] = cursor.fetchall()
        latest.append(at)
    here, there = latest
    if here is None or there is None:
        return 0.0
    return max(0.0, float((here - there).total_seconds()))


def _is_due(name: str, every: timedelta, now: datetime) -> bool:
    """What is asked for over the network, more seldom; one that failed is tried again a little later."""
    if Reading.objects.filter(name=name, at__gt=now - every, at__lte=now).exists():
        return False
    tried = _tried.get(name)
    if tried is not None and timedelta(0) <= now - tried < AGAIN:
        return False
    _tried[name] = now
    return True


_tried: dict[str, datetime] = {}  # of this process


def backup_age(now: datetime) -> float:
    """Seconds since the newest backup in the place that keeps them; where there is none, since the installation began."""
    made = backups.latest()
    if made is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(applied) FROM django_migrations")
            [(made,)] = cursor.fetchall()
    return float((now - (made or now)).total_seconds())


# --- Certificates -----------------------------------------------------------------------------------------------------------


def certificate_name(place: str) -> str:
    return f"certificate:{place}"[-64:]


def days_left(place: str, now: datetime) -> float:
    """Of a certificate in a file (of the first, in a chain), or of the one that a server shows: `host:port`. Negative where it has ended."""
    if "/" in place:
        found = x509.load_pem_x509_certificates(Path(place).read_bytes())[0]
    else:
        host, _colon, port = place.rpartition(":")
        # Whether it is trusted is not asked: an ended one would be refused before its date could be read.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((host.strip("[]"), int(port)), TLS_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as link,
        ):
            shown = link.getpeercert(binary_form=True) or b""
        found = x509.load_der_x509_certificate(shown)
    return (found.not_valid_after_utc - now.astimezone(UTC)).total_seconds() / 86400
