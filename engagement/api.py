"""The floor of /api/v1: how a refusal is said. Who may ask is settled in `access`.

Every refusal is `application/problem+json` (RFC 9457) with a stable `code`; PROBLEMS is the closed list of them.
"""

import json
from typing import Any, Final, NoReturn

import msgspec
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from engagement import idempotency
from engagement.parameters import BadParameters

PROBLEMS: Final = {
    "bad_parameter": 400,
    "bad_body": 400,
    "not_authenticated": 401,
    "unknown_key": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "key_under_way": 409,
    "in_use": 409,
    "wrong_state": 409,
    "not_ready": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "key_reused": 422,
    "unavailable": 503,
}


class TooLarge(exceptions.APIException):
    status_code = 413


CODES: Final[dict[type[exceptions.APIException], str]] = {
    exceptions.ParseError: "bad_body",
    TooLarge: "too_large",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "unknown_key",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    idempotency.UnderWay: "key_under_way",
    idempotency.KeyReused: "key_reused",
}
RETRY_AFTER_S: Final = 5


def problem(code: str, detail: str, **more: Any) -> JsonResponse:
    """A refusal as the caller gets it."""
    status = PROBLEMS[code]
    body = {"type": "about:blank", "title": code.replace("_", " ").capitalize(), "status": status, "code": code, "detail": detail, **more}
    return JsonResponse(body, status=status, content_type="application/problem+json")


def refuse(error: Exception, _context: dict[str, Any]) -> HttpResponseBase | None:
    """Django REST framework's exception handler. An error without a code of its own stays an error."""
    if isinstance(error, BadParameters):
        faults = [{"parameter": fault.parameter, "code": fault.code, "detail": fault.detail} for fault in error.faults]
        return problem("bad_parameter", str(error), errors=faults)
    if isinstance(error, OperationalError | InterfaceError):
        response = problem("unavailable", _("The database does not answer. Try again soon."))
        response["Retry-After"] = str(RETRY_AFTER_S)
        return response
    if isinstance(error, Http404):
        return problem("not_found", _("There is no such thing here."))
    if isinstance(error, DjangoPermissionDenied):
        return problem("forbidden", _("You may not do this."))
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
    if code is None or not isinstance(error, exceptions.APIException):
        return None
    response = problem(code, str(error.detail))
    if hasattr(error, "retry_after_s"):
        response["Retry-After"] = str(error.retry_after_s)
    if response.status_code == 401:
        response["WWW-Authenticate"] = getattr(error, "auth_header", "Bearer")
    return response


class Uncached(APIView):
    @property
    def default_response_headers(self) -> dict[str, str]:
        """One address has other answers for other organisations, so nobody on the way may keep them."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}


class Reading(Uncached):
    """An address that can only be read."""

    http_method_names = ("get", "head")


class Body(BaseParser):
    """JSON of at most `most` bytes. An object that has a name twice comes as a list, which no field accepts: readers differ over which of them counts."""

    media_type = "application/json"
    most = 2 * 1024 * 1024

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        raw = stream.read(self.most + 1)
        if len(raw) > self.most:
            raise TooLarge(_("The body has more than %(most)s bytes. Send it in parts.") % {"most": self.most})
        try:
            return json.loads(raw, object_pairs_hook=_unique_or_pairs)
        except (ValueError, RecursionError):
            raise exceptions.ParseError(_("The body is not JSON that can be read.")) from None


def _unique_or_pairs(pairs: list[tuple[str, Any]]) -> Any:
    named = dict(pairs)
    return named if len(named) == len(pairs) else pairs


class Writing(Uncached):
    """An address that takes a body."""

    http_method_names = ("post",)
    parser_classes = (Body,)


class NdjsonRenderer(BaseRenderer):
    """Makes `application/x-ndjson` negotiable; the stream itself does not pass through it."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return msgspec.json.encode(data)


class NothingHere(APIView):
    """Any other address under /api/: so that a misspelt one is answered in the API's own form."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise Http404
