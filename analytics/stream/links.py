"""Settling who owns a device's anonymous past, and making history again where places have changed. Both move stays from stored events."""

import time
import uuid
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics import marks, regulars
from analytics.places import Places
from analytics.stream import apply, claim, closing, presence
from analytics.stream.atlas import Atlas
from analytics.stream.batch import to_us
from analytics.stream.events import Windows
from engagement.faults import point

Ints = npt.NDArray[np.int64]
Connection = psycopg.Connection[tuple[Any, ...]]

CLAIMS: Final = 50  # settled in one transaction
SLICE: Final = 50  # shoppers re-cut in one transaction: their shards stand still meanwhile
NEWS_US: Final = 86_400_000_000  # of history made again, only the last day is told: nobody acts on what is older, and some of it was imported
SWEPT: Final = 20_000  # stays told as left in one transaction


def settle(connection: Connection, atlas: Atlas) -> int:
    """Take identity claims, lock both shards of each in order, and move the anonymous past where a claim comes first. Returns the claims settled."""
    with connection.transaction():
        rows = connection.execute(
            """SELECT c.id, c.organisation_id, c.device_id, c.shopper_id, c.occurred_at, c.event_id, d.owner_id, own.shard, new.shard
               FROM (SELECT * FROM engagement_identityclaim ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) c
               JOIN engagement_device d ON d.id = c.device_id
               JOIN engagement_shopper own ON own.id = d.owner_id JOIN engagement_shopper new ON new.id = c.shopper_id""",
            [CLAIMS],
        ).fetchall()
        if not rows:
            return 0
        locked = {row[7] for row in rows} | {row[8] for row in rows}
        claim.wait_for(connection, sorted(locked))
        point("link.locked")
        firsts: dict[int, tuple[datetime, uuid.UUID, int, int]] = {}
        for _, organisation, device, shopper, at, event, *_ in rows:
            candidate = (at, event, shopper, organisation)
            firsts[device] = min(firsts.get(device, candidate), candidate)
        for device, (at, event, shopper, organisation) in sorted(firsts.items()):
            _settle_one(connection, atlas.of(connection, organisation), organisation, locked, (device, shopper, at, event))
        connection.execute("DELETE FROM engagement_identityclaim WHERE id = ANY(%s)", [[row[0] for row in rows]])
        point("link.before_commit")
    return len(rows)


def _settle_one(connection: Connection, places: Places, organisation: int, locked: set[int], candidate: tuple[int, int, datetime, uuid.UUID]) -> None:
    device, shopper, at, event = candidate
    # Without a join: a row that was waited for is joined with what was read before the wait, and then it belongs to nobody.
    found = connection.execute(
        "SELECT owner_id, first_identified_at, first_identified_event FROM engagement_device WHERE id = %s FOR NO KEY UPDATE", [device]
    ).fetchone()
    if found is None:
        return
    owner, first_at, first_event = found
    if first_at is not None and (first_at, first_event) <= (at, event):
        return  # another claim came first, and is settled
    shard = connection.execute("SELECT shard FROM engagement_shopper WHERE id = %s", [owner]).fetchone()
    if shard is None or shard[0] not in locked:
        raise psycopg.errors.SerializationFailure("the owner changed between reading and locking")
    connection.execute(
        "UPDATE engagement_device SET owner_id = %s, first_identified_at = %s, first_identified_event = %s WHERE id = %s", [shopper, at, event, device]
    )
    if owner != shopper:
        _move(connection, places, organisation, device, np.array(sorted({owner, shopper}), dtype=np.int64))
        regulars.inherit(connection, organisation=organisation, old=owner, new=shopper)


def _move(connection: Connection, places: Places, organisation: int, device: int, shoppers: Ints) -> None:
    """The stays of both shoppers again, over the time of the device's anonymous events."""
    found = connection.execute(
        "SELECT min(occurred_at), max(occurred_at) FROM engagement_event WHERE device_id = %s AND shopper_id IS NULL", [device]
    ).fetchone()
    if found is None or found[0] is None:
        return
    first, last = np.full(len(shoppers), to_us(found[0])), np.full(len(shoppers), to_us(found[1]))
    make_again(connection, places, organisation, presence.windows_around(shoppers, first, last, places), reached=last)


