"""What the OpenAPI document says of /api/v1/campaigns."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from engagement.openapi import IDEMPOTENCY_KEY, ORGANISATION, Schema, problems
from notifications import draft_form
from notifications.models import CampaignState, MessageState, Reason

MOMENT: Final[Schema] = {"type": "string", "format": "date-time", "nullable": True}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_LINE: Final[Schema] = {"type": "string", "maxLength": draft_form.LONGEST_LINE, "description": "One line, Liquid."}
_BODY: Final[Schema] = {"type": "string", "nullable": True, "maxLength": draft_form.LONGEST_BODY}
_CLOCK: Final[Schema] = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}
_WORDS: Final[dict[str, Schema]] = {
    "subject": {**_LINE, "minLength": 1},
    "preheader": {**_LINE, "nullable": True},
    "html": {**_BODY, "description": "Liquid. This, or `mjml`."},
    "mjml": {**_BODY, "description": "Liquid in MJML. This, or `html`."},
    "text": {**_BODY, "description": "Liquid. Null: made of the other part."},
}
_VARIANT: Final[Schema] = {
    "type": "object",
    "required": ["subject"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 64},
        "weight": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1},
        **_WORDS,
        "languages": {
            "type": "array",
            "maxItems": draft_form.MOST_LANGUAGES,
            "description": "What is said to shoppers of these languages instead.",
            "items": {
                "type": "object",
                "required": ["language", "subject"],
                "additionalProperties": False,
                "properties": {"language": {"type": "string", "minLength": 2, "maxLength": 35}, **_WORDS},
            },
        },
    },
}
_QUIET: Final[Schema] = {
    "type": "object",
    "nullable": True,
    "required": ["from", "until"],
    "additionalProperties": False,
    "description": "Null: those of the organisation's policy. Held messages leave when the hours are over; dropped ones are skipped.",
    "properties": {
        "from": _CLOCK,
        "until": _CLOCK,
        "then": {"type": "string", "enum": ["hold", "drop"], "default": "hold"},
        "clocks": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "enum": ["shopper", "shop"]}},
    },
}
_FIELDS: Final[dict[str, Schema]] = {
    "key": {**_KEY, "description": "Your own. Told again, a draft of this key is replaced."},
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "brand": {
        **_KEY,
        "nullable": True,
        "description": "Whose wishes and caps count, and to whose stores a visit is the outcome. Null: the organisation's own.",
    },
    "topic": {**_KEY, "nullable": True},
    "audience": {**_KEY, "description": "The audience's key."},
    "channel": {"type": "string", "enum": ["email"], "default": "email"},
    "purpose": {"type": "string", "maxLength": 64, "default": "marketing", "description": "Which consent is asked for."},
    "from": {"type": "string", "nullable": True, "maxLength": 320, "description": "Null: the policy's."},
    "variants": {"type": "array", "minItems": 1, "maxItems": draft_form.MOST_VARIANTS, "items": _VARIANT},
    "holdout": {"type": "number", "minimum": 0, "maximum": 0.9999, "default": 0.05, "description": "The share that is left alone, to compare with."},
    "send_at": {**MOMENT, "description": "Null: when somebody says so."},
    "quiet_hours": _QUIET,
    "frequency_cap": {
        "type": "object",
        "nullable": True,
        "required": ["messages", "days"],
        "additionalProperties": False,
        "description": "At most so many messages of this brand in any so many days.",
        "properties": {"messages": {"type": "integer", "minimum": 1, "maximum": 1000}, "days": {"type": "integer", "minimum": 1, "maximum": 365}},
    },
    "in_shopper_time": {"type": "boolean", "default": False, "description": "At the time of `send_at` on each shopper's own clock."},
    "recurrence": {
        "type": "object",
        "nullable": True,
        "required": ["every", "at"],
        "additionalProperties": False,
        "properties": {
            "every": {"type": "string", "enum": ["day", "week", "month"]},
            "at": _CLOCK,
            "on": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 31}},
        },
    },
    "time_zone": {"type": "string", "nullable": True, "maxLength": 64, "description": "The shop's clock. Null: that of the brand's first store."},
    "outcome_days": {"type": "integer", "minimum": 1, "maximum": 90, "default": 7, "description": "Within which a visit counts as the outcome."},
}
_TOLD: Final[Schema] = {"type": "object", "required": ["key", "name", "audience", "variants"], "additionalProperties": False, "properties": _FIELDS}
_CHANGES: Final[Schema] = {"type": "object", "additionalProperties": False, "properties": _FIELDS}
_COUNTS: Final[Schema] = {
    "type": "object",
    "required": list(MessageState.values),
    "properties": dict.fromkeys(MessageState.values, COUNT),
    "description": "Messages by state. Their sum is the audience when it was planned.",
}
_RUN: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "due_at": MOMENT,
        "planned_at": MOMENT,
        "finished_at": MOMENT,
        "audience_count": {**COUNT, "nullable": True},
        "counts": _COUNTS,
    },
}
_STANDING: Final[dict[str, Schema]] = {
    "state": {"type": "string", "enum": list(CampaignState.values)},
    "pause_reason": {"type": "string"},
    "created_at": MOMENT,
    "started_at": MOMENT,
    "finished_at": MOMENT,
}
_CAMPAIGN: Final[Schema] = {
    "type": "object",
    "required": ["key", "name", "state", "counts"],
    "properties": {
        **_FIELDS,
        **_STANDING,
        "revision": COUNT,
        "approved_revision": {**COUNT, "nullable": True},
        "approved_by": {"type": "string"},
        "needs_approval": {"type": "boolean"},
        "created_by": {"type": "string"},
        "changed_by": {"type": "string"},
        "counts": _COUNTS,
        "runs": {"type": "array", "items": _RUN},
        "rate": {"type": "number", "nullable": True, "description": "Messages a second, while it is being sent. Null: nothing limits."},
        "finish_at": MOMENT,
    },
}
_LISTED: Final[Schema] = {
    "type": "object",
    "required": ["key", "name", "state", "people"],
    "properties": {
        **{name: _FIELDS[name] for name in ("key", "name", "brand", "audience", "send_at", "recurrence")},
        **_STANDING,
        "people": {**COUNT, "description": "In the audiences of its runs."},
    },
}
CAMPAIGN: Final = OpenApiParameter("key", OpenApiTypes.STR, OpenApiParameter.PATH, description="The campaign's key.")
_HTML: Final = '<p>Hello {{ attributes.first_name | default: "there" }}, come and see us.</p>'
_EXAMPLE: Final = {
    "key": "spring",
    "name": "Spring",
    "audience": "regulars",
    "from": "News <news@example.com>",
    "variants": [{"name": "a", "weight": 1, "subject": "Spring is here", "html": _HTML}],
}
WRITES: Final = (400, 401, 403, 409, 413, 415, 422)
OF_ONE: Final = (400, 401, 403, 404)


def body(schema: Schema) -> dict[str, Schema]:
    return {"application/json": schema}


def answer(schema: Schema, *refused: int, status: int = 200) -> dict[Any, Any]:
    return {(status, "application/json"): schema, **problems(*refused)}


def choice(name: str, values: list[str], description: str) -> OpenApiParameter:
    schema = {"type": "array", "items": {"type": "string", "enum": values}}
    return OpenApiParameter(name, schema, explode=False, style="form", description=description)


LISTED: Final[dict[str, Any]] = {
    "operation_id": "list_campaigns",
    "summary": "Campaigns, the latest first",
    "tags": ["campaigns"],
    "parameters": [
        ORGANISATION,
        choice("state", list(CampaignState.values), "Only those in one of these states."),
        OpenApiParameter("cursor", {"type": "integer", "minimum": 1, "maximum": 999_999_999}, description="The `next` of the page before."),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, description="How many at most; 100 where it is absent."),
    ],
    "responses": answer(
        {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": {"type": "string", "nullable": True}, "results": {"type": "array", "items": _LISTED}},
        },
        400,
        401,
        403,
    ),
}
WRITTEN: Final[dict[str, Any]] = {
    "operation_id": "write_campaign",
    "summary": "Write a draft",
    "description": (
        "Everything that is wrong is said at once, with its place. Told again under the same key, the draft is replaced; what is past being a draft is"
        " refused with 409 and its `state`. Nothing is sent before `send`."
    ),
    "tags": ["campaigns"],
    "parameters": [ORGANISATION, IDEMPOTENCY_KEY],
    "request": body(_TOLD),
    "responses": {**answer(_CAMPAIGN, *WRITES), (201, "application/json"): _CAMPAIGN},
    "examples": [OpenApiExample("A campaign", value=_EXAMPLE, request_only=True)],
}
ONE: Final[dict[str, Any]] = {
    "operation_id": "campaign",
    "summary": "A campaign: what it says, where it stands, and its messages by state",
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION],
    "responses": answer(_CAMPAIGN, *OF_ONE),
}
REPLACED: Final[dict[str, Any]] = {
    "operation_id": "replace_campaign",
    "summary": "Replace a draft",
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION, IDEMPOTENCY_KEY],
    "request": body({**_TOLD, "required": ["name", "audience", "variants"]}),
    "responses": answer(_CAMPAIGN, 404, *WRITES),
}
CHANGED: Final[dict[str, Any]] = {
    **REPLACED,
    "operation_id": "change_campaign",
    "summary": "Change some fields of a draft",
    "description": "Fields that are absent stay. `variants` are replaced together.",
    "request": body(_CHANGES),
}
_PEOPLE: Final = ("match", "no_address", "no_consent", "suppressed", "not_wished", "capped", "holdout", "left")
FUNNEL: Final[dict[str, Any]] = {
    "operation_id": "campaign_funnel",
    "summary": "Who would get it if it were sent now",
    "description": (
        "Exact. Everybody who matches is in one of the others, in this order: without an address, without consent, suppressed, not wished, capped, held out,"
        " and left, who would get it. `rate` is messages a second, or null where nothing limits; `quiet` is what quiet hours would do."
    ),
    "tags": ["campaigns"],
    "parameters": [CAMPAIGN, ORGANISATION],
    "responses": answer(
        {
            "type": "object",
            "required": [*_PEOPLE, "rate", "starts_at", "finish_at", "quiet"],
            "properties": {
                **dict.fromkeys(_PEOPLE, COUNT),
                "rate": {"type": "number", "nullable": True},
                "starts_at": MOMENT,
                "finish_at": MOMENT,
                "quiet": {"type": "object", "nullable": True, "properties": {"held": COUNT, "dropped": COUNT, "until": MOMENT}},
            },
        },
        *OF_ONE,
        409,
    ),
}


def _move(name: str, summary: str, description: str = "", asked: Schema | None = None, answered: Schema = _CAMPAIGN) -> dict[str, Any]:
    return {
        "operation_id": f"{name}_campaign",
        "summary": summary,
        "description": f"{description} Where the campaign's state forbids it: 409 `wrong_state`, with the `state` that it is in.".strip(),
        "tags": ["campaigns"],
        "parameters": [CAMPAIGN, ORGANISATION, IDEMPOTENCY_KEY],
        "request": {"application/json": asked or {"type": "object", "additionalProperties": False}},
        "responses": answer(answered, 404, *WRITES),
    }


SEND: Final = _move(
    "send",
    "Send it: at its time, or now",
    "`at` replaces its time. 409 `not_ready` where a second person has to approve it first, or its time is long past.",
    {"type": "object", "additionalProperties": False, "properties": {"at": MOMENT}},
)
PAUSE: Final = _move("pause", "Pause it", "Senders stop within a second or so.")
RESUME: Final = _move("resume", "Go on with it", "Nobody is sent to twice.")
CANCEL: Final = _move("cancel", "End it for good", "What waits is skipped; what has left has left.")
APPROVE: Final = _move("approve", "Approve it as it is now", "By somebody other than who changed it last. The next change asks for approval again.")
UNSCHEDULE: Final = _move("unschedule", "Make a scheduled campaign a draft again")
RELEASE: Final = _move(
    "release",
    "Plan failed messages again",
    "All of them, or those of one reason.",
    {"type": "object", "additionalProperties": False, "properties": {"reason": {"type": "string", "nullable": True, "enum": [*Reason.values, None]}}},
    {"type": "object", "required": ["released"], "properties": {"released": COUNT}},
)
