"""Alarms and their history: for whoever runs the installation, and nobody else. They name no tenant."""

from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from engagement import display
from operations import runbook
from operations.admin import standing
from operations.admin.installation import InstallationAdmin
from operations.alarms import DECLARED
from operations.models import Alarm, AlarmEvent

LATEST_EVENTS: Final = 20


@admin.register(Alarm)
class AlarmAdmin(InstallationAdmin):
    """How each alarm stands, what it watches, and what it said last."""

    when_empty = gettext_lazy("The alarms appear with their first evaluation. If they do not, the worker or the scheduler does not run.")
    list_display = ("title", "shown_state", "entered", "reading", "evaluated")
    ordering = ("name",)
    fields = readonly_fields = ("title", "shown_state", "entered", "watches", "reading", "threshold", "remedy", "evaluated")
    change_form_outer_before_template = "operations/alarm.html"
    change_form_outer_after_template = "operations/alarm_history.html"

    @admin.display(description=gettext_lazy("alarm"))
    def title(self, alarm: Alarm) -> str:
        return standing.title(alarm.name)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, alarm: Alarm) -> SafeString:
        return standing.state(alarm.state)

    @admin.display(description=gettext_lazy("since"))
    def entered(self, alarm: Alarm) -> str:
        return display.moment(alarm.since)

    @admin.display(description=gettext_lazy("watches"))
    def watches(self, alarm: Alarm) -> str:
        return str(DECLARED[alarm.name].reads) if alarm.name in DECLARED else display.NOTHING

    @admin.display(description=gettext_lazy("reading"))
    def reading(self, alarm: Alarm) -> str:
        return standing.reading(alarm.name, alarm.value)

    @admin.display(description=gettext_lazy("fires"))
    def threshold(self, alarm: Alarm) -> str:
        return DECLARED[alarm.name].threshold() if alarm.name in DECLARED else display.NOTHING

    @admin.display(description=gettext_lazy("what to do"))
    def remedy(self, alarm: Alarm) -> str:
        return str(DECLARED[alarm.name].remedy) if alarm.name in DECLARED else display.NOTHING

    @admin.display(description=gettext_lazy("evaluated"))
    def evaluated(self, alarm: Alarm) -> str:
        return display.moment(alarm.evaluated_at, seconds=True)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        alarm = self.get_object(request, object_id)
        events = [standing.change(event) for event in alarm.events.order_by("-pk")[:LATEST_EVENTS]] if alarm else []
        more = {
            "title": alarm and standing.title(alarm.name),
            "one": alarm and alarm.name in DECLARED and standing.standing(DECLARED[alarm.name], alarm),
            "runbook": runbook.section(object_id),
            "events": events,
        }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})  # type: ignore[no-any-return]


@admin.register(AlarmEvent)
class AlarmEventAdmin(InstallationAdmin):
    """What happened."""

    when_empty = gettext_lazy("No alarm has changed its state in the last 90 days.")
    list_display = ("moment", "title", "shown_state", "sentence", "by")
    ordering = ("-pk",)
    fields = readonly_fields = ("moment", "title", "from_state", "to_state", "reading", "sentence", "by")

    @admin.display(description=gettext_lazy("at"))
    def moment(self, event: AlarmEvent) -> str:
        return display.moment(event.at, seconds=True)

    @admin.display(description=gettext_lazy("alarm"))
    def title(self, event: AlarmEvent) -> str:
        return standing.title(event.alarm_id)

    @admin.display(description=gettext_lazy("became"))
    def shown_state(self, event: AlarmEvent) -> SafeString:
        return standing.state(event.to_state)

    @admin.display(description=gettext_lazy("reading"))
    def reading(self, event: AlarmEvent) -> str:
        return standing.reading(event.alarm_id, event.value)
