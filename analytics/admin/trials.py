"""Trying other settings of a zone: the form, the trial's page with its progress and result, and what is done with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from unfold.widgets import UnfoldAdminSingleDateWidget

from analytics import trial as trials
from analytics.models import Recut, Trial
from engagement import display, provisioning, site, tenancy
from engagement.models import PlacesChange, Shopper, Zone, ZoneKind, ZoneVersion
from engagement.place_forms import THRESHOLDS, ZoneForm
from engagement.tenancy import Action

SHOWN: Final = 8  # latest trials of a zone

UNITS: Final = {"exit_grace_s": "s", "min_stay_s": "s", "max_accuracy_m": "m", "enter_rssi": "dBm", "hold_rssi": "dBm"}


class TryForm(ZoneForm):
    """Thresholds and boundary of a zone, checked as provisioning checks them; nothing is saved."""

    class Meta:
        model = Zone
        fields: list[str] = []

    def changes(self) -> dict[str, Any]:
        drawn = ("boundary",) if "boundary" in self.changed_data else ()
        return {name: self.cleaned_data[name] for name in (*THRESHOLDS, *drawn)}

    def document(self) -> dict[str, Any]:
        section = "venues" if self.instance.kind == ZoneKind.VENUE else "zones"
        return {section: [{"key": self.instance.key, **self.changes()}]}


class SaveForm(forms.Form):
    """From when the tried settings hold."""

    NOW, SINCE, ALWAYS = "now", "since", "always"
    holds = forms.ChoiceField(choices=[(NOW, NOW), (SINCE, SINCE), (ALWAYS, ALWAYS)], initial=NOW)
    day = forms.DateField(required=False, label=gettext_lazy("First corrected day"), widget=UnfoldAdminSingleDateWidget())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("holds") == self.SINCE and not cleaned.get("day") and "day" not in self.errors:
            self.add_error("day", _("Say from which day on history is to be corrected."))
        return cleaned


# --- Pages ----------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
def try_settings(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The form. Whoever may look may try: it changes nothing."""
    zone = _own(request, Zone, pk, "venue", "organisation")
    form = _form(request, zone)
    if request.method == "POST" and form.is_valid():
        try:
            asked = trials.ask(zone=zone, changes=form.changes(), by=request.user.get_username())
            return redirect("trial", asked.pk)
        except trials.NothingToTry:
            form.add_error(None, _("These are the settings that the zone has. Change at least one of them."))
        except trials.TooMany:
            form.add_error(None, _("%(n)d trials are under way already. Wait for one of them, or cancel it.") % {"n": trials.AT_ONCE})
    return _page(request, "analytics/try.html", title=_("Try other settings: %(zone)s") % {"zone": zone.name}, zone=zone, form=form, **beside(zone))


def _form(request: HttpRequest, zone: Zone) -> TryForm:
    TryForm.organisation = zone.organisation
    return TryForm(request.POST if request.method == "POST" else None, instance=zone)


@require_GET
@never_cache
def page(request: HttpRequest, pk: int) -> HttpResponseBase:
    trial = _own_trial(request, pk)
    return _page(
        request,
        "analytics/trial.html",
        title=_("A trial of settings: %(zone)s") % {"zone": trial.zone.name},
        trial=trial,
        zone=trial.zone,
        settings=_settings(trial),
        redrawn="boundary" in trial.settings,
        days=_days(trial),
        asked=display.moment(trial.created_at),
        saved=display.moment(trial.saved_at),
        far=_far(trial),
        lines=_lines(trial.result) if trial.result else [],
        made_of=_made_of(trial),
        changed_meanwhile=ZoneVersion.objects.filter(zone=trial.zone, valid_from__gt=trial.since, valid_from__lt=trial.until).exists(),
        may_save=site.may(request, Action.CHANGE_PLACES),
        may_cancel=_may_cancel(request, trial),
    )


@require_GET
@never_cache
def progress(request: HttpRequest, pk: int) -> JsonResponse:
    trial = _own_trial(request, pk)
    far = _far(trial)
    return JsonResponse({"finished": trial.finished_at is not None, "percent": far.percent, "text": far.text})


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponseBase:
    trial = _own_trial(request, pk)
    if not _may_cancel(request, trial):
        raise PermissionDenied
    if trials.cancel(trial):
        messages.success(request, _("The trial was cancelled. Nothing of it is kept."))
        return redirect("try_settings", trial.zone_id)
    messages.info(request, _("The trial was finished already."))
    return redirect("trial", trial.pk)


