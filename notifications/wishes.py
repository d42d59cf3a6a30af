"""What shoppers say themselves, on the pages that their mails lead to: no more of it, less of it, again.

Who holds the address from a mail is taken for whom it was sent to. So nothing is shown there but what he chooses, and nothing can be done but that.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from engagement.models import Channel, Organisation
from engagement.profiles import consents, record
from engagement.profiles.told import Consent
from notifications import suppressions
from notifications.models import Suppression
from notifications.suppressions import Noted

EMAIL: Final = Channel.EMAIL.value
TRIES: Final = 3
Made = TypeVar("Made")


@dataclass(frozen=True)
class Whose:
    """Whom a token speaks of, as he is known now."""

    shopper: int
    name: str  # his own id; empty: he has none
    organisation: int
    organisation_name: str
    message: int | None
    campaign: int | None
    purpose: str
    email: str
    language: str


@dataclass(frozen=True)
class Choice:
    """A brand or a topic that he may wish for or not."""

    kind: str  # brand, topic
    number: int
    name: str
    wished: bool

    @property
    def field(self) -> str:
        return f"{self.kind}-{self.number}"


@dataclass(frozen=True)
class Wishes:
    whose: Whose
    told: bool  # he gets mail
    stopped_by_himself: bool  # he gets none, and may say again that he wants it
    choices: list[Choice] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)


# By the shopper of the token; where he is known under another number by now, by the message's.
_WHOSE: Final = """
SELECT s.id, s.external_id, o.id, o.name, m.id, c.id, coalesce(c.purpose, 'marketing'), coalesce(p.email, ''), coalesce(p.language, '')
FROM engagement_shopper s JOIN engagement_organisation o ON o.id = s.organisation_id
LEFT JOIN notifications_message m ON m.id = %(message)s AND m.organisation_id = s.organisation_id
LEFT JOIN notifications_campaign c ON c.id = m.campaign_id
LEFT JOIN engagement_profile p ON p.shopper_id = s.id
WHERE s.id = %(shopper)s OR s.id = (SELECT shopper_id FROM notifications_message WHERE id = %(message)s)
ORDER BY s.id = %(shopper)s DESC LIMIT 1
"""
_STATE: Final = """
SELECT (SELECT given FROM engagement_consentstate WHERE shopper_id = %(shopper)s AND channel = 'email' AND purpose = %(purpose)s),
       (SELECT why FROM notifications_suppression WHERE organisation_id = %(organisation)s AND channel = 'email' AND address = lower(%(email)s)
           AND lifted_at IS NULL)
"""
_NOTE: Final = """
INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, detail)
VALUES (%(organisation)s, %(message)s, 'unsubscribe', %(at)s, 'page:unsubscribe', '', '') ON CONFLICT (message_id, kind, source) DO NOTHING
"""
# Brands that speak, and topics; with what he wished, where he wished something.
_CHOICES: Final = """
SELECT 'brand', b.id, b.name, coalesce(w.wished, true) FROM engagement_brand b
LEFT JOIN notifications_preference w ON w.shopper_id = %(shopper)s AND w.channel = 'email' AND w.brand_id = b.id
WHERE b.organisation_id = %(organisation)s AND (w.id IS NOT NULL OR EXISTS (
    SELECT 1 FROM notifications_campaign c WHERE c.organisation_id = b.organisation_id AND c.brand_id = b.id AND c.state <> 'draft'))
