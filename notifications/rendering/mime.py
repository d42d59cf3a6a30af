"""A mail as bytes, written out by hand: the same lines for everybody, a few words for each. What comes from data cannot begin a line."""

import re
import time
from base64 import b64encode, encodebytes
from binascii import b2a_qp
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

CRLF: Final = b"\r\n"
LONGEST_SUBJECT: Final = 500
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BLANKS: Final = re.compile(r"\s+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\\\"@\x00-\x1f\x7f-\x9f]{1,64}@[^\s<>()\[\],;:\\\"@\x00-\x1f\x7f-\x9f]{1,255}")
_WORD_BYTES: Final = 45  # of UTF-8 in one encoded word: 60 letters of base64, 75 with what is around them
_PLAIN_WIDTH: Final = 900
_NAMED: Final = re.compile(r"(.*?)\s*<([^<>]*)>")
_ESCAPED: Final = re.compile(r"\\(.)")
_QUOTED: Final = re.compile(r'(["\\])')


class NotAnAddress(ValueError):
    pass


def one_line(text: str) -> str:
    """Without anything that could begin another line, in one piece."""
    return _BLANKS.sub(" ", _UNSEEN.sub(" ", text)).strip()


def words(text: str) -> str:
    """For a header: as it is where it is plain, else as encoded words (RFC 2047), folded. Takes one line."""
    if text.isascii() and len(text) <= _PLAIN_WIDTH and "=?" not in text:
        return text
    pieces, now = [], b""
    for letter in text:
        one = letter.encode("utf-8", "replace")
        if len(now) + len(one) > _WORD_BYTES:
            pieces.append(now)
            now = b""
        now += one
    pieces.append(now)
    return "\r\n ".join(f"=?utf-8?b?{b64encode(piece).decode()}?=" for piece in pieces)


def address(given: str) -> str:
    """The bare address with its domain in ASCII. Raises NotAnAddress."""
    if not _ADDRESS.fullmatch(given) or given.startswith(".") or ".." in given or ".@" in given:
        raise NotAnAddress
    local, _at, domain = given.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            raise NotAnAddress from None
    if len(local) + 1 + len(domain) > 254:
        raise NotAnAddress
    return f"{local}@{domain}"


def sender(given: str) -> tuple[str, str]:
    """Of "Name <address>": the header's text, and the bare address. Raises NotAnAddress."""
    if one_line(given) != given.strip():
        raise NotAnAddress
    named = _NAMED.fullmatch(given.strip())
    name, bare = (named.group(1), named.group(2)) if named else ("", given)
    bare = address(bare.strip())
    if name.startswith('"') and name.endswith('"'):
        name = _ESCAPED.sub(r"\1", name[1:-1])
    name = name.strip()
    if not name:
        return bare, bare
    return f"{phrase(name)} <{bare}>", bare


def phrase(name: str) -> str:
    """A name before an address. Takes one line."""
    quoted = _QUOTED.sub(r"\\\1", name)
    return words(name) if not name.isascii() or "=?" in name or len(name) > _PLAIN_WIDTH else f'"{quoted}"'


_SOFT: Final = b"=\r\n"  # a line ends here for the wire alone
_LINE_ENDS: Final = re.compile(r"\r\n?|\n")
_WIDTH: Final = 75  # with the sign of a soft end behind it 76


def _raw(piece: str) -> bytes:
    return _LINE_ENDS.sub("\r\n", _CONTROLS.sub("", piece)).encode("utf-8", "replace")


def _quoted(piece: str) -> bytes:
    """The piece as quoted-printable, so that another may follow behind a soft end."""
    if len(piece) <= _WIDTH and piece.isascii() and piece.isprintable() and "=" not in piece and not piece.endswith(" "):
        return piece.encode()  # most of what is one shopper's own
    made = b2a_qp(_raw(piece))
    if len(made) > _WIDTH:
        made = made.replace(CRLF, b"\n").replace(b"\n", CRLF)  # it breaks lines as the first one ends, and there may be none
        if len(made) - made.rfind(b"\n") - 1 > _WIDTH:
            cut = len(made) - (3 if made[-3:-2] == b"=" else 1)
            made = made[:cut] + _SOFT + made[cut:]
    return made


@dataclass(frozen=True, slots=True)
class Part:
    """How a part is written: base64 where most of it is not ASCII, else as readable lines. What is the same in every mail is encoded once."""

    head: bytes
    dense: bool
    known: Mapping[str, bytes]

    def write(self, pieces: Iterable[str]) -> bytes:
        if self.dense:
            return encodebytes(_raw("".join(pieces)) + CRLF).replace(b"\n", CRLF)
        out: list[bytes] = []
        known = self.known
        for piece in pieces:
            made = known.get(piece) or _quoted(piece)
            if made:
                out += (made,) if made.endswith(b"\n") else (made, _SOFT)
        return b"".join((*out, CRLF))


def part(kind: str, sample: str, fixed: Iterable[str] = ()) -> Part:
    """Of a kind (plain, html), as suits a text like this one. `fixed`: pieces that will come again and again."""
    dense = sum(not letter.isascii() for letter in sample) * 4 > len(sample)
    encoding = "base64" if dense else "quoted-printable"
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    return Part(head, dense, {} if dense else {piece: _quoted(piece) for piece in fixed})


class Clock:
    """The Date of mails, made once a second."""

    def __init__(self) -> None:
        self.second, self.text = 0, ""

    def date(self) -> str:
        now = int(time.time())
        if now != self.second:
            self.second, self.text = now, formatdate(now).replace("-0000", "+0000")
        return self.text


def header(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()


def whole(headers: Iterable[bytes], boundary: bytes, parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """`parts`: head and body of each, the plainest first."""
    out = [*headers, b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="', boundary, b'"\r\n\r\n']
    for head, body in parts:
        out += (b"--", boundary, CRLF, head, body, CRLF)
    out += (b"--", boundary, b"--\r\n")
    return b"".join(out)
