"""Stays and their transitions."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import TextFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from analytics.models import Stay, Transition
from engagement import display, site
from engagement.models import Organisation, Shopper, Venue, Zone
from engagement.scoped import MachineMadeAdmin, ScopedFilter, YesNoFilter

LATEST_TRANSITIONS: Final = 50_000  # of all organisations: the table has no index by organisation, so the list looks no further back


def is_open(stay: Stay, now: datetime) -> bool:
    """The definitions: a further observation now could still extend it. The reader's clock decides, not the sweep."""
    return not stay.closed and stay.closes_at >= now


def states(stay: Stay, now: datetime) -> str:
    """Tags: open or not, counted or a pass-by."""
    counted = display.tag(_("counted"), "good") if stay.counted else display.tag(_("pass-by"))
    return format_html("{} {}", counted, display.tag(_("open"), "warn")) if is_open(stay, now) else counted


class VenueFilter(ScopedFilter):
    title = gettext_lazy("venue")
    parameter_name = "venue"
    related = Venue
    lookup = "zone__venue"


class ZoneFilter(ScopedFilter):
    title = gettext_lazy("zone")
    parameter_name = "zone"
    related = Zone
    lookup = "zone"


class CountedFilter(YesNoFilter):
    title = gettext_lazy("counted")
    parameter_name = "counted"
    no = gettext_lazy("No, a pass-by")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return {"yes": queryset.filter(counted=True), "no": queryset.filter(counted=False)}.get(self.value() or "", queryset)


class OpenFilter(YesNoFilter):
    title = gettext_lazy("open")
    parameter_name = "open"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # `closed=False` lets the partial index find the few that can be open.
        now = timezone.now()
        return {"yes": queryset.filter(closed=False, closes_at__gte=now), "no": queryset.filter(closes_at__lt=now)}.get(self.value() or "", queryset)


class DateForm(forms.Form):
    def __init__(self, name: str, label: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fields[name] = forms.DateField(label=label, required=False, widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))


class StartedFilter(TextFilter):  # type: ignore[misc]
    """Stays that started on a local day."""

    title = gettext_lazy("day of its start")
    parameter_name = "day"
    form_class = DateForm

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": DateForm(self.parameter_name, _("Day of its start"), data={self.parameter_name: self.value()})}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            day = parse_date(self.value() or "")
        except ValueError:
            day = None
        if day is None:
            return queryset
        start, end = (datetime.combine(one, time(), timezone.get_current_timezone()) for one in (day, day + timedelta(days=1)))
        return queryset.filter(started__gte=start, started__lt=end)


@admin.register(Stay)
class StayAdmin(MachineMadeAdmin):
    when_empty = gettext_lazy("They appear as soon as the first event is processed. The live page shows how to send one.")
    list_display = ("begins", "ends", "dwell", "zone_link", "shopper_link", "state")
    fields = readonly_fields = list_display
    list_filter = (VenueFilter, ZoneFilter, StartedFilter, CountedFilter, OpenFilter)
    ordering = ("-started",)  # the indexes by zone and by organisation have this order
    list_select_related = ("zone__venue", "shopper")

    @admin.display(description=gettext_lazy("started"))
    def begins(self, stay: Stay) -> str:
        return display.moment(stay.started, stay.zone.venue.time_zone)

    @admin.display(description=gettext_lazy("last seen"))
    def ends(self, stay: Stay) -> str:
        return display.moment(stay.ended, stay.zone.venue.time_zone)

    @admin.display(description=gettext_lazy("dwell"))
    def dwell(self, stay: Stay) -> str:
        return display.duration((stay.ended - stay.started).total_seconds())

    @admin.display(description=gettext_lazy("zone"))
    def zone_link(self, stay: Stay) -> str:
        return site.link(stay.zone, f"{stay.zone.name}, {stay.zone.venue.name}" if stay.zone.name != stay.zone.venue.name else stay.zone.name)

    @admin.display(description=gettext_lazy("shopper"))
    def shopper_link(self, stay: Stay) -> str:
        return site.link(stay.shopper, str(stay.shopper))

    @admin.display(description=gettext_lazy("state"))
    def state(self, stay: Stay) -> str:
        return states(stay, timezone.now())


@admin.register(Transition)
class TransitionAdmin(MachineMadeAdmin):
    """What the stream has told of stays: the latest of it."""

    when_empty = gettext_lazy("They appear as soon as the first event is processed. The live page shows how to send one.")
    list_display = ("happened", "tagged_kind", "zone_name", "shopper_name", "told")
    fields = readonly_fields = list_display
    list_filter = ("kind",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transition]:
        newest = Transition.objects.aggregate(newest=Max("pk"))["newest"] or 0
        return super().get_queryset(request).filter(pk__gt=newest - LATEST_TRANSITIONS)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.result_list = self._named(list(changelist.result_list), self.organisation(request))
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Transition | None:
        found = super().get_object(request, object_id, from_field)
        return self._named([found], self.organisation(request))[0] if found else None

    def _named(self, rows: list[Any], organisation: Organisation) -> list[Any]:
        """Ids without foreign keys: the zones and shoppers of all rows are looked up together, within the organisation."""
        zones = Zone.objects.filter(organisation=organisation).select_related("venue").in_bulk({row.zone_id for row in rows})
        shoppers = Shopper.objects.filter(organisation=organisation).in_bulk({row.shopper_id for row in rows})
        for row in rows:
            row.zone, row.shopper = zones.get(row.zone_id), shoppers.get(row.shopper_id)
        return rows

    @admin.display(description=gettext_lazy("happened"))
    def happened(self, row: Any) -> str:
        return display.moment(row.at, row.zone.venue.time_zone if row.zone else None, seconds=True)

    @admin.display(description=gettext_lazy("what"))
    def tagged_kind(self, row: Any) -> str:
        said = _("dwelled %(n)s min") % {"n": row.minutes} if row.minutes else row.get_kind_display()
        return display.tag(said, "good" if row.kind == Transition.Kind.ENTERED else "")

    @admin.display(description=gettext_lazy("zone"))
    def zone_name(self, row: Any) -> str:
        return site.link(row.zone, row.zone.name) if row.zone else display.NOTHING

    @admin.display(description=gettext_lazy("shopper"))
    def shopper_name(self, row: Any) -> str:
        return site.link(row.shopper, str(row.shopper)) if row.shopper else display.NOTHING

    @admin.display(description=gettext_lazy("told after"))
    def told(self, row: Any) -> str:
        return display.duration(max(0.0, (row.created_at - row.at).total_seconds()))
