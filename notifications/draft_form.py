"""A campaign as it is told in JSON, read into types. Pure. Every fault is named with its place, all at once.

What stands here are forms and bounds; whether a brand, an audience or a topic exists is asked where the draft is saved.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfo, available_timezones

from django.utils.translation import gettext as _

Code = Literal["required", "unknown", "invalid", "repeated"]
Json = dict[str, Any]

KEY: Final = re.compile(r"\w[\w.:@+-]{0,63}", re.ASCII)
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", re.ASCII)
_UNFIT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # PostgreSQL holds neither NUL nor half a pair, and nobody means the others
_BREAK: Final = re.compile(r"[\r\n\x00-\x1f\x7f\x85\u2028\u2029]")
LONGEST_LINE: Final = 500
LONGEST_BODY: Final = 400_000
MOST_VARIANTS: Final = 10
MOST_LANGUAGES: Final = 30
FIELDS: Final = (
    *("key", "name", "brand", "topic", "audience", "channel", "purpose", "from", "variants", "holdout", "send_at", "quiet_hours", "frequency_cap"),
    *("in_shopper_time", "recurrence", "time_zone", "outcome_days"),
)
_WORDS: Final = ("subject", "preheader", "html", "mjml", "text")


@dataclass(frozen=True, slots=True)
class Fault:
    place: str  # keys and indexes from the top, parted by dots
    code: Code
    detail: str


class Faults(Exception):
    """What was told cannot be a campaign. All that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.place}: {fault.detail}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Words:
    """What is said in one language; empty: for everybody whose language has none of its own."""

    language: str
    subject: str
    preheader: str
    kind: Literal["html", "mjml"]
    body: str
    text: str


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    weight: int
    words: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    key: str
    name: str
    brand: str | None
    topic: str | None
    audience: str
    channel: str
    purpose: str
    sender: str
    variants: tuple[Variant, ...]
    holdout: Decimal
    send_at: datetime | None
    quiet_hours: Json | None
    cap: tuple[int, int] | None  # messages, days
    in_shopper_time: bool
    recurrence: Json | None
    time_zone: str | None
    outcome_days: int


@dataclass(slots=True)
class Reader:
    """Of one object. A wrong field gives its default, and a fault."""

    told: Json
    place: str
    faults: list[Fault] = field(default_factory=list)

    def wrong(self, name: str, code: Code, detail: str) -> None:
        self.faults.append(Fault(f"{self.place}{name}", code, detail))

    def known(self, names: tuple[str, ...]) -> None:
        for name in self.told:
            if name not in names:
                self.wrong(name[:64], "unknown", _("There is no such field. Known are %(known)s.") % {"known": ", ".join(names)})

    def line(self, name: str, *, default: str = "", required: bool = False, most: int = LONGEST_LINE) -> str:
        """A text without line breaks: what goes into a header, or names something."""
        value = self.told.get(name)
        if value is None or value == "":
            if required:
                self.wrong(name, "required", _("It is required."))
            return default
        if not isinstance(value, str) or len(value) > most or _BREAK.search(value) or _UNFIT.search(value):
            self.wrong(name, "invalid", _("Give one line of at most %(most)s characters, without line breaks and control characters.") % {"most": most})
            return default
        return value

    def body(self, name: str) -> str:
        value = self.told.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > LONGEST_BODY or _UNFIT.search(value):
            self.wrong(name, "invalid", _("Give a text of at most %(most)s characters.") % {"most": f"{LONGEST_BODY:,}"})
            return ""
        return value

    def key(self, name: str, *, required: bool = False) -> str:
        value = self.line(name, required=required, most=64)
        if value and not KEY.fullmatch(value):
            self.wrong(name, "invalid", _("Give 1 to 64 letters, digits and _ . : @ + -, beginning with a letter or digit."))
        return value

    def number(self, name: str, *, default: int, low: int, high: int) -> int:
        value = self.told.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(name, "invalid", _("Give a whole number from %(low)s to %(high)s.") % {"low": low, "high": high})
            return default
        return value

    def flag(self, name: str) -> bool:
        value = self.told.get(name, False)
        if not isinstance(value, bool):
            self.wrong(name, "invalid", _("Give true or false."))
        return value is True

    def inner(self, name: str) -> "Reader | None":
        value = self.told.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(name, "invalid", _("Give an object, with each name once, or null."))
            return None
        return Reader(value, f"{self.place}{name}.", self.faults)

    def clock(self, name: str) -> str:
        value = self.line(name, required=True, most=5)
        if value and not _CLOCK.fullmatch(value):
            self.wrong(name, "invalid", _("Give a time such as 21:00."))
        return value


