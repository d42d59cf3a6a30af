"""Figures over a generated year: how fast days are made and reports answered, beside plain SQL and DuckDB on the same rows.

Every report is asked over HTTP of a real server with one worker, and, where it says so, of a database that was just restarted and a
process that has forgotten what it unpacked.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import psutil
import psycopg

from analytics import marks
from engagement.embedded import Cluster
from tests.bench import browsing, year
from tests.servers import ROOT, Server, running_door, until

INSIDE: Final = "import django; django.setup(); from tests.bench import inside; inside.main()"
APPLICATION: Final = "tests.bench.forgetful:application"
SIDE_BY_SIDE: Final = 20
LIVE_STAYS: Final = 30_000  # of a mall's busy day
TABLE_SIZE: Final = "SELECT pg_total_relation_size('{}') / 1e6"


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    start: date
    end: date
    grain: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One report of one place over one range, and its address."""

    report: str
    place: str
    span: str
    path: str


def spans(today: date) -> list[Span]:
    """The day is the last full one; month and year end with today, which is running."""
    after = today + timedelta(days=1)
    return [
        Span("day", today - timedelta(days=1), today, "hour"),
        Span("month", after - timedelta(days=30), after, "day"),
        Span("year", after - timedelta(days=year.DAYS), after, "week"),
        Span("year by day", after - timedelta(days=year.DAYS), after, "day"),
    ]


def questions(catalogue: list[dict[str, Any]], today: date) -> list[Asked]:
    """Every report for a zone, a venue and twenty stores, as far as it takes such places."""
    stores = ",".join(f"north-store-{i}" for i in range(SIDE_BY_SIDE))
    found = []
    for report in catalogue:
        takes = set(report["takes"])
        one = "north-floor-0" if report["together"] else "north-store-3" if "zone" in takes else "north-street-0"
        places = {"a zone": one, "a venue": "north" if "venue" in takes else "", "20 stores": stores if "zone" in takes else ""}
        for place, keys in places.items():
            for span in spans(today):
                if keys and (report["grains"] or span.name != "year by day"):
                    grain = f"&grain={span.grain}" if report["grains"] else ""
                    path = f"/api/v1/reports/{report['name']}?zone={keys}&from={span.start}&to={span.end}{grain}"
                    found.append(Asked(report["name"], place, span.name, path))
    return found


@dataclass(frozen=True, slots=True)
class Warm:
    """Milliseconds of one report, asked again and again."""

    p50: float
    p95: float
    processor: float


class Web:
    """One kept connection to the server, as a page has."""

    def __init__(self, server: Server, key: str, cookie: str = "") -> None:
        self.server, self.headers = server, {"Authorization": f"Bearer {key}"} if key else {"Cookie": cookie}
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=120)

    def get(self, path: str) -> tuple[float, bytes]:
        """Milliseconds, and the body."""
        began = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        took = (time.perf_counter() - began) * 1000
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {body[:500]!r}")
        return took, body

    def ready(self) -> None:
        """Until the server has a connection to the database again."""

        def answered() -> bool:
            try:
                self.connection.request("GET", "/api/v1/status", headers=self.headers)
                response = self.connection.getresponse()
                response.read()
            except (OSError, HTTPException):
                self.connection.close()
                return False
            return response.status == 200

        until(answered, within_s=60)


