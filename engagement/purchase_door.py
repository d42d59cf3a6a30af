"""POST /api/v1/purchases: a list in, what became of each out; and what the OpenAPI document says of it."""

from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import purchases, values
from engagement.access import MayRecordPurchases, organisation_of
from engagement.api import Writing
from engagement.openapi import ORGANISATION, Schema, problems
from engagement.parameters import Parameters

_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": values.LONGEST}
_PURCHASE: Final[Schema] = {
    "type": "object",
    "required": list(purchases.NEEDED),
    "additionalProperties": False,
    "properties": {
        "id": {
            **_TEXT,
            "description": "Your own, such as the order's number. Told again with the same content it changes nothing, with other content it is updated.",
        },
        "shopper": {**_TEXT, "description": "The app's own id. One that has not been seen yet is taken: the visit may come later."},
        "brand": {**_TEXT, "description": "The brand's key."},
        "at": {"type": "string", "format": "date-time", "description": "From 1970 on, and at most 5 minutes in the future."},
        "amount": {
            "oneOf": [{"type": "string", "pattern": r"^\d{1,12}(\.\d{1,2})?$"}, {"type": "number", "minimum": 0}],
            "nullable": True,
            "description": "A text is exact. With a currency, or neither.",
        },
        "currency": {"type": "string", "nullable": True, "pattern": "^[A-Z]{3}$", "description": "ISO 4217."},
    },
}
_RESULT: Final[Schema] = {
    "type": "object",
    "required": ["id", "result"],
    "properties": {
        "id": {"type": "string", "description": "Empty where it could not be read."},
        "result": {"type": "string", "enum": [result.value for result in purchases.Result]},
        "reason": {"type": "string", "enum": [reason.value for reason in purchases.Reason], "description": "Of a rejected one. Stable."},
        "detail": {"type": "string", "description": "Of a rejected one, for people."},
    },
}
_EXAMPLE: Final = {"id": "order-1001", "shopper": "crm-42", "brand": "brew", "at": "2026-11-19T10:00:00Z", "amount": "12.50", "currency": "EUR"}
DESCRIBED: Final[dict[str, Any]] = {
    "operation_id": "record_purchases",
    "summary": "Tell what shoppers bought",
    "description": (
        f"Up to {purchases.MOST} at once. Each is taken or rejected for itself, and all that are taken are committed together before the answer, which has"
        " one result for each in the order sent. Sending the same again is always safe. The conversion report counts shoppers who visited and bought."
    ),
    "tags": ["writing"],
    "parameters": [ORGANISATION],
    "request": {
        "application/json": {
            "type": "object",
            "required": ["purchases"],
            "additionalProperties": False,
            "properties": {"purchases": {"type": "array", "minItems": 1, "maxItems": purchases.MOST, "items": _PURCHASE}},
        }
    },
    "responses": {
        (200, "application/json"): {"type": "object", "required": ["results"], "properties": {"results": {"type": "array", "items": _RESULT}}},
        **problems(400, 401, 403, 413, 415),
    },
    "examples": [
        OpenApiExample("One purchase", value={"purchases": [_EXAMPLE]}, request_only=True),
        OpenApiExample("It is new", value={"results": [{"id": "order-1001", "result": "created"}]}, response_only=True, status_codes=["200"]),
    ],
}


class Purchases(Writing):
    permission_classes = (MayRecordPurchases,)

    @extend_schema(**DESCRIBED)
    def post(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        answers = purchases.record(organisation=organisation_of(request), told=told(request.data), now=timezone.now())
        return Response({"results": [said(answer) for answer in answers]})


def told(body: Any) -> list[Any]:
    """The list in the body. Raises ParseError."""
    listed = body.get("purchases") if isinstance(body, dict) and set(body) == {"purchases"} else None
    if not isinstance(listed, list) or not 1 <= len(listed) <= purchases.MOST:
        raise exceptions.ParseError(_("Send an object with nothing but `purchases`: a list of 1 to %(most)s purchases.") % {"most": purchases.MOST})
    return listed


def said(answer: purchases.Answer) -> dict[str, str]:
    found = {"id": answer.key, "result": answer.result.value}
    return found if answer.reason is None else {**found, "reason": answer.reason.value, "detail": answer.detail}
