"""Zones' days as they are at this instant: the stored ones, and made from the stays what is not stored, or no longer so. Reads only.

A stored day is used where no mark says that its stays have changed since and the clock alone changes nothing of it (`due_at` is null).
Every other day is made here from its stays, by the same function that makes those that are stored. So what is read never lags.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary, contents, facts
from analytics.calendars import Clock
from analytics.facts import Day, Stays
from analytics.marks import HOUR_US
from analytics.premises import Premises
from analytics.shelves import Shelves
from analytics.stays import Bools, Ints

Cursor = psycopg.Cursor[tuple[Any, ...]]
Key = tuple[int, int]  # zone, day

NOWHERE: Final = -(2**22)  # no local day
_DAYS: Final = 2**23  # more than there are
_OUTDATED: Final = -(2**31)  # no hour
_CLOCKS_APART: Final = 2  # days, between -12:00 and +14:00
_ARRAYS: Final = ("zone", "day", "open", "visits", "pass_bys", "dwell_us", "restated_at", "digest")
ALWAYS: Final = -(2**62)
EVER: Final = 2**62
CACHE_BYTES: Final = 256 * 1024 * 1024  # of unpacked columns
_OVERHEAD: Final = 250  # bytes of an unpacked value beside its content
_UNPACK: Final[dict[str, Any]] = {
    "members": facts.unpack_set,
    "passed": facts.unpack_set,
    "class_sets": facts.unpack_sets,
    "flows": facts.unpack_flows,
    **dict.fromkeys(("classes", "hours", "firsts", "dwells", "dwell_hours", "dwell_shoppers", "presence", "activity"), facts.unpack),
}
_STAY: Final = {
    "shopper": ("int8", "s.shopper_id"),
    "zone": ("int8", "s.zone_id"),
    "started": ("timestamptz", "s.started"),
    "ended": ("timestamptz", "s.ended"),
    "closes_at": ("timestamptz", "s.closes_at"),
    "counted": ("bool", "s.counted"),
}


@dataclass(frozen=True, slots=True)
class Span:
    """The part of one zone's history that is wanted: instants, the end exclusive."""

    zone: int
    clock: Clock
    start: int = ALWAYS
    end: int = EVER


@dataclass(slots=True)
class Days:
    """One entry for each zone, local day and part (inside the opening hours, or outside) that has a stay, in that order.

    Arrays of equal length; `column` gives what is packed, of each entry. `live` are those made here from the stays.
    """

    zone: Ints
    day: Ints
    open: Bools
    visits: Ints
    pass_bys: Ints
    dwell_us: Ints
    restated_at: Ints  # microseconds since 1970; 0: never
    digest: Ints
    live: dict[int, Day]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.zone)

    def of(self, zones: Iterable[int]) -> "Days":
        """The entries of some of the zones."""
        chosen = sorted(set(zones))
        edges = zip(np.searchsorted(self.zone, chosen).tolist(), np.searchsorted(self.zone, chosen, side="right").tolist(), strict=True)
        runs = [slice(low, high) for low, high in edges if low < high]
        arrays = {name: np.concatenate([getattr(self, name)[run] for run in runs] or [getattr(self, name)[:0]]) for name in _ARRAYS}
        columns = {name: list(chain.from_iterable(values[run] for run in runs)) for name, values in self.columns.items()}
        return Days(**arrays, live={}, columns=columns)


def read(cursor: Cursor, spans: Sequence[Span], columns: Iterable[str], *, now: int, part: bool | None = None, premises: Premises | None = None) -> Days:
    """The days of the spans, at most one span a zone. `part`: inside the opening hours only (True), outside only (False), or both.

    A day that a span cuts is made from its stays inside the span. The cursor is a plain one (binary results), best in one snapshot.
    For `flows`, give the premises of the spans' zones, which are then roots of venues.
    """
    spans = sorted(spans, key=lambda span: span.zone)
    zones = [span.zone for span in spans]
    marked, outdated = _marked(cursor, spans, premises)  # before the days: what is made again between the two is then read live, which is right too
    stored = _index(cursor, spans, zones)
    cut = {key for span in spans for key in _cut_days(span)}
    unsettled = set(zip(stored["zone"][stored["due"]].tolist(), stored["day"][stored["due"]].tolist(), strict=True))
    if outdated:
        unsettled |= _of_another_calendar(cursor, [span for span in spans if span.zone in outdated])
    live_keys = sorted(key for key in marked | cut | unsettled if _within(spans, zones, key))
    pieces = [_piece(spans, zones, key) for key in live_keys]
    made = make(cursor, pieces, now=now)
    if premises is not None:
        made = with_flows(cursor, made, premises, pieces)
    return _together(cursor, stored, set(live_keys), made, list(columns), part)


