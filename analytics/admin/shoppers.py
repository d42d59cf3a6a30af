"""Shoppers: their devices, and where they were."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from analytics import regulars
from analytics.admin.regulars import about, said
from analytics.admin.stays import states
from analytics.models import Regular, Stay
from engagement import display, shoppers, site
from engagement.models import Device, Shopper, ShopperDevice
from engagement.profiles import known
from engagement.scoped import MachineMadeAdmin, YesNoFilter
from engagement.tenancy import Action

LATEST_STAYS: Final = 60
DEVICES_SHOWN: Final = 50


class KnownFilter(YesNoFilter):
    """Those whom an app named, unless asked otherwise: both kinds have an index with their order."""

    title = gettext_lazy("known by")
    parameter_name = "known"
    yes = gettext_lazy("An id of the app")
    no = gettext_lazy("A device only (anonymous)")
    all_option = None

    def value(self) -> str:
        return super().value() or "yes"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "no":
            return queryset.exclude(device_key=None).order_by("device_key")
        return queryset.exclude(external_id=None).order_by("external_id")


@dataclass(frozen=True)
class Bar:
    """A stay on the timeline of a day: where it begins and how wide it is, in percent of the shown hours."""

    left: float
    width: float
    stay: Stay
    label: str


@admin.register(Shopper)
class ShopperAdmin(MachineMadeAdmin):
    when_empty = gettext_lazy("They appear as soon as the first event is processed. The live page shows how to send one.")
    list_display = ("name", "last_seen", "known_since")
    list_filter = (KnownFilter,)
    search_fields = ("=external_id", "=device_key")
    search_help_text = gettext_lazy("The shopper's or device's whole id.")
    fields = readonly_fields = ("name", "last_seen", "known_since", "devices")
    change_form_outer_after_template = "analytics/shopper.html"

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Both kinds of id are searched, whatever the filter says."""
        if not search_term:
            return queryset, False
        return self.get_queryset(request).filter(Q(external_id=search_term) | Q(device_key=search_term)).order_by("pk"), False

    @admin.display(description=gettext_lazy("shopper"))
    def name(self, shopper: Shopper) -> str:
        return shopper.external_id or _("anonymous, device %(key)s") % {"key": shopper.device_key}

    @admin.display(description=gettext_lazy("last seen"))
    def last_seen(self, shopper: Shopper) -> str:
        return display.moment(shopper.last_at)

    @admin.display(description=gettext_lazy("known since"))
    def known_since(self, shopper: Shopper) -> str:
        return display.moment(shopper.created_at)

    @admin.display(description=gettext_lazy("devices"))
    def devices(self, shopper: Shopper) -> str:
        own = Q(owner=shopper) | Q(pk__in=ShopperDevice.objects.filter(shopper=shopper).values("device_id"))
        found = Device.objects.filter(own, organisation=shopper.organisation).order_by("key")[:DEVICES_SHOWN]
        return display.joined([site.link(device, device.key) for device in found])

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shopper = self.own(request, object_id)
        stays = Stay.objects.filter(shopper=shopper, organisation=shopper.organisation).select_related("zone__venue")
        latest = list(stays.order_by("-started")[:LATEST_STAYS])
        clock = ZoneInfo(latest[0].zone.venue.time_zone) if latest else None
        context = {"stays": [row(stay) for stay in latest], "most": LATEST_STAYS, "shopper": shopper, "regular": about(shopper)}
        context |= {
            "may_leave_out": site.may(request, Action.CHANGE_PLACES),
            "may_erase": site.may(request, Action.ERASE),
            "erasing": shoppers.waiting(shopper),
        }
        if site.may(request, Action.MANAGE_SHOPPERS):
            context |= {"profile": known.profile(shopper), "ledger": known.ledger(shopper), "lists": known.lists(shopper), "told": True}
        if latest:
            context |= timeline(stays, asked_day(request) or timezone.localtime(latest[0].started, clock).date(), clock)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})  # type: ignore[no-any-return]

    def get_urls(self) -> list[URLPattern]:
        leave_out = self.admin_site.admin_view(require_POST(self.leave_out))
        erase = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.erase))
        return [
            path("<int:pk>/leave-out/", leave_out, name="engagement_shopper_leave_out"),
            path("<int:pk>/erase/", erase, name="engagement_shopper_erase"),
            *super().get_urls(),
        ]

    def leave_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Marks somebody as staff or resident, whether he was suggested or not."""
        shopper = self.own(request, str(pk))
        if not site.may(request, Action.CHANGE_PLACES):
            raise PermissionDenied
        regulars.mark(organisation=self.organisation(request), shopper=shopper, by=request.user.get_username())
        messages.success(request, said(1, Regular.State.CONFIRMED))
        return redirect("admin:engagement_shopper_change", shopper.pk)

    def erase(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Says what erasing does and how much it takes, and does it when told so."""
        shopper = self.own(request, str(pk))
        if not site.may(request, Action.ERASE):
            raise PermissionDenied
        if request.method == "POST":
            shoppers.ask_to_erase(organisation=self.organisation(request), shopper=shopper, by=request.user.get_username())
            messages.success(request, _("The shopper is being erased. That takes some seconds; the list of erasures says when it is done."))
            return redirect("admin:engagement_shopper_changelist")
        known = {"extent": shoppers.extent(shopper), "stays": Stay.objects.filter(shopper=shopper, organisation=shopper.organisation).count()}
        page = {"title": _("Erase a shopper"), "opts": self.opts, "shopper": shopper, "name": self.name(shopper), "erasing": shoppers.waiting(shopper)}
        return TemplateResponse(request, "analytics/erase.html", {**self.admin_site.each_context(request), **page, **known})


