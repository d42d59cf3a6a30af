"""The folder that mails are written to where there is no mail server: listed and read, for the page that shows them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_binary_file, policy
from email.message import EmailMessage
from itertools import islice
from pathlib import Path
from typing import Final

from django.conf import settings

_NAME: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{6}-[0-9]+-[0-9]+")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail in the folder. `message`: the number of the Message that it is; `test`: of the campaign that it tries out. Empty where it is neither."""

    name: str
    at: datetime
    sender: str
    recipient: str
    subject: str
    message: str
    test: str


@dataclass(frozen=True, slots=True)
class Opened:
    letter: Letter
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str


def is_here() -> bool:
    """Whether mail goes into the folder at all."""
    return not settings.MAIL_SERVER.scheme


def listed(limit: int = 50, before: str = "") -> list[Letter]:
    """The newest first; those before the one called `before`."""
    names = sorted((path.stem for path in _folder().glob("[0-9]*.eml") if _NAME.fullmatch(path.stem)), reverse=True)
    return list(islice((letter for name in names if (not before or name < before) and (letter := _letter(name))), limit))


def read(name: str) -> Opened | None:
    """None: there is no such mail."""
    found = _parsed(name)
    if found is None:
        return None
    headers = tuple((key, str(value)) for key, value in found.items())
    return Opened(_told(name, found), headers, _part(found, "plain"), _part(found, "html"))


def _folder() -> Path:
    return Path(settings.MAIL_FOLDER)


def _letter(name: str) -> Letter | None:
    found = _parsed(name)
    return None if found is None else _told(name, found)


def _parsed(name: str) -> EmailMessage | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        with (_folder() / f"{name}.eml").open("rb") as file:
            return message_from_binary_file(file, policy=policy.default)
    except FileNotFoundError:
        return None


def _told(name: str, mail: EmailMessage) -> Letter:
    at = datetime.strptime(name[:22], "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC)
    said = {key: str(mail.get(key, "")) for key in ("From", "To", "Subject", "X-Atrium-Message", "X-Atrium-Test")}
    return Letter(name, at, said["From"], said["To"], said["Subject"], said["X-Atrium-Message"], said["X-Atrium-Test"])


def _part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    return str(found.get_content()) if found is not None else ""
