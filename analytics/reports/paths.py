"""From place to place: who came in from outside or above, who went where, and who visited both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from pyroaring import BitMap

from analytics import days as zone_days
from analytics import facts
from analytics.calendars import Clock
from analytics.days import Days, Piece
from analytics.reports.pieces import flat, pieces
from analytics.reports.presence import begins_of
from analytics.reports.reading import Question, Reading, Subject, periods, rate, union
from analytics.reports.unions import members_of
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total


def capture(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Visitors beside those of the zone directly above (at the range's end, or now), which `above` counts; null where nothing lies above.
    Of a brand, all its stores' visitors beside those of all zones above them. Raises periods.TooManyPeriods."""
    above = {subject: sorted({one for zone in subject.zones if (one := _above(reading, zone, question))}) for subject in subjects}
    zones = [zone for subject in subjects for zone in (*subject.zones, *above[subject])]
    days = reading.days(zones, question, ("dwell_hours", "dwell_shoppers", "hours") if question.grain == "hour" else ("members",))
    counted: dict[Any, tuple[list[int], int]] = {}  # twenty stores of a floor have one zone above them
    answers = []
    for subject in subjects:
        own = pieces(reading, subject.zones, question, days)
        inside, outside = own.members(), tuple(above[subject])
        known = outside, frozenset(reading.clock(zone) for zone in subject.zones)
        if outside and known not in counted:
            around = pieces(reading, outside, question, days, own.cut).members()
            counted[known] = [len(one) for one in around], len(union(around))
        of, of_all = counted[known] if outside else ([None] * len(inside), None)
        rows = [{"period": label, **_capture(len(one), each)} for label, one, each in zip(own.labels, inside, of, strict=True)]
        answers.append({"rows": rows, "total": _capture(len(union(inside)), of_all)})
    return answers


def _capture(visitors: int, above: int | None) -> dict[str, Any]:
    return {"visitors": visitors, "above": above, "rate": rate(visitors, above or 0)}


def _above(reading: Reading, zone: int, question: Question) -> int:
    at = min(question.range.us(reading.clock(zone))[1], reading.now)
    return int(reading.premises.parents(np.array([zone]), np.array([at]))[0])