def read(told: Any) -> Draft:
    """Raises Faults."""
    if not isinstance(told, dict):
        raise Faults([Fault("", "invalid", _("A campaign is an object, with each name once."))])
    top = Reader(told, "")
    top.known(FIELDS)
    channel = top.line("channel", default="email")
    if channel != "email":
        top.wrong("channel", "unknown", _("The channel is email."))
    draft = Draft(
        key=top.key("key", required=True),
        name=top.line("name", required=True, most=200),
        brand=top.line("brand", most=64) or None,
        topic=top.line("topic", most=64) or None,
        audience=top.line("audience", required=True, most=64),
        channel="email",
        purpose=top.line("purpose", default="marketing", most=64),
        sender=sender(top),
        variants=_variants(top),
        holdout=_holdout(top),
        send_at=instant(top, "send_at"),
        quiet_hours=_quiet_hours(top),
        cap=_cap(top),
        in_shopper_time=top.flag("in_shopper_time"),
        recurrence=_recurrence(top),
        time_zone=_time_zone(top),
        outcome_days=top.number("outcome_days", default=7, low=1, high=90),
    )
    if top.faults:
        raise Faults(top.faults)
    return draft


def sender(top: Reader) -> str:
    """`Name <address>`; empty where it is left out."""
    value = top.line("from", most=320)
    if value and not _parsed(value):
        top.wrong("from", "invalid", _("Give one address such as News <news@example.com>."))
        return ""
    return value


def address(top: Reader, name: str) -> str:
    """Of one mailbox, without its owner's name."""
    value = top.line(name, required=True, most=254)
    found = _parsed(value) if value else None
    if value and found is None:
        top.wrong(name, "invalid", _("Give one address such as me@example.com."))
    return found.addr_spec if found else ""


def _parsed(value: str) -> Address | None:
    try:
        header = cast(Any, HeaderRegistry()("from", value))
    except (ValueError, MessageError, IndexError):
        return None
    found: Address | None = header.addresses[0] if len(header.addresses) == 1 and not header.defects else None
    return found if found and found.username and "." in found.domain else None


def _holdout(top: Reader) -> Decimal:
    value = top.told.get("holdout", 0.05)
    number = Decimal(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) else Decimal("NaN")
    if not number.is_finite() or not 0 <= number < 1 or number != round(number, 4):
        top.wrong("holdout", "invalid", _("Give a share from 0 up to but without 1, with at most four decimals, such as 0.05."))
        return Decimal("0.05")
    return number


def instant(top: Reader, name: str) -> datetime | None:
    """In UTC; None where there is none, and where it is wrong."""
    value = top.told.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) and _INSTANT.fullmatch(value) else None
        found = moment.astimezone(UTC) if moment else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not 1970 <= found.year <= 2999:
        top.wrong(name, "invalid", _("Give an instant with its offset, such as 2026-11-19T10:00:00Z, or null."))
    return found


def _cap(top: Reader) -> tuple[int, int] | None:
    inner = top.inner("frequency_cap")
    if inner is None:
        return None
    inner.known(("messages", "days"))
    return inner.number("messages", default=0, low=1, high=1000), inner.number("days", default=0, low=1, high=365)


