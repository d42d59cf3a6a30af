"""Audiences as they are kept: written, found, removed, and said."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils.translation import gettext as _
from pyroaring import BitMap

from analytics import facts
from analytics.audiences import evaluate, refresh
from analytics.audiences.parsing import parse
from analytics.audiences.tree import Fault, InAudience, Names, Place, leaves
from analytics.audiences.words import words
from analytics.models import Audience, AudienceChange
from engagement.inbox import OWN
from engagement.models import Organisation

LONGEST_NAME: Final = 200
SLICE: Final = 5_000  # members named by one statement
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TAKEN: Final = frozenset({"count"})  # addresses beside those of audiences
_NAMED: Final = """
SELECT id, coalesce(external_id, %(own)s || id) FROM engagement_shopper WHERE organisation_id = %(organisation)s AND id = ANY(%(numbers)s) ORDER BY id
"""


class InUse(Exception):
    """It cannot be removed: something is made of it. `by`: what, for people."""

    def __init__(self, by: list[str]) -> None:
        super().__init__(", ".join(by))
        self.by = by


@dataclass(frozen=True, slots=True)
class Member:
    shopper: str  # as everybody outside calls him
    since: datetime | None  # when a refresh found him; None: none has yet


def find(organisation: Organisation, key: str) -> Audience | None:
    return Audience.objects.filter(organisation=organisation, key=key).first()


def save(*, organisation: Organisation, key: Any, name: Any, rule: Any, by: str) -> tuple[Audience, bool]:
    """Make the audience with this key, or give it this name and rule; its members are made at once. Whether it is new. Raises Fault.

    `path` of a fault is `key`, `name`, or `rule` and the place in it.
    """
    _check(organisation, key, name, rule)
    with transaction.atomic():
        known, made = Audience.objects.select_for_update().get_or_create(
            organisation=organisation, key=key, defaults={"name": name.strip(), "rule": rule, "created_by": by[:150]}
        )
        if not made and (known.name, known.rule) != (name.strip(), rule):
            if known.rule != rule:
                known.rule, known.state, known.refreshed_at = rule, "", None
            known.name = name.strip()
            known.save(update_fields=["name", "rule", "state", "refreshed_at"])
        refresh.one(known.pk)
    known.refresh_from_db()
    return known, made


def _check(organisation: Organisation, key: Any, name: Any, rule: Any) -> None:
    faults: list[Place] = []
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key in _TAKEN:
        faults.append(Place("key", "invalid", _("A key has 1 to 64 letters (a to z), digits, _ . and -, begins with a letter or digit, and is not count.")))
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= LONGEST_NAME or any(unicodedata.category(one) in {"Cc", "Cs"} for one in name):
        faults.append(Place("name", "invalid", _("A name has 1 to %(most)s characters, and no control characters.") % {"most": LONGEST_NAME}))
    try:
        told = parse(rule)
        grounds = evaluate.surveyed(organisation.pk, [told], itself=key if isinstance(key, str) else None)
        # Before anything is written: what is read now is kept, and is not read again for the members.
        with evaluate.evaluation(organisation.pk, grounds) as found:
            found.members(told)
    except Fault as fault:
        faults += [Place(f"rule.{place.path}".rstrip("."), place.code, place.detail) for place in fault.places]
    if faults:
        raise Fault(faults)


def remove(audience: Audience) -> None:
    """Raises InUse where another audience is made of it, and django's ProtectedError where a campaign is for it."""
    others = Audience.objects.filter(organisation=audience.organisation_id).exclude(pk=audience.pk)
    users = [one.name for one in others if any(isinstance(leaf, InAudience) and leaf.audience == audience.key for leaf in leaves(parse(one.rule)))]
    if users:
        raise InUse(users)
    audience.delete()


def said(audience: Audience, names: Names) -> dict[str, Any]:
    """As JSON says it. `count`: as it was refreshed last."""
    try:
        text = words(parse(audience.rule), names)
    except Fault:
        text = ""
    return {
        "key": audience.key,
        "name": audience.name,
        "rule": audience.rule,
        "words": text,
        "count": audience.count,
        "refreshed_at": audience.refreshed_at,
        "created_at": audience.created_at,
        "created_by": audience.created_by,
    }


def members(audience: Audience) -> tuple[int, Iterator[list[Member]]]:
    """How many there are at this instant, and who, in slices of bounded memory. Raises Fault."""
    found = evaluate.members(audience.organisation, parse(audience.rule))
    return len(found), _named(audience, found)


def _named(audience: Audience, found: BitMap) -> Iterator[list[Member]]:
    parts = refresh.since(audience.pk, found)
    numbers = found.to_array()
    for first in range(0, len(numbers), SLICE):
        some = list(numbers[first : first + SLICE])
        slice_ = BitMap(some)
        at = {number: moment for moment, who in parts for number in who & slice_}
        yield [Member(name, _utc(at[number])) for number, name in _names(audience.organisation_id, some)]


def changes(audience: Audience, *, limit: int, before: int | None = None) -> list[AudienceChange]:
    """The latest first, without their sets; `before`: the last one already seen."""
    found = AudienceChange.objects.filter(audience=audience, **({} if before is None else {"id__lt": before}))
    return list(found.defer("joined", "left").order_by("-id")[:limit])


def movements(audience: Audience, change: AudienceChange) -> Iterator[dict[str, Any]]:
    """Who joined and who left by one change, as far as they still are."""
    for joined, packed in ((True, change.joined), (False, change.left)):
        numbers = facts.unpack_set(bytes(packed)).to_array()
        for first in range(0, len(numbers), SLICE):
            for _number, name in _names(audience.organisation_id, list(numbers[first : first + SLICE])):
                yield {"at": _utc(change.at), "shopper": name, "joined": joined}


def _names(organisation: int, numbers: list[int]) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, {"own": OWN, "organisation": organisation, "numbers": numbers})
        return [(number, name) for number, name in cursor.fetchall()]


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
