"""CSV: what a spreadsheet must not run, what must come back as it went in, and which lines there are."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.export import BOM, SHEETS, Block, Part, cell, filename, flat, write
from analytics.reports.catalogue import REPORTS

BAD = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠a",
    "−1",
    " =1",
    "\u200b=1",
    "\ufeff=1",
    "\u00a0@x",
    "\0=1",
)


def read(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")))


def table(name: str, *, rows: list[dict[str, Any]], total: dict[str, Any] | None = None, beside: dict[str, Part] | None = None, place: str = "north") -> bytes:
    return write(SHEETS[name], [Block({"place": place, "name": place}, Part(rows, total or {}), beside or {}, {"definitions": 1})])


@pytest.mark.parametrize("text", BAD)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["North Mall", "a=b", "Brew & Co", "'quoted'", "5 o'clock", "", "2026-11-19"])
def test_other_text_is_left_alone(text: str) -> None:
    assert cell(text) == text


def test_numbers_stay_numbers_also_negative_ones_and_nothing_is_nothing() -> None:
    assert [cell(value) for value in (-5, -0.25, 0, 12, 1507.25, None, "-5")] == ["-5", "-0.25", "0", "12", "1507.25", "", "'-5"]


@given(st.text(st.characters(codec="utf-8")))
def test_any_name_comes_back_as_it_went_in(name: str) -> None:
    [line] = read(write(SHEETS["passers-by"], [Block({"name": name}, Part([{"period": "x", "passers_by": 0}], {}), {}, {})]))
    assert line["name"] == cell(name)
    assert line["name"].removeprefix("'") == name.removeprefix("'") or line["name"] == name


def test_quotes_commas_and_line_ends_in_a_name_make_no_other_cell_or_line() -> None:
    name = 'say "hi", or\r\n"=1",\nbye'
    file = table("passers-by", rows=[{"period": "2026-11-19", "passers_by": 50}], total={"passers_by": 50}, place=name)
    assert [(line["place"], line["period"], line["passers_by"]) for line in read(file)] == [(name, "2026-11-19", "50"), (name, "total", "50")]


def test_lines_end_as_rfc_4180_wants_and_excel_is_told_that_it_is_utf_8() -> None:
    file = table("passers-by", rows=[{"period": "x", "passers_by": 50}], place="Café Zürich")
    assert file.startswith(BOM.encode()) and file.decode().count(BOM) == 1
    assert file.decode("utf-8-sig") == "place,name,period,passers_by,definitions\r\nCafé Zürich,Café Zürich,x,50,1\r\n"


def test_nested_figures_become_columns() -> None:
    months = [{"months_later": 0, "visitors": 20, "share": 1}, {"months_later": 1, "visitors": 12, "share": 0.6}]
    assert flat({"cohort": "2026-09", "shares": {"under_5": 0.5}, "months": months}) == {
        "cohort": "2026-09",
        "shares_under_5": 0.5,
        "months_0_visitors": 20,
        "months_0_share": 1,
        "months_1_visitors": 12,
        "months_1_share": 0.6,
    }


def test_a_small_month_of_a_cohort_is_hidden_with_its_share() -> None:
    months = [{"months_later": 0, "visitors": 20, "share": 1}, {"months_later": 1, "visitors": 5, "share": 0.25}]
    [line] = read(table("retention", rows=[{"cohort": "2026-09", "visitors": 20, "months": months}]))
    assert (line["months_0_visitors"], line["months_0_share"], line["months_1_visitors"], line["months_1_share"]) == ("20", "1", "<10", "<10")


def test_ranges_beside_stand_in_columns_of_their_own_and_longer_ones_in_lines_of_their_own() -> None:
    rows = [{"period": "2026-11-18", "passers_by": 50}, {"period": "2026-11-19", "passers_by": 60}]
    before = [{"period": "2026-11-16", "passers_by": 5}, {"period": "2026-11-17", "passers_by": 70}, {"period": "2026-11-18", "passers_by": 80}]
    file = table("passers-by", rows=rows, total={"passers_by": 100}, beside={"previous": Part(before, {"passers_by": 150})})
    names = ("period", "passers_by", "previous_period", "previous_passers_by")
    assert [tuple(line[name] for name in names) for line in read(file)] == [
        ("2026-11-18", "50", "2026-11-16", "<10"),
        ("2026-11-19", "60", "2026-11-17", "70"),
        ("", "", "2026-11-18", "80"),
        ("total", "100", "", "150"),
    ]


def test_rows_with_keys_stand_beside_those_with_the_same_keys() -> None:
    rows = [{"from": "a", "to": "b", "visits": 50}]
    before = [{"from": "b", "to": "a", "visits": 40}, {"from": "a", "to": "b", "visits": 30}]
    file = table("flows", rows=rows, beside={"year": Part(before, {})})
    assert [(line["from"], line["to"], line["visits"], line["year_visits"]) for line in read(file)] == [("a", "b", "50", "30"), ("b", "a", "", "40")]


def test_a_total_that_has_the_name_of_a_key_gets_another() -> None:
    rows = [{"visits": "1", "visitors": 40}, {"visits": "2", "visitors": 20}]
    lines = read(table("loyalty", rows=rows, total={"visits": 80, "visitors": 60, "frequency": 1.333333}))
    assert [(line["visits"], line["visitors"], line["total_visits"]) for line in lines] == [("1", "40", ""), ("2", "20", ""), ("total", "60", "80")]


def test_every_report_has_a_sheet_and_every_figure_of_it_a_rule() -> None:
    assert set(SHEETS) == set(REPORTS)
    plain = {"period", "from", "to", "a", "b", "cohort", "weekday", "hour", "days", "days_ago", "months", "shares"}
    for name, report in REPORTS.items():
        rule = SHEETS[name].rule
        names = {field for field in report.row if field not in SHEETS[name].keys}
        names |= {f"total_{field}" if field in SHEETS[name].keys else field for field in report.total}
        assert names - plain <= set(rule.over), name
        assert set(rule.additive) <= names and set(rule.over) >= {one for told in rule.tells.values() for one in told}, name


def test_a_file_name_is_of_plain_characters() -> None:
    assert filename("footfall", "a/b:c\"'\r\n", "2026-11-19T10:00:00Z", "2026-11-20") == "footfall-a_b_c_-2026-11-19T10_00_00Z-2026-11-20.csv"
