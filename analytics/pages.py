"""The dashboard: the page that its scripts fill with what /api/v1/reports answers."""

from dataclasses import asdict
from datetime import date
from functools import lru_cache
from typing import Any, Final

import msgspec
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from analytics import landscape, plan, regulars, weekly, wording
from analytics.landscape import Landscape
from analytics.plan import Place, Plan
from engagement import site
from engagement.models import Outcome, RecentEvent
from engagement.tenancy import Action, Principal

MODULES: Final = (
    "main",
    "address",
    "ask",
    "charts",
    "days",
    "draw",
    "panel",
    "places",
    "show",
    "today",
    "widgets",
)  # asked for at once, not one after the other
PLANS_KEPT: Final = 64
EARLIEST: Final = date(2000, 1, 3)  # no phone told anybody where it was before


@require_GET
@never_cache
def figures(request: HttpRequest) -> HttpResponseBase:
    """The figures of a place or a brand; without one, of the reader's first. What else the address says is the scripts' to read."""
    principal = site.seat(request, Action.READ_FIGURES)
    try:
        found = landscape.around(principal, place=request.GET.get("place", ""), brand=request.GET.get("brand", ""))
    except landscape.NoSuchPlace:
        raise Http404(_("There is no such place.")) from None
    if found.start is None and principal.brand is None:
        return _page(request, "analytics/no_venue.html", title=_("Figures"), organisation=principal.organisation)
    return _page(
        request,
        "analytics/figures/page.html",
        title=_("Figures"),
        modules=[f"analytics/figures/{name}.js" for name in MODULES],
        views=wording.VIEWS,
        presets=wording.PRESETS,
        comparisons=wording.COMPARISONS,
        grains=wording.GRAINS,
        hours=wording.HOURS if found.opening_hours else (),
        choices=wording.choices(whole=principal.brand is None),
        plan=_drawn(msgspec.json.encode(found.drawn)),
        started=principal.brand is not None or _started(principal),
        left_out=regulars.left_out(principal.organisation) if principal.brand is None else 0,
        found=found,
        given=_given(principal, found),
    )


@lru_cache(maxsize=PLANS_KEPT)
def _drawn(places: bytes) -> Plan:
    """The plan of places told as JSON: by what they are, so that a change of places needs nobody to forget the plan before it."""
    return plan.draw(msgspec.json.decode(places, type=list[Place]))


def _started(principal: Principal) -> bool:
    """Whether any event ever came."""
    own = {"organisation": principal.organisation}
    return RecentEvent.objects.filter(**own).exists() or Outcome.objects.filter(**own).exists()


def _given(principal: Principal, found: Landscape) -> dict[str, Any]:
    listed = wording.choices(whole=principal.brand is None)
    choices = [{"venue": one.venue, **{name: value if isinstance(value, bool) else str(value) for name, value in asdict(one).items()}} for one in listed]
    return wording.page(
        **found.as_json(),
        organisation=principal.organisation.key,
        whole=principal.brand is None,
        api=reverse("status").removesuffix("status") + "reports/",
        login=reverse("admin:login"),
        choices=choices,
    )


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


@require_GET
@never_cache
def week(request: HttpRequest) -> HttpResponseBase:
    """The weekly summary of a place, as a page without scripts that a mail can carry. `week` is an ISO week; without it, the last full one."""
    principal = site.seat(request, Action.READ_FIGURES)
    try:
        found = landscape.around(principal, place=request.GET.get("place", ""), brand=request.GET.get("brand", ""))
    except landscape.NoSuchPlace:
        raise Http404(_("There is no such place.")) from None
    if found.start is None:
        return redirect("figures")
    place, stores = landscape.subjects(principal, found)
    latest = weekly.last_full(timezone.now(), found.time_zone)
    asked = request.GET.get("week", "")
    monday = weekly.monday_of(asked) if asked else latest
    if monday is None or not EARLIEST <= monday <= latest:
        raise Http404(_("Give a week that has ended, as 2026-W46."))
    told = weekly.summary(organisation=principal.organisation, place=place, stores=stores, monday=monday)
    chosen = {found.start[0]: found.start[1]}
    context = {
        "summary": told,
        "place": place,
        "organisation": principal.organisation,
        "time_zone": found.time_zone,
        "page": request.build_absolute_uri(
            f"{reverse('figures')}?{urlencode({**chosen, 'from': monday.isoformat(), 'to': (monday + weekly.WEEK).isoformat()})}"
        ),
        "before": f"?{urlencode({**chosen, 'week': _iso(monday - weekly.WEEK)})}",
        "after": f"?{urlencode({**chosen, 'week': _iso(monday + weekly.WEEK)})}" if monday < latest else "",
    }
    return TemplateResponse(request, "analytics/figures/week.html", context)


def _iso(monday: date) -> str:
    year, number, _weekday = monday.isocalendar()
    return f"{year}-W{number:02}"
