"""Lists of shoppers: of imports, or put together by hand."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from engagement import display, site
from engagement.models import ShopperList
from engagement.profiles import lists
from engagement.scoped import ScopedAdmin
from engagement.tenancy import Action

SHOWN: Final = 50


@admin.register(ShopperList)
class ShopperListAdmin(ScopedAdmin):
    when_empty = gettext_lazy("A list is made here, or by an import: everybody in the file joins it. Audiences can ask who is in a list.")
    to_add = to_change = Action.MANAGE_SHOPPERS
    list_display = ("name", "key", "number", "made")
    search_fields = ("name", "key")
    ordering = ("name", "pk")
    readonly_fields = ("key", "number", "made", "first_members")
    fields = ("name", "key", "number", "made", "first_members")
    add_fieldsets = ((None, {"fields": ("name",)}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ShopperList]:
        found: QuerySet[ShopperList] = super().get_queryset(request).annotate(present=Count("members", filter=Q(members__present=True)))
        return found

    def save_model(self, request: HttpRequest, obj: ShopperList, form: Any, change: Any) -> None:
        if change:
            obj.save(update_fields=["name"])
        else:
            obj.pk = lists.make(self.organisation(request), obj.name).pk
            obj.refresh_from_db()

    @admin.display(description=gettext_lazy("shoppers"))
    def number(self, one: Any) -> str:
        return display.number(getattr(one, "present", None))

    @admin.display(description=gettext_lazy("made"))
    def made(self, one: ShopperList) -> str:
        return display.moment(one.created_at)

    @admin.display(description=gettext_lazy("some of them"))
    def first_members(self, one: ShopperList) -> str:
        members = one.members.filter(present=True).select_related("shopper").order_by("shopper_id")[:SHOWN]
        return display.joined([site.link(member.shopper, str(member.shopper)) for member in members])