class Year:
    """One generated year of about `stays` stays in a cluster of its own."""

    def __init__(self, folder: Path, *, stays: int, repeats: int, cold: int) -> None:
        self.folder, self.repeats, self.cold = folder, repeats, cold
        self.cluster = Cluster(folder / "pg")
        self.cluster.start()
        self.environment = {
            **os.environ,
            "DATABASE_URL": self.cluster.url,
            "SECRET_KEY": "only-for-measuring-" * 2,
            "ATRIUM_VAR": str(folder),
            "DJANGO_SETTINGS_MODULE": "engagement.settings",
        }
        self.manage("migrate", "--verbosity", "0")
        self.now = year.now()
        file = folder / "places.json"
        file.write_text(json.dumps(year.provision_file(self.now)))
        self.key = json.loads(self.manage("provision", str(file)))["keys"]["ops"]
        self.zone = ZoneInfo(year.time_zone(self.now))
        self.today = self.now.astimezone(self.zone).date()
        with self.connect() as connection:
            self.catalogue = self.inside("catalogue")
            self.stays = year.load(connection, shoppers=stays // 10, stays=stays, now=self.now)
            connection.execute("VACUUM ANALYZE")

    def close(self) -> None:
        self.cluster.stop()

    def manage(self, *words: str) -> str:
        done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"manage.py {words[0]} failed:\n{done.stderr}")
        return done.stdout

    def inside(self, *words: str) -> Any:
        """What a process with the product's settings measured."""
        done = subprocess.run([sys.executable, "-c", INSIDE, *words], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"tests.bench.inside {words[0]} failed:\n{done.stderr}")
        return json.loads(done.stdout)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.cluster.url, autocommit=True)

    def number(self, sql: str, parameters: Any = None) -> float:
        with self.connect() as connection:
            found = connection.execute(sql, parameters).fetchone()
            return float(found[0]) if found else 0.0

    @contextmanager
    def web(self) -> Iterator[Web]:
        with running_door(self.environment, self.folder / "web.log", application=APPLICATION) as server:
            web = Web(server, self.key)
            web.ready()
            yield web

    def build(self) -> dict[str, float]:
        """All days from nothing, as after an import of the whole history."""
        with self.connect() as connection:
            for (venue,) in connection.execute("SELECT id FROM engagement_venue").fetchall():
                marks.leave_for_venue(connection, venue)
        began = time.perf_counter()
        self.manage("figures", "--once")
        took = time.perf_counter() - began
        made = self.number("SELECT count(*) FROM analytics_zoneday WHERE open")
        with self.connect() as connection:
            connection.execute("VACUUM ANALYZE analytics_zoneday, analytics_mark")
        million = self.stays / 1e6
        return {
            "all days made: seconds": took,
            "all days made: zones' days a second": made / took,
            "storage of stays with indexes, a million stays: MB": self.number(TABLE_SIZE.format("analytics_stay")) / million,
            "storage of zones' days with indexes, a million stays: MB": self.number(TABLE_SIZE.format("analytics_zoneday")) / million,
        }

    def rebuilding(self) -> dict[str, float]:
        found: dict[str, float] = self.inside("rebuilding", str(self.today), str(self.repeats))
        return found

    def reports(self, web: Web) -> dict[Asked, Warm]:
        found = {}
        for asked in questions(self.catalogue, self.today):
            web.get(asked.path)
            before = self.processor_s(web)
            took = sorted(web.get(asked.path)[0] for _ in range(self.repeats))
            processor_ms = (self.processor_s(web) - before) * 1000 / self.repeats
            found[asked] = Warm(statistics.median(took), took[max(-(-len(took) * 95 // 100) - 1, 0)], processor_ms)
        return found

    def processor_s(self, web: Web) -> float:
        """Of the server and the database so far: what a request costs, however loaded the machine is."""
        assert self.cluster.process is not None
        family = [web.server.worker, *psutil.Process(self.cluster.process.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in family)

    def reports_cold(self, web: Web) -> dict[Asked, float]:
        """The most of milliseconds after a restart of the database, in a process that has forgotten what it unpacked."""
        found: dict[Asked, float] = {}
        for asked in questions(self.catalogue, self.today):
            for _ in range(self.cold):
                self.cluster.stop()
                self.cluster.start()
                web.ready()
                web.get("/forget")
                found[asked] = max(found.get(asked, 0.0), web.get(asked.path)[0])
        return found

    def visible(self, web: Web) -> dict[str, float]:
        """From the commit of a stay to its figure over the API, no worker running. Also: the day of a mall that is not over, with many stays."""
        path = f"/api/v1/reports/footfall?zone=north&from={self.today}&to={self.today + timedelta(days=1)}&grain=hour"
        live = f"/api/v1/reports/occupancy?zone=north&from={self.today}&to={self.today + timedelta(days=1)}&grain=hour"
        took = []
        with self.connect() as connection:
            malls, [[organisation]] = year.malls(connection), connection.execute("SELECT id FROM engagement_organisation").fetchall()
            generated = year.Year(malls[:1], shoppers=self.stays // 10, stays=self.stays, now=year.now(), seed=11)
            here = self.number("SELECT count(*) FROM analytics_stay s JOIN engagement_zone z ON z.id = s.zone_id WHERE z.venue_id = 1 AND started >= %s",
                               [datetime.combine(self.today, datetime.min.time(), self.zone)])  # fmt: skip
            more = generated.day(self.today, [int(max(LIVE_STAYS - here, 400) / 3)])
            year.add(connection, organisation, more, year.now())
            connection.execute("ANALYZE analytics_stay")
            for back in range(self.repeats):
                before = json.loads(web.get(path)[1])["total"]["visits"]
                one = generated.day(self.today, [200])
                one = one.take((one.zone == malls[0].root) & one.counted)
                year.add(connection, organisation, one.take(slice(back, back + 1)), year.now())
                began = time.perf_counter()
                until(lambda seen=before: json.loads(web.get(path)[1])["total"]["visits"] > seen, within_s=10)
                took.append(time.perf_counter() - began)
        warm = {name: sorted(web.get(one)[0] for _ in range(self.repeats)) for name, one in (("footfall", path), ("occupancy", live))}
        return {"from a stay's commit to the figure: s": max(took)} | {
            f"{name} of a mall's running day of {LIVE_STAYS:,} stays: ms": statistics.median(times) for name, times in warm.items()
        }

    def dashboard(self) -> dict[str, float]:
        """Server time of the page after login, and of everything that it asks for is in the reports."""
        cookie = self.inside("session")["cookie"]
        with running_door(self.environment, self.folder / "web.log", application=APPLICATION) as server:
            web = Web(server, "", cookie)
            web.get("/admin/figures/")
            took = sorted(web.get("/admin/figures/")[0] for _ in range(self.repeats))
            seen = browsing.complete(f"http://127.0.0.1:{server.port}", cookie, ("28d", "12m"), self.repeats)
        return {"the dashboard's page: ms": took[max(-(-len(took) * 95 // 100) - 1, 0)]} | {
            f"the dashboard complete in the browser, {preset}: ms": value for preset, value in seen.items()
        }

    def distinct(self) -> dict[str, float]:
        """Exact visitors of a venue: roaring sets beside count(DISTINCT) and beside DuckDB on Parquet. Milliseconds, medians."""
        parquet = self._parquet()
        found = {}
        with self.connect() as connection:
            root = year.malls(connection)[0].root
            connection.execute("CREATE INDEX IF NOT EXISTS best ON analytics_stay (zone_id, started) INCLUDE (shopper_id) WHERE counted")
            connection.execute("VACUUM ANALYZE analytics_stay")
            engine = duckdb.connect()
            engine.execute("SET threads = 2")
            month, whole_year = spans(self.today)[1:3]
            ended = [
                Span(f"{span.name} up to yesterday", span.start - timedelta(days=1), span.end - timedelta(days=1), span.grain) for span in (month, whole_year)
            ]
            for span in (*ended, replace(month, name="month with a running day"), replace(whole_year, name="year with a running day")):
                edges = [datetime.combine(day, datetime.min.time(), self.zone) for day in (span.start, span.end)]
                sql = "SELECT count(DISTINCT shopper_id) FROM {} WHERE zone_id = {} AND counted AND started >= {} AND started < {}"
                plain = sql.format("analytics_stay", "%s", "%s", "%s")
                quick = sql.format(f"'{parquet}'", "?", "?", "?")
                ways: dict[str, Callable[[], Any]] = {
                    "count(DISTINCT), its best index": lambda p=plain, e=edges: connection.execute(p, [root, *e]).fetchall()[0][0],
                    "DuckDB on Parquet": lambda q=quick, e=edges: engine.execute(q, [root, *e]).fetchall()[0][0],
                }
                ours = self.inside("visitors", str(span.start), str(span.end), str(self.repeats))
                seen = {name: way() for name, way in ways.items()}
                assert set(seen.values()) == {ours["visitors"]}, (seen, ours)
                took = {name: _median(way, self.repeats) for name, way in ways.items()} | {"Atrium": ours["ms"]}
                found |= {f"exact visitors of a venue, a {span.name}: {name}: ms": value for name, value in took.items()}
                found[f"exact visitors of a venue, a {span.name}: faster than count(DISTINCT): times"] = (
                    took["count(DISTINCT), its best index"] / took["Atrium"]
                )
            connection.execute("DROP INDEX best")
        return found

    def _parquet(self) -> Path:
        csv, parquet = self.folder / "stays.csv", self.folder / "stays.parquet"
        rows = "SELECT zone_id, shopper_id, started, counted FROM analytics_stay ORDER BY zone_id, started"
        with self.connect() as connection, csv.open("wb") as file, connection.cursor().copy(f"COPY ({rows}) TO STDOUT (FORMAT csv)") as out:
            for chunk in out:
                file.write(chunk)
        types = "{'zone_id': 'BIGINT', 'shopper_id': 'BIGINT', 'started': 'TIMESTAMPTZ', 'counted': 'VARCHAR'}"
        duckdb.sql(
            f"COPY (SELECT * REPLACE (counted = 't' AS counted) FROM read_csv('{csv}', header = false, columns = {types})) TO '{parquet}' (FORMAT parquet)"
        )
        csv.unlink()
        return parquet


def _median(way: Callable[[], Any], repeats: int) -> float:
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        way()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


@dataclass(slots=True)
class Measured:
    """Of one size."""

    stays: int
    plain: dict[str, float]
    warm: dict[Asked, Warm]
    cold: dict[Asked, float]


def measure(folder: Path, *, stays: int, repeats: int, cold: int) -> Measured:
    folder.mkdir()
    one = Year(folder, stays=stays, repeats=repeats, cold=cold)
    try:
        plain = one.build() | one.rebuilding()
        with one.web() as web:
            warm = one.reports(web)
            plain["memory of the web process after all reports: MB"] = web.server.worker.memory_full_info().uss / 1e6
            asked_cold = one.reports_cold(web) if cold else {}
            plain |= one.visible(web)
        plain |= one.dashboard() | one.distinct()
        return Measured(one.stays, plain, warm, asked_cold)
    finally:
        one.close()


TARGETS: Final = {
    "a day of a store made again: ms": "< 50", "a day of a root made again: ms": "< 50", "a day of a mall of 100 zones made again: ms": "< 5,000",
    "from a stay's commit to the figure: s": "< 5", "the dashboard's page: ms": "< 300",
    "the dashboard complete in the browser, 28d: ms": "< 1,500", "the dashboard complete in the browser, 12m: ms": "< 1,500",
    **{
        f"exact visitors of a venue, a {span}: faster than count(DISTINCT): times": ">= 20"
        for span in ("month up to yesterday", "year up to yesterday", "month with a running day", "year with a running day")
    },
}  # fmt: skip


def tell(add: Callable[..., None], large: Measured, small: Measured | None) -> None:
    """Rows of the table. Where a smaller year was measured too: its figure and how it grew."""
    load = ", ".join(f"{one:.1f}" for one in psutil.getloadavg())
    add("a generated year", large.stays, "stays", note=f"load of the machine at the end {load}")
    for name, value in large.plain.items():
        what, _, unit = name.rpartition(": ")
        add(what, value, unit, target=TARGETS.get(name, ""), note=_grown(value, small.plain.get(name), small.stays) if small else "")
    for asked, warm in large.warm.items():
        note = f"p50 {warm.p50:.0f}, processor {warm.processor:.0f}" + (f", cold {large.cold[asked]:.0f} ms" if asked in large.cold else " ms")
        if small:
            note += f"; {_grown(warm.p95, small.warm[asked].p95, small.stays)}"
        add(f"{asked.report}, {asked.place}, {asked.span}: warm p95", warm.p95, "ms", target="<= 150", note=note)
    add(
        "all reports: worst warm p95, the year by day aside",
        max(one.p95 for asked, one in large.warm.items() if asked.span != "year by day"),
        "ms",
        target="<= 150",
    )
    if large.cold:
        add(
            "all reports: worst cold, the year by day aside",
            max(one for asked, one in large.cold.items() if asked.span != "year by day"),
            "ms",
            target="<= 500",
        )


def _grown(value: float, before: float | None, stays: int) -> str:
    return f"with {stays:,} stays {before:,.1f}: {value / before:.1f} times" if before else ""
