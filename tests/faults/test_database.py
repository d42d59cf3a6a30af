"""Cases 3 to 8 and 10: the door while its process or its database is hurt."""

import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from engagement import inbox
from tests.faults.client import NO_ANSWER, Client, Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Door, Keeper, Product, running
from tests.faults.proxy import Proxy
from tests.servers import WHOLE, until

REQUEST: Final = Request("phone", tuple(fix(number, time.time() - 600 + 60 * number) for number in range(1, 6)))


@contextmanager
def clients(product: Product, port: int, ledger: Ledger, *, many: int = 3, people: int = 40, seed: int = 5) -> Iterator[None]:
    """Several clients at work during the block, each with people of its own; they finish what they have begun."""
    crews = [interleaved(crowd(seed + number, people=people, events=60, prefix=f"c{number}-"), number) for number in range(many)]
    made = [Client(product.town, port, crew, ledger, seed=number, resend=0.1, pause_s=0.005) for number, crew in enumerate(crews)]
    for client in made:
        client.start()
    try:
        yield
    finally:
        for client in made:
            client.stopping.set()
        for client in made:
            client.join()
    assert not any(client.given_up for client in made)
    assert ledger.odd == []


def inbox_rows(product: Product) -> list[inbox.Row]:
    return [inbox.unpack(bytes(payload)) for (payload,) in product.town.rows("SELECT payload FROM engagement_inbox ORDER BY id")]


@pytest.mark.parametrize(("point", "kept"), [("door.decoded", 0), ("door.before_commit", 0), ("door.after_commit", 1)])
def test_case_03_a_killed_door_has_promised_nothing_that_is_not_on_disk(product: Product, tmp_path: Path, point: str, kept: int) -> None:
    once = tmp_path / "once"
    once.touch()
    door, ledger = product.door(FAULT=f"{point}:kill", FAULT_ONCE=str(once)), Ledger()
    door.open()
    with Keeper(door) as keeper:
        with closing(Client(product.town, door.port, [REQUEST], ledger)) as client:
            assert client.send(REQUEST) == NO_ANSWER
        assert not once.exists()
        rows = inbox_rows(product)
        assert [len(inbox.records(row)) for row in rows] == [5] * kept
        post_all(product.town, door.port, [REQUEST])
        assert len(inbox_rows(product)) == kept + 1
    assert len(keeper.deaths) == 1


@pytest.mark.parametrize("silently", [False, True])
def test_case_04_a_lost_answer_to_the_commit_is_a_503_and_the_retry_counts_once(product: Product, silently: bool) -> None:
    with Proxy(product.town.ground.cluster.port) as proxy:
        door, stream = product.door(url=product.town.url_through(proxy.port)), product.stream()
        stream.start()
        server = door.open()
        proxy.drop_answer_to("COPY", silently=silently)
        answer = server.post(product.town.key(), REQUEST.body)
        assert proxy.dropped == 1
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        product.drain()
        assert product.town.value("SELECT count(*) FROM engagement_event") == 5  # it was committed, and nobody knew
        ledger = post_all(product.town, door.port, [REQUEST])
        product.drain()
        assert differences(product.town, acknowledged=ledger.acknowledged) == []
        assert product.town.outcomes() == {"accepted": 5, "duplicate": 5}
        door.end()


def test_case_05_a_crash_of_the_database_under_load_costs_no_acknowledged_event(product: Product) -> None:
    ground, ledger = product.town.ground, Ledger()
    door, stream = product.door(), product.stream()
    stream.start()
    door.open()
    ground.admin("CHECKPOINT")  # copying databases left much to recover, and that is not what is timed
    with clients(product, door.port, ledger):
        until(lambda: ledger.statuses[202] >= 100, within_s=30)
        ground.crash()
        until(lambda: ledger.statuses[503] >= 5, within_s=30)
        began = time.monotonic()
        ground.cluster.start()
        up, before = time.monotonic(), ledger.statuses[202]
        until(lambda: ledger.statuses[202] > before, within_s=30)
        first = min(when for when, _ in ledger.accepted_at if when > began)
        assert first - up < 10
    assert set(ledger.statuses) <= {202, 503, NO_ANSWER}
    product.drain()
    assert door.alive
    assert stream.alive
    assert differences(product.town, acknowledged=ledger.acknowledged) == []


