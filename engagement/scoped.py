"""What every list and page of the web admin shares: one organisation's rows, and no other's, in lists, choices and filters."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ShowFacets
from django.db import models
from django.db.models import QuerySet
from django.forms import Field
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.paginator import InfinitePaginator

from engagement import site, tenancy
from engagement.models import Organisation
from engagement.tenancy import Action


class UncountedPaginator(InfinitePaginator):  # type: ignore[misc]
    """Pages without COUNT(*). OFFSET reads what it skips, so beyond some pages a filter is the way."""

    pages = 200

    @cached_property
    def count(self) -> int:
        return self.pages * int(self.per_page)


class ScopedAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows of the reader's organisation. Nothing may be added, changed or deleted unless a subclass names the right that it takes."""

    when_empty: Any = ""  # why the list is empty, and what to do
    to_add: Action | None = None
    to_change: Action | None = None
    list_filter_submit = True
    list_filter_sheet = True
    list_fullwidth = True
    list_per_page = 50
    show_facets = ShowFacets.NEVER  # they count the whole table, once for each choice
    actions: Any = None

    def organisation(self, request: HttpRequest) -> Organisation:
        return site.seat(request).organisation

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return tenancy.scoped(super().get_queryset(request), self.organisation(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return site.may(request, Action.LOOK)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return site.may(request, Action.LOOK)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.to_add is not None and site.may(request, self.to_add)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.to_change is not None and site.may(request, self.to_change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})})  # type: ignore[no-any-return]

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        return super().changeform_view(request, object_id, form_url, {"title": capfirst(self.opts.verbose_name), **(extra_context or {})})

    def own(self, request: HttpRequest, object_id: str) -> Any:
        """The row of that number, or 404."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        return found

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Field | None:
        kwargs["queryset"] = tenancy.scoped(db_field.remote_field.model._default_manager.all(), self.organisation(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[no-any-return]

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """A row of somebody else is answered exactly as one that never was."""
        raise Http404

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self.own(request, object_id)
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]


class ProvisionedAdmin(ScopedAdmin):
    """Places: changed through the provisioning service, never by saving the row, so that versions and re-cuts happen."""

    to_change = Action.CHANGE_PLACES

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.organisation = self.organisation(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        form.provision()


class MachineMadeAdmin(ScopedAdmin):
    """Tables that the door and the stream write: read-only, never counted in full, in one order that an index has."""

    paginator = UncountedPaginator
    show_full_result_count = False
    list_disable_select_all = True
    sortable_by: tuple[str, ...] = ()


class ScopedFilter(DropdownFilter):  # type: ignore[misc]
    """A filter by a related row, whose choices are the organisation's own."""

    related: type[models.Model]
    lookup: str
    order = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        rows = tenancy.scoped(self.related._default_manager.all(), site.seat(request).organisation).order_by(self.order)
        return ((str(row.pk), str(row)) for row in rows)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        # A foreign number is no choice: it finds nothing, as a number that never was.
        return queryset.filter(**{self.lookup: value}) if value in {key for key, _text in self.lookup_choices} else queryset.none()


class YesNoFilter(DropdownFilter):  # type: ignore[misc]
    yes = _("Yes")
    no = _("No")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", self.yes), ("no", self.no)]
