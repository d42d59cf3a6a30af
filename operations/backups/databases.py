"""Databases beside the one in use: made, dropped, swapped by renaming; and the ground that all of it stands on, the embedded server included.

Their names tell what they are for, as atrium_scratch_20261121t031000: what a killed run left is found by its name, and dropped by the next.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connections
from environ import Env
from psycopg import errors, sql

from engagement import database
from engagement.embedded import Cluster, Unusable
from operations.backups.trouble import Busy, Refused, Trouble

Connection = psycopg.Connection[tuple[Any, ...]]

SCRATCH: Final = "scratch"  # a backup is restored into it to see whether it is whole
RESTORING: Final = "restoring"  # a restore works in it until it takes the place of the one in use
BEFORE: Final = "before"  # what was in use before a restore
_STAMPED: Final = re.compile(r".+_(scratch|restoring|before)_\d{8}t\d{6}")
_LONGEST: Final = 63 - len("_restoring_20261121t031000")
_TRIES: Final = 20
_CLIENTS: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()"


def in_use() -> str:
    """The name of Atrium's database."""
    return str(connections["default"].settings_dict["NAME"])


def connect(name: str | None = None, *, application: str = "atrium backup") -> Connection:
    """Outside a transaction, to the database of this name on Atrium's server."""
    return psycopg.connect(database.conninfo(dbname=name or in_use(), application_name=application, options="-c timezone=UTC"), autocommit=True)


def maintenance() -> Connection:
    """A session in none of the databases that are made, dropped or renamed. Raises Trouble."""
    for name in ("postgres", "template1"):
        try:
            return connect(name)
        except psycopg.OperationalError as error:
            last = error
    raise Trouble(f"The server lets this role into neither the database postgres nor template1 ({type(last).__name__}). Backups are restored from there.")


def stamped(kind: str, at: datetime, base: str | None = None) -> str:
    return f"{(base or in_use())[:_LONGEST]}_{kind}_{at.astimezone(UTC).strftime('%Y%m%dt%H%M%S')}"


def create(name: str, *, like: str) -> None:
    """Empty, of the same letters and sorting as another. Raises Trouble."""
    with closing(maintenance()) as session:
        row = session.execute("SELECT datcollate, datctype FROM pg_database WHERE datname = %s", [like]).fetchone()
        collate, ctype = row or ("C", "C")
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE {} LC_CTYPE {}")
        try:
            session.execute(statement.format(sql.Identifier(name), sql.Literal(collate), sql.Literal(ctype)))
        except errors.InsufficientPrivilege:
            raise Trouble(
                "Atrium's role may not make databases, and a backup is restored into a new one. Have an administrator run: ALTER ROLE … CREATEDB."
            ) from None


def drop(name: str) -> bool:
    """Whether it is gone; False while somebody works in it. Only what `stamped` named is ever dropped."""
    assert _STAMPED.fullmatch(name), name
    with closing(maintenance()) as session:
        try:
            session.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        except errors.ObjectInUse:
            return False
    return True


def beside(*kinds: str) -> list[str]:
    """The databases of these kinds beside the one in use, the oldest first."""
    base = in_use()[:_LONGEST]
    with closing(maintenance()) as session:
        names = [name for (name,) in session.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [base.replace("_", r"\_") + r"\_%"])]
    return sorted(name for name in names if any(re.fullmatch(rf"{re.escape(base)}_{kind}_\d{{8}}t\d{{6}}", name) for kind in kinds))


def drop_leftovers() -> list[str]:
    """What killed runs left; returns their names. Whoever works in one at this moment keeps it."""
    return [name for name in beside(SCRATCH, RESTORING) if drop(name)]


def sessions(name: str) -> int:
    """How many others work in a database."""
    with closing(maintenance()) as session:
        [(others,)] = session.execute(_CLIENTS, [name]).fetchall()
    return int(others)


def swap(*, live: str, kept: str, fresh: str) -> None:
    """`fresh` takes the place of `live`, which is `kept` from then on: in one transaction, so there is one of that name at every instant.

    Sessions in either are ended. Whoever comes back at once waits for the lock of the renaming, and then meets the new one.
    """
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    for attempt in range(1, _TRIES + 1):
        with closing(maintenance()) as session, closing(maintenance()) as other:
            over = threading.Event()
            ender = threading.Thread(target=_end_sessions, args=(other, (live, fresh), over))
            ender.start()
            try:
                with session.transaction():
                    if session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [live]).fetchone():  # a new server has none yet
                        session.execute(rename.format(sql.Identifier(live), sql.Identifier(kept)))
                    session.execute(rename.format(sql.Identifier(fresh), sql.Identifier(live)))
                return
            except errors.ObjectInUse:
                if attempt == _TRIES:
                    raise Busy(f"Somebody comes back into the database {live} again and again. Stop what uses it, then restore again.") from None
            finally:
                over.set()
                ender.join()


def _end_sessions(session: Connection, names: tuple[str, ...], over: threading.Event) -> None:
    while not over.wait(0.05):
        for name in names:
            session.execute(_END, [name])


@contextmanager
def pointed(name: str) -> Iterator[None]:
    """Django in this process, and all that asks engagement.database, uses this database for a while."""
    wrapper = connections["default"]
    before = wrapper.settings_dict["NAME"]
    wrapper.close()
    wrapper.settings_dict["NAME"] = name
    try:
        yield
    finally:
        wrapper.close()
        wrapper.settings_dict["NAME"] = before


@contextmanager
def alone() -> Iterator[None]:
    """One backup, verification or restore at a time, of all machines. Raises Busy."""
    with closing(maintenance()) as session:
        [(ours,)] = session.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [f"atrium backup {in_use()}"]).fetchall()
        if not ours:
            raise Busy("Another backup or restore of this database is under way. Wait until it has ended.")
        yield


@contextmanager
def standing(*, alone_here: bool = False) -> Iterator[bool]:
    """The database answers in this block; yields whether Atrium runs on this machine with this ATRIUM_VAR.

    The embedded one is started where Atrium does not run, and stopped at the end. `alone_here`: Atrium is not started meanwhile either.
    """
    settings.VAR.mkdir(parents=True, exist_ok=True)
    with (settings.VAR / "run.lock").open("a+") as lock:
        runs = not _taken(lock) if settings.EMBEDDED or alone_here else False
        if runs or not settings.EMBEDDED:
            yield runs
            return
        cluster = Cluster(settings.VAR / "pg", choice=settings.ATRIUM_POSTGRES, url_file=settings.VAR / "pg.url")
        try:
            cluster.start()
        except Unusable as trouble:
            raise Trouble(str(trouble)) from None
        wrapper = connections["default"]
        address = Env.db_url_config(cluster.url)
        wrapper.settings_dict.update({key: address[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
        try:
            yield False
        finally:
            wrapper.close()
            cluster.stop()


def _taken(lock: Any) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.truncate(0)
    lock.write(str(os.getpid()))  # engagement.supervisor says who has it
    lock.flush()
    return True


def check_idle(*, runs_here: bool) -> None:
    """Raises Refused where anybody uses the database."""
    connections["default"].close()
    others = sessions(in_use())
    if runs_here:
        raise Refused("Atrium runs here. Stop it first (Ctrl-C, or the service), then restore; --while-running cuts it off instead.")
    if others:
        raise Refused(
            f"Others work in this database ({others} sessions): Atrium runs on another machine, or somebody looks at it. "
            "Stop that first, then restore; --while-running cuts it off instead."
        )
