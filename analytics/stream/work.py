"""One transaction of the stream: from claimed rows to stays. Every step is named, and has a crash point for the fault tests."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from django.conf import settings

from analytics.places import Observations, Places
from analytics.stream import apply, batch, claim, closing, counters, erasing, events, identities, presence, timing
from analytics.stream.atlas import Atlas
from analytics.stream.batch import Batch
from analytics.stream.identities import People
from engagement.faults import point

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Connection = psycopg.Connection[tuple[Any, ...]]

# A process that stands still in the middle of its work gives its shards up after so many seconds.
_IDLE_S: Final = settings.STREAM_IDLE_S
# Tables that are small when a plan is made are large a minute later, and statistics come later still: a plan that was kept reads all of
# the inbox for each claim, and all of a day for each look-up. So plans are not kept where they can be made anew, and go by indexes.
_PLANS: Final = "-c jit=off -c plan_cache_mode=force_custom_plan -c enable_seqscan=off"
_LIMITS: Final = f"-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout={_IDLE_S}s"
SESSION: Final = f"-c synchronous_commit=on {_PLANS} {_LIMITS}"


def work(connection: Connection, atlas: Atlas, shards: list[int], *, row: int | None = None) -> int:
    """Process the next rows of those shards that can be locked (or the one row alone); returns the number of rows taken."""
    return attempt(connection, atlas, shards, row=row)[1]


def attempt(connection: Connection, atlas: Atlas, shards: list[int], *, row: int | None = None) -> tuple[list[int], int]:
    """As `work`, with the shards that could be locked. Raises whatever the rows raise; nothing of the transaction remains then."""
    try:
        return _transaction(connection, atlas, shards, row=row, cautious=False)
    except events.Collision:
        return _transaction(connection, atlas, shards, row=row, cautious=True)


def _transaction(connection: Connection, atlas: Atlas, shards: list[int], *, row: int | None, cautious: bool) -> tuple[list[int], int]:
    timing.begin()
    with connection.transaction():
        locked = claim.lock(connection, shards)
        point("stream.locked")
        if not locked:
            return [], 0
        rows = claim.take(connection, locked) if row is None else claim.take_one(connection, row)
        point("stream.claimed")
        timing.lap("claim")
        if rows:
            process(connection, atlas, rows, set(locked), cautious=cautious)
        if row is None:
            claim.finish(connection, locked)
        point("stream.before_commit")
    point("stream.after_commit")
    timing.lap("commit")
    timing.tell(len(rows))
    return locked, len(rows)


def process(connection: Connection, atlas: Atlas, rows: list[claim.Claimed], locked: set[int], *, cautious: bool = False) -> None:
    said, erased = erasing.refuse(connection, batch.decode(rows))
    said, closed = closing.refuse(connection, said)
    people = identities.resolve(connection, said, locked)
    claim.put_back(connection, people.forwarded)
    forwarded = {row.id for row, _, _ in people.forwarded}
    for name, left_out in ((counters.ERASED, erased), (counters.TOO_OLD, closed)):
        counters.count_left_out(connection, name, [row for row in left_out if row.id not in forwarded], min(locked))
    kept = people.device > 0
    said = said.take(kept[said.row])
    point("stream.identified")
    timing.lap("identify")
    timing.took(len(said.row))
    outcome = np.full(len(said.row), counters.DUPLICATE, dtype=object)
    fresh = ~events.repeats_in(said, people.device[said.row])
    new = np.flatnonzero(fresh)
    new = new[events.store(connection, said.take(fresh), people, cautious=cautious)]
    stored = np.zeros(len(said.row), np.bool_)
    stored[new] = True
    point("stream.stored")
    identities.remember(connection, said.take(stored), people)
    timing.lap("store")
    zones = _fold(connection, atlas, said, stored, people, outcome)
    shard = min(locked)
    counters.count(connection, said, kept, outcome, shard)
    counters.sample(connection, said, kept, outcome, zones)


def _fold(connection: Connection, atlas: Atlas, said: Batch, stored: Bools, people: People, outcome: npt.NDArray[np.object_]) -> dict[int, str]:
    """Stays of each organisation's new events. Fills in the outcomes; returns what the sampled events opened, by event."""
    organisation = np.array([row.organisation for row in said.claimed], dtype=np.int64)[said.row]
    shown: dict[int, str] = {}
    for one in np.unique(organisation[stored]).tolist():
        chosen = np.flatnonzero(stored & (organisation == one))
        places = atlas.of(connection, one)
        seen = places.observe(said.columns(chosen))
        point("stream.observed")
        atlas.heard.note(one, said.records[chosen], said.occurred_at[chosen])
        outcome[chosen] = np.where(seen.unmatched, counters.UNMATCHED, counters.ACCEPTED)
        timing.lap("place")
        shown |= _names(connection, seen, chosen)
        fold_new(connection, places, one, seen, shopper=people.shopper[said.row[chosen]], at=said.occurred_at[chosen], live=_live(said, chosen))
        point("stream.folded")
        timing.lap("fold")
    return shown


