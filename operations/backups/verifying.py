"""A backup is only known to be good once it was restored: into a scratch database beside the one in use, compared with its manifest, and dropped."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from engagement.faults import point
from operations.backups import databases, making, manifest, programs
from operations.backups.manifest import Manifest, Verified
from operations.backups.place import Place
from operations.backups.trouble import Broken, Trouble
from operations.models import Backup

logger = logging.getLogger("atrium.backup")

# Partitions' constraints and indexes are rows of their own. An index that is not valid answers nothing, and one of a unique rule guards nothing.
_INVALID: Final = """SELECT conname FROM pg_constraint WHERE NOT convalidated
    UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"""


def verify(name: str, *, where: Place | None = None, say: Callable[[str], object] = logger.info) -> Verified:
    """Raises Broken, which is also noted with the backup, or Trouble where nothing can be said of it."""
    where = where or making.usual()
    with databases.alone():
        for left in databases.drop_leftovers():
            say(f"Dropped the database {left}, which an interrupted run had left.")
        try:
            seen = _verify(making.read(name, where), where, timezone.now())
        except Broken as broken:
            Backup.objects.filter(name=name).update(problem=str(broken)[:1000])
            raise
        where.write(f"{name}/{manifest.SEEN}", making.source(manifest.encode(seen)))
        at = making.instant_of(name)
        Backup.objects.update_or_create(name=name, defaults={"verified_at": seen.at, "problem": ""}, create_defaults={"made_at": at, "verified_at": seen.at})
    say(f"The backup {name} is whole: restored into a scratch database and compared in {seen.took_s:.0f} s.")
    return seen


def _verify(known: Manifest, where: Place, now: datetime) -> Verified:
    began = time.monotonic()
    scratch = databases.stamped(databases.SCRATCH, now)
    databases.create(scratch, like=databases.in_use())
    try:
        with closing(databases.connect(scratch)):  # for as long as somebody is in it, it is no leftover
            point("backup.scratch")
            with fetched(known, where) as dump:
                programs.restore(dump, database=scratch, major=major_of(known))
            check(known, scratch)
    finally:
        databases.drop(scratch)
    return Verified(timezone.now(), time.monotonic() - began)


@contextmanager
def fetched(known: Manifest, where: Place) -> Iterator[Path]:
    """The dump as a file of this machine, the one that the manifest speaks of. Raises Broken."""
    settings.VAR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.VAR, prefix="restore-") as folder:
        file = where.fetch(f"{known.name}/{manifest.DUMP}", Path(folder))
        if not file.exists() or file.stat().st_size != known.bytes:
            raise Broken(f"The dump of the backup {known.name} is missing, or has another length than its manifest says.")
        if programs.sha256(file) != known.sha256:
            raise Broken(f"The dump of the backup {known.name} is not the one that was written: its SHA-256 is another.")
        yield file


def major_of(known: Manifest) -> int:
    """Of the programs that restore it: the server's own. Raises Trouble where that is older than the one it is from."""
    with closing(databases.maintenance()) as session:
        major = session.info.server_version // 10_000
    if major < known.postgres:
        raise Trouble(f"The backup {known.name} is from PostgreSQL {known.postgres}, and this server is {major}. Restore it with a server of that version.")
    return major


def check(known: Manifest, database: str) -> None:
    """What was restored is what the manifest speaks of. Raises Broken."""
    with closing(databases.connect(database)) as session:
        there, applied = making.rows(session), making.migrations(session)
        invalid = [name for (name,) in session.execute(_INVALID)]
    wrong = sorted(table for table in known.rows.keys() | there.keys() if known.rows.get(table) != there.get(table))
    if wrong:
        first = wrong[0]
        raise Broken(
            f"The backup {known.name} differs from its manifest in {len(wrong)} tables; {first} has {there.get(first)} rows, not {known.rows.get(first)}."
        )
    if applied != known.migrations:
        raise Broken(f"The migrations in the backup {known.name} are not those of its manifest.")
    if invalid:
        raise Broken(f"After the backup {known.name} was restored, {len(invalid)} constraints or indexes are not valid; the first: {invalid[0]}.")


def strange_migrations(known: Manifest) -> list[str]:
    """Those that this Atrium does not know: the backup is from a later one."""
    mine = {f"{app}.{name}" for app, name in MigrationLoader(None).graph.nodes} | {
        f"{app}.{name}" for migration in MigrationLoader(None).disk_migrations.values() for app, name in migration.replaces
    }
    apps = {name.partition(".")[0] for name in mine}
    return [name for name in known.migrations if name.partition(".")[0] in apps and name not in mine]
