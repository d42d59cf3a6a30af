"""How things stand at this instant: who is where, what became of the events, what waits."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.db import connections

from analytics.days import COUNTED
from engagement.models import Organisation, Venue

TAKEN: Final = ("accepted", "unmatched", "duplicate", "erased")  # outcomes of events that the stream took; all others are refusals


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the stream has not taken yet. `oldest_s` is 0 where nothing waits."""

    requests: int
    events: int
    oldest_s: float


# Only stays that the sweep has not closed can be open, and there are never many more of them than people about: the partial
# index `stay_not_closed` finds them without touching history, so they are found first. What ends after now is open too,
# because closes_at >= ended.
OCCUPANCY: Final = f"""
WITH about AS MATERIALIZED (
    SELECT zone_id FROM analytics_stay s WHERE NOT closed AND closes_at >= %(now)s AND started <= %(now)s AND {COUNTED}
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
    return Backlog(requests, events, round(oldest, 3))


def _rows(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[settings.REPORTS_DATABASE].cursor() as cursor:
        cursor.execute(query, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