UNION ALL
SELECT 'topic', t.id, t.name, coalesce(w.wished, true) FROM notifications_topic t
LEFT JOIN notifications_preference w ON w.shopper_id = %(shopper)s AND w.channel = 'email' AND w.topic_id = t.id
WHERE t.organisation_id = %(organisation)s
ORDER BY 1, 3
"""
_LANGUAGES: Final = """
SELECT DISTINCT t.language FROM notifications_content t JOIN notifications_variant v ON v.id = t.variant_id
JOIN notifications_campaign c ON c.id = v.campaign_id
WHERE c.organisation_id = %(organisation)s AND t.language <> '' ORDER BY 1
"""
_WISH: Final = """
INSERT INTO notifications_preference AS known (organisation_id, shopper_id, channel, {kind}_id, wished, at, changed)
SELECT %(organisation)s, %(shopper)s, 'email', n, w, %(at)s, 0 FROM unnest(%(numbers)s::bigint[], %(wished)s::bool[]) AS t(n, w) ORDER BY n
ON CONFLICT (shopper_id, channel, {kind}_id) WHERE {other}_id IS NULL DO UPDATE SET wished = excluded.wished, at = excluded.at
WHERE known.wished <> excluded.wished
"""


def whose(message: int, shopper: int) -> Whose | None:
    """None where nobody is known any more."""
    with connection.cursor() as cursor:
        cursor.execute(_WHOSE, {"message": message, "shopper": shopper})
        row = cursor.fetchone()
    return Whose(row[0], row[1] or "", *row[2:]) if row else None


def unsubscribe(known: Whose, at: datetime) -> None:
    """He agrees no longer, and his address is not written to: in one transaction, which every sender asks before its next mail. Said twice, it is once."""

    def work(cursor: CursorWrapper) -> None:
        given, _why = _state(cursor, known)
        if given is not False and not consents.withdraw(cursor, known.organisation, known.shopper, EMAIL, known.purpose, at, "unsubscribe"):
            return  # erased in this instant
        if known.email:
            suppressions.suppress(cursor, [Noted(known.organisation, known.email.lower(), Suppression.Why.UNSUBSCRIBE, at, known.message)])
        if known.message is not None:
            cursor.execute(_NOTE, {"organisation": known.organisation, "message": known.message, "at": at})

    _tried(work)


def agree(known: Whose, at: datetime) -> None:
    """He wants mail again, after he had unsubscribed: the ledger has it, and with it his own suppression ends. One by a bounce or a complaint does not."""

    def work(cursor: CursorWrapper) -> None:
        cursor.execute("SELECT 1 FROM engagement_shopper WHERE id = %s AND organisation_id = %s FOR KEY SHARE", [known.shopper, known.organisation])
        if cursor.fetchone():
            told = Consent(channel=EMAIL, purpose=known.purpose, given=True, at=at, source="preference page", wording="")
            consents.add(cursor, known.organisation, [(known.shopper, told)], "", at)

    _tried(work)


def read(known: Whose) -> Wishes:
    told = {"organisation": known.organisation, "shopper": known.shopper}
    with connection.cursor() as cursor:
        given, why = _state(cursor, known)
        cursor.execute(_CHOICES, told)
        choices = [Choice(*row) for row in cursor.fetchall()]
        cursor.execute(_LANGUAGES, told)
        languages = [row[0] for row in cursor.fetchall()]
    if languages and known.language and known.language not in languages:
        languages.append(known.language)
    return Wishes(
        known, told=bool(given) and why is None, stopped_by_himself=given is False and why in (None, "unsubscribe"), choices=choices, languages=languages
    )


def wish(known: Whose, shown: Collection[str], wished: Collection[str], at: datetime) -> None:
    """Of what was shown to him, he wishes for this. What never was otherwise is not written."""
    changed = [one for one in read(known).choices if one.field in shown and one.wished != (one.field in wished)]

    def work(cursor: CursorWrapper) -> None:
        cursor.execute("SELECT 1 FROM engagement_shopper WHERE id = %s FOR KEY SHARE", [known.shopper])
        if cursor.fetchone() is None:
            return
        for kind, other in (("brand", "topic"), ("topic", "brand")):
            of_kind = [one for one in changed if one.kind == kind]
            told: dict[str, Any] = {"numbers": [one.number for one in of_kind], "wished": [not one.wished for one in of_kind]}
            cursor.execute(_WISH.format(kind=kind, other=other), {"organisation": known.organisation, "shopper": known.shopper, "at": at, **told})

    if changed:
        _tried(work)


def speak(known: Whose, language: str, at: datetime) -> None:
    """Write to him in this language from now on."""
    if known.name and language != known.language and language in read(known).languages:
        record.record(Organisation.objects.get(pk=known.organisation), [{"id": known.name, "language": language}], "", at)


def _state(cursor: CursorWrapper, known: Whose) -> tuple[bool | None, str | None]:
    """What he last said of it, and why his address is suppressed."""
    cursor.execute(_STATE, {"shopper": known.shopper, "purpose": known.purpose, "organisation": known.organisation, "email": known.email})
    row: Any = cursor.fetchone()
    return row[0], row[1]


def _tried(work: Callable[[CursorWrapper], None]) -> None:
    """In a transaction; again where it met another in the opposite order."""
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                return work(cursor)
        except OperationalError as error:
            if not left or getattr(error.__cause__, "sqlstate", "") != "40P01":
                raise
    return None
