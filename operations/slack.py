"""Slack, by an incoming webhook or by a bot's token: one message posted or changed, or why not. No log, error or exception may hold address or token.

Neither the library's texts nor those of Python's HTTP modules are passed on, since some of them quote the address.

NotTold
├── TryLater   the moment, the address or the token is wrong: the message is kept
├── GiveUp     the message is wrong, and would stop those behind it
└── Gone       the message that was to be changed or answered is not there any more
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPErrorProcessor, ProxyHandler, Request, build_opener

from django.utils import timezone
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient, WebhookResponse

TIMEOUT_S: Final = 15  # generous: a message that is given up too early arrives twice
READ_UP_TO: Final = 1000  # bytes of a webhook's answer; Slack's are one word
READ_UP_TO_OF_THE_API: Final = 500_000  # it answers with the whole message
LONGEST_WAIT: Final = timedelta(hours=1)  # whatever Retry-After says
WRONG_MESSAGE: Final = frozenset({400, 413})
# What the API says of a message that it will never take; whatever else it says is of the moment, the token or the channel, which somebody can mend.
WRONG_MESSAGE_WORDS: Final = frozenset(
    {
        *(
            "msg_too_long",
            "msg_blocks_too_long",
            "no_text",
            "invalid_blocks",
            "invalid_blocks_format",
            "too_many_attachments",
            "attachment_payload_limit_exceeded",
        ),
        *("invalid_arguments", "invalid_json", "json_not_object", "invalid_post_type", "invalid_charset", "markdown_text_conflict"),
    }
)
GONE_WORDS: Final = frozenset(
    {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed", "cannot_reply_to_message", "restricted_action_thread_locked"}
)
_WORD: Final = re.compile(r"[a-z_]{1,60}")  # how Slack names an error
_STAMP: Final = re.compile(r"[0-9.]{1,40}")
_CHANNEL: Final = re.compile(r"[A-Z0-9]{1,40}")
_WEBHOOK_PATH: Final = re.compile(r"/services/[A-Za-z0-9]{1,40}/[A-Za-z0-9]{1,40}/[A-Za-z0-9]{1,80}")
_SILENT: Final = logging.Logger("slack", level=logging.CRITICAL + 1)  # the library would log the address


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands; both empty where nobody says, as of a webhook's."""

    channel: str = ""
    stamp: str = ""  # Slack's `ts`, which is also the name of the thread below it

    def __bool__(self) -> bool:
        return bool(self.channel and self.stamp)


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


class Gone(NotTold):
    pass


# --- By a webhook -----------------------------------------------------------------------------------------------------------


class _AsAnswered(HTTPErrorProcessor):
    """Follows no redirection: the page at its end would be taken for Slack's yes."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


def _exchange(address: str, request: Request, timeout: float, limit: int) -> tuple[int, dict[str, str], str]:
    """The libraries' own ways follow redirections, ask a proxy even for this machine, and read answers of any length. A test holds this seam."""
    handlers: list[BaseHandler] = [_AsAnswered()]
    if is_this_machine(address):
        handlers.append(ProxyHandler({}))
    until = time.monotonic() + timeout
    with build_opener(*handlers).open(request, timeout=timeout) as answer:
        read = b""
        while len(read) < limit and time.monotonic() < until and (more := answer.read1(limit - len(read))):
            read += more
        return answer.status, dict(answer.headers.items()), read.decode("utf-8", "replace")


class _Webhook(WebhookClient):
    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        status, headers, body = _exchange(url, req, self.timeout, READ_UP_TO)
        return WebhookResponse(url=url, status_code=status, body=body, headers=headers)


def is_webhook(address: str, *, trial: str = "") -> bool:
    """Whether it is the address of an incoming webhook of Slack's, or of the one that plays it, on this machine, at the beginning of `trial`."""
    try:
        parts = urlsplit(address)
        own = (parts.scheme, parts.netloc) in {("https", "hooks.slack.com"), *({urlsplit(trial)[:2]} if trial else ())}
    except ValueError:
        return False
    return own and not parts.query and not parts.fragment and _WEBHOOK_PATH.fullmatch(parts.path) is not None and address == address.strip()


