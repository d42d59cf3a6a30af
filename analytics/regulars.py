"""Staff and residents: suggested by how long they are about, decided by people, and left out of every figure once confirmed.

Suggested is who dwells more than 4 h on 3 days of one ISO week in one venue; dwell is the sum of the closed visits that start on a local day.
Whoever makes a venue's day asks for suggestions in the same transaction, so a crash loses none, and late events count as prompt ones do.
A decision marks every day on which the shopper has a stay, so history is told anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from django.db import connection as own
from django.db import transaction
from django.utils import timezone

from analytics import facts, marks
from analytics.calendars import to_date
from analytics.facts import HOUR
from analytics.models import Regular
from analytics.periods import midnight
from analytics.premises import Premises
from analytics.stays import Columns, Ints
from engagement.models import Organisation, Shopper

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]
State = Regular.State

MORE_THAN_US: Final = 4 * HOUR  # of dwell on a day
DAYS: Final = 3  # such days of one week
_MONDAY: Final = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class Long(Columns):
    """Days on which somebody dwelled long in a venue: one entry for each zone (its root), local day and shopper."""

    zone: Ints
    day: Ints
    shopper: Ints
    dwell: Ints


def suggest(cursor: Cursor, ground: Premises, keys: Iterable[tuple[int, int]]) -> int:
    """Suggest whom these days, just made, show to be about for long, with the other days of their weeks. Returns how many were not known."""
    fresh = [key for key in keys if key[0] in ground.inside]
    found = _strangers(cursor, _long(cursor, fresh))
    if not len(found.zone):
        return 0
    weeks = {(zone, monday) for zone, monday in zip(found.zone.tolist(), _mondays(found.day).tolist(), strict=True)}
    others = {(zone, monday + day) for zone, monday in weeks for day in range(7)} - set(fresh)
    beside = _long(cursor, sorted(others))
    found = found.join(beside.take(np.isin(beside.shopper, found.shopper)))
    return _insert(cursor, found)


def _long(cursor: Cursor, keys: list[tuple[int, int]]) -> Long:
    """Who dwelled long on these days, as stored. A day that is not settled yet says nothing: it is made again when it is."""
    parts: list[Long] = []
    if keys:
        cursor.execute(
            """SELECT d.zone_id, d.day - date '1970-01-01', array_agg(d.dwells), array_agg(d.dwell_shoppers)
               FROM unnest(%s::bigint[], %s::int[]) AS w(zone_id, day)
               JOIN analytics_zoneday o ON o.zone_id = w.zone_id AND o.day = date '1970-01-01' + w.day AND o.open AND o.due_at IS NULL
               JOIN analytics_zoneday d ON d.zone_id = o.zone_id AND d.day = o.day
               GROUP BY 1, 2""",
            [[zone for zone, _ in keys], [day for _, day in keys]],
            binary=True,
        )
        for zone, day, dwells, shoppers in cursor:
            parts.append(_long_of_day(zone, day, [facts.unpack(one) for one in dwells], [facts.unpack(one) for one in shoppers]))
    nothing = np.empty(0, np.int64)
    return Long(*(np.concatenate([nothing, *(getattr(part, name) for part in parts)]) for name in ("zone", "day", "shopper", "dwell")))


def _long_of_day(zone: int, day: int, dwells: list[Ints], shoppers: list[Ints]) -> Long:
    """Of both parts of a day. Open visits stand behind the closed ones, and have no dwell yet."""
    whose = np.concatenate([who[: len(dwell)] for dwell, who in zip(dwells, shoppers, strict=True)])
    members, place = np.unique(whose, return_inverse=True)
    total = np.zeros(len(members), np.int64)
    np.add.at(total, place, np.concatenate(dwells))
    chosen = total > MORE_THAN_US
    size = int(chosen.sum())
    return Long(np.full(size, zone), np.full(size, day), members[chosen], total[chosen])


def _strangers(cursor: Cursor, found: Long) -> Long:
    """Without those who are suggested or decided already."""
    if not len(found.zone):
        return found
    cursor.execute(
        """SELECT r.shopper_id FROM analytics_regular r WHERE r.organisation_id IN (SELECT organisation_id FROM engagement_zone WHERE id = ANY(%s))
           AND r.shopper_id = ANY(%s)""",
        [np.unique(found.zone).tolist(), np.unique(found.shopper).tolist()],
    )
    return found.take(~np.isin(found.shopper, [shopper for (shopper,) in cursor.fetchall()]))


def _mondays(day: Ints) -> Ints:
    """The Monday of each day's ISO week."""
    return day - (day + _MONDAY) % 7


