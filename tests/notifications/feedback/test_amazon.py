"""How Amazon is asked: over https with its server proved, no redirection followed, not more than is wanted, and no address in what is said."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone
from pytest import MonkeyPatch

from notifications.feedback import amazon
from notifications.feedback.amazon import NotFetched
from tests.notifications.feedback.amazon import authority, certificate, key


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """An https server of `localhost`, by the authority of the tests; and the paths that it was asked for."""
    pem = folder / "server.pem"
    private = key(2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate(name="localhost", names=("localhost",), now=timezone.now()))
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = 302 if self.path == "/away" else 404 if self.path == "/none" else 200
            body = b"x" * 5000 if self.path == "/long" else b"a certificate"
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/inside")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # a client that does not trust it hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_is_answered_plainly_is_taken_and_nothing_else(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority())
    with served(tmp_path) as (address, asked):
        with pytest.raises(NotFetched) as unknown:
            amazon.fetch(f"{address}/plain", at_most=100)
        assert (str(unknown.value), asked) == ("SSLCertVerificationError", [])
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        monkeypatch.setenv("no_proxy", "localhost")
        assert amazon.fetch(f"{address}/plain", at_most=100) == b"a certificate"
        for path, said in (("away", "HTTP 302"), ("none", "HTTP 404"), ("long", "too long")):
            with pytest.raises(NotFetched) as refused:
                amazon.fetch(f"{address}/{path}", at_most=100)
            assert str(refused.value) == said
        assert "/inside" not in asked
    with pytest.raises(NotFetched) as gone:
        amazon.fetch(f"{address}/plain?Token=secret", at_most=100)
    assert "secret" not in str(gone.value) and "localhost" not in str(gone.value)


@pytest.mark.parametrize("address", ["http://localhost/", "file:///etc/hosts", "HTTPS://localhost/", "ftp://localhost/x.pem", ""])
def test_nothing_but_https_is_asked(address: str) -> None:
    with pytest.raises(NotFetched, match="not https"):
        amazon.fetch(address, at_most=100)
