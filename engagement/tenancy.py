"""Who is asking, for which organisation, and what they may do.

Everybody sees through a membership or a key, and only the organisation that it names. A membership may be of one brand of the
organisation: then it opens the figures of that brand's stores, and nothing else. Being a superuser opens no
tenant: it is a right over the installation (users, memberships), and somebody who runs a server for a mall has no
reason to read its shoppers. Who needs to look gives themselves a membership, which the mall's owners can see.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from engagement.models import ApiKey, Brand, KeyKind, Membership, Organisation, Role, Zone

Row = TypeVar("Row", bound=models.Model)
User = AbstractBaseUser | AnonymousUser

_MARKS: Final = {KeyKind.PUBLISHABLE: "atr_pub_", KeyKind.SECRET: "atr_sec_", KeyKind.IMPORT: "atr_imp_"}
_TOKEN_LENGTH: Final = 51  # the mark's 8 and 43 for 32 random bytes
_PREFIX_LENGTH: Final = 12


class Action(StrEnum):
    LOOK = "look"  # at everything of the organisation: its places, people, events
    READ_FIGURES = "read figures"  # of the places that the principal may know of: see zones_of
    CHANGE_PLACES = "change places"
    MANAGE_KEYS = "manage keys"
    REPLAY = "replay"  # send on what was set aside
    ERASE = "erase"  # a shopper, and all that is known of him
    RECORD_PURCHASES = "record purchases"
    MANAGE_SHOPPERS = "manage shoppers"  # what is told of them: addresses, attributes, consents, lists
    MARKET = "market"  # write audiences and campaigns, approve somebody else's, send
    POST_EVENTS = "post events"


_EVERYTHING: Final = frozenset(Action) - {Action.POST_EVENTS}
# A secret key manages places but no keys: one that could make others would outlive its own revocation.
_MAY: Final[dict[str, frozenset[Action]]] = {
    Role.OWNER: _EVERYTHING,
    Role.MARKETER: frozenset({Action.LOOK, Action.READ_FIGURES, Action.MANAGE_SHOPPERS, Action.MARKET}),
    Role.ANALYST: frozenset({Action.LOOK, Action.READ_FIGURES}),
    KeyKind.SECRET: _EVERYTHING - {Action.MANAGE_KEYS},
    KeyKind.PUBLISHABLE: frozenset({Action.POST_EVENTS}),
    KeyKind.IMPORT: frozenset({Action.POST_EVENTS}),
}

# Whatever his role, a brand's member may do no more than this.
_MAY_OF_A_BRAND: Final = frozenset({Action.READ_FIGURES})

# From each model of the tenants to its organisation. A model that is missing here fails a test.
PATHS: Final = {
    "engagement.Organisation": "pk",
    "engagement.Membership": "organisation",
    "engagement.Brand": "organisation",
    "engagement.Venue": "organisation",
    "engagement.Zone": "organisation",
    "engagement.ZoneVersion": "zone__organisation",
    "engagement.Beacon": "organisation",
    "engagement.BeaconPlacement": "beacon__organisation",
    "engagement.PlacesChange": "organisation",
    "engagement.ApiKey": "organisation",
    "engagement.Shopper": "organisation",
    "engagement.Device": "organisation",
    "engagement.ShopperDevice": "shopper__organisation",
    "engagement.Inbox": "organisation",
    "engagement.SetAside": "organisation",
    "engagement.Event": "organisation",
    "engagement.IdentityClaim": "organisation",
    "engagement.Outcome": "organisation",
    "engagement.RecentEvent": "organisation",
    "engagement.Refusal": "organisation",
    "engagement.Purchase": "organisation",
    "engagement.Erasure": "organisation",
    "engagement.Erased": "organisation",
    "engagement.Profile": "organisation",
    "engagement.Consent": "organisation",
    "engagement.ConsentState": "organisation",
    "engagement.ShopperList": "organisation",
    "engagement.ListMember": "list__organisation",
    "engagement.ShopperImport": "organisation",
    "engagement.IdempotentAnswer": "organisation",
    "analytics.Stay": "organisation",
    "analytics.DwellMark": "zone__organisation",
    "analytics.Transition": "organisation",
    "analytics.Recut": "organisation",
    "analytics.ZoneDay": "zone__organisation",
    "analytics.Calendar": "venue__organisation",
    "analytics.BeaconHeard": "beacon__organisation",
    "analytics.Regular": "organisation",
    "analytics.Trial": "organisation",
    "analytics.TrialSlice": "trial__organisation",
    "analytics.Audience": "organisation",
    "analytics.AudienceChange": "audience__organisation",
    "notifications.SendingPolicy": "organisation",
    "notifications.Topic": "organisation",
    "notifications.Campaign": "organisation",
    "notifications.Variant": "campaign__organisation",
    "notifications.Content": "variant__campaign__organisation",
    "notifications.Run": "campaign__organisation",
    "notifications.Link": "campaign__organisation",
    "notifications.Message": "organisation",
    "notifications.MessageEvent": "organisation",
    "notifications.Suppression": "organisation",
    "notifications.Preference": "organisation",
    "operations.NewsChannel": "organisation",
    "operations.Redrive": "organisation",
    "operations.RedriveItem": "redrive__organisation",
}

# Models that belong to no tenant, and are on no tenant's page.
MACHINE_ONLY: Final = {
    "engagement.ShardState": "A shard mixes the shoppers of all organisations.",
    "engagement.Heartbeat": "A process works for all organisations.",
    "analytics.Mark": "A mark is a zone's number and an hour, and lives for seconds.",
    "analytics.ZoneIndex": "A zone's number and an instant.",
    "analytics.Recount": "A recount goes over the shoppers of all organisations.",
    "notifications.SendingAccount": "All organisations send through one account.",
    "notifications.FeedbackNotice": "A notice is about the account, until it is known whose message it speaks of.",
    "operations.Alarm": "An alarm is about the installation.",
    "operations.AlarmEvent": "An alarm is about the installation.",
    "operations.Incident": "An alarm is about the installation.",
    "operations.Post": "Operators are told of the installation; an organisation's news are told in its own channel.",
    "operations.Switch": "An automatic action is the installation's.",
    "operations.Action": "An automatic action is the installation's.",
    "operations.Backup": "A backup holds all organisations.",
    "operations.Reading": "A reading is of the installation.",
}


@dataclass(frozen=True)
class Principal:
    """Who asks, already resolved to one organisation: a member or a key."""

    organisation: Organisation
    role: str  # a Role, or the KeyKind of the key
    user: User | None = None
    key: ApiKey | None = None
    brand: Brand | None = None  # whose figures alone the member sees; None: the whole organisation's

    @property
    def name(self) -> str:
        """For what is written down of what he did: the user's name, or the key's."""
        return self.key.name if self.key else self.user.get_username() if self.user else ""

    def may(self, action: Action) -> bool:
        return action in _MAY.get(self.role, frozenset()) and (self.brand is None or action in _MAY_OF_A_BRAND)


def digest_of(token: str) -> bytes:
    """What is stored of a token. Any text has one, also a text that is no token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def new_key(*, organisation: Organisation, name: str, kind: str) -> tuple[ApiKey, str]:
    """An unsaved key and its token. The token exists nowhere else."""
    token = _MARKS[KeyKind(kind)] + secrets.token_urlsafe(32)
    return ApiKey(organisation=organisation, name=name, kind=kind, prefix=token[:_PREFIX_LENGTH], digest=digest_of(token)), token


