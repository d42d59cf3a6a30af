"""The device door in the OpenAPI document, by hand: it is an ASGI application of its own, which Django's generator cannot see."""

from typing import Any, Final

from engagement.door.answers import PROBLEMS
from engagement.protocols.atrium import MAX_EVENTS
from engagement.protocols.refusals import Reason

Schema = dict[str, Any]

_ID: Final = {"type": "string", "minLength": 1, "maxLength": 128}
_INSTANT: Final = {"type": "string", "format": "date-time"}
_REQUEST_EXAMPLE: Final = {
    "device": {"id": "install-7c1f", "platform": "ios", "app_version": "2.1"},
    "shopper": {"id": "crm-42"},
    "sent_at": "2026-11-19T10:00:05.120Z",
    "events": [
        {"id": "01930000-0000-7000-8000-000000000001", "type": "fix", "at": "2026-11-19T10:00:00Z", "lat": -26.1076, "lon": 28.0567, "accuracy": 12.0},
        {
            "id": "01930000-0000-7000-8000-000000000002",
            "type": "sighting",
            "at": "2026-11-19T10:00:01Z",
            "beacon": {"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "minor": 7},
            "rssi": -71,
        },
        {"id": "01930000-0000-7000-8000-000000000003", "type": "transition", "at": "2026-11-19T10:00:02Z", "zone": "north-food", "direction": "enter"},
    ],
}


def _event(kind: str, fields: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    common: Schema = {
        "id": {"type": "string", "format": "uuid", "description": "Made by the app, once; the same event sent again is counted once."},
        "type": {"type": "string", "enum": [kind]},
        "at": {**_INSTANT, "description": "The device's clock."},
    }
    return {"type": "object", "required": [*common, *(name for name in fields if name not in optional)], "properties": {**common, **fields}}


def _beacon(**fields: Schema) -> Schema:
    return {"type": "object", "required": list(fields), "properties": fields}


_U16: Final = {"type": "integer", "minimum": 0, "maximum": 65535}
_BEACON: Final = {
    "oneOf": [
        _beacon(uuid={"type": "string", "format": "uuid"}, major=_U16, minor=_U16),
        _beacon(namespace={"type": "string", "pattern": "^[0-9a-fA-F]{20}$"}, instance={"type": "string", "pattern": "^[0-9a-fA-F]{12}$"}),
        _beacon(mac={"type": "string", "pattern": "^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$"}),
    ]
}
_EVENT: Final = {
    "oneOf": [
        _event(
            "fix",
            {
                "lat": {"type": "number", "minimum": -90, "maximum": 90},
                "lon": {"type": "number", "minimum": -180, "maximum": 180},
                "accuracy": {"type": "number", "minimum": 0, "description": "In metres."},
            },
        ),
        _event("sighting", {"beacon": _BEACON, "rssi": {"type": "number", "minimum": -127, "maximum": 20, "description": "In dBm."}}, optional=("rssi",)),
        _event("transition", {"zone": {"type": "string", "minLength": 1, "maxLength": 64}, "direction": {"type": "string", "enum": ["enter", "exit"]}}),
        _event("custom", {"name": _ID, "properties": {"type": "object", "nullable": True, "description": "At most 8 KiB."}}, optional=("properties",)),
    ]
}
_REQUEST: Final = {
    "type": "object",
    "required": ["device", "events"],
    "properties": {
        "device": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {**_ID, "description": "The app's installation."},
                "platform": {"type": "string", "nullable": True},
                "app_version": {"type": "string", "nullable": True},
            },
        },
        "shopper": {
            "type": "object",
            "nullable": True,
            "required": ["id"],
            "properties": {"id": {**_ID, "description": "Your own id of a shopper who is known."}},
        },
        "sent_at": {**_INSTANT, "nullable": True, "description": "The device's clock on sending; corrects clocks that are more than a minute wrong."},
        "events": {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": _EVENT},
    },
}
_ACCEPTED: Final = {
    "type": "object",
    "required": ["accepted", "rejected"],
    "properties": {
        "accepted": {"type": "integer", "minimum": 0},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "reason", "detail"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0, "description": "Its place in `events`, from 0."},
                    "id": {"type": "string", "description": "As it was sent, or empty where it could not be read."},
                    "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_REFUSALS: Final = {
    400: "The body cannot be read at all.",
    401: "No key, or an unknown one.",
    403: "The key may not do this.",
    405: "Only POST.",
    408: "The body came too slowly.",
    413: "More than 256 KiB as sent, 4 MiB unpacked, or 500 events.",
    415: "Not `application/json`, or an encoding other than gzip.",
    429: "Too much at once. Nothing was stored: send it again after `Retry-After` seconds.",
    503: "Not now. Nothing was stored: send it again after `Retry-After` seconds.",
}
_DOOR_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail")},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(PROBLEMS), "description": "Stable: programs may rely on it."},
    },
}


def _refusal(status: int, description: str) -> Schema:
    headers = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}} if status in {429, 503} else {}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/DoorProblem"}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


POST_EVENTS: Final[Schema] = {
    "operationId": "post_events",
    "tags": ["device door"],
    "summary": "Events of one device",
    "description": (
        f"1 to {MAX_EVENTS} events. When the answer is 202, every accepted event is on disk; a bad event never costs the good ones beside it and "
        "is named in `rejected`. Sending the same request again, at once or days later, is always safe and changes nothing. An event is accepted up "
        "to 35 days after it happened (with an import key at any age) and 5 minutes before. An unknown beacon or zone is accepted and kept: when it "
        "is provisioned later, the event counts.\n\n"
        "Reasons of `rejected` are a closed list: " + ", ".join(f"`{reason.value}`" for reason in Reason) + "."
    ),
    "security": [{"publishableKey": []}],
    "parameters": [{"in": "header", "name": "Content-Encoding", "schema": {"type": "string", "enum": ["gzip"]}, "description": "If the body is compressed."}],
    "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST, "example": _REQUEST_EXAMPLE}}},
    "responses": {
        "202": {
            "description": "Every accepted event is committed to disk.",
            "content": {"application/json": {"schema": _ACCEPTED, "example": {"accepted": 3, "rejected": []}}},
        },
        **{str(status): _refusal(status, description) for status, description in _REFUSALS.items()},
    },
}
COMPONENTS: Final[Schema] = {
    "schemas": {"DoorProblem": _DOOR_PROBLEM},
    "securitySchemes": {
        "publishableKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "A publishable key: it sits in an app and may only post events. Import keys may too.",
        }
    },
}
