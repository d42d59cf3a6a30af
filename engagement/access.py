"""Who may read /api/v1: a secret key or a member's session, each made into a tenancy.Principal as `request.auth`."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from engagement import logs, tenancy
from engagement.models import Organisation


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <secret key>`. Keys of other kinds are known, and refused."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, tenancy.Principal] | None:
        header = get_authorization_header(request).decode("latin-1")
        if not header:
            return None
        scheme, _blank, token = header.partition(" ")
        principal = tenancy.principal_of_key(token.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            raise exceptions.AuthenticationFailed(_("This key is not known, or it was revoked. Send Authorization: Bearer and a secret key."))
        if not principal.may(tenancy.Action.LOOK):
            raise exceptions.PermissionDenied(_("This key may not read. Use a secret key."))
        wanted = request.query_params.get("organisation")
        if wanted and wanted != principal.organisation.key:
            raise exceptions.PermissionDenied(_("This key belongs to another organisation."))
        logs.organisation.set(principal.organisation.key)
        return AnonymousUser(), principal

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="atrium"'


class MemberSession(SessionAuthentication):
    """The web admin's session, of a member; with several memberships `?organisation=` chooses, else it is the first by name."""

    def authenticate(self, request: Request) -> tuple[Any, tenancy.Principal] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        wanted = request.query_params.get("organisation", "").replace("\0", "\ufffd")
        mine = tenancy.organisations_of(user)
        organisation = (mine.filter(key=wanted) if wanted else mine).first()
        principal = tenancy.principal_of_user(user, organisation) if organisation else None
        if principal is None:
            raise exceptions.PermissionDenied(_("You are not a member of this organisation."))
        logs.organisation.set(principal.organisation.key)
        return user, principal


class MayLook(BasePermission):
    """Somebody of an organisation, who may look: `request.auth` is a Principal."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(tenancy.Action.LOOK)


class MayReadFigures(BasePermission):
    """Somebody who may read figures: of what, tenancy.zones_of and tenancy.brands_of say. For reports, in place of MayLook."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(tenancy.Action.READ_FIGURES)


class MayRecordPurchases(BasePermission):
    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(tenancy.Action.RECORD_PURCHASES)


class MayErase(BasePermission):
    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(tenancy.Action.ERASE)


class MayManageShoppers(BasePermission):
    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(tenancy.Action.MANAGE_SHOPPERS)


class MayMarket(BasePermission):
    """Audiences and campaigns: who may look reads them, who may market writes them."""

    def has_permission(self, request: Request, view: object) -> bool:
        action = tenancy.Action.LOOK if request.method in SAFE_METHODS else tenancy.Action.MARKET
        return isinstance(request.auth, tenancy.Principal) and request.auth.may(action)


def principal_of(request: Request) -> tenancy.Principal:
    """Who asks. Raises NotAuthenticated."""
    if not isinstance(request.auth, tenancy.Principal):
        raise exceptions.NotAuthenticated
    return request.auth


def organisation_of(request: Request) -> Organisation:
    """Whose data this request may see."""
    return principal_of(request).organisation
