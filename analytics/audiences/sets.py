"""Who visited: sets of shopper numbers from zones' days, stored or read from their stays, exact at this instant. Confirmed staff are left out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from analytics import days
from analytics.audiences.tree import Edge, Range
from analytics.calendars import Clock, to_day, to_us
from analytics.days import ALWAYS, COUNTED, EVER, Cursor, Days, Span
from analytics.shelves import Shelves
from analytics.stays import Bools, Ints

Numbers = npt.NDArray[np.uint32]

CACHE_BYTES: Final = 64 * 1024 * 1024
DENSE: Final = 16  # a table of all numbers between the least and the greatest is quicker than sorting, until it is so many times as long
_kept: Final = Shelves(CACHE_BYTES)
forget: Final = _kept.clear

# Visits that are not over: their dwell so far. `w` are pieces of live days; organisations by themselves, as in days.stays_of.
_OPEN: Final = f"""
WITH w AS MATERIALIZED (
    SELECT w.*, z.organisation_id FROM unnest(%(zone)s::bigint[], %(day)s::int[], %(start)s::bigint[], %(until)s::bigint[]) AS w(zone_id, day, start, until)
    JOIN engagement_zone z ON z.id = w.zone_id)
SELECT w.day, s.shopper_id FROM w JOIN analytics_stay s ON s.zone_id = w.zone_id AND s.organisation_id = w.organisation_id
 AND s.started >= atrium_instant(w.start) AND s.started < atrium_instant(w.until)
WHERE s.counted AND s.closes_at >= atrium_instant(%(now)s) AND s.ended >= s.started + make_interval(secs => %(dwell)s / 1000000.0) AND {COUNTED}
"""


@dataclass(frozen=True, slots=True)
class Zone:
    number: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class Counts:
    """On how many days each shopper was there; those who were, in order."""

    who: Numbers
    days: Ints

    @classmethod
    def of(cls, daily: Iterable[Numbers]) -> "Counts":
        """Of each day's shoppers, each once."""
        listed = np.concatenate([np.empty(0, np.uint32), *daily])
        if not len(listed):
            return cls(listed, np.empty(0, np.int64))
        least, most = int(listed.min()), int(listed.max())
        if most - least > DENSE * len(listed):
            who, times = np.unique(listed, return_counts=True)
            return cls(who, times)
        times = np.bincount(listed - np.uint32(least))
        there = np.flatnonzero(times)
        return cls((there + least).astype(np.uint32), times[there])

    def at_least(self, days: int, more: "Counts") -> BitMap:
        """Who was there on so many days, those of `more` added."""
        found = BitMap(self.who[self.days >= days])
        if len(more.who):
            place = np.searchsorted(self.who, more.who)
            known = np.minimum(place, max(len(self.who) - 1, 0))
            before = np.where(self.who[known] == more.who, self.days[known], 0) if len(self.who) else np.zeros(len(more.who), np.int64)
            found |= BitMap(more.who[more.days + before >= days])
        return found


def edges(wanted: Range, clock: Clock, now: int) -> tuple[int, int]:
    """The range's first instant and its end, exclusive. `within_days` n: the n local days before today, and today."""
    if wanted.ago_at_most is not None or wanted.ago_at_least is not None:
        today = clock.day_of(now)
        start = ALWAYS if wanted.ago_at_most is None else clock.begin(today - wanted.ago_at_most)
        return start, clock.begin(today + 1 - (wanted.ago_at_least or 0))
    return ALWAYS if wanted.since is None else _us(wanted.since, clock), EVER if wanted.until is None else _us(wanted.until, clock)


def _us(edge: Edge, clock: Clock) -> int:
    return to_us(edge) if isinstance(edge, datetime) else clock.begin(to_day(edge))