def post(address: str, payload: dict[str, Any]) -> None:
    """Raises TryLater or GiveUp where Slack did not take it."""
    client = _Webhook(address, timeout=TIMEOUT_S, logger=_SILENT, retry_handlers=[])
    answer = _sent(lambda: client.send_dict({**payload, "unfurl_links": False}))
    if answer.status_code != 200:
        word = answer.body.strip()
        raise _refusal(answer.status_code, word if _WORD.fullmatch(word) else "", answer.headers)


def _sent(send: Callable[[], Any]) -> Any:
    failure: NotTold | None = None
    try:
        return send()
    except URLError as error:  # while connecting or sending
        failure = TryLater(type(error.reason).__name__)
    except (OSError, HTTPException, ValueError) as error:  # while waiting for the answer
        failure = TryLater(type(error).__name__, unsure=True)
    raise failure  # out of the except: the exception before it quotes the address


def _refusal(status: int, word: str, headers: Mapping[str, Any]) -> NotTold:
    problem = f"HTTP {status}" + (f" {word}" if word else "")
    if status in WRONG_MESSAGE:
        return GiveUp(problem)
    return TryLater(problem, wait=_asked_wait(headers))


def _asked_wait(headers: Mapping[str, Any]) -> timedelta:
    """Of Retry-After, which is a number of seconds or a date; nothing where it is neither."""
    asked = next((str(value).strip() for name, value in headers.items() if name.lower() == "retry-after"), "")
    if asked.isascii() and asked.isdecimal():
        return min(timedelta(seconds=int(asked[:9])), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(asked) - timezone.now()
    except (TypeError, ValueError):  # no date, or one without its zone
        return timedelta(0)
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def is_this_machine(address: str) -> bool:
    name = urlsplit(address).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


# --- By a bot's token -------------------------------------------------------------------------------------------------------


class _Api(WebClient):
    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        status, headers, body = _exchange(url, req, self.timeout, READ_UP_TO_OF_THE_API)
        return {"status": status, "headers": headers, "body": json.dumps(_told(body))}


def _told(body: str) -> dict[str, Any]:
    """What of an answer is looked at, whatever was sent. `ok` is None where it says neither yes nor no."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        return {"ok": None, "error": ""}
    known = {"error": _WORD, "ts": _STAMP, "channel": _CHANNEL}
    return {"ok": answer["ok"], **{name: value for name, form in known.items() if isinstance(value := answer.get(name), str) and form.fullmatch(value)}}


@dataclass(frozen=True)
class Bot:
    """A bot in a channel. `base`: of the API, where it is not Slack's own."""

    token: str
    channel: str
    base: str = ""

    def post(self, payload: dict[str, Any], *, thread: str = "") -> Place:
        """A message, or an answer in the thread below one. Raises TryLater, GiveUp, or Gone where that one is not there any more."""
        below = {"thread_ts": thread} if thread else {}
        told = self._ask("chat.postMessage", {**payload, **below, "channel": self.channel, "unfurl_links": False, "unfurl_media": False})
        return Place(told.get("channel", ""), told.get("ts", ""))

    def change(self, place: Place, payload: dict[str, Any]) -> None:
        """The message at that place becomes this one. Raises as `post`."""
        self._ask("chat.update", {**payload, "channel": place.channel, "ts": place.stamp})

    def _ask(self, method: str, told: dict[str, Any]) -> dict[str, Any]:
        client = _Api(self.token, base_url=self.base or WebClient.BASE_URL, timeout=TIMEOUT_S, logger=_SILENT, retry_handlers=[])
        status, headers, answer = _sent(lambda: _answer(client, method, told))
        if status == 200 and answer.get("ok"):
            return dict(answer)
        word = answer.get("error", "")
        if word in GONE_WORDS:
            raise Gone(word)
        if word in WRONG_MESSAGE_WORDS:
            raise GiveUp(word)
        unsure = status == 200 and answer.get("ok") is None
        raise TryLater(word or f"HTTP {status}", wait=_asked_wait(headers), unsure=unsure)


def _answer(client: WebClient, method: str, told: dict[str, Any]) -> tuple[int, Mapping[str, Any], dict[str, Any]]:
    try:
        response = client.api_call(method, json=told)
    except SlackApiError as error:
        response = error.response
    return response.status_code, response.headers, response.data if isinstance(response.data, dict) else {}
