"""Marks: which zones' days are to be made again. Whoever changes stays leaves them in the same transaction."""

from datetime import datetime
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary
from analytics.stays import Ints

HOUR_US: Final = 3_600_000_000
Connection = psycopg.Connection[tuple[Any, ...]]


def leave(cursor: binary.Cursor, zone: Ints, started: Ints) -> None:
    """Mark the days of stays in `zone` that start, or started, at `started` (microseconds since 1970)."""
    if not len(zone):
        return
    hour = started // HOUR_US
    order = np.lexsort((hour, zone))
    zone, hour = zone[order], hour[order]
    first = np.concatenate(([True], (np.diff(zone) != 0) | (np.diff(hour) != 0)))
    rows: dict[str, binary.Array | None] = {"zone_id": binary.int8(zone[first]), "hour": hour[first].astype(">i4")}
    binary.copy_in(cursor, "analytics_mark (zone_id, hour)", [binary.copy_rows(rows)])


def leave_for_shoppers(connection: Connection, shoppers: list[int]) -> None:
    """Mark every day on which these shoppers have a stay."""
    connection.execute(
        """INSERT INTO analytics_mark (zone_id, hour)
           SELECT DISTINCT zone_id, floor(extract(epoch FROM started) / 3600)::int FROM analytics_stay WHERE shopper_id = ANY(%s) ORDER BY 2, 1""",
        [shoppers],
    )


def leave_for_venue(connection: Connection, venue: int) -> None:
    """Mark every day of the venue that has a stay, and every one that has figures."""
    connection.execute(
        """INSERT INTO analytics_mark (zone_id, hour)
           SELECT DISTINCT s.zone_id, floor(extract(epoch FROM s.started) / 3600)::int
           FROM engagement_zone z JOIN analytics_stay s ON s.zone_id = z.id WHERE z.venue_id = %(venue)s
           UNION SELECT d.zone_id, (d.day - date '1970-01-01') * 24 + 12
           FROM engagement_zone z JOIN analytics_zoneday d ON d.zone_id = z.id WHERE z.venue_id = %(venue)s
           ORDER BY 2, 1""",
        {"venue": venue},
    )


def leave_for_roots(connection: Connection, organisation: int, since: datetime | None) -> None:
    """Mark the made days of the organisation's venues from an instant on (None: all): what lies above what may have changed, and so the flows."""
    connection.execute(
        """INSERT INTO analytics_mark (zone_id, hour)
           SELECT d.zone_id, (d.day - date '1970-01-01') * 24 + 12 FROM engagement_zone z JOIN analytics_zoneday d ON d.zone_id = z.id
           WHERE z.organisation_id = %s AND z.kind = 'venue' AND d.open AND d.day >= coalesce((%s::timestamptz - interval '36 hours')::date, '-infinity')""",
        [organisation, since],
    )