@contextmanager
def read_only(product: Product) -> Iterator[None]:
    """The server turns into one that only reads, under the open connections: an old primary after a failover."""
    ground = product.town.ground
    ground.admin("ALTER SYSTEM SET default_transaction_read_only = on")
    ground.admin("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        with psycopg.connect(ground.cluster.address(role="postgres", database="postgres"), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def failed_over(product: Product) -> Iterator[None]:
    """The same, and all connections are broken as well: whoever comes back meets the old primary."""
    with read_only(product):
        product.town.cut_off("atrium")
        yield


@contextmanager
def out_of_connections(product: Product) -> Iterator[None]:
    product.town.ground.admin(f"ALTER DATABASE {product.town.name} CONNECTION LIMIT 0")
    product.town.cut_off("atrium")
    try:
        yield
    finally:
        product.town.ground.admin(f"ALTER DATABASE {product.town.name} CONNECTION LIMIT -1")


@contextmanager
def locked(product: Product) -> Iterator[None]:
    with psycopg.connect(product.town.url) as connection:
        connection.execute("LOCK TABLE engagement_inbox IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@pytest.mark.parametrize("trouble", [read_only, failed_over, out_of_connections, locked])
def test_case_06_a_database_that_refuses_is_a_503_and_the_door_comes_back_by_itself(product: Product, trouble: object) -> None:
    assert callable(trouble)
    door = product.door()
    server = door.open()
    with trouble(product):
        answer = server.post(product.town.key(), REQUEST.body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["code"] == "unavailable"
        assert b"Traceback" not in answer.body
    until(lambda: server.post(product.town.key(), REQUEST.body).status == 202)
    assert len(inbox_rows(product)) == 1
    assert "Traceback" not in door.log.read_text()


def test_case_07_nothing_on_the_way_of_an_event_needs_the_broker(product: Product) -> None:
    """The broker's address is a hole that swallows everything, its tables are gone, and no worker runs."""
    town, ledger = product.town, Ledger()
    people = [Request(f"p{number}", (fix(number, time.time() - 60),)) for number in range(1, 401)]
    plain = product.door(application=WHOLE)
    plain.open()
    post_through(product, plain, people[:200], ledger)
    plain.end()
    usual = slowest(ledger)
    with Proxy(town.ground.cluster.port, mode="black_hole") as hole:
        town.admin("DROP SCHEMA pgmq CASCADE")
        broker = town.url_through(hole.port).replace("postgres://", "pgmq://")
        door, stream = product.door(application=WHOLE, BROKER_URL=broker), product.stream(BROKER_URL=broker)
        stream.start()
        door.open()
        ledger.accepted_at.clear()
        post_through(product, door, people[200:], ledger)
        assert slowest(ledger) <= usual + 0.2
        product.drain()
        door.end()
    assert differences(town, acknowledged=ledger.acknowledged) == []


def post_through(product: Product, door: Door, requests: list[Request], ledger: Ledger) -> None:
    told = post_all(product.town, door.port, requests)
    ledger.acknowledged |= told.acknowledged
    ledger.accepted_at += told.accepted_at


def slowest(ledger: Ledger) -> float:
    """p99 of the seconds to a 202."""
    return statistics.quantiles([took for _, took in ledger.accepted_at], n=100)[98]


@pytest.mark.parametrize(
    ("limits", "own", "others"),
    [
        ({"ATRIUM_ORGANISATION_INBOX_EVENTS": "20"}, 429, 202),
        ({"ATRIUM_ORGANISATION_INBOX_AGE_S": "1", "ATRIUM_ORGANISATION_INBOX_EVENTS": "1000"}, 429, 202),
        ({"ATRIUM_INBOX_EVENTS": "20", "ATRIUM_ORGANISATION_INBOX_EVENTS": "20"}, 503, 503),
    ],
)
def test_case_08_a_full_inbox_refuses_before_it_writes(product: Product, limits: dict[str, str], own: int, others: int) -> None:
    """No stream runs. Whoever is over a limit is asked to come later, and what was refused leaves no trace."""
    town = product.town
    server = product.door(**limits).open()

    def post(organisation: str = "acme") -> int:
        answer = server.post(town.key(organisation), REQUEST.body)
        assert answer.status == 202 or int(answer.headers["retry-after"]) > 0
        return answer.status

    accepted = 0
    while "ATRIUM_ORGANISATION_INBOX_AGE_S" in limits and accepted < 4:  # enough to make their age matter
        accepted += post() == 202
    until(lambda: post() == own, within_s=20)
    stored = town.value("SELECT count(*) FROM engagement_inbox")
    assert [post() for _ in range(5)] == [own] * 5
    assert town.value("SELECT count(*) FROM engagement_inbox") == stored
    assert post("rival") == others
    stream = product.stream()
    stream.start()
    product.drain()
    until(lambda: post() == 202)


def test_case_10_a_door_that_is_asked_to_end_finishes_what_is_under_way(product: Product) -> None:
    ledger = Ledger()
    door, stream = product.door(), product.stream()
    with running(stream):
        door.open()
        with clients(product, door.port, ledger, many=4):
            for _ in range(3):
                before = ledger.statuses[202]
                until(lambda wanted=before + 60: ledger.statuses[202] >= wanted, within_s=30)
                assert door.process is not None
                door.process.send_signal(signal.SIGTERM)
                assert door.wait() == 0
                door.open()
        assert set(ledger.statuses) <= {202, NO_ANSWER}  # a connection that ends is tried again; no answer is an error
        product.drain()
        assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert threading.active_count() < 20
