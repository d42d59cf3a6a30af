"""The door under faults: it dies, its database dies, stalls, refuses; it is told to stop. Never a 202 without a row."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from django.db import connection

from engagement import inbox
from engagement.embedded import Cluster
from engagement.models import Organisation
from engagement.tenancy import digest_of
from tests.engagement.door.bodies import devices, request
from tests.servers import ROOT, Server, kill, running_door, until

TOKEN: Final = "atr_pub_the-door-opens-to-this-one-in-these-tests-alone"


class Load:
    """Clients that post, one request each, until told to stop; what they were answered, by device."""

    def __init__(self, door: Server, token: str, *, clients: int = 8) -> None:
        self.acknowledged: list[str] = []
        self.statuses: Counter[int | str] = Counter()
        self._door, self._token = door, token
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _post(self) -> None:
        while not self._over.is_set():
            device = f"phone-{next(self._numbers)}"
            try:
                status: int | str = self._door.post(self._token, request(device=device)).status
            except (OSError, HTTPException):
                status = "no answer"
            self.statuses[status] += 1
            if status == 202:
                self.acknowledged.append(device)
            else:
                self._over.wait(0.01)


# --- The door dies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("point", "stored"), [("door.decoded", 0), ("door.before_commit", 0), ("door.after_commit", 1)])
@pytest.mark.usefixtures("transactional_db")
def test_a_door_that_dies_has_acknowledged_nothing_and_stored_all_or_nothing(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str], point: str, stored: int
) -> None:
    with running_door(door_environment, tmp_path / "log", FAULT=f"{point}:kill") as door:
        with pytest.raises((OSError, HTTPException)):
            door.post(acme_keys["publishable"], request(device="phone"))
        until(lambda: door.process.poll() is not None)
    assert devices(acme) == ["phone"] * stored


@pytest.mark.usefixtures("transactional_db")
def test_no_acknowledged_request_is_lost_when_the_door_is_killed_under_load(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "log") as door, Load(door, acme_keys["publishable"]) as load:
        until(lambda: len(load.acknowledged) > 200)
        kill(door.worker.pid)
        until(lambda: load.statuses["no answer"] > 20)
    stored = Counter(devices(acme))
    assert set(load.acknowledged) <= set(stored)
    assert set(stored.values()) == {1}
    assert set(load.statuses) == {202, "no answer"}


@pytest.mark.usefixtures("transactional_db")
def test_a_door_that_is_told_to_stop_under_load_finishes_what_is_in_flight(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "log") as door, Load(door, acme_keys["publishable"]) as load:
        until(lambda: len(load.acknowledged) > 200)
        door.process.terminate()
        assert door.process.wait(20) == 0
    assert set(load.statuses) <= {202, "no answer"}  # no 5xx
    # Nothing is stored that was not acknowledged either: no request was cut off between the two.
    assert Counter(devices(acme)) == Counter(load.acknowledged)


@pytest.mark.usefixtures("transactional_db")
def test_a_door_that_is_told_to_stop_waits_for_a_slow_commit(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "log") as door, ThreadPoolExecutor(1) as pool:
        assert door.post(acme_keys["publishable"], request(device="first")).status == 202
        with _locked():
            answer = pool.submit(door.post, acme_keys["publishable"], request(device="second"))
            until(_somebody_waits_for_the_inbox)
            door.process.terminate()
            assert not answer.done()
        assert answer.result().status == 202
        assert door.process.wait(20) == 0
    assert devices(acme) == ["first", "second"]


@contextmanager
def _locked() -> Iterator[None]:
    """The inbox is locked by somebody, as a migration would do it."""
    with psycopg.connect(**_connection()) as other:
        other.execute("LOCK TABLE engagement_inbox IN ACCESS EXCLUSIVE MODE")
        yield


def _connection() -> dict[str, Any]:
    parameters = connection.get_connection_params()
    return {name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if parameters.get(name)}


def _somebody_waits_for_the_inbox() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'engagement_inbox'::regclass")
        return bool(cursor.fetchone()[0])


@pytest.mark.usefixtures("transactional_db")
def test_a_lock_on_the_inbox_is_waited_for_and_then_given_up(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    with running_door(door_environment, tmp_path / "log") as door:
        with _locked():
            answer = door.post(acme_keys["publishable"], request(device="late"))
            assert (answer.status, answer.json["code"], int(answer.headers["retry-after"]) > 0) == (503, "unavailable", True)
            assert "lock" not in answer.body.decode()  # no word of the database's goes out
        until(lambda: door.post(acme_keys["publishable"], request(device="then")).status == 202)
    assert set(devices(acme)) == {"then"}


@pytest.mark.usefixtures("transactional_db")
def test_a_mistake_of_our_own_is_no_500_and_tells_nobody_what_was_sent(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    for point in ("door.decoded", "door.before_commit"):
        with running_door(door_environment, tmp_path / point, FAULT=f"{point}:raise") as door:
            for _ in range(2):
                answer = door.post(acme_keys["publishable"], request(device="somebodys-phone"))
                assert (answer.status, answer.json["code"]) == (503, "unavailable")
            assert "InjectedFault" in door.log.read_text()
            assert "somebodys-phone" not in door.log.read_text()
    assert devices(acme) == []


# --- The same request again -------------------------------------------------------------------------------------------------


def test_the_same_request_five_times_at_once_is_five_times_accepted_with_the_same_events(door: Server, acme: Organisation, acme_keys: dict[str, str]) -> None:
    body = request(device="impatient")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: door.post(acme_keys["publishable"], body), range(5)))
    assert [(answer.status, answer.json["accepted"]) for answer in answers] == [(202, 1)] * 5
    assert devices(acme) == ["impatient"] * 5  # the stream keeps one: the unique key is its guard


# --- The database dies ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A database server that may be hurt, with the tables, one organisation and its key."""
    made = Cluster(tmp_path_factory.mktemp("cluster") / "pg")
    made.start()
    try:
        environment = {**_environment(tmp_path_factory.mktemp("migrate")), "DATABASE_URL": made.url}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, cwd=ROOT, check=True, timeout=120)
        with psycopg.connect(made.url) as connection:
            connection.execute(
                "INSERT INTO engagement_organisation (id, key, name, places_revision, raw_days, created_at) VALUES (1, 'acme', 'Acme', 0, 90, now())"
            )
            connection.execute(
                "INSERT INTO engagement_apikey (organisation_id, name, kind, prefix, digest, created_at)"
                " VALUES (1, 'app', 'publishable', 'atr_pub_', %s, now())",
                [digest_of(TOKEN)],
            )
        yield made
    finally:
        made.stop()


