"""`Idempotency-Key`: a write told again under the same key is answered as the first time, and not done again.

    the key's lock, tried  ->  the stored answer, if there is one  ->  the write, and its answer beside it, in one commit

A crash in between leaves neither the write nor its answer, so the same request can be sent again. A refusal is not kept either: nothing was done.
Without the header a write is simply done.
"""

import functools
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseBase
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engagement.access import organisation_of
from engagement.models import IdempotentAnswer, Organisation
from engagement.parameters import BadParameters, Fault

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"  # says of an answer that it is the stored one
LONGEST: Final = 128
KEPT: Final = timedelta(days=1)
_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST}}}")

Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])


class UnderWay(exceptions.APIException):
    """The same key is being worked on at this moment."""

    status_code = 409
    retry_after_s = 1


class KeyReused(exceptions.APIException):
    """The key stands for another request."""

    status_code = 422


def once(handler: Handler) -> Handler:
    """Of a view's method that writes: do it once under one key. The method runs in a transaction, so it must leave what is outside alone."""

    @functools.wraps(handler)
    def handled(view: APIView, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = _key(request)
        if key is None:
            return handler(view, request, *args, **kwargs)
        organisation, digest = organisation_of(request), _digest(request)
        with transaction.atomic():
            stored = _stored(organisation, key, digest)
            if stored is not None:
                return stored
            response = handler(view, request, *args, **kwargs)
            if not 200 <= response.status_code < 300 or not isinstance(response, Response):
                return response
            answer = JSONRenderer().render(response.data).decode()
            IdempotentAnswer.objects.create(organisation=organisation, key=key, request=digest, status=response.status_code, answer=answer)
        return response

    return cast(Handler, handled)


def forget(now: datetime) -> int:
    """Delete the answers that are older than a day; returns how many."""
    return IdempotentAnswer.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _key(request: Request) -> str | None:
    given: str | None = request.headers.get(HEADER)
    if given is not None and not _KEY.fullmatch(given):
        raise BadParameters([Fault(HEADER, "invalid", _("Give 1 to %(most)s visible ASCII characters, without blanks.") % {"most": LONGEST})])
    return given


def _digest(request: Request) -> bytes:
    """Of all that is asked. Keyed with the installation's SECRET_KEY: whoever has the database alone cannot try requests."""
    try:
        body = json.dumps(request.data, sort_keys=True)
    except (RecursionError, TypeError):
        raise exceptions.ParseError(_("The body is not JSON that can be read.")) from None
    asked = json.dumps([request.method, request.path, sorted(request.query_params.lists())])
    return salted_hmac("engagement.idempotency", f"{asked}\n{body}", algorithm="sha256").digest()


def _stored(organisation: Organisation, key: str, digest: bytes) -> HttpResponseBase | None:
    """What was answered before; None where the caller is the first, who then holds the key until his commit. Raises UnderWay and KeyReused.

    Tried and not waited for: a client that repeats itself before it is answered would otherwise hold one worker after the other.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"idempotency:{organisation.pk}:{key}"])
        if not cursor.fetchone()[0]:
            raise UnderWay(_("The same key is being worked on. Ask again in a moment."))
    known = IdempotentAnswer.objects.filter(organisation=organisation, key=key).first()
    if known is None:
        return None
    if bytes(known.request) != digest:
        raise KeyReused(_("This key was used for another request. Take a new key for a new request."))
    return HttpResponse(known.answer, content_type="application/json", status=known.status, headers={REPLAYED: "true"})
