"""What holds for everything that an organisation sends, and the topics that its shoppers may wish for or not."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from engagement import site, tenancy
from engagement.models import Organisation
from engagement.tenancy import Action
from notifications import draft_form
from notifications.admin.campaigns import policy_of
from notifications.models import Campaign, Preference, SendingPolicy, Topic

HOLD, DROP = "hold", "drop"


class PolicyForm(forms.Form):
    """The policy as people say it."""

    sender = forms.CharField(required=False, max_length=320, label=gettext_lazy("From"))
    postal_address = forms.CharField(required=False, max_length=1000, label=gettext_lazy("Postal address"), widget=forms.Textarea(attrs={"rows": 3}))
    capped = forms.BooleanField(required=False, label=gettext_lazy("At most so many messages to one shopper, of all brands together"))
    cap_messages = forms.IntegerField(required=False, min_value=1, max_value=1000, label=gettext_lazy("Messages"))
    cap_days = forms.IntegerField(required=False, min_value=1, max_value=365, label=gettext_lazy("in days"))
    quiet = forms.BooleanField(required=False, label=gettext_lazy("Quiet hours"))
    quiet_from = forms.TimeField(required=False, label=gettext_lazy("From"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    quiet_until = forms.TimeField(required=False, label=gettext_lazy("Until"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    quiet_then = forms.ChoiceField(
        required=False,
        label=gettext_lazy("What falls into them"),
        choices=[(HOLD, gettext_lazy("waits until they are over")), (DROP, gettext_lazy("is not sent"))],
    )
    by_shopper = forms.BooleanField(required=False, label=gettext_lazy("by the shopper's clock"))
    by_shop = forms.BooleanField(required=False, label=gettext_lazy("by the shop's clock"))
    needs_approval = forms.BooleanField(required=False, label=gettext_lazy("A second person approves each campaign before it is sent"))
    failures_pause_at = forms.DecimalField(
        min_value=0, max_value=100, max_digits=4, decimal_places=1, label=gettext_lazy("Pause a campaign when so many of its messages fail, in %")
    )

    def clean_sender(self) -> str:
        value = str(self.cleaned_data["sender"]).strip()
        faults: list[draft_form.Fault] = []
        draft_form.sender(draft_form.Reader({"from": value}, "", faults))
        if faults:
            raise ValidationError(faults[0].detail)
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("capped") and not (cleaned.get("cap_messages") and cleaned.get("cap_days")):
            self.add_error("cap_messages", _("Say how many messages, and in how many days."))
        if cleaned.get("quiet"):
            begin, end = cleaned.get("quiet_from"), cleaned.get("quiet_until")
            if begin is None or end is None or begin == end:
                self.add_error("quiet_from", _("Say from when until when; the two must differ."))
            if not (cleaned.get("by_shopper") or cleaned.get("by_shop")):
                self.add_error("by_shop", _("Say by whose clock."))
        return cleaned

    def policy(self) -> dict[str, Any]:
        told = self.cleaned_data
        return {
            "sender": told["sender"],
            "postal_address": told["postal_address"].strip(),
            "cap_messages": told["cap_messages"] if told["capped"] else None,
            "cap_days": told["cap_days"] if told["capped"] else None,
            "quiet_hours": self._quiet_hours() if told["quiet"] else None,
            "needs_approval": told["needs_approval"],
            "failures_pause_at": told["failures_pause_at"] / 100,
        }

    def _quiet_hours(self) -> dict[str, Any]:
        told = self.cleaned_data
        clocks = [name for name, field in (("shopper", "by_shopper"), ("shop", "by_shop")) if told[field]]
        return {"from": f"{told['quiet_from']:%H:%M}", "until": f"{told['quiet_until']:%H:%M}", "then": told["quiet_then"] or HOLD, "clocks": clocks}


def _initial(policy: SendingPolicy) -> dict[str, Any]:
    quiet = policy.quiet_hours or {"from": "21:00", "until": "08:00", "then": HOLD, "clocks": ["shopper", "shop"]}
    return {
        "sender": policy.sender,
        "postal_address": policy.postal_address,
        "capped": policy.cap_messages is not None,
        "cap_messages": policy.cap_messages or 4,
        "cap_days": policy.cap_days or 7,
        "quiet": policy.quiet_hours is not None,
        "quiet_from": quiet["from"],
        "quiet_until": quiet["until"],
        "quiet_then": quiet.get("then", HOLD),
        "by_shopper": "shopper" in quiet.get("clocks", ("shopper", "shop")),
        "by_shop": "shop" in quiet.get("clocks", ("shopper", "shop")),
        "needs_approval": policy.needs_approval,
        "failures_pause_at": float(policy.failures_pause_at) * 100,
    }


@require_http_methods(["GET", "POST"])
@never_cache
def policy(request: HttpRequest) -> HttpResponseBase:
    """Everybody of the organisation may read it; who speaks for it may change it."""
    principal = site.seat(request)
    may_write = principal.may(Action.MARKET)
    if request.method == "POST" and not may_write:
        raise PermissionDenied
    now = policy_of(principal.organisation)
    form = PolicyForm(request.POST if request.method == "POST" else None, initial=_initial(now))
    if request.method == "POST" and form.is_valid():
        SendingPolicy.objects.update_or_create(organisation=principal.organisation, defaults=form.policy())
        messages.success(request, _("Saved. It holds for everything that leaves from now on."))
        return redirect("sending_policy")
    return site.page(
        request,
        "notifications/policy.html",
        title=_("Sending policy"),
        form=form,
        may_write=may_write,
        topics=_topics(principal.organisation),
        topic=TopicForm(),
    )


# --- Topics ---------------------------------------------------------------------------------------------------------------


class TopicForm(forms.Form):
    topic = forms.CharField(max_length=200, label=gettext_lazy("Name, as shoppers read it"))


def _topics(organisation: Organisation) -> list[dict[str, Any]]:
    found = tenancy.scoped(Topic.objects.all(), organisation).order_by("name")
    return [
        {"pk": one.pk, "name": one.name, "key": one.key, "campaigns": Campaign.objects.filter(organisation=organisation, topic=one).count()} for one in found
    ]


@require_http_methods(["POST"])
def topics(request: HttpRequest) -> HttpResponseBase:
    """A topic more, or one less: one that a campaign is of, or that somebody has a wish about, stays."""
    principal = site.seat(request, Action.MARKET)
    organisation = principal.organisation
    form = TopicForm(request.POST)
    if request.POST.get("remove", "").isdigit():
        _remove(request, organisation, int(request.POST["remove"][:18]))
    elif form.is_valid():
        name = form.cleaned_data["topic"].strip()
        key = slugify(name)[:60] or "topic"
        _row, made = Topic.objects.get_or_create(organisation=organisation, key=key, defaults={"name": name})
        messages.success(request, _("“%(name)s” can be chosen in campaigns now.") % {"name": name}) if made else messages.info(
            request, _("There is such a topic.")
        )
    else:
        messages.error(request, _("Give the topic a name."))
    return redirect("sending_policy")


def _remove(request: HttpRequest, organisation: Organisation, pk: int) -> None:
    with transaction.atomic():
        found = tenancy.scoped(Topic.objects.select_for_update(), organisation).filter(pk=pk).first()
        if found is None:
            return
        if Campaign.objects.filter(topic=found).exists() or Preference.objects.filter(topic=found).exists():
            messages.error(request, _("“%(name)s” is in use: a campaign is of it, or a shopper has a wish about it.") % {"name": found.name})
            return
        found.delete()
        messages.success(request, _("“%(name)s” was removed.") % {"name": found.name})
