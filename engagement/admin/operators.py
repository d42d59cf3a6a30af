"""Users, organisations and memberships: for whoever runs the installation, and nobody else. No tenant's rows are here."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from engagement import display
from engagement.models import Brand, Membership, Organisation

admin.site.unregister((User, Group))


class MembershipInline(TabularInline):  # type: ignore[misc]
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)

    def get_formset(self, request: HttpRequest, obj: Organisation | None = None, **kwargs: Any) -> Any:
        """A member may be of one of this organisation's brands: no other's is offered, and none is taken."""
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.base_fields["brand"].queryset = Brand.objects.filter(organisation=obj).order_by("name") if obj else Brand.objects.none()
        return formset


@admin.register(Organisation)
class OrganisationAdmin(ModelAdmin):  # type: ignore[misc]
    """Django's own permissions hold here, which members do not have. An organisation is made by provisioning."""

    list_display = ("name", "key", "raw_days", "created_at")
    search_fields = ("name", "key")
    ordering = ("name", "pk")
    fields = ("name", "key", "raw_days", "closed")
    readonly_fields = ("key", "closed")
    inlines = (MembershipInline,)
    when_empty = gettext_lazy("Organisations come from provisioning: run manage.py provision with a file that describes one.")

    @admin.display(description=gettext_lazy("raw events are gone before"))
    def closed(self, organisation: Organisation) -> str:
        return display.day(organisation.raw_closed_before) if organisation.raw_closed_before else ""

    def get_form(self, request: HttpRequest, obj: Organisation | None = None, change: bool = False, **kwargs: Any) -> Any:
        meaning = gettext_lazy(
            "From 40 to 3660. Older ones, with their positions, are dropped within hours, and cannot be brought back; stays and figures stay. "
            "History that was imported is kept for as long after it came."
        )
        return super().get_form(request, obj, change, **{**kwargs, "help_texts": {"raw_days": meaning}})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class AccountAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (None, {"fields": ("first_name", "last_name", "email")}),
        (None, {"fields": ("is_active", "is_superuser", "last_login")}),
    )
    readonly_fields = ("last_login",)
