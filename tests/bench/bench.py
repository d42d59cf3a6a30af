"""The measurements. Each is a method that returns figures; `__main__` runs them in order and prints the table."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from engagement.embedded import Cluster
from tests.bench import world
from tests.servers import DOOR, ROOT, Server, answers, end, free_port, running_door, until

_HAS_STAY: Final = """SELECT 1 FROM engagement_shopper s WHERE s.organisation_id = (SELECT min(id) FROM engagement_organisation) AND s.external_id = %s
AND EXISTS (SELECT 1 FROM analytics_stay t WHERE t.shopper_id = s.id)"""
# What is only accepted piles up: the door must not refuse it for that.
LIMITS: Final = ("ATRIUM_INBOX_EVENTS", "ATRIUM_ORGANISATION_INBOX_EVENTS", "ATRIUM_INBOX_AGE_S", "ATRIUM_ORGANISATION_INBOX_AGE_S")
BACKLOG: Final = 40_000  # events in the inbox at which the load holds back, so that what is measured is drained
RUNS: Final = 3


class Bench:
    """One cluster and the processes on it. `seconds` is the length of a short measurement."""

    def __init__(self, folder: Path, *, seconds: float, sustained: float) -> None:
        self.folder, self.seconds, self.sustained = folder, seconds, sustained
        self.cluster = Cluster(folder / "pg")
        self.cluster.start()
        self.environment = {
            **os.environ,
            "DATABASE_URL": self.cluster.url,
            "SECRET_KEY": "only-for-measuring-" * 2,
            "ATRIUM_VAR": str(folder),
            **dict.fromkeys(LIMITS, "1000000000"),
        }
        self.manage("migrate", "--verbosity", "0")
        self.execute("SELECT 1")
        self.key = ""

    def close(self) -> None:
        self.cluster.stop()

    def manage(self, *words: str) -> str:
        done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"manage.py {words[0]} failed:\n{done.stderr}")
        return done.stdout

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.cluster.url, autocommit=True)

    def execute(self, sql: str) -> list[Any]:
        with self.connect() as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def provision(self, zones: int) -> None:
        """An empty product with so many zones."""
        tables = (
            "engagement_organisation, engagement_event, engagement_device, engagement_shopper, engagement_shopperdevice, engagement_inbox, engagement_outcome"
        )
        self.execute(f"TRUNCATE {tables}, engagement_recentevent, engagement_identityclaim, analytics_stay, analytics_transition CASCADE")
        file = self.folder / "places.json"
        file.write_text(json.dumps(world.provision_file(zones)))
        self.key = json.loads(self.manage("provision", str(file)))["keys"]["app"]

    @contextmanager
    def door(self) -> Iterator[Server]:
        with running_door(self.environment, self.folder / "door.log", application=DOOR) as server:
            yield server

    @contextmanager
    def streams(self, count: int = 1) -> Iterator[list[subprocess.Popen[bytes]]]:
        with (self.folder / "stream.log").open("ab") as log:
            started = [
                subprocess.Popen(
                    [sys.executable, "manage.py", "stream", "--number", str(i), "--of", str(count)], cwd=ROOT, env=self.environment, stdout=log, stderr=log
                )
                for i in range(count)
            ]
        try:
            working = "SELECT 1 FROM engagement_heartbeat WHERE process LIKE 'stream%' AND at > now() - interval '6 seconds'"
            until(lambda: len(self.execute(working)) >= count, within_s=30)
            yield started
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(30)

    @contextmanager
    def plain(self) -> Iterator[Server]:
        """The plain way, served as fast as it can be: granian, WSGI, four blocking threads."""
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": "tests.bench.plain.settings"}
        subprocess.run([sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
        port, log = free_port(), self.folder / "plain.log"
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--blocking-threads", "4", "--host", "127.0.0.1", "--port", str(port)]
        with log.open("ab") as out:
            process = subprocess.Popen([*command, "tests.bench.plain.wsgi:application"], cwd=ROOT, env=environment, stdout=out, stderr=out)
        server = Server(process, port, log)
        try:
            until(lambda: answers(server, "/healthz/live"), within_s=30)
            yield server
        finally:
            end(server)

    def load(self, port: int, *, seconds: float | None = None, **options: Any) -> dict[str, float]:
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load", "--port", str(port), "--key", self.key, "--seconds", str(seconds or self.seconds), *words],
            cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def processed(self) -> int:
        """Events stored as new. Anything else would make the figure flatter than the work: it fails."""
        counted = dict(self.execute("SELECT outcome, sum(events) FROM engagement_outcome GROUP BY outcome"))
        assert counted.keys() <= {"accepted"}, counted
        return int(counted.get("accepted", 0))

    def waiting(self) -> int:
        return int(self.execute("SELECT coalesce(sum(events), 0) FROM engagement_inbox")[0][0])

    def drained(self, within_s: float = 600) -> None:
        until(lambda: self.waiting() == 0, within_s=within_s, every_s=0.1)

    def median(self, port: int, seed: int, **options: Any) -> dict[str, float]:
        """Of RUNS runs, the one with the median rate."""
        runs = sorted((self.load(port, seed=seed + i, **options) for i in range(RUNS)), key=lambda run: run["requests_s"])
        return runs[RUNS // 2]

    @contextmanager
    def brake(self) -> Iterator[Path]:
        """A file that exists while the inbox holds more than BACKLOG events."""
        file, stop = self.folder / "brake", threading.Event()

        def watch() -> None:
            with self.connect() as connection:
                while not stop.wait(0.02):
                    found = connection.execute("SELECT coalesce(sum(events), 0) FROM engagement_inbox").fetchone()
                    file.touch() if found and found[0] > BACKLOG else file.unlink(missing_ok=True)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield file
        finally:
            stop.set()
            thread.join()
            file.unlink(missing_ok=True)

    def sustained_rate(self, port: int, *, seconds: float, seed: int, per_request: int = 100) -> float:
        """Events a second through everything: those processed from the first request until nothing is left, over that time."""
        before, began = self.processed(), time.perf_counter()
        with self.brake() as brake:
            self.load(port, seconds=seconds, per_request=per_request, connections=16, seed=seed, brake=brake)
        self.drained()
        return (self.processed() - before) / (time.perf_counter() - began)

    def copy_floor(self) -> float:
        """Rows a second of COPY alone, of the events just stored, into a table of the same shape, partitions and unique index."""
        with self.connect() as connection:
            connection.execute("DROP TABLE IF EXISTS floor")
            connection.execute("CREATE TABLE floor (LIKE engagement_event INCLUDING INDEXES) PARTITION BY RANGE (day)")
            days = [row[0] for row in connection.execute("SELECT DISTINCT day FROM engagement_event").fetchall()]
            for day in days:
                connection.execute(f"CREATE TABLE floor_{day:%Y%m%d} PARTITION OF floor FOR VALUES FROM ('{day}') TO (date '{day}' + 1)")
            with tempfile.NamedTemporaryFile(dir=self.folder) as file:
                with connection.cursor().copy("COPY (SELECT * FROM engagement_event LIMIT 1000000) TO STDOUT (FORMAT binary)") as out:
                    for chunk in out:
                        file.write(chunk)
                file.seek(0)
                began = time.perf_counter()
                with connection.cursor() as cursor, cursor.copy("COPY floor FROM STDIN (FORMAT binary)") as into:
                    while chunk := file.read(1 << 20):
                        into.write(chunk)
                took = time.perf_counter() - began
            found = connection.execute("SELECT count(*) FROM floor").fetchone()
            connection.execute("DROP TABLE floor")
        return found[0] / took if found else 0.0

    def time_to_visible(self, port: int, *, rate: int, seconds: float, seed: int) -> dict[str, float]:
        """From the 202 of a shopper's first fix until the stay can be read, while others send `rate` events a second. Seconds."""
        stop, seen = threading.Event(), list[float]()

        def probe() -> None:
            body = world.Walks(devices=1_000_000, per_request=1, seed=seed + 77, named=1.0)
            server = Server(None, port, self.folder / "door.log")
            with self.connect() as connection:
                for number, one in enumerate(body):
                    if stop.wait(0.05):
                        return
                    name = json.loads(one)["shopper"]["id"]
                    assert server.post(self.key, one).status == 202, number
                    began = time.perf_counter()
                    until(partial(has_stay, connection, name), within_s=30, every_s=0.005)
                    seen.append(time.perf_counter() - began)

        thread = threading.Thread(target=probe)
        thread.start()
        self.load(port, seconds=seconds, per_request=10, connections=16, rate=rate, seed=seed)
        stop.set()
        thread.join()
        ordered = sorted(seen)
        return {"probes": len(ordered), "p50_s": statistics.median(ordered), "p95_s": ordered[int(len(ordered) * 0.95)], "max_s": ordered[-1]}

    def fill(self, events: int) -> None:
        """Bring the stored events to so many, by SQL: devices with a thousand events each over the past month, and their stays."""
        stored = int(self.execute("SELECT count(*) FROM engagement_event")[0][0])
        missing = max(events - stored, 0) // 1000
        if not missing:
            return
        self.execute(
            f"""WITH s AS (
                  INSERT INTO engagement_shopper (organisation_id, shard, device_key, last_at, horizon, created_at)
                  SELECT o.id, n % 64, 'fill-' || {stored} || '-' || n, now() - interval '30 minutes', now() - interval '30 minutes', now()
                  FROM engagement_organisation o, generate_series(1, {missing}) n RETURNING id, organisation_id, device_key),
                d AS (
                  INSERT INTO engagement_device (organisation_id, key, owner_id, platform, app_version, skew_min_s, skew_max_s, days, created_at)
                  SELECT organisation_id, device_key, id, '', '', 0, 0, '{{}}', now() FROM s RETURNING id, organisation_id, owner_id),
                e AS (
                  INSERT INTO engagement_event (day, organisation_id, device_id, event_id, kind, at, occurred_at, received_at, lat, lon, accuracy)
                  SELECT (t AT TIME ZONE 'UTC')::date, organisation_id, id, gen_random_uuid(), 1, t, t, t, {world.LAT}, {world.LON}, 8
                  FROM d, LATERAL (SELECT now() - interval '30 days' * random() AS t FROM generate_series(1, 1000)) x)
                INSERT INTO analytics_stay (organisation_id, shard, shopper_id, zone_id, started, ended, closes_at, cut, counted, closed)
                SELECT d.organisation_id, 0, d.owner_id, z.id, t, t + interval '10 minutes', t + interval '12 minutes', false, true, true
                FROM d, LATERAL (SELECT id FROM engagement_zone ORDER BY id LIMIT 3) z,
                     LATERAL (SELECT now() - interval '1 day' * g AS t FROM generate_series(1, 20) g) x"""
        )
        self.execute("VACUUM ANALYZE")

    def memory(self, processes: dict[str, int]) -> dict[str, float]:
        """MB of each process with its children: unique set, so that shared buffers are not counted for each backend."""
        found = {}
        for name, pid in processes.items():
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            found[name] = sum(one.memory_full_info().uss for one in family) / 1e6
        return found


def has_stay(connection: psycopg.Connection[Any], shopper: str) -> bool:
    return connection.execute(_HAS_STAY, [shopper], prepare=False).fetchone() is not None
