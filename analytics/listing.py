"""Stays one by one, in the order of their starts: a page at a time, or all of them in slices of bounded memory.

Each slice is a short statement of its own, continued behind the last row (keyset): a reader who is slow for hours holds no
snapshot open, which would keep the inbox from being swept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core import signing
from django.db import connections

from analytics.reports import seconds
from engagement.inbox import OWN
from engagement.models import Organisation, Zone

SLICE: Final = 2_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SALT: Final = "stays.cursor"


class StayRow(msgspec.Struct, frozen=True):
    id: int
    shopper: str
    zone: str
    started: datetime
    ended: datetime
    dwell_s: float | None
    counted: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which stays. None: all of them."""

    organisation: Organisation
    zone: Zone | None = None
    start: datetime | None = None  # of `started`, inclusive
    end: datetime | None = None  # exclusive
    shopper: str | None = None
    device: str | None = None
    after: tuple[datetime, int] | None = None  # the last row already seen


class BadCursor(Exception):
    """Not a cursor that this product gave."""


CONDITIONS: Final = {
    "zone": "stay.zone_id = %(zone)s",
    "start": "stay.started >= %(start)s",
    "end": "stay.started < %(end)s",
    "shopper": """stay.shopper_id IN (
        SELECT id FROM engagement_shopper WHERE organisation_id = %(organisation)s AND external_id = %(shopper)s
        UNION SELECT id FROM engagement_shopper WHERE organisation_id = %(organisation)s AND external_id IS NULL AND id = %(unnamed)s)""",
    "device": """stay.shopper_id IN (
        SELECT owner_id FROM engagement_device WHERE organisation_id = %(organisation)s AND key = %(device)s
        UNION SELECT used.shopper_id FROM engagement_device AS device JOIN engagement_shopperdevice AS used ON used.device_id = device.id
        WHERE device.organisation_id = %(organisation)s AND device.key = %(device)s)""",
    "after": "(stay.started, stay.id) > (%(after_started)s, %(after_id)s)",
}
# The page is cut before names are looked up: `stay_by_zone` or `stay_by_time` gives it in order, without sorting.
QUERY: Final = """
SELECT page.id, coalesce(shopper.external_id, %(prefix)s || page.shopper_id), coalesce(zone.key, ''), page.started, page.ended,
       (extract(epoch FROM page.ended - page.started) * 1000000)::bigint, page.counted, page.closes_at >= now()
FROM (
    SELECT * FROM analytics_stay AS stay WHERE {conditions} ORDER BY stay.started, stay.id LIMIT %(limit)s
) AS page
LEFT JOIN engagement_zone AS zone ON zone.id = page.zone_id
LEFT JOIN engagement_shopper AS shopper ON shopper.id = page.shopper_id
ORDER BY page.started, page.id
"""


def page(wanted: Wanted, *, limit: int) -> tuple[list[StayRow], str | None]:
    """At most `limit` stays, and the cursor of the next page where there is one."""
    rows = _select(wanted, limit + 1)
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], signing.dumps([(last.started - EPOCH) // timedelta(microseconds=1), last.id], salt=SALT)


def everything(wanted: Wanted) -> Iterator[list[StayRow]]:
    """All of them, SLICE at a time."""
    while rows := _select(wanted, SLICE):
        yield rows
        wanted = replace(wanted, after=(rows[-1].started, rows[-1].id))


def position(cursor: str) -> tuple[datetime, int]:
    """Where a page ended. Raises BadCursor."""
    try:
        microseconds, row = signing.loads(cursor, salt=SALT)
        return EPOCH + timedelta(microseconds=microseconds), row
    except (signing.BadSignature, ValueError, TypeError, OverflowError) as error:
        raise BadCursor from error


def unnamed(shopper: str) -> int | None:
    """The product's number of a shopper whom no app has named, from the id that `shopper` shows."""
    number = shopper.removeprefix(OWN)
    return int(number) if number != shopper and re.fullmatch(r"\d{1,18}", number, re.ASCII) else None


def _select(wanted: Wanted, limit: int) -> list[StayRow]:
    given = [condition for name, condition in CONDITIONS.items() if getattr(wanted, name) is not None]
    started, row = wanted.after or (None, None)
    parameters: dict[str, Any] = {
        "organisation": wanted.organisation.pk,
        "zone": wanted.zone and wanted.zone.pk,
        "start": wanted.start,
        "end": wanted.end,
        "shopper": wanted.shopper,
        "unnamed": unnamed(wanted.shopper or ""),
        "device": wanted.device,
        "after_started": started,
        "after_id": row,
        "prefix": OWN,
        "limit": limit,
    }
    query = QUERY.format(conditions=" AND ".join(["stay.organisation_id = %(organisation)s", *given]))
    with connections[settings.REPORTS_DATABASE].cursor() as cursor:
        cursor.execute(query, parameters)
        return [_row(*fields) for fields in cursor.fetchall()]


def _row(number: int, shopper: str, zone: str, started: datetime, ended: datetime, dwell_us: int, counted: bool, is_open: bool) -> StayRow:
    return StayRow(number, shopper, zone, started.astimezone(UTC), ended.astimezone(UTC), seconds(dwell_us), counted, is_open)
