"""The body of a request, in bounded memory and time."""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from engagement.door.answers import Problem

SENT_BYTES: Final = 256 * 1024
INFLATED_BYTES: Final = 4 * 1024 * 1024
DEADLINE_S: Final = 10.0
GZIP: Final = 16 + zlib.MAX_WBITS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_json_type = re.compile(rb"application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)


def check(headers: dict[bytes, bytes]) -> bool:
    """Refuses by the headers what need not be read. True: the body is packed with gzip."""
    if not _json_type.fullmatch(headers.get(b"content-type", b"")):
        raise Problem("unsupported_media_type", "Send application/json in UTF-8.")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in {b"identity", b"gzip"}:
        raise Problem("unsupported_encoding", "Send the body plain or with one gzip.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 20 or int(length) > SENT_BYTES:
        raise _too_large()
    return encoding == b"gzip"


async def read(receive: Receive, *, packed: bool) -> bytes:
    """The body, unpacked."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            sent = await _collect(receive)
    except TimeoutError as error:
        raise Problem("slow_body", f"The whole body must arrive within {DEADLINE_S:.0f} seconds.") from error
    return _inflate(sent) if packed else sent


async def _collect(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Problem("incomplete_body")
        part = message.get("body", b"")
        size += len(part)
        if size > SENT_BYTES:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate(sent: bytes) -> bytes:
    """One gzip member and nothing after it. A bomb is dropped one byte past the limit, and not at its end."""
    unpacker = zlib.decompressobj(GZIP)
    try:
        body = unpacker.decompress(sent, INFLATED_BYTES + 1)
    except zlib.error as error:
        raise Problem("bad_gzip", "The gzip stream is damaged.") from error
    if len(body) > INFLATED_BYTES:
        raise Problem("body_too_large", f"At most {INFLATED_BYTES // 1024 // 1024} MiB unpacked.")
    if not unpacker.eof:
        raise Problem("bad_gzip", "The gzip stream ends too early.")
    if unpacker.unused_data:
        raise Problem("bad_gzip", "Something follows the gzip stream. Send one member only.")
    return body


def _too_large() -> Problem:
    return Problem("body_too_large", f"At most {SENT_BYTES // 1024} KiB as sent.")
