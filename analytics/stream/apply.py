"""Writing what changed: stays, and the transitions that tell of it. Under the shards' locks, in the stream's transaction."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics import binary, marks
from analytics.stream.presence import Change

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Connection = psycopg.Connection[tuple[Any, ...]]

CHANGED: Final = """
CREATE TEMP TABLE IF NOT EXISTS changed
    (id bigint, ended timestamptz, closes_at timestamptz, cut bool, counted bool, reopen bool) ON COMMIT DELETE ROWS
"""
_MINUTE: Final = 60_000_000
ENTERED, DWELLED, LEFT, RECUT = "entered", "dwelled", "left", "re-cut"


@dataclass(frozen=True, slots=True)
class Scene:
    """What the writing needs to know beside the change itself. `shoppers` is sorted."""

    organisation: int
    shoppers: Ints
    shards: Ints
    news_since: Ints  # of each shopper: nobody is told of stays that ended before
    marks: dict[int, list[int]]  # zone -> minutes that somebody asked for

    def shard(self, shopper: Ints) -> Ints:
        return self.shards[np.searchsorted(self.shoppers, shopper)]

    def is_news(self, shopper: Ints, ended: Ints) -> Bools:
        """Whether anybody is told of these stays: not of imported history, nor of old times that are made again."""
        result: Bools = ended >= self.news_since[np.searchsorted(self.shoppers, shopper)]
        return result


@dataclass(frozen=True, slots=True)
class Difference:
    """Positions in change.before and change.after. A stay is the same one while shopper, zone and start are."""

    gone: Ints
    made: Ints
    same: tuple[Ints, Ints]  # pairs that differ in something


def difference(change: Change) -> Difference:
    before, after = change.before, change.after
    n = len(before.id)
    shopper, zone = np.concatenate((before.shopper, after.shopper)), np.concatenate((before.zone, after.zone))
    started = np.concatenate((before.started, after.opened))
    order = np.lexsort((np.arange(len(shopper)), started, zone, shopper))  # of equals, the stored one comes first
    pair = (np.diff(shopper[order]) == 0) & (np.diff(zone[order]) == 0) & (np.diff(started[order]) == 0)
    old, new = order[:-1][pair], order[1:][pair] - n
    alone = np.ones(len(shopper), np.bool_)
    alone[old], alone[new + n] = False, False
    differs = (
        (before.ended[old] != after.ended[new])
        | (before.closes_at[old] != after.closes_at[new])
        | (before.cut[old] != after.cut[new])
        | (before.counted[old] != change.counted[new])
    )
    return Difference(np.flatnonzero(alone[:n]), np.flatnonzero(alone[n:]), (old[differs], new[differs]))


def write(connection: Connection, scene: Scene, change: Change) -> int:
    """Make the stored stays those of `change.after`; returns how many were made, changed or removed."""
    found = difference(change)
    touched = len(found.gone) + len(found.made) + len(found.same[0])
    if not touched:
        return 0
    with connection.cursor() as cursor:
        if len(found.gone):
            cursor.execute("DELETE FROM analytics_stay WHERE id = ANY(%s)", [change.before.id[found.gone].tolist()])
        if len(found.made):
            _insert(cursor, scene, change, found.made)
        if len(found.same[0]):
            _update(cursor, scene, change, found.same)
        zone = np.concatenate((change.before.zone[found.gone], change.after.zone[found.made], change.after.zone[found.same[1]]))
        started = np.concatenate((change.before.started[found.gone], change.after.opened[found.made], change.after.opened[found.same[1]]))
        marks.leave(cursor, zone, started)
        _tell(cursor, scene, change, found)
    return touched


def _insert(cursor: binary.Cursor, scene: Scene, change: Change, made: Ints) -> None:
    after = change.after
    shopper = after.shopper[made]
    rows: dict[str, binary.Array | None] = {
        "organisation_id": binary.int8(np.full(len(made), scene.organisation)),
        "shard": binary.int2(scene.shard(shopper)),
        "shopper_id": binary.int8(shopper),
        "zone_id": binary.int8(after.zone[made]),
        "started": binary.instant(after.opened[made]),
        "ended": binary.instant(after.ended[made]),
        "closes_at": binary.instant(after.closes_at[made]),
        "cut": binary.boolean(after.cut[made]),
        "counted": binary.boolean(change.counted[made]),
        # What is no news tells nobody that somebody left either; the sweep has nothing to do for it.
        "closed": binary.boolean(~scene.is_news(shopper, after.ended[made])),
    }
    order = np.lexsort((after.zone[made], after.opened[made], shopper))
    binary.copy_in(
        cursor, f"analytics_stay ({', '.join(rows)})", [binary.copy_rows({name: column[order] for name, column in rows.items() if column is not None})]
    )


def _update(cursor: binary.Cursor, scene: Scene, change: Change, same: tuple[Ints, Ints]) -> None:
    old, new = same
    rows: dict[str, binary.Array | None] = {
        "id": binary.int8(change.before.id[old]),
        "ended": binary.instant(change.after.ended[new]),
        "closes_at": binary.instant(change.after.closes_at[new]),
        "cut": binary.boolean(change.after.cut[new]),
        "counted": binary.boolean(change.counted[new]),
        "reopen": binary.boolean(scene.is_news(change.after.shopper[new], change.after.ended[new])),
    }
    binary.copy_in(cursor, f"changed ({', '.join(rows)})", [binary.copy_rows(rows)])
    # Taken by deletion: one transaction may change the same stay twice. One that grows again after `left` was told is swept again.
    cursor.execute(
        """WITH c AS (DELETE FROM changed RETURNING *)
           UPDATE analytics_stay t SET ended = c.ended, closes_at = c.closes_at, cut = c.cut, counted = c.counted, closed = t.closed AND NOT c.reopen
           FROM c WHERE t.id = c.id"""
    )


def _tell(cursor: binary.Cursor, scene: Scene, change: Change, found: Difference) -> None:
    """The outbox rows: entered, dwelled past a mark, and re-cut where something already told is no longer so."""
    before, after = change.before, change.after
    rows: list[tuple[int, int, str, int, int, int | None]] = []  # shopper, zone, kind, started, at, minutes
    replaced = _overlaps(change, found)
    for new in found.made[scene.is_news(after.shopper[found.made], after.ended[found.made])].tolist():
        shopper, zone, started, ended = int(after.shopper[new]), int(after.zone[new]), int(after.opened[new]), int(after.ended[new])
        was = replaced.get(new)
        rows.append((shopper, zone, ENTERED if was is None else RECUT, started, started, None))
        rows += _dwelled(scene, shopper, zone, started, -1 if was is None else was, ended)
    news = scene.is_news(after.shopper[found.same[1]], after.ended[found.same[1]])
    for old, new in zip(*(side[news].tolist() for side in found.same), strict=True):
        shopper, zone, started, ended = int(after.shopper[new]), int(after.zone[new]), int(after.opened[new]), int(after.ended[new])
        if before.closed[old] and before.ended[old] != ended:
            rows.append((shopper, zone, RECUT, started, ended, None))
        rows += _dwelled(scene, shopper, zone, started, int(before.ended[old]) - started, ended)
    for old in found.gone[scene.is_news(before.shopper[found.gone], before.ended[found.gone])].tolist():
        started = int(before.started[old])
        rows.append((int(before.shopper[old]), int(before.zone[old]), RECUT, started, started, None))
    if rows:
        _insert_transitions(cursor, scene, rows)


def _overlaps(change: Change, found: Difference) -> dict[int, int]:
    """Made stays that stand where a removed one stood: position in after -> the longest dwell told of it before."""
    gone: dict[tuple[int, int], list[int]] = {}
    for old in found.gone.tolist():
        gone.setdefault((int(change.before.shopper[old]), int(change.before.zone[old])), []).append(old)
    result: dict[int, int] = {}
    for new in found.made.tolist() if gone else []:
        for old in gone.get((int(change.after.shopper[new]), int(change.after.zone[new])), []):
            if change.before.started[old] <= change.after.ended[new] and change.after.opened[new] <= change.before.ended[old]:
                result[new] = max(result.get(new, -1), int(change.before.ended[old] - change.before.started[old]))
    return result


def _dwelled(scene: Scene, shopper: int, zone: int, started: int, was: int, ended: int) -> list[tuple[int, int, str, int, int, int | None]]:
    """A row for each mark that the stay's dwell has newly reached; `was` is the dwell told before, in microseconds."""
    return [
        (shopper, zone, DWELLED, started, started + minutes * _MINUTE, minutes)
        for minutes in scene.marks.get(zone, [])
        if was < minutes * _MINUTE <= ended - started
    ]


def _insert_transitions(cursor: binary.Cursor, scene: Scene, rows: list[tuple[int, int, str, int, int, int | None]]) -> None:
    shopper = np.array([row[0] for row in rows])
    cursor.execute(
        """INSERT INTO analytics_transition (organisation_id, shard, shopper_id, zone_id, kind, started, at, minutes, created_at)
           SELECT %s, s, p, z, k, atrium_instant(b), atrium_instant(t), m, now()
           FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::int[]) AS n(s, p, z, k, b, t, m)""",
        [scene.organisation, scene.shard(shopper).tolist(), shopper.tolist(), *([row[i] for row in rows] for i in range(1, 6))],
    )