def _live(said: Batch, chosen: Ints) -> Bools:
    return ~np.array([row.imported for row in said.claimed], dtype=np.bool_)[said.row[chosen]]


def fold_new(connection: Connection, places: Places, organisation: int, seen: Observations, *, shopper: Ints, at: Ints, live: Bools) -> None:
    """Bring the stays of the events' shoppers up to date. `shopper`, `at` and `live` are of the events that were observed."""
    ids, member = np.unique(shopper, return_inverse=True)
    known = presence.load_shoppers(connection, ids)
    first, last = np.full(len(ids), presence.FAR_OFF), known.last_at.copy()
    np.minimum.at(first, member, at)
    np.maximum.at(last, member, at)
    # A stay that ended before the first live event is made of imported ones alone: it starts no message.
    news_since = np.full(len(ids), presence.FAR_OFF)
    np.minimum.at(news_since, member[live], at[live])
    scene = apply.Scene(organisation, known.id, known.shard, news_since, _marks(connection, organisation))
    # Also at the very instant of the latest: an exit there, for which no stay was stored, cuts what is told of that instant now.
    late = first <= known.last_at
    horizon = last.copy()
    if not late.all():
        segments, cuts = presence.segments_of(seen, shopper, at, places)
        prompt = presence.extend(
            connection, places, ids[~late], segments.take(~late[np.searchsorted(ids, segments.shopper)]), cuts.take(~late[np.searchsorted(ids, cuts.shopper)])
        )
        timing.lap("fold")
        apply.write(connection, scene, prompt)
        timing.lap("write")
        lasting = prompt.after.closes_at >= last[np.searchsorted(ids, prompt.after.shopper)]
        np.minimum.at(horizon, np.searchsorted(ids, prompt.after.shopper[lasting]), prompt.after.opened[lasting])
    if late.any():
        windows = presence.windows_around(ids[late], first[late], last[late], places)
        rebuilt = presence.rebuild(connection, places, windows, closed=closing.closed_at(connection, organisation))
        timing.lap("fold")
        apply.write(connection, scene, rebuilt)
        timing.lap("write")
        # Too early is safe (the next prompt event looks at more stays, and raises it again); too late would not be.
        horizon[late] = np.minimum(known.horizon[late], first[late] - places.max_grace)
        np.minimum.at(horizon, np.searchsorted(ids, rebuilt.after.shopper), rebuilt.after.opened)
    presence.note(connection, ids, last, horizon)


def _marks(connection: Connection, organisation: int) -> dict[int, list[int]]:
    """Zone to the dwell marks, in minutes, that somebody asked for."""
    found: dict[int, list[int]] = {}
    rows = connection.execute(
        "SELECT m.zone_id, m.minutes FROM analytics_dwellmark m JOIN engagement_zone z ON z.id = m.zone_id WHERE z.organisation_id = %s", [organisation]
    )
    for zone, minutes in rows:
        found.setdefault(zone, []).append(minutes)
    return found


def _names(connection: Connection, seen: Observations, chosen: Ints) -> dict[int, str]:
    """Keys of the zones that each of the last few events opened, for the live page."""
    recent = seen.opening & (seen.event >= len(chosen) - counters.SAMPLE)
    zones = np.unique(seen.zone[recent]).tolist()
    key: dict[int, str] = dict(connection.execute("SELECT id, key FROM engagement_zone WHERE id = ANY(%s)", [zones]).fetchall()) if zones else {}
    shown: dict[int, list[str]] = {}
    for event, zone in zip(seen.event[recent].tolist(), seen.zone[recent].tolist(), strict=True):
        shown.setdefault(int(chosen[event]), []).append(str(key.get(zone, "")))
    return {event: " ".join(reversed(names))[:400] for event, names in shown.items()}
