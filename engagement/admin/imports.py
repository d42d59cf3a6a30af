"""Imports of shoppers: a file is uploaded, its columns are named, it is looked at, and taken in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import islice
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from engagement import display, imports, site
from engagement.imports import NotNow, Terms
from engagement.models import Organisation, ShopperImport, ShopperList
from engagement.profiles import lists, sheet, told
from engagement.profiles.sheet import Unreadable
from engagement.scoped import ScopedAdmin
from engagement.tenancy import Action

State = ShopperImport.State
TONES: Final = {State.CHECKED: "good", State.FINISHED: "good", State.FAILED: "bad", State.CHECKING: "warn", State.RUNNING: "warn"}
SAMPLES: Final = 2  # rows of the file that are shown beside its columns
SHOWN: Final = 200  # faults on a page

MEANINGS: Final = [
    (sheet.IGNORE, gettext_lazy("Leave it out")),
    ("id", gettext_lazy("The shopper's id")),
    ("email", gettext_lazy("E-mail address")),
    ("language", gettext_lazy("Language")),
    ("time_zone", gettext_lazy("Time zone")),
    ("consent", gettext_lazy("Consent to e-mail: yes or no")),
    ("consent_at", gettext_lazy("When consent was given or withdrawn")),
    ("text", gettext_lazy("Attribute: text")),
    ("number", gettext_lazy("Attribute: number")),
    ("truth", gettext_lazy("Attribute: yes or no")),
]
UNREADABLE: Final = {
    "too_large": gettext_lazy("The file has more than 50 MB. Part it in several."),
    "utf16": gettext_lazy("The file is written in UTF-16, or is no text at all. Save it as “CSV UTF-8” and upload it again."),
    "not_utf8": gettext_lazy("The file is not written in UTF-8. Save it as “CSV UTF-8” and upload it again."),
    "empty": gettext_lazy("The file is empty. Its first line must have the names of the columns."),
    "columns": gettext_lazy("The file has more than 200 columns. Leave out those that are not needed."),
    "quotes": gettext_lazy("A quotation mark is not closed, or stands in the middle of a cell. From this line on the file cannot be read."),
}
WRONG: Final = {
    "no_id": gettext_lazy("Say which column has the shopper's id: the one that the app gives."),
    "twice": gettext_lazy("Two columns have the same meaning. Leave one of them out."),
    "unknown": gettext_lazy("A column has a meaning that does not exist."),
    "name": gettext_lazy("Every attribute needs a name of its own, of at most 64 characters."),
    "attributes": gettext_lazy("A shopper has at most 50 attributes. Leave some columns out."),
    "terms": gettext_lazy("Of consent the purpose, the wording, the source and the date must be known: for everybody, or a date in a column of its own."),
}
REASONS: Final = {
    told.Reason.MALFORMED: gettext_lazy("It cannot be read as what the column is."),
    told.Reason.MISSING_FIELD: gettext_lazy("It is missing."),
    told.Reason.UNKNOWN_FIELD: gettext_lazy("It is not known."),
    told.Reason.OUT_OF_RANGE: gettext_lazy("It lies outside what is possible."),
    told.Reason.IN_FUTURE: gettext_lazy("It lies in the future."),
    told.Reason.TOO_MUCH: gettext_lazy("The shopper would have more than 50 attributes."),
    told.Reason.BAD_EMAIL: gettext_lazy("It is not one e-mail address."),
    told.Reason.BAD_LANGUAGE: gettext_lazy("It is not a language such as en or en-ZA."),
    told.Reason.UNKNOWN_TIME_ZONE: gettext_lazy("It is not a time zone such as Africa/Johannesburg."),
    told.Reason.UNKNOWN_CHANNEL: gettext_lazy("This channel is not known."),
    told.Reason.ERASED: gettext_lazy("The shopper was erased after it."),
    "too_many_cells": gettext_lazy("The line has more cells than the heading."),
    **UNREADABLE,
}


class DayInput(UnfoldAdminSingleDateWidget):  # type: ignore[misc]
    """The browser's own: it needs no script, and shows days as its reader writes them."""

    input_type = "date"


class UploadForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("File"), allow_empty_file=True, widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,.tsv,text/csv"}))