class Visits:
    """The visits of one snapshot; days that were asked for once are remembered. `now`: microseconds since 1970."""

    def __init__(self, cursor: Cursor, now: int) -> None:
        self.cursor, self.now = cursor, now
        self._known: dict[tuple[tuple[Span, ...], tuple[str, ...]], Days] = {}

    def visited(self, zones: Iterable[Zone], wanted: Range, *, days_at_least: int = 1, dwell_us: int = 0) -> BitMap:
        """Whoever has so many local days with a visit that was so long. A day is counted once, whichever of the zones it was in."""
        return self._between(zones, lambda clock: edges(wanted, clock, self.now), days_at_least, dwell_us)

    def first(self, zones: Iterable[Zone], wanted: Range) -> BitMap:
        """Who visited in the range, and never before it. Of zones with several clocks, each by its own."""
        zones = list(zones)
        return self.visited(zones, wanted) - self._between(zones, lambda clock: (ALWAYS, edges(wanted, clock, self.now)[0]))

    def last(self, zones: Iterable[Zone], wanted: Range) -> BitMap:
        """Who visited in the range, and not since."""
        zones = list(zones)
        return self.visited(zones, wanted) - self._between(zones, lambda clock: (edges(wanted, clock, self.now)[1], EVER))

    def _between(self, zones: Iterable[Zone], cut: Callable[[Clock], tuple[int, int]], days_at_least: int = 1, dwell_us: int = 0) -> BitMap:
        spans = tuple(Span(zone.number, zone.clock, *cut(zone.clock)) for zone in sorted(zones, key=lambda zone: zone.number))
        spans = tuple(span for span in spans if span.start < span.end)
        if not spans:
            return BitMap()
        if days_at_least == 1 and not dwell_us:
            return BitMap.union(BitMap(), *self._days(spans, ("members",)).columns["members"])
        return self._often(spans, days_at_least, dwell_us)

    def _often(self, spans: tuple[Span, ...], days_at_least: int, dwell_us: int) -> BitMap:
        """Days that are settled are counted once, and kept by their contents; to them are added those that are not."""
        found = self._days(spans, ("dwells", "dwell_shoppers") if dwell_us else ("members",))
        unsettled = np.isin(found.day, sorted({int(found.day[place]) for place in found.live}))
        key = _digest(found, ~unsettled, dwell_us)
        [counts] = _kept.get((key, "visits"), [key])
        if counts is None:
            counts = Counts.of(_daily(found, ~unsettled, dwell_us, []))
            _kept.put((key, "visits"), [(key, counts, counts.who.nbytes + counts.days.nbytes)])
        open_ones = self._open(spans, found, dwell_us) if dwell_us else []
        settled: Counts = counts
        return settled.at_least(days_at_least, Counts.of(_daily(found, unsettled, dwell_us, open_ones)))

    def _days(self, spans: tuple[Span, ...], columns: tuple[str, ...]) -> Days:
        if (spans, columns) not in self._known:
            self._known[spans, columns] = days.read(self.cursor, spans, columns, now=self.now)
        return self._known[spans, columns]

    def _open(self, spans: tuple[Span, ...], found: Days, dwell_us: int) -> list[tuple[int, int]]:
        """Day and shopper of visits that are not over, and are so long already."""
        of = {span.zone: span for span in spans}
        here = {(int(found.zone[place]), int(found.day[place])) for place, day in found.live.items() if len(day.dwell_shoppers) > len(day.dwells)}
        if not here:
            return []
        keys = sorted(here)
        starts = [max(of[zone].start, of[zone].clock.begin(day)) for zone, day in keys]
        untils = [min(of[zone].end, of[zone].clock.begin(day + 1)) for zone, day in keys]
        asked = {"zone": [zone for zone, _ in keys], "day": [day for _, day in keys], "start": starts, "until": untils, "now": self.now, "dwell": dwell_us}
        return self.cursor.execute(_OPEN, asked).fetchall()


def _digest(found: Days, chosen: Bools, dwell_us: int) -> int:
    """Of the contents of these days, as stored."""
    told = b"".join(column[chosen].tobytes() for column in (found.zone, found.day, found.digest))
    return int.from_bytes(blake2b(told + dwell_us.to_bytes(8, "little"), digest_size=16).digest(), "little")


def _daily(found: Days, chosen: Bools, dwell_us: int, open_ones: list[tuple[int, int]]) -> Iterable[Numbers]:
    """The shoppers of each of these days, each once, whichever zones and parts of the day they were in."""
    places: dict[int, list[int]] = {}
    for place in np.flatnonzero(chosen).tolist():
        places.setdefault(int(found.day[place]), []).append(place)
    for day, its in places.items():
        if not dwell_us:
            members = found.columns["members"]
            sets = [members[place] for place in its]
        else:
            sets = [_long(found.columns["dwells"][place], found.columns["dwell_shoppers"][place], dwell_us) for place in its]
            sets.append(BitMap([shopper for one, shopper in open_ones if one == day]))
        yield np.asarray((sets[0] if len(sets) == 1 else BitMap.union(*sets)).to_array(), dtype=np.uint32)


def _long(dwells: Ints, shoppers: Ints, dwell_us: int) -> BitMap:
    """Dwells rise; after them are those of visits that are not over."""
    return BitMap(shoppers[np.searchsorted(dwells, dwell_us) : len(dwells)].astype(np.uint32))
