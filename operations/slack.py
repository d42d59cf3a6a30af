"""Slack's incoming webhook: one message posted, or why not. The address is the secret: no log, error or exception may hold it.

Neither the library's texts nor those of Python's HTTP modules are passed on, since some of them quote the address.

NotTold
├── TryLater   the moment or the address is wrong: the message is kept
└── GiveUp     the message is wrong, and would stop those behind it
"""

import logging
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPErrorProcessor, ProxyHandler, Request, build_opener

from django.utils import timezone
from slack_sdk.webhook import WebhookClient, WebhookResponse

TIMEOUT_S: Final = 15  # generous: a message that is given up too early arrives twice
READ_UP_TO: Final = 1000  # bytes of an answer; Slack's are one word
LONGEST_WAIT: Final = timedelta(hours=1)  # whatever Retry-After says
WRONG_MESSAGE: Final = frozenset({400, 413})
_WORD: Final = re.compile(r"[a-z_]{1,40}")  # how Slack names an error
_SILENT: Final = logging.Logger("slack", level=logging.CRITICAL + 1)  # the library would log the address


class NotTold(Exception):
    """Its text may be shown."""


class TryLater(NotTold):
    """`wait` is what Slack asked for. `unsure`: it may have arrived all the same, since it is the answer that was lost."""

    def __init__(self, problem: str, *, wait: timedelta = timedelta(0), unsure: bool = False) -> None:
        super().__init__(problem)
        self.wait = wait
        self.unsure = unsure


class GiveUp(NotTold):
    pass


class _AsAnswered(HTTPErrorProcessor):
    """Follows no redirection: the page at its end would be taken for Slack's yes."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


class _Client(WebhookClient):
    """The library's own way follows redirections, asks a proxy even for this machine, and reads answers of any length. A test holds this seam."""

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        handlers: list[BaseHandler] = [_AsAnswered()]
        if _is_this_machine(url):
            handlers.append(ProxyHandler({}))
        with build_opener(*handlers).open(req, timeout=self.timeout) as answer:
            body = answer.read1(READ_UP_TO).decode("utf-8", "replace")
            return WebhookResponse(url=url, status_code=answer.status, body=body, headers=dict(answer.headers.items()))


def post(address: str, payload: dict[str, Any]) -> None:
    """Raises TryLater or GiveUp where Slack did not take it."""
    client = _Client(address, timeout=TIMEOUT_S, logger=_SILENT, retry_handlers=[])
    failure: NotTold | None = None
    try:
        answer = client.send_dict({**payload, "unfurl_links": False})
    except URLError as error:  # while connecting or sending
        failure = TryLater(type(error.reason).__name__)
    except (OSError, HTTPException, ValueError) as error:  # while waiting for the answer
        failure = TryLater(type(error).__name__, unsure=True)
    if failure:
        raise failure  # out of the except: the exception before it quotes the address
    if answer.status_code != 200:
        raise _refusal(answer)


def _refusal(answer: WebhookResponse) -> NotTold:
    word = answer.body.strip()
    problem = f"HTTP {answer.status_code}" + (f" {word}" if _WORD.fullmatch(word) else "")
    if answer.status_code in WRONG_MESSAGE:
        return GiveUp(problem)
    return TryLater(problem, wait=_asked_wait(answer))


def _asked_wait(answer: WebhookResponse) -> timedelta:
    """Of Retry-After, which is a number of seconds or a date; nothing where it is neither."""
    asked = next((str(value).strip() for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    if asked.isascii() and asked.isdecimal():
        return min(timedelta(seconds=int(asked[:9])), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(asked) - timezone.now()
    except (TypeError, ValueError):  # no date, or one without its zone
        return timedelta(0)
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def _is_this_machine(address: str) -> bool:
    name = urlsplit(address).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