def _insert(cursor: Cursor, found: Long) -> int:
    """One suggestion a shopper, of the week and venue that say it most clearly."""
    keys, place, days = np.unique(np.stack((found.zone, _mondays(found.day), found.shopper)), axis=1, return_inverse=True, return_counts=True)
    longest = np.zeros(len(days), np.int64)
    np.maximum.at(longest, place.ravel(), found.dwell)
    order = np.lexsort((-longest, -days))
    order = order[days[order] >= DAYS]
    zone, monday, shopper = keys[:, order].tolist()
    # Whoever is erased meanwhile is not suggested: the erasure is waited for, and the row looked at again. Nor whose stays have gone to another.
    return cursor.execute(
        """INSERT INTO analytics_regular (organisation_id, shopper_id, state, zone_id, week, days, longest_s, created_at, decided_by)
           SELECT z.organisation_id, s.id, 'suggested', z.id, w.week, w.days, w.longest_s, now(), ''
           FROM unnest(%s::bigint[], %s::date[], %s::bigint[], %s::int[], %s::int[]) WITH ORDINALITY AS w(zone_id, week, shopper_id, days, longest_s, place)
           JOIN engagement_zone z ON z.id = w.zone_id JOIN engagement_shopper s ON s.id = w.shopper_id AND s.organisation_id = z.organisation_id
           WHERE EXISTS (SELECT 1 FROM analytics_stay t WHERE t.shopper_id = s.id)
           ORDER BY w.place FOR KEY SHARE OF s ON CONFLICT (organisation_id, shopper_id) DO NOTHING""",
        [zone, [to_date(day) for day in monday], shopper, days[order].tolist(), (longest[order] // 1_000_000).tolist()],
    ).rowcount


def decide(*, organisation: Organisation, ids: Iterable[int], state: State, by: str) -> int:
    """Bring the organisation's rows of these numbers into a state, and tell history anew. Returns how many were in another; told again, none.

    To SUGGESTED is the way back: the suggestion stands again, and what was marked by hand is forgotten.
    """
    with transaction.atomic():
        rows = list(Regular.objects.select_for_update().filter(organisation=organisation, pk__in=ids).exclude(state=state).order_by("pk"))
        undone = state == State.SUGGESTED
        Regular.objects.filter(pk__in=[row.pk for row in rows if undone and row.zone_id is None]).delete()
        decided = {"decided_at": None, "decided_by": ""} if undone else {"decided_at": timezone.now(), "decided_by": by}
        Regular.objects.filter(pk__in=[row.pk for row in rows]).update(state=state, **decided)
        _tell_anew([row.shopper_id for row in rows if State.CONFIRMED in (row.state, state)])
    return len(rows)


def mark(*, organisation: Organisation, shopper: Shopper, by: str) -> Regular:
    """Leave a shopper of the organisation out, whether he was suggested or not. Raises Shopper.DoesNotExist where he was erased meanwhile."""
    with transaction.atomic():
        known = Shopper.objects.select_for_update(no_key=True).get(pk=shopper.pk, organisation=organisation)
        row, _made = Regular.objects.get_or_create(organisation=organisation, shopper=known)
        decide(organisation=organisation, ids=[row.pk], state=State.CONFIRMED, by=by)
        row.refresh_from_db()
    return row


def left_out(organisation: Organisation) -> int:
    """How many shoppers are left out of the organisation's figures."""
    return Regular.objects.filter(organisation=organisation, state=State.CONFIRMED).count()


def visits(rows: Iterable[Regular]) -> dict[int, int]:
    """By row: the visits in the week and venue that suggested it. None of those marked by hand."""
    weeks = [(row.pk, row.shopper_id, row.zone_id, *_week(row)) for row in rows if row.zone_id and row.week]
    if not weeks:
        return {}
    with own.cursor() as cursor:
        cursor.execute(
            """SELECT w.id, count(s.id)
               FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS w(id, shopper, zone, since, until)
               LEFT JOIN analytics_stay s ON s.shopper_id = w.shopper AND s.started >= w.since AND s.started < w.until AND s.zone_id = w.zone AND s.counted
               GROUP BY w.id""",
            list(map(list, zip(*weeks, strict=True))),
        )
        return dict(cursor.fetchall())


def _week(row: Regular) -> tuple[datetime, datetime]:
    """The first instant of the row's week on the venue's clock, and of the week after."""
    assert row.zone and row.week
    clock = ZoneInfo(row.zone.venue.time_zone)
    return midnight(row.week, clock), midnight(row.week + timedelta(days=7), clock)


def _tell_anew(shoppers: list[int]) -> None:
    if shoppers:
        marks.leave_for_shoppers(own.connection, sorted(shoppers))


def inherit(connection: Connection, *, organisation: int, old: int, new: int) -> None:
    """A device's own shopper turned out to be somebody: what was said of the device is said of him, unless somebody has decided about him.

    In the transaction that moves the stays, after it has moved them. Of two named shoppers each keeps what was said of him.
    """
    rows = connection.execute(
        """SELECT r.shopper_id, r.state FROM analytics_regular r JOIN engagement_shopper s ON s.id = %(old)s AND s.device_key IS NOT NULL
           WHERE r.organisation_id = %(organisation)s AND r.shopper_id IN (%(old)s, %(new)s) ORDER BY r.id FOR UPDATE OF r""",
        {"organisation": organisation, "old": old, "new": new},
    ).fetchall()
    said: dict[int, str] = dict(rows)
    if old not in said:
        return
    stays = said.get(new, State.SUGGESTED) != State.SUGGESTED
    gone = old if stays or (new in said and said[old] == State.SUGGESTED) else new
    connection.execute("DELETE FROM analytics_regular WHERE organisation_id = %s AND shopper_id = %s", [organisation, gone])
    connection.execute("UPDATE analytics_regular SET shopper_id = %s WHERE organisation_id = %s AND shopper_id = %s", [new, organisation, old])
    if State.CONFIRMED in (said[old], said.get(new)):
        marks.leave_for_shoppers(connection, [new])
