"""Somebody is erased: all of him is gone, figures are those of a world without him, and nothing from before comes back."""

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics import figures, regulars, reports
from analytics.models import Mark, Regular, Stay, Transition
from analytics.recount import recount
from analytics.reports import Figures
from analytics.stream import claim, erasing, loop, work
from analytics.stream.atlas import Atlas
from engagement import faults, inbox, partitions, shoppers
from engagement.models import (
    Brand,
    Device,
    Erased,
    Erasure,
    Event,
    IdentityClaim,
    Inbox,
    Organisation,
    Outcome,
    Purchase,
    RecentEvent,
    SetAside,
    Shopper,
    Zone,
)
from tests import reference
from tests.analytics.stage import moment, requests_of
from tests.analytics.test_stream_law import scripts, waits
from tests.analytics.test_transitions import drain, minutes, send
from tests.analytics.theatre import Connection, Theatre
from tests.golden import ORGANISATION
from tests.reference import Event as Told
from tests.reference import distinct
from tests.worlds import World, search, worlds

pytestmark = pytest.mark.django_db(transaction=True)

NOW: Final = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


def ask(organisation: Organisation, name: str) -> Erasure:
    found = shoppers.find(organisation, name)
    assert found is not None
    return shoppers.ask_to_erase(organisation=organisation, shopper=found, by="alice")


def erased(worker: loop.Worker) -> int:
    """How many were erased, until nobody waits."""
    done = 0
    while erasing.erase(worker.connection):
        done += 1
    return done


def rows_of(shopper: int, devices: list[int]) -> dict[str, int]:
    """What is known of somebody, by table: of the tables that have such a column, whichever they are."""
    found = {}
    with connection.cursor() as cursor:
        for column, ids in (("shopper_id", [shopper]), ("owner_id", [shopper]), ("device_id", devices)):
            cursor.execute(
                """SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
                   WHERE c.column_name = %s AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type IN ('bigint', 'integer')""",
                [column],
            )
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT count(*) FROM "{table}" WHERE {column} = ANY(%s)', [ids])
                found[f"{table}.{column}"] = cursor.fetchone()[0]
    return {name: count for name, count in found.items() if count}


