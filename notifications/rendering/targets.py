"""Where a link in a mail may lead: the web and a mailbox. Pure."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, urlsplit

LONGEST: Final = 2000
_KEPT: Final = "!#$%&'()*+,/:;=?@[]~"  # with letters, digits and _.-: what an address is made of; everything else is escaped
_ODD_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*", re.IGNORECASE)  # 127.1, 0x7f.1, 2130706433
_OURS: Final = ("localhost", ".localhost", ".local", ".internal", ".home.arpa", ".lan")


class Refused(ValueError):
    """`why`: scheme, host, user, long."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def web(address: str) -> str:
    """The http(s) address, spelled so that it can stand in a header. Raises Refused."""
    spelled = quote(address.strip(), safe=_KEPT)
    if len(spelled) > LONGEST:
        raise Refused("long")
    try:
        parts = urlsplit(spelled)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise Refused("host") from None
    if parts.scheme not in {"http", "https"}:
        raise Refused("scheme")
    if not host:
        raise Refused("host")
    if "@" in parts.netloc:  # https://bank.example@evil.example
        raise Refused("user")
    return spelled


def is_private(address: str) -> bool:
    """It leads to a machine that shoppers cannot reach, or tries to hide which one it leads to."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return bool(_ODD_NUMBER.fullmatch(host)) or "." not in host or host.endswith(_OURS)
