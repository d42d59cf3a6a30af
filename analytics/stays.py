"""The one law: observations and the stays they touch, to the stays they make. Pure numpy; no Django, no clock, no database.

A *segment* is a run of observations that is known to be one chain's: a single observation (first = last), or a stored stay
(first = opened = started, last = ended). Times are integer microseconds since 1970, UTC.
"""

from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays of equal length, one for each field: a table without rows of its own."""

    def take(self, chosen: Bools | Ints) -> Self:
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def join(self, other: Self) -> Self:
        return replace(self, **{field.name: np.concatenate((getattr(self, field.name), getattr(other, field.name))) for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Segments(Columns):
    """Within a shopper and zone, segments may touch but not overlap."""

    shopper: Ints
    zone: Ints
    first: Ints
    last: Ints
    opened: Ints  # the first opening observation, or NEVER
    grace: Ints  # exit grace in microseconds, of the zone's version valid at `last`


@dataclass(frozen=True, slots=True)
class Cuts(Columns):
    """Instants of exits: an observation at or before one and an observation after it are never in one chain."""

    shopper: Ints
    zone: Ints
    at: Ints


@dataclass(frozen=True, slots=True)
class Chains(Columns):
    """Chains in order of shopper, zone and time. Those with `opened` = NEVER are no stays."""

    shopper: Ints
    zone: Ints
    opened: Ints  # the stay's start
    ended: Ints
    closes_at: Ints  # the last instant at which an observation would still extend the chain
    cut: Bools  # closes_at is an exit


def fold(segments: Segments, cuts: Cuts) -> Chains:
    """The chains that the segments make: a longest run in which each follows the one before within its grace and without an exit between."""
    if not len(segments.first):
        empty = np.empty(0, np.int64)
        return Chains(empty, empty, empty, empty, empty, empty.astype(np.bool_))
    order = np.lexsort((segments.last, segments.first, segments.zone, segments.shopper))
    s = segments.take(order)
    next_cut = _next_cut(s, cuts)
    linked = (
        (s.shopper[1:] == s.shopper[:-1])
        & (s.zone[1:] == s.zone[:-1])
        & (s.first[1:] - s.last[:-1] <= s.grace[:-1])
        & (next_cut[:-1] >= s.first[1:])  # an exit at the instant of the later observation does not part them
    )
    heads = np.flatnonzero(np.concatenate(([True], ~linked)))
    tails = np.append(heads[1:], len(s.first)) - 1
    ended = s.last[tails]
    by_grace = ended + s.grace[tails]
    by_exit = next_cut[tails]
    return Chains(
        shopper=s.shopper[heads],
        zone=s.zone[heads],
        opened=np.minimum.reduceat(s.opened, heads),
        ended=ended,
        closes_at=np.minimum(by_grace, by_exit),
        cut=by_exit <= by_grace,
    )


def _next_cut(s: Segments, cuts: Cuts) -> Ints:
    """For each segment of the sorted `s`: the earliest cut of its shopper and zone at or after its `last`, or NEVER."""
    n, m = len(s.last), len(cuts.at)
    result = np.full(n, NEVER, np.int64)
    if not m:
        return result
    shopper = np.concatenate((s.shopper, cuts.shopper))
    zone = np.concatenate((s.zone, cuts.zone))
    at = np.concatenate((s.last, cuts.at))
    is_cut = np.concatenate((np.zeros(n, np.int8), np.ones(m, np.int8)))  # at one instant, segments come first
    order = np.lexsort((is_cut, at, zone, shopper))
    place_of_cut = np.where(is_cut[order] == 1, np.arange(n + m), n + m)
    following = np.minimum.accumulate(place_of_cut[::-1])[::-1]
    source = order[np.minimum(following, n + m - 1)]
    found = (following < n + m) & (shopper[source] == shopper[order]) & (zone[source] == zone[order])
    segment = order < n
    result[order[segment]] = np.where(found, at[source], NEVER)[segment]
    return result
