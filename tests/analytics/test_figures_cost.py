"""What figures cost those who write and those who read: a fixed number of statements, however much there is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
import pytest

from analytics import days, figures, marks
from analytics.reports.catalogue import REPORTS, Report
from analytics.reports.reading import Question, Range, Subject, reading
from analytics.stream import work
from engagement.models import Organisation, Venue, Zone
from tests import golden
from tests.analytics.rows import shopper, stay
from tests.analytics.stage import Request
from tests.analytics.theatre import ALL, Connection, Theatre
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

NOON: Final = datetime(2026, 9, 1, 10, tzinfo=UTC)
MOST: Final = 12  # statements of one report


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that goes to the server beside Django's own, as it is sent."""
    sent: list[str] = []
    execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

    def noted(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        sent.append(str(query))
        return execute(self, query, *arguments, **more)

    def copied(self: Any, statement: Any, *arguments: Any, **more: Any) -> Any:
        sent.append(str(statement))
        return copy(self, statement, *arguments, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    monkeypatch.setattr(psycopg.Cursor, "copy", copied)
    yield sent


def test_the_marks_of_a_stream_transaction_are_one_statement(crew: list[Connection], counted: list[str]) -> None:
    """Of one stay as of all that a whole table of cases makes."""
    numbers = []
    for cases in (golden.cases()[:1], golden.cases()):
        theatre = Theatre(World(cases[0].places, ()), crew)
        for case in cases:
            for event in case.events:
                theatre.stage.accept(Request((event,)))
        counted.clear()
        work.work(*theatre.crew[0], ALL)
        numbers.append(sum("analytics_mark" in statement for statement in counted))
        assert not any("analytics_zoneday" in statement for statement in counted)
    assert numbers == [1, 1]


@pytest.fixture
def mall(acme: Organisation, north: Venue) -> Organisation:
    """Two shoppers in three zones of Acme on three days; all but the last day's are made."""
    walk(acme, range(3))
    return acme


def walk(acme: Organisation, when: range) -> None:
    zones = {zone.key: zone for zone in Zone.objects.filter(organisation=acme)}
    for day in when:
        for name in ("ann", "ben"):
            for key, minutes in (("north", 0), ("north-brew", 1), ("north-page", 20), ("north-street", 0)):
                stay(shopper(acme, name), zones[key], NOON + timedelta(days=day, minutes=minutes), 600)


def statements(organisation: Organisation, report: Report, counted: list[str]) -> int:
    """How many the report asks, of all places that it takes, when nothing is known yet."""
    kinds = {"venue": ("north",), "zone": ("north-brew", "north-page"), "street": ("north-street",)}
    keys = [key for kind in report.takes for key in kinds.get(kind, ())]
    subjects = [Subject("zone", key, key, (Zone.objects.get(organisation=organisation, key=key).pk,)) for key in keys]
    days.forget()
    question = Question(Range(date(2026, 8, 30), date(2026, 10, 30)))
    with reading(organisation, subjects, now=NOON + timedelta(days=60)) as found:
        counted.clear()
        report.function(found, subjects, question)
        return len(counted)


def test_the_number_of_statements_of_a_report_does_not_grow_with_what_there_is(mall: Organisation, rival: Organisation, counted: list[str]) -> None:
    numbers = []
    with figures.session() as session:
        for later in (range(0), range(3, 13), range(13, 23)):
            walk(mall, later)
            figures.catch_up(session, now=NOON + timedelta(days=60))
            numbers.append({name: statements(mall, report, counted) for name, report in REPORTS.items()})
    assert numbers[0] == numbers[1] == numbers[2]
    assert max(numbers[0].values()) <= MOST


def test_what_is_not_made_yet_costs_a_fixed_number_of_statements_too(mall: Organisation, counted: list[str]) -> None:
    numbers = []
    for later in (range(0), range(3, 13)):
        walk(mall, later)
        numbers.append({name: statements(mall, report, counted) for name, report in REPORTS.items()})
    assert numbers[0] == numbers[1]
    assert max(numbers[0].values()) <= MOST


def test_making_ten_days_costs_as_many_statements_as_making_one(mall: Organisation, counted: list[str]) -> None:
    numbers = []
    with figures.session() as session:
        figures.catch_up(session, now=NOON + timedelta(days=60))
        for later in (range(3, 4), range(4, 14)):
            walk(mall, later)
            counted.clear()
            figures.step(session, now=NOON + timedelta(days=60))
            numbers.append(len(counted))
    assert numbers[0] == numbers[1]


def test_marks_of_one_hour_are_one_mark(acme: Organisation, north: Venue) -> None:
    """However many stays of it change in one transaction."""
    with figures.session() as session:
        zone = Zone.objects.get(organisation=acme, key="north").pk
        at = int(NOON.timestamp() * 1_000_000)
        with session.cursor() as cursor:
            marks.leave(cursor, np.full(1000, zone), at + np.arange(1000, dtype=np.int64))
        assert session.execute("SELECT zone_id, hour FROM analytics_mark").fetchall() == [(zone, at // marks.HOUR_US)]
