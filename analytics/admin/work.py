"""Work on history: re-cuts and how far they are."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from analytics.admin import trials
from analytics.models import Recut
from engagement import display
from engagement.models import PlacesChange
from engagement.scoped import MachineMadeAdmin


@admin.register(Recut)
class RecutAdmin(MachineMadeAdmin):
    """Stays made again from the events, after a change of places."""

    when_empty = gettext_lazy("When places change, stays are made again from the events, and the progress is shown here.")
    list_display = ("asked", "reason", "from_when", "progress", "changes", "finished")
    fields = readonly_fields = list_display
    ordering = ("-pk",)
    list_before_template = "analytics/waiting_changes.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        waiting = PlacesChange.objects.filter(organisation=self.organisation(request)).order_by("-pk")[:20]
        told = [(change.reason, display.moment(change.created_at)) for change in waiting]
        return super().changelist_view(request, {"title": _("Re-cuts: stays made again"), "waiting_changes": told, **(extra_context or {})})

    @admin.display(description=gettext_lazy("asked for"))
    def asked(self, recut: Recut) -> str:
        return display.moment(recut.created_at)

    @admin.display(description=gettext_lazy("stays since"))
    def from_when(self, recut: Recut) -> str:
        return display.moment(recut.since) if recut.since else _("the beginning")

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, recut: Recut) -> str:
        """Shoppers done of all that there were when it began."""
        if recut.finished_at:
            return format_html("{} {}", display.tag(_("done"), "good"), display.number(recut.of))
        far = trials.far(recut.done, recut.of)
        return format_html('<progress max="100" value="{0}">{0} %</progress> {1}', far.percent, far.text)

    @admin.display(description=gettext_lazy("stays changed"))
    def changes(self, recut: Recut) -> str:
        return display.number(recut.changed)

    @admin.display(description=gettext_lazy("finished"))
    def finished(self, recut: Recut) -> str:
        return display.moment(recut.finished_at)
