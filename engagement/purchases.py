"""Purchases, as an organisation's own systems tell them: read one by one, so that a bad one never costs the good ones, and written together.

A purchase is known by its key: told again it is unchanged, told otherwise it is updated. It names a shopper by the app's own id. One whom no
event has named yet is made here, as the stream would: a purchase may come before the first visit, and must not depend on which was told first.
A shopper of a device alone has no purchases, so nothing moves with the device when it gets an owner.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from django.db import connection, transaction
from django.utils.translation import gettext as _

from engagement import shoppers, values
from engagement.models import Brand, Organisation

MOST: Final = 1_000
FIELDS: Final = ("id", "shopper", "brand", "at", "amount", "currency")
NEEDED: Final = ("id", "shopper", "brand", "at")

_AMOUNT: Final = re.compile(r"\d{1,12}(?:\.\d{1,2})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


class Reason(StrEnum):
    """Why one purchase was refused: the closed list."""

    MALFORMED = "malformed"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    OUT_OF_RANGE = "out_of_range"
    IN_FUTURE = "in_future"
    UNKNOWN_BRAND = "unknown_brand"
    ERASED = "erased"
    REPEATED = "repeated"


class Result(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


class Refused(Exception):
    """One purchase cannot be taken."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Purchase:
    """One as it was told. `brand` is a key; `amount` is None where none was told, and `currency` is empty then."""

    key: str
    shopper: str
    brand: str
    at: datetime
    amount: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one. `key` is empty where it could not be read."""

    key: str
    result: Result
    reason: Reason | None = None
    detail: str = ""


def record(*, organisation: Organisation, told: Sequence[Any], now: datetime) -> list[Answer]:
    """Take what was told (parsed JSON); all that is good is committed together. One answer for each, in order."""
    brands = dict(Brand.objects.filter(organisation=organisation).values_list("key", "pk"))
    answers: dict[int, Answer] = {}
    good: dict[str, Purchase] = {}
    places: dict[str, list[int]] = {}  # where in the list each of the good ones stands
    for place, item in enumerate(told):
        try:
            one = read(item, now)
            if one.brand not in brands:
                raise Refused(Reason.UNKNOWN_BRAND, _("brand: there is no brand with this key."))
            if good.setdefault(one.key, one) != one:
                raise Refused(Reason.REPEATED, _("id: another purchase with this id stands before it in the list. Send the later one in a request of its own."))
            places.setdefault(one.key, []).append(place)
        except Refused as refused:
            answers[place] = Answer(_key_of(item), Result.REJECTED, refused.reason, refused.detail)
    results = _write(organisation, [good[key] for key in sorted(good)], brands)
    for key, (first, *again) in places.items():
        answers[first] = results.get(key, Answer(key, Result.UNCHANGED))
        answers.update({place: results[key] if key in results and results[key].reason else Answer(key, Result.UNCHANGED) for place in again})
    return [answers[place] for place in range(len(told))]


def read(item: Any, now: datetime) -> Purchase:
    """One purchase from parsed JSON. Raises Refused."""
    if not isinstance(item, dict):
        raise Refused(Reason.MALFORMED, _("A purchase is an object, with each name once."))
    unknown = next((name for name in item if name not in FIELDS), None)
    if unknown is not None:
        raise Refused(Reason.UNKNOWN_FIELD, _("There is a field that is not known. Known are %(known)s.") % {"known": ", ".join(FIELDS)})
    for name in NEEDED:
        if item.get(name) is None:
            raise Refused(Reason.MISSING_FIELD, _("%(field)s is missing.") % {"field": name})
    try:
        key, shopper, brand = values.text(item["id"], "id"), values.shopper(item["shopper"], "shopper"), values.text(item["brand"], "brand")
        at = values.moment(item["at"], "at", now)
    except values.Unfit as unfit:
        raise Refused(Reason(unfit.why), unfit.detail) from None
    amount, currency = _price(item)
    return Purchase(key, shopper, brand, at, amount, currency)


def _price(item: Mapping[str, Any]) -> tuple[Decimal | None, str]:
    amount, currency = item.get("amount"), item.get("currency")
    if amount is None and currency is None:
        return None, ""
    if amount is None or currency is None:
        raise Refused(Reason.MISSING_FIELD, _("amount and currency: give both, or neither."))
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Refused(Reason.MALFORMED, _("currency: give three capital letters (ISO 4217), such as EUR."))
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise Refused(Reason.MALFORMED, _("amount: give a text such as 12.50."))
    written = amount if isinstance(amount, str) else repr(amount)
    if not _AMOUNT.fullmatch(written.removesuffix(".0") if isinstance(amount, float) else written):
        raise Refused(Reason.OUT_OF_RANGE, _("amount: give 0 to 999999999999.99, with at most two decimals and a point before them."))
    return Decimal(written), currency


def _key_of(item: Any) -> str:
    """The key of a refused one as it was sent, where it can be shown."""
    key = item.get("id") if isinstance(item, dict) else None
    return str(key) if values.fits(key) else ""


# --- To rows --------------------------------------------------------------------------------------------------------------

# In the order of their keys, as shoppers are made too: who meets another waits, and never both for each other.
_PURCHASES: Final = """
INSERT INTO engagement_purchase AS known (organisation_id, key, shopper_id, brand_id, at, amount, currency)
SELECT %(organisation)s, k, s, b, a, m, c
FROM unnest(%(keys)s::text[], %(shoppers)s::bigint[], %(brands)s::bigint[], %(at)s::timestamptz[], %(amounts)s::numeric[], %(currencies)s::text[])
     AS n(k, s, b, a, m, c)
