"""One shopper as he was told, checked. Pure: nothing here asks the database.

A field that is absent is left as it is, and one that is null is cleared; an attribute likewise, by its name.
"""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext as _

from engagement import values
from engagement.models import Channel

FIELDS: Final = ("id", "email", "language", "time_zone", "attributes", "consents")
CONSENT_FIELDS: Final = ("channel", "purpose", "given", "at", "source", "wording")
CONSENT_NEEDED: Final = ("channel", "given", "at")
MARKETING: Final = "marketing"  # the purpose where none is told
LONGEST_EMAIL: Final = 254
LONGEST_PURPOSE: Final = 64
LONGEST_SOURCE: Final = 64
LONGEST_WORDING: Final = 200
LONGEST_NAME: Final = 64  # of an attribute
LONGEST_VALUE: Final = 500
MOST_ATTRIBUTES: Final = 50
MOST_CONSENTS: Final = 100  # of one shopper in one request
LARGEST: Final = 2**53  # beyond it readers of JSON no longer agree on a number

Value = str | int | float | bool

_LANGUAGE: Final = re.compile(
    r"[a-z]{2,3}(?:-[a-z]{3}){0,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?(?:-[a-z0-9]{5,8}|-\d[a-z0-9]{3})*(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*", re.ASCII
)
_EMAIL: Final = EmailValidator(allowlist=[])  # nobody's mail is at "localhost"
_NOT_PLACES: Final = frozenset({"Factory", "localtime"})  # names of the time zone library that name no zone


class Reason(StrEnum):
    """Why one shopper was refused: the closed list."""

    MALFORMED = "malformed"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    OUT_OF_RANGE = "out_of_range"
    IN_FUTURE = "in_future"
    TOO_MUCH = "too_much"
    BAD_EMAIL = "bad_email"
    BAD_LANGUAGE = "bad_language"
    UNKNOWN_TIME_ZONE = "unknown_time_zone"
    UNKNOWN_CHANNEL = "unknown_channel"
    ERASED = "erased"


class Refused(Exception):
    """One shopper cannot be taken. `field` is where: `email`, `attributes.tier`, `consents.0.at`."""

    def __init__(self, reason: Reason, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.field, self.detail = reason, field, detail


@dataclass(frozen=True, slots=True)
class Consent:
    channel: str
    purpose: str
    given: bool
    at: datetime
    source: str = ""
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One shopper. None: not told; an empty text: cleared. An attribute of None is removed; `afresh`: those not named are removed too."""

    id: str
    email: str | None = None
    language: str | None = None
    time_zone: str | None = None
    attributes: Mapping[str, Value | None] = field(default_factory=dict)
    afresh: bool = False
    consents: tuple[Consent, ...] = ()


def read(item: Any, now: datetime) -> Told:
    """One shopper from parsed JSON. Raises Refused."""
    if not isinstance(item, dict):
        raise Refused(Reason.MALFORMED, "", _("A shopper is an object, with each name once."))
    _known(item, FIELDS, "")
    if item.get("id") is None:
        raise Refused(Reason.MISSING_FIELD, "id", _("%(field)s is missing.") % {"field": "id"})
    try:
        return Told(
            id=values.shopper(item["id"], "id"),
            email=_told(item, "email", email),
            language=_told(item, "language", language),
            time_zone=_told(item, "time_zone", time_zone),
            attributes=_attributes(item.get("attributes")),
            afresh="attributes" in item and item["attributes"] is None,
            consents=_consents(item.get("consents"), now),
        )
    except values.Unfit as unfit:
        raise Refused(Reason(unfit.why), unfit.detail.partition(":")[0], unfit.detail) from None


def id_of(item: Any) -> str:
    """The id of a refused one as it was sent, where it can be shown."""
    found = item.get("id") if isinstance(item, dict) else None
    return str(found) if values.fits(found) else ""


def _known(item: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    if any(name not in known for name in item):
        raise Refused(Reason.UNKNOWN_FIELD, place, _("There is a field that is not known. Known are %(known)s.") % {"known": ", ".join(known)})


def _told(item: Mapping[str, Any], name: str, check: Any) -> str | None:
    if name not in item:
        return None
    return "" if item[name] is None or item[name] == "" else str(check(item[name]))


def email(value: Any) -> str:
    """As given, without blanks around it. No quoted names and no numbers for hosts: they are legal, and nobody's."""
    found = value.strip(" ") if isinstance(value, str) else ""
    try:
        if not 3 <= len(found) <= LONGEST_EMAIL or not found.isprintable() or '"' in found or "[" in found:
            raise ValidationError("")
        _EMAIL(found)
    except ValidationError:
        raise Refused(
            Reason.BAD_EMAIL, "email", _("email: give one address, such as ann@example.com, of at most %(most)s characters.") % {"most": LONGEST_EMAIL}
        ) from None
    return found


def language(value: Any) -> str:
    """A BCP 47 tag, written as such tags are: `en`, `en-ZA`, `zh-Hant-TW`."""
    found = value.strip(" ").replace("_", "-").lower() if isinstance(value, str) else ""
    if len(found) > 35 or not _LANGUAGE.fullmatch(found):
        raise Refused(Reason.BAD_LANGUAGE, "language", _("language: give a tag such as en or en-ZA."))
    first, *rest = found.split("-")
    private = next((place for place, part in enumerate(rest) if len(part) == 1), len(rest))
    return "-".join([first, *(_cased(part) for part in rest[:private]), *rest[private:]])


def _cased(part: str) -> str:
    return part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part


def time_zone(value: Any) -> str:
    if not isinstance(value, str) or value not in _zones():
        raise Refused(Reason.UNKNOWN_TIME_ZONE, "time_zone", _("time_zone: give a name of the IANA list, such as Africa/Johannesburg."))
    return value


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - _NOT_PLACES)


