"""What Amazon SES tells of a mail, in one shape of ours. Pure: text in, what was heard out, or Unreadable.

Two ways lead here: the events of a configuration set (`eventType`, ten of them) and the feedback of an identity (`notificationType`, three of them,
and `Received`, which is of mail that came in, and no affair of ours).
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.utils import parseaddr
from typing import Any, Final

import msgspec

# Kinds, as MessageEvent.Kind has them.
SEND: Final = "send"
DELIVERY: Final = "delivery"
DELAY: Final = "delay"
BOUNCE: Final = "bounce"
SOFT_BOUNCE: Final = "soft_bounce"
COMPLAINT: Final = "complaint"
REJECT: Final = "reject"
RENDERING: Final = "rendering"
OPEN: Final = "open"
CLICK: Final = "click"
UNSUBSCRIBE: Final = "unsubscribe"

TAG: Final = "atrium-message"
HEADER: Final = "x-atrium-message"
# Bounces that are no answer to say that somebody is away: the mail will not arrive, though the next may.
GIVEN_UP: Final = frozenset({"MailboxFull", "MessageTooLarge", "ContentRejected", "AttachmentRejected"})
NOT_SPAM: Final = "not-spam"  # a complaint that takes one back
MOST_ADDRESSES: Final = 100
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z -]{0,39}")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_ADDRESS: Final = re.compile(r"[^\s\0@]+@[^\s\0@]+")
# What SES says when somebody connects the topic: plain text, or a notice of its own.
_GREETING: Final = "Successfully validated SNS topic"
_NOT_OURS: Final = frozenset({"Received", "AmazonSnsSubscriptionSucceeded"})

Json = dict[str, Any]


class Unreadable(Exception):
    """The text is none of SES. Its own text may be shown: it has nothing of the mail in it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that was heard of one mail."""

    kind: str
    message: int | None  # ours, where the mail says it
    provider_id: str
    taken_at: datetime | None  # when SES took the mail
    at: datetime
    source: str  # of what was told: the same for the same, however often and by however many ways it is told
    addresses: tuple[str, ...] = ()  # in lower case, of bounces, complaints and unsubscriptions: whom it was sent to
    agent: str = ""  # of opens and clicks
    detail: str = ""  # codes alone
    final: bool = True  # False: a bounce that may be an answering machine's


def read(text: str, told_at: datetime) -> Heard | None:
    """None: nothing of a mail of ours, or nothing that counts. `told_at`: when it was told, where it does not say when it happened."""
    if text.startswith(_GREETING):
        return None
    try:
        told = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(told, dict):
        raise Unreadable("no object")
    kind = told.get("eventType") or told.get("notificationType")
    if isinstance(kind, str) and kind in _NOT_OURS:
        return None
    reader = READERS.get(kind) if isinstance(kind, str) else None
    mail = told.get("mail")
    if reader is None or not isinstance(mail, dict):
        raise Unreadable("no event that is known")
    name, read_one = reader
    return read_one(_Told(mail, _object(told, name), told_at))


@dataclass(frozen=True, slots=True)
class _Told:
    mail: Json
    event: Json
    told_at: datetime

    def heard(self, kind: str, *, more: str = "", **rest: Any) -> Heard:
        provider_id = _matching(_PROVIDER_ID, self.mail.get("messageId"))
        taken_at = _instant(self.mail.get("timestamp"))
        at = _instant(self.event.get("timestamp")) or taken_at or self.told_at
        # What SES calls its own, else when it was: the same event told twice is the same source.
        own = _text(self.event.get("feedbackId")) or f"{at.isoformat()} {more}"
        source = "ses:" + hashlib.blake2b(f"{provider_id} {own}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return Heard(kind, _message_of(self.mail), provider_id, taken_at, at, source, **rest)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Whom it was sent to, where that was one; else those who are named. A report names who got it in the end, which need not be who was written to."""
        sent_to = _addresses(self.mail.get("destination"))
        named = _addresses([one.get("emailAddress") for one in _objects(self.event.get(name))])
        if len(sent_to) == 1:
            return sent_to
        return tuple(one for one in named if not sent_to or one in sent_to)


def _taken(told: _Told) -> Heard:
    return told.heard(SEND)


def _delivered(told: _Told) -> Heard:
    return told.heard(DELIVERY, detail=_matching(re.compile(r"\d{3}"), _text(told.event.get("smtpResponse"))[:3]))


