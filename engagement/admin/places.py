"""Brands, beacons, and what changed in the places. (Venues and zones show a plan, so their pages are in analytics.)"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from engagement import display, inbox, site
from engagement.models import Beacon, BeaconPlacement, Brand, Zone, ZoneVersion
from engagement.place_forms import THRESHOLDS, BrandForm
from engagement.provisioning import BEGINNING
from engagement.scoped import ProvisionedAdmin, ScopedAdmin, ScopedFilter
from engagement.tenancy import Action


@admin.register(Brand)
class BrandAdmin(ProvisionedAdmin):
    when_empty = gettext_lazy("Places come from a provision file. The live page shows a first one.")
    form = BrandForm
    list_display = ("name", "key")
    search_fields = ("name", "key")
    ordering = ("name",)
    readonly_fields = ("key",)
    fields = ("name", "key")


class PlacementInline(TabularInline):  # type: ignore[misc]
    model = BeaconPlacement
    extra = 0
    verbose_name_plural = gettext_lazy("Where it hung")
    fields = readonly_fields = ("zone", "from_", "until")
    ordering = ("-valid_from",)
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return site.may(request, Action.LOOK)

    @admin.display(description=gettext_lazy("from"))
    def from_(self, placement: BeaconPlacement) -> str:
        return display.moment(placement.valid_from, placement.zone.venue.time_zone)

    @admin.display(description=gettext_lazy("until"))
    def until(self, placement: BeaconPlacement) -> str:
        return display.moment(placement.valid_to, placement.zone.venue.time_zone) if placement.valid_to else _("now")


@admin.register(Beacon)
class BeaconAdmin(ScopedAdmin):
    when_empty = gettext_lazy("Places come from a provision file. The live page shows a first one.")
    list_display = ("key", "readable_address", "hangs_in")
    search_fields = ("key",)
    ordering = ("key",)
    fields = readonly_fields = ("key", "readable_address", "hangs_in")
    inlines = (PlacementInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Beacon]:
        return super().get_queryset(request).prefetch_related("placements__zone__venue")

    @admin.display(description=gettext_lazy("address"))
    def readable_address(self, beacon: Beacon) -> str:
        return inbox.describe_address(bytes(beacon.address))

    @admin.display(description=gettext_lazy("hangs in"))
    def hangs_in(self, beacon: Beacon) -> str:
        current = next((one for one in beacon.placements.all() if one.valid_to is None), None)
        return site.link(current.zone, f"{current.zone.name}, {current.zone.venue.name}") if current else display.NOTHING


class ZoneFilter(ScopedFilter):
    title = gettext_lazy("zone")
    parameter_name = "zone"
    related = Zone
    lookup = "zone"


@admin.register(ZoneVersion)
class ZoneVersionAdmin(ScopedAdmin):
    """What changed in the places, and when. A first version is no change."""

    when_empty = gettext_lazy("No place has changed since it was made.")
    list_display = ("since", "zone_link", "what_changed")
    fields = readonly_fields = list_display
    list_filter = (ZoneFilter,)
    ordering = ("-valid_from", "-pk")
    sortable_by: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ZoneVersion]:
        versions = super().get_queryset(request).filter(valid_from__gt=BEGINNING)
        return versions.select_related("zone__venue", "parent").prefetch_related("zone__versions__parent")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": _("What changed in the places"), **(extra_context or {})})

    @admin.display(description=gettext_lazy("since"))
    def since(self, version: ZoneVersion) -> str:
        return display.moment(version.valid_from, version.zone.venue.time_zone)

    @admin.display(description=gettext_lazy("zone"))
    def zone_link(self, version: ZoneVersion) -> str:
        return site.link(version.zone, f"{version.zone.name}, {version.zone.venue.name}")

    @admin.display(description=gettext_lazy("what changed"))
    def what_changed(self, version: ZoneVersion) -> str:
        before = next((one for one in version.zone.versions.all() if one.valid_to == version.valid_from), None)
        return changes(before, version) if before else display.NOTHING


def changes(before: ZoneVersion, after: ZoneVersion) -> str:
    """`exit_grace_s 120 → 300, boundary drawn anew`."""
    said = []
    for name in ("floor", *THRESHOLDS):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            said.append(f"{name} {display.number(old)} → {display.number(new)}")
    if before.parent_id != after.parent_id:
        said.append(_("moved to %(parent)s") % {"parent": after.parent})
    if before.boundary != after.boundary:
        said.append(_("boundary drawn anew") if after.boundary else _("boundary removed"))
    return ", ".join(said) or display.NOTHING
