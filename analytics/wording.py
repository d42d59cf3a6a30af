"""The dashboard's widgets, and every text that its scripts write. Figures are explained by the reports' catalogue."""

from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics.reports import catalogue
from engagement.models import ZoneKind

Text = str | Promise


@dataclass(frozen=True)
class Widget:
    """A panel of the dashboard. `shape`: `chart` (drawn, with a table behind it), `table`, or a name of its own in the template."""

    name: str
    title: Text
    question: Text
    shape: str = "chart"
    wide: bool = True


@dataclass(frozen=True)
class View:
    name: str
    title: Text
    widgets: tuple[Widget, ...]


VIEWS: Final = (
    View(
        "overview",
        gettext_lazy("Overview"),
        (
            Widget("today", gettext_lazy("Today"), gettext_lazy("How is today going, beside the same weekday last week?"), "today"),
            Widget("tiles", gettext_lazy("The range in figures"), "", "tiles"),
            Widget("trend", gettext_lazy("Over time"), gettext_lazy("When was it more, and when less?")),
            Widget("plan", gettext_lazy("On the plan"), gettext_lazy("Where does it happen? Open a place to see its figures."), "plan"),
            Widget("heatmap", gettext_lazy("The week"), gettext_lazy("On which days, and at what time, do visits begin?")),
        ),
    ),
    View(
        "visitors",
        gettext_lazy("Visitors"),
        (
            Widget("newness", gettext_lazy("New and returning"), gettext_lazy("Do people come for the first time, or again?")),
            Widget("dwell", gettext_lazy("How long they stay"), gettext_lazy("How long did the visits last?"), wide=False),
            Widget("loyalty", gettext_lazy("How often they come"), gettext_lazy("How many came once in this range, how many twice, and so on?"), wide=False),
            Widget("peak", gettext_lazy("Time of day"), gettext_lazy("Which hour begins the most visits, and when are most people here?"), wide=False),
            Widget("recency", gettext_lazy("Last seen"), gettext_lazy("How long ago was everybody here who ever came?"), wide=False),
            Widget("retention", gettext_lazy("Who comes back"), gettext_lazy("Of those who came first in a month: how many came again later?"), "table"),
        ),
    ),
    View(
        "paths",
        gettext_lazy("Paths"),
        (
            Widget("flows", gettext_lazy("From place to place"), gettext_lazy("Where do visitors go next?")),
            Widget("cross", gettext_lazy("Visited both"), gettext_lazy("Which places share visitors?"), wide=False),
            Widget("passers", gettext_lazy("Passing by"), gettext_lazy("How many people went past outside, and did not come in that day?"), wide=False),
        ),
    ),
    View(
        "stores",
        gettext_lazy("Stores"),
        (Widget("stores", gettext_lazy("Stores"), gettext_lazy("How does each store do?"), "table"),),
    ),
)

PRESETS: Final = (
    ("today", gettext_lazy("Today")),
    ("yesterday", gettext_lazy("Yesterday")),
    ("7d", gettext_lazy("Last 7 days")),
    ("28d", gettext_lazy("Last 28 days")),
    ("week", gettext_lazy("This week")),
    ("month", gettext_lazy("This month")),
    ("lastmonth", gettext_lazy("Last month")),
    ("quarter", gettext_lazy("This quarter")),
    ("year", gettext_lazy("This year")),
    ("12m", gettext_lazy("Last 12 months")),
    ("custom", gettext_lazy("From … to …")),
)
COMPARISONS: Final = (
    ("previous", gettext_lazy("The days before")),
    ("year", gettext_lazy("The year before")),
    ("none", gettext_lazy("Nothing")),
)
GRAINS: Final = (
    ("auto", gettext_lazy("Automatic")),
    ("hour", gettext_lazy("Hour")),
    ("day", gettext_lazy("Day")),
    ("week", gettext_lazy("Week")),
    ("month", gettext_lazy("Month")),
)
HOURS: Final = (("all", gettext_lazy("All hours")), ("open", gettext_lazy("While open")), ("closed", gettext_lazy("While closed")))


@dataclass(frozen=True)
class Choice:
    """A figure that tiles, the trend and the plan can show: which field of which report, and in what it is told."""

    name: str
    report: str
    field: str
    unit: str
    label: Text
    sentence: Text
    tile: bool = False

    @property
    def venue(self) -> bool:
        """Whether a venue as a whole has this figure."""
        return "venue" in catalogue.REPORTS[self.report].takes


def choices(*, whole: bool = True) -> list[Choice]:
    """In the order of the tiles and of the chooser. `whole`: the reader may know what lies around a store."""
    told = [
        ("visitors", "footfall", "visitors", True),
        ("visits", "footfall", "visits", True),
        ("dwell", "footfall", "dwell_median_s", True),
        ("new", "footfall", "new", True),
        ("returning", "footfall", "returning", True),
    ]
    found = [_choice(name, report, field, tile=tile) for name, report, field, tile in told]
    inside = _("How many people are here at once, on average over the quarters of an hour of the range.")
    found.append(Choice("occupancy", "occupancy", "mean", "number", _("Occupancy"), inside))
    found.append(Choice("bounce", "bounce", "rate", "ratio", _("Bounce rate"), catalogue.figure("bounce", "rate").sentence))
    if whole:
        found.append(Choice("capture", "capture", "rate", "ratio", _("Capture rate"), catalogue.figure("capture", "rate").sentence))
    found.append(Choice("conversion", "conversion", "rate", "ratio", _("Conversion rate"), catalogue.figure("conversion", "rate").sentence))
    return found


