"""Somebody is erased: nothing from before comes back, whatever is sent again, late, or at the same time."""

import itertools
import threading
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics import regulars, reports
from analytics.models import Regular
from analytics.recount import recount
from analytics.stream import claim, erasing, loop, work
from analytics.stream.atlas import Atlas
from engagement import inbox, shoppers
from engagement.models import (
    Device,
    Event,
    IdentityClaim,
    Inbox,
    Organisation,
    Outcome,
    Shopper,
)
from tests import reference
from tests.analytics.erasures import ask, erased, rows_of
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


def test_the_stream_does_it_beside_the_events(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29), shopper="ann")
    worker.turn()
    ask(acme, "ann")
    for clock in worker.clocks:
        clock.due = 0
    worker.turn()
    assert not Shopper.objects.exists()


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
