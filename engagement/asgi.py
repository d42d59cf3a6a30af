"""One address for everything: `/v1/*` is the device door, but for what other programs post there; the rest is Django.

Django stays WSGI behind a small bridge: its own ASGI handler hops threads for each request and cannot stream plain iterators.
"""

import os
from typing import Any, Final, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engagement.settings")

from a2wsgi import WSGIMiddleware

from engagement.door.app import Scope, Send
from engagement.door.app import application as door
from engagement.door.body import Message, Receive
from engagement.wsgi import application as django

THREADS: Final = 8
BESIDE_THE_DOOR: Final = frozenset({"/v1/feedback/ses"})  # of engagement.urls

# The bridge types its arguments more narrowly than ASGI and Django do.
pages: Any = WSGIMiddleware(cast(Any, django), workers=THREADS)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    # The health of the process is answered without a thread: it must be told from a Django that is busy.
    path = scope.get("path", "")
    if scope["type"] != "http" or (path.startswith("/v1/") and path not in BESIDE_THE_DOOR) or path == "/healthz/live":
        await door(scope, receive, send)
    else:

        async def received() -> Message:
            """The bridge asks from another thread, which takes a coroutine; the server gives a future."""
            return await receive()

        await pages(scope, received, send)
