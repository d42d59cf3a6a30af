"""A local server that behaves as Slack does, its incoming webhooks and its API, with the limits that Slack has, and on request as Slack does on bad days."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SECRET: Final = "T0SECRET/B0SECRET/xoxsecretxox"
TOKEN: Final = "xoxb-2411-xoxsecretxox"
CHANNEL: Final = "C0OPERATORS"
Behaviour = Callable[[BaseHTTPRequestHandler], None]


class FakeSlack:
    """`messages` are those taken, as they stand now. `next` says how to behave on the coming requests, after which all is well."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.threads: dict[str, list[dict[str, Any]]] = {}  # answers, by the `ts` of the message that they are below
        self.edits = 0
        self.hooks: list[str] = []  # paths of the webhooks that took the messages
        self.next: deque[Behaviour] = deque()
        self.requests = 0
        self.watch: Callable[[], None] = lambda: None  # called while the client waits
        self.released = threading.Event()
        self.address = self.base = ""

    @property
    def titles(self) -> list[str]:
        return [message["blocks"][0]["text"]["text"] for message in self.messages]

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        self._body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests += 1
        self.watch()
        (self.next.popleft() if self.next else self.accept)(handler)

    def accept(self, handler: BaseHTTPRequestHandler) -> None:
        """As on good days."""
        body = self._body
        if handler.path.startswith("/api/"):
            told = self._api(handler.path.removeprefix("/api/"), handler.headers.get("Authorization", ""), json.loads(body))
            answer(handler, 200, json.dumps(told), Content_Type="application/json")
            return
        wrong = fault(body) if handler.path.startswith("/services/T0") else (404, "no_service")
        if wrong is None:
            self.messages.append(json.loads(body))
            self.hooks.append(handler.path)
        answer(handler, *(wrong or (200, "ok")))

    def _api(self, method: str, authorization: str, message: dict[str, Any]) -> dict[str, Any]:
        """As Slack: what is wrong is said with HTTP 200."""
        standing = {one["ts"]: one for one in self.messages if "ts" in one}
        wrong = (
            "invalid_auth" * (authorization != f"Bearer {TOKEN}")
            or "channel_not_found" * (message.get("channel") != CHANNEL)
            or "no_text" * (not message.get("text"))
            or "msg_too_long" * (len(message["text"]) > 40_000)
            or "invalid_blocks" * over_the_limits(message)
            or "message_not_found" * (method == "chat.update" and message.get("ts") not in standing)
            or "thread_not_found" * ("thread_ts" in message and message["thread_ts"] not in standing)
        )
        if wrong:
            return {"ok": False, "error": wrong}
        if method == "chat.update":
            standing[message["ts"]].update(message)
            self.edits += 1
            return {"ok": True, "channel": CHANNEL, "ts": message["ts"], "text": message["text"]}
        stamp = f"1763.{self.requests:06}"
        below = self.threads.setdefault(message["thread_ts"], []) if "thread_ts" in message else self.messages
        below.append({**message, "ts": stamp})
        return {"ok": True, "channel": CHANNEL, "ts": stamp, "message": {"text": message["text"], "blocks": message["blocks"]}}


def fault(body: bytes) -> tuple[int, str] | None:
    """What Slack says to a message over its limits."""
    message = json.loads(body)
    if not message.get("text"):
        return 400, "no_text"
    return (400, "invalid_blocks") if over_the_limits(message) else None


def over_the_limits(message: dict[str, Any]) -> bool:
    """Whether a message has what Slack refuses. Signs are counted as UTF-16 units, the strictest reading."""
    texts = [(block["text"], 150 if block["type"] == "header" else 3000) for block in message["blocks"] if "text" in block]
    texts += [(element, 2000) for block in message["blocks"] if block["type"] == "context" for element in block["elements"]]
    rows = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    buttons = [button for row in rows for button in row]
    texts += [(button["text"], 75) for button in buttons]
    addresses = [button["url"] for button in buttons if "url" in button]
    return (
        len(message["blocks"]) > 50
        or any(not 1 <= units(text["text"]) <= limit for text, limit in texts)
        or sum(units(text["text"]) for text, _ in texts) > 13_000
        or any(not 1 <= len(row) <= 25 or len({button["action_id"] for button in row}) < len(row) for row in rows)
        or any(not address.startswith(("https://", "http://")) or len(address) > 3000 for address in addresses)
    )


def texts_of(message: object) -> list[str]:
    """Every text of a message that people see."""
    if isinstance(message, dict):
        return [text for name, value in message.items() if name not in {"url", "type"} for text in texts_of(value)]
    if isinstance(message, list):
        return [text for value in message for text in texts_of(value)]
    return [message] if isinstance(message, str) else []


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def answer(handler: BaseHTTPRequestHandler, status: int, body: str, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body.encode())


def refuses(word: str, **headers: str) -> Behaviour:
    """The API's no."""
    return says(429 if word == "ratelimited" else 200, json.dumps({"ok": False, "error": word}), Content_Type="application/json", **headers)


def says(status: int, body: str = "", **headers: str) -> Behaviour:
    return lambda handler: answer(handler, status, body, **headers)


def stalls(slack: FakeSlack) -> Behaviour:
    """Says nothing until the test lets it go."""

    def stall(handler: BaseHTTPRequestHandler) -> None:
        slack.released.wait(20)

    return stall


def echoes_the_address(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, 502, f"Cannot reach {handler.path}")


def cuts(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def cuts_in_the_answer(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 20")
    handler.connection.close()


def babbles(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")


@contextmanager
def running() -> Iterator[FakeSlack]:
    slack = FakeSlack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            slack.take(self)

        def do_GET(self) -> None:
            answer(self, 200, "<html>A page, not Slack.</html>")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError):  # the client has gone, or this side was cut on purpose
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    slack.base = f"http://127.0.0.1:{server.server_port}"
    slack.address = f"{slack.base}/services/{SECRET}"
    try:
        yield slack
    finally:
        slack.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
