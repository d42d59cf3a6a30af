"""Which days of a zone are stored, with their few numbers: read once, and kept in this process until one of them becomes another.

A report over a year of twenty stores looks at 7,300 of these rows, most of which never change. So it asks when each zone's list last
became another (analytics.ZoneIndex, written by triggers in the transaction that changes a day), and reads again only the lists that did.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary

Cursor = psycopg.Cursor[tuple[Any, ...]]
Lists = dict[str, Any]  # columns of _COLUMNS, of one zone or of several, by zone, day, and the part inside the opening hours first

KEPT_BYTES: Final = 128 * 1024 * 1024
FIRST: Final = -(2**31)
LAST: Final = 2**31
_COLUMNS: Final = {
    "zone": ("int8", "d.zone_id"),
    "day": ("int4", "(d.day - date '1970-01-01')"),
    "open": ("bool", "d.open"),
    "due": ("bool", "(d.due_at IS NOT NULL)"),
    "digest": ("int8", "d.digest"),
    "restated_at": ("timestamptz", "coalesce(d.restated_at, 'epoch')"),
    "visits": ("int4", "d.visits"),
    "pass_bys": ("int4", "d.pass_bys"),
    "dwell_us": ("int8", "d.dwell_us"),
}

_kept: OrderedDict[tuple[str, int], tuple[int, Lists]] = OrderedDict()  # by database and zone: of which revision, and the list
_lock: Final = Lock()
_size = 0


def read(cursor: Cursor, zones: Sequence[int], first: Sequence[int], last: Sequence[int]) -> Lists:
    """The stored days of each zone from its first to its last local day (days since 1970), both included. Zones rising, each once.

    Best within one snapshot: the revision and the list must be of the same instant.
    """
    where = _database(cursor)
    cursor.execute("SELECT zone_id, revision FROM analytics_zoneindex WHERE zone_id = ANY(%s)", [list(zones)])
    revisions: dict[int, int] = dict(cursor.fetchall())
    lists = {zone: _known(where, zone, revision) for zone, revision in revisions.items()}
    if missing := sorted(zone for zone, known in lists.items() if known is None):
        lists |= _fetch(cursor, where, missing, revisions)
    parts = [_cut(known, low, high) for zone, low, high in zip(zones, first, last, strict=True) if (known := lists.get(zone)) is not None]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, _EMPTY[name]) for name in _COLUMNS}


_EMPTY: Final = {"zone": np.int64, "day": np.int64, "open": np.bool_, "due": np.bool_, **dict.fromkeys(list(_COLUMNS)[4:], np.int64)}


def _database(cursor: Cursor) -> str:
    info = cursor.connection.info
    return f"{info.host}:{info.port}/{info.dbname}"


def _known(where: str, zone: int, revision: int) -> Lists | None:
    with _lock:
        found = _kept.get((where, zone))
        if found is None or found[0] != revision:
            return None
        _kept.move_to_end((where, zone))
        return found[1]


def _fetch(cursor: Cursor, where: str, zones: list[int], revisions: dict[int, int]) -> dict[int, Lists]:
    rows = binary.fetch(
        cursor, _COLUMNS, "FROM (SELECT * FROM analytics_zoneday WHERE zone_id = ANY(%(zones)s) ORDER BY zone_id, day, open DESC) d", {"zones": zones}
    )
    edges = np.searchsorted(rows["zone"], [*zones, zones[-1] + 1])
    found = {}
    for zone, low, high in zip(zones, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        found[zone] = {name: column[low:high].copy() for name, column in rows.items()}
        _keep(where, zone, revisions[zone], found[zone])
    return found


def _keep(where: str, zone: int, revision: int, lists: Lists) -> None:
    global _size
    with _lock:
        before = _kept.pop((where, zone), None)
        _kept[where, zone] = revision, lists
        _size += _bytes(lists) - (_bytes(before[1]) if before else 0)
        while _size > KEPT_BYTES and len(_kept) > 1:
            _size -= _bytes(_kept.popitem(last=False)[1][1])


def _bytes(lists: Lists) -> int:
    return int(sum(column.nbytes for column in lists.values())) + 2_000


def _cut(lists: Lists, first: int, last: int) -> Lists:
    low, high = np.searchsorted(lists["day"], [first, last + 1])
    return {name: column[low:high] for name, column in lists.items()}


def forget() -> None:
    global _size
    with _lock:
        _kept.clear()
        _size = 0
