"""What a backup says of itself. It is written last: a folder without one is no backup, whatever lies in it."""

import re
from datetime import UTC, datetime
from typing import Final

import msgspec
from django.utils.crypto import salted_hmac

from operations.backups.trouble import Broken

FORMAT: Final = 1
NAME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")
FILE: Final = "manifest.json"
DUMP: Final = "database.dump"
SEEN: Final = "verified.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` and `migrations` are of the same snapshot as the dump."""

    format: int = FORMAT
    name: str
    at: datetime  # what was committed before it is in the backup, what came later is not
    finished_at: datetime
    installation: str  # ATRIUM_INSTANCE, else the machine; and the database
    version: str  # of Atrium
    postgres: int  # the server's major version
    key: str  # fingerprint of SECRET_KEY, which is not in the backup
    bytes: int
    sha256: str
    migrations: list[str]
    rows: dict[str, int]  # by table


class Verified(msgspec.Struct, frozen=True):
    at: datetime
    took_s: float


def name_of(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def fingerprint() -> str:
    """Tells whether two installations have the same SECRET_KEY, and nothing else of it."""
    return salted_hmac("operations.backups", "fingerprint", algorithm="sha256").hexdigest()[:16]


def encode(manifest: Manifest | Verified) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest))


def decode(name: str, text: bytes) -> Manifest:
    """Raises Broken."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise Broken(f"The manifest of the backup {name} cannot be read ({error}).") from None
    if manifest.format != FORMAT or manifest.name != name:
        raise Broken(f"The manifest of the backup {name} is of another backup, or of a later Atrium.")
    return manifest
