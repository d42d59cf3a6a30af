"""A campaign's mails: everything that is the same for all is made once, and each takes a fraction of a millisecond."""

import functools
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings
from django.db import connection
from liquid.exceptions import LiquidError

from notifications import links
from notifications.mail import Mail, Person
from notifications.models import Campaign, Content, SendingPolicy
from notifications.rendering import checking, mime, preparing
from notifications.rendering.liquid import Addresses, Liquid, Template, fixed, pieces_of, write
from notifications.rendering.preparing import Frame

_GAPS: Final = re.compile(r"\n(?:[ \t]*\n){2,}")  # where a condition stood between two paragraphs
_BLOCK: Final = re.compile(r"\{%-?\s*(?!click|link|endlink)")
LARGEST_MAIL: Final = 1_000_000  # bytes, as it leaves


class NoContent(Exception):
    """This shopper's mail cannot be made. `reason` says why, and holds nothing of his."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotCompose(Exception):
    """The campaign's mails cannot be made for anybody."""

    def __init__(self, faults: Sequence[checking.Remark]) -> None:
        super().__init__("; ".join(f"{fault.place}: {fault.detail}" for fault in faults))
        self.faults = tuple(faults)


@functools.cache
def page_liquid() -> Liquid:
    return Liquid(autoescape=True, ours=True)


@functools.cache
def plain_liquid() -> Liquid:
    return Liquid(autoescape=False, ours=True)


class Tracked:
    """The links of one mail: each through us, and known to be of this message."""

    __slots__ = ("ids", "made", "message")

    def __init__(self, message: int, ids: Sequence[int]) -> None:
        self.message, self.ids = message, ids
        self.made: dict[int, str] = {}  # the page and the text lead to the same places

    def click(self, number: int) -> str:
        found = self.made.get(number)
        if found is None:
            found = self.made[number] = links.click(self.message, self.ids[number])
        return found

    def to(self, target: str) -> str:
        return links.click_to(self.message, target)

    def pixel(self) -> str:
        return links.pixel(self.message)

    def unseen(self) -> str:
        return links.click(self.message, links.HONEYPOT)


class Plain:
    """The links as they were written: for who looks at a mail before it is sent."""

    __slots__ = ("targets",)

    def __init__(self, targets: Sequence[str]) -> None:
        self.targets = targets

    def click(self, number: int) -> str:
        return self.targets[number]

    def to(self, target: str) -> str:
        return target

    def pixel(self) -> str:
        return ""

    def unseen(self) -> str:
        return ""


@dataclass(frozen=True)
class Letter:
    """A content, compiled."""

    subject: Template
    page: Template
    plain: Template
    is_plain: bool  # no block stands in the text, so none can leave a gap
    targets: tuple[str, ...]
    page_part: mime.Part
    plain_part: mime.Part
    ids: tuple[int, ...] = ()  # of the targets' Link rows


@dataclass(frozen=True)
class Written:
    """A mail before it is bytes."""

    subject: str
    page: list[str]  # in pieces, as the text
    plain: list[str]

    @property
    def html(self) -> str:
        return "".join(self.page)

    @property
    def text(self) -> str:
        return "".join(self.plain)


def compiled(content: preparing.Source, frame: Frame) -> Letter:
    """Its links have no rows yet. Raises preparing.Place, LiquidError."""
    made = preparing.prepare(content, frame)
    page, plain = page_liquid().compile(made.html), plain_liquid().compile(made.text)
    return Letter(
        subject=plain_liquid().compile(made.subject),
        page=page,
        plain=plain,
        is_plain=not _BLOCK.search(made.text),
        targets=tuple(made.targets),
        page_part=mime.part("html", made.html, fixed(page)),
        plain_part=mime.part("plain", made.text, fixed(plain)),
    )


