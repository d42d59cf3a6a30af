"""Message by message: who got a campaign, who did not, and why; parked ones sent on again."""

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from engagement import display, site
from engagement.models import Profile, Shopper
from engagement.tenancy import Action
from notifications import campaigns, reports, why
from notifications.admin.campaigns import own
from notifications.models import Campaign, Message, MessageState, Reason, Run

PAGE: Final = 50
TONES: Final = {
    MessageState.DELIVERED: "good",
    MessageState.SENT: "good",
    MessageState.BOUNCED: "bad",
    MessageState.COMPLAINED: "bad",
    MessageState.FAILED: "bad",
    MessageState.UNKNOWN: "warn",
}


@require_GET
@never_cache
def listed(request: HttpRequest, pk: int) -> HttpResponseBase:
    campaign = own(request, pk)
    asked = {name: request.GET.get(name, "") for name in ("state", "reason", "run", "after")}
    rows = list(_chosen(campaign, asked)[: PAGE + 1])
    counts = reports.together(reports.runs(campaign))
    parked = counts.get(MessageState.FAILED, 0)
    runs = list(Run.objects.filter(campaign=campaign).order_by("-due_at").values_list("pk", "due_at"))
    more = urlencode({**{name: value for name, value in asked.items() if value}, "after": str(rows[PAGE - 1].pk)}) if len(rows) > PAGE else ""
    return site.page(
        request,
        "notifications/campaigns/messages.html",
        title=_("Messages: %(name)s") % {"name": campaign.name},
        campaign=campaign,
        asked=asked,
        filtered=any(asked.values()),
        rows=[_row(campaign, one) for one in rows[:PAGE]],
        more=more,
        states=[(value, label, display.number(counts.get(value, 0))) for value, label in MessageState.choices],
        reasons=Reason.choices,
        runs=[(str(number), display.moment(due, campaign.time_zone)) for number, due in runs],
        parked=display.number(parked) if parked else "",
        parked_count=parked,
        may_write=site.may(request, Action.MARKET),
    )


def _chosen(campaign: Campaign, asked: dict[str, str]) -> QuerySet[Message]:
    """By number, from a number on: the index of a run's messages is read from there, however many lie before."""
    runs = Run.objects.filter(campaign=campaign)
    found = Message.objects.filter(organisation=campaign.organisation_id, campaign=campaign, run__in=runs).select_related("variant", "shopper")
    if asked["state"] in MessageState.values:
        found = found.filter(state=asked["state"])
    if asked["reason"] in Reason.values:
        found = found.filter(reason=asked["reason"])
    if asked["run"].isascii() and asked["run"].isdigit():
        found = found.filter(run_id=int(asked["run"][:18]))
    if asked["after"].isascii() and asked["after"].isdigit():
        found = found.filter(pk__gt=int(asked["after"][:18]))
    return found.order_by("pk")


def _row(campaign: Campaign, message: Message) -> dict[str, Any]:
    shopper: Shopper | None = message.shopper if message.shopper_id > 0 else None
    name = (shopper.external_id or f"atrium:{shopper.pk}") if shopper else ""
    return {
        "pk": message.pk,
        "shopper": site.link(shopper, str(shopper)) if shopper else _("erased"),
        "state": display.tag(message.get_state_display(), TONES.get(MessageState(message.state), "")),
        "reason": message.get_reason_display() if message.reason else "",
        "variant": message.variant.name.upper() if message.variant else display.NOTHING,
        "sent": display.moment(message.sent_at, campaign.time_zone),
        "why": f"{reverse('campaign_why', args=[campaign.pk])}?{urlencode({'shopper': name})}" if shopper else "",
    }


@require_POST
def release(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Parked messages are tried again, each after the same questions as before."""
    campaign = own(request, pk)
    principal = site.seat(request)
    if not principal.may(Action.MARKET):
        raise PermissionDenied
    reason = request.POST.get("reason", "")
    try:
        released = campaigns.release(campaign, by=principal.name, reason=reason if reason in Reason.values else None)
        said = ngettext("%(n)s message is tried again.", "%(n)s messages are tried again.", released) % {"n": display.number(released)}
        messages.success(request, said)
    except campaigns.Refused as refused:
        messages.error(request, str(refused))
    return redirect("campaign_messages", pk)


@require_GET
@never_cache
def explained(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every step that decided about one shopper."""
    campaign = own(request, pk)
    asked = request.GET.get("shopper", "").replace("\0", "").strip()
    shopper = _named(campaign, asked) if asked else None
    told: dict[str, Any] = why.explain(campaign, shopper) if shopper else {"verdict": "", "steps": []}
    return site.page(
        request,
        "notifications/campaigns/why.html",
        title=_("Why did somebody get it, or not?"),
        campaign=campaign,
        asked=asked,
        unknown=bool(asked) and shopper is None,
        shopper=site.link(shopper, str(shopper)) if shopper else "",
        verdict=told["verdict"],
        steps=[{**step, "when": display.moment(step["at"], campaign.time_zone) if step["at"] else ""} for step in told["steps"]],
    )


def _named(campaign: Campaign, asked: str) -> Shopper | None:
    """By his organisation's id, by the product's own, or by his address."""
    own_shoppers = Shopper.objects.filter(organisation=campaign.organisation_id)
    number = asked.removeprefix("atrium:")
    if asked.startswith("atrium:") and number.isascii() and number.isdigit() and len(number) < 19:
        return own_shoppers.filter(pk=int(number)).first()
    if found := own_shoppers.filter(external_id=asked).first():
        return found
    if "@" not in asked:
        return None
    # As the index of addresses has it.
    told = Profile.objects.filter(organisation=campaign.organisation_id).extra(where=["lower(email) = lower(%s)"], params=[asked])
    profile = told.order_by("pk").first()
    return own_shoppers.filter(pk=profile.pk).first() if profile else None
