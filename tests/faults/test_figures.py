"""Cases 15, 27, 30, 36 and 38 of figures: their makers are killed, work at once, and are cut off; and other engines say the same."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import psycopg
import pytest

from analytics import figures, marks
from tests.faults.client import Client, Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.oracle import figures as figures_differences
from tests.faults.processes import Keeper, Product, running
from tests.faults.test_crowding import deadlocks
from tests.servers import until

MARKING_S: Final = float(os.environ.get("MARKING_S", "5"))
PAST: Final = int(time.time()) - 3 * 86_400


@contextmanager
def makers(number: int) -> Iterator[None]:
    """So many workers of figures in this process, as quick as they can."""
    stop = threading.Event()
    threads = [threading.Thread(target=figures.run, kwargs={"stopping": stop.is_set}) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "REST_S", 0.01)
    monkeypatch.setattr(figures, "LEAST_SHARE", 0.0)


def visit(product: Product, *, first: int = 1) -> None:
    """Somebody was in the first store three days ago, for ten minutes."""
    door = product.door()
    door.open()
    with running(product.stream()):
        post_all(product.town, door.port, [Request("phone", tuple(fix(first + number, PAST + 60 * number) for number in range(11)))])
        product.drain()


def sealed(product: Product) -> int:
    return int(product.town.value("SELECT coalesce(sum(visits), 0) FROM analytics_zoneday WHERE due_at IS NULL"))


def test_case_15_makers_that_are_killed_again_and_again_leave_the_figures_of_the_definitions(product: Product) -> None:
    """Two of them, while people walk about; each is killed at some moment, and started again."""
    door, stream, workers = product.door(), product.stream(), [product.figures() for _ in range(2)]
    door.open()
    chance, ledger = random.Random(15), Ledger()
    with running(stream), Keeper(*workers) as keeper:
        for worker in workers:
            worker.start()
        client = Client(product.town, door.port, interleaved(crowd(15, people=12, events=30), 15), ledger, pause_s=0.02)
        client.start()
        while client.is_alive():
            client.join(chance.uniform(0.5, 1.5))
            with keeper.busy:
                chance.choice(workers).kill()
        product.drain()
        product.figure_out()
    assert keeper.deaths
    assert set(keeper.deaths) == {-signal.SIGKILL}
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert figures_differences(product.town) == []


def test_case_30_eight_who_mark_the_same_zones_and_three_who_make_them_never_lock_each_other_out(product: Product) -> None:
    """For `MARKING_S` seconds, 5 unless told otherwise."""
    visit(product)
    zones = [zone for (zone,) in product.town.rows("SELECT id FROM engagement_zone ORDER BY id")]
    until_when, errors = time.monotonic() + MARKING_S, []

    def mark(seed: int) -> None:
        chance = np.random.default_rng(seed)
        try:
            with psycopg.connect(product.town.url) as connection:
                while time.monotonic() < until_when:
                    with connection.transaction(), connection.cursor() as cursor:
                        for _ in range(2):
                            zone = chance.choice(zones, 30).astype(np.int64)
                            marks.leave(cursor, zone, (PAST + 86_400 * chance.integers(-2, 3, 30)) * 1_000_000)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=mark, args=(seed,)) for seed in range(8)]
    with makers(3):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        product.figure_out()
    assert errors == []
    assert deadlocks(product) == 0
    assert sealed(product) >= 3
    assert figures_differences(product.town) == []


def test_case_30_a_deadlock_of_the_makers_is_tried_again(product: Product, caplog: pytest.LogCaptureFixture) -> None:
    visit(product)
    town = product.town
    with makers(1):
        product.figure_out()
    town.admin(f"ALTER DATABASE {town.name} SET deadlock_timeout = '2s'")  # of the maker: by then both wait
    with closing(psycopg.connect(town.ground.cluster.address(role="postgres", database=town.name))) as other:
        other.execute("SET deadlock_timeout = '60s'")  # it is not the one that gives up
        other.commit()
        town.rows("INSERT INTO analytics_mark (zone_id, hour) SELECT zone_id, extract(epoch FROM started)::bigint / 3600 FROM analytics_stay")
        other.execute("SELECT FROM analytics_mark FOR UPDATE")
        with makers(1):
            until(lambda: town.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'atrium-figures' AND wait_event_type = 'Lock'"))
            other.execute("SELECT FROM analytics_zoneday FOR UPDATE")
            other.rollback()
            product.figure_out()
    assert deadlocks(product) > 0
    assert any("DeadlockDetected" in record.getMessage() for record in caplog.records)
    assert figures_differences(town) == []


def test_case_18_a_maker_that_stands_still_keeps_nobody_from_reading_and_loses_its_work_to_another(product: Product, tmp_path: Path) -> None:
    visit(product)
    once = tmp_path / "once"
    once.touch()
    frozen = product.figures(FAULT="figures.before_commit:stop", FAULT_ONCE=str(once), ATRIUM_WORK_IDLE_S="3")
    with running(frozen):
        until(lambda: not once.exists())
        assert figures_differences(product.town) == []  # what it holds is read from the stays
        assert product.town.value("SELECT count(*) FROM analytics_mark") > 0
        with running(product.figures()):
            product.figure_out()
        frozen.signal(signal.SIGCONT)
        until(lambda: frozen.said("Making figures failed, and is tried again"))
        assert frozen.alive
    assert sealed(product) >= 3
    assert figures_differences(product.town) == []


def test_case_36_a_recount_finds_a_mutilated_figure(product: Product) -> None:
    visit(product)
    with makers(1):
        product.figure_out()
    sound = product.manage("recount")
    assert sound.returncode == 0, sound.stdout
    product.town.rows("UPDATE analytics_zoneday SET visits = visits + 1 WHERE visits > 0")
    found = product.manage("recount")
    assert found.returncode == 1
    assert found.stdout.count("are not those of its stays: visits.") == sound.stdout.count("are not") + 3
