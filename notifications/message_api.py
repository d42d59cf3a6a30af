"""/api/v1/campaigns/<key>: its messages one by one, its report, and why somebody got one or not. Edges."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from django.db import connection
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import shoppers
from engagement.access import organisation_of
from engagement.api import NdjsonRenderer
from engagement.inbox import OWN
from engagement.parameters import Parameters
from notifications import message_described as described
from notifications import reports, why
from notifications.campaign_api import Door, campaign_of
from notifications.models import Campaign, Message, MessageState, Reason

SLICE: Final = 5_000
ALL: Final = 999_999_999
_MESSAGES: Final = """
SELECT m.id, CASE WHEN m.shopper_id > 0 THEN coalesce(s.external_id, %(own)s || m.shopper_id) END, m.state, m.reason, v.name, m.sent_at
  FROM notifications_message m
  LEFT JOIN engagement_shopper s ON s.id = m.shopper_id
  LEFT JOIN notifications_variant v ON v.id = m.variant_id
 WHERE m.run_id = %(run)s AND m.organisation_id = %(organisation)s AND m.id > %(after)s
   AND (%(states)s::text[] IS NULL OR m.state = ANY(%(states)s)) AND (%(reasons)s::text[] IS NULL OR m.reason = ANY(%(reasons)s))
 ORDER BY m.run_id, m.id LIMIT %(limit)s
"""


class Messages(Door):
    http_method_names = ("get", "head")
    renderer_classes = (NdjsonRenderer, JSONRenderer)

    @extend_schema(**described.MESSAGES)
    def get(self, request: Request, key: str) -> StreamingHttpResponse:
        parameters = Parameters(request.query_params, ("organisation", "state", "reason", "run", "cursor", "limit"))
        campaign = campaign_of(request, key)
        states, reasons = parameters.choices("state", MessageState.values), parameters.choices("reason", Reason.values)
        limit = parameters.number("limit", default=ALL, low=1, high=ALL)
        runs = [str(pk) for pk in campaign.runs.order_by("pk").values_list("pk", flat=True)]
        run = parameters.text("run")
        if run is not None and run not in runs:
            parameters.wrong("run", "unknown", _("There is no such run of this campaign."))
        after = _after(parameters, campaign)
        parameters.check()
        wanted = [int(one) for one in runs if one == (run or one) and int(one) >= after[0]]
        asked = {"states": states or None, "reasons": reasons or None, "organisation": campaign.organisation_id, "own": OWN}
        return StreamingHttpResponse(_lines(wanted, asked, after, limit), content_type=NdjsonRenderer.media_type)


class Report(Door):
    http_method_names = ("get", "head")

    @extend_schema(**described.REPORT)
    def get(self, request: Request, key: str) -> Response:
        parameters = Parameters(request.query_params, ("organisation", "parts"))
        parts = parameters.choices("parts", reports.PARTS)
        parameters.check()
        return Response(reports.report(campaign_of(request, key), parts=parts or reports.PARTS))  # type: ignore[arg-type]


class Why(Door):
    http_method_names = ("get", "head")

    @extend_schema(**described.WHY)
    def get(self, request: Request, key: str) -> Response:
        parameters = Parameters(request.query_params, ("organisation", "shopper"))
        name = parameters.text("shopper", required=True)
        parameters.check()
        campaign = campaign_of(request, key)
        shopper = shoppers.find(organisation_of(request), name or "")
        if shopper is None:
            raise NotFound(_("There is no shopper with this id."))
        return Response(why.explain(campaign, shopper))


def _after(parameters: Parameters, campaign: Campaign) -> tuple[int, int]:
    """Behind which run and message to go on."""
    given = parameters.text("cursor")
    if given is None:
        return 0, 0
    known = None
    if given.isascii() and given.isdigit() and len(given) < 19:
        known = Message.objects.filter(campaign=campaign, organisation=campaign.organisation_id, pk=int(given)).values_list("run_id", "pk").first()
    if known is None:
        parameters.wrong("cursor", "invalid", _("Give the `message_id` of the last line that you have."))
    return known or (0, 0)


def _lines(runs: list[int], asked: dict[str, Any], after: tuple[int, int], limit: int) -> Iterator[bytes]:
    """In slices, each a statement of its own: a campaign may have a million."""
    encoder = msgspec.json.Encoder()
    for run in runs:
        last = after[1] if run == after[0] else 0
        while limit > 0 and (rows := _select({**asked, "run": run, "after": last, "limit": min(limit, SLICE)})):
            yield encoder.encode_lines([_line(*row) for row in rows])
            last, limit = rows[-1][0], limit - len(rows)


def _select(asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_MESSAGES, asked)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _line(number: int, shopper: str | None, state: str, reason: str, variant: str | None, sent_at: Any) -> dict[str, Any]:
    return {"shopper": shopper, "state": state, "reason": reason or None, "variant": variant, "message_id": str(number), "sent_at": sent_at}
