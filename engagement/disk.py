"""How much room the database's files have. A full disk stops PostgreSQL altogether, so the door refuses before, and what may be deleted goes first.

Where the database is embedded, its folder's volume says it. Elsewhere this machine cannot look: whoever runs the database says how large its volume
is (ATRIUM_DISK_BYTES), and the databases on it say how much of that they take. Without either, nobody knows, and nothing is refused.
"""

import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from django.conf import settings

RESERVE_SHARE: Final = 0.03  # of the volume
LEAST: Final = 64 * 1024**2
MOST: Final = 2 * 1024**3
NEARLY: Final = 3  # times the reserve: from here on what may be deleted is deleted
# Of databases that we may not look into (a provider's own) nothing is known. The log of changes may grow to max_wal_size beside them.
SIZES: Final = """
    SELECT sum(pg_database_size(oid))::bigint + pg_size_bytes(current_setting('max_wal_size'))
    FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')
"""


class Disk(NamedTuple):
    free_bytes: int
    total_bytes: int

    @property
    def reserve(self) -> int:
        """With less than this free, the door takes nothing in: recovery, vacuum and the deleting of what is old need room too."""
        return settings.DISK_RESERVE_MB * 1024**2 or round(min(max(self.total_bytes * RESERVE_SHARE, LEAST), MOST))

    @property
    def is_full(self) -> bool:
        return self.free_bytes < self.reserve

    @property
    def is_nearly_full(self) -> bool:
        return self.free_bytes < NEARLY * self.reserve


def folder() -> Path | None:
    """Where the database's files lie on this machine, if they do."""
    return settings.VAR / "pg" if settings.EMBEDDED else None


def measured(path: Path) -> Disk | None:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return Disk(usage.free, usage.total)


def told(used: int) -> Disk:
    """`used`: what SIZES says."""
    return Disk(max(settings.DISK_BYTES - used, 0), settings.DISK_BYTES)


def free(connection: psycopg.Connection[Any] | None = None) -> Disk | None:
    """None where nobody knows. `connection`: needed where the database is not embedded."""
    path = folder()
    if path is not None:
        return measured(path)
    if not settings.DISK_BYTES or connection is None:
        return None
    row = connection.execute(SIZES).fetchone()
    return told(row[0]) if row else None
