"""What the database tells: whether it is there, up to date, and how work goes in it. By one session of its own, without the ORM."""

import math
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from engagement import database, disk, display, partitions, postgres
from operations.alarms import DECLARED
from operations.backups import databases
from operations.doctor.finding import Finding, bad, good
from operations.doctor.machine import runs_here

Connection = psycopg.Connection[tuple[Any, ...]]

WITHIN: Final = "-c statement_timeout=5s"
SKEW_S: Final = 5.0
LAG_S: Final = 300.0
# How long a kind of process may be silent; figures say so between two portions of work, tasks on a queue may wait for one that sends.
SILENCE_S: Final = {"web": 60, "stream": 60, "figures": 300, "worker": 120, "sender": 180, "scheduler": 60, "watch": 60}
_BEATS: Final = r"""SELECT regexp_replace(split_part(process, '@', 1), '-\d+$', ''), extract(epoch FROM clock_timestamp() - max(at))::float8
    FROM engagement_heartbeat WHERE host <> '' GROUP BY 1"""
_LAG: Final = "SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - received_at) FROM engagement_inbox ORDER BY id LIMIT 1), 0)::float8"
_PARKED: Final = """SELECT (SELECT count(*) FROM (SELECT 1 FROM engagement_setaside WHERE replayed_at IS NULL LIMIT 1000) s),
    (SELECT count(*) FROM (SELECT 1 FROM notifications_feedbacknotice WHERE applied_at IS NULL AND received_at < now() - interval '5 minutes' LIMIT 1000) n)"""
_DUE: Final = "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)::float8 FROM analytics_zoneday WHERE due_at <= now()"
_RECOUNT: Final = "SELECT differences FROM analytics_recount ORDER BY id DESC LIMIT 1"
_FIRING: Final = "SELECT name, state FROM operations_alarm WHERE state IN ('firing', 'acknowledged', 'silenced') ORDER BY since"
_SWITCHES: Final = "SELECT action, mode FROM operations_switch WHERE mode <> 'on' ORDER BY action"
_UNTOLD: Final = """SELECT problem, (SELECT count(*) FROM operations_post WHERE delivery = 'waiting' AND organisation_id IS NULL) FROM operations_post
    WHERE delivery = 'waiting' AND organisation_id IS NULL ORDER BY id LIMIT 1"""
_HOME: Final = "SELECT brake, brake_reason FROM notifications_sendingaccount WHERE id = 1"
START: Final = "make run" if settings.EMBEDDED else "systemctl status 'atrium-*' (or `make run`), and read the log of the one that is missing"


def examine() -> Iterable[Finding]:
    try:
        session = database.connect(application_name="atrium doctor", options=WITHIN)
    except psycopg.OperationalError as error:
        yield _away(error)
        return
    with closing(session):
        major = session.info.server_version // 10_000
        yield from _version(major)
        yield from _clock(session)
        missing = _missing(session)
        yield missing
        if not missing.fine:
            return  # the tables are others than we would ask
        for look in LOOKS:
            try:
                yield from look(session)
            except psycopg.Error as error:
                yield bad("database", f"{(look.__doc__ or 'Something').rstrip('.')} cannot be asked ({type(error).__name__}).", "Read the database's log.")


def _away(error: psycopg.OperationalError) -> Finding:
    """The text of a refusal may quote the address, but never its password; the first line is enough and is shortened to what is wrong."""
    said = str(error).strip().splitlines()[0].rpartition("failed: ")[2][:160]
    if settings.EMBEDDED and not runs_here():
        return bad("database", "The embedded database does not run, since Atrium does not run here.", "make run")
    remedy = (
        "Read the lines of `postgres` in Atrium's log."
        if settings.EMBEDDED
        else "Look at the database server, and at DATABASE_URL: psql \"$DATABASE_URL\" -c 'SELECT 1'"
    )
    return bad("database", f"The database does not answer: {said}.", remedy)


def _version(major: int) -> Iterable[Finding]:
    if major < postgres.OLDEST:
        yield bad("database", f"The database is PostgreSQL {major}.", f"Move it to PostgreSQL {postgres.OLDEST} or later.")
        return
    yield good("database", f"The database answers: PostgreSQL {major}.")
    try:
        postgres.clients(major)
    except postgres.Unusable as trouble:
        if settings.BACKUP_URL:
            yield bad("pg_dump", str(trouble), f"apt-get install postgresql-client-{major}")


def _clock(session: Connection) -> Iterable[Finding]:
    before = datetime.now(UTC)
    [(there,)] = session.execute("SELECT clock_timestamp()").fetchall()
    after = datetime.now(UTC)
    skew = max((there - after).total_seconds(), (before - there).total_seconds(), 0.0)
    if skew > SKEW_S:
        yield bad("clock", f"The clocks of this machine and of the database are {display.duration(skew)} apart.", "timedatectl status (on both machines)")
    else:
        yield good("clock", "The clocks of this machine and of the database agree.")


def _missing(session: Connection) -> Finding:
    known = MigrationLoader(None).disk_migrations
    try:
        applied = {tuple(row) for row in session.execute("SELECT app, name FROM django_migrations")}
    except psycopg.errors.UndefinedTable:
        applied = set()
    missing = sorted(f"{app}.{name}" for app, name in known.keys() - applied)
    if missing:
        return bad("migrations", f"{len(missing)} migrations are not applied; the first: {missing[0]}.", "manage.py prepare")
    return good("migrations", "Every migration is applied.")


