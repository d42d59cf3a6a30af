"""/api/v1/shoppers: what an organisation tells of its shoppers, and what is known of one; and what the OpenAPI document says of it."""

from collections.abc import Sequence
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import erasure_door, idempotency, shoppers, values
from engagement.access import MayManageShoppers, organisation_of, principal_of
from engagement.api import Body, Writing
from engagement.inbox import OWN
from engagement.models import Channel
from engagement.openapi import IDEMPOTENCY_KEY, ORGANISATION, Schema, problems
from engagement.parameters import Parameters
from engagement.profiles import known, told
from engagement.profiles.record import MOST, Answer, Result, record

_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_NAMED: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": values.LONGEST}


def _text(most: int, description: str, **more: Any) -> Schema:
    return {"type": "string", "maxLength": most, "description": description, **more}


_CONSENT: Final[Schema] = {
    "type": "object",
    "required": list(told.CONSENT_NEEDED),
    "additionalProperties": False,
    "properties": {
        "channel": {"type": "string", "enum": list(Channel.values)},
        "purpose": _text(told.LONGEST_PURPOSE, "What for, in a word of your own.", default=told.MARKETING, nullable=True),
        "given": {"type": "boolean", "description": "False: no longer agreed to."},
        "at": {**_MOMENT, "description": "When the shopper said so: from 1970 on, and at most 5 minutes in the future."},
        "source": _text(told.LONGEST_SOURCE, "Where it was said, such as `checkout`.", nullable=True),
        "wording": _text(told.LONGEST_WORDING, "The version of what the shopper was asked.", nullable=True),
    },
}
_ATTRIBUTES: Final[Schema] = {
    "type": "object",
    "additionalProperties": {
        "oneOf": [{"type": "string", "maxLength": told.LONGEST_VALUE}, {"type": "number"}, {"type": "boolean"}],
        "nullable": True,
    },
    "description": f"At most {told.MOST_ATTRIBUTES}. Those that are not named stay; null removes one, and null for the whole removes all.",
}
_PROFILE: Final[dict[str, Schema]] = {
    "email": _text(told.LONGEST_EMAIL, "One address.", nullable=True),
    "language": _text(35, "A tag such as `en` or `en-ZA` (BCP 47).", nullable=True),
    "time_zone": _text(64, "A name of the IANA list, such as `Africa/Johannesburg`.", nullable=True),
    "attributes": {**_ATTRIBUTES, "nullable": True},
}
_SHOPPER: Final[Schema] = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {**_NAMED, "description": "The app's own id. One that has not been seen yet is taken: the visit may come later."},
        **_PROFILE,
        "consents": {"type": "array", "nullable": True, "maxItems": told.MOST_CONSENTS, "items": _CONSENT},
    },
}
_RESULT: Final[Schema] = {
    "type": "object",
    "required": ["id", "result"],
    "properties": {
        "id": {"type": "string", "description": "Empty where it could not be read."},
        "result": {
            "type": "string",
            "enum": [result.value for result in Result],
            "description": "`created`: nothing had been told of this shopper before.",
        },
        "reason": {"type": "string", "enum": [reason.value for reason in told.Reason], "description": "Of a rejected one. Stable."},
        "field": {"type": "string", "description": "Of a rejected one: where, such as `email` or `consents.0.at`; empty where it is the whole."},
        "detail": {"type": "string", "description": "Of a rejected one, for people."},
    },
}
_AGREED: Final = {"channel": "email", "purpose": "marketing", "given": True, "at": "2026-11-19T10:00:00Z", "source": "checkout", "wording": "v3"}
_ANN: Final = {"id": "crm-42", "email": "ann@example.com", "language": "en", "time_zone": None, "attributes": {"tier": "gold"}, "consents": [_AGREED]}
TELLING: Final[dict[str, Any]] = {
    "operation_id": "tell_shoppers",
    "summary": "Tell who shoppers are and what they agreed to",
    "description": (
        f"Up to {MOST} at once. Each is taken or rejected for itself, and all that are taken are committed together before the answer, which has one"
        " result for each in the order sent. A field that is absent stays as it is, and null clears it. Consents are added to a ledger, each once; what"
        " holds is the latest by `at`, and of two at one instant the withdrawal. Sending the same again changes nothing."
    ),
    "tags": ["writing"],
    "parameters": [ORGANISATION, IDEMPOTENCY_KEY],
    "request": {
        "application/json": {
            "type": "object",
            "required": ["shoppers"],
            "additionalProperties": False,
            "properties": {"shoppers": {"type": "array", "minItems": 1, "maxItems": MOST, "items": _SHOPPER}},
        }
    },
    "responses": {
        (200, "application/json"): {"type": "object", "required": ["results"], "properties": {"results": {"type": "array", "items": _RESULT}}},
        **problems(400, 401, 403, 409, 413, 415, 422),
    },
    "examples": [
        OpenApiExample("One shopper", value={"shoppers": [_ANN]}, request_only=True),
        OpenApiExample("It is new", value={"results": [{"id": "crm-42", "result": "created"}]}, response_only=True, status_codes=["200"]),
    ],
}
_LEDGER: Final[Schema] = {
    "type": "object",
    "required": [*told.CONSENT_FIELDS, "recorded_at"],
    "properties": {**_CONSENT["properties"], "recorded_at": _MOMENT},
}
KNOWN: Final[dict[str, Any]] = {
    "operation_id": "shopper",
    "summary": "What is known of a shopper",
    "description": (
        "The profile, everything that the shopper agreed to, by time, and the lists that the shopper is in: for whoever asks what is known of him. Stays are"
        " at `/api/v1/stays`."
    ),
    "tags": ["reading"],
    "parameters": [
        ORGANISATION,
        OpenApiParameter(
            "shopper", OpenApiTypes.STR, OpenApiParameter.PATH, description=f"The app's own id, or of somebody whom no app has named `{OWN}` and the number."
        ),
    ],
    "responses": {
        (200, "application/json"): {
            "type": "object",
            "required": ["id", *_PROFILE, "first_seen", "consents", "lists"],
            "properties": {
                "id": {"type": "string"},
                **_PROFILE,
                "first_seen": _MOMENT,
                "consents": {"type": "array", "items": _LEDGER},
                "lists": {"type": "array", "items": {"type": "string"}, "description": "Their keys."},
            },
        },
        **problems(400, 401, 403, 404),
    },
}


