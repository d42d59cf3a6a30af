"""What the OpenAPI document says of what came of a campaign, and of its texts."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from engagement.openapi import IDEMPOTENCY_KEY, ORGANISATION, Schema, problems
from notifications.campaign_described import CAMPAIGN, MOMENT, OF_ONE, WRITES, answer, body, choice
from notifications.models import MessageState, Reason
from notifications.reports import PARTS

_MESSAGE: Final[Schema] = {
    "type": "object",
    "required": ["shopper", "state", "reason", "variant", "message_id", "sent_at"],
    "properties": {
        "shopper": {"type": "string", "nullable": True, "description": "The app's own id, else the product's; null of somebody who was erased."},
        "state": {"type": "string", "enum": list(MessageState.values)},
        "reason": {"type": "string", "nullable": True, "enum": [*Reason.values, None]},
        "variant": {"type": "string", "nullable": True},
        "message_id": {"type": "string", "description": "As in the mail's X-Atrium-Message."},
        "sent_at": MOMENT,
    },
}
MESSAGES: Final[dict[str, Any]] = {
    "operation_id": "campaign_messages",
    "summary": "Everybody in the audience, and what became of the message",
    "description": "A line for each message, run by run.",
    "tags": ["campaigns"],
    "parameters": [
        CAMPAIGN,
        ORGANISATION,
        choice("state", list(MessageState.values), "Only those in one of these states."),
        choice("reason", list(Reason.values), "Only those with one of these reasons."),
        OpenApiParameter("run", OpenApiTypes.STR, description="Only those of this run: its `id`."),
        OpenApiParameter("cursor", OpenApiTypes.STR, description="The `message_id` behind which to go on."),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 999_999_999}, description="How many at most; all where it is absent."),
    ],
    "responses": {(200, "application/x-ndjson"): _MESSAGE, **problems(*OF_ONE, 406)},
}
REPORT: Final[dict[str, Any]] = {
    "operation_id": "campaign_report",
    "summary": "What came of it",
    "description": (
        "`counts` and `reasons` add up to `audience`. Opens and clicks are told in three columns: a person's, unknown, a machine's. `outcome` compares who"
        " visited (and bought) within the campaign's days among all it meant to reach with those held out: the difference of the two shares with its 95 %"
        " interval (Newcombe's hybrid score), or `too_few`. `credit` says how many of the visits other campaigns claim too. Null before anything was sent."
    ),
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION, choice("parts", list(PARTS), "Only these parts; all where it is absent.")],
    "responses": answer({"type": "object", "required": ["key", "state", "as_of", "definitions"], "properties": {}}, *OF_ONE),
}
WHY: Final[dict[str, Any]] = {
    "operation_id": "campaign_why",
    "summary": "Why a shopper got it, or did not",
    "description": "Step by step, as it is stored; of a campaign that has not run, what would happen now.",
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION, OpenApiParameter("shopper", OpenApiTypes.STR, required=True, description="The app's own id, or the product's.")],
    "responses": answer(
        {
            "type": "object",
            "required": ["shopper", "verdict", "steps"],
            "properties": {
                "shopper": {"type": "string"},
                "verdict": {"type": "string"},
                "steps": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["at", "what", "detail", "ok"],
                        "properties": {
                            "at": MOMENT,
                            "what": {"type": "string"},
                            "detail": {"type": "string"},
                            "ok": {"type": "boolean", "nullable": True, "description": "Whether it let the message pass; null where it decides nothing."},
                        },
                    },
                },
            },
        },
        *OF_ONE,
    ),
}
CHECK: Final[dict[str, Any]] = {
    "operation_id": "check_campaign",
    "summary": "What is wrong or unwise in its texts",
    "description": "With an `error` it cannot be sent; a `warning` may be meant.",
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION, IDEMPOTENCY_KEY],
    "request": {"application/json": {"type": "object", "additionalProperties": False}},
    "responses": answer(
        {
            "type": "object",
            "required": ["remarks"],
            "properties": {
                "remarks": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["level", "place", "detail"],
                        "properties": {"level": {"type": "string", "enum": ["error", "warning"]}, "place": {"type": "string"}, "detail": {"type": "string"}},
                    },
                }
            },
        },
        404,
        *WRITES,
    ),
}
PREVIEW: Final[dict[str, Any]] = {
    "operation_id": "preview_campaign",
    "summary": "Its mail as a shopper would get it",
    "description": "Without a shopper, of the audience's the one of whom least is known. `people` has those who are worth looking at.",
    "tags": ["campaigns"],
    "parameters": [
        CAMPAIGN,
        ORGANISATION,
        OpenApiParameter("variant", OpenApiTypes.STR, description="The variant's name; the first where it is absent."),
        OpenApiParameter("shopper", OpenApiTypes.STR, description="The app's own id, or the product's."),
        OpenApiParameter("language", OpenApiTypes.STR, description="As somebody of this language would get it."),
    ],
    "responses": answer({"type": "object", "required": ["people", "subject", "html", "text"], "properties": {}}, *OF_ONE),
}
TRY: Final[dict[str, Any]] = {
    "operation_id": "try_campaign",
    "summary": "Send its mail to an address to try it",
    "description": "At once, and on nobody's account. Told twice it is two mails, whatever the Idempotency-Key.",
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION, IDEMPOTENCY_KEY],
    "request": body(
        {
            "type": "object",
            "required": ["to"],
            "additionalProperties": False,
            "properties": {
                "to": {"type": "string", "format": "email"},
                **{name: {"type": "string", "nullable": True} for name in ("variant", "shopper", "language")},
            },
        }
    ),
    "responses": answer({"type": "object", "required": ["sent"], "properties": {"sent": {"type": "boolean"}, "provider_id": {"type": "string"}}}, 404, *WRITES),
}