def plain(connection: Any) -> Cursor:
    """A cursor with binary results, beside Django's own, in its transaction."""
    connection.ensure_connection()
    return psycopg.Cursor(connection.connection)


def _marked(cursor: Cursor, spans: list[Span], premises: Premises | None) -> tuple[set[Key], set[int]]:
    """Marked days of the spans' zones; where flows are wanted, also the days of visits that held a stay that changed. And the zones whose days were
    made by another clock, or other opening hours, than their venue has: until figures.recalendar marks them, nothing stored of them is right."""
    clocks = premises.clock if premises else {span.zone: span.clock for span in spans}
    columns = {"zone": ("int8", "m.zone_id"), "hour": ("int4", "m.hour")}
    source = """FROM (SELECT DISTINCT zone_id, hour FROM analytics_mark WHERE zone_id = ANY(%(zones)s) UNION ALL
                      SELECT z.id, %(outdated)s FROM engagement_zone z JOIN engagement_venue v ON v.id = z.venue_id
                      JOIN analytics_calendar c ON c.venue_id = v.id
                      WHERE z.id = ANY(%(zones)s) AND (c.time_zone, c.opening_hours) IS DISTINCT FROM (v.time_zone, v.opening_hours)) m"""
    rows = binary.fetch(cursor, columns, source, {"zones": list(clocks), "outdated": _OUTDATED})
    outdated = rows["hour"] == _OUTDATED
    keys = keys_of_marks(clocks, rows["zone"][~outdated], rows["hour"][~outdated])
    if premises is not None:
        keys |= roots_touched(cursor, premises, keys)
    wanted = {span.zone for span in spans}
    return {key for key in keys if key[0] in wanted}, wanted & set(rows["zone"][outdated].tolist())


def _of_another_calendar(cursor: Cursor, spans: list[Span]) -> set[Key]:
    """All days that can have a stay, where those that are stored are another clock's: one clock's day is at most two away from another's."""
    first, last = [_day(span, span.start) - _CLOCKS_APART for span in spans], [_day(span, span.end - 1) + _CLOCKS_APART for span in spans]
    found = contents.read(cursor, [span.zone for span in spans], first, last)
    days = zip(found["zone"].tolist(), found["day"].tolist(), strict=True)
    return {(zone, day + apart) for zone, day in days for apart in range(-_CLOCKS_APART, _CLOCKS_APART + 1)}


def roots_touched(cursor: Cursor, premises: Premises, keys: set[Key]) -> set[Key]:
    """Days of venues' roots whose visits can hold stays that start on these days in zones below: their flows change with those."""
    below = {(premises.root[zone], day) for zone, day in keys if premises.root.get(zone, zone) != zone}
    earlier: set[Key] = set()
    if below:
        cursor.execute(
            """SELECT DISTINCT d.zone_id, d.day - date '1970-01-01' FROM unnest(%s::bigint[], %s::int[], %s::bigint[]) AS w(zone_id, day, begin)
               JOIN analytics_zoneday d ON d.zone_id = w.zone_id AND d.day < date '1970-01-01' + w.day AND d.reach >= atrium_instant(w.begin)""",
            [[zone for zone, _ in below], [day for _, day in below], [premises.clock[zone].begin(day) for zone, day in below]],
        )
        earlier = {(zone, day) for zone, day in cursor.fetchall()}
    return below | earlier


