"""The outbox: what is told when somebody enters, dwells, leaves, and when history is made again."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from analytics.models import DwellMark, Recut, Stay, Transition
from analytics.recount import recount
from analytics.stream import claim, counters, events, links, loop
from analytics.stream.batch import to_us
from engagement import inbox, partitions
from engagement.models import Device, Event, IdentityClaim, Inbox, Organisation, Outcome, PlacesChange, RecentEvent, ShardState, Shopper, Zone
from engagement.provisioning import provision
from tests.cast import at

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC).replace(microsecond=0)
BREW: Final = (-50.0, 50.0)  # a place in the store, in metres
AWAY: Final = (5_000.0, 5_000.0)


@pytest.fixture(autouse=True)
def now() -> None:
    """Each test's own: what is open depends on the clock, and the tests before this one may have taken a long time."""
    global NOW
    NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


def send(
    organisation: Organisation,
    *when: datetime,
    where: tuple[float, float] = BREW,
    device: str = "phone",
    shopper: str | None = None,
    imported: bool = False,
    ids: list[uuid.UUID] | None = None,
) -> None:
    """Fixes at one place, as the door leaves them."""
    lon, lat = at(*where)
    names = ids or [uuid.uuid4() for _ in when]
    records = [inbox.fix(event_id=name.bytes, at_us=to_us(one), lat=lat, lon=lon, accuracy=5.0) for name, one in zip(names, when, strict=True)]
    kind, key = ("d", device) if shopper is None else ("s", shopper)
    Inbox.objects.create(
        organisation=organisation,
        shard=inbox.shard_of(organisation.pk, kind, key),
        received_at=NOW,
        events=len(when),
        imported=imported,
        payload=inbox.pack(inbox.Row(device, "ios", "1", shopper, 0, b"".join(records), [], [])),
    )


def minutes(*ago: float) -> list[datetime]:
    return [NOW - timedelta(minutes=one) for one in ago]


def drain(worker: loop.Worker) -> None:
    while worker.step():
        pass
    while links.settle(worker.connection, worker.atlas):
        pass
    links.sweep(worker.connection, claim.all_shards())


def told(zone: str) -> list[tuple[str, datetime, int | None]]:
    found = Transition.objects.filter(zone_id=Zone.objects.get(key=zone).pk).order_by("id")
    return [(one.kind, one.at, one.minutes) for one in found]


def test_entering_is_told_once_and_leaving_when_nothing_can_extend_the_stay(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9, 8))
    drain(worker)
    assert told("north-brew") == [("entered", minutes(10)[0], None), ("left", minutes(8)[0], None)]
    assert [kind for kind, _, _ in told("north")] == ["entered"]  # the venue's grace is 15 minutes: still here
    drain(worker)
    assert len(told("north-brew")) == 2


def test_a_mark_that_somebody_asked_for_is_told_when_the_dwell_reaches_it(acme: Organisation, worker: loop.Worker) -> None:
    brew = Zone.objects.get(key="north-brew")
    DwellMark.objects.bulk_create([DwellMark(zone=brew, minutes=m) for m in (2, 4)])
    send(acme, *minutes(5, 4))
    drain(worker)
    assert [one for one in told("north-brew") if one[0] == "dwelled"] == []
    send(acme, *minutes(3, 2, 1))
    drain(worker)
    assert [one for one in told("north-brew") if one[0] == "dwelled"] == [("dwelled", minutes(3)[0], 2), ("dwelled", minutes(1)[0], 4)]


def test_a_late_event_that_joins_two_told_stays_is_told_as_a_re_cut(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29))
    drain(worker)
    send(acme, *minutes(26, 25))
    drain(worker)
    assert Stay.objects.filter(zone__key="north-brew").count() == 2
    before = len(told("north-brew"))
    send(acme, *minutes(28, 27))
    drain(worker)
    stay = Stay.objects.get(zone__key="north-brew")
    assert [stay.started, stay.ended] == minutes(30, 25)
    assert {kind for kind, _, _ in told("north-brew")[before:]} == {"re-cut", "left"}


def test_imported_history_starts_no_message(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9, 8), imported=True)
    drain(worker)
    assert Stay.objects.filter(zone__key="north-brew").exists()
    assert not Transition.objects.exists()


