"""The stays of one zone that start on one local day, as figures and packed columns; and back. Pure: no Django, no clock, no database.

A day's facts are a function of its stays (and, for dwell and occupancy, of the clock while a stay is open). Times are integer
microseconds since 1970, UTC; dwells microseconds. A shopper's *number* is his primary key, and must fit 32 bits: roaring bitmaps hold such.
"""

import hashlib
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from analytics.stays import Bools, Columns, Ints

Array = npt.NDArray[np.generic]

MINUTE: Final = 60_000_000
HOUR: Final = 60 * MINUTE
QUARTER: Final = 15 * MINUTE
# Beginnings of the classes of dwell: under 5, 5-15, 15-30, 30-60 and over 60 minutes. A dwell of exactly 60 minutes is in the fourth.
CLASS_ENDS: Final = np.array([5, 15, 30], dtype=np.int64) * MINUTE  # the class begins at its end: 5 minutes are in 5-15
CLASSES: Final = 5
MOST: Final = 2**32 - 1
_WIDTHS: Final = ("<u1", "<u2", "<u4", "<i8")
_UNITS: Final = (1, 1_000, 1_000_000)  # microseconds, whole milliseconds, whole seconds


class NumberTooLarge(Exception):
    """A shopper's number does not fit 32 bits."""


@dataclass(frozen=True, slots=True)
class Stays(Columns):
    """Stays as columns, of any zones."""

    shopper: Ints
    zone: Ints
    started: Ints
    ended: Ints
    closes_at: Ints
    counted: Bools


@dataclass(frozen=True, slots=True)
class Day:
    """One zone's local day, or a part of it. Arrays of `dwell_*` have one entry a visit: the closed ones first, in order of dwell."""

    pass_bys: int
    members: BitMap
    passed: BitMap
    class_sets: tuple[BitMap, ...]
    classes: Ints
    hours: Ints  # 2 x the day's hours: visits, pass-bys
    firsts: Ints  # since the day's first instant
    dwells: Ints
    dwell_hours: Ints
    dwell_shoppers: Ints
    presence: Ints
    activity: Ints
    reach: int  # when the last visit ended; of open ones so far
    settles_at: int  # the first instant at which none of the stays is open
    flows: Ints = field(default_factory=lambda: np.empty((3, 0), np.int64))  # of a root: from, to, number

    @property
    def visits(self) -> int:
        return len(self.dwell_shoppers)

    @property
    def visitors(self) -> int:
        return len(self.members)

    @property
    def dwell_us(self) -> int:
        return int(self.dwells.sum())

    def columns(self) -> dict[str, bytes]:
        """The packed columns of analytics.ZoneDay."""
        return {
            "classes": pack(self.classes),
            "hours": pack(self.hours),
            "members": pack_set(self.members),
            "passed": pack_set(self.passed),
            "class_sets": pack_sets(self.class_sets),
            "firsts": pack(self.firsts),
            "dwells": pack(self.dwells),
            "dwell_hours": pack(self.dwell_hours),
            "dwell_shoppers": pack(self.dwell_shoppers),
            "presence": pack(self.presence),
            "activity": pack(self.activity),
            "flows": pack(self.flows.ravel()),
        }


def digest(columns: dict[str, bytes]) -> int:
    """64 bits that tell one content from another."""
    whole = hashlib.blake2b(digest_size=8)
    for name, value in sorted(columns.items()):
        whole.update(f"{name}:{len(value)};".encode() + value)
    return int.from_bytes(whole.digest(), "little", signed=True)


def build(stays: Stays, *, begin: int, hours: Ints, now: int) -> Day:
    """Facts of the stays, all of one zone. `begin` is the first instant of their local day, `hours` the beginnings of its hours.

    `now` decides which stays are open: what closes_at has not passed. An open stay has no dwell yet, and is present until now.
    """
    order = np.lexsort((stays.shopper, stays.started))
    s = stays.take(order)
    if len(s.shopper) and (s.shopper.max() > MOST or s.shopper.min() < 0):
        raise NumberTooLarge
    open_now = s.closes_at >= now
    hour = np.searchsorted(hours, s.started, side="right") - 1
    visit = s.counted
    members, first_at = np.unique(s.shopper[visit], return_index=True)
    closed = visit & ~open_now
    dwell = s.ended - s.started
    rising = np.flatnonzero(closed)[np.lexsort((s.shopper[closed], dwell[closed]))]
    placed = np.concatenate((rising, np.flatnonzero(visit & open_now)))
    kind = classes_of(dwell[rising])
    numbers = s.shopper.astype(np.uint32)
    return Day(
        pass_bys=int((~visit).sum()),
        members=BitMap(members.astype(np.uint32)),
        passed=BitMap(np.unique(numbers[~visit])),
        class_sets=tuple(BitMap(np.unique(numbers[rising[kind == each]])) for each in range(CLASSES)),
        classes=np.bincount(kind, minlength=CLASSES),
        hours=np.concatenate((np.bincount(hour[visit], minlength=len(hours)), np.bincount(hour[~visit], minlength=len(hours)))),
        firsts=s.started[visit][first_at] - begin,
        dwells=dwell[rising],
        dwell_hours=hour[placed],
        dwell_shoppers=s.shopper[placed],
        presence=_presence(s.take(visit | open_now), open_now[visit | open_now], begin=begin, now=now),
        activity=_activity(s, begin=begin),
        reach=int(s.ended[visit].max()) if visit.any() else begin,
        settles_at=int(s.closes_at.max()) + 1 if len(s.closes_at) else begin,
    )


