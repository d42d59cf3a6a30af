"""Who bought. A purchase is of a brand, and tells nothing of the store: it counts for whoever visited the place in the same period."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pyroaring import BitMap

from analytics import binary
from analytics.calendars import Clock
from analytics.reports.pieces import pieces
from analytics.reports.reading import Periods, Question, Reading, Subject, joined, periods, rate, union
from analytics.reports.unions import members_of
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total


def conversion(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Of the visitors of a period, those who also bought something of the zone's brand in it. Without a brand, there are no buyers and no rate.

    Opening hours part the visits, not the purchases. Raises periods.TooManyPeriods.
    """
    zones = [zone for subject in subjects for zone in subject.zones]
    days = reading.days(zones, question, ("dwell_hours", "dwell_shoppers", "hours") if question.grain == "hour" else ("members",))
    brands = _brands(reading, zones)
    purchases = _purchases(reading, zones, question, brands)
    answers = []
    for subject in subjects:
        cut = periods([reading.clock(zone) for zone in subject.zones], question)
        visitors: list[list[BitMap]] = [[] for _ in cut.labels]
        buyers: list[list[BitMap]] = [[] for _ in cut.labels]
        ever: list[BitMap] = []
        bought_and_came: list[BitMap] = []
        for (clock, brand), zones in _groups(reading, subject, brands).items():
            own = pieces(reading, zones, question, days, cut)
            came = own.members()
            paid = _by_place(purchases[brand], clock, question, cut) if brand else {}
            for place, members in enumerate(came):
                visitors[place].append(members)
                buyers[place].append(members & paid[place] if place in paid else BitMap())
            ever.append(union(came) if question.grain == "hour" else members_of(own.days))
            bought_and_came.append(ever[-1] & union(list(paid.values())))
        sold = any(zone in brands for zone in subject.zones)
        rows = [
            {"period": label, **_conversion(joined(some), joined(everybody), sold)} for label, some, everybody in zip(cut.labels, buyers, visitors, strict=True)
        ]
        answers.append({"rows": rows, "total": _conversion(joined(bought_and_came), joined(ever), sold)})
    return answers


def _conversion(buyers: BitMap, visitors: BitMap, sold: bool) -> dict[str, Any]:
    return {"buyers": len(buyers), "visitors": len(visitors), "rate": rate(len(buyers), len(visitors)) if sold else None}


def _brands(reading: Reading, zones: Iterable[int]) -> dict[int, int]:
    """The brands of those zones that have one."""
    return dict(
        reading.cursor.execute(
            "SELECT id, brand_id FROM engagement_zone WHERE organisation_id = %s AND id = ANY(%s) AND brand_id IS NOT NULL",
            [reading.organisation.pk, sorted(set(zones))],
        ).fetchall()
    )


def _groups(reading: Reading, subject: Subject, brands: dict[int, int]) -> dict[tuple[Clock, int], list[int]]:
    """The subject's zones by clock and brand (0: none): whether a purchase falls in the period of a visit, the visit's clock says."""
    found: dict[tuple[Clock, int], list[int]] = {}
    for zone in subject.zones:
        found.setdefault((reading.clock(zone), brands.get(zone, 0)), []).append(zone)
    return found


def _purchases(reading: Reading, zones: Iterable[int], question: Question, brands: dict[int, int]) -> dict[int, tuple[Ints, Ints]]:
    """By brand: who bought, and when, rising; in the range of any of the zones."""
    edges = [question.range.us(reading.clock(zone)) for zone in zones if zone in brands]
    if not edges:
        return {}
    found = binary.fetch(
        reading.cursor,
        {"brand": ("int8", "p.brand_id"), "shopper": ("int8", "p.shopper_id"), "at": ("timestamptz", "p.at")},
        """FROM engagement_purchase p WHERE p.organisation_id = %(organisation)s AND p.brand_id = ANY(%(brands)s)
            AND p.at >= atrium_instant(%(start)s) AND p.at < atrium_instant(%(end)s)""",
        {
            "organisation": reading.organisation.pk,
            "brands": sorted(set(brands.values())),
            "start": min(start for start, _ in edges),
            "end": max(end for _, end in edges),
        },
    )
    order = np.lexsort((found["at"], found["brand"]))
    known, begins = np.unique(found["brand"][order], return_index=True)
    parts = [np.split(found[name][order], begins[1:]) for name in ("shopper", "at")]
    nobody = np.empty(0, np.int64)
    return dict.fromkeys(brands.values(), (nobody, nobody)) | {brand: (who, at) for brand, who, at in zip(known.tolist(), *parts, strict=False)}


def _by_place(purchases: tuple[Ints, Ints], clock: Clock, question: Question, cut: Periods) -> dict[int, BitMap]:
    """Who bought in each period of the clock."""
    shopper, at = purchases
    low, high = np.searchsorted(at, question.range.us(clock))
    if high <= low:
        return {}
    place = cut.of_instants(clock, at[low:high])
    heads = np.flatnonzero(np.diff(place, prepend=-1))
    sets = np.split(shopper[low:high].astype(np.uint32), heads[1:])
    return {number: BitMap(one) for number, one in zip(place[heads].tolist(), sets, strict=True)}