def everything() -> dict[str, Any]:
    """A fingerprint of all tables but those that tell of processes at work."""
    with connection.cursor() as cursor:
        found = {}
        for table in sorted(set(connection.introspection.table_names(cursor)) - {"engagement_heartbeat", "engagement_shardstate"}):
            cursor.execute(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" AS t')
            found[table] = cursor.fetchone()
        return found


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


def test_what_waits_in_the_inbox_from_before_is_not_taken_in(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    drain(worker)
    send(acme, *minutes(20, 19), shopper="ann")  # received before, and still waiting
    send(acme, *minutes(18, 17), shopper="ben", device="other")
    send(acme, *minutes(16), device="phone")  # anonymous, on her device
    ask(acme, "ann")
    erased(worker)
    drain(worker)
    assert [str(one) for one in Shopper.objects.all()] == ["ben"]
    assert [one.key for one in Device.objects.all()] == ["other"]
    assert not Inbox.objects.exists()
    assert {one.outcome: one.events for one in Outcome.objects.filter(outcome="erased")} == {"erased": 3}
    assert reports.processed(acme) == 7
    assert recount().examples == []


def test_what_a_phone_sends_again_or_late_from_before_is_not_taken_in_and_what_is_new_is(acme: Organisation, worker: loop.Worker) -> None:
    """One request with both: the phone had no net."""
    names = [uuid.uuid4() for _ in range(3)]
    send(acme, *minutes(30, 29, 28), shopper="ann", ids=names)
    drain(worker)
    ask(acme, "ann")
    erased(worker)
    after = datetime.now(UTC) + timedelta(seconds=1)
    Inbox.objects.all().delete()
    send(acme, *minutes(30, 29, 28), shopper="ann", ids=names)
    Inbox.objects.update(received_at=after)
    drain(worker)
    assert not Shopper.objects.exists() and not Device.objects.exists() and not Event.objects.exists()
    send(acme, *minutes(25), after, shopper="ann")
    Inbox.objects.update(received_at=after)
    drain(worker)
    assert list(Event.objects.values_list("occurred_at", flat=True)) == [after]
    send(acme, *minutes(24), shopper="ann")  # she is known again: from before is still from before
    Inbox.objects.update(received_at=after)
    drain(worker)
    assert Event.objects.count() == 1
    assert recount().examples == []


def test_a_request_that_reports_only_refusals_is_passed_over_where_it_is_from_before_and_counted_where_it_is_not(
    acme: Organisation, worker: loop.Worker
) -> None:
    send(acme, *minutes(30), shopper="ann")
    drain(worker)
    ask(acme, "ann")
    erased(worker)
    for received_at in (NOW - timedelta(minutes=5), datetime.now(UTC) + timedelta(seconds=1)):
        Inbox.objects.create(
            organisation=acme,
            shard=inbox.shard_of(acme.pk, "s", "ann"),
            received_at=received_at,
            events=0,
            payload=inbox.pack(inbox.Row("phone", "ios", "1", "ann", 0, b"", [], [(0, "", "too_old")])),
        )
        drain(worker)
    assert {one.outcome: one.events for one in Outcome.objects.filter(outcome="too_old")} == {"too_old": 1}


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


def test_whose_a_device_is_is_settled_before_its_past_is_erased(acme: Organisation, worker: loop.Worker) -> None:
    """Ben was named on the phone before Ann: its anonymous past is his, as soon as that is settled."""
    send(acme, *minutes(60, 59, 58), device="phone")
    send(acme, *minutes(30, 29), device="phone", shopper="ann")
    drain(worker)
    send(acme, *minutes(50), device="phone", shopper="ben")
    while worker.step():
        pass
    assert IdentityClaim.objects.exists()
    ask(acme, "ann")
    assert erased(worker) == 0
    drain(worker)
    assert erased(worker) == 1
    assert Device.objects.get().owner == Shopper.objects.get(external_id="ben")
    assert Event.objects.count() == 4
    assert recount().examples == []


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


def test_the_stream_does_it_beside_the_events(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    worker.turn()
    ask(acme, "ann")
    for clock in worker.clocks:
        clock.due = 0
    worker.turn()
    assert not Shopper.objects.exists()


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


def test_whoever_a_backup_brings_back_is_asked_for_again_and_who_came_back_himself_is_not(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    send(acme, *minutes(30, 29), device="kiosk")
    send(acme, *minutes(30, 29), shopper="ben", device="other")
    drain(worker)
    ask(acme, "ann")
    ask(acme, shoppers.name_of(Shopper.objects.get(device_key="kiosk")))
    assert erased(worker) == 2
    assert list(shoppers.again()) == []
    long_ago = NOW - timedelta(days=1)
    for names in ({"external_id": "ann"}, {"device_key": "kiosk"}):  # as the backup had them
        Shopper.objects.create(organisation=acme, shard=1, **names)
        Shopper.objects.filter(**names).update(created_at=long_ago)
    assert len(list(shoppers.again())) == 2
    assert erased(worker) == 2
    Shopper.objects.create(organisation=acme, shard=1, external_id="ann")
    assert list(shoppers.again()) == []


def test_nobody_who_looks_at_him_meanwhile_brings_him_back(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    drain(worker)
    ann = Shopper.objects.get()
    ask(acme, "ann")
    erased(worker)
    with pytest.raises(Shopper.DoesNotExist):
        regulars.mark(organisation=acme, shopper=ann, by="alice")
    assert not Regular.objects.exists()


def test_whoever_is_named_on_a_device_of_his_meanwhile_keeps_it(acme: Organisation, worker: loop.Worker) -> None:
    """He is stored by a transaction that is not committed when the erasure begins: nobody could see that the device is also his."""
    send(acme, *minutes(30, 29, 28), shopper="ann")
    drain(worker)
    ask(acme, "ann")
    send(acme, *minutes(5, 4), shopper="ben")
    with closing(loop.open_session()) as slow, closing(loop.open_session()) as quick:
        done: list[int] = []
        eraser = threading.Thread(target=lambda: done.append(erasing.erase(quick)))
        with slow.transaction():
            shards = [inbox.shard_of(acme.pk, "s", "ben")]
            assert claim.lock(slow, shards) == shards
            work.process(slow, Atlas(), claim.take(slow, shards), set(shards))
            eraser.start()
            while eraser.is_alive() and not waits(quick):
                time.sleep(0.002)
        eraser.join(30)
    assert done == [1]
    assert Device.objects.get().owner == Shopper.objects.get() == Shopper.objects.get(external_id="ben")
    assert Event.objects.count() == 2
    assert recount().examples == []


# --- Any world ------------------------------------------------------------------------------------------------------------


def without(world: World, name: str) -> list[Told]:
    """The events of a world in which somebody never was."""
    events = distinct(world.events)
    return [event for event in events if reference.shopper_of(event, events) != reference.Shopper(ORGANISATION, "shopper", name)]


@search(20)
@given(data=st.data(), world=worlds(most_events=14))
def test_in_any_world_the_stays_are_those_of_the_world_without_him(crew: list[Connection], data: st.DataObject, world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE engagement_erasure, engagement_erased, analytics_mark")
    theatre = Theatre(world, crew)
    script = data.draw(scripts(world), label="script")
    theatre.play(script)
    name = data.draw(st.sampled_from(("ann", "bob", "cid")), label="who")
    theatre.drain()
    found = shoppers.find(theatre.stage.organisation, name)
    expected = reference.stays(without(world, name), {ORGANISATION: world.places})
    if found is None:
        return
    shoppers.ask_to_erase(organisation=theatre.stage.organisation, shopper=found, by="alice")
    # Requests that come late or again, before it is done and after: all of them are from before.
    for request in itertools.islice(requests_of(world.events), 3):
        theatre.stage.accept(request)
    assert erasing.erase(crew[0]) == 1
    Inbox.objects.update(received_at=moment(0))
    for request in requests_of(world.events):
        if request.events[0].shopper == name:
            theatre.stage.accept(request)
    theatre.drain()
    assert theatre.stage.stays() == expected
    assert recount().examples == []
    assert rows_of(found.pk, []) == {}
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE engagement_erasure, engagement_erased")
