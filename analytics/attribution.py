"""Which visits and purchases belong to which message.

Somebody told at an instant t has come when a counted stay of his, in one of the places, starts in [t, t + N days): at t, and no longer at its
end. A day is 24 hours here, on whatever clock: everybody's window is of the same length. The places are the zones of the campaign's brand;
where it has none, the organisation's venues. Bought is the same of purchases: of the brand, or of any. Staff and residents are left out of both
groups, as of every figure.

Stays are read as they are now: where late events, a merge or an erasure change them, so does what is told here. Everything is done to whole
columns, since a campaign may have a million people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary
from analytics.days import COUNTED
from analytics.stays import Bools, Columns, Ints

Cursor = psycopg.Cursor[tuple[Any, ...]]
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Told(Columns):
    """Who was told something, or would have been, and when: microseconds since 1970. In any order; somebody may be in it several times."""

    shopper: Ints
    at: Ints


@dataclass(frozen=True, slots=True)
class Deeds(Columns):
    """What people did, from when until when; a purchase has no length."""

    shopper: Ints
    started: Ints
    ended: Ints


@dataclass(frozen=True, slots=True)
class Claims(Columns):
    """A message, and a deed that lies in its window: one row for each such pair. `by` is the campaign's number."""

    shopper: Ints
    started: Ints
    ended: Ints
    told_at: Ints
    by: Ints


@dataclass(frozen=True, slots=True)
class Credit:
    """Of the deeds that a campaign claims (each once): how many others claim too, and how many are its own by the last message before them."""

    claimed: int
    shared: int
    unique: int


def places(cursor: Cursor, *, organisation: int, brand: int | None) -> list[int]:
    """The zones of the brand; without one, the roots of the organisation's venues."""
    wanted = "brand_id = %(brand)s" if brand is not None else "kind = 'venue'"
    found = cursor.execute(
        f"SELECT id FROM engagement_zone WHERE organisation_id = %(organisation)s AND {wanted} ORDER BY id", {"organisation": organisation, "brand": brand}
    )
    return [zone for (zone,) in found.fetchall()]


def visits(cursor: Cursor, *, organisation: int, zones: Sequence[int], start: int, end: int) -> Deeds:
    """Counted stays that start in [start, end)."""
    found = binary.fetch(
        cursor,
        {"shopper": ("int8", "s.shopper_id"), "started": ("timestamptz", "s.started"), "ended": ("timestamptz", "s.ended")},
        f"""FROM analytics_stay s WHERE s.zone_id = ANY(%(zones)s) AND s.organisation_id = %(organisation)s AND s.counted
             AND s.started >= atrium_instant(%(start)s) AND s.started < atrium_instant(%(end)s) AND {COUNTED}""",
        {"organisation": organisation, "zones": list(zones), "start": start, "end": end},
    )
    return Deeds(**found)


def purchases(cursor: Cursor, *, organisation: int, brand: int | None, start: int, end: int) -> Deeds:
    """Purchases in [start, end): of the brand, or of any."""
    found = binary.fetch(
        cursor,
        {"shopper": ("int8", "p.shopper_id"), "started": ("timestamptz", "p.at"), "ended": ("timestamptz", "p.at")},
        """FROM engagement_purchase p WHERE p.organisation_id = %(organisation)s
            AND p.brand_id IN (SELECT id FROM engagement_brand WHERE organisation_id = %(organisation)s AND (%(brand)s::bigint IS NULL OR id = %(brand)s))
            AND p.at >= atrium_instant(%(start)s) AND p.at < atrium_instant(%(end)s)""",
        {"organisation": organisation, "brand": brand, "start": start, "end": end},
    )
    return Deeds(**found)


def left_out(cursor: Cursor, *, organisation: int) -> Ints:
    """Staff and residents, whom no figure counts."""
    return binary.fetch(
        cursor,
        {"shopper": ("int8", "r.shopper_id")},
        "FROM analytics_regular r WHERE r.organisation_id = %(organisation)s AND r.state = 'confirmed'",
        {"organisation": organisation},
    )["shopper"]


def pairs(told: Told, deeds: Deeds, *, days: int) -> tuple[Ints, Ints]:
    """Every pair of somebody told and a deed of his in the window: rows of `told`, and rows of `deeds`."""
    order = np.argsort(told.shopper, kind="stable")
    known = told.shopper[order]
    low, high = np.searchsorted(known, deeds.shopper, side="left"), np.searchsorted(known, deeds.shopper, side="right")
    count = high - low
    deed = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(deed)) - np.repeat(np.cumsum(count) - count, count)
    row = order[np.repeat(low, count) + step]
    since = deeds.started[deed] - told.at[row]
    inside = (since >= 0) & (since < days * DAY_US)
    return row[inside], deed[inside]


def did(told: Told, deeds: Deeds, *, days: int) -> Bools:
    """Of each row of `told`: whether a deed of his lies in the window."""
    found = np.zeros(len(told.shopper), np.bool_)
    found[pairs(told, deeds, days=days)[0]] = True
    return found


def people(told: Told, deeds: Deeds, *, days: int) -> tuple[int, int]:
    """How many people, and how many of them did it after any of the times that they were told."""
    return len(np.unique(told.shopper)), len(np.unique(told.shopper[did(told, deeds, days=days)]))


def claims(told: Told, deeds: Deeds, *, days: int, by: int) -> Claims:
    row, deed = pairs(told, deeds, days=days)
    return Claims(deeds.shopper[deed], deeds.started[deed], deeds.ended[deed], told.at[row], np.full(len(row), by, np.int64))


def credit(own: Claims, others: Claims) -> Credit:
    """What a campaign claims, beside what others claim of the same people.

    Another campaign claims the same deed when a deed that it claims touches it in time: a visit to a store and the visit to the mall around it
    are one coming. Whose message was the last before it has it alone; of two at one instant, the campaign with the lower number.
    """
    mine = _latest(own)
    theirs = _latest(others, each=True)
    low, high = np.searchsorted(theirs.shopper, mine.shopper, side="left"), np.searchsorted(theirs.shopper, mine.shopper, side="right")
    count = high - low
    deed = np.repeat(np.arange(len(count)), count)
    other = np.repeat(low, count) + np.arange(len(deed)) - np.repeat(np.cumsum(count) - count, count)
    touches = (theirs.started[other] <= mine.ended[deed]) & (mine.started[deed] <= theirs.ended[other])
    deed, other = deed[touches], other[touches]
    later = (theirs.told_at[other] > mine.told_at[deed]) | ((theirs.told_at[other] == mine.told_at[deed]) & (theirs.by[other] < mine.by[deed]))
    return Credit(len(mine.shopper), len(np.unique(deed)), len(mine.shopper) - len(np.unique(deed[later])))


def _latest(found: Claims, *, each: bool = False) -> Claims:
    """Each deed once (for `each` campaign), with the latest message before it; by shopper."""
    by = found.by if each else np.zeros(len(found.by), np.int64)
    order = np.lexsort((found.told_at, by, found.ended, found.started, found.shopper))
    found, by = found.take(order), by[order]
    last = np.ones(len(order), np.bool_)
    if len(order):
        keys = (found.shopper, found.started, found.ended, by)
        last[:-1] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return found.take(last)
