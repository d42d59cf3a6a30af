"""Sending parked work on from the operations page, and stopping that."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from engagement import display
from engagement.models import Organisation
from operations import work
from operations.admin.installation import for_operators
from operations.models import Redrive

SLOWEST, FASTEST = 0.1, 10_000.0  # items a second


class Begin(forms.Form):
    organisation = forms.ModelChoiceField(Organisation.objects.all(), required=False)
    kind = forms.CharField(max_length=32)
    cause = forms.CharField(max_length=64)
    rate = forms.FloatField(min_value=SLOWEST, max_value=FASTEST)

    def clean_kind(self) -> str:
        kind = str(self.cleaned_data["kind"])
        if kind not in {one.name for one in work.kinds()}:
            raise ValidationError(_("There is no such kind of work."))
        return kind


@require_POST
@for_operators
def begin(request: HttpRequest) -> HttpResponseBase:
    form = Begin(request.POST)
    if not form.is_valid():
        messages.error(request, _("Nothing was sent on. Give a rate between 0.1 and 10,000 a second."))
        return redirect("operations")
    asked = form.cleaned_data
    try:
        redrive = work.redrive(asked["organisation"], asked["kind"], asked["cause"], rate=asked["rate"], by=request.user.get_username())
        messages.success(request, _("One of %(total)s is sent on as a try. The rest follows when it went well.") % {"total": display.number(redrive.total)})
    except work.Refused as refused:
        messages.warning(request, str(refused))
    return redirect("operations")


@require_POST
@for_operators
def stop(request: HttpRequest, pk: int) -> HttpResponseBase:
    if work.stop(get_object_or_404(Redrive, pk=pk), by=request.user.get_username()):
        messages.success(request, _("Stopped. What was not sent on stays parked."))
    else:
        messages.info(request, _("It had ended already."))
    return redirect("operations")
