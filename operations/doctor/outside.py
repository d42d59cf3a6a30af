"""What lies outside: the broker, the mail server, Slack, certificates, the place for backups, the replica. Each is asked at the same time, with an end."""

import smtplib
import ssl
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from typing import Final

import psycopg
from django.conf import settings
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from engagement import database, display, health
from notifications.channels import email
from notifications.channels.wire import NotTold
from operations import readings
from operations.backups import making, manifest, place
from operations.backups.trouble import Trouble
from operations.doctor.finding import Finding, bad, good

WITHIN_S: Final = 8.0
BACKUP_OLD: Final = timedelta(hours=26)
VERIFIED_OLD: Final = timedelta(days=8)
CERTIFICATE_DAYS: Final = 21


def broker() -> Iterable[Finding]:
    """Without a BROKER_URL it is the database, which is asked for it there (operations.doctor.inside)."""
    if not settings.BROKER_URL:
        return
    kind = "SQS" if settings.BROKER_URL.startswith("sqs:") else "pgmq"
    try:
        health.broker()
    except health.NotReady:
        yield bad("broker", f"The broker ({kind}) does not answer.", "Look at BROKER_URL; without one the database is the broker.")
    else:
        yield good("broker", f"The broker ({kind}) answers.")


def mail() -> Iterable[Finding]:
    """The server is greeted, and TLS is begun where it is asked for. No mail is sent, nobody logs in."""
    server = settings.MAIL_SERVER
    if not server.scheme:
        yield good("mail", f"Mail is written to {settings.MAIL_FOLDER}; nobody gets any (EMAIL_URL is not set).")
        return
    if server.scheme == "ses":
        yield from _ses()
        return
    try:
        _greet()
    except (OSError, smtplib.SMTPException, ssl.SSLError) as error:
        told = f"The mail server {server.host}:{server.port} cannot be used ({type(error).__name__})."
        yield bad(
            "mail", told, f"Look at EMAIL_URL: openssl s_client -connect {server.host}:{server.port}" + (" -starttls smtp" if "tls" in server.scheme else "")
        )
    else:
        secured = {"smtp": "without TLS", "smtp+tls": "with TLS", "smtp+ssl": "with TLS"}[server.scheme]
        yield good("mail", f"The mail server {server.host}:{server.port} answers, {secured}.")


def _greet() -> None:
    server, context = settings.MAIL_SERVER, ssl.create_default_context()
    if server.scheme == "smtp+ssl":
        with smtplib.SMTP_SSL(server.host, server.port, timeout=WITHIN_S, context=context) as session:
            session.ehlo()
        return
    with smtplib.SMTP(server.host, server.port, timeout=WITHIN_S) as session:
        session.ehlo()
        if server.scheme == "smtp+tls":
            session.starttls(context=context)
            session.ehlo()


def _ses() -> Iterable[Finding]:
    try:
        limits = email.limits()
    except NotTold as error:
        yield bad("mail", f"Amazon SES does not say how much may be sent ({error}).", f"aws sesv2 get-account --region {settings.MAIL_SERVER.host}")
        return
    assert limits is not None
    if limits.quota == 0:
        yield bad("mail", "Amazon SES has paused the account: nothing may be sent.", f"aws sesv2 get-account --region {settings.MAIL_SERVER.host}")
    elif limits.quota > 0 and limits.sent > 0.9 * limits.quota:
        yield bad("mail", f"{limits.sent:.0f} of {limits.quota:.0f} mails of 24 hours are sent.", "Ask Amazon SES for a higher quota.")
    else:
        yield good("mail", f"Amazon SES answers: {limits.rate:g} mails a second, {limits.sent:.0f} sent in 24 hours.")


