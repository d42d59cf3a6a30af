"""What rendering hands to the wire. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mail:
    """A whole mail, ready to leave: with CRLF, nothing to be added but the dots of SMTP."""

    bytes_: bytes
    sender: str  # the bare address, its domain in ASCII: for MAIL FROM
    recipient: str  # likewise, for RCPT TO; where what stands before the @ is not ASCII, SMTPUTF8 is needed


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a mail is for: everything of him that a template may see, and how to reach him."""

    shopper: int  # the shopper's number
    name: str  # his own id, as his organisation knows him
    email: str
    language: str = ""  # BCP 47
    time_zone: str = ""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
