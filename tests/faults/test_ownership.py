"""Cases 17 to 20, 25 and 35: who works on what, when connections, locks and processes fail in the middle of it."""

import signal
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from analytics.stream import claim, links, loop, work
from analytics.stream.atlas import Atlas
from engagement import inbox
from tests.faults.client import Client, Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Product, running
from tests.faults.proxy import Proxy
from tests.servers import until

SEED: Final = 17
PAST: Final = int(time.time()) - 20_000


def people(number: int, *, people: int = 4, events: int = 15) -> list[Request]:
    return list(interleaved(crowd(SEED + number, people=people, events=events, prefix=f"r{number}-"), number))


@pytest.mark.parametrize("silently", [False, True])
def test_case_17_a_commit_whose_answer_is_lost_is_not_worked_twice(product: Product, silently: bool) -> None:
    """Each round loses the answer to another of the stream's commits; whether it happened is known to the database alone."""
    door, ledger = product.door(), Ledger()
    server = door.open()
    with Proxy(product.town.ground.cluster.port) as proxy, running(product.stream(url=product.town.url_through(proxy.port))):
        for skipped in range(3 if silently else 8):
            requests = people(skipped)
            proxy.drop_answer_to("COMMIT", skip=skipped, silently=silently)
            for request in requests:
                assert server.post(product.town.key(request.organisation), request.body).status == 202
                ledger.acknowledged |= request.identities
            until(lambda wanted=skipped + 1: proxy.dropped == wanted)
            if silently:
                proxy.reset()
            product.drain()
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert "duplicate" not in product.town.outcomes()


def test_case_17_a_session_ended_by_the_server_is_begun_again(product: Product) -> None:
    door, stream = product.door(), product.stream()
    door.open()
    with running(stream):
        product.wait_for_stream()
        posting = Client(product.town, door.port, people(40, people=8, events=40), ledger := Ledger(), pause_s=0.01)
        posting.start()
        ended = 0
        while posting.is_alive():
            ended += product.town.cut_off("atrium-stream")
            posting.join(0.15)
        product.drain()
    assert ended > 2
    assert differences(product.town, acknowledged=ledger.acknowledged) == []


