"""Sessions of this database that hold others up: a transaction that is open and does nothing, a question that is asked for hours.

While one of them is there, no row that is deleted can be swept away, so the inbox, which lives of being emptied, is read slower by the minute; and no
table can be changed that it has looked at.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import connection

IDLE: Final = timedelta(minutes=5)  # in a transaction, without a word
READING: Final = timedelta(hours=1)  # one question
# Our own processes have limits of their own and may work long (a recount, a backup), and so may who saves the database or builds an index.
# Those of roles that ours may not end are left out.
_HOLDING: Final = """
SELECT pid, backend_start, extract(epoch FROM clock_timestamp() - CASE WHEN state = 'active' THEN query_start ELSE state_change END)::float8
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND (NOT r.rolsuper OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
  AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
  AND application_name NOT LIKE 'atrium%%' AND application_name NOT IN ('pg_dump', 'pg_restore')
  AND CASE WHEN state LIKE 'idle in transaction%%' THEN state_change < clock_timestamp() - make_interval(secs => %(idle)s)
           ELSE state = 'active' AND query_start < clock_timestamp() - make_interval(secs => %(reading)s)
                AND query ~* '^\\s*(select|with|copy|fetch|table|declare)\\y' END
ORDER BY xact_start
"""


@dataclass(frozen=True, slots=True)
class Session:
    pid: int
    backend_start: Any
    seconds: float


def holding() -> list[Session]:
    """The longest first."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDING, {"idle": IDLE.total_seconds(), "reading": READING.total_seconds()})
        return [Session(*row) for row in cursor.fetchall()]


def end(sessions: list[Session]) -> int:
    """Returns how many were ended: those of other roles only where ours may."""
    ended = 0
    with connection.cursor() as cursor:
        for one in sessions:  # by number and beginning: numbers are used again
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s", [one.pid, one.backend_start])
            ended += sum(bool(done) for (done,) in cursor.fetchall())
    return ended
