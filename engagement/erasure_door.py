"""DELETE /api/v1/shoppers/<id>: a shopper is erased; and what the OpenAPI document says of it."""

from typing import Any, Final

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import shoppers
from engagement.access import MayErase, organisation_of, principal_of
from engagement.api import Uncached
from engagement.inbox import OWN
from engagement.models import Erasure
from engagement.openapi import ORGANISATION, Schema, problems
from engagement.parameters import Parameters

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_ERASURE: Final[Schema] = {
    "type": "object",
    "required": ["state", "requested_at", "finished_at", "events", "stays", "devices", "purchases"],
    "properties": {
        "state": {"type": "string", "enum": ["waiting", "done"]},
        "requested_at": {"type": "string", "format": "date-time"},
        "finished_at": {"type": "string", "format": "date-time", "nullable": True},
        **{name: {**_COUNT, "description": "How much was erased; 0 while it waits."} for name in ("events", "stays", "devices", "purchases")},
    },
}
_WAITING: Final = {"state": "waiting", "requested_at": "2026-11-19T10:00:00Z", "finished_at": None, "events": 0, "stays": 0, "devices": 0, "purchases": 0}
_DONE: Final = {**_WAITING, "state": "done", "finished_at": "2026-11-19T10:00:01Z", "events": 214, "stays": 31, "devices": 1, "purchases": 2}
DESCRIBED: Final[dict[str, Any]] = {
    "operation_id": "erase_shopper",
    "summary": "Erase a shopper",
    "description": (
        "Everything that is known of the shopper goes: events, stays, devices that nobody else used, purchases. Figures are made again as if the"
        " shopper had never been. Answered 202 while it waits, which takes seconds, and 200 once it is done: ask again to see. Events from before the"
        " erasure that come later are not kept; whoever comes again after it, is new. It cannot be undone."
    ),
    "tags": ["writing"],
    "parameters": [
        ORGANISATION,
        OpenApiParameter(
            "shopper", OpenApiTypes.STR, OpenApiParameter.PATH, description=f"The app's own id, or of somebody whom no app has named `{OWN}` and the number."
        ),
    ],
    "request": None,
    "responses": {(200, "application/json"): _ERASURE, (202, "application/json"): _ERASURE, **problems(400, 401, 403, 404)},
    "examples": [
        OpenApiExample("It waits", value=_WAITING, response_only=True, status_codes=["202"]),
        OpenApiExample("It is done", value=_DONE, response_only=True, status_codes=["200"]),
    ],
}


class Shopper(Uncached):
    """Somebody, by the name that he has outside."""

    http_method_names: tuple[str, ...] = ("delete",)
    permission_classes = (MayErase,)

    @extend_schema(**DESCRIBED)
    def delete(self, request: Request, shopper: str) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        organisation, name = organisation_of(request), shopper.replace("\0", "\ufffd")
        known = shoppers.find(organisation, name)
        erasure = (
            shoppers.ask_to_erase(organisation=organisation, shopper=known, by=principal_of(request).name) if known else shoppers.latest(organisation, name)
        )
        if erasure is None:
            raise exceptions.NotFound(_("There is no shopper with this id."))
        return Response(said(erasure), status=200 if erasure.finished_at else 202)


def said(erasure: Erasure) -> dict[str, Any]:
    counts = {name: getattr(erasure, name) for name in ("events", "stays", "devices", "purchases")}
    state = "done" if erasure.finished_at else "waiting"
    return {"state": state, "requested_at": erasure.requested_at, "finished_at": erasure.finished_at, **counts}
