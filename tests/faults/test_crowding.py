"""Cases 9 and 30: many at once. One loud tenant beside a quiet one, and eight workers in the same zones."""

import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
import pytest
from psycopg import errors

from analytics.stream import work
from analytics.stream.loop import Worker
from tests.faults.client import Client, Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Product, running
from tests.servers import until

FLOOR_S: Final = 0.1  # below this a difference is noise of the machine
MEASURED: Final = 60  # requests of the quiet tenant


@dataclass
class Quiet:
    """The rival's few requests: how long each takes to be accepted, and from then to be stored with its stays."""

    product: Product
    port: int
    accepted: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)

    def measure(self, first: int) -> None:
        with psycopg.connect(self.product.town.url, autocommit=True) as connection, closing(Client(self.product.town, self.port, [], Ledger())) as client:
            rival = connection.execute("SELECT id FROM engagement_organisation WHERE key = 'rival'").fetchone()

            def worked() -> bool:
                """Its row leaves the inbox in the transaction that writes the stays."""
                return connection.execute("SELECT 1 FROM engagement_inbox WHERE organisation_id = %s", rival).fetchone() is None

            for number in range(first, first + MEASURED):
                began = time.monotonic()
                assert client.send(Request(f"quiet{number % 5}", (fix(number, time.time() - 60),), organisation="rival")) == 202
                self.accepted.append(time.monotonic() - began)
                until(worked, within_s=30, every_s=0.005)
                self.visible.append(time.monotonic() - began)
                time.sleep(0.03)  # ten or so a second: the pace is part of what is measured

    @staticmethod
    def slowest(seconds: list[float]) -> float:
        """p95."""
        return statistics.quantiles(seconds, n=20)[18]


def test_case_09_a_tenant_a_hundred_times_as_loud_hardly_delays_another(product: Product) -> None:
    door = product.door()
    door.open()
    with running(product.stream(0, 2), product.stream(1, 2)):
        product.wait_for_stream()
        alone, beside = Quiet(product, door.port), Quiet(product, door.port)
        alone.measure(1)
        noise = Client(product.town, door.port, loud(), Ledger(), pause_s=0.08)
        noise.start()
        began = time.monotonic()
        until(lambda: product.town.value("SELECT count(*) FROM engagement_event") > 1000, within_s=30)
        beside.measure(1001)
        heard = time.monotonic() - began
        noise.stopping.set()
        noise.join()
        rate = product.town.value("SELECT count(*) FROM engagement_event e JOIN engagement_organisation o ON o.id = organisation_id WHERE key = 'acme'") / heard
        product.drain()
    print({name: [round(Quiet.slowest(getattr(quiet, name)), 4) for quiet in (alone, beside)] for name in ("accepted", "visible")}, f"{rate:.0f} events/s")
    assert rate > 1000  # the quiet one has some ten a second
    for name in ("accepted", "visible"):
        usual, loudly = Quiet.slowest(getattr(alone, name)), Quiet.slowest(getattr(beside, name))
        assert loudly <= max(2 * usual, usual + FLOOR_S), name
    assert product.town.value("SELECT count(*) FROM engagement_setaside") == 0


def loud() -> Iterator[Request]:
    now, spots = int(time.time()) - 3600, ("brew", "hall", "page")
    for number in itertools.count(1):
        first = 10_000_000 + 200 * number
        yield Request(f"loud{number % 50}", tuple(fix(first + step, now + number + step, spots[step % 3]) for step in range(150)))


@contextmanager
def workers(product: Product, many: int) -> Iterator[None]:
    """So many in threads of this process, each with a connection of its own and the whole duty of a stream process."""
    stopping, failed = threading.Event(), []

    def run(number: int) -> None:
        try:
            worker = Worker(number, many)
            with closing(worker.connection):
                while not stopping.is_set():
                    if not worker.turn():
                        time.sleep(0.002)
        except Exception as error:
            failed.append(error)

    crew = [threading.Thread(target=run, args=[number]) for number in range(many)]
    for one in crew:
        one.start()
    yield
    stopping.set()
    for one in crew:
        one.join()
    assert failed == []


def shared_devices(many: int, *, first: int = 0, days_back: int = 0) -> list[Request]:
    """Everybody uses everybody's devices, at the same places: as many rows as can be are touched from several shards at once."""
    now = int(time.time()) - 40_000 - 86_400 * days_back

    def told(number: int, step: int) -> tuple[dict[str, Any], ...]:
        return tuple(fix(100_000 + 100 * number + 10 * step + n, now + 20 * number + n) for n in range(3))

    return [Request(f"kiosk{(number + step) % 24}", told(number, step), f"guest{number % 40}") for number in range(first, first + many) for step in range(2)]


def deadlocks(product: Product) -> int:
    return int(product.town.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def test_case_30_eight_workers_in_the_same_zones_never_lock_each_other_out(product: Product) -> None:
    door = product.door()
    door.open()
    ledger = post_all(product.town, door.port, [*shared_devices(150), *interleaved(crowd(30, people=6, events=30), 30)])
    with workers(product, 8):
        clients = [Client(product.town, door.port, shared_devices(150, first=150)[half::3], ledger, resend=0.1) for half in range(3)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        product.drain()
    assert deadlocks(product) == 0
    assert differences(product.town, acknowledged=ledger.acknowledged) == []


@pytest.mark.parametrize("failure", [errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable])
def test_case_30_a_deadlock_is_tried_again_and_is_nobodys_fault(product: Product, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]) -> None:
    """Far more often than a row may fail before it is set aside."""
    door, process, left = product.door(), work.process, itertools.count(12, -1)
    door.open()
    ledger = post_all(product.town, door.port, interleaved(crowd(31, people=3, events=20), 31))

    def failing(*arguments: Any, **more: Any) -> None:
        process(*arguments, **more)
        if next(left) > 0:
            raise failure

    monkeypatch.setattr(work, "process", failing)
    with workers(product, 1):
        product.drain()
    assert next(left) < 0
    assert product.town.value("SELECT max(attempts) FROM engagement_shardstate") == 0
    assert differences(product.town, acknowledged=ledger.acknowledged) == []


def test_case_21_good_rows_of_a_suspected_shard_are_never_set_aside_however_many_look_at_them(product: Product) -> None:
    """Every shard has failed often enough to be tried row by row, and eight workers want to be the one that does."""
    door = product.door()
    door.open()
    ledger = post_all(product.town, door.port, [*shared_devices(60), *interleaved(crowd(32, people=6, events=20), 32)])
    product.town.rows("UPDATE engagement_shardstate SET attempts = 3")
    with workers(product, 8):
        product.drain(within_s=120)
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert product.town.value("SELECT max(attempts) FROM engagement_shardstate WHERE shard IN (SELECT shard FROM engagement_shopper)") == 0