def _attributes(given: Any) -> dict[str, Value | None]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused(Reason.MALFORMED, "attributes", _("attributes: give an object, with each name once."))
    if sum(value is not None for value in given.values()) > MOST_ATTRIBUTES:
        raise too_many()
    return {attribute_name(name): None if value is None else attribute(value) for name, value in given.items()}


def too_many() -> Refused:
    return Refused(Reason.TOO_MUCH, "attributes", _("attributes: a shopper has at most %(most)s.") % {"most": MOST_ATTRIBUTES})


def attribute_name(name: Any) -> str:
    if not values.fits(name, LONGEST_NAME) or name != name.strip():
        sentence = _("attributes: a name has 1 to %(most)s characters, no control characters, and no blanks around it.")
        raise Refused(Reason.MALFORMED, "attributes", sentence % {"most": LONGEST_NAME})
    return str(name)


def attribute(value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return values.text(value, "attributes", LONGEST_VALUE, 0)
    if not isinstance(value, int | float):
        raise Refused(Reason.MALFORMED, "attributes", _("attributes: a value is a text, a number, true or false."))
    if not -LARGEST <= value <= LARGEST:  # also what is no number at all
        raise Refused(Reason.OUT_OF_RANGE, "attributes", _("attributes: a number lies between -2^53 and 2^53."))
    return value


def _consents(given: Any, now: datetime) -> tuple[Consent, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise Refused(Reason.MALFORMED, "consents", _("consents: give a list."))
    if len(given) > MOST_CONSENTS:
        raise Refused(Reason.TOO_MUCH, "consents", _("consents: give at most %(most)s at once.") % {"most": MOST_CONSENTS})
    return tuple(consent(one, now, f"consents.{place}") for place, one in enumerate(given))


def consent(given: Any, now: datetime, place: str) -> Consent:
    """One row of the ledger from parsed JSON. Raises Refused and values.Unfit."""
    if not isinstance(given, dict):
        raise Refused(Reason.MALFORMED, place, _("%(field)s: give an object, with each name once.") % {"field": place})
    _known(given, CONSENT_FIELDS, place)
    for name in CONSENT_NEEDED:
        if given.get(name) is None:
            raise Refused(Reason.MISSING_FIELD, f"{place}.{name}", _("%(field)s is missing.") % {"field": f"{place}.{name}"})
    if given["channel"] not in Channel.values:
        raise Refused(
            Reason.UNKNOWN_CHANNEL, f"{place}.channel", _("%(field)s: known are %(known)s.") % {"field": f"{place}.channel", "known": ", ".join(Channel.values)}
        )
    if not isinstance(given["given"], bool):
        raise Refused(Reason.MALFORMED, f"{place}.given", _("%(field)s: give true or false.") % {"field": f"{place}.given"})
    return Consent(
        channel=given["channel"],
        purpose=values.text(given.get("purpose") or MARKETING, f"{place}.purpose", LONGEST_PURPOSE),
        given=given["given"],
        at=values.moment(given["at"], f"{place}.at", now),
        source=values.text(given.get("source") or "", f"{place}.source", LONGEST_SOURCE, 0),
        wording=values.text(given.get("wording") or "", f"{place}.wording", LONGEST_WORDING, 0),
    )


def then(first: Told, later: Told) -> Told:
    """Both as one: what was told of a shopper, and what was told of him after it."""
    attributes = dict(later.attributes) if later.afresh else {**first.attributes, **later.attributes}
    return Told(
        id=first.id,
        email=first.email if later.email is None else later.email,
        language=first.language if later.language is None else later.language,
        time_zone=first.time_zone if later.time_zone is None else later.time_zone,
        attributes=attributes,
        afresh=first.afresh or later.afresh,
        consents=first.consents + later.consents,
    )