def asked_day(request: HttpRequest) -> date | None:
    try:
        return parse_date(request.GET.get("day", ""))
    except ValueError:
        return None


def row(stay: Stay) -> dict[str, Any]:
    clock = stay.zone.venue.time_zone
    return {
        "zone": site.link(stay.zone, stay.zone.name),
        "venue": stay.zone.venue.name,
        "started": display.moment(stay.started, clock),
        "ended": display.moment(stay.ended, clock),
        "dwell": display.duration((stay.ended - stay.started).total_seconds()),
        "state": states(stay, timezone.now()),
    }


def timeline(stays: QuerySet[Stay], day: date, clock: Any) -> dict[str, Any]:
    """One line a zone, over the hours in which something happened on that day; and the nearest days before and after with stays."""
    start, end = (datetime.combine(one, time(), clock) for one in (day, day + timedelta(days=1)))
    those = list(stays.filter(started__gte=start, started__lt=end).order_by("started")[:500])
    before = stays.filter(started__lt=start).order_by("-started").first()
    after = stays.filter(started__gte=end).order_by("started").first()
    shown = {"day": day, "lines": [], "hours": []}
    if those:
        first = min(stay.started for stay in those).astimezone(clock).replace(minute=0, second=0, microsecond=0)
        last = max(stay.ended for stay in those) + timedelta(minutes=1)
        hours = max(1, -int(-((last - first).total_seconds()) // 3600))
        shown |= {"lines": lines(those, first, hours * 3600.0, clock), "hours": marks(first, hours)}
    days = {name: timezone.localtime(stay.started, clock).date() if stay else None for name, stay in (("before", before), ("after", after))}
    return {**shown, **days}


def marks(first: datetime, hours: int) -> list[tuple[str, float]]:
    """Times along the line and where they stand, in percent: at most some eight, each quarter of an hour at the finest."""
    step = next(minutes for minutes in (15, 30, 60, 120, 180, 360) if hours * 60 <= minutes * 8 or minutes == 360)
    return [(f"{first + timedelta(minutes=minute):%H:%M}", round(100 * minute / (hours * 60), 3)) for minute in range(0, hours * 60, step)]


def lines(stays: list[Stay], first: datetime, seconds: float, clock: Any) -> list[tuple[str, list[Bar]]]:
    found: dict[str, list[Bar]] = {}
    for stay in stays:
        left = 100 * (stay.started - first).total_seconds() / seconds
        width = 100 * (stay.ended - stay.started).total_seconds() / seconds
        span = f"{stay.started.astimezone(clock):%H:%M}–{stay.ended.astimezone(clock):%H:%M}"
        label = f"{stay.zone.name}, {span}, {display.duration((stay.ended - stay.started).total_seconds())}"
        found.setdefault(stay.zone.name, []).append(Bar(left=round(left, 3), width=round(width, 3), stay=stay, label=label))
    return list(found.items())
