"""/api/v1: stays and the state of the work. Edges: parameters in, services asked, JSON out."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import described, listing, reports
from engagement.access import organisation_of
from engagement.api import NdjsonRenderer, Reading
from engagement.models import Organisation, Venue, Zone
from engagement.parameters import Parameters

PAGE, LARGEST_PAGE = 100, 1_000
UTC_ZONE: Final = ZoneInfo("UTC")


class Stays(Reading):
    renderer_classes = (JSONRenderer, NdjsonRenderer)

    @extend_schema(**described.STAYS)
    def get(self, request: Request) -> HttpResponseBase:
        parameters = Parameters(request.query_params, ("organisation", "zone", "from", "to", "shopper", "device", "cursor", "limit"))
        wanted = _wanted(parameters, organisation_of(request))
        limit = parameters.number("limit", default=PAGE, low=1, high=LARGEST_PAGE)
        parameters.check()
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            return StreamingHttpResponse(_lines(wanted), content_type=NdjsonRenderer.media_type)
        results, following = listing.page(wanted, limit=limit)
        return Response({"next": following, "results": msgspec.to_builtins(results)})


class Status(Reading):
    @extend_schema(**described.STATUS)
    def get(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        organisation = organisation_of(request)
        backlog = asdict(reports.inbox(organisation))
        return Response({"inbox": backlog, "processed_events": reports.processed(organisation), "version": settings.VERSION})


def _wanted(parameters: Parameters, organisation: Organisation) -> listing.Wanted:
    zone = _zone(parameters, organisation)
    clock = _clock(organisation, zone)
    start, end = parameters.moment("from", clock), parameters.moment("to", clock)
    _in_order(parameters, start, end)
    after = None
    cursor = parameters.text("cursor")
    if cursor:
        try:
            after = listing.position(cursor)
        except listing.BadCursor:
            parameters.wrong("cursor", "invalid", _("Give the `next` of the page before, unchanged."))
    shopper, device = parameters.text("shopper"), parameters.text("device")
    return listing.Wanted(organisation, zone, start, end, shopper, device, after)


def _zone(parameters: Parameters, organisation: Organisation) -> Zone | None:
    """The zone of the parameter's key. One of another organisation is as unknown as one that never was."""
    key = parameters.text("zone")
    if key is None:
        return None
    zone = Zone.objects.select_related("venue").filter(organisation=organisation, key=key).first()
    if zone is None:
        raise NotFound(_("There is no zone with this key."))
    return zone


def _clock(organisation: Organisation, zone: Zone | None) -> ZoneInfo:
    """What local dates mean: the venue's clock; without a zone that of all venues, if they agree, else UTC."""
    if zone:
        return ZoneInfo(zone.venue.time_zone)
    names = set(Venue.objects.filter(organisation=organisation).values_list("time_zone", flat=True))
    return ZoneInfo(names.pop()) if len(names) == 1 else UTC_ZONE


def _in_order(parameters: Parameters, start: datetime | None, end: datetime | None) -> None:
    if start and end and start > end:
        parameters.wrong("to", "invalid", _("It lies before `from`."))


def _lines(wanted: listing.Wanted) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    return (encoder.encode_lines(rows) for rows in listing.everything(wanted))
