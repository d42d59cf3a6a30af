"""Files under ATRIUM_VAR that may be deleted, how long they are kept, and in what order they go when the disk is nearly full.

Everything else there is needed (the embedded database, the secret key) or somebody's own (backups, which have their own rotation).
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from operations.upkeep.declaration import Text

LARGE_LOG: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Files:
    """`pattern` is under ATRIUM_VAR. `spared`: nothing younger goes, however full the disk is."""

    pattern: str
    title: Text
    kept: timedelta
    spared: timedelta


# In the order in which they go.
DELETABLE: Final = (
    Files("restore-*", _("databases left by a check of a backup that was ended"), timedelta(days=1), timedelta(hours=6)),
    Files("log/*.log*", _("the supervisor's logs"), timedelta(days=14), timedelta(days=1)),
    Files("exports/*", _("exported files"), timedelta(days=7), timedelta(hours=1)),
    Files("mail/*", _("mail that was written to files, because there is no mail server"), timedelta(days=14), timedelta(hours=1)),
)
# The embedded database appends to it while it runs: it can be emptied, and not deleted.
DATABASE_LOG: Final = "pg/log"


@dataclass(frozen=True, slots=True)
class Found:
    path: Path
    bytes: int
    changed: float


def old(now: datetime) -> list[Found]:
    """What is past its time."""
    found = [one for files in DELETABLE for one in _find(files, (now - files.kept).timestamp())]
    return [*found, *_large_log(LARGE_LOG)]


def spare(now: datetime) -> list[Found]:
    """What may go when room is needed, in this order: kind by kind, of each the oldest first."""
    found = [one for files in DELETABLE for one in _find(files, (now - files.spared).timestamp())]
    return [*found, *_large_log(0)]


def _find(files: Files, before: float) -> Iterator[Found]:
    found = []
    for path in settings.VAR.glob(files.pattern):
        try:
            seen = path.lstat()
            if seen.st_mtime < before:
                size = sum(one.lstat().st_size for one in path.rglob("*")) if path.is_dir() and not path.is_symlink() else seen.st_size
                found.append(Found(path, size, seen.st_mtime))
        except FileNotFoundError:  # somebody else was first
            continue
    yield from sorted(found, key=lambda one: (one.changed, one.path.name))


def _large_log(limit: int) -> list[Found]:
    path = settings.VAR / DATABASE_LOG
    size = path.stat().st_size if path.is_file() else 0
    return [Found(path, size, 0.0)] if size > limit else []


def delete(found: Found) -> int:
    """Returns the bytes that are free for it."""
    if found.path == settings.VAR / DATABASE_LOG:
        with found.path.open("r+b") as log:
            log.truncate(0)
    elif found.path.is_dir() and not found.path.is_symlink():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        found.path.unlink(missing_ok=True)
    return found.bytes