class MappingForm(forms.Form):
    """What each column is, and what the file agreed to. The fields of column 3 are `meaning_3` and `name_3`."""

    everybody = forms.BooleanField(required=False, label=gettext_lazy("Everybody in this file agreed to e-mail"), widget=UnfoldBooleanSwitchWidget())
    purpose = forms.CharField(
        required=False, max_length=told.LONGEST_PURPOSE, initial=told.MARKETING, label=gettext_lazy("Purpose"), widget=UnfoldAdminTextInputWidget()
    )
    wording = forms.CharField(
        required=False, max_length=told.LONGEST_WORDING, label=gettext_lazy("Wording: which text they saw"), widget=UnfoldAdminTextInputWidget()
    )
    source = forms.CharField(
        required=False, max_length=told.LONGEST_SOURCE, label=gettext_lazy("Source: where they said so"), widget=UnfoldAdminTextInputWidget()
    )
    at = forms.DateField(required=False, label=gettext_lazy("Date"), widget=DayInput(format="%Y-%m-%d"))
    into = forms.ModelChoiceField(
        ShopperList.objects.none(),
        required=False,
        empty_label=gettext_lazy("No list"),
        label=gettext_lazy("Everybody joins the list"),
        widget=UnfoldAdminSelectWidget(),
    )
    new_list = forms.CharField(required=False, max_length=200, label=gettext_lazy("Or a new list of this name"), widget=UnfoldAdminTextInputWidget())

    def __init__(self, *args: Any, row: ShopperImport, organisation: Organisation, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.columns, self.organisation = names, organisation
        into: Any = self.fields["into"]
        into.queryset = ShopperList.objects.filter(organisation=organisation).order_by("name", "pk")
        for column, heading in enumerate(names):
            kind, _colon, name = str(row.mapping.get(str(column), sheet.IGNORE)).partition(":")
            label = _("What “%(column)s” is") % {"column": heading or column + 1}
            self.fields[f"meaning_{column}"] = forms.ChoiceField(
                choices=MEANINGS, required=False, initial=kind, label=label, widget=UnfoldAdminSelectWidget(attrs={"aria-label": label})
            )
            label = _("Name of the attribute in “%(column)s”") % {"column": heading or column + 1}
            widget = UnfoldAdminTextInputWidget(attrs={"aria-label": label, "maxlength": told.LONGEST_NAME})
            self.fields[f"name_{column}"] = forms.CharField(required=False, initial=name or heading[: told.LONGEST_NAME], label=label, widget=widget)

    def mapping(self) -> dict[int, str]:
        found = {}
        for column in range(len(self.columns)):
            meaning, name = self.cleaned_data.get(f"meaning_{column}", ""), self.cleaned_data.get(f"name_{column}", "")
            if meaning:
                found[column] = f"{meaning}:{name}" if meaning in imports.KINDS else meaning
        return found

    def terms(self) -> Terms:
        said, day = self.cleaned_data, self.cleaned_data.get("at")
        at = datetime.combine(day, time.min, tzinfo=display.clock_of(self.organisation)).astimezone(UTC).isoformat() if day else ""
        return Terms(said.get("purpose", ""), said.get("wording", ""), said.get("source", ""), at, bool(said.get("everybody")))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            for fault in imports.wrong(self.mapping(), self.terms()):
                self.add_error(None, WRONG[fault])
            if cleaned.get("at") and cleaned["at"] > timezone.localdate(timezone=display.clock_of(self.organisation)):
                self.add_error("at", _("This day is still to come."))
        return cleaned

    def joined(self) -> ShopperList | None:
        name = self.cleaned_data["new_list"].strip()
        return lists.make(self.organisation, name) if name else self.cleaned_data["into"]


@dataclass(frozen=True)
class Column:
    """One of the file, for the page."""

    heading: str
    samples: str
    meaning: forms.BoundField
    name: forms.BoundField


@admin.register(ShopperImport)
class ShopperImportAdmin(ScopedAdmin):
    """Who may tell of shoppers sees them: a page shows lines of the file."""

    when_empty = gettext_lazy("Upload a CSV file with shoppers, their addresses and attributes. You see what it would do before it does anything.")
    to_add = Action.MANAGE_SHOPPERS
    list_display = ("name", "state_tag", "rows", "taken", "rejected_lines", "uploaded")
    ordering = ("-pk",)
    sortable_by: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ShopperImport]:
        return super().get_queryset(request).defer("content", "faults")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return site.may(request, Action.MANAGE_SHOPPERS)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return site.may(request, Action.MANAGE_SHOPPERS)

    @admin.display(description=gettext_lazy("state"))
    def state_tag(self, row: ShopperImport) -> str:
        return display.tag(row.get_state_display(), TONES.get(State(row.state), ""))

    @admin.display(description=gettext_lazy("rows"))
    def rows(self, row: ShopperImport) -> str:
        return display.number(row.lines)

    @admin.display(description=gettext_lazy("taken in"))
    def taken(self, row: ShopperImport) -> str:
        return display.number(row.created + row.updated + row.unchanged) if row.state in (State.RUNNING, State.FINISHED, State.FAILED) else display.NOTHING

    @admin.display(description=gettext_lazy("rejected"))
    def rejected_lines(self, row: ShopperImport) -> str:
        return display.number(row.rejected) if row.state != State.UPLOADED else display.NOTHING

    @admin.display(description=gettext_lazy("uploaded"))
    def uploaded(self, row: ShopperImport) -> str:
        return display.joined([row.asked_by, display.moment(row.created_at)])

    def own(self, request: HttpRequest, object_id: str) -> Any:
        """All pages of one begin here."""
        site.seat(request, Action.MANAGE_SHOPPERS)
        return super().own(request, object_id)

    # --- Pages

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None) if request.method == "POST" else UploadForm()
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                made = imports.upload(organisation=self.organisation(request), name=file.name, chunks=file.chunks(), by=request.user.get_username())
                return redirect("admin:engagement_shopperimport_change", made.pk)
            except Unreadable as error:
                where = _("Line %(line)s:") % {"line": display.number(error.line)} if error.line else ""
                form.add_error("file", f"{where} {UNREADABLE[error.why]}".strip())
        return self._page(request, "engagement/import_upload.html", title=_("Import shoppers"), form=form)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        row: ShopperImport = self.own(request, object_id)
        form = self._form(request, row) if row.state in (State.UPLOADED, State.CHECKED) and row.content else None
        if request.method == "POST":
            if form is None:
                return redirect("admin:engagement_shopperimport_change", row.pk)
            if form.is_valid() and self._looked(request, row, form):
                return redirect("admin:engagement_shopperimport_change", row.pk)
        names = form.columns if form else _names(row)
        return self._page(
            request,
            "engagement/import.html",
            title=_("Import: %(name)s") % {"name": row.name},
            row=row,
            form=form,
            columns=list(_columns(row, form)) if form else [],
            working=row.state in imports.WORKED,
            far=_far(row),
            good=row.created + row.updated + row.unchanged,
            tag=self.state_tag(row),
            uploaded=self.uploaded(row),
            faults=[_fault(fault, names) for fault in row.faults[:SHOWN]],
            shown=SHOWN,
        )

    def _form(self, request: HttpRequest, row: ShopperImport) -> MappingForm:
        names = _names(row)
        kept = {name: value for name, value in row.consent.items() if name != "at"}
        if row.consent.get("at"):
            kept["at"] = datetime.fromisoformat(row.consent["at"]).astimezone(display.clock_of(self.organisation(request))).date()
        initial = {**kept, "into": row.into_id}
        return MappingForm(request.POST if request.method == "POST" else None, row=row, organisation=self.organisation(request), names=names, initial=initial)

    def _looked(self, request: HttpRequest, row: ShopperImport, form: MappingForm) -> bool:
        try:
            imports.look(row, mapping=form.mapping(), terms=form.terms(), into=form.joined())
        except NotNow:
            messages.info(request, _("Somebody else has set it going already."))
        return True

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        return TemplateResponse(
            request, template, {**self.admin_site.each_context(request), "opts": self.opts, **context}, headers={"Cache-Control": "no-store"}
        )

    # --- Deeds

    def get_urls(self) -> list[URLPattern]:
        seen = self.admin_site.admin_view
        return [
            path("<int:pk>/progress", seen(never_cache(require_GET(self.progress))), name="engagement_shopperimport_progress"),
            path("<int:pk>/run/", seen(require_POST(self.run)), name="engagement_shopperimport_run"),
            path("<int:pk>/again/", seen(require_POST(self.again)), name="engagement_shopperimport_again"),
            path("<int:pk>/discard/", seen(require_POST(self.discard)), name="engagement_shopperimport_discard"),
            *super().get_urls(),
        ]

    def progress(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self.own(request, str(pk))
        return JsonResponse({"finished": row.state not in imports.WORKED, **_far(row)})

    def run(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, pk, imports.take_in)

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, pk, imports.again)

    def discard(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self.own(request, str(pk))
        try:
            imports.discard(row)
        except NotNow:
            messages.info(request, _("It is being worked on. Wait until that is done."))
            return redirect("admin:engagement_shopperimport_change", row.pk)
        messages.success(request, _("The import was forgotten. Shoppers that were taken in stay."))
        return redirect("admin:engagement_shopperimport_changelist")

    def _do(self, request: HttpRequest, pk: int, move: Any) -> HttpResponse:
        row = self.own(request, str(pk))
        try:
            move(row)
        except NotNow:
            messages.info(request, _("Somebody else was quicker: this is how it stands now."))
        return redirect("admin:engagement_shopperimport_change", row.pk)


def _names(row: ShopperImport) -> list[str]:
    return sheet.heading(bytes(row.content)).cells if row.content else []


def _columns(row: ShopperImport, form: MappingForm) -> Iterator[Column]:
    content = bytes(row.content)
    try:
        samples = [one.cells for one in islice(sheet.rows(content, after=sheet.heading(content).line), SAMPLES)]
    except Unreadable:
        samples = []
    for column, heading in enumerate(form.columns):
        shown = [cells[column][:40] for cells in samples if column < len(cells) and cells[column]]
        yield Column(heading, ", ".join(shown), form[f"meaning_{column}"], form[f"name_{column}"])


def _far(row: ShopperImport) -> dict[str, Any]:
    done, of = row.created + row.updated + row.unchanged + row.rejected, row.lines or 0
    text = ngettext("%(done)s of %(of)s row", "%(done)s of %(of)s rows", of) % {"done": display.number(done), "of": display.number(of)}
    return {"percent": 100 * done // of if of else 0, "text": text}


def _fault(fault: dict[str, Any], names: list[str]) -> dict[str, Any]:
    column = fault["column"]
    name = "" if column is None else names[column] if column < len(names) else _("column %(number)s") % {"number": column + 1}
    return {"line": display.number(fault["line"]), "column": name, "reason": REASONS.get(fault["reason"], fault["reason"])}
