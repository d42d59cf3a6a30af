"""Case 38: PostgreSQL's own arithmetic, DuckDB on the same rows and the plain reference say what the reports say, also after a late event."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import duckdb
import pytest
from django.db import connection
from hypothesis import given

from analytics import days, figures
from tests import figures_reference as reference
from tests.analytics.figures_oracle import same
from tests.analytics.ledger import DAY, Ledger, ledgers, moment
from tests.analytics.test_figures_law import agrees
from tests.analytics.theatre import Connection
from tests.worlds import search

pytestmark = pytest.mark.django_db(transaction=True)

# Of one zone, by local day. Both engines are asked the same: {local} turns an instant into the day of its place.
QUESTION: Final = """
WITH s AS (SELECT *, {local} AS day, closes_at < {now} AS is_over FROM {stays} WHERE zone_id = {zone}),
     f AS (SELECT shopper_id, min(day) AS first FROM s WHERE counted GROUP BY shopper_id)
SELECT CAST(day AS varchar), count(*) FILTER (WHERE counted), count(DISTINCT s.shopper_id) FILTER (WHERE counted),
       count(*) FILTER (WHERE NOT counted), count(DISTINCT s.shopper_id) FILTER (WHERE counted AND day = first),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY {dwell}) FILTER (WHERE counted AND is_over),
       percentile_cont(0.9) WITHIN GROUP (ORDER BY {dwell}) FILTER (WHERE counted AND is_over)
FROM s LEFT JOIN f ON f.shopper_id = s.shopper_id GROUP BY day ORDER BY day
"""
Row = tuple[str, int, int, int, int, float | None, float | None]


@pytest.fixture
def maker(transactional_db: None) -> Iterator[Connection]:
    session = figures.session()
    yield session
    session.close()


def of_postgresql(ledger: Ledger, zone: str) -> list[Row]:
    time_zone = ledger.places[zone].time_zone
    local, dwell = f"(started AT TIME ZONE '{time_zone}')::date", "extract(epoch FROM ended - started)::float8"
    with connection.cursor() as cursor:
        cursor.execute(QUESTION.format(local=local, dwell=dwell, now=f"'{moment(ledger.now)}'", stays="analytics_stay", zone=ledger.zones[zone]))
        return cursor.fetchall()


def of_duckdb(ledger: Ledger, zone: str) -> list[Row]:
    """The rows as a lake would hold them: instants in microseconds of UTC, and the day told by the reference's calendar, which it has none of."""
    time_zone = ledger.places[zone].time_zone
    rows = [
        (stay.shopper, ledger.zones[stay.zone], stay.started, stay.ended, stay.closes_at, stay.counted, reference.wall(stay.started, time_zone).date())
        for stay in ledger.stays
    ]
    with duckdb.connect() as session:
        session.execute(
            "CREATE TABLE stays (shopper_id bigint, zone_id bigint, started bigint, ended bigint, closes_at bigint, counted boolean, day_there date)"
        )
        if rows:
            session.executemany("INSERT INTO stays VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        asked = QUESTION.format(local="day_there", dwell="CAST(ended - started AS double) / 1e6", now=ledger.now, stays="stays", zone=ledger.zones[zone])
        return session.execute(asked).fetchall()


def of_the_reference(ledger: Ledger, zone: str) -> list[Row]:
    first = reference.wall(ledger.anchor, ledger.places[zone].time_zone).date()
    whole = reference.Question(first - timedelta(days=400), first + timedelta(days=30))
    answer: dict[str, Any] = reference.footfall(ledger.world(), (zone,), whole)
    told = [(row["period"], row["visits"], row["visitors"], row["pass_bys"], row["new"], row["dwell_median_s"], row["dwell_p90_s"]) for row in answer["rows"]]
    return [row for row in told if row[1] or row[3]]


@search(4)
@given(ledger=ledgers(most=8))
def test_case_38_three_engines_and_the_reports_say_the_same_before_and_after_a_late_event(maker: Connection, ledger: Ledger) -> None:
    days.forget()
    ledger.now += 5 * DAY
    ledger.build()
    late, ledger.stays = ledger.stays[:1], ledger.stays[1:]
    ledger.erase(late)
    for arrived in ([], late):
        ledger.add(arrived)
        figures.catch_up(maker, now=moment(ledger.now))
        for zone in ("mall", "brew", "street", "east"):
            expected = [list(row) for row in of_the_reference(ledger, zone)]
            same([list(row) for row in of_postgresql(ledger, zone)], expected, f"{zone} in PostgreSQL")
            same([list(row) for row in of_duckdb(ledger, zone)], expected, f"{zone} in DuckDB")
        day = date(*moment(ledger.anchor).timetuple()[:3])
        agrees(ledger, reference.Question(day - timedelta(days=40), day + timedelta(days=10)))
