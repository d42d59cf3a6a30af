"""Where the links of mails lead: the picture that says a mail was opened, the links in it, unsubscribing, and what somebody wishes.

Nobody logs in here and nothing is kept in the browser. Who has no signed token costs one HMAC and no query; who has one can do what it is for, and
repeating it changes nothing: so nothing here counts requests. To look changes nothing, since mail programs look at everything; to post does.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from csp.decorators import csp
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications import links, machines, traces, wishes
from notifications.links import HONEYPOT, NO_MESSAGE
from notifications.wishes import Whose

View = Callable[..., HttpResponse]

PIXEL: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
CLOSED: Final = {
    "default-src": ["'none'"],
    "style-src": ["'self'"],
    "img-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}


def _hosted(*methods: str) -> Callable[[View], View]:
    """For whoever has the address: nothing is stored or indexed, nothing is told to where one goes next. The token in the address is the proof that a
    form's secret would be elsewhere, and mail providers post without one (RFC 8058)."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answered(request: HttpRequest, token: str) -> HttpResponse:
            response = view(request, token)
            response["Cache-Control"] = "no-store"
            response["Referrer-Policy"] = "no-referrer"
            response["X-Robots-Tag"] = "noindex, nofollow"
            return response

        return csrf_exempt(csp(CLOSED)(require_http_methods(["GET", "HEAD", *methods])(answered)))  # type: ignore[arg-type, return-value]

    return decorate


def _page(request: HttpRequest, name: str, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, f"notifications/hosted/{name}.html", context, status=status)


def _nothing(request: HttpRequest) -> HttpResponse:
    return _page(request, "nothing", 404)


@_hosted()
def pixel(request: HttpRequest, token: str) -> HttpResponse:
    found = links.read(links.OPEN, token)
    if found is None:
        return _nothing(request)
    traces.opened(found[0], timezone.now(), *machines.who(request.method or "", request.headers))
    return HttpResponse(PIXEL, content_type="image/gif")


@_hosted()
def click(request: HttpRequest, token: str) -> HttpResponse:
    """Only to what was signed, or to the stored link whose number was."""
    by, rule = machines.who(request.method or "", request.headers)
    if written := links.read_text(links.ADDRESS, token):
        (message,), target = written
        traces.clicked(message, None, timezone.now(), by, rule)
        return HttpResponseRedirect(target)
    found = links.read(links.CLICK, token)
    if found is None:
        return _nothing(request)
    message, link = found
    if link == HONEYPOT:
        traces.clicked(message, HONEYPOT, timezone.now(), by, rule)
        return _page(request, "nothing")
    known = traces.target(message, link)
    if known is None:
        return _nothing(request)
    traces.clicked(message, link, timezone.now(), by, rule)
    return HttpResponseRedirect(known)


def _whose(kind: str, token: str, request: HttpRequest) -> tuple[int, Whose] | HttpResponse:
    """The token's message, and whom it speaks of; or the page that says why there is nobody."""
    found = links.read(kind, token)
    if found is None:
        return _nothing(request)
    message, shopper = found
    if message == NO_MESSAGE:
        return _page(request, "test")
    known = wishes.whose(message, shopper)
    return _page(request, "gone") if known is None else (message, known)


@_hosted("POST")
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button. POST acts, whoever posts and whatever: a mail provider for its user, or the button."""
    found = _whose(links.UNSUBSCRIBE, token, request)
    if isinstance(found, HttpResponse):
        return found
    message, known = found
    if request.method != "POST":
        return _page(request, "unsubscribe", whose=known)
    wishes.unsubscribe(known, timezone.now())
    return _page(request, "unsubscribed", whose=known, preferences=links.sign(links.PREFERENCES, message, known.shopper))


@_hosted("POST")
def preferences(request: HttpRequest, token: str) -> HttpResponse:
    found = _whose(links.PREFERENCES, token, request)
    if isinstance(found, HttpResponse):
        return found
    message, known = found
    saved = request.method == "POST"
    if saved:
        _take(known, request)
        found = _whose(links.PREFERENCES, token, request)  # as he is known now
        if isinstance(found, HttpResponse):
            return found
        message, known = found
    now = wishes.read(known)
    languages = [(code, _named(code)) for code in now.languages]
    leave = links.sign(links.UNSUBSCRIBE, message, known.shopper)
    return _page(request, "preferences", whose=known, wishes=now, languages=languages, saved=saved, unsubscribe=leave)


def _take(known: Whose, request: HttpRequest) -> None:
    at = timezone.now()
    if "again" in request.POST:
        if wishes.read(known).stopped_by_himself:
            wishes.agree(known, at)
        return
    wishes.wish(known, request.POST.getlist("shown"), request.POST.getlist("wished"), at)
    if language := request.POST.get("language", ""):
        wishes.speak(known, language, at)


def _named(code: str) -> str:
    """A language in its own words, where they are known."""
    try:
        return str(translation.get_language_info(code.lower())["name_local"]).capitalize()
    except KeyError:
        return code


urlpatterns = [
    path("o/<path:token>", pixel, name="mail_opened"),
    path("c/<path:token>", click, name="mail_link"),
    path("u/<path:token>", unsubscribe, name="mail_unsubscribe"),
    path("p/<path:token>", preferences, name="mail_preferences"),
]