def _choice(name: str, report: str, field: str, *, tile: bool) -> Choice:
    figure = catalogue.figure(report, field)
    return Choice(name, report, field, figure.unit, figure.label, figure.sentence, tile)


def explained() -> dict[str, dict[str, str]]:
    """Every figure of the catalogue by its name, for the heads of tables."""
    return {name: {"label": str(figure.label), "sentence": str(figure.sentence)} for name, figure in catalogue.FIGURES.items()}


def kinds() -> dict[str, str]:
    return {kind.value: str(kind.label) for kind in ZoneKind}


def texts() -> dict[str, str]:
    """What the scripts write, by name. `{x}` is filled in by them."""
    return {
        **_states(),
        **_of_places(),
        **_of_figures(),
    }


def _states() -> dict[str, str]:
    return {
        "empty": _("Nobody was here in this range. Choose a longer one, or another place."),
        "inside_only": _("This figure is of a place inside a venue. Choose a floor or a store."),
        "unfinished": _("Today is not over yet."),
        "lost": _("The figures could not be fetched. Check the connection; the page tries again by itself."),
        "refused": _("The server could not make these figures. Try again in a moment."),
        "out": _("You are logged out."),
        "in": _("Log in again"),
        "retry": _("Try again"),
        "loading": _("The figures are on their way."),
        "coverage": _("Events arrived in {share} of this range, so the figures may be too low."),
        "restated": _("Restated {when}: late events or a correction changed days of this range."),
        "updated": _("As of {time}"),
        "table": _("Show as table"),
        "shown": _("The first {n} of {all} rows."),
    }


def _of_places() -> dict[str, str]:
    return {
        "all_zones": _("All places here"),
        "store": _("Store"),
        "brands": _("Brands"),
        "floor": _("Floor"),
        "export": _("CSV"),
        "export_part": _("CSV of rows {from}–{to}"),
        "no_stores": _("There are no stores here."),
        "no_plan": _("No zone of this venue has a boundary, so there is no plan to draw."),
        "whole_day": _("Whole day"),
        "hour_of": _("{from} to {to}"),
        "pick_hour": _("The slider works for visits and for occupancy."),
        "nothing": _("no figure"),
        "no_flows": _("Nobody went from one place to another in this range."),
        "no_pairs": _("No two places were visited by the same people in this range."),
        "no_street": _("No zone outside the doors is known here, so passers-by cannot be counted."),
        "no_cohorts": _("Nobody came for the first time in these months."),
        "flows_shown": _("The picture has the {n} widest of {all} paths; the table has all of them."),
        "from": _("From"),
        "to": _("To"),
        "both": _("{a} and {b}"),
        "before_it": _("{place}, before"),
        "after_it": _("{place}, after"),
    }


def _of_figures() -> dict[str, str]:
    return {
        "seconds": _("{n} s"),
        "minutes": _("{n} min"),
        "hours": _("{h} h {m} min"),
        "now": _("This range"),
        "previous": _("The days before"),
        "year": _("The year before"),
        "today": _("Today"),
        "last_week": _("Same weekday last week"),
        "so_far": _("so far"),
        "by_now": _("by this time last week"),
        "inside": _("inside now"),
        "change": _("Change"),
        "more": _("{share} more than in the range beside it"),
        "less": _("{share} less than in the range beside it"),
        "same": _("as in the range beside it"),
        "period": _("Period"),
        "hour": _("Hour"),
        "weekday": _("Weekday"),
        "visits": _("Visits"),
        "visitors": _("Visitors"),
        "new": _("New"),
        "returning": _("Returning"),
        "mean_visits": _("Visits beginning, mean of a day"),
        "mean_occupancy": _("People here at once, mean"),
        "mean_of_days": _("Visits beginning, mean of {days} days"),
        "share": _("Share"),
        "length": _("Length of the visit"),
        "under_5": _("<5 min"),
        "from_5_to_15": _("5–15"),
        "from_15_to_30": _("15–30"),
        "from_30_to_60": _("30–60"),
        "over_60": _(">60 min"),
        "times": _("Visits in this range"),
        "days_ago": _("Days since the last visit"),
        "cohort": _("First visit in"),
        "months_later": _("{n} months later"),
        "passers_by": _("Passers-by"),
        "pair": _("Places"),
        "others": _("other places"),
        "summary": _("{figure} of {place}, {range}."),
        "busiest": _("Busiest hour: {hour}"),
        "usually": _("On average {n} visits each"),
        "median": _("Median {value}, nine of ten under {p90}"),
    }


def page(**more: Any) -> dict[str, Any]:
    """All that the scripts need to know of words."""
    return {"texts": texts(), "kinds": kinds(), "explained": explained(), **more}
