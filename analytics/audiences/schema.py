"""The JSON Schema of a rule, as the OpenAPI document has it: a component that names itself. Pure."""

from typing import Any, Final

from analytics.audiences import parsing
from analytics.audiences.tree import DONE, STATES

Schema = dict[str, Any]
NAME: Final = "Rule"
REF: Final = {"$ref": f"#/components/schemas/{NAME}"}

_KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": parsing.LONGEST}
_DAYS: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": parsing.MOST_DAYS}
_AMOUNT: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 10**12}
_EDGE: Final[Schema] = {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
_VALUE: Final[Schema] = {"oneOf": [{"type": "string", "maxLength": parsing.LONGEST}, {"type": "number"}, {"type": "boolean"}]}
_BOUND: Final[Schema] = {"oneOf": [{"type": "string", "maxLength": parsing.LONGEST}, {"type": "number"}]}
_WHERE: Final[Schema] = {
    "zone": {**_KEY, "description": "The zone's key. A visit is a counted stay in it."},
    "venue": {**_KEY, "description": "The venue's key."},
    "brand": {**_KEY, "description": "The brand's key: any of its stores."},
}
_EDGES: Final[Schema] = {
    "from": {**_EDGE, "description": "A local date of the place's own clock, or an instant."},
    "to": {**_EDGE, "description": "The end, exclusive."},
}
_BACK: Final[Schema] = {"within_days": {**_DAYS, "description": "So many local days before today, and today. In place of `from` and `to`."}, **_EDGES}


def _object(properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": list(required)} if required else found


def _one(name: str, schema: Schema, description: str) -> Schema:
    return {**_object({name: schema}, required=(name,)), "description": description}


_LIST: Final[Schema] = {"type": "array", "minItems": 1, "maxItems": parsing.RULES, "items": REF}
_AGO: Final[Schema] = {"days_ago_at_least": _DAYS, "days_ago_at_most": _DAYS}
RULE: Final[Schema] = {
    "description": f"Who. At most {parsing.RULES} parts, {parsing.DEPTH} deep.",
    "oneOf": [
        _one("all", _LIST, "Who meets every one of them."),
        _one("any", _LIST, "Who meets at least one of them."),
        _one("not", REF, "Everybody else, also shoppers whom only a device stands for."),
        _one(
            "visited",
            _object(
                {
                    **_WHERE,
                    **_BACK,
                    "days_at_least": {"type": "integer", "minimum": 1, "maximum": parsing.MOST_DAYS, "default": 1, "description": "On so many local days."},
                    "dwell_at_least_s": {
                        **{"type": "number", "minimum": 0, "maximum": parsing.MOST_DWELL_S, "default": 0},
                        "description": "Of a single visit, in seconds; of one that is not over, so far.",
                    },
                }
            ),
            "One of `zone`, `venue` and `brand`. Without a range: ever.",
        ),
        _one("first_visit", _object({**_WHERE, **_BACK, **_AGO}), "The first visit ever was in the range."),
        _one("last_visit", _object({**_WHERE, **_BACK, **_AGO}), "The last visit so far was in the range."),
        _one(
            "attribute",
            _object(
                {
                    "name": _KEY,
                    "is": _VALUE,
                    "in": {"type": "array", "minItems": 1, "maxItems": parsing.VALUES, "items": _VALUE},
                    "at_least": _BOUND,
                    "at_most": _BOUND,
                },
                required=("name",),
            ),
            "One of `is` and `in`, or bounds. Numbers are compared with numbers, texts with texts.",
        ),
        _one("language", {"type": "string", "maxLength": 35}, "Of this language, or of a regional form of it."),
        _one(
            "consent",
            _object({"channel": {"type": "string", "enum": list(parsing.CHANNELS)}, "purpose": {**_KEY, "maxLength": 64, "default": parsing.MARKETING}},
                    required=("channel",)),
            "Who agreed, and has not withdrawn it.",
        ),
        _one(
            "purchased",
            _object(
                {
                    "brand": {**_KEY, "description": "Without it, of any brand."},
                    **_BACK,
                    "amount_at_least": {**_AMOUNT, "description": "Of one purchase."},
                    "total_at_least": {**_AMOUNT, "description": "Of all of them together, in one currency."},
                    "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "Only purchases in it."},
                }
            ),
            "Who bought. Local days are those of the brand's stores where these have one clock, else of all venues where they do, else UTC.",
        ),
        _one(
            "campaign",
            _object({"key": _KEY, "state": {"type": "string", "enum": [*STATES, *DONE]}}, required=("key", "state")),
            "Whose message of the campaign is in this state now; or who opened it, or clicked in it.",
        ),
        _one("list", _KEY, "Who is on the list with this key."),
        _one("audience", _KEY, "Who is in the audience with this key, by its rule as it is now."),
    ],
}  # fmt: skip
EXAMPLE: Final = {
    "all": [
        {"visited": {"venue": "north", "within_days": 30, "days_at_least": 2}},
        {"not": {"visited": {"brand": "brew", "within_days": 30}}},
        {"consent": {"channel": "email"}},
    ]
}
