"""What the catalogue says of each report, and what the report then does."""

from datetime import date
from typing import Any

import psycopg
import pytest

from analytics import days
from analytics.periods import TooManyPeriods
from analytics.reports.catalogue import FIGURES, REPORTS, figure
from analytics.reports.coverage import coverage
from analytics.reports.reading import Question, Range, reading
from engagement.models import Organisation, Venue, Zone
from tests.analytics.asking import NOW, ask, brand, make_days, place
from tests.analytics.rows import local, shopper, stay

NESTED = {"dwell": ("under_5", "from_5_to_15", "from_15_to_30", "from_30_to_60", "over_60"), "retention": ("months_later", "share")}


@pytest.fixture
def zones(north: Venue) -> dict[str, Zone]:
    found = {zone.key.removeprefix("north-"): zone for zone in Zone.objects.select_related("venue", "organisation").filter(venue=north)}
    for number, name in enumerate(("north", "ground", "brew", "page", "street")):
        stay(shopper(north.organisation, "ann"), found[name], local("Africa/Johannesburg", 2026, 10, 1, 10, number), 600)
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_tells_the_fields_that_it_declares(acme: Organisation, zones: dict[str, Zone], name: str) -> None:
    report = REPORTS[name]
    asked = {"venue": zones["north"], "zone": zones["brew"], "street": zones["street"], "brand": brand(acme, "brew")}
    for takes in report.takes:
        [found] = ask(name, acme, [asked[takes]], date(2026, 10, 1), date(2026, 10, 2))
        assert tuple(found["total"]) == report.total
        assert all(tuple(row) == report.row for row in found["rows"])


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_has_a_name_and_one_sentence(name: str) -> None:
    report = REPORTS[name]
    assert str(report.title) and str(report.sentence).endswith(".")
    for field in {*report.row, *report.total, *NESTED.get(name, ())}:
        assert str(figure(name, field).label) and str(figure(name, field).sentence).endswith(".")
    assert set(report.over.values()) <= {*report.row, *report.total}


def test_no_figure_is_explained_that_no_report_has() -> None:
    told = {field for report in REPORTS.values() for field in (*report.row, *report.total, *NESTED.get(report.name, ()))}
    assert {name.rpartition(".")[2] for name in FIGURES} <= told
    assert {name.partition(".")[0] for name in FIGURES if "." in name} <= set(REPORTS)


@pytest.mark.parametrize("name", ["occupancy", "heatmap", "peak-hours", "retention", "coverage"])
def test_a_range_of_centuries_is_refused_and_not_worked_on(acme: Organisation, zones: dict[str, Zone], name: str) -> None:
    question = Question(Range(date(1200, 1, 1), date(2026, 11, 1)), "month")
    with reading(acme, [place(zones["north"])], now=NOW) as found, pytest.raises(TooManyPeriods):
        if name == "coverage":
            coverage(found, [place(zones["north"])], question)
        else:
            REPORTS[name].function(found, [place(zones["north"])], question)


@pytest.mark.parametrize("name", REPORTS)
def test_the_number_of_queries_is_the_same_for_one_place_and_for_many(
    acme: Organisation, zones: dict[str, Zone], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_days(NOW)
    many = {"flows": [zones["north"], zones["ground"]], "passers-by": [zones["north"], zones["street"]]}.get(
        name, [zones["brew"], zones["page"], zones["ground"]]
    )
    asked: list[object] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    counts = []
    for subjects in (many[:1], many):
        listed = [place(zone) for zone in subjects]
        days.forget()
        asked.clear()
        with reading(acme, listed, now=NOW) as found:
            REPORTS[name].function(found, listed, Question(Range(date(2026, 9, 1), date(2026, 11, 1))))
        counts.append(len(asked))
    assert counts[1] <= counts[0] + 1 <= 16  # stored days are listed for all zones that have some, and not where none has