@require_http_methods(["GET", "POST"])
@never_cache
def save(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Says what each way of saving does, and to how many; does the chosen one when told so."""
    trial = _own_trial(request, pk)
    if not site.may(request, Action.CHANGE_PLACES):
        raise PermissionDenied
    if trial.result is None or trial.saved_at is not None:
        return redirect("trial", trial.pk)
    first = trial.since.astimezone(ZoneInfo(trial.zone.venue.time_zone)).date()
    form = SaveForm(request.POST if request.method == "POST" else None, initial={"day": first})
    if request.method == "POST" and form.is_valid() and _saved(request, trial, form):
        return redirect("admin:engagement_zone_change", trial.zone_id)
    known = Shopper.objects.filter(organisation=trial.organisation_id)
    return _page(
        request,
        "analytics/trial_save.html",
        title=_("Use these settings: %(zone)s") % {"zone": trial.zone.name},
        trial=trial,
        zone=trial.zone,
        settings=_settings(trial),
        redrawn="boundary" in trial.settings,
        form=form,
        first=display.day(first),
        since=_shoppers(known.filter(last_at__gte=trial.since).count()),
        all=_shoppers(known.exclude(last_at=None).count()),
        differs_now=_differs_now(trial),
    )


def _saved(request: HttpRequest, trial: Trial, form: SaveForm) -> bool:
    """Whether it was done; else the form says why not."""
    holds, day = form.cleaned_data["holds"], form.cleaned_data["day"]
    since = _midnight(day, trial.zone) if holds == SaveForm.SINCE else None
    try:
        trials.save(trial=trial, by=request.user.get_username(), correct=holds != SaveForm.NOW, since=since)
    except trials.NotToSave:
        messages.info(request, _("These settings were saved already."))
        return True
    except provisioning.Refused as refused:
        for fault in refused.faults:
            form.add_error("day" if fault.place == "since" else None, fault.message)
        return False
    since_when = {SaveForm.NOW: _("from now on"), SaveForm.ALWAYS: _("from the beginning")}.get(holds) or _("since %(day)s") % {"day": display.day(day)}
    said = _("Tried settings were saved; they hold %(since)s.") % {"since": since_when}
    LogEntry.objects.log_actions(request.user.pk or 0, [trial.zone], CHANGE, change_message=said, single_object=True)
    messages.success(request, said if holds == SaveForm.NOW else _("%(said)s Stays are made again now, and the figures follow.") % {"said": said})
    return True


def _midnight(day: date, zone: Zone) -> datetime:
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(zone.venue.time_zone))


# --- Whose ----------------------------------------------------------------------------------------------------------------


def _own(request: HttpRequest, model: Any, pk: int, *related: str) -> Any:
    """The row of the reader's organisation. Another's is as unknown as one that never was."""
    if not site.may(request, Action.LOOK):
        raise Http404
    found = tenancy.scoped(model.objects.select_related(*related), site.seat(request).organisation).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _own_trial(request: HttpRequest, pk: int) -> Trial:
    found: Trial = _own(request, Trial, pk, "zone__venue", "zone__organisation")
    return found


def _may_cancel(request: HttpRequest, trial: Trial) -> bool:
    """Who asked for it, and who may change places."""
    return trial.asked_by == request.user.get_username() or site.may(request, Action.CHANGE_PLACES)


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


# --- How it is written ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Far:
    """How far long work is."""

    percent: int
    text: str


def far(done: int, of: int | None) -> Far:
    if of is None:
        return Far(0, _("about to begin"))
    done = min(done, of)
    return Far(
        100 * done // of if of else 100,
        ngettext("%(done)s of %(of)s shopper", "%(done)s of %(of)s shoppers", of) % {"done": display.number(done), "of": display.number(of)},
    )


def _far(trial: Trial) -> Far:
    return far(trial.done, trial.of)


def _shoppers(count: int) -> str:
    return ngettext("%(n)s shopper", "%(n)s shoppers", count) % {"n": display.number(count)}


def _days(trial: Trial) -> str:
    clock = ZoneInfo(trial.zone.venue.time_zone)
    last = (trial.until - timedelta(seconds=1)).astimezone(clock).date()
    return _("%(first)s to %(last)s") % {"first": display.day(trial.since.astimezone(clock).date()), "last": display.day(last)}


def _settings(trial: Trial) -> list[dict[str, Any]]:
    """Each threshold: its label, as it was and as tried."""
    return [
        {
            "label": str(ZoneForm.base_fields[name].label).partition(",")[0],
            "present": f"{_plain(trial.present[name])} {UNITS[name]}",
            "tried": f"{_plain(trial.settings[name])} {UNITS[name]}",
            "changed": trial.present[name] != trial.settings[name],
        }
        for name in THRESHOLDS
    ]


def _plain(value: float) -> str:
    """Without a fraction where there is none."""
    return display.number(int(value) if value == int(value) else value)


def _differs_now(trial: Trial) -> bool:
    current = ZoneVersion.objects.get(zone=trial.zone, valid_to=None)
    return any(getattr(current, name) != trial.present[name] for name in THRESHOLDS)


FIGURES: Final[tuple[tuple[str, Any, Any, bool], ...]] = (
    ("visits", gettext_lazy("Visits"), gettext_lazy("Stays at least as long as the minimum stay."), False),
    ("visitors", gettext_lazy("Visitors"), gettext_lazy("Different shoppers with a visit."), False),
    ("pass_bys", gettext_lazy("Pass-bys"), gettext_lazy("Stays shorter than the minimum stay."), False),
    ("dwell_median_s", gettext_lazy("Dwell, median"), gettext_lazy("Half of the visits were shorter than this."), True),
    ("dwell_p90_s", gettext_lazy("Dwell, 90th percentile"), gettext_lazy("Nine of ten visits were shorter than this."), True),
    ("dwell_mean_s", gettext_lazy("Dwell, mean"), gettext_lazy("All time of the visits, shared out among them."), True),
    ("came_back", gettext_lazy("Left and came back"), gettext_lazy("Visits at most 10 minutes after the shopper's visit before. Many: phones flap."), False),
)  # fmt: skip


def _lines(result: dict[str, Any]) -> list[dict[str, str]]:
    """Each figure under both settings, and its change."""
    lines = []
    for name, label, why, is_time in FIGURES:
        write: Callable[[float | None], str] = _time if is_time else display.number
        old, new = result["present"][name], result["tried"][name]
        lines.append({"name": name, "label": label, "why": why, "present": write(old), "tried": write(new), "change": _change(old, new, write)})
    return lines


def _change(old: float | None, new: float | None, write: Callable[[float | None], str]) -> str:
    if old is None or new is None:
        return display.NOTHING
    if old == new:
        return _("none")
    sign = "+" if new > old else "−"
    amount = f"{sign}{write(abs(new - old))}"
    if not old:
        return amount
    percent = abs(new - old) / old * 100
    return format_html('{} <span class="share">({}{}\u00a0%)</span>', amount, sign, display.number(percent, 0 if percent >= 100 else 1))


def _time(seconds: float | None) -> str:
    """`40 s`, `21 min 40 s`, `3 h 5 min`: close enough to see a change. A number stays with its unit."""
    if seconds is None:
        return display.NOTHING
    whole = round(seconds)
    if 60 <= whole < 3600:
        return _("%(m)d\u00a0min %(s)d\u00a0s") % {"m": whole // 60, "s": whole % 60}
    return display.duration(whole)


def _made_of(trial: Trial) -> str:
    if not trial.result:
        return ""
    return _("Made from %(events)s events of %(shoppers)s.") % {"events": display.number(trial.result["events"]), "shoppers": _shoppers(trial.of or 0)}


# --- Beside a zone --------------------------------------------------------------------------------------------------------


def beside(zone: Zone) -> dict[str, Any]:
    """What a zone's page says of trials, and of history that is being made again."""
    latest = Trial.objects.filter(zone=zone).order_by("-pk")[:SHOWN]
    recut = Recut.objects.filter(organisation=zone.organisation_id, finished_at=None).order_by("pk").first()
    waiting = recut is None and PlacesChange.objects.filter(organisation=zone.organisation_id).exists()
    return {
        "trials": [
            {"address": reverse("trial", args=[one.pk]), "asked": display.moment(one.created_at), "by": one.asked_by, "what": _what(one), "state": _state(one)}
            for one in latest
        ],
        "recut_far": far(recut.done, recut.of) if recut else Far(0, _("about to begin")) if waiting else None,
    }


def _what(trial: Trial) -> str:
    """`exit grace 60 → 300 s, boundary`."""
    said = [f"{one['label']} {_plain(trial.present[name])} → {one['tried']}" for name, one in zip(THRESHOLDS, _settings(trial), strict=True) if one["changed"]]
    return ", ".join([*said, *([_("another boundary")] if "boundary" in trial.settings else [])])


def _state(trial: Trial) -> str:
    if trial.failed:
        return display.tag(_("failed"), "bad")
    if trial.saved_at:
        return display.tag(_("saved"), "good")
    return display.tag(_("done")) if trial.finished_at else display.tag(f"{_far(trial).percent} %", "warn")