def slack() -> Iterable[Finding]:
    """Whether it is set up. It is not called, so nobody is disturbed."""
    if settings.SLACK_WEBHOOK_URL or settings.SLACK_BOT_TOKEN:
        yield good("slack", "Slack is set up; alarms are told there.")
    elif settings.OPERATORS_EMAIL:
        yield good("slack", "Slack is not set up; alarms are told by e-mail.")
    elif settings.DEBUG or settings.EMBEDDED:
        yield good("slack", "Nobody is told of alarms but the log (SLACK_WEBHOOK_URL is not set).")
    else:
        yield bad("slack", "Nobody is told of alarms but the log.", "Set SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN and SLACK_CHANNEL; see *Slack* in RUNBOOK.md.")


def certificates() -> Iterable[Finding]:
    for one in settings.CERTIFICATES:
        try:
            left = readings.days_left(one, timezone.now())
        except (OSError, ValueError, ssl.SSLError) as error:
            yield bad("certificate", f"The certificate of {one} cannot be read ({type(error).__name__}).", f"openssl s_client -connect {one}")
            continue
        if left < CERTIFICATE_DAYS:
            yield bad("certificate", f"The certificate of {one} ends in {left:.0f} days.", "See ### certificate-near-its-end in RUNBOOK.md.")
        else:
            yield good("certificate", f"The certificate of {one} holds for {left:.0f} days.")


def backups() -> Iterable[Finding]:
    try:
        where = place.usual()
        if where is None and settings.DATABASE_IAM:
            yield good("backups", "Atrium makes none here (BACKUP_URL is not set): those of RDS are Amazon's affair.")
            return
        if where is None:
            yield bad(
                "backups",
                "No place for backups is known.",
                "Set BACKUP_URL, or have the database's provider make them; see *Backup and restore* in RUNBOOK.md.",
            )
            return
        files = where.files()
    except Trouble as trouble:
        yield bad("backups", str(trouble), "Look at BACKUP_URL, and at the rights of this account.")
        return
    whole = [path.split("/")[0] for path in files if path.endswith(f"/{manifest.FILE}")]
    names = sorted(name for name in whole if manifest.NAME.fullmatch(name))
    if not names and _is_new():
        yield good("backups", f"There is no backup in {where.shown} yet; the first one is made by itself within a day.")
        return
    if not names:
        yield bad("backups", f"There is no backup in {where.shown} yet.", "manage.py backup --verify")
        return
    age = timezone.now() - making.instant_of(names[-1])
    seen = [making.instant_of(name) for name in names if f"{name}/{manifest.SEEN}" in files]
    said = f"{len(names)} backups in {where.shown}; the newest is {display.duration(age.total_seconds())} old"
    if age > BACKUP_OLD:
        yield bad("backups", f"{said}.", "manage.py backup --verify; then see why none was made: ### backup-old in RUNBOOK.md.")
    elif timezone.now() - max(seen, default=making.instant_of(names[0])) > VERIFIED_OLD:
        yield bad("backups", f"{said}, but none of the last days was restored to see whether it is whole.", f"manage.py backup --verify {names[-1]}")
    elif not seen:
        yield good("backups", f"{said}; none was restored to see whether it is whole yet.")
    else:
        yield good("backups", f"{said}, and one of them was restored and found whole.")


def _is_new() -> bool:
    """Whether the installation is younger than a day, as far as its database says."""
    try:
        with closing(database.connect(application_name="atrium doctor", options="-c statement_timeout=5s")) as session:
            row = session.execute("SELECT min(applied) > now() - interval '1 day' FROM django_migrations").fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


def replica() -> Iterable[Finding]:
    if "replica" not in settings.DATABASES:
        return
    known = settings.DATABASES["replica"]
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    address = make_conninfo(**{key: known[name] for key, name in names.items() if known.get(name)}, connect_timeout=5)
    try:
        with closing(psycopg.connect(address, autocommit=True)) as session:
            [(late,)] = session.execute("SELECT coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8").fetchall()
    except psycopg.Error as error:
        yield bad("replica", f"The replica does not answer ({type(error).__name__}).", "Look at DATABASE_REPLICA_URL; without it, reports read the database.")
        return
    if late > 300:
        yield bad("replica", f"The replica is behind by {display.duration(late)}, or nothing was written.", "See ### replica-behind in RUNBOOK.md.")
    else:
        yield good("replica", "The replica answers, and is up to date.")
