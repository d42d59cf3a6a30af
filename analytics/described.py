"""What the OpenAPI document says about the reading addresses: parameters, answers, examples."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from engagement.inbox import OWN
from engagement.openapi import MOMENT, ORGANISATION, problems

Described = dict[str, Any]

_WITHOUT_ZONE: Final = (
    "Dates are local dates of the zone's venue; without a zone, of all venues of the organisation where these share one time zone, and UTC where they do not."
)


def text(name: str, description: str, *, example: str | None = None) -> OpenApiParameter:
    examples = [OpenApiExample("Example", value=example)] if example else []
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, examples=examples)


def edges(*, required: bool, note: str = "") -> list[OpenApiParameter]:
    """`from` and `to`."""
    return [
        OpenApiParameter("from", MOMENT, required=required, description=f"The first instant: a local date, or an RFC 3339 instant. {note}".strip()),
        OpenApiParameter("to", MOMENT, required=required, description="The end, exclusive: a local date, or an RFC 3339 instant."),
    ]


def record(properties: Described) -> Described:
    """An object that always has all of these."""
    return {"type": "object", "properties": properties, **({"required": list(properties)} if properties else {})}


INSTANT: Final = {"type": "string", "format": "date-time"}
COUNT: Final = {"type": "integer", "minimum": 0}

STAY: Final = record(
    {
        "id": {"type": "integer", "description": "Stands for the stay as it is now: history that is repaired may give it another."},
        "shopper": {
            "type": "string",
            "description": f"The app's own id where one was given. Else the product's: `{OWN}` and a number; the door refuses such ids from apps.",
        },
        "zone": {"type": "string", "description": "The zone's key."},
        "started": {**INSTANT, "description": "The first opening observation."},
        "ended": {**INSTANT, "description": "The last observation so far."},
        "dwell_s": {"type": "number", "minimum": 0, "description": "End minus start in seconds, to the microsecond."},
        "counted": {"type": "boolean", "description": "False: a pass-by, too short for this zone."},
        "open": {"type": "boolean", "description": "A further observation now could still extend it."},
    }
)
_STAY_EXAMPLE: Final = {
    "id": 81234,
    "shopper": "crm-42",
    "zone": "north-food",
    "started": "2026-11-19T10:00:00Z",
    "ended": "2026-11-19T10:41:30.500000Z",
    "dwell_s": 2490.5,
    "counted": True,
    "open": False,
}
_STAYS: Final = OpenApiResponse(
    record(
        {"next": {"type": "string", "nullable": True, "description": "Give it as `cursor` for the next page."}, "results": {"type": "array", "items": STAY}}
    ),
    description="A page of stays, or with `Accept: application/x-ndjson` all of them, one a line.",
    examples=[OpenApiExample("A last page", value={"next": None, "results": [_STAY_EXAMPLE]}, media_type="application/json")],
)
STAYS: Final[Described] = {
    "operation_id": "stays",
    "tags": ["reading"],
    "summary": "Stays, in the order of their starts",
    "description": (
        "Stays whose start lies in [from, to). The filters narrow each other. "
        f"{_WITHOUT_ZONE}\n\nWith `Accept: application/x-ndjson` the answer has all stays from `cursor` on, one JSON object a line, and `limit` is not used. "
        "Open stays grow and late events repair history, so a stay may differ when it is read again."
    ),
    "parameters": [
        ORGANISATION,
        text("zone", "The zone's key; without it, stays of all zones.", example="north-food"),
        *edges(required=False, note=_WITHOUT_ZONE),
        text("shopper", "The app's own id, or the product's, as `shopper` in an answer shows it.", example="crm-42"),
        text("device", "The app installation's id: stays of the shoppers who own it or were named on it.", example="install-7c1f"),
        text("cursor", "`next` of the page before."),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, description="Stays on a page."),
    ],
    "responses": {(200, "application/json"): _STAYS, (200, "application/x-ndjson"): STAY, **problems(400, 401, 403, 404, 405, 406)},
}

_STATUS: Final = OpenApiResponse(
    record(
        {
            "inbox": record(
                {
                    "requests": {**COUNT, "description": "Requests that were accepted and wait to be worked on."},
                    "events": {**COUNT, "description": "Events in them."},
                    "oldest_s": {"type": "number", "minimum": 0, "description": "How long the oldest has waited, in seconds; 0 where none waits."},
                }
            ),
            "processed_events": {**COUNT, "description": "Events worked on, duplicates and unmatched ones included, refused ones not."},
            "version": {"type": "string"},
        }
    ),
    examples=[OpenApiExample("All done", value={"inbox": {"requests": 0, "events": 0, "oldest_s": 0}, "processed_events": 1204311, "version": "0.1.0"})],
)
STATUS: Final[Described] = {
    "operation_id": "status",
    "tags": ["reading"],
    "summary": "How far the work on your events is",
    "parameters": [ORGANISATION],
    "responses": {(200, "application/json"): _STATUS, **problems(400, 401, 403, 405, 406)},
}