def classes_of(dwell: Ints) -> Ints:
    """The class of each dwell, from 0. Sixty minutes are not over 60 minutes, so the last class begins a microsecond later."""
    return np.searchsorted(CLASS_ENDS, dwell, side="right").astype(np.int64) + (dwell > 60 * MINUTE)


def _presence(s: Stays, open_now: Bools, *, begin: int, now: int) -> Ints:
    """How many of the stays are there at begin, begin + 15 min and so on: started by then, and not ended before. Open ones last until now."""
    until = np.where(open_now, np.maximum(s.ended, now), s.ended)
    first = -((begin - s.started) // QUARTER)  # the first quarter at or after the start
    last = (until - begin) // QUARTER  # the last one at or before the end
    return _levels(first, last)


def _activity(s: Stays, *, begin: int) -> Ints:
    """How many of the stays, also the short ones, touch each hour since begin."""
    return _levels((s.started - begin) // HOUR, (s.ended - begin) // HOUR)


def _levels(first: Ints, last: Ints) -> Ints:
    there = last >= first
    if not there.any():
        return np.empty(0, np.int64)
    size = int(last[there].max()) + 2
    steps = np.bincount(first[there], minlength=size) - np.bincount(last[there] + 1, minlength=size)
    return np.cumsum(steps)[:-1]


def flows(visits: Stays, inside: Stays, parent: Ints) -> Ints:
    """Flows from zone to zone: a 3 x n array of from, to and number, in order.

    `visits` are visits to one venue; `inside` counted stays in zones of that venue, and `parent` the zone directly above each at its start
    (0: none). Consecutive stays of one visit in siblings, by start; a stay again in the same zone is no flow.
    """
    v = visits.take(np.lexsort((visits.started, visits.shopper)))
    # A stay belongs to the last visit of its shopper that began by then, if that one lasted so long.
    shopper = np.concatenate((v.shopper, inside.shopper))
    started = np.concatenate((v.started, inside.started))
    is_stay = np.concatenate((np.zeros(len(v.shopper), np.int8), np.ones(len(inside.shopper), np.int8)))
    order = np.lexsort((is_stay, started, shopper))
    latest = np.maximum.accumulate(np.where(is_stay[order] == 0, order, -1)) if len(order) else order
    visit = np.full(len(inside.shopper), -1, np.int64)
    stay = is_stay[order] == 1
    visit[order[stay] - len(v.shopper)] = latest[stay]
    belongs = (visit >= 0) & (parent > 0)
    belongs[belongs] &= (v.shopper[visit[belongs]] == inside.shopper[belongs]) & (inside.started[belongs] <= v.ended[visit[belongs]])
    of, above, zone, when = visit[belongs], parent[belongs], inside.zone[belongs], inside.started[belongs]
    order = np.lexsort((zone, when, above, of))
    of, above, zone = of[order], above[order], zone[order]
    follows = (of[1:] == of[:-1]) & (above[1:] == above[:-1]) & (zone[1:] != zone[:-1])
    return total_flows(np.stack((zone[:-1][follows], zone[1:][follows], np.ones(int(follows.sum()), np.int64))))


def total_flows(rows: Ints) -> Ints:
    """Rows of from, to and number with each pair once, in order."""
    if not rows.shape[1]:
        return rows
    order = np.lexsort((rows[1], rows[0]))
    rows = rows[:, order]
    heads = np.flatnonzero(np.concatenate(([True], (np.diff(rows[0]) != 0) | (np.diff(rows[1]) != 0))))
    return np.stack((rows[0][heads], rows[1][heads], np.add.reduceat(rows[2], heads)))


def pack(values: Ints) -> bytes:
    """Whole numbers in the fewest bytes that hold all of them exactly: one byte for the unit, one for the width, then the numbers."""
    if not len(values):
        return b""
    unit = 0
    while unit + 1 < len(_UNITS) and not (values % _UNITS[unit + 1]).any():
        unit += 1
    scaled = values // _UNITS[unit]
    low, high = int(scaled.min()), int(scaled.max())
    width = next(i for i, dtype in enumerate(_WIDTHS) if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)
    return bytes((unit, width)) + scaled.astype(_WIDTHS[width]).tobytes()


def unpack(packed: bytes) -> Ints:
    if not packed:
        return np.empty(0, np.int64)
    values = np.frombuffer(packed, _WIDTHS[packed[1]], offset=2).astype(np.int64)
    return values if packed[0] == 0 else values * _UNITS[packed[0]]


def pack_set(members: BitMap) -> bytes:
    if not members:
        return b""
    members.run_optimize()
    return members.serialize()


def unpack_set(packed: bytes) -> BitMap:
    return BitMap.deserialize(packed) if packed else BitMap()


def pack_sets(sets: tuple[BitMap, ...]) -> bytes:
    """Each behind its length, four bytes."""
    return b"".join(len(one).to_bytes(4, "little") + one for one in map(pack_set, sets)) if any(sets) else b""


def unpack_sets(packed: bytes) -> tuple[BitMap, ...]:
    found, at = [], 0
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "little")
        found.append(unpack_set(packed[at + 4 : at + 4 + size]))
        at += 4 + size
    return tuple(found) or tuple(BitMap() for _ in range(CLASSES))


def unpack_flows(packed: bytes) -> Ints:
    return unpack(packed).reshape(3, -1)


COLUMNS: Final = tuple(one.name for one in fields(Day) if one.name not in ("pass_bys", "reach", "settles_at"))
