"""The web admin: who may come in, whose rows they see.

A member of an organisation needs neither Django's staff mark nor its permissions: the membership is the permission. Someone
with several memberships sits in one organisation at a time. A superuser manages users and memberships, and sees no tenant.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from engagement import display, logs, tenancy
from engagement.tenancy import Action, Principal

CHOSEN = "organisation"  # in the session


def found_seat(request: HttpRequest) -> Principal | None:
    """The reader in the organisation he chose, else in his first; looked up once a request, so that a membership withdrawn counts at once."""
    if not hasattr(request, "_seat"):
        own = list(tenancy.organisations_of(request.user))
        chosen = request.session.get(CHOSEN)
        organisation = next((one for one in own if one.pk == chosen), own[0] if own else None)
        request._seat = tenancy.principal_of_user(request.user, organisation) if organisation else None  # type: ignore[attr-defined]
        logs.organisation.set(organisation.key if organisation else "")
    return request._seat  # type: ignore[attr-defined, no-any-return]


def seat(request: HttpRequest, action: Action = Action.LOOK) -> Principal:
    """The same, for pages that take a right. Raises PermissionDenied where the reader has it not."""
    found = found_seat(request)
    if found is None or not found.may(action):
        raise PermissionDenied
    return found


def may(request: HttpRequest, action: Action) -> bool:
    found = found_seat(request)
    return found is not None and found.may(action)


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """Lets members in; Django's own asks for the staff mark."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": gettext_lazy("The username or the password is wrong. Mind capital letters in both."),
    }

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not user.is_active or not (getattr(user, "is_superuser", False) or tenancy.organisations_of(user).exists()):
            raise ValidationError(_("This account belongs to no organisation. Ask its owner to add you."), code="no_membership")


class AtriumSite(UnfoldAdminSite):  # type: ignore[misc]
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and (user.is_superuser or found_seat(request) is not None))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def in_local_time(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            found = found_seat(request)
            with timezone.override(display.clock_of(found.organisation) if found else None):
                response: HttpResponseBase = inner(request, *args, **kwargs)
                # Pages are rendered here, while the organisation's time zone is still in force.
                if isinstance(response, TemplateResponse) and not response.is_rendered:
                    return response.render()
                return response

        return in_local_time

    def extra_urls(self) -> list[URLPattern]:
        return [path("organisation/", self.admin_view(self.choose), name="choose_organisation")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if found_seat(request):
            return redirect("figures")
        messages.info(request, _("You belong to no organisation yet. Open one here and add yourself as a member to see its live page."))
        return redirect("admin:engagement_organisation_changelist")

    def choose(self, request: HttpRequest) -> HttpResponse:
        """The page on which someone with several memberships changes seats."""
        own = tenancy.organisations_of(request.user)
        if request.method == "POST":
            chosen = next((one for one in own if str(one.pk) == request.POST.get("organisation")), None)
            if chosen is not None:
                request.session[CHOSEN] = chosen.pk
            return redirect("admin:index")
        context = {**self.each_context(request), "title": _("Choose an organisation"), "organisations": own, "seat": found_seat(request)}
        return TemplateResponse(request, "engagement/choose.html", context)


def page(request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    """A page of Atrium's own inside the admin's frame."""
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def given(request: HttpRequest, **more: Any) -> dict[str, Any]:
    """What a page's scripts need to ask the API, and to tell it something, as the reader in the organisation he sits in."""
    api = reverse("status").removesuffix("status")
    return {"api": api, "organisation": seat(request).organisation.key, "token": get_token(request), "login": reverse("admin:login"), "explained": {}, **more}


def subheader(request: HttpRequest) -> str:
    found = found_seat(request) if request.user.is_authenticated else None
    return found.organisation.name if found else ""


def link(row: Model, text: str) -> SafeString:
    """A link to the row's page."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk]), text)


def mark(request: HttpRequest) -> str:
    return static("engagement/mark.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("engagement/atrium.css")


def script(request: HttpRequest) -> str:
    return static("engagement/atrium.js")
