"""The weekly summary: a place's last full ISO week beside the one before, written so that it can leave the organisation by mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from analytics import small_cells
from analytics.reports import catalogue
from analytics.reports.footfall import report
from analytics.reports.reading import Question, Range, Reading, Subject, reading
from analytics.small_cells import Rule
from engagement import display
from engagement.models import Organisation

WEEK: Final = timedelta(days=7)
FIELDS: Final = ("visitors", "visits", "dwell_median_s", "new", "returning")
RULE: Final = Rule(
    over={**dict.fromkeys(("visitors", "visits", "dwell_median_s"), ("visitors",)), "new": ("new",), "returning": ("returning",)},
    parts=(("new", "returning"),),
)


@dataclass(frozen=True)
class Cell:
    """A figure as it is written, and its change against the week before (`+12 %`), empty where one of the two is hidden or missing."""

    label: str
    sentence: str
    text: str
    change: str
    before: str


@dataclass(frozen=True)
class Line:
    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class Summary:
    week: str  # ISO: 2026-W46
    first: date
    last: date
    figures: list[Cell]
    days: list[Line]
    stores: list[Line]
    labels: list[tuple[str, str]]  # of the tables' columns, with what each means


def last_full(now: datetime, time_zone: str) -> date:
    """The Monday of the last ISO week that has ended on that clock."""
    today = now.astimezone(ZoneInfo(time_zone)).date()
    return today - timedelta(days=today.weekday()) - WEEK


def monday_of(week: str) -> date | None:
    """Of `2026-W46`; None where that is no week."""
    try:
        year, number = week.split("-W")
        return date.fromisocalendar(int(year), int(number), 1)
    except (ValueError, OverflowError):
        return None


def summary(*, organisation: Organisation, place: Subject, stores: Sequence[Subject], monday: date, now: datetime | None = None) -> Summary:
    """Of the week that begins on that Monday. Figures over fewer than ten shoppers are hidden, as in every export."""
    with reading(organisation, [place, *stores], now=now or datetime.now(UTC)) as snapshot:
        weeks = [Range(monday, monday + WEEK), Range(monday - WEEK, monday)]
        own = [report(snapshot, [place], Question(one, "day"))[0] for one in weeks]
        listed = [_totals(snapshot, stores, one) for one in weeks]
    year, number, _weekday = monday.isocalendar()
    return Summary(
        week=f"{year}-W{number:02}",
        first=monday,
        last=monday + WEEK - timedelta(days=1),
        figures=_cells(own[0]["total"], own[1]["total"]),
        days=[Line(display.day(date.fromisoformat(row["period"])), _cells(row, before)) for row, before in zip(own[0]["rows"], own[1]["rows"], strict=True)],
        stores=sorted(
            (Line(store.name, _cells(total, before)) for store, total, before in zip(stores, *listed, strict=True)), key=lambda line: line.name.casefold()
        ),
        labels=[(str(figure.label), str(figure.sentence)) for figure in (catalogue.figure("footfall", name) for name in FIELDS)],
    )


def _totals(snapshot: Reading, stores: Sequence[Subject], week: Range) -> list[dict[str, Any]]:
    return [answer["total"] for answer in report(snapshot, stores, Question(week, "week"))] if stores else []


def _cells(now: dict[str, Any], before: dict[str, Any]) -> list[Cell]:
    shown, earlier = (small_cells.hide(RULE, [], row, [], {})[1] for row in (now, before))
    return [_cell(name, shown.get(name), earlier.get(name)) for name in FIELDS]


def _cell(name: str, value: Any, before: Any) -> Cell:
    figure = catalogue.figure("footfall", name)
    return Cell(str(figure.label), str(figure.sentence), _told(value, figure.unit), _change(value, before), _told(before, figure.unit))


def _told(value: Any, unit: str) -> str:
    if value == small_cells.HIDDEN:
        return _("hidden")
    if value is None or isinstance(value, str):
        return value or display.NOTHING
    return display.duration(value) if unit == "s" else display.number(value)


def _change(value: Any, before: Any) -> str:
    if not isinstance(value, int | float) or not isinstance(before, int | float) or not before:
        return ""
    percent = round((value / before - 1) * 100)
    return f"{percent:+d} %" if percent else "±0 %"
