"""Pages about the installation: for whoever runs it, and nobody else. They belong to no organisation, and name none of its shoppers."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.text import capfirst
from unfold.admin import ModelAdmin


def is_operator(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def for_operators(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The page, for superusers; 403 to everybody else who is logged in."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_operator(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return asked


class InstallationAdmin(ModelAdmin):  # type: ignore[misc]
    """Machine-made rows about the installation: a superuser looks, nobody changes."""

    sortable_by: tuple[str, ...] = ()
    list_fullwidth = True
    list_per_page = 50
    actions: Any = None
    when_empty: Any = ""  # why the list is empty

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

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
