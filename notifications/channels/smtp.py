"""Mail by SMTP (RFC 5321): connections that stay open, pipelined where the server offers it (RFC 2920).

What is certain of a mail hangs on how far it came. Before the final dot has left, the server cannot have taken it; after it, only its answer
tells. So a connection that is lost before the dot is "not now", and after it "unknown".
"""

import logging
import re
import smtplib
import socket
import ssl
import time
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings

from engagement.environment import MailServer
from notifications.channels.lines import Lines
from notifications.channels.wire import ForEver, ForNow, Result, Sent, Unknown
from notifications.mail import Mail

logger = logging.getLogger("atrium.mail")

RENEW_S: Final = 240.0  # a connection is not used longer: servers and load balancers end it at some time, and addresses change
RENEW_AFTER: Final = 1_000  # mails
IDLE_S: Final = 20.0  # after so long it is asked whether it is still there
MOST_LINES: Final = 100  # of one reply
LONGEST_LINE: Final = 8192
LONGEST_ADDRESS: Final = 254
CONNECT_S: Final = 10.0
LOGIN_CODES: Final = (530, 534, 535, 538)  # log in first, or otherwise: no mail is taken from us
_THROTTLED: Final = re.compile(rb"throttl|maximum sending rate|too fast|rate limit|daily (sending|message) quota", re.IGNORECASE)
_USABLE: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[A-Za-z0-9.\[\]:_-]+")
_NAME: Final = re.compile(rb"(?:^|\s)(?=[^\s]*[0-9])([0-9A-Za-z_.-]{8,128})\s*$")
_REPLY: Final = re.compile(rb"[2-5][0-9][0-9](?:[ -].*)?\r?\n?", re.DOTALL)
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_ENHANCED: Final = re.compile(rb"^[245]\.\d{1,3}\.\d{1,3}\b")


class _Smtp(smtplib.SMTP):
    """With an end to every reply, however long or slow it is, and nothing kept waiting for the next packet."""

    def connect(self, *given: Any, **named: Any) -> tuple[int, bytes]:
        self._read = bytearray()
        return super().connect(*given, **named)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        found = super()._get_socket(host, port, min(timeout, CONNECT_S))  # type: ignore[misc]
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def starttls(self, *given: Any, **named: Any) -> tuple[int, bytes]:
        """What somebody slipped in before the encryption began would be taken for said under it (CVE-2011-0411)."""
        answer = super().starttls(*given, **named)
        if self._read:
            self.close()
            raise smtplib.SMTPServerDisconnected("said too much before TLS")
        return answer

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib's, which would read for ever: its limit is of each byte, and the whole reply has none."""
        until, found = time.monotonic() + self.timeout, list[bytes]()
        while len(found) < MOST_LINES:
            line = self._line(until)
            if not _REPLY.match(line):
                raise self._lost("not understood")
            found.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(found)
        raise self._lost("a reply without end")

    def _line(self, until: float) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            left = until - time.monotonic()
            if self.sock is None or left <= 0 or len(self._read) > LONGEST_LINE:
                raise self._lost("no reply")
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(8192)
            except OSError as error:
                raise self._lost("lost while reading") from error
            if not more:
                raise self._lost("closed")
            self._read += more
        line = bytes(self._read[: end + 1])
        del self._read[: end + 1]
        return line

    def _lost(self, why: str) -> smtplib.SMTPServerDisconnected:
        self.close()
        return smtplib.SMTPServerDisconnected(why)


class _SmtpSsl(_Smtp):
    """TLS from the first byte."""

    def __init__(self, *, context: ssl.SSLContext, **named: Any) -> None:
        self._context = context
        super().__init__(**named)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        return self._context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)