def test_case_18_a_worker_that_stands_still_loses_its_shards_and_its_work(product: Product, tmp_path: Path) -> None:
    once = tmp_path / "once"
    once.touch()
    door = product.door()
    frozen = product.stream(FAULT="stream.folded:stop", FAULT_ONCE=str(once), ATRIUM_STREAM_IDLE_S="2")
    door.open()
    with running(frozen):
        ledger = post_all(product.town, door.port, people(18))
        until(lambda: not once.exists(), within_s=30)
        assert not product.town.drained()  # its locks are held, and its work is nobody else's
        with running(product.stream()):
            product.drain()
            assert differences(product.town, acknowledged=ledger.acknowledged) == []
            frozen.signal(signal.SIGCONT)
            ledger.acknowledged |= post_all(product.town, door.port, people(19)).acknowledged
            until(lambda: product.town.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'atrium-stream'") == 2)
            product.drain()
        assert frozen.alive
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert product.town.value("SELECT max(attempts) FROM engagement_shardstate") == 0


def test_case_19_of_two_workers_on_one_shard_one_works_and_the_other_passes(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    door = product.door()
    door.open()
    post_all(product.town, door.port, people(20))
    door.end()
    inside, leave, process = threading.Event(), threading.Event(), work.process

    def slowly(*arguments: Any, **more: Any) -> None:
        process(*arguments, **more)
        inside.set()
        assert leave.wait(30)

    monkeypatch.setattr(work, "process", slowly)
    with closing(loop.open_session()) as one, closing(loop.open_session()) as other:
        taken: list[int] = []
        working = threading.Thread(target=lambda: taken.append(work.work(one, Atlas(), claim.all_shards())))
        working.start()
        assert inside.wait(30)
        began = time.monotonic()
        assert claim.begin(other, claim.all_shards()) == []
        assert work.work(other, Atlas(), claim.all_shards()) == 0
        assert time.monotonic() - began < 1
        leave.set()
        working.join(30)
        assert taken[0] > 0
        while work.work(other, Atlas(), claim.all_shards()) or links.settle(other, Atlas()):
            pass
    assert differences(product.town) == []


def told_in_two_shards_at_once(product: Product) -> str:
    """One event of one device in two requests that name different shoppers, worked on at the same time; what failed on the way.

    One transaction has stored it and stands still; the other comes to store it and waits."""
    town, organisation = product.town, acme(product)
    shards = [inbox.shard_of(organisation, "s", shopper) for shopper in ("ann", "bob")]
    inside, leave, told, failed = threading.Event(), threading.Event(), [], []
    with closing(loop.open_session()) as one, closing(loop.open_session()) as other:
        put(town.url, Request("shared", (fix(1, PAST),), "cid"), organisation)
        assert work.work(one, Atlas(), claim.all_shards()) == 1  # the device is known, on another day
        for shopper in ("ann", "bob"):
            put(town.url, Request("shared", (fix(2, PAST - 86_400),), shopper), organisation)

        def first() -> None:
            with one.transaction():
                assert claim.lock(one, [shards[0]])
                work.process(one, Atlas(), claim.take(one, [shards[0]]), {shards[0]}, cautious=False)
                inside.set()
                assert leave.wait(30)

        def second() -> None:
            try:
                told.append(work.work(other, Atlas(), [shards[1]]))
            except psycopg.Error as error:
                failed.append(type(error).__name__)

        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        threads[0].start()
        assert inside.wait(30)
        threads[1].start()
        until(lambda: town.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
        leave.set()
        for thread in threads:
            thread.join(30)
        while not failed and links.settle(other, Atlas()):
            pass
    return " ".join(failed)


def test_case_02_one_event_told_in_two_shards_at_once_counts_once(product: Product) -> None:
    assert told_in_two_shards_at_once(product) == ""
    assert product.town.outcomes() == {"accepted": 2, "duplicate": 1}
    assert differences(product.town) == []


def test_case_20_a_stream_needs_no_doorbell(product: Product) -> None:
    """Nobody rings, and a row that becomes visible late, or among many empty shards, is seen as soon as it is there."""
    town = product.town
    with running(product.stream()):
        product.wait_for_stream()
        for number in range(3):
            put(town.url, Request(f"quiet{number}", (fix(number, time.time() - 60),)), acme(product))
            until(town.drained, within_s=2)
        looked = statements(product)
        time.sleep(1)
        assert statements(product) - looked < 100  # a process without work asks some ten times a second
    assert differences(town) == []
    assert town.outcomes() == {"accepted": 3}


def statements(product: Product) -> int:
    """Transactions of this database so far; the ones that ask this too."""
    return int(product.town.value("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"))


def acme(product: Product) -> int:
    return int(product.town.value("SELECT id FROM engagement_organisation WHERE key = 'acme'"))


def put(url: str, request: Request, organisation: int, *, connection: "psycopg.Connection[Any] | None" = None) -> None:
    """What the door writes of a request whose events are all fixes; in the caller's transaction, if it has one."""
    records = b"".join(
        inbox.fix(
            event_id=int(event["id"].replace("-", ""), 16).to_bytes(16, "big"),
            at_us=us(event["at"]),
            lat=event["lat"],
            lon=event["lon"],
            accuracy=event["accuracy"],
        )
        for event in request.events
    )
    row = inbox.Row(request.device, "ios", "1.0", request.shopper, 0, records, [], [])
    shard = inbox.shard_of(organisation, "d", request.device) if request.shopper is None else inbox.shard_of(organisation, "s", request.shopper)
    statement = "INSERT INTO engagement_inbox (organisation_id, shard, received_at, events, imported, payload) VALUES (%s, %s, now(), %s, false, %s)"
    values = [organisation, shard, len(request.events), inbox.pack(row)]
    if connection is not None:
        connection.execute(statement, values)
    else:
        with psycopg.connect(url, autocommit=True) as own:
            own.execute(statement, values)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


def test_case_25_a_lower_number_that_commits_later_is_not_passed_over(product: Product) -> None:
    town, now, organisation = product.town, time.time(), acme(product)
    with running(product.stream()), psycopg.connect(town.url) as late:
        put(town.url, Request("phone", (fix(1, now - 120),)), organisation, connection=late)
        put(town.url, Request("phone", (fix(2, now - 60),)), organisation)
        until(lambda: town.value("SELECT count(*) FROM engagement_event") == 1, within_s=30)
        late.commit()
        until(lambda: town.value("SELECT count(*) FROM engagement_event") == 2)
        product.drain()
    assert differences(town) == []


def test_case_35_devices_are_identified_while_all_shards_are_worked_on(product: Product) -> None:
    """Many devices of few shoppers, anonymous and named from two sides at once, worked on by two processes."""
    now = int(time.time()) - 20_000
    requests = []
    for number in range(600):
        device, when = f"d{number * 7 % 60}", now + 31 * (number * 17 % 600)
        shopper = f"s{number % 7}" if number % 3 == 0 else None
        requests.append(Request(device, tuple(fix(1000 * number + step, when + 10 * step, "brew" if number % 2 else "page") for step in range(3)), shopper))
    door, ledger = product.door(), Ledger()
    door.open()
    with running(product.stream(0, 2), product.stream(1, 2)):
        posting = [Client(product.town, door.port, requests[half::2], ledger, seed=half, resend=0.1) for half in range(2)]
        for client in posting:
            client.start()
        for client in posting:
            client.join()
        product.drain()
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert product.town.value("SELECT count(*) FROM engagement_shopper WHERE external_id IS NOT NULL") == 7
    assert product.town.value("SELECT count(DISTINCT owner_id) FROM engagement_device") <= 60
    assert product.town.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def claimed_while_it_changes_hands(product: Product) -> bool:
    """Whether a claim that waits for a device gets it, when the device changes hands meanwhile and the claim comes first."""
    town, organisation = product.town, acme(product)
    with closing(loop.open_session()) as one, closing(loop.open_session()) as other:
        for shopper, seconds in (("dan", 300), ("cid", 200), ("bob", 100)):
            put(town.url, Request("shared", (fix(seconds, PAST + seconds),), shopper), organisation)
            assert work.work(one, Atlas(), claim.all_shards()) == 1
        ((bob, claimed),) = town.rows("SELECT shopper_id, occurred_at FROM engagement_identityclaim ORDER BY occurred_at LIMIT 1")
        town.rows("DELETE FROM engagement_identityclaim WHERE shopper_id <> %s", [bob])
        failed: list[str] = []

        def settle() -> None:
            try:
                links.settle(one, Atlas())
            except psycopg.errors.SerializationFailure as error:
                failed.append(type(error).__name__)

        waiting = threading.Thread(target=settle)
        with other.transaction():  # another worker settles what cid says
            other.execute(
                """UPDATE engagement_device SET owner_id = s.id, first_identified_at = %s + interval '100 seconds' FROM engagement_shopper s
                   WHERE s.external_id = 'cid'""",
                [claimed],
            )
            waiting.start()
            until(lambda: town.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
        waiting.join(30)
        while links.settle(one, Atlas()):
            pass
    assert failed in ([], ["SerializationFailure"])  # it begins again then, with the right locks
    return bool(town.value("SELECT owner_id FROM engagement_device") == bob)


def test_case_35_a_claim_that_waits_for_another_is_not_forgotten(product: Product) -> None:
    assert claimed_while_it_changes_hands(product)
    assert differences(product.town) == []
