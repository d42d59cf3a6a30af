"""The zones of venues as figures need them: each one's clock, its venue's root, and what lay directly above it when."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg

from analytics.calendars import Clock, to_us
from analytics.stays import Ints

Cursor = psycopg.Cursor[tuple[Any, ...]]

_FIRST_YEAR = 2  # a version valid from the year 1 is valid from the beginning
_BEGINNING = -(2**62)


@dataclass(frozen=True, slots=True)
class Premises:
    clock: dict[int, Clock]  # of every zone of the venues
    root: dict[int, int]  # zone -> its venue's root
    inside: dict[int, list[int]]  # root -> the other zones of the venue
    above: dict[int, tuple[Ints, Ints]]  # zone -> since when (rising), and the zone directly above since then; 0: none

    def parents(self, zone: Ints, at: Ints) -> Ints:
        """The zone directly above each zone at each instant; 0 where there was none."""
        found = np.zeros(len(zone), np.int64)
        for one in np.unique(zone).tolist():
            here = zone == one
            since, parent = self.above[one]
            found[here] = parent[np.maximum(np.searchsorted(since, at[here], side="right") - 1, 0)]
        return found


def around(cursor: Cursor, zones: list[int]) -> Premises:
    """The premises of all venues that have one of these zones."""
    rows = cursor.execute(
        """SELECT z.id, z.venue_id, z.kind = 'venue' FROM engagement_zone z
           WHERE z.venue_id IN (SELECT venue_id FROM engagement_zone WHERE id = ANY(%s)) ORDER BY z.id""",
        [zones],
    ).fetchall()
    its = sorted({venue for _, venue, _ in rows})
    venues = cursor.execute("SELECT id, time_zone, opening_hours::text FROM engagement_venue WHERE id = ANY(%s)", [its]).fetchall()
    clocks = {venue: Clock.of(time_zone, json.loads(hours) if hours else None) for venue, time_zone, hours in venues}
    root_of = {venue: zone for zone, venue, is_root in rows if is_root}
    inside: dict[int, list[int]] = {root: [] for root in root_of.values()}
    for zone, venue, is_root in rows:
        if not is_root and venue in root_of:
            inside[root_of[venue]].append(zone)
    versions: dict[int, list[tuple[int, int]]] = {zone: [] for zone, *_ in rows}
    known = cursor.execute(
        "SELECT zone_id, valid_from, coalesce(parent_id, 0) FROM engagement_zoneversion WHERE zone_id = ANY(%s) ORDER BY zone_id, valid_from", [list(versions)]
    )
    for zone, since, parent in known:
        versions[zone].append((_BEGINNING if since.year < _FIRST_YEAR else to_us(since), parent))
    above = {zone: np.array(listed or [(_BEGINNING, 0)], dtype=np.int64).T for zone, listed in versions.items()}
    return Premises(
        clock={zone: clocks[venue] for zone, venue, _ in rows},
        root={zone: root_of[venue] for zone, venue, _ in rows if venue in root_of},
        inside=inside,
        above={zone: (pair[0], pair[1]) for zone, pair in above.items()},
    )