class Connection:
    """One line to the server."""

    def __init__(self, server: MailServer, *, timeout_s: float, context: ssl.SSLContext | None = None) -> None:
        self._server, self._timeout_s, self._context = server, timeout_s, context
        self._smtp: smtplib.SMTP | None = None
        self._since = self._used = 0.0
        self._sent = 0

    def ready(self) -> Result | None:
        now = time.monotonic()
        if self._smtp is not None and (now - self._since > RENEW_S or self._sent >= RENEW_AFTER):
            self._quit()
        if self._smtp is not None and now - self._used > IDLE_S and not self._there():
            self._drop()
        if self._smtp is not None:
            return None
        try:
            self._smtp = self._connect()
        except smtplib.SMTPAuthenticationError as error:
            logger.error("The mail server refuses our login (%s). Check the user and password of EMAIL_URL.", error.smtp_code)
            return ForNow(f"The login was refused ({error.smtp_code}).", of_all=True)
        except (OSError, smtplib.SMTPException) as error:
            return ForNow(f"The server is not reached: {type(error).__name__}.", of_all=True)
        self._since, self._sent = time.monotonic(), 0
        return None

    def send(self, mail: Mail) -> Result:
        """A connection that was lost while it stood idle is opened again, once: nothing of the mail had left."""
        if not all(len(address) <= LONGEST_ADDRESS and _USABLE.fullmatch(address) for address in (mail.sender, mail.recipient)):
            return ForEver("The address cannot be used.")
        fresh = self._sent == 0
        result = self._transaction(mail)
        if result is None and not fresh and self.ready() is None:
            result = self._transaction(mail)
        self._used, self._sent = time.monotonic(), self._sent + 1
        return result or ForNow("The connection was lost.", of_all=fresh)

    def close(self) -> None:
        self._quit()

    def _connect(self) -> smtplib.SMTP:
        server, context = self._server, self._context or ssl.create_default_context()
        named: dict[str, Any] = {"host": server.host, "port": server.port, "timeout": self._timeout_s, "local_hostname": "localhost"}
        smtp: smtplib.SMTP = _SmtpSsl(context=context, **named) if server.scheme == "smtp+ssl" else _Smtp(**named)
        try:
            smtp.ehlo_or_helo_if_needed()
            if server.scheme == "smtp+tls" or (server.scheme == "smtp" and server.user and not _is_this_machine(server.host)):
                smtp.starttls(context=context)  # always where there is a password: it crosses no network in the clear
                smtp.ehlo()
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _transaction(self, mail: Mail) -> Result | None:
        """None: the connection was lost before anything of the mail was refused or left."""
        smtp = self._smtp
        assert smtp is not None
        try:
            commands = self._envelope(smtp, mail)
            if commands is None:
                return ForEver("The server takes no address or mail of this kind.")
            refused = self._pipelined(smtp, commands) if smtp.has_extn("pipelining") else self._step_by_step(smtp, commands)
        except (OSError, smtplib.SMTPException):
            self._drop()
            return None
        return refused or self._data(smtp, mail)

    def _envelope(self, smtp: smtplib.SMTP, mail: Mail) -> list[bytes] | None:
        options = ""
        if not (mail.sender + mail.recipient).isascii():
            if not smtp.has_extn("smtputf8"):
                return None
            options += " SMTPUTF8"
        if options or not mail.bytes_.isascii():
            if not smtp.has_extn("8bitmime"):
                return None  # what rendering makes is ASCII
            options += " BODY=8BITMIME"
        if smtp.has_extn("size"):
            options += f" SIZE={len(mail.bytes_)}"
        return [f"MAIL FROM:<{mail.sender}>{options}\r\n".encode(), f"RCPT TO:<{mail.recipient}>\r\n".encode(), b"DATA\r\n"]

    def _pipelined(self, smtp: smtplib.SMTP, commands: list[bytes]) -> Result | None:
        """All three in one packet. None: the server waits for the mail."""
        _put(smtp, b"".join(commands))
        sender = smtp.getreply()
        if sender[0] == 421:  # its last word
            return self._after(smtp, _refused(*sender), 421)
        recipient, data = smtp.getreply(), smtp.getreply()
        refused = next((_refused(*reply) for reply in (sender, recipient) if reply[0] // 100 != 2), None)
        if refused is None and data[0] == 354:
            return None
        if data[0] == 354:  # it would take a mail for nobody: an empty one, which it has to refuse
            _put(smtp, b".\r\n")
            smtp.getreply()
        return self._after(smtp, refused or _refused(*data), data[0])

    def _step_by_step(self, smtp: smtplib.SMTP, commands: list[bytes]) -> Result | None:
        code = 0
        for command in commands:
            _put(smtp, command)
            code, text = smtp.getreply()
            if code // 100 != (3 if command == commands[-1] else 2):
                return self._after(smtp, _refused(code, text), code)
        return None

    def _data(self, smtp: smtplib.SMTP, mail: Mail) -> Result:
        try:
            _put(smtp, _dotted(mail.bytes_))
        except OSError:
            self._drop()
            return ForNow("The connection was lost before the end of the mail.")
        try:
            _put(smtp, b".\r\n")
            code, text = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            return Unknown(f"No answer came: {type(error).__name__}.")
        if code // 100 == 2:
            return Sent(_name(text))
        return self._after(smtp, _refused(code, text), code)

    def _after(self, smtp: smtplib.SMTP, result: Result, code: int) -> Result:
        """The server goes on with the next mail, or has said good-bye."""
        try:
            if code == 421 or smtp.rset()[0] // 100 != 2:
                self._drop()
        except (OSError, smtplib.SMTPException):
            self._drop()
        return result

    def _there(self) -> bool:
        assert self._smtp is not None
        try:
            return self._smtp.noop()[0] // 100 == 2
        except (OSError, smtplib.SMTPException):
            return False

    def _quit(self) -> None:
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except (OSError, smtplib.SMTPException):
                self._smtp.close()
            self._smtp = None

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def from_settings(server: MailServer) -> Lines:
    return Lines(lambda: Connection(server, timeout_s=settings.MAIL_TIMEOUT_S), settings.MAIL_CONNECTIONS)


def _put(smtp: smtplib.SMTP, data: bytes) -> None:
    if smtp.sock is None:
        raise smtplib.SMTPServerDisconnected("not connected")
    smtp.sock.settimeout(smtp.timeout)
    smtp.sock.sendall(data)


def _dotted(data: bytes) -> bytes:
    """Lines that begin with a dot get another one (RFC 5321, 4.5.2), and the last line its end."""
    if not data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r"):
        data = _LINE_END.sub(b"\r\n", data)  # a lone CR or LF is the end of a line to some servers and not to others: the next mail could be smuggled in
    if data.startswith(b"."):
        data = b"." + data
    data = data.replace(b"\r\n.", b"\r\n..")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _refused(code: int, text: bytes) -> Result:
    """What a reply that is no success says. The text stays out of it, but for the enhanced code (RFC 3463): servers quote addresses."""
    detail = f"{code} {found[0].decode()}" if (found := _ENHANCED.match(text)) else str(code)
    if code in LOGIN_CODES:
        logger.error("The mail server takes nothing without a login (%s). Check EMAIL_URL.", code)
        return ForNow(detail, of_all=True)
    if code // 100 == 5:
        return ForEver(detail)
    return ForNow(detail, throttled=bool(_THROTTLED.search(text)), of_all=code == 421)


def _name(text: bytes) -> str:
    """How the server calls what it took: SES says `Ok` and its message id."""
    found = _NAME.search(text.splitlines()[-1] if text else b"")
    return found[1].decode("ascii", "replace") if found else ""