def _bounced(told: _Told) -> Heard:
    kind, sub = _matching(_WORD, told.event.get("bounceType")), _matching(_WORD, told.event.get("bounceSubType"))
    recipients = _objects(told.event.get("bouncedRecipients"))
    status = next(filter(None, (_matching(_STATUS, one.get("status")) for one in recipients)), "")
    failed = any(_text(one.get("action")).lower() == "failed" for one in recipients)
    detail = " ".join(filter(None, (kind, sub, status)))
    addresses = told.addresses("bouncedRecipients")
    if kind == "Permanent":
        return told.heard(BOUNCE, addresses=addresses, detail=detail)
    return told.heard(SOFT_BOUNCE, addresses=addresses, detail=detail, final=failed or sub in GIVEN_UP)


def _complained(told: _Told) -> Heard | None:
    kind = _matching(_WORD, told.event.get("complaintFeedbackType"))
    if kind == NOT_SPAM:
        return None
    sub = _matching(_WORD, told.event.get("complaintSubType"))
    return told.heard(COMPLAINT, addresses=told.addresses("complainedRecipients"), detail=" ".join(filter(None, (kind, sub))))


def _rejected(told: _Told) -> Heard:
    return told.heard(REJECT, detail=_matching(_WORD, told.event.get("reason")))


def _not_rendered(told: _Told) -> Heard:
    return told.heard(RENDERING)  # what SES says of it may quote the shopper's data


def _delayed(told: _Told) -> Heard:
    return told.heard(DELAY, detail=_matching(_WORD, told.event.get("delayType")))


def _opened(told: _Told) -> Heard:
    return told.heard(OPEN, agent=_text(told.event.get("userAgent"))[:500])


def _clicked(told: _Told) -> Heard:
    return told.heard(CLICK, agent=_text(told.event.get("userAgent"))[:500], more=_text(told.event.get("link")))


def _subscribed(told: _Told) -> Heard | None:
    """Of a list that SES keeps. Who leaves all of it, or a topic of it, agrees no longer; anything else changes nothing."""
    wishes = _object(told.event, "newTopicPreferences")
    left = wishes.get("unsubscribeAll") is True
    topics = wishes.get("topicSubscriptionStatus") or wishes.get("topicPreferences")
    left = left or any(_text(one.get("subscriptionStatus")).lower() == "optout" for one in _objects(topics))
    return told.heard(UNSUBSCRIBE, addresses=told.addresses("recipients")) if left else None


# By the name of the event: where its own part is, and who reads it.
READERS: Final[dict[str, tuple[str, Callable[[_Told], Heard | None]]]] = {
    "Send": ("send", _taken),
    "Delivery": ("delivery", _delivered),
    "Bounce": ("bounce", _bounced),
    "Complaint": ("complaint", _complained),
    "Reject": ("reject", _rejected),
    "Rendering Failure": ("failure", _not_rendered),
    "DeliveryDelay": ("deliveryDelay", _delayed),
    "Open": ("open", _opened),
    "Click": ("click", _clicked),
    "Subscription": ("subscription", _subscribed),
}


def _message_of(mail: Json) -> int | None:
    tags = _object(mail, "tags").get(TAG)
    headers = [one.get("value") for one in _objects(mail.get("headers")) if _text(one.get("name")).lower() == HEADER]
    told = [*(tags if isinstance(tags, list) else []), *headers]
    found = next(filter(None, (_matching(_NUMBER, one) for one in told)), "")
    return int(found) if found else None


def _addresses(told: Any) -> tuple[str, ...]:
    """In lower case, each once. A recipient is named as a header has it, or bare."""
    found: dict[str, None] = {}
    for one in (told if isinstance(told, list) else [])[:MOST_ADDRESSES]:
        try:
            address = parseaddr(_text(one)[:1000])[1].lower()
        except (HeaderParseError, ValueError, IndexError, RecursionError):
            continue
        if len(address) <= 254 and _ADDRESS.fullmatch(address):
            found[address] = None
    return tuple(found)


def _object(told: Json, name: str) -> Json:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _objects(told: Any) -> list[Json]:
    return [one for one in told if isinstance(one, dict)][: MOST_ADDRESSES * 5] if isinstance(told, list) else []


def _text(told: Any) -> str:
    return told.replace("\0", "") if isinstance(told, str) else ""


def _matching(pattern: re.Pattern[str], told: Any) -> str:
    return told if isinstance(told, str) and pattern.fullmatch(told) else ""


def _instant(told: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(_text(told))
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 2000 <= found.year < 2100 else None
