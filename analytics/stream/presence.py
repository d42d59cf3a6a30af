"""From new events to changed stays: the prompt path and the late one. ARCHITECTURE.md says why both give one law.

All of it runs under the locks of the shoppers' shards. Times are microseconds since 1970.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics import binary, stays
from analytics.places import Observations, Places
from analytics.stays import NEVER, Chains, Cuts, Segments
from analytics.stream import events
from analytics.stream.events import Windows

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Connection = psycopg.Connection[tuple[Any, ...]]

_STAY: Final = {
    "id": ("int8", "t.id"),
    "shopper": ("int8", "t.shopper_id"),
    "zone": ("int8", "t.zone_id"),
    "started": ("timestamptz", "t.started"),
    "ended": ("timestamptz", "t.ended"),
    "closes_at": ("timestamptz", "t.closes_at"),
    "cut": ("bool", "t.cut"),
    "counted": ("bool", "t.counted"),
    "closed": ("bool", "t.closed"),
}
FAR_OFF: Final = 2**61
YEAR_ONE: Final = -62_135_596_800_000_000


@dataclass(frozen=True, slots=True)
class Stays(stays.Columns):
    """Stored stays, as columns."""

    id: Ints
    shopper: Ints
    zone: Ints
    started: Ints
    ended: Ints
    closes_at: Ints
    cut: Bools
    counted: Bools
    closed: Bools


@dataclass(frozen=True, slots=True)
class Change:
    """What was stored and what is so now, for the same shoppers and times."""

    before: Stays
    after: Chains  # stays only
    counted: Bools  # of each in `after`


@dataclass(frozen=True, slots=True)
class Shoppers:
    """Of each, sorted by id: its shard, the latest event known, and where its extensible stays begin."""

    id: Ints
    shard: Ints
    last_at: Ints
    horizon: Ints


def load_shoppers(connection: Connection, ids: Ints) -> Shoppers:
    columns = {
        "id": ("int8", "id"),
        "shard": ("int2", "shard"),
        "last_at": ("timestamptz", "coalesce(last_at, '-infinity')"),
        "horizon": ("timestamptz", "coalesce(horizon, '-infinity')"),
    }
    with connection.cursor() as cursor:
        rows = binary.fetch(cursor, columns, "FROM (SELECT * FROM engagement_shopper WHERE id = ANY(%(ids)s) ORDER BY id) s", {"ids": ids.tolist()})
    return Shoppers(**rows)


def segments_of(seen: Observations, shopper: Ints, at: Ints, places: Places) -> tuple[Segments, Cuts]:
    """Each observation as a segment of its own. `shopper` and `at` are of the events."""
    when = at[seen.event]
    return (
        Segments(shopper[seen.event], seen.zone, when, when, np.where(seen.opening, when, NEVER), places.grace(seen.zone, when)),
        Cuts(shopper[seen.exit_event], seen.exit_zone, at[seen.exit_event]),
    )


def extend(connection: Connection, places: Places, shoppers: Ints, segments: Segments, cuts: Cuts) -> Change:
    """The prompt path: nothing is known of these shoppers after their new events begin, so only their latest stays can grow."""
    before = _stays(
        connection, "JOIN engagement_shopper s ON s.id = t.shopper_id AND t.started >= s.horizon WHERE s.id = ANY(%(ids)s)", {"ids": shoppers.tolist()}
    )
    stored = Segments(before.shopper, before.zone, before.started, before.ended, before.started, places.grace(before.zone, before.ended))
    exits = Cuts(before.shopper[before.cut], before.zone[before.cut], before.closes_at[before.cut])
    return _change(places, before, stays.fold(stored.join(segments), exits.join(cuts)))


def rebuild(connection: Connection, places: Places, windows: Windows, *, closed: int) -> Change:
    """The late path: the stays around the windows, made from the events. Widens the windows to whole chains.

    `closed`: the events before this instant may be gone (closing.py). Of a stay that began there and went on, or may go on, the stored row speaks.
    """
    windows, before = _to_whole_stays(connection, windows, closed)
    known = load_shoppers(connection, windows.shopper)
    last_at = known.last_at[np.searchsorted(known.id, windows.shopper)]
    while True:
        stored = events.read(connection, Windows(windows.shopper, np.maximum(windows.since, closed), windows.until))
        segments, cuts = segments_of(places.observe(stored.events), stored.shopper, stored.events.occurred_at, places)
        chains = stays.fold(segments.join(begun(before, places, closed)), cuts)
        open_ended = np.unique(chains.shopper[chains.closes_at > _of(windows.shopper, windows.until, chains.shopper)])
        wider = np.isin(windows.shopper, open_ended) & (windows.until < last_at)
        if not wider.any():
            return _change(places, before, chains)
        reach = np.maximum(windows.until - windows.since, 4 * places.max_grace)
        until = np.where(wider, np.minimum(windows.until + reach, np.maximum(last_at, windows.until)), windows.until)
        windows, before = _to_whole_stays(connection, Windows(windows.shopper, windows.since, until), closed)


def begun(stored: Stays, places: Places, closed: int) -> Segments:
    """What is known of the stays that began before events were closed, as a segment each: up to their last observation, or to the closing.

    One that went on over it had an observation no earlier than its grace before, and no exit since: so it goes on from there, whatever comes later.
    Those that nothing after the closing could extend are not among `stored`: they stay as they are, whatever is corrected.
    """
    mine = stored.take(stored.started < closed)
    last = np.minimum(mine.ended, closed - 1)
    return Segments(mine.shopper, mine.zone, mine.started, last, mine.started, places.grace(mine.zone, last))


def _to_whole_stays(connection: Connection, windows: Windows, closed: int) -> tuple[Windows, Stays]:
    """The windows widened so that they cut no stored stay, and the stays in them that events after the closing can speak of."""
    while True:
        found = _stays(
            connection,
            """JOIN unnest(%(ids)s::bigint[], %(since)s::bigint[], %(until)s::bigint[]) AS w(shopper_id, since, until) ON w.shopper_id = t.shopper_id
               WHERE t.started <= atrium_instant(w.until) AND t.ended >= atrium_instant(w.since) AND t.closes_at >= atrium_instant(%(closed)s)""",
            {"closed": closed, "ids": windows.shopper.tolist(), "since": windows.since.tolist(), "until": windows.until.tolist()},
        )
        since, until = windows.since.copy(), windows.until.copy()
        place = np.searchsorted(windows.shopper, found.shopper)
        np.minimum.at(since, place, found.started)
        np.maximum.at(until, place, found.closes_at)
        if (since == windows.since).all() and (until == windows.until).all():
            return windows, found
        windows = Windows(windows.shopper, since, until)


def stays_of(connection: Connection, shoppers: Ints) -> Stays:
    """All stored stays of the shoppers."""
    return _stays(connection, "WHERE t.shopper_id = ANY(%(ids)s)", {"ids": shoppers.tolist()})


def _stays(connection: Connection, source: str, parameters: dict[str, Any]) -> Stays:
    with connection.cursor() as cursor:
        return Stays(**binary.fetch(cursor, _STAY, f"FROM analytics_stay t {source}", parameters))


def _change(places: Places, before: Stays, chains: Chains) -> Change:
    after = chains.take(chains.opened < NEVER)
    return Change(before, after, after.ended - after.opened >= places.min_stay(after.zone, after.opened))


def _of(keys: Ints, values: Ints, asked: Ints) -> Ints:
    """values[k] where keys[k] == asked; `keys` is sorted and has all that is asked."""
    return values[np.searchsorted(keys, asked)]


def windows_around(shoppers: Ints, first: Ints, last: Ints, places: Places) -> Windows:
    """All that events between `first` and `last` can touch directly. Sorted by shopper."""
    order = np.argsort(shoppers)
    return Windows(shoppers[order], first[order] - places.max_grace, last[order] + places.max_grace)


NOTED: Final = "CREATE TEMP TABLE IF NOT EXISTS noted (id bigint, last_at timestamptz, horizon timestamptz) ON COMMIT DELETE ROWS"


def note(connection: Connection, ids: Ints, last_at: Ints, horizon: Ints) -> None:
    """Remember how far the shoppers are known."""
    rows: dict[str, binary.Array | None] = {"id": binary.int8(ids), "last_at": binary.instant(last_at), "horizon": binary.instant(horizon)}
    with connection.cursor() as cursor:
        binary.copy_in(cursor, "noted (id, last_at, horizon)", [binary.copy_rows(rows)])
        # Taken by deletion: one transaction may note the same shopper again, and must not find what it noted before.
        cursor.execute(
            """WITH n AS (DELETE FROM noted RETURNING *)
               UPDATE engagement_shopper s SET last_at = n.last_at, horizon = n.horizon FROM n WHERE s.id = n.id"""
        )
