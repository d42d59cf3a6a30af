"""Alarms about what the processes stand on: the database, its copies, partitions and backups, the disk, certificates.

What must be asked for over the network is not asked here, where a transaction is open: operations.readings has asked.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_lazy as _

from engagement import disk, partitions
from operations import readings
from operations.alarms.declaration import Declaration, Found, Severity, Unreadable, days, exact, percent, span, times
from operations.models import Reading

READING_OLD: Final = timedelta(minutes=5)
ASKED_OLD: Final = timedelta(hours=3)  # of what is asked for over the network: certificates once an hour, backups six times
BACKUP_OLD: Final = timedelta(hours=26)  # one a day, and the time that it takes itself
CERTIFICATE_DAYS: Final = 21  # what renews certificates by itself does so 30 days before the end: nine days of failures are enough
FAR_OFF: Final = 10_000.0  # days


def days_without_partition(now: datetime) -> float:
    with connection.cursor() as cursor:
        return len(partitions.missing_ahead(cursor.connection))


def connections_used(now: datetime) -> float:
    """Share of the connections that are not kept for the server's own administrator."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::float8
                      / greatest(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, 1)"""
        )
        [(share,)] = cursor.fetchall()
    return float(share)


def room_on_disk(now: datetime) -> float:
    """How many times what the door keeps in reserve (engagement.disk) is free. Not a share of the disk: a tenth of a large one is plenty."""
    with connection.cursor() as cursor:
        found = disk.free(cursor.connection)
    return found.free_bytes / found.reserve if found else FAR_OFF


def backup_age(now: datetime) -> float:
    if not settings.BACKUP_URL:
        return 0.0
    found = _latest(readings.BACKUP_AGE, now - ASKED_OLD, now)
    return found.value + (now - found.at).total_seconds()


def replica_lag(now: datetime) -> float:
    if settings.REPORTS_DATABASE == "default":
        return 0.0
    return _latest(readings.REPLICA_LAG, now - READING_OLD, now).value


def _latest(name: str, since: datetime, now: datetime) -> Reading:
    found = Reading.objects.filter(name=name, at__gt=since, at__lte=now).order_by("-at").first()
    if found is None:
        raise Unreadable
    return found


def days_of_certificates(now: datetime) -> Found:
    """Days until the first certificate ends. One that could not be read for hours is as bad as an ended one: browsers may see the same."""
    watched = settings.CERTIFICATES
    if not watched:
        return Found(FAR_OFF)
    rows = Reading.objects.filter(name__in=[readings.certificate_name(one) for one in watched], at__gt=now - ASKED_OLD, at__lte=now)
    latest = {reading.name: reading.value for reading in rows.order_by("at")}
    missing = [one for one in watched if readings.certificate_name(one) not in latest]
    if missing:
        raise Unreadable
    left = {one: latest[readings.certificate_name(one)] for one in watched}
    near = sorted((one for one in watched if left[one] < CERTIFICATE_DAYS), key=lambda one: left[one])
    return Found(min(left.values()), tuple(near))


ALARMS: Final = (
    Declaration(
        name="partitions-missing",
        title=_("Partitions are not made ahead"),
        reads=_("How many of today and the next three days have no partition of the events."),
        read=days_without_partition,
        above=0,
        severity=Severity.WARNING,
        show=exact,
        sentence=_("Of today and the next days, %(value)s have no partition of the events yet. Their events are kept, but everything gets slower."),
        remedy=_("Run manage.py prepare, and look why the watch did not: it makes partitions every hour."),
    ),
    Declaration(
        name="database-connections",
        title=_("Database connections run out"),
        reads=_("The share of the database's connections that are used, by whatever program."),
        read=connections_used,
        above=0.8,
        lasting=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=percent,
        sentence=_("Of the connections that the database allows, %(value)s are used. When none is left, the door answers 503."),
        remedy=_("Look in pg_stat_activity who holds them: a process that was started too often, or a program beside Atrium. Else raise max_connections."),
    ),
    Declaration(
        name="disk-nearly-full",
        title=_("The database's disk is nearly full"),
        reads=_("How much room the database's disk has, in times of the reserve below which the door refuses requests."),
        read=room_on_disk,
        below=5,
        lasting=timedelta(minutes=1),
        every=timedelta(minutes=1),
        severity=Severity.CRITICAL,
        show=times,
        sentence=_(
            "The room on the database's disk is %(value)s its reserve. Below the reserve itself the door refuses requests, so that the database can go on."
        ),
        remedy=_(
            "Make the disk larger or delete what does not belong there. Let organisations keep raw events for fewer days. Look at what manage.py doctor says."
        ),
    ),
    Declaration(
        name="backup-old",
        title=_("The last backup is old"),
        reads=_("How old the newest backup is."),
        read=backup_age,
        above=BACKUP_OLD.total_seconds(),
        severity=Severity.WARNING,
        show=span,
        sentence=_("The newest backup is %(value)s old. What happens to the database now takes everything since with it."),
        remedy=_("Run manage.py backup and read what it says; then look why whatever calls it each night did not."),
    ),
    Declaration(
        name="replica-behind",
        title=_("The replica is behind"),
        reads=_("How much older the replica's rows are than the database's."),
        read=replica_lag,
        above=60,
        lasting=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=span,
        sentence=_("The replica, which reports are read from, is behind by %(value)s. Reports and the dashboard are late by as much."),
        remedy=_("Look at the replica's load and for queries that run for long on it. Without DATABASE_REPLICA_URL, reports read the database itself."),
    ),
    Declaration(
        name="certificate-near-its-end",
        title=_("A certificate is near its end"),
        reads=_("How many days the certificate that ends first is still good for."),
        read=days_of_certificates,
        below=CERTIFICATE_DAYS,
        lasting=timedelta(minutes=2),
        severity=Severity.CRITICAL,
        show=days,
        sentence=_("A certificate is good for only %(value)s more. When it has ended, phones deliver nothing and pages do not open."),
        remedy=_("Renew it and let the server read it again. What renews it by itself has failed: look at its log."),
    ),
)
