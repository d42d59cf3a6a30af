"""Asking Amazon for a small file over https. Who calls has made sure that the address is Amazon's."""

import time
from http.client import HTTPException
from typing import Any, Final
from urllib.request import HTTPErrorProcessor, Request, build_opener

TIMEOUT_S: Final = 3.0  # for connecting, and for each piece of the answer
WITHIN_S: Final = 6.0  # for all of it


class NotFetched(Exception):
    """Its text may be shown: it has no address in it."""


class _AsAnswered(HTTPErrorProcessor):
    """Follows no redirection: where it leads, nobody has looked at."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


def fetch(url: str, *, at_most: int) -> bytes:
    """The body, where it was answered with 200 and is not too long. Certificates of the server are verified, a proxy of the environment is used."""
    if not url.startswith("https://"):
        raise NotFetched("not https")
    problem = ""
    try:
        with build_opener(_AsAnswered()).open(Request(url, headers={"User-Agent": "Atrium"}), timeout=TIMEOUT_S) as answer:  # noqa: S310 (https: see above)
            if answer.status == 200:
                return _read(answer, at_most)
            problem = f"HTTP {answer.status}"
    except (OSError, HTTPException, ValueError) as error:  # their texts quote the address
        problem = type(getattr(error, "reason", error)).__name__
    raise NotFetched(problem)


def _read(answer: Any, at_most: int) -> bytes:
    parts, size, deadline = [], 0, time.monotonic() + WITHIN_S
    while part := answer.read1(at_most + 1 - size):
        parts.append(part)
        size += len(part)
        if size > at_most:
            raise NotFetched("too long")
        if time.monotonic() > deadline:
            raise NotFetched("too slow")
    return b"".join(parts)
