"""What the OpenAPI document says about reports and places. The words of each figure are the catalogue's."""

from typing import Any, Final

from django.utils import translation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from analytics.asking import COMPARISONS, FORMS, HOURS, MOST_PLACES, MOST_ROWS_TOGETHER, MOST_TOGETHER, places_of
from analytics.described import COUNT, INSTANT, Described, edges, record, text
from analytics.periods import MOST_ROWS
from analytics.reports.catalogue import Report, figure
from analytics.reports.stayed import CLASSES
from engagement.models import ZoneKind
from engagement.openapi import ORGANISATION, problems

_KEY: Final = {"type": "string"}
_PLACE: Final = record({"kind": {"type": "string", "enum": ["zone", "brand"]}, "key": _KEY, "name": {"type": "string"}})
_EDGE: Final = {"type": "string", "description": "A local date as it was asked for, or an instant in UTC."}
_COVERAGE: Final = {
    "type": "number",
    "nullable": True,
    "minimum": 0,
    "maximum": 1,
    "description": (
        "Share of the hours of the range that have passed in which somebody was seen in the venue; where it has opening hours, of those in which it is open. "
        f"Null where none has passed, and of more than {MOST_ROWS:,} days."
    ),
}
_RESTATED: Final = {**INSTANT, "nullable": True, "description": "When a day behind these figures last became another than it had been; null: never."}

# Fields that are whole numbers and always there, and examples; what is not here can be null, and have a fraction.
_WHOLE: Final = frozenset(
    ("visits", "visitors", "new", "returning", "pass_bys", "above", "passers_by", "buyers", "now", "days", "weekday", "hour", "months_later")
)
_EXAMPLES: Final[dict[str, Any]] = {
    "period": "2026-11-19",
    "visits": 412,
    "visitors": 388,
    "new": 301,
    "returning": 87,
    "frequency": 1.061856,
    "pass_bys": 96,
    "dwell_median_s": 1260,
    "dwell_p90_s": 3340.5,
    "dwell_mean_s": 1507.25,
    "median_s": 1260,
    "p90_s": 3340.5,
    "mean_s": 1507.25,
    "shares": {"under_5": 0.08, "from_5_to_15": 0.22, "from_15_to_30": 0.4, "from_30_to_60": 0.2, "over_60": 0.1},
    "mean": 41.25,
    "peak": 118,
    "peak_at": "2026-11-19T13:15:00+02:00",
    "now": 64,
    "bounce.rate": 0.188976,
    "rate": 0.125,
    "above": 3104,
    "passers_by": 5210,
    "from": "north-coffee",
    "to": "north-books",
    "a": "north-coffee",
    "b": "north-books",
    "cohort": "2026-09",
    "months": [{"months_later": 0, "visitors": 388, "share": 1}, {"months_later": 1, "visitors": 97, "share": 0.25}],
    "weekday": 4,
    "hour": 13,
    "days": 52,
    "heatmap.mean": 7.923077,
    "loyalty.visits": "1",
    "days_ago": "0-6",
    "mean_visits": 58.857143,
    "mean_occupancy": 41.25,
    "buyers": 49,
}
_NULLS: Final = {"peak-hours.total.hour"}


def of(report: Report) -> Described:
    """What drf_spectacular's extend_schema takes, of one report."""
    with translation.override("en"):
        return {
            "operation_id": report.name.replace("-", "_"),
            "tags": ["reports"],
            "summary": str(report.title),
            "description": _description(report),
            "parameters": _parameters(report),
            "responses": {
                (200, "application/json"): _json(report),
                (200, "text/csv"): OpenApiResponse({"type": "string"}, description="With `format=csv`, or `Accept: text/csv`."),
                **problems(400, 401, 403, 404, 405, 406),
            },
        }


