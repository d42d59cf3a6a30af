"""The product's one address, with one more path: /forget empties what the process keeps unpacked, so that a cold request can be measured."""

from typing import Any

from engagement.asgi import application as product  # isort: skip (it sets Django up, which the others need)
from analytics import days
from analytics.audiences import columns, sets
from analytics.reports import unions


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/forget":
        days.forget()
        unions.forget()
        columns.forget()
        sets.forget()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    await product(scope, receive, send)
