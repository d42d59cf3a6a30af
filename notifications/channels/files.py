"""Mail into a folder: for an installation without a mail server, and for the demonstration. Read again by notifications.mailbox."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from notifications.channels.wire import LATE_S, Feed, ForEver, ForNow, Late, Result, Sent, Timed, Wait
from notifications.mail import Mail

_number: Final = count()


class Files:
    """One file a mail, whole or not at all, and its owner's alone: there are addresses in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, feed: Feed) -> Iterator[Result]:
        for item in feed:
            if isinstance(item, Wait):
                _rest(item.until)
                continue
            mail, leaves_at = (item.mail, item.leaves_at) if isinstance(item, Timed) else (item, None)
            if leaves_at is not None:
                _rest(leaves_at)
                if time.monotonic() > leaves_at + LATE_S:
                    yield Late()
                    continue
            yield self._write(mail)

    def close(self) -> None:
        """Nothing is kept open."""

    def _write(self, mail: Mail) -> Result:
        """The envelope stands before it, as where a last server puts a mail into a box."""
        if any(mark in mail.sender + mail.recipient for mark in "\r\n"):
            return ForEver("The address cannot be used.")
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{os.getpid()}-{next(_number)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._folder / f".{name}"
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(f"Return-Path: <{mail.sender}>\r\nDelivered-To: {mail.recipient}\r\n".encode() + mail.bytes_)
            fresh.rename(self._folder / f"{name}.eml")
        except OSError as error:
            return ForNow(f"The folder of mails cannot be written: {error.strerror}.", of_all=True)
        return Sent(name)


def _rest(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))
