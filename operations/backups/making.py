"""Making a backup: one snapshot, dumped as a stream into the place, its rows counted in the same snapshot; the manifest last. Then the old ones go."""

import logging
import socket
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg
from django.conf import settings
from django.utils import timezone

from engagement.faults import point
from operations.backups import databases, manifest, place, programs, rotation
from operations.backups.manifest import Manifest, Verified
from operations.backups.place import Place
from operations.backups.trouble import Broken, Trouble
from operations.models import Backup

logger = logging.getLogger("atrium.backup")
Connection = psycopg.Connection[tuple[Any, ...]]

HALF_FOR: Final = timedelta(hours=24)  # after which a backup without a manifest is nobody's who still works at it
TABLES: Final = """SELECT n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1"""
MIGRATIONS: Final = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"


def make(*, where: Place | None = None, say: Callable[[str], object] = logger.info) -> Manifest:
    """A whole backup, or none. Raises Trouble; what was begun is taken away."""
    where = where or usual()
    with databases.alone():
        _remove_halves(where)
        made = _make(where, say)
        point("backup.made")
        note(where)
        rotate(where, say)
    return made


def usual() -> Place:
    """Raises Trouble where no place is known."""
    known = place.usual()
    if known is None:
        raise Trouble("No place for backups is known. Set BACKUP_URL to a folder or to s3://bucket/prefix, or name one with --to.")
    return known


def _make(where: Place, say: Callable[[str], object]) -> Manifest:
    with closing(databases.connect()) as session, session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        [(at, snapshot, size)] = session.execute("SELECT now(), pg_export_snapshot(), pg_database_size(current_database())").fetchall()
        name = manifest.name_of(at)
        say(f"Making the backup {name} in {where.shown}; the database has {shown(size)}.")
        path = f"{name}/{manifest.DUMP}"
        major = session.info.server_version // 10_000
        try:
            with programs.Dump(database=databases.in_use(), snapshot=snapshot, major=major) as dump:
                where.write(path, dump)
            point("backup.dumped")
            made = Manifest(
                name=name, at=at, finished_at=timezone.now(), installation=installation(), version=settings.VERSION, postgres=major,
                key=manifest.fingerprint(), bytes=dump.bytes, sha256=dump.sha256, migrations=migrations(session), rows=rows(session),
            )  # fmt: skip
            where.write(f"{name}/{manifest.FILE}", _Bytes(manifest.encode(made)))
        except BaseException:
            where.remove(path)
            raise
    say(f"Made: {shown(made.bytes)} in {(made.finished_at - made.at).total_seconds():.0f} s.")
    return made


def installation() -> str:
    return f"{settings.INSTANCE or socket.gethostname()}, {databases.in_use()}"


def rows(session: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {name: int(session.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]) for name, table in session.execute(TABLES).fetchall()}


def migrations(session: Connection) -> list[str]:
    return [name for (name,) in session.execute(MIGRATIONS)]


# --- What is there --------------------------------------------------------------------------------------------------------


def names(where: Place | None = None) -> list[str]:
    """The whole backups, the oldest first."""
    return _whole((where or usual()).files())


def _whole(files: list[str]) -> list[str]:
    found = [path.split("/") for path in files]
    return sorted(parts[0] for parts in found if len(parts) == 2 and parts[1] == manifest.FILE and manifest.NAME.fullmatch(parts[0]))


def read(name: str, where: Place) -> Manifest:
    """Raises Broken."""
    text = where.read(f"{name}/{manifest.FILE}") if manifest.NAME.fullmatch(name) else None
    if text is None:
        raise Broken(f"There is no backup {name} in {where.shown}. See `manage.py restore --list`.")
    return manifest.decode(name, text)


def verified(name: str, where: Place) -> Verified | None:
    text = where.read(f"{name}/{manifest.SEEN}")
    return msgspec.json.decode(text, type=Verified) if text else None


def note(where: Place) -> None:
    """Backups of the place that this database does not know: one that was just made, or made by a run that was killed, or before a restore."""
    known = set(Backup.objects.values_list("name", flat=True))
    for name in names(where):
        if name not in known:
            seen, made = verified(name, where), read(name, where)
            Backup.objects.create(name=name, made_at=made.at, bytes=made.bytes, verified_at=seen.at if seen else None)


def latest(where: Place | None = None) -> datetime | None:
    """The instant that the newest backup shows. Its name tells it, so nothing is read."""
    found = names(where)
    return instant_of(found[-1]) if found else None


def instant_of(name: str) -> datetime:
    return datetime.strptime(name, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)


# --- What goes ------------------------------------------------------------------------------------------------------------


def rotate(where: Place, say: Callable[[str], object] = logger.info) -> list[str]:
    """Old backups go, by operations.backups.rotation. Nothing but our own names is ever removed."""
    files = where.files()
    known = [rotation.Made(name, instant_of(name), f"{name}/{manifest.SEEN}" in files) for name in _whole(files)]
    gone = rotation.doomed(known)
    for name in gone:
        remove(name, where)
        say(f"Removed the backup {name}: newer ones stand for its day, week and month.")
    Backup.objects.filter(name__in=gone, removed_at=None).update(removed_at=timezone.now())
    return gone


def remove(name: str, where: Place) -> None:
    """The manifest first: from then on it is none."""
    for file in (manifest.FILE, manifest.SEEN, manifest.DUMP):
        where.remove(f"{name}/{file}")


def _remove_halves(where: Place) -> None:
    files = where.files()
    whole, limit = set(_whole(files)), timezone.now() - HALF_FOR
    for folder in sorted({path.split("/")[0] for path in files if manifest.NAME.fullmatch(path.split("/")[0])} - whole):
        if instant_of(folder) < limit:
            for path in (path for path in files if path.startswith(f"{folder}/")):
                where.remove(path)


def shown(size: float) -> str:
    """Bytes, for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int = -1, /) -> bytes:
        given, self._content = self._content, b""
        return given


def source(content: bytes) -> _Bytes:
    """Bytes at hand, as a place takes them."""
    return _Bytes(content)
