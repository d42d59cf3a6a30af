"""What an alarm is, and how readings are written for people."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import models
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from engagement import display

AT_ONCE: Final = timedelta(0)
CALM: Final = timedelta(minutes=2)  # a shorter calm is the same trouble, and not told
COUNTED_UP_TO: Final = 1000
NAMED: Final = 3


class Severity(models.TextChoices):
    CRITICAL = "critical", _("Critical")  # figures are wrong or late now, or events are refused
    WARNING = "warning", _("Warning")  # nothing is lost, but a person is needed


class Unreadable(Exception):
    """What an alarm reads is not there to be read."""


class Found(NamedTuple):
    """A reading, and the keys of those that it is about: venues, beacons, organisations; never shoppers."""

    value: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """An alarm. It is wrong while `read` gives more than `above` or less than `below`, fires when that has lasted for `lasting`, and is over after `calm`
    without. RUNBOOK.md has a heading of its name."""

    name: str
    title: Any  # a few words
    reads: Any  # what `read` gives, in words
    read: Callable[[datetime], float | Found]  # of the instant of the evaluation; inf: there is nothing to read, and there should be
    above: float = math.inf
    below: float = -math.inf
    lasting: timedelta = AT_ONCE
    calm: timedelta = CALM
    every: timedelta = AT_ONCE  # not read more often: what changes slowly, or costs more
    severity: Severity
    show: Callable[[float], str]  # a reading, for people
    sentence: Any  # what is wrong, with %(value)s
    remedy: Any  # what to do

    @property
    def limit(self) -> float:
        return self.below if math.isfinite(self.below) else self.above

    def is_wrong(self, value: float) -> bool:
        return value > self.above or value < self.below

    def threshold(self) -> str:
        """When it fires, for people."""
        facts = {"value": self.show(self.limit), "span": display.duration(self.lasting.total_seconds())}
        if math.isfinite(self.below):
            return (gettext("Below %(value)s for %(span)s.") if self.lasting else gettext("Below %(value)s, at once.")) % facts
        return (gettext("Above %(value)s for %(span)s.") if self.lasting else gettext("Above %(value)s, at once.")) % facts


def named(names: tuple[str, ...]) -> str:
    """The first few of those that a reading is about, as a sentence; nothing where there are none."""
    if not names:
        return ""
    more = len(names) - NAMED
    listed = ", ".join(names[:NAMED])
    if more <= 0:
        return gettext("Named: %(names)s.") % {"names": listed}
    return ngettext("Named: %(names)s, and %(more)s more.", "Named: %(names)s, and %(more)s more.", more) % {"names": listed, "more": display.number(more, 0)}


def count(value: float) -> str:
    """A number that was counted no further than COUNTED_UP_TO."""
    return gettext("%(number)s or more") % {"number": display.number(COUNTED_UP_TO)} if value == COUNTED_UP_TO else display.number(value, 0)


def exact(value: float) -> str:
    return display.number(value, 0)


def span(value: float) -> str:
    return gettext("as long as it exists") if math.isinf(value) else display.duration(value)


def percent(value: float) -> str:
    return f"{display.number(value * 100, 0)} %"


def times(value: float) -> str:
    return gettext("%(number)s times") % {"number": display.number(value, 1)}


def days(value: float) -> str:
    number = math.floor(value)
    return ngettext("%(number)s day", "%(number)s days", number) % {"number": display.number(number, 0)}
