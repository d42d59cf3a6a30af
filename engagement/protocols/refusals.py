"""How a protocol says no: the closed list of reasons for one event, and the tree of errors for a whole request. Pure.

Unreadable
├── NotJson            not UTF-8, not JSON, nested too deeply
├── InvalidEnvelope    device, shopper, sent_at or events is missing or of a wrong shape
├── NoEvents
└── TooManyEvents
"""

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why one event was refused: the closed list."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    OUT_OF_RANGE = "out_of_range"
    ACCURACY_REQUIRED = "accuracy_required"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    TOO_LARGE = "too_large"


class Unreadable(Exception):
    """Nothing of the request could be taken. `code` is stable; the text says what is wrong."""

    code = "unreadable"


class NotJson(Unreadable):
    code = "not_json"


class InvalidEnvelope(Unreadable):
    code = "invalid_envelope"


class NoEvents(Unreadable):
    code = "no_events"


class TooManyEvents(Unreadable):
    code = "too_many_events"


class Refused(Exception):
    """One event cannot be taken."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise Refused(Reason.MALFORMED, "A name appears twice in one object.")
    return named


def refuse_repeated(text: bytes) -> None:
    """Readers differ over which of two equal names counts, so neither does."""
    try:
        json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.MALFORMED, "The event is not JSON that can be read.") from error


_PLACE = re.compile(r"(.*) - at `\$\.?(.*?)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def explain(error: Exception) -> tuple[Reason, str]:
    """The reason and a sentence for a decoder's error. Its messages name fields and limits, never what was sent, but for the type."""
    if isinstance(error, RecursionError):
        return Reason.MALFORMED, "It is nested too deeply."
    placed = _PLACE.match(str(error))
    what, where = (placed[1], placed[2]) if placed else (str(error), "")
    if missing := _MISSING.match(what):
        return Reason.MISSING_FIELD, f"{where + '.' if where else ''}{missing[1]} is missing."
    if what.startswith("Invalid value") and where == "type":
        return Reason.UNKNOWN_TYPE, "type: give fix, sighting, transition or custom."
    return _reason_of(what), f"{where}: {what}." if where else f"{what}."


def _reason_of(what: str) -> Reason:
    if "of length <=" in what:
        return Reason.TOO_LARGE
    if "out of range" in what or re.search(r"[<>]= -?\d", what):
        return Reason.MALFORMED if "length" in what else Reason.OUT_OF_RANGE
    return Reason.MALFORMED
