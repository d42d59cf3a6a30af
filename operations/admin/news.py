"""The channel in which an organisation's marketers are told news: an owner sets it, tries it, takes it away. Its address is never shown again."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from engagement import site
from engagement.tenancy import Action, Principal
from operations import news, sealing, slack, ways
from operations.models import NewsChannel


class ChannelForm(forms.Form):
    address = forms.CharField(
        required=False, max_length=300, label=gettext_lazy("Address of an incoming webhook"), widget=forms.PasswordInput(attrs={"autocomplete": "off"})
    )
    campaigns = forms.BooleanField(required=False, label=gettext_lazy("Tell when a campaign has finished, or paused itself"))
    weekly = forms.BooleanField(required=False, label=gettext_lazy("Tell the week's figures on Monday morning"))

    def __init__(self, *args: Any, known: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = known

    @sensitive_variables()
    def clean_address(self) -> str:
        value = str(self.cleaned_data["address"]).strip()
        if value and not slack.is_webhook(value, trial=settings.SLACK_API_URL):
            raise ValidationError(_("This is no address of an incoming webhook of Slack's. It begins with https://hooks.slack.com/services/."))
        if not value and not self.known:
            raise ValidationError(_("Give the address that Slack shows under “Incoming Webhooks”."))
        return value


@sensitive_post_parameters("address")
@require_http_methods(["GET", "POST"])
@never_cache
def channel(request: HttpRequest) -> HttpResponseBase:
    """For owners: whoever has the address may write into the channel, as whoever has a key may post to the door."""
    principal = site.seat(request, Action.MANAGE_KEYS)
    found = NewsChannel.objects.filter(organisation=principal.organisation).first()
    act = request.POST.get("act", "")
    if act == "remove":
        return _remove(request, principal)
    if act == "try":
        return _try(request, principal, found)
    known = found is not None and _is_readable(found)
    initial = {"campaigns": found.campaigns, "weekly": found.weekly} if found else {"campaigns": True, "weekly": True}
    form = ChannelForm(request.POST if request.method == "POST" else None, initial=initial, known=known)
    if request.method == "POST" and form.is_valid():
        _save(principal, form.cleaned_data)
        messages.success(request, _("Saved. Send a test message to see whether it arrives."))
        return redirect("news_channel")
    return site.page(request, "operations/news.html", title=_("Slack channel"), form=form, channel=found, known=known)


def _is_readable(found: NewsChannel) -> bool:
    try:
        sealing.unseal(found.address)
    except sealing.Unreadable:
        return False
    return True


@sensitive_variables()
def _save(principal: Principal, told: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"campaigns": told["campaigns"], "weekly": told["weekly"]}
    if told["address"]:
        fields |= {"address": sealing.seal(told["address"]), "set_by": principal.name, "set_at": timezone.now(), "problem": ""}
        NewsChannel.objects.update_or_create(organisation=principal.organisation, defaults=fields)
    else:
        NewsChannel.objects.filter(organisation=principal.organisation).update(**fields)


def _try(request: HttpRequest, principal: Principal, found: NewsChannel | None) -> HttpResponseBase:
    try:
        if found is None:
            raise sealing.Unreadable
        ways.marketers(found).tell(news.trial(principal.organisation))
    except sealing.Unreadable:
        messages.error(request, _("There is no address to send to. Set it again."))
    except slack.NotTold as problem:
        messages.error(
            request, _("Slack did not take it (%(problem)s). Look whether the webhook still exists, and set it again if it does not.") % {"problem": problem}
        )
    else:
        messages.success(request, _("Slack has taken it. Look into the channel."))
    return redirect("news_channel")


def _remove(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    if NewsChannel.objects.filter(organisation=principal.organisation).delete()[0]:
        messages.success(request, _("Removed. Nobody is told news any more; the webhook itself is yours to remove in Slack."))
    return redirect("news_channel")