def _partitions(session: Connection) -> Iterable[Finding]:
    """Partitions."""
    lacking = partitions.missing_ahead(session)
    if lacking:
        yield bad("partitions", f"Of today and the next days, {len(lacking)} have no table for their events.", "manage.py prepare")
    else:
        yield good("partitions", "The tables for the events of the next days are there.")


def _beats(session: Connection) -> Iterable[Finding]:
    """Heartbeats."""
    seen: dict[str, float] = dict(session.execute(_BEATS).fetchall())
    silent = [(kind, seen.get(kind, math.inf)) for kind, most in SILENCE_S.items() if seen.get(kind, math.inf) > most]
    if len(silent) == len(SILENCE_S):
        yield bad("processes", "No process of Atrium works.", START)
        return
    for kind, silence in silent:
        when = "has never worked" if math.isinf(silence) else f"has not worked for {display.duration(silence)}"
        yield bad(f"process {kind}", f"No {kind} process works: it {when}.", START)
    if not silent:
        yield good("processes", f"All processes work: {', '.join(SILENCE_S)}.")


def _broker(session: Connection) -> Iterable[Finding]:
    """The broker."""
    if settings.BROKER_URL:
        return
    [(there,)] = session.execute("SELECT to_regclass('pgmq.meta') IS NOT NULL").fetchall()
    if there:
        yield good("broker", "The broker is the database, and its tables are there.")
    else:
        yield bad("broker", "The broker's tables are missing from the database.", "manage.py prepare")


def _inbox(session: Connection) -> Iterable[Finding]:
    """The inbox."""
    [(lag,)] = session.execute(_LAG).fetchall()
    if lag > LAG_S:
        yield bad("inbox", f"The first request in the inbox has waited for {display.duration(lag)}.", "See ### stream-behind in RUNBOOK.md.")
    else:
        yield good("inbox", "Nothing waits in the inbox." if lag <= 1 else f"The first request in the inbox has waited for {display.duration(lag)}.")


def _work(session: Connection) -> Iterable[Finding]:
    """Parked work."""
    [(aside, notices)] = session.execute(_PARKED).fetchall()
    if aside or notices:
        yield bad("parked work", f"{aside} requests are set aside, and {notices} notices about mail are not applied.", "manage.py work")
    else:
        yield good("parked work", "No request is set aside, and every notice about mail is applied.")


def _figures(session: Connection) -> Iterable[Finding]:
    """Figures."""
    [(late,)] = session.execute(_DUE).fetchall()
    differences = session.execute(_RECOUNT).fetchone()
    if late > LAG_S:
        yield bad("figures", f"A day has waited for {display.duration(late)} to be made into figures.", "See ### figures-behind in RUNBOOK.md.")
    elif differences and differences[0]:
        yield bad("figures", f"The last recount found {differences[0]} differences.", "manage.py recount")
    else:
        yield good("figures", "Figures are made, and the last recount found no difference." if differences else "Figures are made; no recount was made yet.")


def _sending(session: Connection) -> Iterable[Finding]:
    """Sending."""
    row = session.execute(_HOME).fetchone()
    if row and row[0] <= 0:
        yield bad("sending", f"Campaigns are braked to a stop: {row[1]}", "Mend the cause, then: manage.py release_brake")


def _alarms(session: Connection) -> Iterable[Finding]:
    """Alarms."""
    for name, state in session.execute(_FIRING).fetchall():
        title = str(DECLARED[name].title) if name in DECLARED else name
        yield bad(f"alarm {name}", f"{title}; it is {state}.", f"See ### {name} in RUNBOOK.md.")


def _untold(session: Connection) -> Iterable[Finding]:
    """What waits to be told."""
    row = session.execute(_UNTOLD).fetchone()
    if row and row[0]:
        remedy = "See *Slack* in RUNBOOK.md: a token or a webhook that was withdrawn, a channel without the bot, or Slack itself."
        yield bad("slack", f"{row[1]} messages to operators wait, because the first is not taken ({row[0]}).", remedy)


def _switches(session: Connection) -> Iterable[Finding]:
    """Switches."""
    for action, mode in session.execute(_SWITCHES).fetchall():
        yield bad(
            f"action {action}", f"The automatic action {action} is {'switched off' if mode == 'off' else 'in dry run'}.", "Switch it on at /admin/operations/."
        )


def _room(session: Connection) -> Iterable[Finding]:
    """The room of the database."""
    found = disk.free(session) if not settings.EMBEDDED else None
    if found is not None and found.is_nearly_full:
        yield bad("database's disk", f"{display.number(found.free_bytes / 1e9, 1)} GB are left for the database.", "See ### disk-nearly-full in RUNBOOK.md.")


def _beside(session: Connection) -> Iterable[Finding]:
    """Databases beside it."""
    left = [name for name in databases.beside(databases.SCRATCH, databases.RESTORING) if not databases.sessions(name)]
    for name in left:
        yield bad("databases", f"{name} was left by a verification or a restore that was interrupted.", "manage.py backup --verify (drops it)")
    for name in databases.beside(databases.BEFORE):
        yield bad("databases", f"{name} was in use before a restore, and takes room. Who is erased now is still in it.", "manage.py restore --drop-old")


LOOKS: Final[tuple[Callable[[Connection], Iterable[Finding]], ...]] = (
    *(_partitions, _beats, _broker, _inbox, _work, _figures, _sending, _alarms, _untold, _switches, _room, _beside),
)