def make_again(connection: Connection, places: Places, organisation: int, windows: Windows, *, reached: Ints) -> int:
    """Rebuild the windows of shoppers whose shards are locked; returns the number of stays that changed.

    `reached` is the latest event in each window. A shopper who lost events keeps `last_at`: judged late where prompt would do, which is safe.
    """
    known = presence.load_shoppers(connection, windows.shopper)
    yesterday = int(time.time() * 1_000_000) - NEWS_US
    scene = apply.Scene(organisation, known.id, known.shard, np.full(len(known.id), yesterday), {})
    change = presence.rebuild(connection, places, windows, closed=closing.closed_at(connection, organisation))
    changed = apply.write(connection, scene, change)
    horizon = np.minimum(np.maximum(known.horizon, presence.YEAR_ONE), np.maximum(windows.since, presence.YEAR_ONE))
    np.minimum.at(horizon, np.searchsorted(known.id, change.after.shopper), change.after.opened)
    presence.note(connection, known.id, np.maximum(known.last_at, reached), horizon)
    return changed


def ask_for_recuts(connection: Connection) -> None:
    """Turn changes of places into work, one row an organisation, from the earliest instant that any of them touches."""
    with connection.transaction():
        asked = connection.execute(
            """WITH gone AS (DELETE FROM engagement_placeschange WHERE id IN (SELECT id FROM engagement_placeschange FOR UPDATE SKIP LOCKED)
                             RETURNING organisation_id, since, reason)
               INSERT INTO analytics_recut (organisation_id, since, cursor, done, reason, created_at, changed)
               SELECT organisation_id, nullif(min(coalesce(since, '-infinity')), '-infinity'), 0, 0, left(string_agg(DISTINCT reason, '; '), 200), now(), 0
               FROM gone GROUP BY organisation_id"""
        ).rowcount
        if asked:
            # Whoever read the places before the change holds a shard until its stays are committed. Once all of them are, the re-cut finds every shopper.
            claim.wait_for(connection, claim.all_shards())


def recut(connection: Connection, atlas: Atlas) -> int:
    """The next slice of the oldest unfinished re-cut: some shoppers' stays since its instant again. Returns the shoppers done."""
    with connection.transaction():
        job = connection.execute(
            "SELECT id, organisation_id, since, cursor FROM analytics_recut WHERE finished_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        ).fetchone()
        if job is None:
            return 0
        recut_id, organisation, since, cursor = job
        if not cursor:
            connection.execute(
                """UPDATE analytics_recut SET of = (SELECT count(*) FROM engagement_shopper WHERE organisation_id = %s
                                                      AND last_at >= coalesce(%s, '-infinity'::timestamptz)) WHERE id = %s""",
                [organisation, since, recut_id],
            )
        rows = connection.execute(
            """SELECT id, shard FROM engagement_shopper WHERE organisation_id = %s AND id > %s AND last_at >= coalesce(%s, '-infinity'::timestamptz)
               ORDER BY id LIMIT %s""",
            [organisation, cursor, since, SLICE],
        ).fetchall()
        if not rows:
            marks.leave_for_roots(connection, organisation, since)
            connection.execute("UPDATE analytics_recut SET finished_at = now(), of = done WHERE id = %s", [recut_id])
            return 0
        claim.wait_for(connection, sorted({shard for _, shard in rows}))
        places, shoppers = atlas.of(connection, organisation), np.array([row[0] for row in rows], dtype=np.int64)
        last_at = presence.load_shoppers(connection, shoppers).last_at
        since_us = presence.YEAR_ONE if since is None else max(to_us(since) - places.max_grace, presence.YEAR_ONE)
        windows = Windows(shoppers, np.full(len(shoppers), since_us), np.maximum(last_at, since_us))
        changed = make_again(connection, places, organisation, windows, reached=last_at)
        connection.execute(
            "UPDATE analytics_recut SET cursor = %s, done = done + %s, changed = changed + %s WHERE id = %s", [int(shoppers[-1]), len(rows), changed, recut_id]
        )
        point("recut.before_commit")
    return len(rows)


# What has ended by the clock is told once. The row is locked by its shard; a late event may open the stay again. Bounded, because after
# a long silence everything has ended at once, and all shards would stand still while it is told.
_SWEEP: Final = """
WITH due AS (UPDATE analytics_stay SET closed = true
             WHERE id IN (SELECT id FROM analytics_stay WHERE shard = ANY(%s) AND NOT closed AND closes_at < now() LIMIT %s)
             RETURNING organisation_id, shard, shopper_id, zone_id, started, ended)
INSERT INTO analytics_transition (organisation_id, shard, shopper_id, zone_id, kind, started, at, created_at)
SELECT organisation_id, shard, shopper_id, zone_id, 'left', started, ended, now() FROM due
"""


def sweep(connection: Connection, shards: list[int]) -> int:
    """Write `left` for the stays of free shards that nothing can extend any more. Returns their number."""
    with connection.transaction():
        told = connection.execute(_SWEEP, [claim.lock(connection, shards), SWEPT]).rowcount
        point("sweep.before_commit")
    return told