def make_key(*, organisation: Organisation, name: str, kind: str) -> str:
    """A key of the organisation; returns its token, which is shown once. Raises IntegrityError where the name is taken."""
    key, token = new_key(organisation=organisation, name=name, kind=kind)
    key.save(force_insert=True)
    return token


def revoke(key: ApiKey) -> None:
    """End a key. The first revocation keeps its time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db(fields=["revoked_at"])


def find_key(token: str) -> ApiKey | None:
    """The living key of a token, with its organisation."""
    if len(token) != _TOKEN_LENGTH:
        return None
    return ApiKey.objects.select_related("organisation").filter(digest=digest_of(token), revoked_at=None).first()


def organisations_of(user: User) -> QuerySet[Organisation]:
    """Those that the user is a member of, by name."""
    if not user.is_active or user.pk is None:
        return Organisation.objects.none()
    return Organisation.objects.filter(memberships__user=user.pk).order_by("name", "pk")


def membership(user: User, organisation: Organisation) -> Membership | None:
    if not user.is_active or user.pk is None:
        return None
    return Membership.objects.select_related("brand").filter(user=user.pk, organisation=organisation).first()


def may(user: User, organisation: Organisation, action: Action) -> bool:
    member = principal_of_user(user, organisation)
    return member is not None and member.may(action)


def principal_of_user(user: User, organisation: Organisation) -> Principal | None:
    """The user as a member of the organisation; None for a stranger."""
    member = membership(user, organisation)
    return None if member is None else Principal(organisation=organisation, role=member.role, user=user, brand=member.brand)


def principal_of_key(token: str) -> Principal | None:
    """The key's organisation and rights; None where the token is unknown or revoked."""
    key = find_key(token)
    return None if key is None else Principal(organisation=key.organisation, role=key.kind, key=key)


def zones_of(principal: Principal) -> QuerySet[Zone]:
    """The zones whose figures the principal may read: all of the organisation's, or those of his brand."""
    zones = scoped(Zone.objects.all(), principal.organisation) if principal.may(Action.READ_FIGURES) else Zone.objects.none()
    return zones if principal.brand is None else zones.filter(brand=principal.brand)


def brands_of(principal: Principal) -> QuerySet[Brand]:
    """The brands whose figures the principal may read."""
    brands = scoped(Brand.objects.all(), principal.organisation) if principal.may(Action.READ_FIGURES) else Brand.objects.none()
    return brands if principal.brand is None else brands.filter(pk=principal.brand.pk)


def scoped(queryset: QuerySet[Row], organisation: Organisation) -> QuerySet[Row]:
    """Only the organisation's rows. Raises KeyError for a model that no tenant may see."""
    return queryset.filter(**{PATHS[queryset.model._meta.label]: organisation.pk})