def keys_of_marks(clocks: dict[int, Clock], zone: Ints, hour: Ints) -> set[Key]:
    """The zones' days that marked hours lie on."""
    days = days_of_marks(clocks, zone, hour)
    there = days[0] != NOWHERE
    both = np.unique(single(np.tile(zone[there], 2), days[:, there].ravel()))
    return set(zip((both // _DAYS).tolist(), (both % _DAYS - _DAYS // 2).tolist(), strict=True))


def days_of_marks(clocks: dict[int, Clock], zone: Ints, hour: Ints) -> Ints:
    """The local day on which each marked hour begins, and the one on which it ends: 2 x n. NOWHERE for zones without a clock."""
    found = np.full((2, len(zone)), NOWHERE, np.int64)
    known, of = np.unique(zone, return_inverse=True)
    its = [clocks.get(one) for one in known.tolist()]
    for clock in dict.fromkeys(one for one in its if one is not None):
        here = np.array([one == clock for one in its], dtype=np.bool_)[of]
        begins = hour[here] * HOUR_US
        found[0, here], found[1, here] = clock.days_of(begins), clock.days_of(begins + HOUR_US - 1)
    return found


def single(zone: Any, day: Any) -> Any:
    """A zone and a day as one number, in the same order; of arrays too."""
    return zone * _DAYS + day + _DAYS // 2


def _index(cursor: Cursor, spans: list[Span], zones: list[int]) -> dict[str, Any]:
    return contents.read(cursor, zones, [_day(span, span.start) for span in spans], [_day(span, span.end - 1) for span in spans])


def _day(span: Span, us: int) -> int:
    return contents.FIRST if us <= ALWAYS else contents.LAST if us >= EVER - 1 else span.clock.day_of(us)


def _cut_days(span: Span) -> list[Key]:
    """The days of which the span has only a part."""
    found = []
    if span.start > ALWAYS and span.clock.begin(day := span.clock.day_of(span.start)) < span.start:
        found.append((span.zone, day))
    if span.end < EVER and span.clock.begin(day := span.clock.day_of(span.end)) < span.end:
        found.append((span.zone, day))
    return found


def _within(spans: list[Span], zones: list[int], key: Key) -> bool:
    span = spans[zones.index(key[0])]
    return span.clock.begin(key[1] + 1) > span.start and span.clock.begin(key[1]) < span.end


@dataclass(frozen=True, slots=True)
class Piece:
    """A zone's local day, or what a span leaves of it."""

    zone: int
    day: int
    clock: Clock
    start: int
    end: int


def _piece(spans: list[Span], zones: list[int], key: Key) -> Piece:
    span = spans[zones.index(key[0])]
    return Piece(*key, span.clock, max(span.start, span.clock.begin(key[1])), min(span.end, span.clock.begin(key[1] + 1)))


def whole(zone: int, day: int, clock: Clock) -> Piece:
    return Piece(zone, day, clock, clock.begin(day), clock.begin(day + 1))


def make(cursor: Cursor, pieces: list[Piece], *, now: int) -> dict[tuple[int, int, bool], Day]:
    """The pieces' facts, from their stays: by zone, day and part. What has no stay is left out."""
    found = stays_of(cursor, pieces)
    made: dict[tuple[int, int, bool], Day] = {}
    for piece in pieces:
        low, high = np.searchsorted(found.zone, [piece.zone, piece.zone + 1])
        started = found.started[low:high]
        begin, end = low + np.searchsorted(started, [piece.start, piece.end])
        stays = found.take(np.arange(begin, end))
        inside = piece.clock.is_open(stays.started)
        for part in (True, False):
            if (chosen := inside == part).any():
                begins = piece.clock.hours_of(piece.day)
                made[piece.zone, piece.day, part] = facts.build(stays.take(chosen), begin=piece.clock.begin(piece.day), hours=begins, now=now)
    return made


def stays_of(cursor: Cursor, pieces: list[Piece]) -> Stays:
    """The stays that start in the pieces, by zone and start. Those of staff and residents are left out."""
    zone, start, end = _joined(pieces)
    # The zones' organisations by themselves: joined with the stays too, they would have the planner read a zone's index from end to end.
    source = f"""FROM (WITH w AS MATERIALIZED (
                     SELECT w.*, z.organisation_id FROM unnest(%(zone)s::bigint[], %(start)s::bigint[], %(end)s::bigint[]) AS w(zone_id, start, until)
                     JOIN engagement_zone z ON z.id = w.zone_id)
                 SELECT s.* FROM w JOIN analytics_stay s ON s.zone_id = w.zone_id AND s.organisation_id = w.organisation_id
                  AND s.started >= atrium_instant(w.start) AND s.started < atrium_instant(w.until)
                 WHERE {COUNTED} ORDER BY s.zone_id, s.started) s"""
    return Stays(**binary.fetch(cursor, _STAY, source, {"zone": zone, "start": start, "end": end}))


def with_flows(cursor: Cursor, made: dict[tuple[int, int, bool], Day], premises: Premises, pieces: Sequence[Piece] = ()) -> dict[tuple[int, int, bool], Day]:
    """The same days; those of roots of venues with the flows of their visits. `pieces` that are not whole days: what they were made of."""
    roots = {key: day for key, day in made.items() if key[0] in premises.inside and day.visits}
    if not roots:
        return made
    cut = {(piece.zone, piece.day): piece for piece in pieces}
    of = {key: cut.get(key[:2]) or whole(*key[:2], premises.clock[key[0]]) for key in roots}
    visits = stays_of(cursor, list({key[:2]: piece for key, piece in of.items()}.values()))
    visits = visits.take(visits.counted)
    within = [Piece(one, key[1], piece.clock, piece.start, roots[key].reach + 1) for key, piece in of.items() for one in premises.inside[key[0]]]
    inside = stays_of(cursor, within)
    inside = inside.take(inside.counted)
    parents = premises.parents(inside.zone, inside.started)
    found = dict(made)
    for key, piece in of.items():
        own = visits.take((visits.zone == key[0]) & (visits.started >= piece.start) & (visits.started < piece.end))
        own = own.take(piece.clock.is_open(own.started) == key[2])
        there = np.isin(inside.zone, premises.inside[key[0]]) & (inside.started >= piece.start) & (inside.started <= roots[key].reach)
        found[key] = replace(roots[key], flows=facts.flows(own, inside.take(there), parents[there]))
    return found


# Of a stay `s`. One look-up by an index for each stay, whoever else has left whom out: a list of all who are left out would be read for each day.
COUNTED: Final = """NOT EXISTS (SELECT 1 FROM analytics_regular r
                    WHERE r.organisation_id = s.organisation_id AND r.shopper_id = s.shopper_id AND r.state = 'confirmed')"""


def _joined(pieces: list[Piece]) -> tuple[list[int], list[int], list[int]]:
    """Neighbouring days of a zone as one interval: a scan of the index for each. What overlaps is read once."""
    zone: list[int] = []
    start: list[int] = []
    end: list[int] = []
    for piece in sorted(pieces, key=lambda piece: (piece.zone, piece.start)):
        if zone and zone[-1] == piece.zone and end[-1] >= piece.start:
            end[-1] = max(end[-1], piece.end)
        else:
            zone.append(piece.zone)
            start.append(piece.start)
            end.append(piece.end)
    return zone, start, end


def _together(cursor: Cursor, stored: dict[str, Any], live: set[Key], made: dict[tuple[int, int, bool], Day], names: list[str], part: bool | None) -> Days:
    kept = ~np.isin(single(stored["zone"], stored["day"]), np.array([single(*key) for key in live], dtype=np.int64))
    kept &= (stored["visits"] > 0) | (stored["pass_bys"] > 0) | (stored["restated_at"] > 0)
    if part is not None:
        kept &= stored["open"] == part
        made = {key: day for key, day in made.items() if key[2] == part}
    rows = {name: column[kept] for name, column in stored.items()}
    past = ~kept & (stored["restated_at"] > 0)
    restated = dict(zip(zip(stored["zone"][past].tolist(), stored["day"][past].tolist(), strict=True), stored["restated_at"][past].tolist(), strict=True))
    days = _days(rows, made, restated)
    _fill(cursor, days, names)
    return days


def _days(rows: dict[str, Any], made: dict[tuple[int, int, bool], Day], restated: dict[Key, int]) -> Days:
    """Stored and made entries in one order. `restated`: when the days were, as stored, whose stays are read instead."""
    keys, values = list(made), list(made.values())
    old = len(rows["zone"])
    fresh = {
        "zone": [key[0] for key in keys],
        "day": [key[1] for key in keys],
        "open": [key[2] for key in keys],
        "visits": [day.visits for day in values],
        "pass_bys": [day.pass_bys for day in values],
        "dwell_us": [day.dwell_us for day in values],
        "restated_at": [restated.get(key[:2], 0) for key in keys],
        "digest": [0] * len(keys),
    }
    joined = {name: np.concatenate((rows[name], np.array(column, dtype=rows[name].dtype))) for name, column in fresh.items()}
    order = np.lexsort((~joined["open"], joined["day"], joined["zone"]))
    live = {place: values[source - old] for place, source in enumerate(order.tolist()) if source >= old} if keys else {}
    sorted_rows: dict[str, Any] = {name: column[order] for name, column in joined.items()}
    return Days(**sorted_rows, live=live)


def _fill(cursor: Cursor, days: Days, names: list[str]) -> None:
    """Unpack the columns of all entries: those that were unpacked before from the cache, the others with one query."""
    zones, heads = np.unique(days.zone, return_index=True)
    runs = list(zip(zones.tolist(), heads.tolist(), np.append(heads, len(days))[1:].tolist(), strict=True))
    digests = days.digest.tolist()
    for name in names:
        days.columns[name] = [value for zone, low, high in runs for value in _cache.get((zone, name), digests[low:high])]
    for place in days.live:
        for name in names:
            days.columns[name][place] = getattr(days.live[place], name)
    missing = {name: [place for place, value in enumerate(days.columns[name]) if value is None] for name in names}
    if wanted := [name for name in names if missing[name]]:
        _fetch(cursor, days, np.array(sorted({place for name in wanted for place in missing[name]}), dtype=np.int64), wanted)


def _fetch(cursor: Cursor, days: Days, places: Ints, names: list[str]) -> None:
    """These columns of these entries, from the database, and into the cache. Entries that follow one another are one interval of the key."""
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(days.zone[places]) != 0)) + 1
    heads, tails = places[np.concatenate(([0], breaks))], places[np.concatenate((breaks - 1, [-1]))]
    at = dict(zip(zip(days.zone[places].tolist(), days.day[places].tolist(), days.open[places].tolist(), strict=True), places.tolist(), strict=True))
    cursor.execute(
        f"""SELECT d.zone_id, d.day - date '1970-01-01', d.open, {", ".join(f"d.{name}" for name in names)}
            FROM unnest(%(zone)s::bigint[], %(first)s::int[], %(last)s::int[]) AS w(zone_id, first, last)
            JOIN analytics_zoneday d ON d.zone_id = w.zone_id AND d.day BETWEEN date '1970-01-01' + w.first AND date '1970-01-01' + w.last""",
        {"zone": days.zone[heads].tolist(), "first": days.day[heads].tolist(), "last": days.day[tails].tolist()},
        binary=True,
    )
    digests = days.digest.tolist()
    fresh: dict[tuple[int, str], list[tuple[int, Any, int]]] = {}
    for zone, day, part, *packed in cursor:
        place = at.get((zone, day, part))
        if place is not None:
            for name, content in zip(names, packed, strict=True):
                value = days.columns[name][place] = _UNPACK[name](content)
                fresh.setdefault((zone, name), []).append((digests[place], value, getattr(value, "nbytes", len(content)) + _OVERHEAD))
    for shelf, values in fresh.items():
        _cache.put(shelf, values)


_cache: Final = Shelves(CACHE_BYTES)


def forget() -> None:
    """All that this process keeps of stored days."""
    _cache.clear()
    contents.forget()