def test_a_repeat_under_another_day_is_still_a_repeat(acme: Organisation, worker: loop.Worker) -> None:
    name = uuid.uuid4()
    send(acme, NOW, ids=[name])
    drain(worker)
    send(acme, NOW - timedelta(days=3), ids=[name])
    drain(worker)
    assert Event.objects.count() == 1
    assert dict(Outcome.objects.values_list("outcome", "events")) == {"accepted": 1, "duplicate": 1}
    assert Device.objects.get().days == [to_us(NOW) // 86_400_000_000]


def test_the_sample_tells_which_zones_an_event_opened(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, NOW)
    send(acme, NOW, where=AWAY, device="far")
    drain(worker)
    shown = {one.device: set(one.zones.split()) for one in RecentEvent.objects.all()}
    assert shown == {"phone": {"north-brew", "north-ground", "north"}, "far": set()}


def test_the_past_of_a_device_that_is_identified_moves_to_its_shopper(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9))
    drain(worker)
    send(acme, *minutes(8), shopper="crm-1")
    drain(worker)
    stay = Stay.objects.get(zone__key="north-brew")
    assert (stay.shopper.external_id, stay.started, stay.ended) == ("crm-1", *minutes(10, 8))
    assert Device.objects.get().owner == stay.shopper
    assert stay.shard == stay.shopper.shard


