"""What a caller wrote after the question mark, made into types. Every wrong parameter is named, all at once.

A parameter with nothing after the `=` counts as absent, so that a copied address template works.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext as _

LONGEST: Final = 512
FIRST_YEAR, LAST_YEAR = 1900, 2999
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# The blank is a `+` that was not escaped in the address.
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+\- ]\d\d:\d\d)", re.ASCII)

_UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Fault:
    parameter: str
    code: str  # unknown, repeated, required, invalid
    detail: str


class BadParameters(Exception):
    """At least one parameter is wrong."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.parameter}: {fault.detail}" for fault in faults))
        self.faults = faults


class Parameters:
    """Read each parameter once, then `check`. A wrong one gives None until then."""

    def __init__(self, query: QueryDict, known: Collection[str]) -> None:
        self.faults: list[Fault] = []
        self._given: dict[str, str] = {}
        for name, values in query.lists():
            if name not in known:
                self.wrong(name, "unknown", _("There is no such parameter. Known are %(known)s.") % {"known": ", ".join(sorted(known))})
            elif len(values) > 1:
                self.wrong(name, "repeated", _("Give it once."))
            elif values[0]:
                self._given[name] = str(values[0])

    def wrong(self, name: str, code: str, detail: str) -> None:
        self.faults.append(Fault(name[:64].replace("\0", ""), code, detail))

    def check(self) -> None:
        """Raise BadParameters if one was wrong."""
        if self.faults:
            raise BadParameters(self.faults)

    def text(self, name: str, *, required: bool = False) -> str | None:
        value = self._given.get(name)
        if value is None:
            if required and not any(fault.parameter == name for fault in self.faults):
                self.wrong(name, "required", _("It is required."))
            return None
        if len(value) > LONGEST or "\0" in value:
            self.wrong(name, "invalid", _("Give at most %(most)s characters, and no NUL.") % {"most": LONGEST})
            return None
        return value

    def keys(self, name: str, *, most: int) -> list[str]:
        """Keys parted by commas, in the order given; none where the parameter is absent or wrong."""
        listed = self._given[name].split(",") if name in self._given else []
        if len(listed) > most:
            self.wrong(name, "invalid", _("Give at most %(most)s keys.") % {"most": most})
        elif not all(listed) or any(len(key) > LONGEST or "\0" in key for key in listed):
            self.wrong(name, "invalid", _("Give keys parted by commas: each has 1 to %(most)s characters, and no NUL.") % {"most": LONGEST})
        elif len(set(listed)) < len(listed):
            self.wrong(name, "repeated", _("Give each key once."))
        else:
            return listed
        return []

    def choices(self, name: str, choices: Collection[str]) -> list[str]:
        """Some of the choices, parted by commas; none where the parameter is absent or wrong."""
        listed = self._given[name].split(",") if name in self._given else []
        if not set(listed) <= set(choices):
            self.wrong(name, "invalid", _("Give one or several of %(choices)s, parted by commas.") % {"choices": ", ".join(choices)})
        elif len(set(listed)) < len(listed):
            self.wrong(name, "repeated", _("Give each once."))
        else:
            return listed
        return []

    def number(self, name: str, *, default: int, low: int, high: int) -> int:
        value = self._given.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            self.wrong(name, "invalid", _("Give a whole number from %(low)s to %(high)s.") % {"low": low, "high": high})
            return default
        return int(value)

    def choice(self, name: str, choices: Collection[str], *, default: str) -> str:
        value = self._given.get(name, default)
        if value in choices:
            return value
        self.wrong(name, "invalid", _("Give one of %(choices)s.") % {"choices": ", ".join(choices)})
        return default

    def moment(self, name: str, zone: ZoneInfo, *, required: bool = False) -> datetime | None:
        """A local date (its first instant in `zone`) or an RFC 3339 instant, in UTC."""
        value = self.text(name, required=required)
        if value is None:
            return None
        try:
            return _moment(value, zone)
        except (ValueError, OverflowError):
            form = _("Give a date as 2026-11-19 or an instant as 2026-11-19T10:00:00Z, in the years %(first)s to %(last)s.")
            self.wrong(name, "invalid", form % {"first": FIRST_YEAR, "last": LAST_YEAR})
            return None

    def edge(self, name: str) -> date | datetime | None:
        """Required: a local date as a date, of whichever clock; an RFC 3339 instant as a datetime, in UTC."""
        instant = self.moment(name, _UTC, required=True)
        value = self._given.get(name, "")
        return date.fromisoformat(value) if instant and DAY.fullmatch(value) else instant


def _moment(value: str, zone: ZoneInfo) -> datetime:
    if DAY.fullmatch(value):
        moment = datetime.combine(date.fromisoformat(value), time.min, zone)
    elif INSTANT.fullmatch(value.upper()):
        moment = datetime.fromisoformat(value.upper().replace(" ", "+"))
    else:
        raise ValueError(value)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(value)
    return moment.astimezone(UTC)