def _description(report: Report) -> str:
    said = [str(report.sentence), f"Of {places_of(report)}."]
    if report.periods:
        said.append(
            "A row for every period that meets [from, to), also where nothing happened; the first and the last are cut to the range. A stay belongs to the "
            "period of its start, on the venue's clock: days have 23, 24 or 25 hours, weeks are ISO weeks, and an hour in which the clock changes by half an "
            f"hour is two rows. At most {MOST_ROWS:,} rows of a place, and {MOST_ROWS_TOGETHER:,} of all together."
        )
    if report.together:
        said.append("One answer about all places named, which `places` lists.")
    else:
        said.append("Of several places, `places` has an answer for each, in the order in which they were named.")
    said.append(
        "\n\nJSON is exact. CSV is meant to leave the house: a figure over 1 to 9 shoppers is written `<10`, and one that would give such a figure away "
        "`hidden`; it is UTF-8 with a byte order mark, a line for each row and one for the total, and the columns of the ranges beside it begin with "
        "`previous_` and `year_`."
    )
    return " ".join(said)


def _parameters(report: Report) -> list[OpenApiParameter]:
    most = MOST_TOGETHER if report.together else MOST_PLACES
    store = "zone" in report.takes
    found = [
        ORGANISATION,
        text("zone", f"Keys of zones, parted by commas, at most {most}. A venue's key is that of its root zone.", example="north-food" if store else "north"),
        text("brand", f"Instead of zones: keys of brands, at most {MOST_PLACES}. The figures are those of all their stores together."),
        *edges(required=True, note="Dates are those of each place's own venue."),
    ]
    if report.periods:
        found.append(OpenApiParameter("grain", OpenApiTypes.STR, enum=report.grains, default="day", description="How long a period is."))
    return [
        *found,
        OpenApiParameter("hours", OpenApiTypes.STR, enum=HOURS, default="all", description="Only stays that start inside the opening hours, or outside."),
        _compare(),
        OpenApiParameter("format", OpenApiTypes.STR, enum=FORMS, default="json", description="Goes before the `Accept` header."),
    ]


def _compare() -> OpenApiParameter:
    return OpenApiParameter(
        "compare",
        {"type": "array", "items": {"type": "string", "enum": list(COMPARISONS)}, "uniqueItems": True, "minItems": 1},
        explode=False,
        description=(
            "Ranges to set beside it. `previous`: as many local days directly before (between instants: as much time). `year`: as many days from the same "
            "weekday of the same ISO week, in the ISO year before; beside week 53 stands week 52 where that year has no 53."
        ),
    )


# --- Answers --------------------------------------------------------------------------------------------------------------


def _json(report: Report) -> OpenApiResponse:
    said = {"rows": {"type": "array", "items": record({name: _field(report, name) for name in report.row})}, "total": _total(report)}
    beside = {**record({"from": _EDGE, "to": _EDGE, **said})}
    compare = {"type": "object", "description": "Only with `compare`.", "properties": dict.fromkeys(COMPARISONS, beside), "additionalProperties": False}
    found = {"coverage": _COVERAGE, "restated_at": _RESTATED, **said}
    answer = {**record(found), "properties": {**found, "compare": compare}}
    head = {
        "definitions": {"type": "integer", "description": "Version of the definitions that made the figures."},
        "report": {"type": "string", "enum": [report.name]},
        "from": _EDGE,
        "to": _EDGE,
    }
    one = _both(record({**head, "place": _PLACE}), answer)
    several = {"type": "array", "minItems": 2, "items": _both(record({"place": _PLACE}), answer)}
    many = (
        _both(record({**head, "places": {"type": "array", "minItems": 2, "items": _PLACE}}), answer) if report.together else record({**head, "places": several})
    )
    return OpenApiResponse({"oneOf": [one, many]}, examples=[OpenApiExample("One place", value=_example(report), media_type="application/json")])


def _both(first: Described, second: Described) -> Described:
    return {
        "type": "object",
        "required": [*first["required"], *second["required"]],
        "properties": {**first["properties"], **second["properties"]},
    }


def _total(report: Report) -> Described:
    return record({name: _field(report, name, of_total=True) for name in report.total})


