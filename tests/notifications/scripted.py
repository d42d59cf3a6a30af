"""An SMTP server in a thread that says what a test tells it to: for what no honest server does, and for TLS with a certificate of its own."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TAKEN: Final = b"250 Ok 0102018f2a3b4c5d-0a1b2c3d-000000\r\n"
Answer = Callable[["Talk", str], "bytes | None"]  # to a command, or "." after a mail, or "" at the beginning. None: as an honest server; b"": hang up


@dataclass
class Script:
    """What the server offers and says, and what it heard."""

    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000")
    answer: Answer = lambda _talk, _command: None
    context: ssl.SSLContext | None = None  # for STARTTLS, or from the first byte
    implicit: bool = False
    commands: list[str] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    talks: int = 0
    port: int = 0


class Talk:
    """One connection."""

    def __init__(self, script: Script, connection: socket.socket) -> None:
        self.script, self.socket, self.read = script, connection, b""
        script.talks += 1
        self.number = script.talks

    def serve(self) -> None:
        if self.script.implicit:
            self._encrypt()
        command = ""
        while True:
            told = self.script.answer(self, command)
            if told is None:
                told = self._honest(command)
            if not told:
                return
            self.socket.sendall(told)
            if told.startswith(b"220") and command == "STARTTLS":
                self._encrypt()
            if told.startswith(b"221"):
                return
            if told.startswith(b"354"):
                self.read = b"\r\n" + self.read  # of the command: a mail without a line is a dot alone
                self.script.mails.append(self._until(b"\r\n.\r\n")[2:])
                command = "."
            else:
                verb, space, rest = self._until(b"\r\n").decode().partition(" ")
                command = verb.upper() + space + rest
                self.script.commands.append(command)

    def _honest(self, command: str) -> bytes:
        verb = command.split(" ")[0]
        if verb == "EHLO":
            offered = [*self.script.extensions, *(["STARTTLS"] if self.script.context and not isinstance(self.socket, ssl.SSLSocket) else [])]
            return b"".join(f"250-{one}\r\n".encode() for one in ("localhost", *offered)) + b"250 HELP\r\n"
        if verb == "DATA":
            return b"354 go on\r\n"
        return {"": b"220 here\r\n", ".": TAKEN, "QUIT": b"221 bye\r\n", "STARTTLS": b"220 go on\r\n", "AUTH": b"235 welcome\r\n"}.get(verb, b"250 Ok\r\n")

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.read:
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError
            self.script.packets.append(more)
            self.read += more
        found, _, self.read = self.read.partition(mark)
        return found

    def _encrypt(self) -> None:
        assert self.script.context is not None
        self.socket = self.script.context.wrap_socket(self.socket, server_side=True)


@contextmanager
def serving(script: Script) -> Iterator[Script]:
    """Until the end of the block; connections that are still open end with it."""
    listener = socket.create_server(("127.0.0.1", 0))
    script.port = listener.getsockname()[1]
    threads: list[threading.Thread] = []
    talks: list[Talk] = []

    def talk(connection: socket.socket) -> None:
        one = Talk(script, connection)
        talks.append(one)
        with suppress(OSError):
            one.serve()
        one.socket.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=talk, args=(listener.accept()[0],)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield script
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for one in talks:
            with suppress(OSError):
                one.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of 127.0.0.1 and localhost, made by itself: the server's context, and one of a client that trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(public, private)
    return server, ssl.create_default_context(cafile=str(public))
