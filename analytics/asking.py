"""A question about figures: what a caller wrote, made into places, a range and what stands beside it. Every wrong parameter is named.

Who may ask about what is tenancy's to say: a place that the caller may not know of is as unknown as one that never was.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, cast, get_args
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext as _

from analytics.calendars import Clock, to_moment
from analytics.periods import GRAINS, MOST_ROWS, SHORTEST, Grain, midnight
from analytics.reports.catalogue import Report
from analytics.reports.reading import Hours, Question, Range, Subject
from engagement import tenancy
from engagement.models import Zone, ZoneKind
from engagement.parameters import BadParameters, Fault, Parameters

Comparison = Literal["previous", "year"]
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)
Form = Literal["json", "csv"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
HOURS: Final[tuple[Hours, ...]] = get_args(Hours)
MOST_PLACES: Final = 20
MOST_TOGETHER: Final = 50  # zones of a report that is about all of them together
MOST_ROWS_TOGETHER: Final = 50_000  # of all places and all ranges of one answer
COMMON: Final = ("organisation", "zone", "brand", "from", "to", "hours", "compare", "format")


@dataclass(frozen=True, slots=True)
class Asked:
    subjects: tuple[Subject, ...]  # in the order they were named
    question: Question
    compared: dict[Comparison, Question]  # in the order they were named
    form: Form


class UnknownPlace(Exception):
    """There is no such place, or the caller may not know of it."""


def read(query: QueryDict, principal: tenancy.Principal, report: Report, *, form: Form = "json") -> Asked:
    """`form`: the one where the address names none. Raises BadParameters and UnknownPlace."""
    parameters = Parameters(query, (*COMMON, "grain") if report.periods else COMMON)
    zones = parameters.keys("zone", most=MOST_TOGETHER if report.together else MOST_PLACES)
    brands = parameters.keys("brand", most=MOST_PLACES)
    start, end = parameters.edge("from"), parameters.edge("to")
    grain = cast(Grain, parameters.choice("grain", report.grains or GRAINS, default="day"))
    hours = cast(Hours, parameters.choice("hours", HOURS, default="all"))
    compared = cast(list[Comparison], parameters.choices("compare", COMPARISONS))
    wanted = cast(Form, parameters.choice("format", FORMS, default=form))
    if zones and brands:
        parameters.wrong("brand", "invalid", _("Give zones or brands, not both."))
    elif not brands and not any(fault.parameter in {"zone", "brand"} for fault in parameters.faults) and not zones:
        parameters.wrong("zone", "required", _("It is required, or `brand`."))
    parameters.check()
    assert start is not None and end is not None
    places, clocks = _brands(principal, brands, report) if brands else _zones(principal, zones, report)
    question = Question(Range(start, end), grain, hours)
    _check_range(question, clocks, grains=report.periods, answers=(1 if report.together else len(places)) * (1 + len(compared)))
    beside = {name: replace(question, range=_compared(name, question.range, clocks)) for name in compared}
    return Asked(places, question, beside, wanted)


def _zones(principal: tenancy.Principal, keys: Sequence[str], report: Report) -> tuple[tuple[Subject, ...], set[Clock]]:
    known = {zone.key: zone for zone in tenancy.zones_of(principal).filter(key__in=keys).select_related("venue")}
    if not known.keys() >= set(keys):
        raise UnknownPlace(_("There is no zone with this key.") if len(keys) == 1 else _("There is no zone with one of these keys."))
    if not all(_takes(report, zone) for zone in known.values()):
        raise BadParameters([Fault("zone", "invalid", _("This report is of %(places)s.") % {"places": places_of(report)})])
    places = tuple(Subject("zone", key, known[key].name, (known[key].pk,)) for key in keys)
    return places, _clocks(known.values())


def _brands(principal: tenancy.Principal, keys: Sequence[str], report: Report) -> tuple[tuple[Subject, ...], set[Clock]]:
    known = {brand.key: brand for brand in tenancy.brands_of(principal).filter(key__in=keys)}
    if not known.keys() >= set(keys):
        raise UnknownPlace(_("There is no brand with this key.") if len(keys) == 1 else _("There is no brand with one of these keys."))
    if "brand" not in report.takes:
        raise BadParameters([Fault("brand", "invalid", _("This report is of %(places)s.") % {"places": places_of(report)})])
    zones = list(tenancy.zones_of(principal).filter(brand__in=known.values()).select_related("venue").order_by("pk"))
    places = tuple(Subject("brand", key, known[key].name, tuple(zone.pk for zone in zones if zone.brand_id == known[key].pk)) for key in keys)
    if not all(place.zones for place in places):
        raise BadParameters([Fault("brand", "invalid", _("This brand has no stores yet. Give a zone this brand first."))])
    return places, _clocks(zones)


def _takes(report: Report, zone: Zone) -> bool:
    if zone.kind == ZoneKind.VENUE:
        return "venue" in report.takes
    return "zone" in report.takes or (zone.kind == ZoneKind.STREET and "street" in report.takes)


def places_of(report: Report) -> str:
    """Which places the report takes, for people."""
    names = {"venue": _("a venue"), "zone": _("a zone within a venue"), "street": _("a street zone"), "brand": _("a brand")}
    return ", ".join(str(names[one]) for one in report.takes)


def _clocks(zones: Iterable[Zone]) -> set[Clock]:
    return {Clock.of(zone.venue.time_zone, zone.venue.opening_hours) for zone in zones}


def _check_range(question: Question, clocks: Collection[Clock], *, grains: bool, answers: int) -> None:
    """The end is not before the start on any clock, and nobody is given more rows than he can read."""
    lengths = [end - start for start, end in (question.range.us(clock) for clock in clocks)]
    if min(lengths) < 0:
        raise BadParameters([Fault("to", "invalid", _("It lies before `from`."))])
    rows = timedelta(microseconds=max(lengths)) / SHORTEST[question.grain]
    if rows <= MOST_ROWS and rows * answers <= MOST_ROWS_TOGETHER:
        return
    if not grains:
        raise BadParameters([Fault("to", "invalid", _("The range has more than %(most)s days. Take a shorter one.") % {"most": MOST_ROWS})])
    if rows > MOST_ROWS:
        detail = _("The range has more than %(most)s rows. Take a coarser grain or a shorter range.") % {"most": MOST_ROWS}
    else:
        detail = _("All places together have more than %(most)s rows. Take a coarser grain, a shorter range or fewer places.") % {"most": MOST_ROWS_TOGETHER}
    raise BadParameters([Fault("grain", "invalid", detail)])


# --- What stands beside a range -------------------------------------------------------------------------------------------


def _compared(name: Comparison, wanted: Range, clocks: Collection[Clock]) -> Range:
    zones = {clock.zone for clock in clocks}
    dates = [not isinstance(edge, datetime) for edge in (wanted.start, wanted.end)]
    if all(dates):
        return previous(wanted) if name == "previous" else year_before(wanted)
    if len(zones) > 1 and (any(dates) or name == "year"):
        raise BadParameters([Fault("compare", "invalid", _("These places lie in several time zones. Give `from` and `to` as dates."))])
    zone = zones.pop()
    instants = Range(_instant(wanted.start, zone), _instant(wanted.end, zone))
    return previous(instants) if name == "previous" else year_before(instants, zone)


def _instant(edge: date | datetime, zone: ZoneInfo) -> datetime:
    return edge if isinstance(edge, datetime) else midnight(edge, zone)


def previous(wanted: Range) -> Range:
    """The range of the same length directly before: as many local days between dates, as much time between instants."""
    start, end = wanted.start, wanted.end
    length = end - start if isinstance(start, datetime) and isinstance(end, datetime) else timedelta(days=end.toordinal() - start.toordinal())
    return Range(start - length, start)


def year_before(wanted: Range, zone: ZoneInfo | None = None) -> Range:
    """The range of the same length that begins on the same weekday of the same ISO week, in the ISO year before.

    Week 53 stands beside that year's week 52 where it has no week 53. So every day stands beside one of the same weekday, and both
    ranges have as many. Instants keep the local wall time of `zone`, which they need; an hour that was skipped there is the one after.
    """
    if not isinstance(wanted.start, datetime) or not isinstance(wanted.end, datetime):
        back = _days_back(wanted.start)
        return Range(wanted.start - back, wanted.end - back)
    assert zone is not None
    back = _days_back(wanted.start.astimezone(zone).date())
    start, end = (_earlier(edge, back, zone) for edge in (wanted.start, wanted.end))
    return Range(start, end)


def _days_back(day: date) -> timedelta:
    """364 or 371 days."""
    year, week, weekday = day.isocalendar()
    last = date(year - 1, 12, 28).isocalendar().week
    return date.fromordinal(day.toordinal()) - date.fromisocalendar(year - 1, min(week, last), weekday)


def _earlier(edge: datetime, back: timedelta, zone: ZoneInfo) -> datetime:
    return (edge.astimezone(zone) - back).astimezone(UTC)  # arithmetic on a local datetime is on its wall clock


def told(edge: date | datetime) -> str:
    """As an answer writes it: a local date, or an instant in UTC."""
    return edge.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(edge, datetime) else edge.isoformat()


def moment_told(us: int) -> str | None:
    """Of microseconds since 1970; none where it is 0."""
    return told(to_moment(us)) if us else None
