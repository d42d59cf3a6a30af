"""The product's one address, with one more path: /forget empties what the process keeps unpacked, so that a cold request can be measured."""

from typing import Any

from analytics import days
from analytics.reports import unions
from engagement.asgi import application as product


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/forget":
        days.forget()
        unions.forget()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    await product(scope, receive, send)