class ShoppersBody(Body):
    most = 8 * 1024 * 1024


class Shoppers(Writing):
    permission_classes = (MayManageShoppers,)
    parser_classes = (ShoppersBody,)

    @extend_schema(**TELLING)
    @idempotency.once
    def post(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        principal = principal_of(request)
        answers = record(principal.organisation, listed(request.data), principal.name, timezone.now())
        return Response({"results": [said(answer) for answer in answers]})


class Shopper(erasure_door.Shopper):
    """Somebody, by the name that he has outside: looked up, or erased."""

    http_method_names = ("get", "head", "delete")

    def get_permissions(self) -> Sequence[Any]:
        return [MayManageShoppers()] if self.request.method in {"GET", "HEAD"} else super().get_permissions()

    @extend_schema(**KNOWN)
    def get(self, request: Request, shopper: str) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        found = shoppers.find(organisation_of(request), shopper.replace("\0", "\ufffd"))
        if found is None:
            raise exceptions.NotFound(_("There is no shopper with this id."))
        return Response(known.everything(found))


def listed(body: Any) -> list[Any]:
    """The list in the body. Raises ParseError."""
    found = body.get("shoppers") if isinstance(body, dict) and set(body) == {"shoppers"} else None
    if not isinstance(found, list) or not 1 <= len(found) <= MOST:
        raise exceptions.ParseError(_("Send an object with nothing but `shoppers`: a list of 1 to %(most)s shoppers.") % {"most": MOST})
    return found


def said(answer: Answer) -> dict[str, str]:
    found = {"id": answer.id, "result": answer.result.value}
    return found if answer.reason is None else {**found, "reason": answer.reason.value, "field": answer.field, "detail": answer.detail}
