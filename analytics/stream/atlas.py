"""An organisation's Places, loaded again when its revision has changed."""

from datetime import datetime
from typing import Any, Final

import psycopg

from analytics.places import BEGINNING, Placement, Places, Version
from analytics.stream.batch import to_us
from analytics.stream.heard import Heard

Connection = psycopg.Connection[tuple[Any, ...]]

_FIRST_YEAR: Final = 2  # a version valid from the year 1 is valid from the beginning


class Atlas:
    """Places by organisation, and what is noted of them. Ask inside the transaction, after the locks: the revision decides what is remembered."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Places]] = {}
        self.heard = Heard()

    def of(self, connection: Connection, organisation: int) -> Places:
        found = connection.execute("SELECT places_revision FROM engagement_organisation WHERE id = %s", [organisation]).fetchone()
        revision = found[0] if found else -1
        if organisation not in self._known or self._known[organisation][0] != revision:
            self._known[organisation] = (revision, load(connection, organisation))
        return self._known[organisation][1]


def load(connection: Connection, organisation: int) -> Places:
    versions, placements = rows(connection, organisation)
    return Places(versions=versions, placements=placements)


def rows(connection: Connection, organisation: int) -> tuple[list[Version], list[Placement]]:
    """All versions of the organisation's zones, and all placements of its beacons."""
    versions = connection.execute(
        """SELECT z.id, z.key, v.valid_from, v.valid_to, v.parent_id, v.boundary, v.exit_grace_s, v.min_stay_s, v.enter_rssi, v.hold_rssi, v.max_accuracy_m
           FROM engagement_zoneversion v JOIN engagement_zone z ON z.id = v.zone_id WHERE z.organisation_id = %s""",
        [organisation],
    ).fetchall()
    placements = connection.execute(
        """SELECT b.address, p.zone_id, p.valid_from, p.valid_to FROM engagement_beaconplacement p JOIN engagement_beacon b ON b.id = p.beacon_id
           WHERE b.organisation_id = %s""",
        [organisation],
    ).fetchall()
    return (
        [Version(zone, key, _since(start), _until(end), *rest) for zone, key, start, end, *rest in versions],
        [Placement(bytes(address), zone, _since(start), _until(end)) for address, zone, start, end in placements],
    )


def _since(start: datetime) -> int:
    return BEGINNING if start.year < _FIRST_YEAR else to_us(start)


def _until(end: datetime | None) -> int | None:
    return None if end is None else to_us(end)
