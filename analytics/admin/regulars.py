"""Staff and residents: who is suggested, what speaks for it, and the decision."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import DropdownFilter

from analytics import regulars
from analytics.models import Regular
from engagement import display, site
from engagement.models import Shopper
from engagement.scoped import ScopedAdmin
from engagement.tenancy import Action

State = Regular.State
TONES = {State.SUGGESTED: "warn", State.CONFIRMED: "bad", State.DISMISSED: "good"}
# What may be done from each state, and how the button says it. The way back comes last.
MOVES = {
    State.SUGGESTED: ((State.CONFIRMED, gettext_lazy("Leave out")), (State.DISMISSED, gettext_lazy("Count as a shopper"))),
    State.CONFIRMED: ((State.SUGGESTED, gettext_lazy("Undo")),),
    State.DISMISSED: ((State.SUGGESTED, gettext_lazy("Undo")),),
}


class StateFilter(DropdownFilter):  # type: ignore[misc]
    """What waits for a decision, unless asked otherwise."""

    title = gettext_lazy("state")
    parameter_name = "state"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*State.choices, ("all", gettext_lazy("All"))]

    def value(self) -> str:
        return super().value() or State.SUGGESTED

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.filter(state=self.value())


@admin.register(Regular)
class RegularAdmin(ScopedAdmin):
    """Staff and residents: who is suggested, what speaks for it, and the decision."""

    when_empty = gettext_lazy("Nobody waits for a decision. Who is in a venue for more than 4 hours on 3 days of a week is suggested here.")
    list_display = ("who", "where", "in_week", "long_days", "longest", "visits", "state_tag", "decided", "buttons")
    fields = readonly_fields = list_display
    list_filter = (StateFilter,)
    ordering = ("-longest_s", "-pk")
    sortable_by: tuple[str, ...] = ()
    list_select_related = ("shopper", "zone__venue")
    actions = ("leave_out", "count", "undo")
    list_before_template = "analytics/regulars.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        left_out = regulars.left_out(self.organisation(request))
        return super().changelist_view(request, {"title": _("Staff and residents"), "left_out": left_out, **(extra_context or {})})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.result_list = self._with_visits(list(changelist.result_list))
        for row in changelist.result_list:
            row.may_decide = site.may(request, Action.CHANGE_PLACES)
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Regular | None:
        found = super().get_object(request, object_id, from_field)
        return self._with_visits([found])[0] if found else None

    def _with_visits(self, rows: list[Any]) -> list[Any]:
        visits = regulars.visits(rows)
        for row in rows:
            row.visits_in_week = visits.get(row.pk)
        return rows

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return site.may(request, Action.CHANGE_PLACES)

    @admin.display(description=gettext_lazy("shopper"))
    def who(self, row: Regular) -> str:
        return site.link(row.shopper, str(row.shopper))

    @admin.display(description=gettext_lazy("venue"))
    def where(self, row: Regular) -> str:
        return site.link(row.zone.venue, row.zone.venue.name) if row.zone else _("marked by hand")

    @admin.display(description=gettext_lazy("week from"))
    def in_week(self, row: Regular) -> str:
        return display.day(row.week) if row.week else display.NOTHING

    @admin.display(description=gettext_lazy("days over 4 h"))
    def long_days(self, row: Regular) -> str:
        return display.number(row.days)

    @admin.display(description=gettext_lazy("longest day"))
    def longest(self, row: Regular) -> str:
        return display.duration(row.longest_s) if row.longest_s is not None else display.NOTHING

    @admin.display(description=gettext_lazy("visits in that week"))
    def visits(self, row: Any) -> str:
        return display.number(row.visits_in_week)

    @admin.display(description=gettext_lazy("state"))
    def state_tag(self, row: Regular) -> str:
        return display.tag(row.get_state_display(), TONES[State(row.state)])

    @admin.display(description=gettext_lazy("decided"))
    def decided(self, row: Regular) -> str:
        return format_html("{} {}", row.decided_by, display.moment(row.decided_at)) if row.decided_at else display.NOTHING

    @admin.display(description="")
    def buttons(self, row: Any) -> str:
        """Each posts the list's own form to the row's address, so they work without a script."""
        if not getattr(row, "may_decide", False):
            return display.NOTHING
        address = reverse("admin:analytics_regular_decide", args=[row.pk])
        button = '<button class="button" type="submit" formaction="{}" name="state" value="{}" aria-label="{}: {}">{}</button>'
        return format_html_join(" ", button, ((address, state.value, label, row.shopper, label) for state, label in MOVES[State(row.state)]))

    @admin.action(description=gettext_lazy("Leave out of all figures"), permissions=["decide"])
    def leave_out(self, request: HttpRequest, queryset: QuerySet[Regular]) -> None:
        self._decide(request, queryset.values_list("pk", flat=True), State.CONFIRMED)

    @admin.action(description=gettext_lazy("Count as shoppers"), permissions=["decide"])
    def count(self, request: HttpRequest, queryset: QuerySet[Regular]) -> None:
        self._decide(request, queryset.values_list("pk", flat=True), State.DISMISSED)

    @admin.action(description=gettext_lazy("Undo the decision"), permissions=["decide"])
    def undo(self, request: HttpRequest, queryset: QuerySet[Regular]) -> None:
        self._decide(request, queryset.values_list("pk", flat=True), State.SUGGESTED)

    def _decide(self, request: HttpRequest, ids: Iterable[int], state: State) -> None:
        number = regulars.decide(organisation=self.organisation(request), ids=ids, state=state, by=request.user.get_username())
        messages.success(request, said(number, state)) if number else messages.info(request, _("Nothing has changed: it was decided so before."))

    def get_urls(self) -> list[URLPattern]:
        decide = path("<int:pk>/decide/", self.admin_site.admin_view(require_POST(self.decide_one)), name="analytics_regular_decide")
        return [decide, *super().get_urls()]

    def decide_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = self.own(request, str(pk))
        if not site.may(request, Action.CHANGE_PLACES):
            raise PermissionDenied
        if request.POST.get("state") not in State.values:
            raise Http404
        self._decide(request, [row.pk], State(request.POST["state"]))
        return redirect("admin:analytics_regular_changelist")


def said(number: int, state: State) -> str:
    """What a decision has done, for people."""
    count = {"n": display.number(number)}
    if state == State.CONFIRMED:
        return (
            ngettext(
                "%(n)s shopper is left out of all figures. History is made again within seconds.",
                "%(n)s shoppers are left out of all figures. History is made again within seconds.",
                number,
            )
            % count
        )
    if state == State.DISMISSED:
        return ngettext("%(n)s shopper is counted, and not suggested again.", "%(n)s shoppers are counted, and not suggested again.", number) % count
    return ngettext("The decision about %(n)s shopper is undone.", "The decisions about %(n)s shoppers are undone.", number) % count


def about(shopper: Shopper) -> Regular | None:
    """What is said of the shopper, for his page."""
    return Regular.objects.filter(organisation=shopper.organisation_id, shopper=shopper).first()
