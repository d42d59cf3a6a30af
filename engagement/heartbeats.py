"""What a process says of itself: that it works, on which machine, since when, in which version. Without the ORM, for the door says it too.

One row for each name and machine. A row without a machine is no process, but the mark of an installation-wide fact: it is never forgotten.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from django.conf import settings

HOST: Final = socket.gethostname()[:64]
STARTED_AT: Final = datetime.now(UTC)  # of the process, as nearly as it matters: this is read while it starts
BEAT: Final = """
    INSERT INTO engagement_heartbeat (process, at, host, pid, started_at, version) VALUES (%s, clock_timestamp(), %s, %s, %s, %s)
    ON CONFLICT (process) DO UPDATE SET at = greatest(engagement_heartbeat.at, excluded.at), host = excluded.host, pid = excluded.pid,
                                        started_at = excluded.started_at, version = excluded.version
"""
# A kind of process of which nothing at all is left would look as if it had never run, so the last of each stays.
FORGET: Final = r"""
    DELETE FROM engagement_heartbeat old USING engagement_heartbeat fresh
    WHERE old.host <> '' AND old.at < clock_timestamp() - interval '1 day' AND fresh.host <> '' AND fresh.at > old.at
      AND regexp_replace(split_part(fresh.process, '@', 1), '-\d+$', '') = regexp_replace(split_part(old.process, '@', 1), '-\d+$', '')
"""


def row(process: str) -> list[Any]:
    """The parameters of BEAT."""
    return [f"{process}@{HOST}", HOST, os.getpid(), STARTED_AT, settings.VERSION[:32]]


def beat(connection: psycopg.Connection[Any], process: str) -> None:
    """Say that a process works. On a raw connection outside a transaction: one row, touched by nobody else."""
    connection.execute(BEAT, row(process))


def forget(connection: psycopg.Connection[Any]) -> int:
    """Processes that have not been heard for a day, where another of their kind has: machines come and go. How many."""
    return connection.execute(FORGET).rowcount
