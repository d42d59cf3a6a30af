"""A notice of Amazon SNS over HTTP: read, and proved to be Amazon's and of one of our topics.

Everything that can be refused without asking anybody is refused first: nothing is fetched for a notice that is not of our topics, not of now, or
names an address that is not Amazon's. The region is the topic's, so the settings alone say which hosts are ever asked.
"""

import base64
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from notifications.feedback.certificates import Certificates, Wrong

OLDEST: Final = timedelta(minutes=65)  # SNS gives up after an hour of trying
AHEAD: Final = timedelta(minutes=5)  # what clocks may differ by
NOTIFICATION: Final = "Notification"
SUBSCRIPTION: Final = "SubscriptionConfirmation"
UNSUBSCRIPTION: Final = "UnsubscribeConfirmation"
# What is signed, in this order: name, line end, value, line end. A subject only where there is one.
SIGNED: Final = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    UNSUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 (what SNS signs with by default)
TOPIC: Final = re.compile(r"arn:(?P<partition>aws(-cn|-us-gov)?):sns:(?P<region>[a-z]{2}(-[a-z]+)+-\d{1,2}):\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,128}")
_PEM: Final = re.compile(r"/[A-Za-z0-9._-]{1,200}\.pem")
_PRINTED: Final = re.compile(r"[\x21-\x7e]+")  # an address has no blanks, line ends or foreign letters, which readers of addresses see differently

# Why a notice is refused: the closed list, and what is told.
REFUSALS: Final = {
    "unreadable": "The body is not a notice of Amazon SNS.",
    "unknown_type": "Only Notification, SubscriptionConfirmation and UnsubscribeConfirmation are known.",
    "unknown_signature_version": "Only the signature versions 1 and 2 are known.",
    "wrong_topic": "The topic is not one of SNS_TOPIC_ARNS.",
    "wrong_certificate_address": "The certificate is not at Amazon SNS of the topic's region.",
    "wrong_subscribe_address": "The address to confirm at is not at Amazon SNS of the topic's region.",
    "too_old": "The notice is older than an hour.",
    "in_future": "The notice is from the future.",
    "wrong_certificate": "The certificate is not one of Amazon SNS that is valid now.",
    "wrong_signature": "The signature does not fit.",
}


class Refused(Exception):
    """`code` is a key of REFUSALS."""

    def __init__(self, code: str) -> None:
        super().__init__(REFUSALS[code])
        self.code = code


class Notice(msgspec.Struct, frozen=True, rename="pascal"):
    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)
    token: str | None = None

    @property
    def at(self) -> datetime:
        """Raises ValueError where it is no instant."""
        found = datetime.fromisoformat(self.timestamp)
        if found.tzinfo is None:
            raise ValueError("no time zone")
        return found.astimezone(UTC)


_decode = msgspec.json.Decoder(Notice).decode


def verified(body: bytes, *, topics: Collection[str], certificates: Certificates, now: datetime) -> Notice:
    """The notice, once all of it is proved. Raises Refused, or certificates.Away where Amazon does not give its certificate now."""
    notice = read(body)
    _refuse_from_here(notice, topics, now)
    try:
        key = certificates.key(notice.signing_cert_url, now)
        key.verify(base64.b64decode(notice.signature, validate=True), to_sign(notice), PKCS1v15(), DIGESTS[notice.signature_version])
    except Wrong:
        raise Refused("wrong_certificate") from None
    except (InvalidSignature, ValueError):
        raise Refused("wrong_signature") from None
    return notice


def read(body: bytes) -> Notice:
    try:
        notice = _decode(body)
        whole = bool(_ID.fullmatch(notice.message_id)) and "\0" not in notice.message and notice.at.year > 2000
    except (ValueError, OverflowError, RecursionError):  # msgspec's errors are values' errors too
        whole = False
    if not whole:
        raise Refused("unreadable")
    return notice


def _refuse_from_here(notice: Notice, topics: Collection[str], now: datetime) -> None:
    """What is wrong with it and can be seen without asking anybody."""
    if notice.type not in SIGNED:
        raise Refused("unknown_type")
    if notice.signature_version not in DIGESTS:
        raise Refused("unknown_signature_version")
    if notice.topic_arn not in topics:
        raise Refused("wrong_topic")
    if not is_certificate_address(notice.signing_cert_url, notice.topic_arn):
        raise Refused("wrong_certificate_address")
    if notice.type == SUBSCRIPTION and not is_subscribe_address(notice.subscribe_url or "", notice.topic_arn):
        raise Refused("wrong_subscribe_address")
    if now - notice.at > OLDEST:
        raise Refused("too_old")
    if notice.at - now > AHEAD:
        raise Refused("in_future")


def is_certificate_address(url: str, topic: str) -> bool:
    parts = _amazons(url, topic)
    return parts is not None and not parts[1] and bool(_PEM.fullmatch(parts[0]))


def is_subscribe_address(url: str, topic: str) -> bool:
    parts = _amazons(url, topic)
    if parts is None or parts[0] not in {"", "/"}:
        return False
    asked = parse_qs(parts[1], keep_blank_values=True)
    return asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [topic]


def _amazons(url: str, topic: str) -> tuple[str, str] | None:
    """Path and query of an https address at Amazon SNS of the topic's region: exactly that host, no port, no name, no fragment."""
    known = TOPIC.fullmatch(topic)
    if not known or not _PRINTED.fullmatch(url) or len(url) > 2000 or "\\" in url or "#" in url:
        return None
    host = f"sns.{known['region']}.amazonaws.com" + (".cn" if known["partition"] == "aws-cn" else "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return (parts.path, parts.query) if url.startswith("https://") and parts.netloc == host else None


def to_sign(notice: Notice) -> bytes:
    values = {
        "Message": notice.message,
        "MessageId": notice.message_id,
        "Subject": notice.subject,
        "SubscribeURL": notice.subscribe_url,
        "Timestamp": notice.timestamp,
        "Token": notice.token,
        "TopicArn": notice.topic_arn,
        "Type": notice.type,
    }
    return "".join(f"{name}\n{values[name]}\n" for name in SIGNED[notice.type] if values[name] is not None).encode()
