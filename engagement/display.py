"""How moments, numbers and durations are written for people, everywhere in the web admin."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils import dates, formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from engagement.models import Organisation, Venue
from engagement.opening import EXCEPTIONS, WEEKDAYS, Hours, written

NOTHING: Final = "–"
BEGINNING_YEAR: Final = 1970  # first versions are valid from "the beginning of time"


def clock_of(organisation: Organisation) -> tzinfo:
    """The time zone that all venues of an organisation share, else UTC: for what belongs to no venue."""
    names = set(Venue.objects.filter(organisation=organisation).values_list("time_zone", flat=True)[:2])
    return ZoneInfo(names.pop()) if len(names) == 1 else UTC


def moment(value: datetime | None, clock: str | tzinfo | None = None, *, seconds: bool = False) -> str | SafeString:
    """`21 Nov, 10:05 SAST`, with the year where it is another, in the given time zone or the one of the request; the exact instant in its tooltip."""
    if value is None:
        return NOTHING
    if value.year <= BEGINNING_YEAR:
        return gettext("the beginning")
    local = timezone.localtime(value, ZoneInfo(clock) if isinstance(clock, str) else clock)
    date_format = "j M" if local.year == timezone.localtime(timezone=local.tzinfo).year else "j M Y"
    text = formats.date_format(local, f"{date_format}, H:i:s" if seconds else f"{date_format}, H:i")
    return format_html('<time datetime="{0}" title="{0}">{1} {2}</time>', value.isoformat(), text, local.tzname() or "")


def number(value: float | int | None, decimals: int | None = None) -> str:
    """With the separators of the reader's language."""
    return NOTHING if value is None else formats.number_format(value, decimals, force_grouping=True)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 5 min`, `2 days 4 h`."""
    whole = int(seconds)
    if whole < 60:
        return gettext("%(n)d s") % {"n": whole}
    minutes = whole // 60
    if minutes < 60:
        return gettext("%(n)d min") % {"n": minutes}
    hours = minutes // 60
    if hours < 24:
        return gettext("%(h)d h %(m)d min") % {"h": hours, "m": minutes % 60}
    return ngettext("%(d)d day %(h)d h", "%(d)d days %(h)d h", hours // 24) % {"d": hours // 24, "h": hours % 24}


def day(value: date) -> str:
    return formats.date_format(value, "D j M Y")


def opening_hours(hours: Hours | None) -> str | SafeString:
    """A line for each day of the week and for each single date."""
    if hours is None:
        return gettext("always open")
    days = [(str(name), hours.get(key, [])) for key, name in zip(WEEKDAYS, dates.WEEKDAYS.values(), strict=True)]
    single = [(day(date.fromisoformat(key)), listed) for key, listed in hours.get(EXCEPTIONS, {}).items()]
    return format_html_join("", "<div>{}: {}</div>", ((name, written(listed) or gettext("closed")) for name, listed in (*days, *single)))


def late(delay: timedelta) -> str:
    """How much later than it happened an event came: nothing under a minute."""
    return NOTHING if delay < timedelta(minutes=1) else duration(delay.total_seconds())


def tag(text: Any, tone: str = "") -> SafeString:
    """A small label: tone is "", "good", "warn" or "bad"."""
    return format_html('<span class="tag {}">{}</span>', tone, text)


# What an event may come to, in the order people ask: what went well, what the product could not place, what was refused.
OUTCOMES: Final = {
    "accepted": (_("Accepted"), _("New, and kept.")),
    "unmatched": (_("Unmatched"), _("New and kept, but it names a beacon or zone that is not provisioned.")),
    "duplicate": (_("Duplicate"), _("Sent again. It changes nothing.")),
    "erased": (_("Erased"), _("Its shopper was erased after it happened. It is not kept.")),
    "too_old": (_("Too old"), _("It happened more than 35 days before it came, or on a day whose raw events are not kept any more.")),
    "in_future": (_("In the future"), _("It happened more than 5 minutes after it came: a clock is wrong.")),
    "malformed": (_("Malformed"), _("It cannot be read as an event.")),
    "unknown_type": (_("Unknown type"), _("Its type is not one of those in the API.")),
    "missing_field": (_("Missing field"), _("A field that its type needs is missing.")),
    "out_of_range": (_("Out of range"), _("A value lies outside what is possible, such as a latitude over 90.")),
    "accuracy_required": (_("Accuracy required"), _("A fix without its accuracy cannot be judged.")),
    "too_large": (_("Too large"), _("The event is larger than allowed.")),
}


def outcome(name: str) -> str:
    return str(OUTCOMES[name][0]) if name in OUTCOMES else name.replace("_", " ").capitalize()


def tone(name: str) -> str:
    """Of a tag: how glad to be about an outcome."""
    return {"accepted": "good", "unmatched": "warn", "duplicate": "", "erased": ""}.get(name, "bad")


def joined(parts: Sequence[str]) -> str | SafeString:
    """With commas; what is HTML stays HTML."""
    return format_html_join(", ", "{}", ((part,) for part in parts)) or NOTHING
