"""What the OpenAPI document says about audiences."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from analytics.audiences.schema import EXAMPLE, NAME, REF, RULE
from analytics.described import COUNT as NUMBER
from analytics.described import INSTANT, Described, record
from engagement.inbox import OWN
from engagement.openapi import IDEMPOTENCY_KEY, ORGANISATION, problems

_KEY: Final = OpenApiParameter("key", OpenApiTypes.STR, OpenApiParameter.PATH, description="The audience's key.")
_OWN_KEY: Final = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", "description": "Your own. Not `count`."}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 200}
_WORDS: Final = {"type": "string", "description": "The rule as a sentence."}
_BRANCHES: Final = {
    "type": "array",
    "description": "The parts of a rule, each counted alone, in the order in which they are written; with their own parts in them.",
    "items": {"$ref": "#/components/schemas/Branch"},
}
_BRANCH: Final = record({"path": {"type": "string", "description": "Its place in the rule, as `all.0`."}, "count": NUMBER, "branches": _BRANCHES})
_FAULT: Final = record({"parameter": {"type": "string"}, "code": {"type": "string"}, "detail": {"type": "string"}})
_AUDIENCE: Final = record(
    {
        "key": {"type": "string"},
        "name": {"type": "string"},
        "rule": REF,
        "words": _WORDS,
        "count": {**NUMBER, "description": "Of the members."},
        "refreshed_at": {**INSTANT, "nullable": True, "description": "When its members last became others."},
        "created_at": INSTANT,
        "created_by": {"type": "string"},
    }
)
_ONE: Final = record({**_AUDIENCE["properties"], "faults": {"type": "array", "items": _FAULT, "description": "What the rule names and is gone."}})
_SAID: Final = {
    **{"key": "regulars", "name": "Regulars", "rule": EXAMPLE, "words": "Shoppers who visited the mall on at least 2 days in the last 30 days, …"},
    **{"count": 1234, "refreshed_at": "2026-11-19T10:00:00Z", "created_at": "2026-11-19T10:00:00Z", "created_by": "emma"},
}
_COUNTED: Final = {
    **{"path": "", "count": 1234, "words": _SAID["words"]},
    "branches": [{"path": f"all.{number}", "count": count, "branches": []} for number, count in enumerate((2000, 8000, 5000))],
}


def complete(result: Described, generator: Any, request: Any, public: bool) -> Described:
    """Add the schemas that name themselves. A hook of the generator."""
    result.setdefault("components", {}).setdefault("schemas", {}).update({NAME: RULE, "Branch": _BRANCH})
    return result


def _json(properties: Described, required: list[str]) -> Described:
    needed = {"required": required} if required else {}
    return {"application/json": {"type": "object", "additionalProperties": False, "properties": properties, **needed}}


COUNT: Final[Described] = {
    "operation_id": "count_audience",
    "summary": "Count who meets a rule",
    "description": "Exact as of this instant, with the count of each part of the rule taken alone. Nothing is stored.",
    "tags": ["audiences"],
    "parameters": [ORGANISATION],
    "request": _json({"rule": REF}, ["rule"]),
    "responses": {(200, "application/json"): record({**_BRANCH["properties"], "words": _WORDS}), **problems(400, 401, 403, 413, 415)},
    "examples": [
        OpenApiExample("Regulars who do not know a brand", value={"rule": EXAMPLE}, request_only=True),
        OpenApiExample("Counted", value=_COUNTED, response_only=True, status_codes=["200"]),
    ],
}
LIST: Final[Described] = {
    "operation_id": "audiences",
    "summary": "Audiences, by name",
    "tags": ["audiences"],
    "parameters": [ORGANISATION],
    "responses": {(200, "application/json"): record({"results": {"type": "array", "items": _AUDIENCE}}), **problems(400, 401, 403, 406)},
}
SAVE: Final[Described] = {
    "operation_id": "save_audience",
    "summary": "Write an audience",
    "description": "A new one (201), or another name and rule for the one with this key (200). Its members are made at once, and kept fresh within seconds.",
    "tags": ["audiences"],
    "parameters": [ORGANISATION, IDEMPOTENCY_KEY],
    "request": _json({"key": _OWN_KEY, "name": _NAME, "rule": REF}, ["key", "name", "rule"]),
    "responses": {**{(status, "application/json"): _AUDIENCE for status in (200, 201)}, **problems(400, 401, 403, 409, 413, 415, 422)},
    "examples": [
        OpenApiExample("Regulars", value={name: _SAID[name] for name in ("key", "name", "rule")}, request_only=True),
        OpenApiExample("It is new", value=_SAID, response_only=True, status_codes=["201"]),
    ],
}
ONE: Final[Described] = {
    "operation_id": "audience",
    "summary": "One audience, counted now",
    "tags": ["audiences"],
    "parameters": [ORGANISATION, _KEY],
    "responses": {(200, "application/json"): _ONE, **problems(400, 401, 403, 404, 406)},
}
CHANGE: Final[Described] = {
    "operation_id": "change_audience",
    "summary": "Give an audience another name or rule",
    "tags": ["audiences"],
    "parameters": [ORGANISATION, _KEY, IDEMPOTENCY_KEY],
    "request": _json({"name": _NAME, "rule": REF}, []),
    "responses": {(200, "application/json"): _AUDIENCE, **problems(400, 401, 403, 404, 409, 413, 415, 422)},
}
REMOVE: Final[Described] = {
    "operation_id": "remove_audience",
    "summary": "Remove an audience",
    "description": "Refused with 409 while a campaign or another audience is made of it.",
    "tags": ["audiences"],
    "parameters": [ORGANISATION, _KEY, IDEMPOTENCY_KEY],
    "request": None,
    "responses": {(200, "application/json"): record({"removed": {"type": "boolean"}}), **problems(400, 401, 403, 404, 409, 422)},
}
MEMBERS: Final[Described] = {
    "operation_id": "audience_members",
    "summary": "Who is in an audience",
    "description": f"As of this instant, one JSON object a line. `shopper` is the app's own id where one was given, else `{OWN}` and a number.",
    "tags": ["audiences"],
    "parameters": [ORGANISATION, _KEY],
    "responses": {
        (200, "application/x-ndjson"): record(
            {"shopper": {"type": "string"}, "since": {**INSTANT, "nullable": True, "description": "When a refresh found him in it; null: none has yet."}}
        ),
        **problems(400, 401, 403, 404, 406),
    },
}
CHANGES: Final[Described] = {
    "operation_id": "audience_changes",
    "summary": "How many joined and left an audience, and when",
    "description": "The latest first. With `Accept: application/x-ndjson`, who, one JSON object a line.",
    "tags": ["audiences"],
    "parameters": [
        ORGANISATION,
        _KEY,
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, description="Changes on a page."),
        OpenApiParameter("before", {"type": "integer", "minimum": 1, "maximum": 999_999_999}, description="`id` of the last change already seen."),
    ],
    "responses": {
        (200, "application/json"): record({"results": {"type": "array", "items": record({"id": NUMBER, "at": INSTANT, "joined": NUMBER, "left": NUMBER})}}),
        (200, "application/x-ndjson"): record({"at": INSTANT, "shopper": {"type": "string"}, "joined": {"type": "boolean"}}),
        **problems(400, 401, 403, 404, 406),
    },
}
