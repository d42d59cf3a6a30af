"""The live page of a venue, its figures every two seconds, and what became of the events."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from analytics import drawings, plan, reports
from engagement import display, site
from engagement.models import ApiKey, KeyKind, Organisation, Outcome, RecentEvent, Venue, Zone, ZoneKind

EVENTS_SHOWN: Final = 12
COUNT_FROM_AT_MOST: Final = timedelta(hours=24)  # a page left open asks no further back
OUTCOME_HOURS: Final = 48


@require_GET
@never_cache
def live(request: HttpRequest) -> HttpResponseBase:
    """The first venue, or what to do while there is none."""
    organisation = site.seat(request).organisation
    venue = Venue.objects.filter(organisation=organisation).order_by("name").first()
    if venue is not None:
        return redirect("live_venue", venue.pk)
    return _page(request, "analytics/no_venue.html", title=_("Live"), organisation=organisation)


@require_GET
@never_cache
def live_venue(request: HttpRequest, pk: int) -> HttpResponseBase:
    organisation = site.seat(request).organisation
    venue = get_object_or_404(Venue, organisation=organisation, pk=pk)
    places = drawings.places_of(venue)
    return _page(
        request,
        "analytics/live.html",
        title=_("%(venue)s, live") % {"venue": venue.name},
        venue=venue,
        venues=Venue.objects.filter(organisation=organisation).order_by("name"),
        plan=plan.draw(places),
        places=[place for place in places if place.kind != ZoneKind.VENUE],
        root=next((place.key for place in places if place.kind == ZoneKind.VENUE), ""),
        outcomes={name: str(label) for name, (label, _why) in display.OUTCOMES.items()},
        started=RecentEvent.objects.filter(organisation=organisation).exists() or Outcome.objects.filter(organisation=organisation).exists(),
        key=ApiKey.objects.filter(organisation=organisation, kind=KeyKind.PUBLISHABLE, revoked_at=None).order_by("created_at").first(),
        address=request.build_absolute_uri("/v1/events"),
        example_zone=next((place.key for place in places if place.kind != ZoneKind.VENUE), venue.key),
        example_id=str(uuid4()),
    )


@require_GET
@never_cache
def live_now(request: HttpRequest, pk: int) -> JsonResponse:
    """The figures of the live page. `counts` are totals since `since`; the page divides their growth by the time between two answers."""
    organisation = site.seat(request).organisation
    venue = get_object_or_404(Venue, organisation=organisation, pk=pk)
    now = timezone.now()
    since = _since(request.GET.get("since", ""), now)
    keys = dict(venue.zones.values_list("pk", "key"))
    backlog = reports.inbox(organisation)
    return JsonResponse(
        {
            "at": now.isoformat(),
            "clock": _wall(now, venue),
            "since": since.isoformat(),
            "since_clock": _wall(since, venue, seconds=False),
            "counts": reports.outcomes(organisation, since),
            "occupancy": {keys[zone]: count for zone, count in reports.occupancy_now(venue, now=now).items() if zone in keys},
            "inbox": {"requests": backlog.requests, "events": backlog.events, "oldest_s": backlog.oldest_s},
            "events": _last_events(organisation, venue),
        }
    )


def _since(asked: str, now: datetime) -> datetime:
    """The hour from which outcomes are counted: the one asked for, else the hour before this one. Always a whole UTC hour."""
    try:
        moment = parse_datetime(asked)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not now - COUNT_FROM_AT_MOST <= moment <= now:
        moment = now - timedelta(hours=1)
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _last_events(organisation: Organisation, venue: Venue) -> list[dict[str, Any]]:
    recent = list(RecentEvent.objects.filter(organisation=organisation).order_by("-id")[:EVENTS_SHOWN])
    keys = {key for event in recent for key in _keys(event)}
    zones = {zone.key: zone for zone in Zone.objects.filter(organisation=organisation, key__in=keys)}
    return [
        {
            "id": event.pk,
            "at": _wall(event.received_at, venue),
            "device": event.device,
            "kind": event.kind or display.NOTHING,
            "outcome": event.outcome,
            "label": display.outcome(event.outcome),
            "tone": display.tone(event.outcome),
            "zones": _names([zones[key] for key in _keys(event) if key in zones]),
        }
        for event in recent
    ]


def _keys(event: RecentEvent) -> list[str]:
    return event.zones.replace(",", " ").split()


def _names(zones: list[Zone]) -> list[str]:
    """The innermost places; the venue and its floors go without saying where there is more to say."""
    inner = [zone for zone in zones if zone.kind not in plan.CONTAINERS]
    return [zone.name for zone in inner or zones[:1]]


def _wall(moment: datetime, venue: Venue, *, seconds: bool = True) -> str:
    """The time on the venue's wall."""
    return f"{moment.astimezone(ZoneInfo(venue.time_zone)):{'%H:%M:%S' if seconds else '%H:%M'}}"


@require_GET
def outcomes(request: HttpRequest) -> HttpResponseBase:
    """What became of the events, hour by hour."""
    organisation = site.seat(request).organisation
    since = timezone.now() - timedelta(hours=OUTCOME_HOURS)
    rows = (
        Outcome.objects.filter(organisation=organisation, hour__gte=since).values("hour", "outcome").annotate(total=Sum("events")).order_by("-hour", "outcome")
    )
    seen = {row["outcome"] for row in rows}
    columns = [name for name in display.OUTCOMES if name in seen] + sorted(seen - display.OUTCOMES.keys())
    hours: dict[datetime, dict[str, int]] = {}
    for row in rows:
        hours.setdefault(row["hour"], {})[row["outcome"]] = row["total"]
    table = [
        (display.moment(hour), [display.number(counts.get(name)) for name in columns], display.number(sum(counts.values()))) for hour, counts in hours.items()
    ]
    return _page(
        request,
        "analytics/outcomes.html",
        title=_("What became of the events"),
        columns=[(display.outcome(name), display.OUTCOMES.get(name, ("", ""))[1], display.tone(name)) for name in columns],
        totals=[display.number(sum(counts.get(name, 0) for counts in hours.values())) for name in columns],
        table=table,
        hours=OUTCOME_HOURS,
    )


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
