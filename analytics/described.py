"""What the OpenAPI document says about the reading addresses: parameters, answers, examples."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from analytics.periods import GRAINS, MOST_ROWS
from engagement.inbox import OWN
from engagement.openapi import MOMENT, ORGANISATION, problems

Described = dict[str, Any]

_WITHOUT_ZONE: Final = (
    "Dates are local dates of the zone's venue; without a zone, of all venues of the organisation where these share one time zone, and UTC where they do not."
)


def _text(name: str, description: str, *, required: bool = False, example: str | None = None) -> OpenApiParameter:
    examples = [OpenApiExample("Example", value=example)] if example else []
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, required=required, examples=examples)


def _range(required: bool, *, note: str = "") -> list[OpenApiParameter]:
    return [
        OpenApiParameter("from", MOMENT, required=required, description=f"The first instant: a local date, or an RFC 3339 instant. {note}".strip()),
        OpenApiParameter("to", MOMENT, required=required, description="The end, exclusive: a local date, or an RFC 3339 instant."),
    ]


def _object(properties: Described) -> Described:
    return {"type": "object", "required": list(properties), "properties": properties}


_INSTANT: Final = {"type": "string", "format": "date-time"}
_COUNT: Final = {"type": "integer", "minimum": 0}

STAY: Final = _object(
    {
        "id": {"type": "integer", "description": "Stands for the stay as it is now: history that is repaired may give it another."},
        "shopper": {
            "type": "string",
            "description": f"The app's own id where one was given. Else the product's: `{OWN}` and a number; the door refuses such ids from apps.",
        },
        "zone": {"type": "string", "description": "The zone's key."},
        "started": {**_INSTANT, "description": "The first opening observation."},
        "ended": {**_INSTANT, "description": "The last observation so far."},
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
    _object(
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
        _text("zone", "The zone's key; without it, stays of all zones.", example="north-food"),
        *_range(False, note=_WITHOUT_ZONE),
        _text("shopper", "The app's own id, or the product's, as `shopper` in an answer shows it.", example="crm-42"),
        _text("device", "The app installation's id: stays of the shoppers who own it or were named on it.", example="install-7c1f"),
        _text("cursor", "`next` of the page before."),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, description="Stays on a page."),
    ],
    "responses": {(200, "application/json"): _STAYS, (200, "application/x-ndjson"): STAY, **problems(400, 401, 403, 404, 405, 406)},
}

_DWELL: Final = {"type": "number", "minimum": 0, "nullable": True}
_FIGURES: Final[Described] = {
    "visits": {**_COUNT, "description": "Counted stays that start in the period."},
    "visitors": {**_COUNT, "description": "Distinct shoppers with a counted stay in the period: new + returning. Never the sum of shorter periods."},
    "new": {**_COUNT, "description": "Visitors whose first ever counted stay in this zone falls in the period."},
    "returning": {**_COUNT, "description": "Visitors who had one before the period."},
    "pass_bys": {**_COUNT, "description": "Stays too short to count."},
    "dwell_median_s": {
        **_DWELL,
        "description": "Of closed counted stays; interpolated between the two in the middle (percentile_cont). Null where there are none.",
    },
    "dwell_p90_s": {**_DWELL, "description": "90th percentile, interpolated likewise."},
    "dwell_mean_s": {**_DWELL, "description": "Arithmetic mean."},
}
_FIGURES_EXAMPLE: Final = {
    "visits": 412,
    "visitors": 388,
    "new": 301,
    "returning": 87,
    "pass_bys": 96,
    "dwell_median_s": 1260,
    "dwell_p90_s": 3340.5,
    "dwell_mean_s": 1507.25,
}
_FOOTFALL: Final = OpenApiResponse(
    _object(
        {
            "definitions": {"type": "integer", "description": "Version of the definitions that made the figures."},
            "rows": {
                "type": "array",
                "items": _object(
                    {
                        "period": {
                            "type": "string",
                            "description": "hour `2026-11-19T10:00:00+02:00`, day `2026-11-19`, ISO week `2026-W47`, month `2026-11`, on the venue's clock.",
                        },
                        **_FIGURES,
                    }
                ),
            },
            "total": _object(_FIGURES),
        }
    ),
    examples=[OpenApiExample("One day", value={"definitions": 1, "rows": [{"period": "2026-11-19", **_FIGURES_EXAMPLE}], "total": _FIGURES_EXAMPLE})],
)
FOOTFALL: Final[Described] = {
    "operation_id": "footfall",
    "tags": ["reading"],
    "summary": "Visits, visitors and dwell of a zone, by period",
    "description": (
        "A row for every period that meets [from, to), also where nothing happened; the first and the last are cut to the range. A stay belongs to the period "
        "of its start, on the venue's clock: days have 23, 24 or 25 hours, weeks are ISO weeks, and an hour in which the clock changes by "
        f"half an hour is two rows. At most {MOST_ROWS:,} rows."
    ),
    "parameters": [
        ORGANISATION,
        _text("zone", "The zone's key.", required=True, example="north-food"),
        *_range(True, note="Dates are those of the zone's venue."),
        OpenApiParameter("grain", OpenApiTypes.STR, enum=GRAINS, default="day", description="How long a period is."),
    ],
    "responses": {(200, "application/json"): _FOOTFALL, **problems(400, 401, 403, 404, 405, 406)},
}

_STATUS: Final = OpenApiResponse(
    _object(
        {
            "inbox": _object(
                {
                    "requests": {**_COUNT, "description": "Requests that were accepted and wait to be worked on."},
                    "events": {**_COUNT, "description": "Events in them."},
                    "oldest_s": {"type": "number", "minimum": 0, "description": "How long the oldest has waited, in seconds; 0 where none waits."},
                }
            ),
            "processed_events": {**_COUNT, "description": "Events worked on, duplicates and unmatched ones included, refused ones not."},
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
