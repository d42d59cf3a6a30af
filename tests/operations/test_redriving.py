"""Parked work on the operations page: named by its cause, sent on, stopped, its numbers told; by operators alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from engagement.models import Inbox, Organisation, SetAside
from operations import work
from operations.models import Redrive, RedriveItem
from tests.operations import world
from tests.operations.test_admin import client_of
from tests.operations.test_page import told


@pytest.fixture
def trouble(acme: Organisation) -> Organisation:
    world.in_trouble(timezone.now(), acme)
    return acme


def done(client: Client, address: str, **data: Any) -> str:
    """What the operator is told."""
    response = client.post(address, data, follow=True)
    assert response.redirect_chain == [("/admin/operations/", 302)]
    return " ".join(str(message) for message in response.context["messages"])


def form_of(organisation: Organisation, more: dict[str, str] | None = None) -> dict[str, Any]:
    [cause] = work.parked(organisation)
    return {"organisation": organisation.pk, "kind": cause.kind, "cause": cause.cause, "rate": "20", **(more or {})}


def test_parked_work_is_named_by_its_cause_and_sent_on_from_the_page(trouble: Organisation, admin_client: Client) -> None:
    assert "Requests set aside: 12" in told(admin_client) and "KeyError in analytics.stream.store" in told(admin_client)
    assert "One of 12 is sent on as a try." in done(admin_client, "/admin/operations/redrive/begin/", **form_of(trouble))
    redrive = Redrive.objects.get()
    assert (redrive.by, redrive.rate, Inbox.objects.count()) == ("admin", 20, 1)
    said = told(admin_client)
    assert "11 still parked + 1 on their way + 0 went well + 0 parked again + 0 gone meanwhile = 12 of 12" in said
    assert "These are being sent on." in said and "/admin/operations/redrive/begin/" not in said
    Inbox.objects.all().delete()  # the stream took it
    work.advance(timezone.now())
    work.advance(timezone.now() + timedelta(seconds=30))
    Inbox.objects.all().delete()
    for _round in range(2):
        work.advance(timezone.now() + timedelta(seconds=60))
    said = told(admin_client)
    assert "0 still parked + 0 on their way + 12 went well + 0 parked again + 0 gone meanwhile = 12 of 12" in said and "Nothing is parked." in said


def test_a_redrive_is_stopped_and_what_is_parked_stays(trouble: Organisation, admin_client: Client) -> None:
    begun = form_of(trouble)
    done(admin_client, "/admin/operations/redrive/begin/", **begun)
    assert "already" in done(admin_client, "/admin/operations/redrive/begin/", **begun)
    address = f"/admin/operations/redrive/{Redrive.objects.get().pk}/stop/"
    assert "stays parked" in done(admin_client, address)
    assert "ended already" in done(admin_client, address)
    assert SetAside.objects.filter(replayed_at=None).count() == 11


@pytest.mark.parametrize("wrong", [{"rate": "0"}, {"rate": "fast"}, {"kind": "other"}, {"organisation": "999999"}, {"cause": "none"}])
def test_what_cannot_be_sent_on_is_refused_in_words(trouble: Organisation, admin_client: Client, wrong: dict[str, str]) -> None:
    assert done(admin_client, "/admin/operations/redrive/begin/", **form_of(trouble, wrong))
    assert not Redrive.objects.exists()


def test_numbers_that_do_not_add_up_are_said(trouble: Organisation, admin_client: Client) -> None:
    done(admin_client, "/admin/operations/redrive/begin/", **form_of(trouble))
    RedriveItem.objects.filter(state="parked").first().delete()  # type: ignore[union-attr]
    assert "do not add up" in told(admin_client)


@pytest.mark.parametrize("name", ["alice", "emma", "dora", "charlie"])
def test_members_do_none_of_it(trouble: Organisation, request: pytest.FixtureRequest, name: str) -> None:
    client = client_of(request.getfixturevalue(name))
    assert client.post("/admin/operations/redrive/begin/", form_of(trouble)).status_code == 403
    assert client.post("/admin/operations/redrive/1/stop/").status_code == 403
    assert not Redrive.objects.exists()
