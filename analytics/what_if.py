"""One zone's stays of some shoppers under two settings, both made from the stored events by the code of the stream: places.observe, stays.fold.

Settings change what one zone sees. So only that zone is judged, with what lies below it (it sees what they see) and above it (an exit from
there cuts here). Times are microseconds since 1970.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import psycopg

from analytics import stays
from analytics.places import Observations, Places, Version
from analytics.stays import Bools, Chains, Ints
from analytics.stream import atlas, closing, events, presence
from analytics.stream.events import Stored, Windows

Connection = psycopg.Connection[tuple[Any, ...]]

DAY_US: Final = 86_400_000_000
BACK_WITHIN_US: Final = 600_000_000  # who comes back within ten minutes has hardly been away
LATE_CLOCKS_US: Final = 600_000_000  # no accepted event happens later than this after now


@dataclass(frozen=True, slots=True)
class Question:
    """The stays that start in [since, until) in a zone, and what is tried there: thresholds, and a boundary where that is tried too.

    `now` decides which stays are open.
    """

    organisation: int
    zone: int
    settings: dict[str, Any]
    since: int
    until: int
    now: int


@dataclass(frozen=True, slots=True)
class Ground:
    """The zone and those around it, as they were and as they would have been."""

    present: Places
    tried: Places
    same_sight: bool  # both see the same, and judge it differently
    narrower: bool  # whoever has a stay as tried has one at that time as it was


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two settings makes of some shoppers. Dwells, in microseconds, are those of closed counted stays."""

    visits: int
    visitors: int
    pass_bys: int
    came_back: int  # counted stays that begin at most ten minutes after the shopper's counted stay before
    dwells: Ints


def ground(connection: Connection, question: Question) -> Ground:
    versions, placements = atlas.rows(connection, question.organisation)
    near = _around(versions, question.zone)
    below = _below(near, question.zone)
    # What lies above is there for its exits alone.
    known = [v if v.zone in below else replace(v, boundary=None) for v in near]
    tried = [replace(v, **question.settings) if v.zone == question.zone else v for v in known]
    hung = [p for p in placements if p.zone in below]
    own = [v for v in known if v.zone == question.zone]
    judging = [v for v in own if v.valid_from < question.until and (v.valid_to is None or v.valid_to > question.since)]
    return Ground(
        present=Places(versions=known, placements=hung),
        tried=Places(versions=tried, placements=hung),
        same_sight=all(_sight(v) == _sight(replace(v, **question.settings)) for v in own),
        narrower=all(_opens_no_more(replace(v, **question.settings), v) for v in judging),
    )


def _sight(version: Version) -> tuple[Any, ...]:
    return version.enter_rssi, version.hold_rssi, version.max_accuracy_m, version.boundary


def _opens_no_more(tried: Version, version: Version) -> bool:
    return tried.enter_rssi >= version.enter_rssi and tried.max_accuracy_m <= version.max_accuracy_m and tried.boundary == version.boundary


def _around(versions: list[Version], zone: int) -> list[Version]:
    """Versions of the zone, and of all that ever lay above or below it."""
    kept = _below(versions, zone) | _above(versions, zone)
    return [v for v in versions if v.zone in kept]


def _below(versions: list[Version], zone: int) -> set[int]:
    found: set[int] = set()
    more = {zone}
    while more:
        found |= more
        more = {v.zone for v in versions if v.parent in more} - found
    return found


def _above(versions: list[Version], zone: int) -> set[int]:
    found: set[int] = set()
    more = {zone}
    while more:
        found |= more
        more = {v.parent for v in versions if v.zone in more and v.parent is not None} - found
    return found


def compare(connection: Connection, question: Question, places: Ground, shoppers: Ints) -> tuple[Side, Side, int]:
    """What the shoppers' stays are (as the reports count them) and what they would be; and how many events said so.

    `shoppers` is sorted. Ask in one snapshot: the events are read in several statements.
    """
    parts: list[tuple[Chains, Chains]] = []
    seen = 0
    for stored, both, settled in _settled(connection, question, places, shoppers):
        seen += int(np.isin(stored.shopper, settled).sum())
        parts.append((both[0].take(np.isin(both[0].shopper, settled)), both[1].take(np.isin(both[1].shopper, settled))))
    present, tried = ([part[number] for part in parts] for number in (0, 1))
    return _side(question, places.present, present), _side(question, places.tried, tried), seen


