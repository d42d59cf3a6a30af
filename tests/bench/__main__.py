"""`make bench`: everything on the same cores, load generator included; medians of three. Writes var/bench.json beside the printed table."""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from tests.bench import audiences, campaigns, cost, sending
from tests.bench import figures as reports
from tests.bench.bench import Bench

VAR: Final = Path(os.environ.get("ATRIUM_VAR") or "var")


class Table:
    """Rows of the result, printed as they come and kept for the file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        self.rows.append({"what": what, "value": round(value, 3), "unit": unit, "target": target, "note": note})
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
        print(f"{what:<72} {shown:>12} {unit:<14} {target:<18} {note}", flush=True)


def single_events(bench: Bench, table: Table) -> None:
    """One event a request, 64 connections: the plain way, then this product with its stream running (so its figure is drained)."""
    bench.provision(200)
    with bench.plain() as server:
        plain = bench.median(server.port, 10)
    with bench.door() as server, bench.streams():
        ours = bench.median(server.port, 20)
        bench.drained()
    with bench.door() as server:
        alone = bench.median(server.port, 30)
    table.add("one event a request: plain way", plain["requests_s"], "requests/s", note=f"p99 {plain['p99_ms']:.0f} ms")
    table.add("one event a request: Atrium, stream running", ours["requests_s"], "requests/s", note=f"p50 {ours['p50_ms']:.0f} ms")
    table.add("one event a request: Atrium, accepted only, not drained", alone["requests_s"], "requests/s", note=f"p99 {alone['p99_ms']:.0f} ms")
    table.add("one event a request: Atrium / plain", ours["requests_s"] / plain["requests_s"], "times", target=">= 6")
    table.add("one event a request: p99, stream running", ours["p99_ms"], "ms", target="< 50")
    table.add("one event a request: p99, accepted only", alone["p99_ms"], "ms", target="< 50")


def batches(bench: Bench, table: Table) -> None:
    """A hundred events a request."""
    bench.provision(200)
    with bench.plain() as server:
        plain = bench.median(server.port, 40, per_request=100, connections=16)
    with bench.door() as server:
        accepted = bench.median(server.port, 50, per_request=100, connections=16)
    table.add("100 events a request: plain way", plain["events_s"], "events/s")
    table.add("100 events a request: Atrium, accepted only, not drained", accepted["events_s"], "events/s", target=">= 80,000")
    table.add("100 events a request: Atrium, accepted only / plain", accepted["events_s"] / plain["events_s"], "times")


def sustained(bench: Bench, table: Table) -> None:
    """Accepted, deduplicated, placed, visible as stays; the COPY floor of the same run; memory after it."""
    bench.provision(200)
    with bench.door() as server, bench.streams() as streams:
        rate = bench.sustained_rate(server.port, seconds=bench.sustained, seed=60)
        assert bench.cluster.process is not None
        memory = bench.memory({"door": server.process.pid, "stream": streams[0].pid, "database": bench.cluster.process.pid})
    floor = bench.copy_floor()
    table.add(f"drained, {bench.sustained:.0f} s, 200 zones", rate, "events/s", target=">= 25,000")
    table.add("COPY floor: the same rows, partitions and unique index", floor, "rows/s")
    table.add("drained as a share of the COPY floor", 100 * rate / floor, "%")
    for name, used in memory.items():
        table.add(f"memory after the run: {name}", used, "MB")


def latency(bench: Bench, table: Table) -> None:
    for zones in (200, 5_000):
        bench.provision(zones)
        with bench.door() as server, bench.streams():
            seen = bench.time_to_visible(server.port, rate=2_000, seconds=max(bench.seconds * 2, 5), seed=zones)
        note = f"p50 {seen['p50_s'] * 1000:.0f} ms, most {seen['max_s'] * 1000:.0f} ms, {seen['probes']:.0f} probes"
        table.add(f"accept to visible at 2,000 events/s, {zones:,} zones: p95", seen["p95_s"], "s", target="< 1", note=note)


def sizes(bench: Bench, table: Table, largest: int) -> None:
    """Accept and stream at growing numbers of stored events."""
    bench.provision(200)
    for size in [size for size in (10_000, 1_000_000, 10_000_000) if size <= largest]:
        bench.fill(size)
        with bench.door() as server:
            accepted = bench.load(server.port, per_request=100, connections=16, seed=size % 99991)
            with bench.streams():
                bench.drained()
                rate = bench.sustained_rate(server.port, seconds=bench.seconds * 2, seed=size % 99991 + 7)
        table.add(f"{size:,} events stored: accepted only, not drained", accepted["events_s"], "events/s")
        table.add(f"{size:,} events stored: drained", rate, "events/s")


def figures(folder: Path, table: Table, *, stays: int, repeats: int, cold: int) -> None:
    """A year of so many stays, and one of a tenth of them."""
    large = reports.measure(folder / "large", stays=stays, repeats=repeats, cold=cold)
    small = reports.measure(folder / "small", stays=stays // 10, repeats=repeats, cold=0) if stays >= 1_000_000 else None
    reports.tell(table.add, large, small)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--seconds", type=float, default=8, help="length of a short measurement")
    parser.add_argument("--sustained", type=float, default=60)
    parser.add_argument("--largest", type=int, default=10_000_000, help="stored events of the last size")
    parser.add_argument("--only", default="", help="one of: single, batches, sustained, latency, cost, sizes, audiences, campaigns, sending, figures")
    parser.add_argument("--stays", type=int, default=10_000_000, help="of the generated year, by a tenth as many shoppers")
    parser.add_argument("--mails", type=int, default=20_000, help="sent by each way")
    parser.add_argument("--repeats", type=int, default=20, help="of each report")
    parser.add_argument("--cold", type=int, default=1, help="restarts of the database for each report; 0: no cold figures")
    options = parser.parse_args()
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, {platform.platform()}"
    table = Table()
    with tempfile.TemporaryDirectory(prefix="atrium-bench-") as folder:
        bench = Bench(Path(folder), seconds=options.seconds, sustained=options.sustained)
        try:
            server = bench.execute("SHOW server_version")[0][0]
            print(f"{machine}; Python {platform.python_version()}, PostgreSQL {server}, granian {version('granian')}, Django {version('django')}\n")
            steps: dict[str, Callable[[], None]] = {
                "single": lambda: single_events(bench, table),
                "batches": lambda: batches(bench, table),
                "sustained": lambda: sustained(bench, table),
                "latency": lambda: latency(bench, table),
                "cost": lambda: cost.measure(bench, table.add),
                "sizes": lambda: sizes(bench, table, options.largest),
                "audiences": lambda: audiences.measure(Path(folder) / "audiences", table.add, stays=options.stays),
                "campaigns": lambda: campaigns.measure(Path(folder) / "campaigns", table.add, stays=options.stays, repeats=options.repeats),
                "sending": lambda: sending.measure(Path(folder) / "sending", table.add, mails=options.mails),
                "figures": lambda: figures(Path(folder), table, stays=options.stays, repeats=options.repeats, cold=options.cold),
            }
            for name, step in steps.items():
                if options.only in ("", name):
                    step()
        finally:
            bench.close()
    VAR.mkdir(exist_ok=True)
    (VAR / "bench.json").write_text(json.dumps({"machine": machine, "python": sys.version, "postgresql": server, "rows": table.rows}, indent=1))


if __name__ == "__main__":
    main()