def _environment(var: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}}
    return {**kept, "SECRET_KEY": "a key for the tests alone, long enough", "ATRIUM_VAR": str(var), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def lone_door(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("TRUNCATE engagement_inbox")
        connection.execute("ALTER ROLE atrium SET synchronous_commit = off")  # whatever the server thinks, the door insists
    with running_door({**_environment(tmp_path), "DATABASE_URL": cluster.url}, tmp_path / "log") as door:
        yield door


def stored(cluster: Cluster) -> Counter[str]:
    with psycopg.connect(cluster.url) as connection:
        return Counter(inbox.unpack(payload).device for (payload,) in connection.execute("SELECT payload FROM engagement_inbox"))


def accepts(door: Server) -> Callable[[], bool]:
    return lambda: door.post(TOKEN, request(device="probe")).status == 202


def test_without_its_database_the_door_says_so_at_once_and_is_back_soon_after_it(cluster: Cluster, lone_door: Server) -> None:
    assert accepts(lone_door)()
    for mode in ("immediate", "fast"):
        cluster.stop(mode=mode)
        try:
            until(lambda: not accepts(lone_door)())
            for token in (TOKEN, "atr_pub_unknown"):
                began = time.monotonic()
                answer = lone_door.post(token, request())
                assert time.monotonic() - began < 0.5
                assert (answer.status, answer.json["code"], int(answer.headers["retry-after"]) > 0) == (503, "unavailable", True)
            assert lone_door.request("GET", "/healthz/live").status == 200
            assert lone_door.request("GET", "/healthz/ready").status == 503
        finally:
            cluster.start()
        until(accepts(lone_door), within_s=10)
    said = lone_door.log.read_text()
    assert (said.count("The database is away"), said.count("The database is back")) == (2, 2)
    assert TOKEN not in said


def test_every_acknowledged_request_survives_a_database_that_dies_under_load(cluster: Cluster, lone_door: Server) -> None:
    with Load(lone_door, TOKEN) as load:
        for _ in range(3):
            before = len(load.acknowledged)
            until(lambda before=before: len(load.acknowledged) > before + 100)
            cluster.stop(mode="immediate")
            refused = load.statuses[503]
            try:
                until(lambda refused=refused: load.statuses[503] > refused)
            finally:
                cluster.start()
            back = len(load.acknowledged)
            until(lambda back=back: len(load.acknowledged) > back, within_s=10)
    assert set(load.statuses) == {202, 503}
    seen = stored(cluster)
    assert set(load.acknowledged) <= set(seen)
    assert set(seen.values()) == {1}


def test_a_database_that_ends_the_connections_is_met_with_new_ones(cluster: Cluster, lone_door: Server) -> None:
    with Load(lone_door, TOKEN, clients=4) as load, psycopg.connect(cluster.address(role="postgres"), autocommit=True) as operator:
        for _ in range(5):
            before = len(load.acknowledged)
            until(lambda before=before: len(load.acknowledged) > before + 20)
            operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'atrium-door%'")
    assert set(load.statuses) <= {202, 503}
    assert set(load.acknowledged) <= set(stored(cluster))


def test_a_database_that_only_reads_is_left_until_it_writes(cluster: Cluster, lone_door: Server) -> None:
    """An old primary after a failover answers everything but writes."""
    with psycopg.connect(cluster.address(role="postgres"), autocommit=True) as operator:
        operator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        operator.execute("SELECT pg_reload_conf()")
        try:
            until(lambda: lone_door.request("GET", "/healthz/ready").status == 503)  # nobody has posted: it was found by asking
            assert lone_door.post(TOKEN, request(device="refused")).json["code"] == "unavailable"
        finally:
            operator.execute("SET default_transaction_read_only = off")
            operator.execute("ALTER SYSTEM RESET default_transaction_read_only")
            operator.execute("SELECT pg_reload_conf()")
    until(accepts(lone_door), within_s=10)
    assert "refused" not in stored(cluster)


def test_a_database_without_a_free_connection_is_tried_again(cluster: Cluster, lone_door: Server) -> None:
    with psycopg.connect(cluster.address(role="postgres"), autocommit=True) as operator:
        operator.execute("ALTER ROLE atrium CONNECTION LIMIT 0")
        try:
            operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'atrium-door%'")
            until(lambda: not accepts(lone_door)())
        finally:
            operator.execute("ALTER ROLE atrium CONNECTION LIMIT -1")
    until(accepts(lone_door), within_s=10)


def test_a_database_that_stalls_is_given_up_after_a_while_and_nothing_is_acknowledged(cluster: Cluster, lone_door: Server) -> None:
    assert accepts(lone_door)()
    with psycopg.connect(cluster.address(role="postgres"), autocommit=True) as operator:
        found = operator.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'atrium-door'").fetchone()
    assert found
    os.kill(found[0], signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = lone_door.post(TOKEN, request(device="unlucky"), timeout=20)
        assert (answer.status, time.monotonic() - began < 10) == (503, True)
        until(accepts(lone_door), within_s=10)  # over a new connection
    finally:
        os.kill(found[0], signal.SIGCONT)


def test_a_door_that_is_started_before_its_database_serves_when_it_comes(cluster: Cluster, tmp_path: Path) -> None:
    environment = {**_environment(tmp_path), "DATABASE_URL": cluster.url}
    cluster.stop()
    try:
        with running_door(environment, tmp_path / "log", ready=False) as door:
            assert door.post(TOKEN, request()).status == 503
            cluster.start()
            until(accepts(door), within_s=10)
    finally:
        if cluster.process is None:
            cluster.start()
