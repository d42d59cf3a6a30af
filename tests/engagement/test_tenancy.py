"""Who may see and do what. Charlie, of the rival, is tried at every door."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models

from engagement import tenancy
from engagement.models import ApiKey, Brand, KeyKind, Membership, Organisation, Outcome, Role, Venue, Zone, ZoneVersion
from engagement.tenancy import Action

FORMS = {"publishable": "atr_pub_", "secret": "atr_sec_", "import": "atr_imp_"}
TENANT_APPS = ("engagement", "analytics", "notifications", "operations")


class TestKeys:
    @pytest.mark.parametrize("kind", FORMS)
    def test_a_token_shows_its_kind_and_has_256_random_bits(self, acme: Organisation, kind: str) -> None:
        token = tenancy.make_key(organisation=acme, name="new", kind=kind)
        assert re.fullmatch(FORMS[kind] + r"[A-Za-z0-9_-]{43}", token)
        assert token != tenancy.make_key(organisation=acme, name="newer", kind=kind)

    def test_only_the_digest_and_the_beginning_are_kept(self, acme: Organisation) -> None:
        token = tenancy.make_key(organisation=acme, name="new", kind="secret")
        row = ApiKey.objects.get(name="new")
        assert (row.prefix, len(bytes(row.digest))) == (token[:12], 32)
        kept = " ".join(str(value) for value in ApiKey.objects.filter(pk=row.pk).values().get().values())
        assert token not in kept
        assert token[12:] not in kept

    @pytest.mark.parametrize("kind", FORMS)
    def test_a_token_finds_its_key_and_organisation(self, acme: Organisation, rival: Organisation, acme_keys: dict[str, str], kind: str) -> None:
        key = tenancy.find_key(acme_keys[kind])
        assert key is not None
        assert (key.organisation, key.kind) == (acme, kind)

    def test_the_same_name_in_two_organisations_is_two_keys(self, acme: Organisation, rival: Organisation, rival_keys: dict[str, str]) -> None:
        key = tenancy.find_key(rival_keys["secret"])
        assert key is not None
        assert key.organisation == rival

    def test_a_revoked_key_is_no_key(self, acme_keys: dict[str, str]) -> None:
        key = tenancy.find_key(acme_keys["secret"])
        assert key is not None
        tenancy.revoke(key)
        first = key.revoked_at
        tenancy.revoke(key)
        assert first is not None
        assert key.revoked_at == first
        assert tenancy.find_key(acme_keys["secret"]) is None
        assert tenancy.principal_of_key(acme_keys["secret"]) is None
        assert tenancy.find_key(acme_keys["publishable"]) is not None

    def test_what_is_no_token_finds_nothing(self, acme_keys: dict[str, str]) -> None:
        token = acme_keys["secret"]
        tries = ["", token[:-1], token + "x", token[:-1] + "\ud800", token.upper(), "atr_pub_" + token[8:], "x" * 51, "é" * 51, "\x00" * 51, " " + token]
        assert [text for text in tries if tenancy.find_key(text) is not None] == []

    def test_a_name_is_taken_once(self, acme: Organisation) -> None:
        with pytest.raises(IntegrityError):
            tenancy.make_key(organisation=acme, name="app", kind="secret")


class TestMembers:
    def test_everyone_sees_their_own_organisations_only(self, acme: Organisation, rival: Organisation, alice: User, bob: User, charlie: User) -> None:
        assert [list(tenancy.organisations_of(user)) for user in (alice, bob, charlie)] == [[acme], [acme], [rival]]
        Membership.objects.create(user=charlie, organisation=acme)
        assert list(tenancy.organisations_of(charlie)) == [acme, rival]

    @pytest.mark.parametrize("action", Action)
    def test_roles_may_what_they_may(self, acme: Organisation, alice: User, emma: User, bob: User, charlie: User, dora: User, action: Action) -> None:
        owner = action is not Action.POST_EVENTS
        assert tenancy.may(alice, acme, action) is owner
        assert tenancy.may(emma, acme, action) is (action in {Action.LOOK, Action.READ_FIGURES, Action.MANAGE_SHOPPERS, Action.MARKET})
        assert tenancy.may(bob, acme, action) is (action in {Action.LOOK, Action.READ_FIGURES})
        assert tenancy.may(dora, acme, action) is (action is Action.READ_FIGURES)
        assert tenancy.may(charlie, acme, action) is False

    @pytest.mark.parametrize(
        ("kind", "actions"),
        [
            (KeyKind.PUBLISHABLE, {Action.POST_EVENTS}),
            (KeyKind.IMPORT, {Action.POST_EVENTS}),
            (KeyKind.SECRET, set(Action) - {Action.MANAGE_KEYS, Action.POST_EVENTS}),
        ],
    )
    def test_keys_may_what_their_kind_may(self, acme: Organisation, acme_keys: dict[str, str], kind: str, actions: set[Action]) -> None:
        principal = tenancy.principal_of_key(acme_keys[kind])
        assert principal is not None
        assert (principal.organisation, principal.user, {action for action in Action if principal.may(action)}) == (acme, None, actions)

    def test_a_member_is_a_principal_and_a_stranger_none(self, acme: Organisation, alice: User, charlie: User) -> None:
        principal = tenancy.principal_of_user(alice, acme)
        assert principal is not None
        assert (principal.organisation, principal.role, principal.user, principal.key) == (acme, Role.OWNER, alice, None)
        assert tenancy.principal_of_user(charlie, acme) is None
        assert tenancy.membership(charlie, acme) is None

    def test_a_superuser_without_membership_sees_no_tenant(self, acme: Organisation) -> None:
        root = User.objects.create_superuser("root")
        assert list(tenancy.organisations_of(root)) == []
        assert not any(tenancy.may(root, acme, action) for action in Action)

    def test_somebody_not_logged_in_and_somebody_who_left_see_nothing(self, acme: Organisation, alice: User) -> None:
        alice.is_active = False
        for user in (AnonymousUser(), alice):
            assert list(tenancy.organisations_of(user)) == []
            assert tenancy.membership(user, acme) is None
            assert not tenancy.may(user, acme, Action.LOOK)

    def test_a_brands_member_reads_the_figures_of_the_brands_places_alone(self, acme: Organisation, rival: Organisation, bob: User, dora: User) -> None:
        hers, his = tenancy.principal_of_user(dora, acme), tenancy.principal_of_user(bob, acme)
        assert hers is not None and his is not None
        assert [zone.key for zone in tenancy.zones_of(hers)] == ["north-brew"]
        assert [brand.key for brand in tenancy.brands_of(hers)] == ["brew"]
        assert set(tenancy.zones_of(his)) == set(Zone.objects.filter(organisation=acme))
        assert set(tenancy.brands_of(his)) == set(Brand.objects.filter(organisation=acme))

    def test_who_may_read_no_figures_has_no_places(self, acme: Organisation, acme_keys: dict[str, str]) -> None:
        app = tenancy.principal_of_key(acme_keys["publishable"])
        assert app is not None
        assert not tenancy.zones_of(app) and not tenancy.brands_of(app)

    def test_a_membership_of_a_brand_of_somebody_else_is_refused_and_would_show_nothing(self, rival: Organisation, dora: User, acme: Organisation) -> None:
        stolen = Membership(user=dora, organisation=rival, brand=Brand.objects.get(organisation=acme, key="brew"))
        with pytest.raises(ValidationError, match="another organisation"):
            stolen.full_clean()
        stolen.save()
        principal = tenancy.principal_of_user(dora, rival)
        assert principal is not None
        assert not tenancy.zones_of(principal) and not tenancy.brands_of(principal)

    def test_an_unknown_role_may_nothing(self, acme: Organisation) -> None:
        assert not any(tenancy.Principal(organisation=acme, role="emperor").may(action) for action in Action)


def tenant_models() -> list[type[models.Model]]:
    return [model for app in TENANT_APPS for model in apps.get_app_config(app).get_models()]


class TestScope:
    def test_every_model_has_a_way_to_its_organisation_or_a_reason_for_none(self) -> None:
        """A new model must be entered in one of the two tables of engagement/tenancy.py."""
        names = {model._meta.label for model in tenant_models()}
        listed = set(tenancy.PATHS) | set(tenancy.MACHINE_ONLY)
        assert (names - listed, listed - names) == (set(), set())
        assert not set(tenancy.PATHS) & set(tenancy.MACHINE_ONLY)
        assert all(reason.endswith(".") for reason in tenancy.MACHINE_ONLY.values())

    @pytest.mark.parametrize("model", [model for model in tenant_models() if model._meta.label in tenancy.PATHS], ids=lambda model: model._meta.label)
    def test_every_way_leads_to_the_organisation(self, acme: Organisation, rival: Organisation, model: type[models.Model]) -> None:
        """The statement runs, and names the organisation's number; what it finds is the organisation's."""
        rows = tenancy.scoped(model._default_manager.all(), acme)
        assert str(acme.pk) in str(rows.query)
        path = tenancy.PATHS[model._meta.label]
        assert set(rows.values_list(path, flat=True)) <= {acme.pk}

    @pytest.mark.parametrize("model", [Organisation, Venue, Zone, ZoneVersion, ApiKey, Membership], ids=lambda model: model.__name__)
    def test_two_organisations_never_meet(self, acme: Organisation, rival: Organisation, alice: User, charlie: User, model: type[models.Model]) -> None:
        one = set(tenancy.scoped(model._default_manager.all(), acme).values_list("pk", flat=True))
        other = set(tenancy.scoped(model._default_manager.all(), rival).values_list("pk", flat=True))
        assert one
        assert other
        assert not one & other
        assert one | other == set(model._default_manager.values_list("pk", flat=True))

    def test_rows_of_machines_are_scoped_too(self, acme: Organisation, rival: Organisation, north: Any) -> None:
        for organisation in (acme, rival):
            Outcome.objects.create(organisation=organisation, hour="2026-11-20T10:00Z", shard=0, outcome="accepted", events=1)
        assert [row.organisation for row in tenancy.scoped(Outcome.objects.all(), acme)] == [acme]

    def test_a_model_without_a_tenant_is_refused(self, acme: Organisation) -> None:
        for label in tenancy.MACHINE_ONLY:
            with pytest.raises(KeyError):
                tenancy.scoped(apps.get_model(label)._default_manager.all(), acme)