def passers_by(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Who was seen in the street, and did not visit the venue at any time of that local day. Raises periods.TooManyPeriods."""
    streets = _streets(reading, subjects)
    listed = sorted({street for found in streets.values() for street in found})
    seen = _seen_by_hour(reading, listed, question) if question.grain == "hour" else _seen_by_day(reading, listed, question)
    visited = _visitors_of_days(reading, listed, question)
    answers = []
    for subject in subjects:
        cut = periods([reading.clock(zone) for zone in subject.zones], question)
        outside: list[list[BitMap]] = [[] for _ in cut.labels]
        for street in streets[subject]:
            for place, day, people in seen[street]:
                outside[place].append(people - visited.get((reading.premises.root[street], day), BitMap()))
        passed = [union(sets) for sets in outside]
        rows = [{"period": label, "passers_by": len(one)} for label, one in zip(cut.labels, passed, strict=True)]
        answers.append({"rows": rows, "total": {"passers_by": len(union(passed))}})
    return answers


def _streets(reading: Reading, subjects: Sequence[Subject]) -> dict[Subject, list[int]]:
    """Of a venue all its streets, of a street itself; no others have any."""
    root = reading.premises.root
    rows = reading.cursor.execute(
        "SELECT id FROM engagement_zone WHERE kind = 'street' AND organisation_id = %s AND id = ANY(%s) ORDER BY id", [reading.organisation.pk, list(root)]
    ).fetchall()
    return {subject: [street for (street,) in rows if street in subject.zones or root[street] in subject.zones] for subject in subjects}


Seen = dict[int, list[tuple[int, int, BitMap]]]  # street -> place of the period, local day, people


def _seen_by_day(reading: Reading, streets: list[int], question: Question) -> Seen:
    days = reading.days(streets, question, ("members", "passed"))
    found: Seen = {}
    for street in streets:
        own = pieces(reading, [street], question, days)
        people = [one | other for one, other in zip(own.days.columns["members"], own.days.columns["passed"], strict=True)]
        found[street] = list(zip(own.place.tolist(), own.days.day.tolist(), people, strict=True))
    return found


def _seen_by_hour(reading: Reading, streets: list[int], question: Question) -> Seen:
    """From the stays themselves: a zone's day does not keep the hours of those who only passed."""
    reading.days(streets, question, ())  # when they were restated
    whole = [Piece(street, 0, reading.clock(street), *question.range.us(reading.clock(street))) for street in streets]
    stays = zone_days.stays_of(reading.cursor, [piece for piece in whole if piece.start < piece.end])
    found: Seen = {}
    for street in streets:
        clock = reading.clock(street)
        own = stays.take(stays.zone == street)
        if question.part is not None:
            own = own.take(clock.is_open(own.started) == question.part)
        place = periods([clock], question).of_instants(clock, own.started) if len(own.started) else own.started
        heads = np.flatnonzero(np.diff(place, prepend=-1))  # by start, so by hour
        sets = [BitMap(one.astype(np.uint32)) for one in np.split(own.shopper, heads[1:])] if len(heads) else []
        found[street] = list(zip(place[heads].tolist(), clock.days_of(own.started[heads]).tolist(), sets, strict=True))
    return found


def _visitors_of_days(reading: Reading, streets: list[int], question: Question) -> dict[tuple[int, int], BitMap]:
    """Who visited the streets' venues on each day that meets the range: by root and day."""

    def whole_days(clock: Clock) -> tuple[int, int]:
        start, end = question.range.us(clock)
        return clock.begin(clock.day_of(start)), clock.begin(clock.day_of(end - 1) + 1)

    days = reading.between({reading.premises.root[street] for street in streets}, whole_days, ("members",), part=None)
    found: dict[tuple[int, int], BitMap] = {}
    for root, day, members in zip(days.zone.tolist(), days.day.tolist(), days.columns["members"], strict=True):
        found[root, day] = found[root, day] | members if (root, day) in found else members
    return found


def cross_visits(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """One answer about all subjects: of every two, who visited both in the range. Of one subject alone, its stores are taken."""
    named = _stores(reading, subjects[0], question) if len(subjects) == 1 else {subject.key: subject.zones for subject in subjects}
    days = reading.days([zone for zones in named.values() for zone in zones], question, ("members",))
    members = {key: members_of(days.of(zones)) for key, zones in named.items()}
    rows = [{"a": a, "b": b, "visitors": members[a].intersection_cardinality(members[b])} for a, b in combinations(named, 2)]
    return [{"rows": rows, "total": {}}]


def _stores(reading: Reading, subject: Subject, question: Question) -> dict[str, tuple[int, ...]]:
    """A brand's stores; or those in a zone, however deep, at the range's end or now."""
    premises = reading.premises
    rows = reading.cursor.execute(
        "SELECT id, key FROM engagement_zone WHERE kind = 'store' AND organisation_id = %s AND id = ANY(%s) ORDER BY key",
        [reading.organisation.pk, list(premises.root)],
    ).fetchall()
    if subject.kind == "brand":
        return {key: (zone,) for zone, key in rows if zone in subject.zones}
    [top] = subject.zones
    at = min(question.range.us(reading.clock(top))[1], reading.now)
    found: dict[str, tuple[int, ...]] = {}
    for zone, key in rows:
        above = zone
        while above and above != top:
            above = int(premises.parents(np.array([above]), np.array([at]))[0])
        if above == top and zone != top:
            found[key] = (zone,)
    return found


@dataclass(frozen=True, slots=True)
class Steps:
    """From zone to zone, and how often."""

    origin: Ints
    target: Ints
    number: Ints


def flows(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Of a venue, between all zones that lie side by side anywhere in it; of another zone, between those directly in it. The most used first."""
    root = reading.premises.root
    days = reading.days({root[zone] for subject in subjects for zone in subject.zones}, question, ("flows",), flows=True)
    named = "SELECT id, key FROM engagement_zone WHERE organisation_id = %s AND id = ANY(%s)"
    keys: dict[int, str] = dict(reading.cursor.execute(named, [reading.organisation.pk, list(root)]).fetchall())
    answers = []
    whole: dict[tuple[int, int], Steps] = {}  # of a venue between two moves of its zones: twenty zones of it ask for the same
    for subject in subjects:
        found = [
            steps
            for zone in subject.zones
            for steps in ([_added(days.of([zone]).columns["flows"])] if root[zone] == zone else _directly_in(reading, zone, days, question, whole))
        ]
        joined = [flat([getattr(steps, name) for steps in found]) for name in ("origin", "target", "number")]
        rows = [
            {"from": keys[origin], "to": keys[target], "visits": number}
            for origin, target, number in zip(*facts.total_flows(np.stack(joined)).tolist(), strict=True)
        ]
        rows.sort(key=lambda row: (-row["visits"], row["from"], row["to"]))
        answers.append({"rows": rows, "total": {"visits": sum(row["visits"] for row in rows)}})
    return answers


def _added(columns: Sequence[Ints]) -> Steps:
    """The flows of many days, each pair once. By a table of all pairs: sorting those of a mall's year takes ten times as long."""
    origin, target, number = np.concatenate(columns, axis=1) if columns else np.empty((3, 0), np.int64)
    if not len(origin):
        return Steps(origin, target, number)
    least = min(int(origin.min()), int(target.min()))
    here = np.zeros(max(int(origin.max()), int(target.max())) - least + 1, np.bool_)
    here[origin - least] = here[target - least] = True
    zones, rank = np.flatnonzero(here) + least, np.cumsum(here) - 1
    many = np.bincount(rank[origin - least] * len(zones) + rank[target - least], weights=number, minlength=len(zones) ** 2).astype(np.int64)
    used = np.flatnonzero(many)
    return Steps(zones[used // len(zones)], zones[used % len(zones)], many[used])


def _directly_in(reading: Reading, zone: int, days: Days, question: Question, whole: dict[tuple[int, int], Steps]) -> Iterable[Steps]:
    """Flows between zones that lay directly in this one. Of days on which zones were moved, the stays are asked."""
    premises, root = reading.premises, reading.premises.root[zone]
    clock = reading.clock(root)
    moved = _moves(reading, root)
    across_days = _days_across(reading, root, days, moved) if len(moved) else set()
    days = days.of([root])
    begins = begins_of(clock, days.day)
    across = np.isin(days.day, sorted(across_days))
    epoch = np.searchsorted(moved, begins, side="right")
    for one in np.unique(epoch[~across]).tolist():
        if (root, one) not in whole:
            whole[root, one] = _added([days.columns["flows"][place] for place in np.flatnonzero((epoch == one) & ~across).tolist()])
        steps = whole[root, one]
        at = int(begins[epoch == one][0])
        inside = premises.parents(steps.origin, np.full(len(steps.origin), at)) == zone
        yield Steps(steps.origin[inside], steps.target[inside], steps.number[inside])
    if across.any():
        start, end = question.range.us(clock)
        cut = [Piece(root, day, clock, max(start, clock.begin(day)), min(end, clock.begin(day + 1))) for day in np.unique(days.day[across]).tolist()]
        only = {one: (since, np.where(parent == zone, zone, 0)) for one, (since, parent) in premises.above.items()}
        made = zone_days.with_flows(reading.cursor, zone_days.make(reading.cursor, cut, now=reading.now), replace(premises, above=only), cut)
        yield _added([day.flows for (_, _, part), day in made.items() if question.part in (None, part)])


def _moves(reading: Reading, root: int) -> Ints:
    """The instants at which a zone of the venue came to lie in another one."""
    moves = [since[1:][np.diff(parent) != 0] for since, parent in (reading.premises.above[zone] for zone in reading.premises.inside[root])]
    return np.unique(flat(moves))


def _days_across(reading: Reading, root: int, days: Days, moved: Ints) -> set[int]:
    """Days with a visit that lasts over such an instant."""
    clock = reading.clock(root)
    live = [(int(days.day[place]), day.reach) for place, day in days.live.items() if days.zone[place] == root]
    found = {day for day, reach in live if ((moved > clock.begin(day)) & (moved <= reach)).any()}
    rows = reading.cursor.execute(
        """SELECT d.day - date '1970-01-01' FROM unnest(%s::bigint[], %s::int[]) AS w(moved, day)
           JOIN analytics_zoneday d ON d.zone_id = %s AND d.day <= date '1970-01-01' + w.day AND d.reach >= atrium_instant(w.moved)""",
        [moved.tolist(), clock.days_of(moved).tolist(), root],
    )
    return found | {day for (day,) in rows.fetchall()}
