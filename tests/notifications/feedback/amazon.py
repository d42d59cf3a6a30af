"""Amazon as the tests play it: a certificate authority, a signing certificate as SNS has, and notices signed with it."""

import base64
import functools
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

REGION: Final = "eu-west-1"
HOST: Final = f"sns.{REGION}.amazonaws.com"
TOPIC: Final = f"arn:aws:sns:{REGION}:123456789012:atrium-mail"
CERTIFICATE: Final = f"https://{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
SUBSCRIBE: Final = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37fb"
NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


@functools.cache
def key(size: int = 2048, of: str = "amazon") -> rsa.RSAPrivateKey:
    """Made once: making one is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def _name(common: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else attributes)


def certificate(
    *,
    name: str = "sns.amazonaws.com",
    issuer: str = "Amazon",
    now: datetime = NOW,
    size: int = 2048,
    authority: bool = False,
    own: bool = False,
    names: tuple[str, ...] = (),
) -> bytes:
    """A certificate as SNS has one, or one with something wrong. `own`: signed by itself."""
    subject = _name(name, issuer if own else None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if own else _name(f"{issuer} RSA 2048 M01", issuer))
        .public_key(key(size).public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
    return builder.sign(key(size) if own else key(of="authority"), hashes.SHA256()).public_bytes(Encoding.PEM)


def authority() -> bytes:
    """What stands above `certificate()` in a chain."""
    name = _name("Amazon RSA 2048 M01", "Amazon")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key(of="authority").public_key()).serial_number(8)
    builder = builder.not_valid_before(NOW - timedelta(days=300)).not_valid_after(NOW + timedelta(days=300))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key(of="authority"), hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def notice(message: Any = "hello", *, at: datetime = NOW, version: str = "1", size: int = 2048, **more: Any) -> dict[str, Any]:
    """A notice as SNS posts it, signed. `more` replaces its fields before it is signed; None leaves one out."""
    text = message if isinstance(message, str) else json.dumps(message)
    fields = {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": f"https://{HOST}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:1",
        **more,
    }
    found = {name: value for name, value in fields.items() if value is not None}
    return {**found, "Signature": sign(found, size)}


def confirmation(*, kind: str = "SubscriptionConfirmation", at: datetime = NOW, **more: Any) -> dict[str, Any]:
    return notice("You have chosen to subscribe.", at=at, Type=kind, Token="2336412f37fb", **{"SubscribeURL": SUBSCRIBE, "UnsubscribeURL": None, **more})


def sign(fields: dict[str, Any], size: int = 2048) -> str:
    """As Amazon's guide says it, in words of this file's own: what comes first in the alphabet is signed first."""
    signed = {"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
    signed |= {"Subject"} if fields["Type"] == "Notification" else {"SubscribeURL", "Token"}
    text = "".join(f"{name}\n{fields[name]}\n" for name in sorted(signed & fields.keys()))
    digest = hashes.SHA256() if fields["SignatureVersion"] == "2" else hashes.SHA1()
    return base64.b64encode(key(size).sign(text.encode(), padding.PKCS1v15(), digest)).decode()


class Amazon:
    """Serves what is at its addresses, and remembers what it was asked for."""

    def __init__(self, answers: dict[str, bytes | Exception] | None = None) -> None:
        self.answers = {CERTIFICATE: certificate(), SUBSCRIBE: b"<ConfirmSubscriptionResponse/>"} if answers is None else answers
        self.asked: list[str] = []

    def fetch(self, url: str, *, at_most: int) -> bytes:
        self.asked.append(url)
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer
