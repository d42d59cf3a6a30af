"""What Django itself sends (a lost password, say) by the same wire as campaigns, in the lane that marketing never holds up."""

import threading
from collections.abc import Iterator, Sequence
from email.utils import parseaddr
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import sanitize_address

from notifications import governor
from notifications.channels import email
from notifications.channels.wire import Late, Result, Sent, Wire
from notifications.mail import Mail

TRIES = 3  # at an instant that was missed


class NotSent(Exception):
    """Its text may be shown."""


class Backend(BaseEmailBackend):
    """Raises NotSent where a mail certainly, or possibly, did not leave. The next try is a person's."""

    def __init__(self, fail_silently: bool = False, **_kwargs: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        self._wire: Wire | None = None
        self._lock = threading.Lock()

    def open(self) -> bool:
        if self._wire is not None:
            return False
        self._wire = email.open_wire()
        return True

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many left whole."""
        with self._lock:
            opened = self.open()
            try:
                return sum(self._left(message) for message in email_messages)
            finally:
                if opened:
                    self.close()

    def _left(self, message: EmailMessage) -> bool:
        mails = list(_mails(message))
        for mail in mails:
            result = self._result(mail)
            if not isinstance(result, Sent):
                if self.fail_silently:
                    return False
                raise NotSent(getattr(result, "detail", "") or "The account may not send now.")
        return bool(mails)

    def _result(self, mail: Mail) -> Result | None:
        assert self._wire is not None
        for _ in range(TRIES):
            for result in self._wire.send(governor.paced(governor.TRANSACTIONAL, [mail])):
                if not isinstance(result, Late):
                    return result
        return None


def _mails(message: EmailMessage) -> Iterator[Mail]:
    """One for each recipient, who is named in none but his own envelope."""
    encoding = message.encoding or "utf-8"
    sender = parseaddr(sanitize_address(message.from_email, encoding))[1]
    whole = message.message().as_bytes().replace(b"\n", b"\r\n") if message.recipients() else b""
    for recipient in message.recipients():
        yield Mail(whole, sender, parseaddr(sanitize_address(recipient, encoding))[1])
