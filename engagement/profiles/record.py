"""Recording what was told of shoppers: a good thousand in a handful of statements, in one commit.

    the shoppers, held  ->  those who are new, made  ->  their profiles, made or locked and changed  ->  what they agreed to

Every statement goes through its table in the order of the key, and the tables come in one order, so that of two who tell of the same shoppers
at once one waits for the other, and both are heard.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _

from engagement import shoppers
from engagement.models import Organisation
from engagement.profiles import consents
from engagement.profiles.told import MOST_ATTRIBUTES, Reason, Refused, Told, Value, id_of, read, then, too_many

MOST: Final = 1_000


class Result(StrEnum):
    CREATED = "created"  # nothing had been told of this shopper
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one. `id` is empty where it could not be read; `field` says where it was wrong."""

    id: str
    result: Result
    reason: Reason | None = None
    field: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A profile as it is stored."""

    email: str = ""
    language: str = ""
    time_zone: str = ""
    attributes: str = "{}"  # JSON with sorted names, so that two can be compared: to Python 1 and true are the same

    def told(self, one: Told) -> "Known":
        """With what was told. Raises Refused."""
        before: dict[str, Value] = {} if one.afresh else json.loads(self.attributes)
        attributes = {name: value for name, value in {**before, **one.attributes}.items() if value is not None}
        if len(attributes) > MOST_ATTRIBUTES:
            raise too_many()
        return Known(
            email=self.email if one.email is None else one.email,
            language=self.language if one.language is None else one.language,
            time_zone=self.time_zone if one.time_zone is None else one.time_zone,
            attributes=json.dumps(attributes, sort_keys=True),
        )


def record(organisation: Organisation, told: Sequence[Any], by: str, now: datetime) -> list[Answer]:
    """Take what was told (parsed JSON, or Told already); all that is good is committed together. One answer for each, in order."""
    answers: dict[int, Answer] = {}
    people: dict[str, Told] = {}
    places: dict[str, list[int]] = {}  # where in the list each of them stands
    said: dict[int, Told] = {}
    for place, item in enumerate(told):
        try:
            one = said[place] = item if isinstance(item, Told) else read(item, now)
        except Refused as refused:
            answers[place] = _rejected(id_of(item), refused)
            continue
        # Of a shopper who stands several times in the list, the later is what was told after the earlier.
        people[one.id] = then(people[one.id], one) if one.id in people else one
        places.setdefault(one.id, []).append(place)
    results = _write(organisation, people, by, now)
    for id, (first, *again) in places.items():
        answer = results[id]
        answers[first] = answer
        for place in again:
            same = answer.result is not Result.REJECTED
            result = Result.UNCHANGED if said[place] == said[first] or answer.result is Result.UNCHANGED else Result.UPDATED
            answers[place] = replace(answer, result=result) if same else answer
    return [answers[place] for place in range(len(told))]


def _rejected(id: str, refused: Refused) -> Answer:
    return Answer(id, Result.REJECTED, refused.reason, refused.field, refused.detail)


def _write(organisation: Organisation, people: dict[str, Told], by: str, now: datetime) -> dict[str, Answer]:
    """What became of each, by the id."""
    if not people:
        return {}
    with transaction.atomic(), connection.cursor() as cursor:
        numbers = shoppers.hold(cursor, organisation.pk, people)
        # Read after the shoppers are held: nobody of them is erased from here on, and an erasure that was waited for is seen.
        answers = _too_much(people) | _from_before(people, shoppers.erased(organisation.pk, people))
        kept = {id: one for id, one in people.items() if id not in answers}
        numbers |= shoppers.make(cursor, organisation.pk, kept.keys() - numbers.keys())
        by_number = {numbers[id]: one for id, one in sorted(kept.items(), key=lambda item: numbers[item[0]])}
        refused = _profiles(cursor, organisation.pk, by_number, answers, now)
        agreed = [(number, one) for number, told in by_number.items() if number not in refused for one in told.consents]
        for number in consents.add(cursor, organisation.pk, agreed, by, now):
            answer = answers[by_number[number].id]
            if answer.result is Result.UNCHANGED:
                answers[answer.id] = replace(answer, result=Result.UPDATED)
    return answers


def _too_much(people: Mapping[str, Told]) -> dict[str, Answer]:
    """Those who alone bring more than a shopper may have: who stands several times in the list may do so only together."""
    many = [id for id, one in people.items() if sum(value is not None for value in one.attributes.values()) > MOST_ATTRIBUTES]
    return {id: _rejected(id, too_many()) for id in many}


def _from_before(people: Mapping[str, Told], until: Mapping[str, datetime]) -> dict[str, Answer]:
    """Those who agreed to something, or no longer, before they were erased. What is told without an instant is told now."""
    detail = _("consents: this shopper was erased after it. What is from before an erasure is not taken in again.")
    old = [id for id, limit in until.items() if any(one.at <= limit for one in people[id].consents)]
    return {id: Answer(id, Result.REJECTED, Reason.ERASED, "consents", detail) for id in old}


# --- Profiles -------------------------------------------------------------------------------------------------------------

_VALUES: Final = """unnest(%(shoppers)s::bigint[], %(emails)s::text[], %(languages)s::text[], %(zones)s::text[], %(attributes)s::text[])
     AS n(shopper, email, language, time_zone, attributes)"""
# All of them, those who have one too: only so does everybody who makes profiles go through them in one order.
_MADE: Final = f"""
INSERT INTO engagement_profile (shopper_id, organisation_id, email, language, time_zone, attributes, updated_at, changed)
SELECT n.shopper, %(organisation)s, n.email, n.language, n.time_zone, n.attributes::jsonb, %(now)s, 0 FROM {_VALUES}
ON CONFLICT DO NOTHING RETURNING shopper_id
"""
_LOCKED: Final = """
SELECT shopper_id, email, language, time_zone, attributes::text FROM engagement_profile WHERE shopper_id = ANY(%s) ORDER BY shopper_id FOR NO KEY UPDATE
"""
_CHANGED: Final = f"""
UPDATE engagement_profile p SET email = n.email, language = n.language, time_zone = n.time_zone, attributes = n.attributes::jsonb, updated_at = %(now)s
FROM {_VALUES} WHERE p.shopper_id = n.shopper
"""


def _profiles(cursor: CursorWrapper, organisation: int, people: Mapping[int, Told], answers: dict[str, Answer], now: datetime) -> set[int]:
    """Write them, in the order of the numbers, and note what became of each. Returns those who were refused after all."""
    if not people:
        return set()
    fresh = {number: Known().told(one) for number, one in people.items()}
    cursor.execute(_MADE, {"organisation": organisation, "now": now, **_columns(fresh)})
    made = {number for (number,) in cursor.fetchall()}
    answers.update({people[number].id: Answer(people[number].id, Result.CREATED) for number in made})
    others = [number for number in people if number not in made]
    if not others:
        return set()
    cursor.execute(_LOCKED, [others])
    changed, refused = {}, set()
    for number, email, language, time_zone, stored in cursor.fetchall():
        known = Known(email, language, time_zone, json.dumps(json.loads(stored), sort_keys=True))
        id = people[number].id
        try:
            wanted = known.told(people[number])
        except Refused as error:
            refused.add(number)
            answers[id] = _rejected(id, error)
            continue
        answers[id] = Answer(id, Result.UNCHANGED if wanted == known else Result.UPDATED)
        if wanted != known:
            changed[number] = wanted
    if changed:
        cursor.execute(_CHANGED, {"now": now, **_columns(changed)})
    return refused


def _columns(profiles: Mapping[int, Known]) -> dict[str, list[Any]]:
    return {
        "shoppers": list(profiles),
        "emails": [one.email for one in profiles.values()],
        "languages": [one.language for one in profiles.values()],
        "zones": [one.time_zone for one in profiles.values()],
        "attributes": [one.attributes for one in profiles.values()],
    }