ON CONFLICT (organisation_id, key) DO UPDATE
SET shopper_id = excluded.shopper_id, brand_id = excluded.brand_id, at = excluded.at, amount = excluded.amount, currency = excluded.currency
WHERE (known.shopper_id, known.brand_id, known.at, known.amount, known.currency)
      IS DISTINCT FROM (excluded.shopper_id, excluded.brand_id, excluded.at, excluded.amount, excluded.currency)
RETURNING key, xmax = 0
"""


def _write(organisation: Organisation, purchases: list[Purchase], brands: Mapping[str, int]) -> dict[str, Answer]:
    """Write them, in the order of their keys. What became of each by its key, but of those that were so already."""
    if not purchases:
        return {}
    with transaction.atomic(), connection.cursor() as cursor:
        names = {one.shopper for one in purchases}
        people = shoppers.hold(cursor, organisation.pk, names)
        # Read after the shoppers are held: nobody of them is erased from here on, and an erasure that was waited for is seen.
        until = shoppers.erased(organisation.pk, names)
        kept = [one for one in purchases if one.shopper not in until or one.at > until[one.shopper]]
        people |= shoppers.make(cursor, organisation.pk, {one.shopper for one in kept} - people.keys())
        cursor.execute(_PURCHASES, {"organisation": organisation.pk, **_columns(kept, people, brands)})
        # A row that this statement made has never been locked or changed by anybody.
        made = {key: Answer(key, Result.CREATED if new else Result.UPDATED) for key, new in cursor.fetchall()}
    detail = _("shopper: this shopper was erased after it. What is from before an erasure is not taken in again.")
    refused = {one.key for one in purchases} - {one.key for one in kept}
    return {**made, **{key: Answer(key, Result.REJECTED, Reason.ERASED, detail) for key in refused}}


def _columns(purchases: list[Purchase], people: Mapping[str, int], brands: Mapping[str, int]) -> dict[str, list[Any]]:
    return {
        "keys": [one.key for one in purchases],
        "shoppers": [people[one.shopper] for one in purchases],
        "brands": [brands[one.brand] for one in purchases],
        "at": [one.at for one in purchases],
        "amounts": [one.amount for one in purchases],
        "currencies": [one.currency for one in purchases],
    }
