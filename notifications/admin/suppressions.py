"""Addresses that may not be sent to: found, added by hand, lifted with a reason, taken along as a file."""

import csv
import io
import logging
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST
from unfold.widgets import UnfoldAdminEmailInputWidget

from analytics import export
from engagement import display, site
from engagement.scoped import MachineMadeAdmin, YesNoFilter
from engagement.tenancy import Action
from notifications import suppressions
from notifications.models import Suppression

logger = logging.getLogger("atrium.suppressions")
EXPORTED_AT_MOST = 100_000


class LiftedFilter(YesNoFilter):
    title = gettext_lazy("state")
    parameter_name = "lifted"
    yes = gettext_lazy("Lifted")
    no = gettext_lazy("Suppressed")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return {"yes": queryset.exclude(lifted_at=None), "no": queryset.filter(lifted_at=None)}.get(self.value() or "", queryset)


class ByHand(forms.ModelForm):  # type: ignore[type-arg]
    address = forms.EmailField(
        label=gettext_lazy("address"),
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(),
        help_text=gettext_lazy("No campaign is sent to it from now on, whoever it belongs to, until somebody lifts it here."),
    )

    class Meta:
        model = Suppression
        fields = ("address",)


@admin.register(Suppression)
class SuppressionAdmin(MachineMadeAdmin):
    """Who may not be sent to, and why. Addresses are shoppers' own, so whoever only looks at figures does not see them."""

    when_empty = gettext_lazy("Every address may be sent to. Addresses come here when mail to them bounces for ever, or their owners complain or unsubscribe.")
    to_add = Action.MARKET
    form = ByHand
    list_display = ("address", "shown_why", "since", "state")
    list_filter = (LiftedFilter, "why")
    search_fields = ("address__startswith",)
    search_help_text = gettext_lazy("The address, or how it begins.")
    ordering = ("-changed", "-pk")
    change_list_outer_after_template = "notifications/suppressions_export.html"
    change_form_outer_after_template = "notifications/suppression_lift.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return site.may(request, Action.MARKET)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return site.may(request, Action.MARKET)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("address", "shown_why", "since", "added_by", "state", "lift_reason") if obj else ("address",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.get_fields(request, obj) if obj else ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Kept in lower case, and one address is one word, whatever is in it."""
        term = search_term.strip().lower()
        return (queryset.filter(address__startswith=term) if term else queryset), False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: Any) -> None:
        made = suppressions.add(organisation=self.organisation(request), address=obj.address, by=request.user.get_username(), now=timezone.now())
        obj.pk = made.pk
        obj.refresh_from_db()

    @admin.display(description=gettext_lazy("why"))
    def shown_why(self, row: Suppression) -> str:
        return str(Suppression.Why(row.why).label)

    @admin.display(description=gettext_lazy("since"))
    def since(self, row: Suppression) -> str:
        return display.moment(row.at)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Suppression) -> str:
        if row.lifted_at is None:
            return display.tag(_("suppressed"), "warn")
        return format_html("{} {} {}", display.tag(_("lifted"), "good"), display.moment(row.lifted_at), row.lifted_by)

    def get_urls(self) -> list[URLPattern]:
        seen = self.admin_site.admin_view
        return [
            path("export/", seen(require_GET(self.export)), name="notifications_suppression_export"),
            path("<int:pk>/lift/", seen(require_POST(self.lift)), name="notifications_suppression_lift"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        row = self.own(request, object_id)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "row": row})  # type: ignore[no-any-return]

    def lift(self, request: HttpRequest, pk: int) -> HttpResponse:
        row, reason = self.own(request, str(pk)), request.POST.get("reason", "").strip()
        if not site.may(request, Action.MARKET):
            raise PermissionDenied
        if not reason:
            messages.error(request, _("Say why it may be sent to again. Nothing was changed."))
        elif suppressions.lift(suppression=row, by=request.user.get_username(), reason=reason, now=timezone.now()):
            messages.success(request, _("It may be sent to again, where its owner agreed."))
        else:
            messages.info(request, _("It was lifted before."))
        return redirect("admin:notifications_suppression_change", row.pk)

    def export(self, request: HttpRequest) -> HttpResponse:
        """As a file that nothing runs: an address may begin with what a spreadsheet takes for a formula."""
        if not site.may(request, Action.MARKET):
            raise PermissionDenied
        out = io.StringIO()
        lines = csv.writer(out)
        lines.writerow(["address", "why", "since", "lifted"])
        rows = self.get_queryset(request).order_by("address")[:EXPORTED_AT_MOST]
        for row in rows:
            instants = [at.isoformat() if at else "" for at in (row.at, row.lifted_at)]
            lines.writerow([export.cell(one) for one in (row.address, row.why, *instants)])
        logger.info("%s took the suppressed addresses of organisation %s along as a file.", request.user.get_username(), self.organisation(request).pk)
        answer = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="suppressions.csv"'
        answer["Cache-Control"] = "no-store"
        return answer
