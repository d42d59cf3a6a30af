"""The OpenAPI document: who may ask, how refusals look, and the device door, which is no Django view and is described by hand."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from engagement import idempotency
from engagement.api import PROBLEMS
from engagement.door_described import COMPONENTS, POST_EVENTS

Schema = dict[str, Any]

MOMENT: Final[Schema] = {
    "oneOf": [{"type": "string", "format": "date", "example": "2026-11-19"}, {"type": "string", "format": "date-time", "example": "2026-11-19T10:00:00Z"}]
}
ORGANISATION: Final = OpenApiParameter(
    "organisation",
    OpenApiTypes.STR,
    description="The organisation's key. Only needed with a session of somebody who is a member of several; without it, the first by name.",
)
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description=(
        "Your own, a new one for each write. The same request sent again under it within a day is answered as the first time, and not done again; another"
        " request under it is refused with 422, and one that comes while the first is being done with 409."
    ),
)
PROBLEM: Final[Schema] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(PROBLEMS), "description": "Stable: programs may rely on it."},
        "detail": {"type": "string", "description": "For people."},
        "errors": {
            "type": "array",
            "description": "With `bad_parameter`: every wrong parameter.",
            "items": {
                "type": "object",
                "required": ["parameter", "code", "detail"],
                "properties": {
                    "parameter": {"type": "string"},
                    "code": {"type": "string", "enum": ["invalid", "repeated", "required", "unknown"]},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def problems(*statuses: int) -> dict[tuple[int, str], Schema]:
    """Responses of a view that may refuse with these, and with 503 while the database is away."""
    return {(status, "application/problem+json"): {"$ref": "#/components/schemas/Problem"} for status in (*statuses, 503)}


class SecretKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "engagement.access.KeyAuthentication"
    name = "secretKey"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "http", "scheme": "bearer", "description": "A secret key of the organisation. It may read and manage: keep it on your server."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "engagement.access.MemberSession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The web admin's session of a member of the organisation."}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Add what no Django view says: the device door, and the form of refusals. A hook of the generator."""
    result["paths"]["/v1/events"] = {"post": POST_EVENTS}
    components = result.setdefault("components", {})
    for kind, named in (*COMPONENTS.items(), ("schemas", {"Problem": PROBLEM})):
        components.setdefault(kind, {}).update(named)
    return result
