"""Every number shown anywhere, each a typed function of organisation, place and period. Reads only.

Figures follow the project's definitions, version 1. A stay belongs to the period that its start falls in; visitors are
counted, never added up; medians and percentiles interpolate between neighbours (SQL's percentile_cont).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connections

from analytics.periods import Grain, split
from engagement.models import Organisation, Venue, Zone

DEFINITIONS: Final = 1  # version of the definitions that made every figure here
TAKEN: Final = ("accepted", "unmatched", "duplicate")  # outcomes of events that the stream took; all others are refusals


@dataclass(frozen=True, slots=True)
class Figures:
    """Dwell in seconds, of closed counted stays; null where there are none."""

    visits: int = 0
    visitors: int = 0
    new: int = 0
    returning: int = 0
    pass_bys: int = 0
    dwell_median_s: float | None = None
    dwell_p90_s: float | None = None
    dwell_mean_s: float | None = None


@dataclass(frozen=True, slots=True)
class Footfall:
    """`rows` has every period of the range, those without a stay too, in order."""

    rows: list[tuple[str, Figures]]
    total: Figures


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the stream has not taken yet. `oldest_s` is 0 where nothing waits."""

    requests: int
    events: int
    oldest_s: float


# Stays fall into periods by binary search in the periods' beginnings: local days and their odd lengths were settled before
# the query. A visitor is new in the period of his first counted stay of the range, unless he had one before the range.
FOOTFALL: Final = """
WITH stay AS (
    SELECT width_bucket(started, %(begins)s::timestamptz[]) AS period, shopper_id, counted, counted AND closes_at < %(now)s AS settled,
           extract(epoch FROM ended - started)::double precision AS dwell
    FROM analytics_stay
    WHERE organisation_id = %(organisation)s AND zone_id = %(zone)s AND started >= %(start)s AND started < %(end)s
), visitor AS (
    SELECT shopper_id, min(period) AS period FROM stay WHERE counted GROUP BY shopper_id
), newcomer AS (
    SELECT shopper_id, period FROM visitor
    WHERE NOT EXISTS (
        SELECT FROM analytics_stay AS earlier
        WHERE earlier.zone_id = %(zone)s AND earlier.shopper_id = visitor.shopper_id AND earlier.counted AND earlier.started < %(start)s)
)
SELECT period,
       count(*) FILTER (WHERE counted),
       count(DISTINCT stay.shopper_id) FILTER (WHERE counted),
       count(DISTINCT newcomer.shopper_id),
       count(*) FILTER (WHERE NOT counted),
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY dwell) FILTER (WHERE settled),
       avg(dwell) FILTER (WHERE settled)
FROM stay LEFT JOIN newcomer USING (shopper_id, period)
GROUP BY GROUPING SETS ((period), ())
"""


def footfall(*, organisation: Organisation, zone: Zone, start: datetime, end: datetime, grain: Grain, now: datetime | None = None) -> Footfall:
    """Visits, visitors and dwell of a zone in each period of [start, end). Raises periods.TooManyPeriods."""
    periods = split(start, end, grain, ZoneInfo(zone.venue.time_zone))
    if not periods:
        return Footfall([], Figures())
    parameters = {
        "begins": [period.start for period in periods],
        "organisation": organisation.pk,
        "zone": zone.pk,
        "start": start,
        "end": end,
        "now": now or datetime.now(UTC),
    }
    found = {period: _figures(*counts) for period, *counts in _rows(FOOTFALL, parameters)}
    rows = [(period.label, found.get(number, Figures())) for number, period in enumerate(periods, start=1)]
    return Footfall(rows, found[None])


def _figures(visits: int, visitors: int, new: int, pass_bys: int, quantiles: list[float | None] | None, mean: float | None) -> Figures:
    median, p90 = quantiles or (None, None)
    return Figures(visits, visitors, new, visitors - new, pass_bys, seconds(median), seconds(p90), seconds(mean))


def seconds(value: float | None) -> float | None:
    """To the microsecond, and without a fraction where there is none."""
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 6)


# Only stays that the sweep has not closed can be open, and there are never many more of them than people about: the partial
# index `stay_not_closed` finds them without touching history, so they are found first. What ends after now is open too,
# because closes_at >= ended.
OCCUPANCY: Final = """
WITH about AS MATERIALIZED (
    SELECT zone_id FROM analytics_stay WHERE NOT closed AND closes_at >= %(now)s AND started <= %(now)s
)
SELECT zone_id, count(*) FROM about WHERE zone_id IN (SELECT id FROM engagement_zone WHERE venue_id = %(venue)s) GROUP BY zone_id
"""


def occupancy_now(venue: Venue, *, now: datetime | None = None) -> dict[int, int]:
    """How many are in each zone of the venue now, by the zone's primary key; a zone with nobody is left out."""
    return dict(_rows(OCCUPANCY, {"venue": venue.pk, "now": now or datetime.now(UTC)}))


def outcomes(organisation: Organisation, since: datetime | None = None) -> dict[str, int]:
    """What became of the events received since the hour of `since` (always, if none): outcome or reason to number."""
    return dict(
        _rows(
            "SELECT outcome, sum(events)::bigint FROM engagement_outcome WHERE organisation_id = %(organisation)s"
            " AND (%(since)s::timestamptz IS NULL OR hour >= date_trunc('hour', %(since)s::timestamptz, 'UTC')) GROUP BY outcome",
            {"organisation": organisation.pk, "since": since},
        )
    )


def processed(organisation: Organisation) -> int:
    """Events that the stream took, duplicates included. What the door refused is not among them."""
    counts = outcomes(organisation)
    return sum(counts.get(outcome, 0) for outcome in TAKEN)


def inbox(organisation: Organisation) -> Backlog:
    """What the organisation sent and the stream has not taken yet."""
    query = """
    SELECT count(*), coalesce(sum(events), 0)::bigint,
           coalesce(greatest(extract(epoch FROM clock_timestamp() - min(received_at)), 0), 0)::double precision
    FROM engagement_inbox WHERE organisation_id = %(organisation)s
    """
    [(requests, events, oldest)] = _rows(query, {"organisation": organisation.pk})
    return Backlog(requests, events, seconds(round(oldest, 3)) or 0)


def _rows(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[settings.REPORTS_DATABASE].cursor() as cursor:
        cursor.execute(query, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
