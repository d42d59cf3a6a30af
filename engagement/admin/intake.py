"""Requests that could not be processed, and the way back into the inbox."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from engagement import display, set_aside, site
from engagement.models import SetAside
from engagement.scoped import MachineMadeAdmin, YesNoFilter
from engagement.tenancy import Action


class ReplayedFilter(YesNoFilter):
    title = gettext_lazy("state")
    parameter_name = "replayed"
    yes = gettext_lazy("Sent on again")
    no = gettext_lazy("Waiting")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return {"yes": queryset.exclude(replayed_at=None), "no": queryset.filter(replayed_at=None)}.get(self.value() or "", queryset)


@admin.register(SetAside)
class SetAsideAdmin(MachineMadeAdmin):
    """Requests that could not be processed, and the way back into the inbox."""

    when_empty = gettext_lazy("Every request could be processed.")
    list_display = ("when", "short_error", "events", "received", "state")
    list_filter = (ReplayedFilter,)
    ordering = ("-pk",)
    fields = readonly_fields = ("when", "received", "error", "events", "came_with", "state")
    change_form_outer_after_template = "engagement/set_aside.html"
    actions = ("replay",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return site.may(request, Action.REPLAY)

    @admin.display(description=gettext_lazy("set aside"))
    def when(self, row: SetAside) -> str:
        return display.moment(row.set_aside_at)

    @admin.display(description=gettext_lazy("received"))
    def received(self, row: SetAside) -> str:
        return display.moment(row.received_at)

    @admin.display(description=gettext_lazy("came with"))
    def came_with(self, row: SetAside) -> str:
        return _("an import key") if row.imported else _("an app's key")

    @admin.display(description=gettext_lazy("error"))
    def short_error(self, row: SetAside) -> str:
        first = row.error.strip().splitlines()[0] if row.error.strip() else display.NOTHING
        return first if len(first) <= 100 else first[:99] + "…"

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: SetAside) -> str:
        return (
            format_html("{} {}", display.tag(_("sent on"), "good"), display.moment(row.replayed_at)) if row.replayed_at else display.tag(_("waiting"), "warn")
        )

    @admin.action(description=gettext_lazy("Send on again (replay)"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[SetAside]) -> None:
        self._replay(request, list(queryset.values_list("pk", flat=True)))

    def _replay(self, request: HttpRequest, ids: list[int]) -> None:
        requests, events = set_aside.replay(organisation=self.organisation(request), ids=ids)
        if not requests:
            messages.info(request, _("Nothing was waiting: it was sent on before."))
            return
        said = ngettext("%(n)s request is back in the inbox", "%(n)s requests are back in the inbox", requests) % {"n": display.number(requests)}
        more = ngettext("with %(n)s event.", "with %(n)s events.", events) % {"n": display.number(events)}
        messages.success(request, f"{said} {more}")

    def get_urls(self) -> list[URLPattern]:
        one = path("<int:pk>/replay/", self.admin_site.admin_view(require_POST(self.replay_one)), name="engagement_setaside_replay")
        return [one, *super().get_urls()]

    def replay_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self.own(request, str(pk))
        if not site.may(request, Action.REPLAY):
            raise PermissionDenied
        self._replay(request, [row.pk])
        return redirect("admin:engagement_setaside_change", row.pk)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        row = self.own(request, object_id)
        content = set_aside.read(bytes(row.payload))
        context = {"row": row, "content": content, "size": len(row.payload), "may_replay": row.replayed_at is None and site.may(request, Action.REPLAY)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})  # type: ignore[no-any-return]
