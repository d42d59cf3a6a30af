"""Values in what a client tells, checked: one rule for texts and instants, whoever tells them and of whatever."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from django.utils.translation import gettext as _

from engagement.inbox import OWN

LONGEST: Final = 128  # characters of a key, and of a shopper's id
LATEST: Final = timedelta(minutes=5)  # into the future: clocks differ
FIRST_YEAR: Final = 1970

_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters are never meant; PostgreSQL holds neither NUL nor half a pair
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)

Why = Literal["malformed", "out_of_range", "in_future"]


class Unfit(Exception):
    """The value cannot be taken; the sentence begins with the field's name."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why, self.detail = why, detail


def fits(value: Any, most: int = LONGEST, least: int = 1) -> bool:
    """Whether it is a text of that many characters, without control characters."""
    return isinstance(value, str) and least <= len(value) <= most and not _UNFIT.search(value)


def text(value: Any, field: str, most: int = LONGEST, least: int = 1) -> str:
    if not fits(value, most, least):
        sentence = _("%(field)s: give a text of %(least)s to %(most)s characters, without control characters.")
        raise Unfit("malformed", sentence % {"field": field, "least": least, "most": most})
    return str(value)


def shopper(value: Any, field: str) -> str:
    """The app's own id of a shopper."""
    found = text(value, field)
    if found.startswith(OWN):
        raise Unfit("malformed", _("%(field)s: ids that begin with %(own)s are the product's own. Give the app's own id.") % {"field": field, "own": OWN})
    return found


def moment(value: Any, field: str, now: datetime) -> datetime:
    """An instant that has passed, give or take a clock, in UTC."""
    try:
        told = datetime.fromisoformat(value.upper()) if isinstance(value, str) and _INSTANT.fullmatch(value) else None
        at = told.astimezone(UTC) if told else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise Unfit("malformed", _("%(field)s: give an instant with its offset, such as 2026-11-19T10:00:00Z.") % {"field": field})
    if at.year < FIRST_YEAR:
        raise Unfit("out_of_range", _("%(field)s: it lies before %(year)s.") % {"field": field, "year": FIRST_YEAR})
    if at > now + LATEST:
        raise Unfit("in_future", _("%(field)s: it lies more than 5 minutes in the future.") % {"field": field})
    return at
