"""Checks of single values: each takes what JSON gave and returns it typed, or raises Wrong with a sentence."""

import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

from django.utils.translation import gettext as _

from engagement import inbox, opening
from engagement.provisioning.faults import Wrong

Check = Callable[[Any], Any]
_KEY: Final = re.compile(r"\w[\w.:@+-]{0,63}")
_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_MAC: Final = re.compile(r"[0-9a-f]{2}([:-]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}", re.IGNORECASE)
_NOT_PLACES: Final = frozenset({"Factory", "localtime"})  # names of the time zone library that name no zone


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(_("This must be a text."))
    return value


def key(value: Any) -> str:
    if not _KEY.fullmatch(text(value)):
        raise Wrong(_("A key has 1 to 64 letters, digits and the characters . _ : @ + - and begins with a letter or digit."))
    return str(value)


def slug(value: Any) -> str:
    if not _SLUG.fullmatch(text(value)):
        raise Wrong(_("The key of an organisation has 1 to 64 letters (a to z), digits, - and _."))
    return str(value)


def name(longest: int) -> Check:
    def check(value: Any) -> str:
        trimmed = text(value).strip()
        if not 1 <= len(trimmed) <= longest:
            raise Wrong(_("A name has 1 to %(longest)d characters.") % {"longest": longest})
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in trimmed):
            raise Wrong(_("A name has no control characters."))
        return trimmed

    return check


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if value not in allowed:
            raise Wrong(_("This must be one of: %(allowed)s.") % {"allowed": ", ".join(allowed)})
        return str(value)

    return check


def time_zone(value: Any) -> str:
    if text(value) not in zoneinfo.available_timezones() - _NOT_PLACES:
        raise Wrong(_("This is not a time zone of the IANA list, such as Africa/Johannesburg."))
    return str(value)


def opening_hours(value: Any) -> opening.Hours:
    wrong = opening.faults(value)
    if wrong:
        raise Wrong("", *((place, _(sentence)) for place, sentence in wrong))
    return opening.canonical(value)


def whole(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Wrong(_("This must be a whole number from %(low)d to %(high)d.") % {"low": low, "high": high})
        return value

    return check


def number(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise Wrong(_("This must be a number from %(low)g to %(high)g.") % {"low": low, "high": high})
        return float(value)

    return check


def optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def hexadecimal(digits: int) -> Check:
    def check(value: Any) -> bytes:
        if not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", text(value)):
            raise Wrong(_("This must have exactly %(digits)d hexadecimal digits.") % {"digits": digits})
        return bytes.fromhex(value)

    return check


def uuid(value: Any) -> bytes:
    if not _UUID.fullmatch(text(value)):
        raise Wrong(_("This must be a UUID, such as f7826da6-4fa2-4e98-8024-bc5b71e0893e."))
    return bytes.fromhex(value.replace("-", ""))


def members(checks: dict[str, Check], value: Any) -> dict[str, Any]:
    """All members of an object that must have exactly these. Raises Wrong with every fault in it."""
    if not isinstance(value, dict):
        raise Wrong(_("This must be an object."))
    parts = [(f".{member}", _("There is no such field.")) for member in value if member not in checks]
    checked = {}
    for member, check in checks.items():
        if member not in value:
            parts.append((f".{member}", _("This field is missing.")))
            continue
        try:
            checked[member] = check(value[member])
        except Wrong as wrong:
            parts.extend((f".{member}{below}", message) for below, message in wrong.parts)
    if parts:
        raise Wrong("", *parts)
    return checked


def ibeacon(value: Any) -> bytes:
    said = members({"uuid": uuid, "major": whole(0, 65535), "minor": whole(0, 65535)}, value)
    return inbox.ibeacon_address(said["uuid"], said["major"], said["minor"])


def eddystone(value: Any) -> bytes:
    said = members({"namespace": hexadecimal(20), "instance": hexadecimal(12)}, value)
    return inbox.eddystone_address(said["namespace"], said["instance"])


def mac(value: Any) -> bytes:
    if not _MAC.fullmatch(text(value)):
        raise Wrong(_("This must be a hardware address of 6 bytes, such as c4:be:84:00:00:01."))
    return inbox.mac_address(bytes.fromhex(re.sub("[:-]", "", value)))