def _settled(connection: Connection, question: Question, places: Ground, shoppers: Ints) -> Iterator[tuple[Stored, tuple[Chains, Chains], Ints]]:
    """Read what surrounds the window. Shoppers with a chain that an edge of what was read may have cut are read again, wider, until none is."""
    margin = 2 * max(places.present.max_grace, places.tried.max_grace)
    reach = DAY_US
    beginning = closing.closed_at(connection, question.organisation)
    windows = Windows(shoppers, np.full(len(shoppers), max(question.since - margin, beginning)), np.full(len(shoppers), question.until + margin))
    while len(windows.shopper):
        stored = events.read(connection, windows)
        sight = _of_zone(places.present.observe(stored.events), question.zone)
        other = sight if places.same_sight else _of_zone(places.tried.observe(stored.events), question.zone)
        both = (_chains(sight, stored, places.present), _chains(other, stored, places.tried))
        first = _first(windows.shopper, stored, (sight, other))
        left, right = np.zeros(len(windows.shopper), np.bool_), np.zeros(len(windows.shopper), np.bool_)
        for chains in both:
            left |= _reaches_in(windows.shopper, chains, question.since)
            right |= _reaches_out(windows, chains, question.until)
        left &= (first - windows.since <= margin // 2) & (windows.since > beginning)
        right &= windows.until < question.now + LATE_CLOCKS_US
        wider = left | right
        yield stored, both, windows.shopper[~wider]
        since = np.maximum(np.where(left, windows.since - reach, windows.since), beginning)
        until = np.where(right, windows.until + reach, windows.until)
        windows = Windows(windows.shopper[wider], since[wider], until[wider])
        reach *= 2


def _of_zone(seen: Observations, zone: int) -> Observations:
    here, out = seen.zone == zone, seen.exit_zone == zone
    return replace(
        seen, event=seen.event[here], zone=seen.zone[here], opening=seen.opening[here], exit_event=seen.exit_event[out], exit_zone=seen.exit_zone[out]
    )


def _chains(seen: Observations, stored: Stored, places: Places) -> Chains:
    return stays.fold(*presence.segments_of(seen, stored.shopper, stored.events.occurred_at, places))


def _first(shoppers: Ints, stored: Stored, sights: tuple[Observations, Observations]) -> Ints:
    """The first observation of each shopper, of either side."""
    first = np.full(len(shoppers), presence.FAR_OFF)
    for seen in sights:
        np.minimum.at(first, np.searchsorted(shoppers, stored.shopper[seen.event]), stored.events.occurred_at[seen.event])
    return first


def _reaches_in(shoppers: Ints, chains: Chains, since: int) -> Bools:
    """Whose first chain, the only one that something earlier could belong to, has an observation in the window."""
    who, first = np.unique(chains.shopper, return_index=True)
    result: Bools = np.isin(shoppers, who[chains.ended[first] >= since])
    return result


def _reaches_out(windows: Windows, chains: Chains, until: int) -> Bools:
    """Who has a stay of the window that something later could belong to."""
    edge = windows.until[np.searchsorted(windows.shopper, chains.shopper)]
    result: Bools = np.isin(windows.shopper, chains.shopper[(chains.opened < until) & (chains.closes_at > edge)])
    return result


def _side(question: Question, places: Places, parts: list[Chains]) -> Side:
    if not parts:
        return Side(0, 0, 0, 0, np.empty(0, np.int64))
    chains = parts[0]
    for part in parts[1:]:
        chains = chains.join(part)
    chains = chains.take((chains.opened >= question.since) & (chains.opened < question.until))
    counted = chains.ended - chains.opened >= places.min_stay(chains.zone, chains.opened)
    visits = chains.take(counted)
    visits = visits.take(np.lexsort((visits.opened, visits.shopper)))
    again = (visits.shopper[1:] == visits.shopper[:-1]) & (visits.opened[1:] - visits.ended[:-1] <= BACK_WITHIN_US)
    closed = visits.closes_at < question.now
    return Side(
        visits=len(visits.shopper),
        visitors=len(np.unique(visits.shopper)),
        pass_bys=int((~counted).sum()),
        came_back=int(again.sum()),
        dwells=(visits.ended - visits.opened)[closed],
    )
