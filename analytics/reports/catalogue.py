"""Every report by its name, and every figure by the name of its field: what it is called, what it means, and in what it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from analytics.periods import GRAINS, Grain
from analytics.reports import paths, people, presence, sales, stayed, week
from analytics.reports.footfall import report as footfall
from analytics.reports.reading import Question, Reading, Subject

Text = str | Promise
Takes = Literal["venue", "zone", "street", "brand"]  # a venue's root, any zone but a root, a zone of kind `street`, a brand
Unit = Literal["number", "s", "ratio", "instant", "key", "label", "list"]

ANY: Final[tuple[Takes, ...]] = ("venue", "zone", "brand")


@dataclass(frozen=True, slots=True)
class Report:
    """`grains` is empty where a report has no periods. `over` tells for each figure in which field (at most) so many shoppers are behind it:
    an export that hides small cells hides the figure where that field is under 10."""

    name: str
    function: Callable[[Reading, Sequence[Subject], Question], list[dict[str, Any]]]
    title: Text
    sentence: Text
    row: tuple[str, ...]  # fields of a row, in order
    total: tuple[str, ...]
    takes: tuple[Takes, ...] = ANY
    grains: tuple[Grain, ...] = GRAINS
    over: dict[str, str] = field(default_factory=dict)
    together: bool = False  # one answer about all places named, instead of one for each

    @property
    def periods(self) -> bool:
        return bool(self.grains)


@dataclass(frozen=True, slots=True)
class Figure:
    label: Text
    sentence: Text
    unit: Unit


def figure(report: str, name: str) -> Figure:
    """What a field of a report means. The same name can mean more in one report than in others."""
    return FIGURES.get(f"{report}.{name}") or FIGURES[name]


_FOOTFALL: Final = ("visits", "visitors", "new", "returning", "pass_bys", "dwell_median_s", "dwell_p90_s", "dwell_mean_s")
_PEOPLE: Final = ("visits", "visitors", "new", "returning", "frequency")
_DWELL: Final = ("visits", "median_s", "p90_s", "mean_s", "shares")
_CAPTURE: Final = ("visitors", "above", "rate")
_CONVERSION: Final = ("buyers", "visitors", "rate")
_OCCUPANCY: Final = ("mean", "peak", "peak_at")
_BOUNCE: Final = ("visits", "pass_bys", "rate")

REPORTS: Final = {
    report.name: report
    for report in (
        Report(
            "footfall",
            footfall,
            _("Footfall"),
            _("How many came and how long they stayed."),
            ("period", *_FOOTFALL),
            _FOOTFALL,
            over=dict.fromkeys(("visits", "visitors", "dwell_median_s", "dwell_p90_s", "dwell_mean_s"), "visitors")
            | {"new": "new", "returning": "returning", "pass_bys": "pass_bys"},
        ),
        Report(
            "visitors",
            people.visitors,
            _("Visitors"),
            _("How many people came, how often, and how many of them for the first time."),
            ("period", *_PEOPLE),
            _PEOPLE,
            over={"visits": "visitors", "visitors": "visitors", "new": "new", "returning": "returning", "frequency": "visitors"},
        ),
        Report(
            "dwell",
            stayed.dwell,
            _("Dwell"),
            _("How long visits lasted, of those that have ended."),
            ("period", *_DWELL),
            _DWELL,
            over=dict.fromkeys(_DWELL, "visits"),
        ),
        Report(
            "occupancy",
            presence.occupancy,
            _("Occupancy"),
            _("How many people were there at once."),
            ("period", *_OCCUPANCY),
            (*_OCCUPANCY, "now"),
            over={"mean": "peak", "peak": "peak", "peak_at": "peak", "now": "now"},
        ),
        Report(
            "heatmap",
            week.heatmap,
            _("The week"),
            _("At which hours of which weekdays visits begin."),
            ("weekday", "hour", "visits", "days", "mean"),
            ("visits",),
            grains=(),
            over={"visits": "visits", "mean": "visits"},
        ),
        Report(
            "bounce",
            stayed.bounce,
            _("Bounce"),
            _("How many turned round before their stay counted as a visit."),
            ("period", *_BOUNCE),
            _BOUNCE,
            over={"visits": "visits", "pass_bys": "pass_bys", "rate": "visits"},
        ),
        Report(
            "retention",
            people.retention,
            _("Retention"),
            _("Of those who came for the first time in a month: how many came again in the months after it."),
            ("cohort", "visitors", "months"),
            ("visitors",),
            grains=(),
            over={"visitors": "visitors", "share": "visitors"},
        ),
        Report(
            "loyalty",
            people.loyalty,
            _("Loyalty"),
            _("How many visitors came once, how many twice, and so on."),
            ("visits", "visitors"),
            ("visits", "visitors", "frequency"),
            grains=(),
            over={"visits": "visitors", "visitors": "visitors", "frequency": "visitors"},
        ),
        Report(
            "recency",
            people.recency,
            _("Recency"),
            _("How long ago everybody who ever came was here last."),
            ("days_ago", "visitors"),
            ("visitors",),
            grains=(),
            over={"visitors": "visitors"},
        ),
        Report(
            "peak-hours",
            week.peak_hours,
            _("Peak hours"),
            _("How busy each hour of the day is."),
            ("hour", "visits", "mean_visits", "mean_occupancy"),
            ("hour",),
            grains=(),
            over={"visits": "visits", "mean_visits": "visits", "mean_occupancy": "visits"},
        ),
        Report(
            "flows",
            paths.flows,
            _("Flows"),
            _("From which place to which people went next."),
            ("from", "to", "visits"),
            ("visits",),
            takes=("venue", "zone"),
            grains=(),
            over={"visits": "visits"},
        ),
        Report(
            "capture",
            paths.capture,
            _("Capture"),
            _("How many of those who could have come in did."),
            ("period", *_CAPTURE),
            _CAPTURE,
            takes=("zone", "brand"),
            over={"visitors": "visitors", "above": "above", "rate": "visitors"},
        ),
        Report(
            "passers-by",
            paths.passers_by,
            _("Passers-by"),
            _("How many went along the street and did not come in."),
            ("period", "passers_by"),
            ("passers_by",),
            takes=("venue", "street"),
            over={"passers_by": "passers_by"},
        ),
        Report(
            "cross-visits",
            paths.cross_visits,
            _("Cross-visits"),
            _("How many visited both of two places."),
            ("a", "b", "visitors"),
            (),
            grains=(),
            over={"visitors": "visitors"},
            together=True,
        ),
        Report(
            "conversion",
            sales.conversion,
            _("Conversion"),
            _("How many of those who came bought something."),
            ("period", *_CONVERSION),
            _CONVERSION,
            takes=("zone", "brand"),
            over={"buyers": "buyers", "visitors": "visitors", "rate": "buyers"},
        ),
    )
}

FIGURES: Final = {
    "period": Figure(_("Period"), _("The hour, day, week or month on the clock of the place."), "label"),
    "visits": Figure(_("Visits"), _("Stays that lasted long enough to count, told at the time at which they began."), "number"),
    "visitors": Figure(_("Visitors"), _("Different people with at least one visit: who came twice is one visitor."), "number"),
    "new": Figure(_("New"), _("Visitors whose first visit ever to this place falls in the period."), "number"),
    "returning": Figure(_("Returning"), _("Visitors who had visited this place before the period."), "number"),
    "frequency": Figure(_("Frequency"), _("Visits for each visitor, on average."), "number"),
    "pass_bys": Figure(_("Pass-bys"), _("Stays that were too short to count as visits."), "number"),
    "dwell_median_s": Figure(_("Dwell, median"), _("Half of the visits that have ended were shorter than this, half were longer."), "s"),
    "dwell_p90_s": Figure(_("Dwell, 90th percentile"), _("Nine of ten visits that have ended were shorter than this."), "s"),
    "dwell_mean_s": Figure(_("Dwell, mean"), _("The time of all visits that have ended, divided by their number."), "s"),
    "dwell.visits": Figure(_("Visits that have ended"), _("Visits whose dwell is known, because the visitor has left."), "number"),
    "median_s": Figure(_("Median"), _("Half of the visits that have ended were shorter than this, half were longer."), "s"),
    "p90_s": Figure(_("90th percentile"), _("Nine of ten visits that have ended were shorter than this."), "s"),
    "mean_s": Figure(_("Mean"), _("The time of all visits that have ended, divided by their number."), "s"),
    "shares": Figure(_("Shares by length"), _("Of the visits that have ended, the share that lasted so many minutes."), "ratio"),
    "under_5": Figure(_("Under 5 minutes"), _("The share of visits of less than 5 minutes."), "ratio"),
    "from_5_to_15": Figure(_("5 to 15 minutes"), _("The share of visits from 5 to less than 15 minutes."), "ratio"),
    "from_15_to_30": Figure(_("15 to 30 minutes"), _("The share of visits from 15 to less than 30 minutes."), "ratio"),
    "from_30_to_60": Figure(_("30 to 60 minutes"), _("The share of visits from 30 to 60 minutes."), "ratio"),
    "over_60": Figure(_("Over 60 minutes"), _("The share of visits of more than 60 minutes."), "ratio"),
    "mean": Figure(_("Mean"), _("How many people were there on average, at every quarter of an hour so far."), "number"),
    "peak": Figure(_("Peak"), _("The most people who were there at one of the quarters of an hour."), "number"),
    "peak_at": Figure(_("Peak at"), _("When the most people were there, the first time."), "instant"),
    "now": Figure(_("Now"), _("How many people are there at this moment."), "number"),
    "weekday": Figure(_("Weekday"), _("The day of the week, from 1 for Monday to 7 for Sunday."), "label"),
    "hour": Figure(_("Hour"), _("The hour of the day that the clock on the wall shows."), "label"),
    "days": Figure(_("Days"), _("How many such days of the range have come to that hour."), "number"),
    "heatmap.mean": Figure(_("Visits a day"), _("The visits that begin in this hour, on an average such day."), "number"),
    "mean_visits": Figure(_("Visits a day"), _("The visits that begin in this hour, on an average day of the range."), "number"),
    "mean_occupancy": Figure(_("Occupancy"), _("How many people are there in this hour, on average."), "number"),
    "from": Figure(_("From"), _("The place that people came from."), "key"),
    "to": Figure(_("To"), _("The place that they visited next."), "key"),
    "flows.visits": Figure(_("Moves"), _("How often a visit to the one was followed by a visit to the other, before the visitor left."), "number"),
    "above": Figure(_("Visitors around"), _("Different people who visited the zone that this one lies in."), "number"),
    "capture.rate": Figure(_("Capture rate"), _("Visitors as a share of the visitors of the zone that this one lies in."), "ratio"),
    "passers_by": Figure(_("Passers-by"), _("Different people seen in the street who did not visit the venue on that day."), "number"),
    "a": Figure(_("One"), _("One of the two places."), "key"),
    "b": Figure(_("Other"), _("The other of the two places."), "key"),
    "cross-visits.visitors": Figure(_("Visitors of both"), _("Different people who visited both places in the range."), "number"),
    "buyers": Figure(_("Buyers"), _("Visitors who bought something of the brand in the same period."), "number"),
    "conversion.rate": Figure(_("Conversion rate"), _("Buyers as a share of visitors."), "ratio"),
    "bounce.rate": Figure(_("Bounce rate"), _("Pass-bys as a share of all stays, long and short."), "ratio"),
    "cohort": Figure(_("First visit in"), _("The month in which these people came for the first time."), "label"),
    "retention.visitors": Figure(
        _("Visitors"), _("People whose first visit ever fell in the month; in a later month, those of them who came again."), "number"
    ),
    "months": Figure(_("Months"), _("The month of the first visit, and each month since."), "list"),
    "months_later": Figure(_("Months later"), _("How many months after the month of the first visit."), "number"),
    "share": Figure(_("Share"), _("Of the people of the first month, the share that came in this month."), "ratio"),
    "loyalty.visits": Figure(_("Visits"), _("How often somebody came in the range."), "label"),
    "days_ago": Figure(_("Days ago"), _("Local days from the last visit to the last day of the range."), "label"),
    "recency.visitors": Figure(_("Visitors"), _("Everybody who ever visited and was here last so long ago."), "number"),
}