def _quiet_hours(top: Reader) -> Json | None:
    inner = top.inner("quiet_hours")
    if inner is None:
        return None
    inner.known(("from", "until", "then", "clocks"))
    start, until = inner.clock("from"), inner.clock("until")
    if start and start == until:
        inner.wrong("until", "invalid", _("Quiet hours that end when they begin leave no time to send."))
    then = inner.line("then", default="hold")
    if then not in ("hold", "drop"):
        inner.wrong("then", "unknown", _("Give hold or drop."))
    clocks = inner.told.get("clocks", ["shopper", "shop"])
    if not isinstance(clocks, list) or not clocks or any(one not in ("shopper", "shop") for one in clocks) or len(set(map(str, clocks))) < len(clocks):
        inner.wrong("clocks", "invalid", _("Give a list of shopper, shop, or both."))
    return {"from": start, "until": until, "then": then, "clocks": clocks}


def _recurrence(top: Reader) -> Json | None:
    inner = top.inner("recurrence")
    if inner is None:
        return None
    inner.known(("every", "at", "on"))
    every, on = inner.line("every", required=True), inner.told.get("on", [])
    most = {"day": 0, "week": 7, "month": 31}.get(every)
    if every and most is None:
        inner.wrong("every", "unknown", _("Give day, week or month."))
    days = on if isinstance(on, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in on) else [0]
    if most is not None and (not all(1 <= day <= most for day in days) or len(set(days)) < len(days)):
        inner.wrong("on", "invalid", _("Give the days: of a week 1 (Monday) to 7, of a month 1 to 31, each once; none where it is every day."))
    return {"every": every, "at": inner.clock("at"), "on": sorted(days)}


def _time_zone(top: Reader) -> str | None:
    value = top.line("time_zone", most=64)
    if value and value not in available_timezones():
        top.wrong("time_zone", "unknown", _("There is no such time zone. Give one such as Africa/Johannesburg."))
        return None
    return ZoneInfo(value).key if value else None


def _variants(top: Reader) -> tuple[Variant, ...]:
    listed = top.told.get("variants")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_VARIANTS:
        top.wrong("variants", "required" if listed is None else "invalid", _("Give a list of 1 to %(most)s variants.") % {"most": MOST_VARIANTS})
        return ()
    found: list[Variant] = []
    for number, told in enumerate(listed):
        place = f"variants.{number}"
        if not isinstance(told, dict):
            top.wrong(place, "invalid", _("A variant is an object, with each name once."))
            continue
        inner = Reader(told, f"{place}.", top.faults)
        inner.known(("name", "weight", *_WORDS, "languages"))
        name = inner.line("name", default=chr(ord("a") + number), most=64)
        if any(other.name == name for other in found):
            inner.wrong("name", "repeated", _("Another variant has this name."))
        found.append(Variant(name, inner.number("weight", default=1, low=1, high=1000), (_words(inner, ""), *_languages(inner))))
    return tuple(found)


def _languages(variant: Reader) -> list[Words]:
    listed = variant.told.get("languages")
    if listed is None:
        return []
    if not isinstance(listed, list) or len(listed) > MOST_LANGUAGES or not all(isinstance(told, dict) for told in listed):
        variant.wrong("languages", "invalid", _("Give a list of at most %(most)s objects, with each name once.") % {"most": MOST_LANGUAGES})
        return []
    found: list[Words] = []
    for number, told in enumerate(listed):
        inner = Reader(told, f"{variant.place}languages.{number}.", variant.faults)
        inner.known(("language", *_WORDS))
        language = inner.line("language", required=True, most=35)
        if language and not _LANGUAGE.fullmatch(language):
            inner.wrong("language", "invalid", _("Give a language such as de or pt-BR."))
        if any(other.language.lower() == language.lower() for other in found):
            inner.wrong("language", "repeated", _("Give each language once."))
        found.append(_words(inner, language))
    return found


def _words(inner: Reader, language: str) -> Words:
    html, mjml = inner.body("html"), inner.body("mjml")
    if html and mjml:
        inner.wrong("mjml", "invalid", _("Give html or mjml, not both."))
    elif not html and not mjml and not any(fault.place in (f"{inner.place}html", f"{inner.place}mjml") for fault in inner.faults):
        inner.wrong("html", "required", _("Give html or mjml."))
    return Words(
        language=language,
        subject=inner.line("subject", required=True),
        preheader=inner.line("preheader"),
        kind="mjml" if mjml else "html",
        body=html or mjml,
        text=inner.body("text"),
    )
