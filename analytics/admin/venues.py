"""Venues and zones, on the plan."""

from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics import drawings, plan
from analytics.admin import trials
from engagement import display, inbox, site
from engagement.models import BeaconPlacement, Brand, Venue, Zone, ZoneVersion
from engagement.opening import EXCEPTIONS, WEEKDAYS
from engagement.place_forms import VenueForm, ZoneForm
from engagement.scoped import ProvisionedAdmin, ScopedFilter


@admin.register(Venue)
class VenueAdmin(ProvisionedAdmin):
    when_empty = gettext_lazy("Places come from a provision file. The live page shows a first one.")
    form = VenueForm
    list_display = ("name", "key", "time_zone", "zone_count", "live")
    search_fields = ("name", "key")
    ordering = ("name",)
    readonly_fields = ("key", "live", "opening")
    change_form_outer_before_template = "analytics/venue.html"

    def get_fieldsets(self, request: HttpRequest, obj: Venue | None = None) -> list[Any]:
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": ("name", "time_zone", "opening", "key", "live")})]
        hours = {
            "fields": ("always_open", *WEEKDAYS, EXCEPTIONS),
            "description": _("Figures can leave closed hours out. After a change they are made again from the beginning, and say so."),
        }
        return [(None, {"fields": ("name", "time_zone", "key", "live")}), (_("Opening hours"), hours)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Venue]:
        venues: QuerySet[Venue] = super().get_queryset(request).annotate(zone_total=Count("zones"))
        return venues

    @admin.display(description=gettext_lazy("zones"))
    def zone_count(self, venue: Venue) -> str:
        total: int = venue.zone_total  # type: ignore[attr-defined]
        return format_html('<a href="{}?venue={}">{}</a>', reverse("admin:engagement_zone_changelist"), venue.pk, display.number(total))

    @admin.display(description=gettext_lazy("now"))
    def live(self, venue: Venue) -> str:
        return format_html('<a href="{}">{}</a>', reverse("live_venue", args=[venue.pk]), _("Live page"))

    @admin.display(description=gettext_lazy("opening hours"))
    def opening(self, venue: Venue) -> str:
        return display.opening_hours(venue.opening_hours)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        venue = self.own(request, object_id)
        places = drawings.places_of(venue)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "plan": plan.draw(places), "places": places})  # type: ignore[no-any-return]


class VenueFilter(ScopedFilter):
    title = gettext_lazy("venue")
    parameter_name = "venue"
    related = Venue
    lookup = "venue"


class BrandFilter(ScopedFilter):
    title = gettext_lazy("brand")
    parameter_name = "brand"
    related = Brand
    lookup = "brand"


@admin.register(Zone)
class ZoneAdmin(ProvisionedAdmin):
    when_empty = gettext_lazy("Places come from a provision file. The live page shows a first one.")
    form = ZoneForm
    list_display = ("name", "venue", "kind", "floor", "brand", "placed_by", "key")
    list_filter = (VenueFilter, "kind", BrandFilter)
    search_fields = ("name", "key")
    ordering = ("venue__name", "name")
    list_select_related = ("venue", "brand")
    readonly_fields = ("key", "venue", "kind", "brand", "parent", "floor", "stays")
    change_form_outer_before_template = "analytics/zone.html"
    change_form_outer_after_template = "analytics/zone_versions.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Zone]:
        return super().get_queryset(request).prefetch_related("versions__parent", "placements")

    def get_fieldsets(self, request: HttpRequest, obj: Zone | None = None) -> list[Any]:
        facts = (None, {"fields": ("name", ("kind", "venue"), ("parent", "floor"), ("brand", "key"), "stays")})
        if not self.has_change_permission(request, obj):
            return [facts]  # the table of versions shows the rest
        rules = {
            "fields": (("exit_grace_s", "min_stay_s"), ("enter_rssi", "hold_rssi"), "max_accuracy_m", "boundary"),
            "description": _("A change holds from the moment it is saved. What happened before is judged by the version of its time."),
        }
        return [facts, (_("What decides a stay"), rules)]

    @admin.display(description=gettext_lazy("floor"))
    def floor(self, zone: Zone) -> str:
        current = current_of(zone)
        return display.number(current.floor) if current and current.floor is not None else display.NOTHING

    @admin.display(description=gettext_lazy("part of"))
    def parent(self, zone: Zone) -> str:
        current = current_of(zone)
        return site.link(current.parent, current.parent.name) if current and current.parent else display.NOTHING

    @admin.display(description=gettext_lazy("placed by"))
    def placed_by(self, zone: Zone) -> str:
        current, beacons = current_of(zone), sum(1 for one in zone.placements.all() if one.valid_to is None)
        ways = [_("boundary")] if current and current.boundary else []
        return ", ".join([*ways, *([_("%(n)s beacons") % {"n": display.number(beacons)}] if beacons else [])]) or display.tag(_("nothing"), "warn")

    @admin.display(description=gettext_lazy("stays"))
    def stays(self, zone: Zone) -> str:
        return format_html('<a href="{}?zone={}">{}</a>', reverse("admin:analytics_stay_changelist"), zone.pk, _("Stays in this zone"))

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        zone = self.own(request, object_id)
        versions = [(version, *spans(version, zone.venue.time_zone)) for version in sorted(zone.versions.all(), key=lambda one: one.valid_from, reverse=True)]
        hung = BeaconPlacement.objects.filter(zone=zone).select_related("beacon").order_by("valid_to", "beacon__key")
        beacons = [(one.beacon, inbox.describe_address(bytes(one.beacon.address)), *spans(one, zone.venue.time_zone)) for one in hung]
        drawn = plan.draw(drawings.places_of(zone.venue))
        context = {"zone": zone, "plan": showing(drawn, zone.key), "versions": versions, "beacons": beacons, **trials.beside(zone)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})  # type: ignore[no-any-return]


def current_of(zone: Zone) -> ZoneVersion | None:
    return next((one for one in zone.versions.all() if one.valid_to is None), None)


def spans(row: ZoneVersion | BeaconPlacement, time_zone: str) -> tuple[str, str]:
    return display.moment(row.valid_from, time_zone), display.moment(row.valid_to, time_zone) if row.valid_to else _("now")


def showing(drawn: plan.Plan, key: str) -> plan.Plan:
    """The plan, opened at the sheet that this zone is on."""
    on = [number for number, sheet in enumerate(drawn.sheets) if any(one.key == key for one in sheet.outlines)]
    return replace(drawn, opened=drawn.opened if drawn.opened in on or not on else on[0])
