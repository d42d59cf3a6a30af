"""Addresses in mails: short, signed, each good for one thing. Nobody can make one, change one, or use one for something else.

A token is base64url of: what it says, and an HMAC-SHA256 of that and of its kind, cut to 96 bits. It is no secret from whoever gets the mail, holds
numbers alone (and the target, where that is of one shopper), and does not run out: a mail may be read years later.
"""

import functools
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Final

from django.conf import settings

OPEN: Final = "open"  # (message,)
CLICK: Final = "click"  # (message, link); link 0 is the one that no person sees
ADDRESS: Final = "address"  # (message,) and the target itself
UNSUBSCRIBE: Final = "unsubscribe"  # (message, shopper)
PREFERENCES: Final = "preferences"  # (message, shopper)
HONEYPOT: Final = 0  # in place of a link's number
NO_MESSAGE: Final = 0  # in place of a message's: a preview or a test. Its links lead where they should, and nothing is written down

MAC_BYTES: Final = 12
LONGEST_TOKEN: Final = 6000  # a target may have 4,096 bytes
_MARKS: Final = {kind: kind.encode() + b"\0" for kind in (OPEN, CLICK, ADDRESS, UNSUBSCRIBE, PREFERENCES)}


@functools.lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    """Of this purpose alone: whoever learns it learns nothing of sessions, and the other way round."""
    return hmac.digest(secret.encode(), b"atrium signed links 1", "sha256")


def _mac(kind: str, body: bytes) -> bytes:
    return hmac.digest(_key(settings.SECRET_KEY), _MARKS[kind] + body, "sha256")[:MAC_BYTES]


def _packed(numbers: tuple[int, ...]) -> bytes:
    """How many there are, then seven bits a byte, the lowest first."""
    out = bytearray((len(numbers),))
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def sign(kind: str, *numbers: int, text: str = "") -> str:
    body = _packed(numbers) + text.encode()
    return urlsafe_b64encode(body + _mac(kind, body)).rstrip(b"=").decode()


def read(kind: str, token: str) -> tuple[int, ...] | None:
    """The numbers that were signed as this kind, or None."""
    found = read_text(kind, token)
    return found[0] if found and not found[1] else None


def read_text(kind: str, token: str) -> tuple[tuple[int, ...], str] | None:
    """The numbers and the text that were signed as this kind, or None."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Error, ValueError):
        return None
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(kind, body)):
        return None
    # One spelling alone: the decoder passes over strange letters and idle bits.
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        return None
    return _unpacked(body)


def _unpacked(body: bytes) -> tuple[tuple[int, ...], str]:
    numbers, at = [], 1
    for _ in range(body[0]):
        number = shift = 0
        while body[at] > 0x7F:
            number |= (body[at] & 0x7F) << shift
            shift += 7
            at += 1
        numbers.append(number | body[at] << shift)
        at += 1
    return tuple(numbers), body[at:].decode()


# --- Addresses ------------------------------------------------------------------------------------------------------------


def begin() -> str:
    """With what every address of this installation in a mail begins."""
    return f"{settings.ATRIUM_URL}/m/"


def pixel(message: int) -> str:
    return f"{begin()}o/{sign(OPEN, message)}"


def click(message: int, link: int) -> str:
    """Of a Link: the same target for everybody."""
    return f"{begin()}c/{sign(CLICK, message, link)}"


def click_to(message: int, target: str) -> str:
    """Of a target that is of one shopper."""
    return f"{begin()}c/{sign(ADDRESS, message, text=target)}"


def unsubscribe(message: int, shopper: int) -> str:
    return f"{begin()}u/{sign(UNSUBSCRIBE, message, shopper)}"


def preferences(message: int, shopper: int) -> str:
    return f"{begin()}p/{sign(PREFERENCES, message, shopper)}"
