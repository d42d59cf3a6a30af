"""A database that others press: a migration that locks, sessions that hold it up, a disk that fills."""

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from operations import upkeep
from operations.models import Action, Result
from operations.upkeep import round, sessions
from tests.faults.client import Client, Ledger, post_all
from tests.faults.crowd import crowd, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Product, running
from tests.servers import until
from tests.small_disk import fill, mounted


def test_case_32_a_migration_that_locks_the_tables_keeps_no_request_waiting_for_long_and_the_work_goes_on(product: Product) -> None:
    """A short lock on the inbox is waited for; a long one on what the stream writes is none of the door's business."""
    door, stream = product.door(), product.stream()
    door.open()
    ledger = Ledger()
    with running(stream), closing(psycopg.connect(product.town.url)) as migration:
        client = Client(product.town, door.port, interleaved(crowd(32, people=6, events=30), 32), ledger, pause_s=0.05)
        client.start()
        migration.execute("ALTER TABLE engagement_inbox ADD COLUMN note text NOT NULL DEFAULT 'none'")
        threading.Event().wait(1)
        migration.commit()
        migration.execute("ALTER TABLE engagement_inbox DROP COLUMN note")
        migration.execute("LOCK TABLE analytics_stay, engagement_event, engagement_shopper IN ACCESS EXCLUSIVE MODE")
        migration.execute("ALTER TABLE analytics_stay ADD COLUMN note text")
        migration.commit()
        migration.execute("LOCK TABLE engagement_event IN ACCESS EXCLUSIVE MODE")
        until(lambda: stream.said("Trying again: LockNotAvailable"), within_s=30)
        client.join(60)
        assert product.town.value("SELECT count(*) FROM engagement_inbox")  # they were taken, and wait
        migration.rollback()
        product.drain()
    assert set(ledger.statuses) == {202}
    assert max(took for _, took in ledger.accepted_at) < 2.0
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert product.town.value("SELECT max(attempts) FROM engagement_shardstate") == 0  # it said nothing of the rows


@pytest.mark.parametrize("mutant", [None, "nobody ends them"])
def test_case_33_sessions_that_hold_the_database_up_are_ended_and_the_inbox_stays_small(
    product: Product, monkeypatch: pytest.MonkeyPatch, mutant: str | None
) -> None:
    """One that forgot its transaction and four long readers. Without the action the dead rows of the inbox stay; with it they are swept away."""
    door, town = product.door(), product.town
    door.open()
    monkeypatch.setattr(sessions, "IDLE", timedelta(seconds=1))
    monkeypatch.setattr(sessions, "READING", timedelta(seconds=1))
    if mutant:
        monkeypatch.setattr(sessions, "end", lambda _held: 0)
    held = [psycopg.connect(town.url, application_name="a report tool") for _ in range(5)]
    for number, one in enumerate(held):
        one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        one.execute("SELECT count(*) FROM engagement_inbox")
        if number:
            one.pgconn.send_query(b"SELECT pg_sleep(600)")
    with running(product.stream()):
        ledger = post_all(town, door.port, interleaved(crowd(33, people=5, events=20), 33))
        product.drain()  # they cost no lag
        until(lambda: len(sessions.holding()) == 5)
        round._due.clear()
        upkeep.look(timezone.now())
        until(lambda: not sessions.holding() or bool(mutant))
        left = swept_size(product)
    for one in held:
        one.close()
    assert differences(town, acknowledged=ledger.acknowledged) == []
    assert (left > 0) == (mutant is not None)
    assert Action.objects.get(action="sessions-ended").result == Result.DONE


def swept_size(product: Product) -> int:
    """What a sweep leaves of the inbox, in bytes."""
    with psycopg.connect(product.town.ground.cluster.address(role="postgres", database=product.town.name), autocommit=True) as connection:
        connection.execute("VACUUM engagement_inbox")
        row = connection.execute("SELECT pg_relation_size('engagement_inbox')").fetchone()  # an empty table has no pages
        assert row is not None
        return int(row[0])


def test_case_34_the_door_refuses_before_the_disk_is_full_and_takes_again_by_itself(product: Product) -> None:
    """The volume's size is told, and the databases on it fill it."""
    town = product.town
    used = town.value("SELECT sum(pg_database_size(oid))::bigint + pg_size_bytes(current_setting('max_wal_size')) FROM pg_database WHERE datallowconn")
    door = product.door(ATRIUM_DISK_BYTES=str(used + 80 * 1024**2), ATRIUM_DISK_RESERVE_MB="64")
    server = door.open()
    first, second = itertools.islice(interleaved(crowd(34, people=1, events=8), 34), 2)
    assert server.post(town.key(), first.body).status == 202
    town.rows("CREATE TABLE ballast AS SELECT repeat(md5(n::text), 30) AS x FROM generate_series(1, 30000) AS n")
    until(lambda: server.post(town.key(), first.body).status == 503, within_s=30)
    refused = server.post(town.key(), second.body)
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "disk_nearly_full", "60")
    with running(product.stream()):
        product.drain()  # what was taken is worked in meanwhile
        town.rows("DROP TABLE ballast")
        until(lambda: server.post(town.key(), second.body).status == 202, within_s=30)
        product.drain()
    assert differences(town, acknowledged=first.identities | second.identities) == []


@pytest.fixture
def small_disk(tmp_path: Path, product: Product) -> Iterator[Path]:
    """Thirty-two megabytes, as a file system of their own, for the inbox alone."""
    with mounted(tmp_path / "small", 32) as folder:
        yield folder


def test_case_34_a_disk_that_is_full_is_a_503_and_nothing_needs_repair(product: Product, small_disk: Path) -> None:
    """Without the guard: PostgreSQL itself has no room for the row."""
    town: Any = product.town
    inside = small_disk / "tablespace"
    inside.mkdir(mode=0o777)
    inside.chmod(0o777)
    owner = next(town.ground.cluster.folder.rglob("PG_VERSION")).stat()
    shutil.chown(inside, owner.st_uid, owner.st_gid)
    town.admin(f"CREATE TABLESPACE small LOCATION '{inside}'")
    town.admin("ALTER TABLE engagement_inbox SET TABLESPACE small")
    try:
        door = product.door()
        server = door.open()
        first, second = itertools.islice(interleaved(crowd(35, people=1, events=8), 35), 2)
        assert server.post(town.key(), first.body).status == 202
        fill(inside / "ballast")
        until(lambda: server.post(town.key(), second.body).status == 503)
        refused = server.post(town.key(), second.body)
        assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "unavailable", "2")
        (inside / "ballast").unlink()
        until(lambda: server.post(town.key(), second.body).status == 202)
        with running(product.stream()):
            product.drain()
        assert differences(town, acknowledged=first.identities | second.identities) == []
    finally:
        product.end()
        town.admin("ALTER TABLE engagement_inbox SET TABLESPACE pg_default")
        town.admin("DROP TABLESPACE small")