def _field(report: Report, name: str, *, of_total: bool = False) -> Described:
    about = figure(report.name, name)
    described = {"description": f"{about.label}: {about.sentence}"}
    if name == "shares":
        return {**record({share: _field(report, share) for share in CLASSES}), **described}
    if name == "months":
        return {"type": "array", "items": record({inner: _field(report, inner) for inner in ("months_later", "visitors", "share")}), **described}
    if about.unit == "label" and not (of_total and name == "visits") and name not in _WHOLE - {"visits"}:
        return {"type": "string", **described}
    if about.unit == "key":
        return {"type": "string", **described}
    if about.unit == "instant":
        return {**INSTANT, "nullable": True, **described}
    if name in _WHOLE:
        return {**COUNT, **described, **({"nullable": True} if of_total and f"{report.name}.total.{name}" in _NULLS else {})}
    return {"type": "number", "minimum": 0, "nullable": True, **described}


def _value(report: Report, name: str, *, of_total: bool = False) -> Any:
    return _EXAMPLES[name] if of_total else _EXAMPLES.get(f"{report.name}.{name}", _EXAMPLES[name])


def _example(report: Report) -> Described:
    return {
        "definitions": 1,
        "report": report.name,
        "place": {"kind": "zone", "key": "north-food", "name": "Food court"},
        "from": "2026-11-19",
        "to": "2026-11-20",
        "coverage": 0.98,
        "restated_at": None,
        "rows": [{name: _value(report, name) for name in report.row}],
        "total": {name: _value(report, name, of_total=True) for name in report.total},
    }


# --- Places ---------------------------------------------------------------------------------------------------------------

_ZONE: Final = record(
    {
        "key": _KEY,
        "name": {"type": "string"},
        "kind": {"type": "string", "enum": list(ZoneKind.values), "description": "`venue` is the root: the venue itself."},
        "venue": {"type": "string", "description": "The venue's key."},
        "time_zone": {"type": "string", "description": "The venue's: its days are those of every figure."},
        "floor": {"type": "integer", "nullable": True},
        "brand": {"type": "string", "nullable": True, "description": "The brand's key."},
        "parent": {"type": "string", "nullable": True, "description": "Key of the zone directly above; null for a root, and where you may not know of it."},
        "thresholds": record(
            {
                "exit_grace_s": {**COUNT, "description": "A longer gap ends a stay."},
                "min_stay_s": {**COUNT, "description": "A shorter stay is a pass-by."},
                "enter_rssi": {"type": "integer", "description": "A beacon as strong as this opens a stay."},
                "hold_rssi": {"type": "integer", "description": "A beacon as strong as this holds it."},
                "max_accuracy_m": {"type": "number", "description": "A less accurate fix says nothing."},
            }
        ),
    }
)
_PLACES_EXAMPLE: Final = {
    "venues": [{"key": "north", "name": "North Centre", "time_zone": "Africa/Johannesburg", "opening_hours": {"mon": [["09:00", "21:00"]]}}],
    "zones": [
        {
            "key": "north-food",
            "name": "Food court",
            "kind": "area",
            "venue": "north",
            "time_zone": "Africa/Johannesburg",
            "floor": 0,
            "brand": None,
            "parent": "north",
            "thresholds": {"exit_grace_s": 60, "min_stay_s": 30, "enter_rssi": -85, "hold_rssi": -95, "max_accuracy_m": 50},
        }
    ],
    "brands": [{"key": "coffee", "name": "Coffee & Cake"}],
}
_VENUE: Final = record(
    {
        "key": _KEY,
        "name": {"type": "string"},
        "time_zone": {"type": "string"},
        "opening_hours": {
            "type": "object",
            "nullable": True,
            "additionalProperties": True,
            "description": "By weekday, on the venue's clock; null: always open.",
        },
    }
)
PLACES: Final[Described] = {
    "operation_id": "places",
    "tags": ["reports"],
    "summary": "Venues, zones and brands whose figures you may read",
    "description": "Zones as they are now. A member of a brand gets its stores, and of the venues around them the names and clocks.",
    "parameters": [ORGANISATION],
    "responses": {
        (200, "application/json"): OpenApiResponse(
            record(
                {
                    "venues": {"type": "array", "items": _VENUE},
                    "zones": {"type": "array", "items": _ZONE},
                    "brands": {"type": "array", "items": record({"key": _KEY, "name": {"type": "string"}})},
                }
            ),
            examples=[OpenApiExample("A mall", value=_PLACES_EXAMPLE, media_type="application/json")],
        ),
        **problems(400, 401, 403, 405, 406),
    },
}