class Composer:
    """The mails of one campaign, as it is now. Made by `compose`; never stored."""

    def __init__(self, campaign: Campaign, policy: SendingPolicy, letters: dict[int, dict[str, Letter]]) -> None:
        self.campaign, self.letters = campaign.pk, letters
        self.from_line, self.sender = mime.sender(campaign.sender or policy.sender)
        organisation, brand = campaign.organisation, campaign.brand
        whose = mime.one_line(brand.name if brand else organisation.name)
        self.common: dict[str, object] = {
            "brand": {"name": whose},
            "organisation": {"name": mime.one_line(organisation.name), "postal_address": policy.postal_address.strip()},
            "campaign": {"name": mime.one_line(campaign.name)},
        }
        self.clock = campaign.time_zone
        self.host = self.sender.rpartition("@")[2]
        self.boundary = f"=_atrium_{secrets.token_hex(12)}".encode()  # neither base64 nor quoted-printable writes "=_"
        list_id = f"{brand.key}.{organisation.key}" if brand else organisation.key
        self.head = mime.header("From", self.from_line)
        self.foot = (
            mime.header("List-Id", f"{mime.phrase(whose)} <{list_id}.{self.host}>")
            + b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: bulk\r\nAuto-Submitted: auto-generated\r\n"
            + (mime.header("X-SES-CONFIGURATION-SET", name) if (name := settings.SES_CONFIGURATION_SET) else b"")
        )
        self.dates = mime.Clock()

    def mail(self, message_id: int, variant_id: int, person: Person) -> Mail:
        """Raises NoContent."""
        letter = self.letter(variant_id, person.language)
        leave = links.unsubscribe(message_id, person.shopper)
        written = self.write(letter, person, Tracked(message_id, letter.ids), leave, links.preferences(message_id, person.shopper))
        own = (
            f"Message-ID: <atrium.{message_id}.{self.campaign}@{self.host}>\r\nList-Unsubscribe: <{leave}>\r\n"
            f"X-Atrium-Message: {message_id}\r\nX-SES-MESSAGE-TAGS: atrium-message={message_id}\r\n"
        )
        return self.bytes_of(letter, written, person.email, own.encode())

    def letter(self, variant_id: int, language: str) -> Letter:
        """In exactly his language, else in that language of anywhere, else in the campaign's own. Raises NoContent."""
        known = self.letters.get(variant_id)
        if known is None:
            raise NoContent("variant")
        wanted = language.lower()
        while wanted:
            if found := known.get(wanted):
                return found
            wanted = wanted.rpartition("-")[0]
        if "" not in known:
            raise NoContent("language")
        return known[""]

    def write(self, letter: Letter, person: Person, addresses: Addresses, leave: str, choose: str) -> Written:
        """Raises NoContent."""
        facts = self.facts(person, leave, choose)
        try:
            subject = mime.one_line(write(letter.subject, facts))
            page, plain = pieces_of(letter.page, facts, addresses), pieces_of(letter.plain, facts, addresses)
        except LiquidError as error:
            raise NoContent(checking.words_of(error)) from None
        if not subject or len(subject) > mime.LONGEST_SUBJECT:
            raise NoContent("subject")
        return Written(subject, page, plain if letter.is_plain else [_GAPS.sub("\n\n", "".join(plain))])

    def facts(self, person: Person, leave: str, choose: str) -> dict[str, object]:
        """All that a template sees."""
        return {
            **self.common,
            "shopper": {"id": person.name, "language": person.language, "attributes": person.attributes},
            "attributes": person.attributes,
            "unsubscribe_url": leave,
            "preferences_url": choose,
            "_clock": person.time_zone or self.clock,
        }

    def line(self, source: str, person: Person, leave: str, choose: str) -> str:
        """One line of Liquid by itself. Raises NoContent."""
        try:
            return mime.one_line(write(plain_liquid().compile(mime.one_line(source)), self.facts(person, leave, choose)))
        except LiquidError as error:
            raise NoContent(checking.words_of(error)) from None

    def bytes_of(self, letter: Letter, written: Written, to: str, own: bytes) -> Mail:
        """Raises NoContent."""
        try:
            recipient = mime.address(to)
        except mime.NotAnAddress:
            raise NoContent("address") from None
        headers = (
            self.head,
            f"To: <{recipient}>\r\nSubject: {mime.words(written.subject)}\r\nDate: {self.dates.date()}\r\n".encode(),
            own,
            self.foot,
        )
        parts = ((letter.plain_part.head, letter.plain_part.write(written.plain)), (letter.page_part.head, letter.page_part.write(written.page)))
        content = mime.whole(headers, self.boundary, parts)
        if len(content) > LARGEST_MAIL:
            raise NoContent("size")
        return Mail(content, self.sender, recipient)


def compose(campaign: Campaign) -> Composer:
    """All variants and languages, compiled; their links get their rows. Raises CannotCompose."""
    composer = without_rows(campaign)
    wanted = {target for known in composer.letters.values() for letter in known.values() for target in letter.targets}
    ids = link_ids(campaign, wanted) if wanted else {}
    composer.letters = {
        variant: {language: replace(letter, ids=tuple(ids[target] for target in letter.targets)) for language, letter in known.items()}
        for variant, known in composer.letters.items()
    }
    return composer


def without_rows(campaign: Campaign) -> Composer:
    """The same, for who only looks: no link has a row. Raises CannotCompose."""
    policy = policy_of(campaign)
    letters: dict[int, dict[str, Letter]] = {}
    faults: list[checking.Remark] = []
    for content in Content.objects.filter(variant__campaign=campaign).select_related("variant").order_by("variant_id", "language"):
        frame = frame_of(campaign, policy, content.language)
        try:
            letters.setdefault(content.variant_id, {})[content.language.lower()] = compiled(content, frame)
        except (preparing.Place, LiquidError) as fault:
            faults.append(checking.remark_of(fault))
    try:
        mime.sender(campaign.sender or policy.sender)
    except mime.NotAnAddress:
        faults.append(checking.Remark(checking.ERROR, "from", checking.no_sender()))
    if faults or not letters:
        raise CannotCompose(faults or [checking.Remark(checking.ERROR, "body", checking.no_words())])
    return Composer(campaign, policy, letters)


def policy_of(campaign: Campaign) -> SendingPolicy:
    return SendingPolicy.objects.filter(organisation=campaign.organisation_id).first() or SendingPolicy(organisation_id=campaign.organisation_id)


def frame_of(campaign: Campaign, policy: SendingPolicy, language: str) -> Frame:
    return Frame(language=language, has_brand=campaign.brand_id is not None, has_postal_address=bool(policy.postal_address.strip()))


def link_ids(campaign: Campaign, targets: Iterable[str]) -> dict[str, int]:
    """The numbers of the campaign's links, made where there are none yet."""
    wanted = sorted(targets)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO notifications_link (campaign_id, url) SELECT %s, unnest(%s::text[]) ON CONFLICT (campaign_id, url) DO NOTHING", [campaign.pk, wanted]
        )
        cursor.execute("SELECT url, id FROM notifications_link WHERE campaign_id = %s AND url = ANY(%s)", [campaign.pk, wanted])
        return dict(cursor.fetchall())
