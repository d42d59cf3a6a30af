"""API keys: made, shown once, revoked."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from engagement import display, site, tenancy
from engagement.models import ApiKey, KeyKind
from engagement.place_forms import KeyForm
from engagement.scoped import ScopedAdmin
from engagement.tenancy import Action


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    when_empty = gettext_lazy("An app needs a publishable key to send events; a server needs a secret one to read.")
    to_add = Action.MANAGE_KEYS
    form = KeyForm
    list_display = ("name", "shown_prefix", "kind", "created", "state")
    list_filter = ("kind",)
    search_fields = ("name",)
    ordering = ("revoked_at", "name")
    add_fieldsets = ((None, {"fields": ("name", "kind")}),)
    fields = ("name", "kind", "shown_prefix", "created", "state")
    readonly_fields = ("shown_prefix", "created", "state")
    change_form_outer_after_template = "engagement/key.html"

    @admin.display(description=gettext_lazy("begins with"))
    def shown_prefix(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @admin.display(description=gettext_lazy("made"))
    def created(self, key: ApiKey) -> str:
        return display.moment(key.created_at)

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: ApiKey) -> str:
        return format_html("{} {}", display.tag(_("revoked"), "bad"), display.moment(key.revoked_at)) if key.revoked_at else display.tag(_("valid"), "good")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.organisation = self.organisation(request)
        return form

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: Any) -> None:
        made, token = tenancy.new_key(organisation=self.organisation(request), name=obj.name, kind=obj.kind)
        obj.organisation, obj.prefix, obj.digest = made.organisation, made.prefix, made.digest
        super().save_model(request, obj, form, change)
        request._token = token  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The only page that ever shows the token. It is not kept by the browser either."""
        context = {**self.admin_site.each_context(request), "title": _("Your new key"), "opts": self.opts, "key": obj, "token": request._token}  # type: ignore[attr-defined]
        return TemplateResponse(request, "engagement/token.html", context, headers={"Cache-Control": "no-store"})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        only_save = {"title": _("Make a key"), "show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **only_save})  # type: ignore[no-any-return]

    def get_urls(self) -> list[URLPattern]:
        revoke = path("<int:pk>/revoke/", self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.revoke)), name="engagement_apikey_revoke")
        return [revoke, *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        key = self.own(request, object_id)
        may_revoke = key.revoked_at is None and site.may(request, Action.MANAGE_KEYS)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "key": key, "may_revoke": may_revoke})  # type: ignore[no-any-return]

    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Says what revoking does, and does it when told so."""
        key = self.own(request, str(pk))
        if not site.may(request, Action.MANAGE_KEYS):
            raise PermissionDenied
        if request.method == "POST":
            tenancy.revoke(key)
            messages.success(request, _("The key “%(name)s” is revoked. Within a minute nothing accepts it any more.") % {"name": key.name})
            return redirect("admin:engagement_apikey_changelist")
        context = {**self.admin_site.each_context(request), "title": _("Revoke a key"), "opts": self.opts, "key": key, "for_app": key.kind != KeyKind.SECRET}
        return TemplateResponse(request, "engagement/revoke.html", context)