def test_the_number_of_statements_does_not_grow_with_the_events(acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for size in (1, 2, 200):  # the first loads the places
        send(acme, *[NOW - timedelta(seconds=size - i) for i in range(size)], device=f"phone-{size}")
        counts.append(_statements(worker, monkeypatch))
    assert counts[1] == counts[2] <= 41


def _statements(worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> int:
    """Statements of one step, counted by the server's view of the connection."""
    count = 0
    original = type(worker.connection).wait

    def wait(self: object, *args: object, **kwargs: object) -> object:
        nonlocal count
        count += 1
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(type(worker.connection), "wait", wait)
        assert worker.step() == 1
    return count


def test_the_unique_key_stands_guard_where_a_device_was_told_of_elsewhere(acme: Organisation, worker: loop.Worker) -> None:
    """Another shard may store an event between our reading the device's days and our writing: as if the day were not known."""
    name = uuid.uuid4()
    send(acme, NOW, ids=[name])
    drain(worker)
    Device.objects.update(days=[])
    send(acme, NOW, NOW, ids=[name, uuid.uuid4()])
    drain(worker)
    assert Event.objects.count() == 2
    assert dict(Outcome.objects.values_list("outcome", "events")) == {"accepted": 2, "duplicate": 1}


def test_several_devices_of_one_shopper_are_settled_in_one_transaction(acme: Organisation, worker: loop.Worker) -> None:
    """Each brings its past along; what one of them noted of the shopper must not be written again for the next."""
    send(acme, *minutes(9, 3), device="watch", where=AWAY)
    send(acme, *minutes(10, 9), device="phone")
    drain(worker)
    send(acme, *minutes(5), device="phone", shopper="crm-1")
    send(acme, *minutes(8), device="watch", shopper="crm-1")
    while worker.step():
        pass
    assert IdentityClaim.objects.count() == 2
    assert links.settle(worker.connection, worker.atlas) == 2
    assert Shopper.objects.get(external_id="crm-1").last_at == minutes(3)[0]
    assert recount().examples == []


def test_housekeeping_that_fails_is_told_and_put_off_and_events_go_on(
    acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> int:
        raise ValueError("somebody stands at 28.0567, -26.1076")

    monkeypatch.setattr(links, "settle", broken)
    send(acme, *minutes(10, 9))
    assert worker.turn() == 1
    assert Stay.objects.filter(zone__key="north-brew").exists()
    told = [record.getMessage() for record in caplog.records if "housekeeping failed" in record.getMessage()]
    assert len(told) == 1 and "ValueError" in told[0] and "28.0567" not in told[0]
    worker.turn()
    assert len([record for record in caplog.records if "housekeeping failed" in record.getMessage()]) == 1


def test_housekeeping_that_takes_too_long_does_not_take_the_connection_with_it(
    acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def slow(connection: loop.Connection, _: object) -> int:
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 1")
            connection.execute("SELECT pg_sleep(5)")
        return 0

    monkeypatch.setattr(links, "settle", slow)
    send(acme, *minutes(10, 9))
    assert worker.turn() == 1
    assert any("housekeeping failed" in record.getMessage() and "QueryCanceled" in record.getMessage() for record in caplog.records)
    send(acme, *minutes(8, 7))
    assert worker.turn() == 1


def test_shoppers_are_compared_again_once_changed_places_have_reached_them(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9, 8))
    drain(worker)
    provision({"organisation": {"key": "acme"}, "zones": [{"key": "north-brew", "exit_grace_s": 1}]}, now=NOW - timedelta(hours=1))
    PlacesChange.objects.get_or_create(organisation=acme, defaults={"since": NOW - timedelta(hours=1), "reason": "provisioned"})
    assert recount().differences == 0
    links.ask_for_recuts(worker.connection)
    assert recount().differences == 0
    while Recut.objects.filter(finished_at=None).exists():
        links.recut(worker.connection, worker.atlas)
    found = recount()
    assert (found.shoppers, found.differences) == (1, 0)
    assert Stay.objects.filter(zone__key="north-brew").count() == 3


def test_an_attempt_that_is_decided_is_not_taken_back_when_the_connection_goes_later(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9))
    assert worker.step() == 1
    ShardState.objects.update(attempts=2)  # somebody else's, of a row that ends processes
    worker.excuse(worker)
    assert set(ShardState.objects.values_list("attempts", flat=True)) == {2}


def test_after_a_long_silence_those_who_left_are_told_a_bounded_number_at_a_time(
    acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "SWEPT", 2)
    send(acme, *minutes(600, 599))
    assert worker.step() == 1
    swept = [links.sweep(worker.connection, claim.all_shards()) for _ in range(4)]
    assert swept[0] == 2 and swept[-1] == 0
    assert sum(swept) == Stay.objects.count()


def test_what_is_asked_of_tables_that_grow_goes_by_their_indexes(worker: loop.Worker) -> None:
    """A table that was small when its plan was made is large a minute later, before any statistics say so."""
    with worker.connection.transaction():
        plan = worker.connection.execute("EXPLAIN " + events._KNOWN).fetchall()
    assert not [line for (line,) in plan if "Seq Scan on engagement_event" in line]
    shown = {name: worker.connection.execute(f"SHOW {name}").fetchone() for name in ("plan_cache_mode", "enable_seqscan")}
    assert shown == {"plan_cache_mode": ("force_custom_plan",), "enable_seqscan": ("off",)}


def test_every_device_is_compared_however_many_there_are(acme: Organisation, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.recount.SLICE", 2)
    for number in range(5):
        send(acme, *minutes(10, 9), device=f"phone-{number}", shopper=f"crm-{number}")
    drain(worker)
    assert recount().differences == 0
    stranger = Device.objects.order_by("id")[0].owner_id
    Device.objects.filter(key="phone-4").update(owner_id=stranger)
    assert [one for one in recount().examples if "another owner" in one] == [
        f"Device {Device.objects.get(key='phone-4').pk} has another owner than its first identified event says."
    ]


def test_old_history_made_again_tells_nobody(acme: Organisation, worker: loop.Worker) -> None:
    old = NOW - timedelta(days=3)
    send(acme, old, old + timedelta(minutes=1), imported=True)
    send(acme, *minutes(10, 9))
    drain(worker)
    before = Transition.objects.count()
    send(acme, *minutes(8), shopper="crm-1")
    drain(worker)
    moved = Stay.objects.get(zone__key="north-brew", started=old)
    assert (moved.shopper.external_id, moved.closed) == ("crm-1", True)
    assert not Transition.objects.filter(started=old).exists()
    assert Transition.objects.count() > before


def test_what_was_told_a_week_ago_is_forgotten(acme: Organisation, worker: loop.Worker) -> None:
    send(acme, *minutes(10, 9))
    drain(worker)
    Transition.objects.filter(kind="left").update(created_at=NOW - timedelta(days=8))
    RecentEvent.objects.update(received_at=NOW - timedelta(minutes=11))
    counters.prune(worker.connection)
    assert {one.kind for one in Transition.objects.all()} == {"entered"}
    assert not RecentEvent.objects.exists()
