"""A mail before it is sent: as real shoppers would get it, and as a test. Nothing is written: no link gets a row, no address in it leaves a trace."""

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from django.db import connection
from django.utils.translation import gettext as _

from analytics import facts
from notifications import links
from notifications.links import NO_MESSAGE
from notifications.mail import Mail, Person
from notifications.models import Campaign, Content
from notifications.rendering import NoContent, Remark, check, composing, mime
from notifications.rendering.composing import Composer, Letter, Plain, Written

LOOKED_AT: Final = 1_000  # shoppers, spread over the audience


@dataclass(frozen=True)
class Someone:
    """A real shopper whose mail is worth looking at, and why."""

    person: Person
    why: str


@dataclass(frozen=True)
class Preview:
    subject: str
    preheader: str
    html: str
    text: str
    sender: str
    recipient: str
    remarks: list[Remark]


_PROFILES: Final = """
SELECT p.shopper_id, coalesce(s.external_id, ''), p.email, p.language, p.time_zone, p.attributes
FROM engagement_profile p JOIN engagement_shopper s ON s.id = p.shopper_id
WHERE p.organisation_id = %(organisation)s AND p.email <> '' {which}
"""


def looked_at(campaign: Campaign) -> list[Person]:
    """Shoppers of the audience who have an address: all, or a thousand spread over it. Where it was never refreshed, those told of last."""
    told: dict[str, Any] = {"organisation": campaign.organisation_id, "most": LOOKED_AT}
    members = facts.unpack_set(bytes(campaign.audience.members))
    if members:
        told["members"] = _spread(members.to_array())
        which = "AND p.shopper_id = ANY(%(members)s) ORDER BY p.shopper_id"
    else:
        which = "ORDER BY p.changed DESC LIMIT %(most)s"
    with connection.cursor() as cursor:
        cursor.execute(_PROFILES.format(which=which), told)
        rows = sorted(cursor.fetchall())
    return [Person(number, name, email, language, zone, json.loads(attributes)) for number, name, email, language, zone, attributes in rows]


def _spread(numbers: Sequence[int]) -> list[int]:
    return [int(numbers[at]) for at in np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), LOOKED_AT)).astype(int))]


def people(campaign: Campaign) -> list[Someone]:
    """Those for whom a mail goes wrong first, each once."""
    found = looked_at(campaign)
    if not found:
        return []
    usual = Counter(_base(one.language) for one in found).most_common(1)[0][0]
    others = [one for one in found if _base(one.language) != usual]
    chosen = [
        Someone(min(found, key=lambda one: (len(one.attributes), one.shopper)), _("least data")),
        Someone(max(found, key=lambda one: (len(one.attributes), -one.shopper)), _("most data")),
        Someone(max(found, key=lambda one: (_longest_name(one), -one.shopper)), _("longest name")),
        *([Someone(others[0], _("another language"))] if others else []),
    ]
    return [one for at, one in enumerate(chosen) if one.person.shopper not in {before.person.shopper for before in chosen[:at]}]


def names(campaign: Campaign) -> set[str]:
    """The attributes that shoppers have, as far as they were looked at."""
    return {name for one in looked_at(campaign) for name in one.attributes}


def _base(language: str) -> str:
    return language.partition("-")[0].lower()


def _longest_name(person: Person) -> int:
    """By his attributes that look like names, else by what his organisation calls him."""
    of_names = [str(value) for name, value in person.attributes.items() if "name" in name.lower() or name.lower() in {"first", "last"}]
    return max(map(len, of_names), default=0) or len(person.name)


def nobody(language: str = "") -> Person:
    """Of whom nothing is known, where there is no shopper yet."""
    return Person(0, "", "somebody@example.com", language)


def mail(campaign: Campaign, variant: int, language: str = "", person: Person | None = None) -> Preview:
    """As this shopper would get it; its links lead straight to where they are meant. Raises NoContent, CannotCompose."""
    composer, letter, who = _ready(campaign, variant, language, person)
    leave, choose = links.unsubscribe(NO_MESSAGE, 0), links.preferences(NO_MESSAGE, 0)
    written = composer.write(letter, who, Plain(letter.targets), leave, choose)
    content = _content_of(campaign, variant, language or who.language)
    preheader = composer.line(content.preheader, who, leave, choose)
    remarks = check(content, names(campaign), frame=composing.frame_of(campaign, composing.policy_of(campaign), content.language))
    return Preview(written.subject, preheader, written.html, written.text, composer.from_line, who.email, remarks)


def test_mail(campaign: Campaign, variant: int, language: str, person: Person | None, to: str) -> Mail:
    """The same to the address of whoever tries it. Its links work as a shopper's would, and nothing is written down. Raises NoContent, CannotCompose."""
    composer, letter, who = _ready(campaign, variant, language, person)
    leave = links.unsubscribe(NO_MESSAGE, 0)
    written = composer.write(letter, who, _Tried(letter.targets), leave, links.preferences(NO_MESSAGE, 0))
    marked = Written(f"[{_('Test')}] {written.subject}"[: mime.LONGEST_SUBJECT], written.page, written.plain)
    own = f"Message-ID: <atrium.test.{uuid.uuid4().hex}@{composer.host}>\r\nList-Unsubscribe: <{leave}>\r\nX-Atrium-Test: {campaign.pk}\r\n"
    return composer.bytes_of(letter, marked, to, own.encode())


class _Tried(Plain):
    """Through our own addresses, without a message."""

    def click(self, number: int) -> str:
        return links.click_to(NO_MESSAGE, self.targets[number])

    def to(self, target: str) -> str:
        return links.click_to(NO_MESSAGE, target)


def _ready(campaign: Campaign, variant: int, language: str, person: Person | None) -> tuple[Composer, Letter, Person]:
    """`language`: look at this one, whichever is his."""
    composer = composing.without_rows(campaign)
    who = person or nobody(language)
    if language:
        who = replace(who, language=language)
    return composer, composer.letter(variant, who.language), who


def _content_of(campaign: Campaign, variant: int, language: str) -> Content:
    known = {content.language.lower(): content for content in Content.objects.filter(variant_id=variant, variant__campaign=campaign)}
    wanted = language.lower()
    while wanted and wanted not in known:
        wanted = wanted.rpartition("-")[0]
    if wanted not in known:
        raise NoContent("language")
    return known[wanted]
