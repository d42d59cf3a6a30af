"""Alarms and their history: for whoever runs the installation, and nobody else. They name no tenant."""

from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from engagement import display
from operations.alarms import DECLARED
from operations.models import Alarm, AlarmEvent, State

TONES: Final = {State.OK: "good", State.RESOLVED: "good", State.PENDING: "warn", State.FIRING: "bad", State.ACKNOWLEDGED: "warn", State.SILENCED: "warn"}
LATEST_EVENTS: Final = 20


class InstallationAdmin(ModelAdmin):  # type: ignore[misc]
    """Machine-made rows about the installation: a superuser looks, nobody changes."""

    sortable_by: tuple[str, ...] = ()
    list_fullwidth = True
    list_per_page = 50
    actions: Any = None
    when_empty: Any = ""  # why the list is empty

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})})  # type: ignore[no-any-return]


def _title(name: str) -> str:
    return str(DECLARED[name].title) if name in DECLARED else _("%(name)s (no longer watched)") % {"name": name}


def _reading(name: str, value: float | None) -> str:
    if value is None:
        return _("cannot be read")
    return DECLARED[name].show(value) if name in DECLARED else display.number(value)


def _state(state: str) -> SafeString:
    return display.tag(State(state).label, TONES[State(state)])


@admin.register(Alarm)
class AlarmAdmin(InstallationAdmin):
    """How each alarm stands, what it watches, and what it said last."""

    when_empty = gettext_lazy("The alarms appear with their first evaluation. If they do not, the worker or the scheduler does not run.")
    list_display = ("title", "shown_state", "entered", "reading", "evaluated")
    ordering = ("name",)
    fields = readonly_fields = ("title", "shown_state", "entered", "watches", "reading", "threshold", "remedy", "evaluated", "latest")

    @admin.display(description=gettext_lazy("alarm"))
    def title(self, alarm: Alarm) -> str:
        return _title(alarm.name)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, alarm: Alarm) -> SafeString:
        return _state(alarm.state)

    @admin.display(description=gettext_lazy("since"))
    def entered(self, alarm: Alarm) -> str:
        return display.moment(alarm.since)

    @admin.display(description=gettext_lazy("watches"))
    def watches(self, alarm: Alarm) -> str:
        return str(DECLARED[alarm.name].reads) if alarm.name in DECLARED else display.NOTHING

    @admin.display(description=gettext_lazy("reading"))
    def reading(self, alarm: Alarm) -> str:
        return _reading(alarm.name, alarm.value)

    @admin.display(description=gettext_lazy("fires"))
    def threshold(self, alarm: Alarm) -> str:
        declared = DECLARED.get(alarm.name)
        if declared is None:
            return display.NOTHING
        facts = {"value": declared.show(declared.above), "span": display.duration(declared.lasting.total_seconds())}
        return _("Above %(value)s for %(span)s.") % facts if declared.lasting else _("Above %(value)s, at once.") % facts

    @admin.display(description=gettext_lazy("what to do"))
    def remedy(self, alarm: Alarm) -> str:
        return str(DECLARED[alarm.name].remedy) if alarm.name in DECLARED else display.NOTHING

    @admin.display(description=gettext_lazy("evaluated"))
    def evaluated(self, alarm: Alarm) -> str:
        return display.moment(alarm.evaluated_at, seconds=True)

    @admin.display(description=gettext_lazy("latest changes"))
    def latest(self, alarm: Alarm) -> str:
        rows = ((_state(event.to_state), display.moment(event.at), event.sentence) for event in alarm.events.order_by("-pk")[:LATEST_EVENTS])
        return format_html_join("", "<p>{} {} {}</p>", rows) or display.NOTHING


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
        return _title(event.alarm_id)

    @admin.display(description=gettext_lazy("became"))
    def shown_state(self, event: AlarmEvent) -> SafeString:
        return _state(event.to_state)

    @admin.display(description=gettext_lazy("reading"))
    def reading(self, event: AlarmEvent) -> str:
        return _reading(event.alarm_id, event.value)
