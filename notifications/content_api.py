"""/api/v1/campaigns/<key>: what it says, checked, looked at as shoppers get it, and tried. Edges."""

from typing import Any

from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import idempotency, shoppers
from engagement.api import problem
from engagement.models import Profile
from engagement.parameters import Parameters
from notifications import draft_form, preview, trying
from notifications import message_described as described
from notifications.campaign_api import Door, campaign_of
from notifications.draft_form import Fault, Faults, Reader
from notifications.mail import Person
from notifications.models import Campaign, Content, Variant
from notifications.rendering import CannotCompose, NoContent, check

Json = dict[str, Any]


class Check(Door):
    http_method_names = ("post",)

    @extend_schema(**described.CHECK)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        campaign = campaign_of(request, key)
        names = preview.names(campaign)
        remarks: list[Json] = []
        for number, variant in enumerate(campaign.variants.prefetch_related("contents").order_by("pk")):
            for place, content in enumerate(sorted(variant.contents.all(), key=lambda one: (one.language != "", one.pk)), -1):
                where = f"variants.{number}" if place < 0 else f"variants.{number}.languages.{place}"
                remarks += [_remark(where, content, remark) for remark in check(content, names)]
        return Response({"remarks": remarks})


class Preview(Door):
    http_method_names = ("get", "head")

    @extend_schema(**described.PREVIEW)
    def get(self, request: Request, key: str) -> HttpResponseBase:
        parameters = Parameters(request.query_params, ("organisation", "variant", "shopper", "language"))
        campaign = campaign_of(request, key)
        variant, language, name = (parameters.text(one) for one in ("variant", "language", "shopper"))
        parameters.check()
        people = preview.people(campaign)
        person = _person(campaign, name) if name else next((one.person for one in people), None)
        try:
            seen = preview.mail(campaign, _variant(campaign, variant), language or "", person)
        except (NoContent, CannotCompose) as trouble:
            return problem("bad_parameter", _("The text cannot be made for this shopper: %(why)s") % {"why": trouble})
        return Response(
            {
                "people": [{"shopper": one.person.name, "why": one.why} for one in people],
                "shopper": person.name if person else None,
                "subject": seen.subject,
                "preheader": seen.preheader,
                "html": seen.html,
                "text": seen.text,
                "from": seen.sender,
                "to": seen.recipient,
            }
        )


class Try(Door):
    """Outward, so not in the transaction that an Idempotency-Key would need: told twice, it is two test mails."""

    http_method_names = ("post",)

    @extend_schema(**described.TRY)
    def post(self, request: Request, key: str) -> HttpResponseBase:
        Parameters(request.query_params, ("organisation",)).check()
        campaign = campaign_of(request, key)
        told = request.data if isinstance(request.data, dict) else {}
        body = Reader(told, "")
        body.known(("to", "variant", "shopper", "language"))
        to = draft_form.address(body, "to")
        variant, name, language = body.line("variant"), body.line("shopper"), body.line("language")
        if body.faults:
            raise Faults(body.faults)
        person = _person(campaign, name) if name else next((one.person for one in preview.people(campaign)), None)
        try:
            went = trying.send(campaign, variant=_variant(campaign, variant), language=language, person=person, to=to)
        except (NoContent, CannotCompose) as trouble:
            return problem("bad_parameter", _("The text cannot be made for this shopper: %(why)s") % {"why": trouble})
        except trying.NotTaken as trouble:
            return problem("not_ready", str(trouble))
        return Response({"sent": True, "provider_id": went})


def _remark(where: str, content: Content, remark: Any) -> Json:
    place = content.kind if remark.place == "body" else remark.place
    return {"level": remark.level, "place": f"{where}.{place}", "detail": remark.detail}


def _variant(campaign: Campaign, name: str | None) -> int:
    """By its name; the first where there is none."""
    variants = Variant.objects.filter(campaign=campaign, **({"name": name} if name else {})).order_by("pk")
    found: int | None = variants.values_list("pk", flat=True).first()
    if found is None:
        raise Faults([Fault("variant", "unknown", _("The campaign has no such variant."))])
    return found


def _person(campaign: Campaign, name: str) -> Person:
    shopper = shoppers.find(campaign.organisation, name)
    profile = Profile.objects.filter(shopper=shopper, organisation=campaign.organisation_id).first() if shopper else None
    if shopper is None or profile is None:
        raise NotFound(_("Nothing has been told of a shopper with this id."))
    return Person(shopper.pk, shopper.external_id or "", profile.email, profile.language, profile.time_zone, profile.attributes)
