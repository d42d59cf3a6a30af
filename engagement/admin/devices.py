"""An app's installations, and the events of one on a day."""

from datetime import date, timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from engagement import display, inbox, set_aside, site
from engagement.models import Device, Event, Shopper, ShopperDevice
from engagement.scoped import MachineMadeAdmin, YesNoFilter

EVENTS_OF_A_DAY: Final = 300
DAYS_SHOWN: Final = 14


class IdentifiedFilter(YesNoFilter):
    title = gettext_lazy("identified")
    parameter_name = "identified"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return {"yes": queryset.exclude(first_identified_at=None), "no": queryset.filter(first_identified_at=None)}.get(self.value() or "", queryset)


@admin.register(Device)
class DeviceAdmin(MachineMadeAdmin):
    """An app's installations, and the events of one on a day."""

    when_empty = gettext_lazy("They appear as soon as the first event is processed. The live page shows how to send one.")
    list_display = ("key", "owner_link", "platform", "app_version", "first_seen", "last_day")
    list_filter = (IdentifiedFilter,)
    search_fields = ("=key",)
    search_help_text = gettext_lazy("The device's whole id.")
    ordering = ("key",)  # the order of its unique index
    list_select_related = ("owner",)
    fields = readonly_fields = ("key", "owner_link", "other_shoppers", "platform", "app_version", "first_seen", "last_day")
    change_form_outer_after_template = "engagement/device_events.html"

    @admin.display(description=gettext_lazy("shopper"))
    def owner_link(self, device: Device) -> str:
        return site.link(device.owner, str(device.owner)) if device.first_identified_at else site.link(device.owner, _("anonymous"))

    @admin.display(description=gettext_lazy("also used by"))
    def other_shoppers(self, device: Device) -> str:
        others = Shopper.objects.filter(pk__in=ShopperDevice.objects.filter(device=device).values("shopper_id")).exclude(pk=device.owner_id)[:20]
        return ", ".join(str(one) for one in others) or display.NOTHING

    @admin.display(description=gettext_lazy("first seen"))
    def first_seen(self, device: Device) -> str:
        return display.moment(device.created_at)

    @admin.display(description=gettext_lazy("last active on"))
    def last_day(self, device: Device) -> str:
        return display.day(_day(max(device.days))) if device.days else display.NOTHING

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        device = self.own(request, object_id)
        day = _asked_day(request) or (_day(max(device.days)) if device.days else timezone.localdate())
        # The organisation's own devices only: `device` was found in its scope.
        events = list(Event.objects.filter(day=day, device_id=device.pk, organisation=device.organisation).order_by("-occurred_at")[:EVENTS_OF_A_DAY])
        context = {"day": day, "events": [_shown(event) for event in events], "days": [_day(number) for number in sorted(device.days)[-DAYS_SHOWN:]]}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context, "most": EVENTS_OF_A_DAY})  # type: ignore[no-any-return]


def _day(number: int) -> date:
    """Of days since 1970."""
    return date(1970, 1, 1) + timedelta(days=number)


def _asked_day(request: HttpRequest) -> date | None:
    try:
        return parse_date(request.GET.get("day", ""))
    except ValueError:
        return None


def _shown(event: Event) -> dict[str, Any]:
    if event.kind == inbox.FIX and event.lat is not None and event.lon is not None:
        what = set_aside.position(event.lat, event.lon, event.accuracy or 0.0)
    elif event.kind == inbox.SIGHTING and event.beacon is not None:
        what = set_aside.sighting(bytes(event.beacon), event.rssi)
    elif event.kind == inbox.TRANSITION:
        what = f"{set_aside.direction(event.direction or 0)} {event.zone}"
    else:
        what = event.name or ""
    return {
        "at": display.moment(event.occurred_at, seconds=True),
        "late": display.late(event.received_at - event.occurred_at),
        "kind": inbox.KIND_NAMES.get(event.kind, ""),
        "what": what,
    }
