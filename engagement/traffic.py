"""Each request to Django: its number, its count, and its one line in the log.

Of an address only the route is told, never the path or the query: what mails link to is signed for one shopper, and a shopper's own id is part of some.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from engagement import logs, metrics

HEADER: Final = "X-Request-Id"
SLOW_S: Final = 1.0  # no page may take so long
NO_ROUTE, FILES = "(none)", "(files)"
# Asked every few seconds, or many at once with each page: a line for each would hide the others. They are counted.
QUIET: Final = frozenset({"healthz/live", "healthz/ready", "metrics", FILES})
ASKED_AGAIN: Final = ("/now", "/progress")  # what open pages ask by themselves

REQUESTS: Final = metrics.counters("atrium_http_requests_total", "Requests to pages and API, by route", "method", "route", "status")
SECONDS: Final = metrics.histograms("atrium_http_request_seconds", "Time until a page or an answer of the API begins, by route", "route")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

logger = logging.getLogger("atrium.web")


def watched(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The first middleware: whatever the others answer is counted too."""

    def middleware(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        number = logs.begin_request(request.headers.get(HEADER, ""))
        response = get_response(request)
        _tell(request, response, time.perf_counter() - began)
        response[HEADER] = number
        if not response.streaming:  # else lines are still to come while it is read
            logs.end_request()
        return response

    return middleware


def route_of(request: HttpRequest) -> str:
    """As the table of routes has it: a closed list."""
    if request.resolver_match is not None:
        return request.resolver_match.route or "/"
    return FILES if request.path_info.startswith(settings.STATIC_URL) else NO_ROUTE


def _tell(request: HttpRequest, response: HttpResponse, took: float) -> None:
    route, status = route_of(request), response.status_code
    method = request.method if request.method in METHODS else "(other)"
    REQUESTS.of(method, route, str(status)).inc()
    SECONDS.of(route).observe(took)
    quiet = (route in QUIET or route.endswith(ASKED_AGAIN)) and status < 500 and took < SLOW_S
    logger.log(
        logging.DEBUG if quiet else logging.INFO,
        "%s %s %s in %.0f ms",
        method,
        route,
        status,
        took * 1000,
        extra={"method": method, "route": route, "status": status, "duration_ms": took * 1000},
    )
