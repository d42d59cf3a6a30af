"""The certificates that Amazon signs notices with: fetched, looked at, and kept in memory.

Anybody may post a notice that names a certificate, so each process fetches only so many in a minute, and asks again for one that was not there
only after a while.
"""

import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Protocol, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID

from notifications.feedback import amazon

LARGEST: Final = 64 * 1024
KEPT_FOR: Final = timedelta(days=1)
KEPT: Final = 32
AGAIN_AFTER: Final = timedelta(seconds=30)
FETCHES_A_MINUTE: Final = 10
WAIT_S: Final = 8.0  # for another thread that fetches
SMALLEST_KEY: Final = 2048
ISSUERS: Final = frozenset({"Amazon", "DigiCert Inc"})  # who signs for Amazon; the second in China
# sns.amazonaws.com, sns-signing.af-south-1.amazonaws.com, sns-us-gov-west-1.amazonaws.com, sns-cn-north-1.amazonaws.com.cn
NAMES: Final = re.compile(r"sns(-signing)?([.-][a-z]{2}(-[a-z]+)+-\d+)?\.amazonaws\.com(\.cn)?")
T = TypeVar("T")


class Away(Exception):
    """It could not be fetched now. Its text may be shown."""


class Wrong(Exception):
    """What was fetched is no certificate that a notice may be signed with. Its text may be shown."""


class Fetch(Protocol):
    def __call__(self, url: str, *, at_most: int) -> bytes: ...


class Certificates:
    def __init__(self, fetch: Fetch = amazon.fetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._known: dict[str, tuple[x509.Certificate, datetime]] = {}
        self._missing: dict[str, datetime] = {}
        self._fetched: deque[datetime] = deque(maxlen=FETCHES_A_MINUTE)

    def key(self, url: str, now: datetime) -> RSAPublicKey:
        """The key of the certificate at that address, which must be good now. Raises Away or Wrong."""
        certificate = self._kept(url, now) or self._get(url, now)
        return _good(certificate, now)

    def _kept(self, url: str, now: datetime) -> x509.Certificate | None:
        certificate, until = self._known.get(url, (None, now))
        return certificate if now < until else None

    def _get(self, url: str, now: datetime) -> x509.Certificate:
        if not self._lock.acquire(timeout=WAIT_S):
            raise Away("waited too long")
        try:
            return self._kept(url, now) or self._ask(url, now)
        finally:
            self._lock.release()

    def _ask(self, url: str, now: datetime) -> x509.Certificate:
        if now < self._missing.get(url, now):
            raise Away("not there a moment ago")
        if len(self._fetched) == FETCHES_A_MINUTE and now - self._fetched[0] < timedelta(minutes=1):
            raise Away("too many certificates in a minute")
        self._fetched.append(now)
        try:
            certificate = _read(self._fetch(url, at_most=LARGEST))
        except (amazon.NotFetched, Wrong) as error:
            _keep(self._missing, url, now + AGAIN_AFTER)
            raise Away(str(error)) from None
        _keep(self._known, url, (certificate, now + KEPT_FOR))
        return certificate


def _keep(kept: dict[str, T], url: str, value: T) -> None:
    kept[url] = value
    while len(kept) > KEPT:
        del kept[next(iter(kept))]


def _read(pem: bytes) -> x509.Certificate:
    """The first of the file; what follows it must be the chain above it."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
        for below, above in pairwise(chain):
            below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        raise Wrong("no certificate") from None
    return chain[0]


def _good(certificate: x509.Certificate, now: datetime) -> RSAPublicKey:
    checks: tuple[tuple[Callable[[x509.Certificate], bool], str], ...] = (
        (lambda one: one.not_valid_before_utc <= now <= one.not_valid_after_utc, "not valid now"),
        (lambda one: any(NAMES.fullmatch(name) for name in _names(one)), "of another name"),
        (lambda one: one.issuer != one.subject and not ISSUERS.isdisjoint(_texts(one.issuer, NameOID.ORGANIZATION_NAME)), "of another issuer"),
        (lambda one: not _is_authority(one), "of an authority"),
    )
    try:
        problem = next((words for is_so, words in checks if not is_so(certificate)), "")
        key = certificate.public_key()
    except ValueError:  # an extension that cannot be read
        raise Wrong("no certificate") from None
    if not problem and not (isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_KEY):
        problem = "of another kind of key"
    if problem or not isinstance(key, RSAPublicKey):
        raise Wrong(problem)
    return key


def _names(certificate: x509.Certificate) -> set[str]:
    names = _texts(certificate.subject, NameOID.COMMON_NAME)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names | set(found.get_values_for_type(x509.DNSName))


def _texts(name: x509.Name, oid: x509.ObjectIdentifier) -> set[str]:
    return {str(attribute.value) for attribute in name.get_attributes_for_oid(oid)}


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
