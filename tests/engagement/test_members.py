"""Members of a brand: how they are made, and how little of the web admin is theirs."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from engagement import navigation, provisioning
from engagement.models import Brand, Membership, Organisation, Venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def foreign(rival: Organisation) -> Brand:
    provisioning.provision({"organisation": {"key": "rival"}, "brands": [{"key": "noodle", "name": "Noodle Bar"}]})
    return Brand.objects.get(organisation=rival)


def form(organisation: Organisation, user: User, brand: Brand | None, member: Membership | None = None) -> dict[str, object]:
    row = {"id": member.pk if member else "", "organisation": organisation.pk, "user": user.pk, "role": "analyst", "brand": brand.pk if brand else ""}
    counts = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 1 if member else 0, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}
    return (
        {"name": organisation.name, "raw_days": organisation.raw_days}
        | {f"memberships-{name}": value for name, value in counts.items()}
        | {f"memberships-0-{k}": v for k, v in row.items()}
    )


def test_whoever_runs_the_installation_makes_somebody_a_brands_member(root: Client, acme: Organisation, foreign: Brand) -> None:
    page = reverse("admin:engagement_organisation_change", args=[acme.pk])
    offered = root.get(page).content.decode()
    assert "Brew &amp; Co" in offered and "Noodle Bar" not in offered
    nemo, brew = User.objects.create_user("nemo"), Brand.objects.get(organisation=acme, key="brew")
    assert root.post(page, form(acme, nemo, brew)).status_code == 302
    assert Membership.objects.get(user=nemo).brand == brew


def test_a_brand_of_another_organisation_is_not_taken(root: Client, acme: Organisation, foreign: Brand) -> None:
    nemo = User.objects.create_user("nemo")
    answer = root.post(reverse("admin:engagement_organisation_change", args=[acme.pk]), form(acme, nemo, foreign))
    assert answer.status_code == 200 and "Select a valid choice" in answer.content.decode()
    assert not Membership.objects.filter(user=nemo).exists()


def test_a_brand_given_to_a_member_counts_at_once(alice: User, acme: Organisation, north: Venue) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("live_venue", args=[north.pk])).status_code == 200
    Membership.objects.filter(user=alice).update(brand=Brand.objects.get(organisation=acme, key="brew"))
    assert client.get(reverse("live_venue", args=[north.pk])).status_code == 403


def test_a_brand_that_ends_takes_its_members_along(dora: User, acme: Organisation) -> None:
    """A membership that lost its brand would be one of the whole organisation."""
    Brand.objects.create(organisation=acme, key="short", name="Short-lived")
    Membership.objects.filter(user=dora).update(brand=Brand.objects.get(key="short"))
    Brand.objects.get(key="short").delete()
    assert not Membership.objects.filter(user=dora).exists()


def test_a_brands_member_is_shown_no_way_to_what_is_closed_to_her(dora: User, alice: User) -> None:
    """Each address in the sidebar opens; the owner's has the others too."""
    for user in (dora, alice):
        client = Client()
        client.force_login(user)
        request = client.get(reverse("admin:password_change")).wsgi_request
        links = {item["link"] for group in navigation.groups(request) for item in group["items"]}
        assert all(client.get(link, follow=True).status_code == 200 for link in links), links
        assert (reverse("admin:engagement_shopper_changelist") in links) is (user == alice)
