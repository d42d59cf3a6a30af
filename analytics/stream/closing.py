"""Up to when an organisation's raw events are gone (engagement.retention). Nothing from before is taken in, and nothing before is read.

Ask under a shard's lock: who closes a day holds all of them.
"""

import time
from datetime import date
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary
from analytics.stream import claim, presence
from analytics.stream.batch import EPOCH, Batch

Connection = psycopg.Connection[tuple[Any, ...]]

# Events are kept for 40 days at least, so of what is younger nobody need be asked: nothing live, and no history but old one.
SURELY_OPEN_US: Final = 39 * binary.DAY_US


def closed_at(connection: Connection, organisation: int) -> int:
    """The instant before which the organisation's events may be gone, in microseconds; the beginning of time where all are there."""
    found = connection.execute("SELECT raw_closed_before FROM engagement_organisation WHERE id = %s", [organisation]).fetchone()
    return presence.YEAR_ONE if found is None or found[0] is None else _to_us(found[0])


def hold(connection: Connection) -> None:
    """For who closes: until the transaction ends nobody is in the middle of reading or storing events."""
    claim.wait_for(connection, claim.all_shards())


def refuse(connection: Connection, said: Batch) -> tuple[Batch, list[claim.Claimed]]:
    """The batch without what happened on closed days, and the row of each event left out."""
    if not len(said.row) or int(said.occurred_at.min()) >= time.time_ns() // 1000 - SURELY_OPEN_US:
        return said, []
    organisations = sorted({row.organisation for row in said.claimed})
    rows = connection.execute("SELECT id, raw_closed_before FROM engagement_organisation WHERE id = ANY(%s) AND raw_closed_before IS NOT NULL", [organisations])
    closed = {organisation: _to_us(day) for organisation, day in rows}
    limit = np.array([closed.get(row.organisation, presence.YEAR_ONE) for row in said.claimed], dtype=np.int64)
    old = said.occurred_at < limit[said.row]
    return said.take(~old), [said.claimed[row] for row in said.row[old].tolist()]


def _to_us(day: date) -> int:
    return (day - EPOCH.date()).days * binary.DAY_US
