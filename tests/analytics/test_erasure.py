"""Somebody is erased: all of him is gone, and figures are those of a world without him."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from django.db import connection

from analytics import figures, regulars, reports
from analytics.models import Mark, Regular, Stay, Transition
from analytics.recount import recount
from analytics.reports import Figures
from analytics.stream import erasing, loop
from engagement import faults, inbox, shoppers
from engagement.models import (
    Brand,
    Device,
    Erased,
    Erasure,
    Event,
    Organisation,
    Purchase,
    RecentEvent,
    SetAside,
    Shopper,
    Zone,
)
from tests.analytics.erasures import ask, erased, everything, rows_of
from tests.analytics.test_transitions import drain, minutes, send

pytestmark = pytest.mark.django_db(transaction=True)

NOW: Final = datetime.now(UTC).replace(microsecond=0)


def total(zone: str = "north-brew") -> Figures:
    found = Zone.objects.select_related("organisation", "venue").get(key=zone)
    return reports.footfall(organisation=found.organisation, zone=found, start=NOW - timedelta(days=3), end=NOW + timedelta(days=1), grain="month").total


def busy(acme: Organisation, worker: loop.Worker, *, with_ann: bool) -> None:
    """Ann with two phones, one of them shared with Ben, and Ben."""
    if with_ann:
        send(acme, *minutes(200, 199, 198), device="ann-phone")
        send(acme, *minutes(190, 189, 180), device="ann-phone", shopper="ann")
        send(acme, *minutes(170, 169), device="shared")  # anonymous, before anybody was named on it: hers
        send(acme, *minutes(160, 159, 158), device="shared", shopper="ann")
        send(acme, *minutes(100, 99, 98), device="ben-phone", shopper="ann")
    send(acme, *minutes(140, 139, 137), device="shared", shopper="ben")
    send(acme, *minutes(210, 209, 204), device="ben-phone", shopper="ben")
    send(acme, *minutes(120, 119), device="ben-phone")
    drain(worker)


def test_all_of_somebody_goes_and_the_others_stay_as_if_he_had_never_been(acme: Organisation, worker: loop.Worker) -> None:
    busy(acme, worker, with_ann=False)
    without = {(str(one.shopper), one.zone.key, one.started, one.ended, one.counted) for one in Stay.objects.select_related("shopper", "zone")}
    figures_without = [total(zone) for zone in ("north", "north-brew", "north-ground")]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE analytics_stay, engagement_event, engagement_device, engagement_shopper, engagement_shopperdevice, engagement_outcome")
    busy(acme, worker, with_ann=True)
    ann = Shopper.objects.get(external_id="ann")
    regulars.mark(organisation=acme, shopper=ann, by="alice")
    Purchase.objects.create(organisation=acme, key="p1", shopper=ann, brand=Brand.objects.get(key="brew"), at=NOW)
    Purchase.objects.create(organisation=acme, key="p2", shopper=Shopper.objects.get(external_id="ben"), brand=Brand.objects.get(key="brew"), at=NOW)
    with figures.session() as session:
        figures.catch_up(session, now=NOW + timedelta(days=2))
        assert Device.objects.get(key="shared").owner == ann
        ask(acme, "ann")
        assert erased(worker) == 1
        assert {(str(one.shopper), one.zone.key, one.started, one.ended, one.counted) for one in Stay.objects.select_related("shopper", "zone")} == without
        assert [total(zone) for zone in ("north", "north-brew", "north-ground")] == figures_without
        figures.catch_up(session, now=NOW + timedelta(days=2))
    assert [total(zone) for zone in ("north", "north-brew", "north-ground")] == figures_without
    assert recount().examples == []
    assert rows_of(ann.pk, []) == {}
    assert {one.key: str(one.owner) for one in Device.objects.select_related("owner")} == {"shared": "ben", "ben-phone": "ben"}
    assert list(Purchase.objects.values_list("key", flat=True)) == ["p2"]
    assert not Regular.objects.exists()


def test_what_is_left_says_when_and_how_much_and_not_who(acme: Organisation, worker: loop.Worker) -> None:
    busy(acme, worker, with_ann=True)
    ann = Shopper.objects.get(external_id="ann")
    stays = Stay.objects.filter(shopper=ann).count()
    told = shoppers.extent(ann)
    row = ask(acme, "ann")
    erased(worker)
    row.refresh_from_db()
    assert row.shopper_id is None and row.finished_at is not None and row.requested_by == "alice"
    assert (row.events, row.devices, row.stays, row.purchases) == (14, 1, stays, 0)
    assert (told.events, told.devices, told.shared, told.purchases) == (14, 1, 2, 0)
    digests = {bytes(one.digest) for one in Erased.objects.all()}
    assert digests == {
        shoppers.digest(acme.pk, "s", "ann"),
        shoppers.digest(acme.pk, "d", "ann-phone"),
        shoppers.digest(acme.pk, "d", "shared"),
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(e::text, '') || (SELECT string_agg(d::text, '') FROM engagement_erased d) FROM engagement_erasure e")
        assert "ann" not in cursor.fetchone()[0]


def test_somebody_whom_no_app_has_named_is_erased_with_his_device(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29, 28), device="phone")
    drain(worker)
    someone = Shopper.objects.get(device_key="phone")
    name = shoppers.name_of(someone)
    assert name == f"atrium:{someone.pk}" and shoppers.find(acme, name) == someone
    device = Device.objects.get().pk
    ask(acme, name)
    assert erased(worker) == 1
    assert rows_of(someone.pk, [device]) == {}
    assert not Device.objects.exists() and not Event.objects.exists() and not RecentEvent.objects.exists()
    assert shoppers.find(acme, name) is None
    assert recount().examples == []
    found = shoppers.latest(acme, name)
    assert found is not None and found.events == 3


def test_asked_twice_it_is_one_and_who_is_gone_is_found_no_more(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    drain(worker)
    assert ask(acme, "ann") == ask(acme, "ann")
    assert (erased(worker), erased(worker)) == (1, 0)
    assert shoppers.find(acme, "ann") is None
    assert Erasure.objects.count() == 1


def test_other_organisations_names_are_others(acme: Organisation, rival: Organisation, worker: loop.Worker) -> None:
    for organisation in (acme, rival):
        send(organisation, *minutes(30, 29), shopper="ann")
    drain(worker)
    ask(acme, "ann")
    erased(worker)
    send(rival, *minutes(20), shopper="ann")
    drain(worker)
    assert [one.organisation for one in Shopper.objects.select_related("organisation")] == [rival]
    assert Event.objects.filter(organisation=rival).count() == 3


def test_requests_of_his_that_were_set_aside_go_too(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30), shopper="ann")
    drain(worker)
    for device, shopper in (("phone", "ann"), ("elsewhere", "ann"), ("phone", None), ("phone", "ben"), ("other", None)):
        row = inbox.Row(device, "ios", "1", shopper, 0, b"", [], [])
        SetAside.objects.create(organisation=acme, shard=1, received_at=NOW, events=0, payload=inbox.pack(row), error="x")
    SetAside.objects.create(organisation=acme, shard=1, received_at=NOW, events=0, payload=b"\xc1", error="nobody can read it")
    ask(acme, "ann")
    erased(worker)
    left = [inbox.unpack(bytes(one.payload)) for one in SetAside.objects.exclude(error="nobody can read it")]
    assert {(one.device, one.shopper) for one in left} == {("phone", "ben"), ("other", None)}
    assert SetAside.objects.count() == 3


def test_a_crash_before_the_commit_changes_nothing_and_the_next_one_does_it(acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(acme, worker, with_ann=True)
    ask(acme, "ann")
    before = everything()
    monkeypatch.setattr(faults, "_name", "erase.before_commit")
    monkeypatch.setattr(faults, "_action", "raise")
    with pytest.raises(faults.InjectedFault):
        erasing.erase(worker.connection)
    assert everything() == before
    monkeypatch.setattr(faults, "_name", "")
    assert erased(worker) == 1
    assert not Shopper.objects.filter(external_id="ann").exists()


def test_what_was_told_of_him_is_told_no_more(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29, 28), shopper="ann")
    send(acme, *minutes(30, 29, 28), shopper="ben", device="other")
    drain(worker)
    ann, ben = (Shopper.objects.get(external_id=name).pk for name in ("ann", "ben"))
    assert Transition.objects.filter(shopper_id=ann).exists()
    ask(acme, "ann")
    erased(worker)
    assert set(Transition.objects.values_list("shopper_id", flat=True)) == {ben}


def test_the_days_he_was_there_are_marked(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29, 28), shopper="ann")
    drain(worker)
    zones = set(Stay.objects.values_list("zone_id", flat=True))
    Mark.objects.all().delete()
    ask(acme, "ann")
    erased(worker)
    assert set(Mark.objects.values_list("zone_id", flat=True)) == zones
