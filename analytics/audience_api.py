"""/api/v1/audiences: rules counted, audiences written and read. Edges: JSON in, services asked, JSON out."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from django.db.models import ProtectedError
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import audiences_described as described
from analytics.audiences import evaluate, rules, saved
from analytics.audiences.evaluate import Counted
from analytics.models import Audience
from engagement import idempotency
from engagement.access import MayLook, MayMarket, organisation_of, principal_of
from engagement.api import Body, NdjsonRenderer, Uncached, Writing, problem
from engagement.parameters import BadParameters, Fault, Parameters

PAGE, LARGEST_PAGE = 100, 1_000
LONGEST_BODY: Final = 256 * 1024


class RuleBody(Body):
    most = LONGEST_BODY


class Count(Writing):
    """Writes nothing, whatever its method says: a rule is too long for an address."""

    parser_classes = (RuleBody,)
    permission_classes = (MayLook,)

    @extend_schema(**described.COUNT)
    def post(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        organisation = organisation_of(request)
        body = _body(request, ("rule",), ("rule",))
        with _Told("rule"):
            rule = rules.parse(body["rule"])
            counted = evaluate.count(organisation, rule)
        return Response({**_counted(counted), "words": rules.words(rule, evaluate.names(organisation))})


class Audiences(Uncached):
    http_method_names = ("get", "head", "post")
    parser_classes = (RuleBody,)

    def get_permissions(self) -> list[Any]:
        return [(MayMarket if self.request.method == "POST" else MayLook)()]

    @extend_schema(**described.LIST)
    def get(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        organisation = organisation_of(request)
        names = evaluate.names(organisation)
        listed = Audience.objects.filter(organisation=organisation).defer("members").order_by("name", "pk")
        return Response({"results": [saved.said(one, names) for one in listed]})

    @extend_schema(**described.SAVE)
    @idempotency.once
    def post(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        body = _body(request, ("key", "name", "rule"), ("key", "name", "rule"))
        return _save(request, body["key"], body)


class OneAudience(Uncached):
    http_method_names = ("get", "head", "put", "delete")
    parser_classes = (RuleBody,)

    def get_permissions(self) -> list[Any]:
        return [(MayLook if self.request.method in ("GET", "HEAD") else MayMarket)()]

    @extend_schema(**described.ONE)
    def get(self, request: Request, key: str) -> Response:
        """The count is as of this instant, and not as it was refreshed last."""
        Parameters(request.query_params, ("organisation",)).check()
        organisation = organisation_of(request)
        found = _found(request, key)
        told = saved.said(found, evaluate.names(organisation))
        try:
            told["count"] = evaluate.count(organisation, rules.parse(found.rule), itself=found.key).count
            faults: list[rules.Place] = []
        except rules.Fault as fault:
            faults = fault.places
        return Response({**told, "faults": [_fault(place, "rule") for place in faults]})

    @extend_schema(**described.CHANGE)
    @idempotency.once
    def put(self, request: Request, key: str) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        known = _found(request, key)
        body = {"name": known.name, "rule": known.rule, **_body(request, ("name", "rule"), ())}
        return _save(request, known.key, body)

    @extend_schema(**described.REMOVE)
    @idempotency.once
    def delete(self, request: Request, key: str) -> HttpResponseBase:
        Parameters(request.query_params, ("organisation",)).check()
        try:
            saved.remove(_found(request, key))
        except (saved.InUse, ProtectedError) as used:
            by = used.by if isinstance(used, saved.InUse) else sorted({str(one) for one in used.protected_objects})
            return problem("in_use", _("It is in use: %(by)s. Change these first.") % {"by": ", ".join(by[:10])})
        return Response({"removed": True})


class Members(Uncached):
    http_method_names = ("get", "head")
    renderer_classes = (NdjsonRenderer, JSONRenderer)
    permission_classes = (MayLook,)

    @extend_schema(**described.MEMBERS)
    def get(self, request: Request, key: str) -> HttpResponseBase:
        Parameters(request.query_params, ("organisation",)).check()
        with _Told("rule"):
            _count, slices = saved.members(_found(request, key))
        encoder = msgspec.json.Encoder()
        lines = (encoder.encode_lines([{"shopper": one.shopper, "since": one.since} for one in some]) for some in slices)
        return StreamingHttpResponse(lines, content_type=NdjsonRenderer.media_type)


class Changes(Uncached):
    http_method_names = ("get", "head")
    renderer_classes = (JSONRenderer, NdjsonRenderer)
    permission_classes = (MayLook,)

    @extend_schema(**described.CHANGES)
    def get(self, request: Request, key: str) -> HttpResponseBase:
        parameters = Parameters(request.query_params, ("organisation", "limit", "before"))
        limit = parameters.number("limit", default=PAGE, low=1, high=LARGEST_PAGE)
        before = parameters.number("before", default=0, low=1, high=999_999_999)
        parameters.check()
        audience = _found(request, key)
        found = saved.changes(audience, limit=limit, before=before or None)
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            encoder = msgspec.json.Encoder()
            return StreamingHttpResponse(_movements(encoder, audience, found), content_type=NdjsonRenderer.media_type)
        told = [{"id": one.pk, "at": one.at, "joined": one.joined_count, "left": one.left_count} for one in found]
        return Response({"results": told})


def _movements(encoder: msgspec.json.Encoder, audience: Audience, found: list[Any]) -> Iterator[bytes]:
    for change in found:
        for one in saved.movements(audience, change):
            yield encoder.encode(one) + b"\n"


def _save(request: Request, key: Any, body: dict[str, Any]) -> Response:
    organisation = organisation_of(request)
    with _Told(""):
        audience, made = saved.save(organisation=organisation, key=key, name=body["name"], rule=body["rule"], by=principal_of(request).name)
    return Response(saved.said(audience, evaluate.names(organisation)), status=201 if made else 200)


def _found(request: Request, key: str) -> Audience:
    """One of another organisation is as unknown as one that never was."""
    found = saved.find(organisation_of(request), key.replace("\0", "\ufffd"))
    if found is None:
        raise exceptions.NotFound(_("There is no audience with this key."))
    return found


def _body(request: Request, known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    body = request.data
    if not isinstance(body, dict) or not set(needed) <= set(body) <= set(known):
        raise exceptions.ParseError(_("Send an object with %(needed)s, each once, and nothing else.") % {"needed": ", ".join(known)})
    return body


class _Told:
    """What is wrong with a rule, as a refusal that names each place."""

    def __init__(self, under: str) -> None:
        self.under = under

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, rules.Fault):
            raise BadParameters([Fault(_place(place, self.under), place.code, place.detail) for place in error.places]) from None


def _place(place: rules.Place, under: str) -> str:
    return ".".join(part for part in (under, place.path) if part)


def _fault(place: rules.Place, under: str) -> dict[str, str]:
    return {"parameter": _place(place, under), "code": place.code, "detail": place.detail}


def _counted(counted: Counted) -> dict[str, Any]:
    return {"path": counted.path, "count": counted.count, "branches": [_counted(one) for one in counted.branches]}
