"""/api/v1/campaigns: written as drafts, moved, and looked at. Edges: JSON in, services asked, JSON out."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.audiences import rules
from engagement import idempotency
from engagement.access import MayMarket, organisation_of, principal_of
from engagement.api import Body, Uncached, problem
from engagement.models import Organisation
from engagement.parameters import Parameters
from notifications import campaign_described as described
from notifications import campaigns, draft_form, drafts, funnel, governor, reports
from notifications.models import Campaign, CampaignState, Reason

Json = dict[str, Any]
PAGE: Final = 100
LARGEST_PAGE: Final = 1_000


class Door(Uncached):
    """An address under /campaigns/<key>, or of all of them."""

    permission_classes = (MayMarket,)
    parser_classes = (Body,)

    def handle_exception(self, exc: Exception) -> Any:
        refused = refusal(exc)
        return super().handle_exception(exc) if refused is None else refused


class Campaigns(Door):
    http_method_names = ("get", "head", "post")

    @extend_schema(**described.LISTED)
    def get(self, request: Request) -> Response:
        parameters = Parameters(request.query_params, ("organisation", "state", "cursor", "limit"))
        states = parameters.choices("state", CampaignState.values)
        cursor = parameters.number("cursor", default=0, low=1, high=999_999_999)
        limit = parameters.number("limit", default=PAGE, low=1, high=LARGEST_PAGE)
        parameters.check()
        rows = Campaign.objects.filter(organisation=organisation_of(request), **({"state__in": states} if states else {}))
        rows = rows.filter(pk__lt=cursor) if cursor else rows
        listed = list(rows.select_related("audience", "brand").prefetch_related("runs").order_by("-pk")[: limit + 1])
        following = str(listed[limit - 1].pk) if len(listed) > limit else None
        return Response({"next": following, "results": [_listed(campaign) for campaign in listed[:limit]]})

    @extend_schema(**described.WRITTEN)
    @idempotency.once
    def post(self, request: Request) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        campaign, made = drafts.save(organisation=organisation_of(request), told=request.data, by=principal_of(request).name)
        return Response(told(campaign), status=201 if made else 200)


class One(Door):
    http_method_names = ("get", "head", "put", "patch")

    @extend_schema(**described.ONE)
    def get(self, request: Request, key: str) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        return Response(told(campaign_of(request, key)))

    @extend_schema(**described.REPLACED)
    @idempotency.once
    def put(self, request: Request, key: str) -> Response:
        return self._save(request, campaign_of(request, key), {})

    @extend_schema(**described.CHANGED)
    @idempotency.once
    def patch(self, request: Request, key: str) -> Response:
        campaign = campaign_of(request, key)
        return self._save(request, campaign, drafts.told(campaign))

    def _save(self, request: Request, campaign: Campaign, known: Json) -> Response:
        Parameters(request.query_params, ("organisation",)).check()
        if not isinstance(request.data, dict):
            raise ParseError(_("Send an object, with each name once."))
        if request.data.get("key", campaign.key) != campaign.key:
            raise draft_form.Faults([draft_form.Fault("key", "invalid", _("A campaign keeps its key. Make another one."))])
        whole = {**known, **request.data, "key": campaign.key}
        saved, _made = drafts.save(organisation=campaign.organisation, told=whole, by=principal_of(request).name)
        return Response(told(saved))


class Funnel(Door):
    http_method_names = ("get", "head")

    @extend_schema(**described.FUNNEL)
    def get(self, request: Request, key: str) -> HttpResponseBase:
        Parameters(request.query_params, ("organisation",)).check()
        campaign = campaign_of(request, key)
        try:
            return Response(asdict(funnel.funnel(campaign)))
        except rules.Fault:
            return problem("not_ready", _("Its audience names something that is no longer there. Change the audience first."))


class Move(Door):
    """One of the moves."""

    http_method_names = ("post",)

    def move(self, request: Request, key: str, verb: Callable[..., Campaign]) -> Response:
        campaign, _body = self.asked(request, key)
        return Response(told(verb(campaign, by=principal_of(request).name)))

    def asked(self, request: Request, key: str, *names: str) -> tuple[Campaign, Json]:
        """The campaign first: whoever may not know of it learns nothing of what is wrong besides."""
        Parameters(request.query_params, ("organisation",)).check()
        return campaign_of(request, key), _only(request, *names)


class Send(Move):
    @extend_schema(**described.SEND)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        campaign, asked = self.asked(request, key, "at")
        body = draft_form.Reader(asked, "")
        at = draft_form.instant(body, "at")
        if body.faults:
            raise draft_form.Faults(body.faults)
        return Response(told(campaigns.send(campaign, by=principal_of(request).name, at=at)))


class Pause(Move):
    @extend_schema(**described.PAUSE)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        return self.move(request, key, campaigns.pause)


class Resume(Move):
    @extend_schema(**described.RESUME)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        return self.move(request, key, campaigns.resume)


class Cancel(Move):
    @extend_schema(**described.CANCEL)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        return self.move(request, key, campaigns.cancel)


class Approve(Move):
    @extend_schema(**described.APPROVE)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        return self.move(request, key, campaigns.approve)


class Unschedule(Move):
    @extend_schema(**described.UNSCHEDULE)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        return self.move(request, key, campaigns.unschedule)


class Release(Move):
    @extend_schema(**described.RELEASE)
    @idempotency.once
    def post(self, request: Request, key: str) -> Response:
        campaign, asked = self.asked(request, key, "reason")
        reason = asked.get("reason")
        if reason is not None and reason not in Reason.values:
            raise draft_form.Faults([draft_form.Fault("reason", "unknown", _("Give one of the reasons for which messages fail, or none for all."))])
        return Response({"released": campaigns.release(campaign, by=principal_of(request).name, reason=reason)})


def campaign_of(request: Request, key: str) -> Campaign:
    """One of the caller's own. Another's is as unknown as one that never was."""
    mine: Organisation = organisation_of(request)
    found = None
    if "\0" not in key:
        found = Campaign.objects.select_related("organisation", "brand", "topic", "audience").filter(organisation=mine, key=key).first()
    if found is None:
        raise NotFound(_("There is no campaign with this key."))
    return found


def told(campaign: Campaign) -> Json:
    """Everything that it is made of, and where it stands."""
    runs = reports.runs(campaign)
    counts = reports.together(runs)
    return {
        **drafts.told(campaign),
        **_standing(campaign),
        "revision": campaign.revision,
        "approved_revision": campaign.approved_revision,
        "approved_by": campaign.approved_by,
        "needs_approval": campaigns.needs_approval(campaign),
        "created_by": campaign.created_by,
        "changed_by": campaign.changed_by,
        "counts": counts,
        "runs": runs,
        **_pace(campaign, counts),
    }


def _pace(campaign: Campaign, counts: dict[str, int]) -> Json:
    """Messages a second (null: nothing limits), and when the last of those that wait would be sent. Only while it sends."""
    if campaign.state != CampaignState.SENDING:
        return {"rate": None, "finish_at": None}
    rate, waiting = governor.pace(governor.MARKETING).rate, counts["planned"] + counts["claimed"]
    return {"rate": rate, "finish_at": timezone.now() + timedelta(seconds=waiting / rate) if rate else None}


def _standing(campaign: Campaign) -> dict[str, str | datetime | None]:
    return {
        "state": campaign.state,
        "pause_reason": campaign.pause_reason,
        "created_at": campaign.created_at,
        "started_at": campaign.started_at,
        "finished_at": campaign.finished_at,
    }


def _listed(campaign: Campaign) -> Json:
    return {
        "key": campaign.key,
        "name": campaign.name,
        "brand": campaign.brand.key if campaign.brand else None,
        "audience": campaign.audience.key,
        "send_at": campaign.send_at,
        "recurrence": campaign.recurrence,
        **_standing(campaign),
        "people": sum(run.audience_count or 0 for run in campaign.runs.all()),
    }


def _only(request: Request, *names: str) -> Json:
    """The body of a move: nothing, or an object with no other names."""
    body = request.data
    if not body:
        return {}
    if not isinstance(body, dict) or not set(body) <= set(names):
        raise ParseError(_("Send nothing, or an object with no other names than these: %(names)s.") % {"names": ", ".join(names) or "-"})
    return body


def refusal(error: Exception) -> HttpResponseBase | None:
    """What the services refuse, as the caller gets it. Everything else is said elsewhere."""
    if isinstance(error, draft_form.Faults):
        faults = [{"parameter": fault.place, "place": fault.place, "code": fault.code, "detail": fault.detail} for fault in error.faults]
        return problem("bad_parameter", str(error), errors=faults)
    if isinstance(error, campaigns.WrongState):
        return problem("wrong_state", str(error), state=error.state)
    if isinstance(error, drafts.NotADraft):
        return problem("wrong_state", _("Only a draft can be changed. The campaign is past that."), state=error.state)
    if isinstance(error, campaigns.Refused):
        return problem("not_ready", str(error))
    return None
