"""Addresses that may not be sent to: found, added, lifted with a reason, exported harmlessly; by a marketer or an owner of the organisation alone."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from engagement.models import Organisation
from notifications import suppressions
from notifications.models import Suppression
from notifications.suppressions import Noted
from tests.notifications import people

pytestmark = pytest.mark.django_db
LISTED: Final = "/admin/notifications/suppression/"
NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


def of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def noted(organisation: Organisation, address: str, why: str = "bounce", at: datetime = NOW) -> Suppression:
    return Suppression.objects.create(organisation=organisation, address=address, why=why, at=at)


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_marketer_finds_an_address_by_its_beginning(acme: Organisation, rival: Organisation, emma: User) -> None:
    for organisation in (acme, rival):
        noted(organisation, f"ann@{organisation.key}.example")
    noted(acme, "ben@acme.example", "complaint")
    client = of(emma)
    everything = text(client.get(LISTED))
    assert "ann@acme.example" in everything and "ben@acme.example" in everything and "rival" not in everything
    found = text(client.get(LISTED, {"q": "ANN@"}))
    assert "ann@acme.example" in found and "ben@acme.example" not in found
    assert "ben@acme.example" not in text(client.get(LISTED, {"lifted": "yes"}))
    assert "ann@acme.example" not in text(client.get(LISTED, {"why__exact": "complaint"}))


def test_an_address_is_added_by_hand(acme: Organisation, emma: User) -> None:
    client = of(emma)
    assert client.post(f"{LISTED}add/", {"address": "Ann@Acme.Example"}).status_code == 302
    row = Suppression.objects.get()
    assert (row.organisation, row.address, row.why, row.added_by, row.lifted_at) == (acme, "ann@acme.example", "manual", "emma", None)
    client.post(f"{LISTED}add/", {"address": "ann@acme.example"})
    assert Suppression.objects.count() == 1
    assert client.post(f"{LISTED}add/", {"address": "no address"}).status_code == 200
    assert Suppression.objects.count() == 1


def test_it_is_lifted_with_a_reason_once(acme: Organisation, emma: User, alice: User) -> None:
    row = noted(acme, "ann@acme.example")
    address = f"{LISTED}{row.pk}/lift/"
    assert "May it be sent to again?" in text(of(emma).get(f"{LISTED}{row.pk}/change/"))
    for reason in ("", "   "):
        of(emma).post(address, {"reason": reason})
        row.refresh_from_db()
        assert row.lifted_at is None
    of(emma).post(address, {"reason": "The mailbox is back."})
    of(alice).post(address, {"reason": "Me too."})
    row.refresh_from_db()
    assert (row.lifted_by, row.lift_reason) == ("emma", "The mailbox is back.") and row.lifted_at
    assert "May it be sent to again?" not in text(of(emma).get(f"{LISTED}{row.pk}/change/"))
    assert of(emma).get(address).status_code == 405


def test_what_was_lifted_and_is_added_again_holds_again(acme: Organisation, emma: User) -> None:
    row = noted(acme, "ann@acme.example")
    suppressions.lift(suppression=row, by="emma", reason="…", now=timezone.now())
    of(emma).post(f"{LISTED}add/", {"address": "ann@acme.example"})
    row.refresh_from_db()
    assert (row.lifted_at, row.why, row.lift_reason) == (None, "manual", "")


def test_the_export_runs_nothing(acme: Organisation, rival: Organisation, emma: User) -> None:
    noted(rival, "cy@rival.example")
    for address in ("=cmd|x@acme.example", "+1@acme.example", "-1@acme.example", "@sum@acme.example", 'a"b@acme.example', "ann@acme.example"):
        noted(acme, address)
    answer = of(emma).get(f"{LISTED}export/")
    assert answer["Content-Type"] == "text/csv; charset=utf-8" and "no-store" in answer["Cache-Control"]
    [head, *rows] = csv.reader(io.StringIO(text(answer)))
    assert head == ["address", "why", "since", "lifted"]
    assert {row[0] for row in rows} == {
        "'=cmd|x@acme.example",
        "'+1@acme.example",
        "'-1@acme.example",
        "'@sum@acme.example",
        'a"b@acme.example',
        "ann@acme.example",
    }


def test_nobody_else_sees_or_changes_any_of_it(acme: Organisation, bob: User, charlie: User, dora: User) -> None:
    row = noted(acme, "ann@acme.example")
    root = User.objects.create_superuser("root")
    for user in (bob, charlie, dora, root):
        client = of(user)
        for path in (LISTED, f"{LISTED}{row.pk}/change/", f"{LISTED}export/", f"{LISTED}add/", f"{LISTED}?q=ann"):
            assert "ann@acme.example" not in text(client.get(path)), (user, path)
        assert client.post(f"{LISTED}{row.pk}/lift/", {"reason": "mine"}).status_code in (403, 404)
        client.post(f"{LISTED}add/", {"address": "evil@acme.example"})
    row.refresh_from_db()
    assert (row.lifted_at, Suppression.objects.filter(organisation=acme).count()) == (None, 1)


def test_what_holds_does_not_depend_on_the_order(acme: Organisation) -> None:
    people.shoppers(acme, 1)
    whole = [Noted(acme.pk, "s0@acme.example.com", why, NOW + timedelta(hours=hours)) for why, hours in (("bounce", 0), ("complaint", 2), ("complaint", 1))]
    for told in (whole, whole[::-1], [*whole, *whole]):
        for together in (True, False):
            Suppression.objects.all().delete()
            with connection.cursor() as cursor:
                for part in [told] if together else [[one] for one in told]:
                    suppressions.suppress(cursor, part)
            assert list(Suppression.objects.values_list("why", "at")) == [("complaint", NOW + timedelta(hours=1))]


def test_by_hand_stands_over_everything_and_a_stranger_s_address_is_not_kept(acme: Organisation) -> None:
    people.shoppers(acme, 1)
    suppressions.add(organisation=acme, address="S0@acme.example.com", by="emma", now=NOW)
    with connection.cursor() as cursor:
        suppressions.suppress(cursor, [Noted(acme.pk, address, "complaint", NOW) for address in ("s0@acme.example.com", "nobody@acme.example.com")])
    assert list(Suppression.objects.values_list("address", "why")) == [("s0@acme.example.com", "manual")]
