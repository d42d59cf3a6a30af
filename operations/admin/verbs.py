"""What an operator does on the operations page: acknowledge an alarm, and silence it. Each is a POST, and says what came of it."""

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from engagement import display, site
from operations import evaluation
from operations.admin import standing
from operations.admin.installation import for_operators
from operations.alarms import DECLARED
from operations.models import Alarm

HOURS: Final = (("1", gettext_lazy("1 hour")), ("8", gettext_lazy("8 hours")), ("24", gettext_lazy("1 day")))
UNTIL: Final = "until"


def _told(request: HttpRequest, done: str, why_not: str, act: Any) -> HttpResponseBase:
    try:
        act()
        messages.success(request, done)
    except evaluation.IllegalMove:
        messages.warning(request, why_not)
    return redirect("operations")


def _by(request: HttpRequest) -> str:
    return request.user.get_username()


def _alarm(name: str) -> Alarm:
    if name not in DECLARED:
        raise Http404
    return get_object_or_404(Alarm, name=name)


@require_POST
@for_operators
def acknowledge(request: HttpRequest, name: str) -> HttpResponseBase:
    alarm = _alarm(name)
    done = _("%(title)s is acknowledged: you are at it.") % {"title": standing.title(name)}
    why_not = _("%(title)s does not fire any more, so there is nothing to acknowledge.") % {"title": standing.title(name)}
    return _told(request, done, why_not, lambda: evaluation.acknowledge(alarm.name, _by(request), timezone.now()))


@require_POST
@for_operators
def unsilence(request: HttpRequest, name: str) -> HttpResponseBase:
    alarm = _alarm(name)
    done = _("%(title)s is not silent any more.") % {"title": standing.title(name)}
    why_not = _("%(title)s was not silent.") % {"title": standing.title(name)}
    return _told(request, done, why_not, lambda: evaluation.unsilence(alarm.name, _by(request), timezone.now()))


class Silence(forms.Form):
    span = forms.ChoiceField(choices=HOURS)
    until = forms.DateTimeField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["span"].valid_value = lambda value: value == UNTIL or value in dict(HOURS)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        known, now = super().clean() or {}, timezone.now()
        span = known.get("span")
        if span and span != UNTIL:
            known["until"] = now + timedelta(hours=int(span))
        elif span and not known.get("until") and "until" not in self.errors:
            self.add_error("until", _("Say until when."))
        elif span and known.get("until") and not now < known["until"] <= now + evaluation.LONGEST_SILENCE:
            self.add_error("until", _("Give a time to come, at most %(span)s ahead.") % {"span": display.duration(evaluation.LONGEST_SILENCE.total_seconds())})
        return known


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_operators
def silence(request: HttpRequest, name: str) -> HttpResponseBase:
    """Where Slack's button leads: asks, and acts by POST alone, for chat programs open links by themselves."""
    alarm = _alarm(name)
    form = Silence(request.POST) if request.method == "POST" else Silence(initial={"span": "1"})
    if request.method == "POST" and form.is_valid():
        until: datetime = form.cleaned_data["until"]
        done = format_html(_("{} is silent until {}."), standing.title(name), display.moment(until))
        why_not = _("%(title)s cannot be silenced now.") % {"title": standing.title(name)}
        return _told(request, done, why_not, lambda: evaluation.silence(alarm.name, until, _by(request), timezone.now()))
    one = standing.standing(DECLARED[name], alarm)
    clock = timezone.localtime().tzname()
    return site.page(request, "operations/silence.html", title=_("Silence an alarm"), one=one, form=form, clock=clock)
