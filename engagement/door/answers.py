"""What the door answers: the one good answer, and problems (RFC 9457) with a stable code."""

from typing import Any, Final, NamedTuple

import msgspec

from engagement.protocols.atrium import Batch

# Code: status and title. The codes are part of the contract with clients; a new fault gets a new one.
PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "not_json": (400, "The body is not JSON"),
    "invalid_envelope": (400, "The request has not the required shape"),
    "no_events": (400, "There are no events"),
    "bad_gzip": (400, "The body is not one gzip stream"),
    "incomplete_body": (400, "The body ended too early"),
    "no_key": (401, "There is no key"),
    "unknown_key": (401, "The key is unknown or revoked"),
    "wrong_kind_of_key": (403, "The key may not post events"),
    "not_found": (404, "There is nothing at this address"),
    "method_not_allowed": (405, "Only POST is possible here"),
    "slow_body": (408, "The body came too slowly"),
    "body_too_large": (413, "The body is too large"),
    "too_many_events": (413, "There are too many events"),
    "unsupported_media_type": (415, "The content type is not supported"),
    "unsupported_encoding": (415, "The content encoding is not supported"),
    "organisation_inbox_full": (429, "Too many events of this organisation are waiting"),
    "inbox_full": (503, "Too many events are waiting"),
    "disk_nearly_full": (503, "The disk is nearly full"),
    "unavailable": (503, "Events cannot be stored right now"),
}
RETRY_AFTER_S: Final = {"organisation_inbox_full": 10, "inbox_full": 10, "disk_nearly_full": 60, "unavailable": 2}

Headers = list[tuple[bytes, bytes]]
# Any page may post with its publishable key; no cookie takes part.
OPEN: Final[Headers] = [(b"access-control-allow-origin", b"*"), (b"cache-control", b"no-store")]
JSON: Final[Headers] = [(b"content-type", b"application/json"), *OPEN]
PROBLEM: Final[Headers] = [(b"content-type", b"application/problem+json"), *OPEN]
PREFLIGHT: Final[Headers] = [
    *OPEN,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
    (b"access-control-max-age", b"86400"),
]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Problem(Exception):
    """A request that is refused as a whole. `code` is a key of PROBLEMS."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class _Accepted(msgspec.Struct):
    accepted: int
    rejected: list[Any]


_encode = msgspec.json.Encoder().encode


def accepted(batch: Batch) -> Answer:
    return _sized(202, JSON, _encode(_Accepted(batch.accepted, list(batch.refusals))))


def problem(fault: Problem) -> Answer:
    status, title = PROBLEMS[fault.code]
    body = {"type": "about:blank", "title": title, "status": status, "code": fault.code, "detail": fault.detail or f"{title}."}
    extra: Headers = []
    if fault.code in RETRY_AFTER_S:
        extra.append((b"retry-after", str(RETRY_AFTER_S[fault.code]).encode()))
    if status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    if status == 405:
        extra.append((b"allow", b"POST"))
    return _sized(status, [*PROBLEM, *extra], _encode(body))


def preflight() -> Answer:
    return Answer(204, PREFLIGHT, b"")


def health(*, ready: bool) -> Answer:
    return _sized(200 if ready else 503, [(b"content-type", b"text/plain"), *OPEN], b"ok\n" if ready else b"The database is away.\n")


def _sized(status: int, headers: Headers, body: bytes) -> Answer:
    return Answer(status, [*headers, (b"content-length", str(len(body)).encode())], body)
