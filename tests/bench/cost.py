"""What looking costs: the door and the stream with metrics and JSON logs, and without, on the same machine.

Other work on the machine comes and goes in seconds, so rounds are compared in pairs, and the median pair is told. Two doors are loaded at once, so that
whatever disturbs one disturbs the other; two streams would take each other's work, so they take turns, each first in every other pair. Beside the
throughput, the processor's time of the process itself for each request or event. Last, what is added to a request and to a transaction by itself,
counted out: it depends on nothing else.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from tests.bench.bench import Bench
from tests.servers import DOOR, ROOT, Server, running_door

ON: Final = {"METRICS": "prometheus", "LOG_FORMAT": "json"}
OFF: Final = {"METRICS": "off", "LOG_FORMAT": "line"}
PAIRS: Final = 15
DRAINED: Final = 300  # requests of a hundred events, in one round of the stream
INSIDE: Final = "import django; django.setup(); from tests.bench import cost_inside; cost_inside.main()"

Spent = tuple[float, float]  # seconds of the clock, and of the processor, for each request or event


def measure(bench: Bench, add: Callable[..., None], *, pairs: int = PAIRS) -> None:
    bench.provision(200)
    with ExitStack() as stack:
        doors = [
            stack.enter_context(running_door(bench.environment, bench.folder / f"cost-{sides['METRICS']}.log", application=DOOR, **sides))
            for sides in (ON, OFF)
        ]
        by_request = [at_once(bench, doors, pair) for pair in range(pairs + 1)][1:]
        told(add, "the door, one event a request", by_request)
        streams = [stack.enter_context(stream(bench, sides)) for sides in (ON, OFF)]
        by_event = [in_turn(bench, streams, doors[1], pair) for pair in range(pairs + 1)][1:]
        told(add, "the stream", by_event)
        counted = ask(streams[0], "added")
    each = statistics.median(blind[1] for _, blind in by_request)
    add(
        "cost: added to a request (number, header, counts), by itself",
        1e6 * counted["request"],
        "us",
        note=f"{100 * counted['request'] / each:.1f} % of its time in the door",
    )
    each = statistics.median(blind[1] for _, blind in by_event)
    add(
        "cost: added to a transaction of the stream, by itself",
        1e6 * counted["transaction"],
        "us",
        note=f"{100 * counted['transaction'] / (5000 * each):.3f} % of one with 5,000 events",
    )


def at_once(bench: Bench, doors: list[Server], pair: int) -> tuple[Spent, Spent]:
    """Both doors under load at the same time; whose load begins a moment earlier changes from pair to pair."""
    bench.execute("TRUNCATE engagement_inbox")
    order = doors if pair % 2 else doors[::-1]
    with ThreadPoolExecutor(len(doors)) as pool:
        found = list(pool.map(lambda door: door_round(bench, door, 1000 + 10 * pair + order.index(door)), order))
    looked, blind = found if pair % 2 else found[::-1]
    return looked, blind


def door_round(bench: Bench, server: Server, seed: int) -> Spent:
    worker = server.worker
    before = worker.cpu_times()
    seen = bench.load(server.port, seconds=bench.seconds / 2, connections=32, seed=seed)
    after = worker.cpu_times()
    assert not seen["refused"], seen
    return 1 / seen["requests_s"], (after.user + after.system - before.user - before.system) / seen["requests"]


def in_turn(bench: Bench, streams: list["subprocess.Popen[str]"], door: Server, pair: int) -> tuple[Spent, Spent]:
    found = {}
    for place in (0, 1) if pair % 2 else (1, 0):
        found[place] = stream_round(bench, streams[place], door, 100_000 * (2 * pair + place))
    return found[0], found[1]


def stream_round(bench: Bench, process: "subprocess.Popen[str]", door: Server, seed: int) -> Spent:
    """The inbox is filled through the door without looking, then drained by the one process, of which nothing else is asked meanwhile."""
    bench.execute("TRUNCATE engagement_inbox")
    while bench.waiting() < DRAINED * 100:
        bench.load(door.port, seconds=0.3, per_request=100, connections=16, seed=seed)
        seed += 1
    events = bench.waiting()
    seen = ask(process, "drain")
    assert bench.waiting() == 0
    return seen["wall"] / events, seen["cpu"] / events


def told(add: Callable[..., None], what: str, found: list[tuple[Spent, Spent]]) -> None:
    for place, unit, target in ((0, "throughput", "< 2 %"), (1, "its processor's time", "< 2 %")):
        shares = [100 * (looked[place] / blind[place] - 1) for looked, blind in found]
        low, _, high = statistics.quantiles(shares, n=4)
        note = f"{len(shares)} pairs, half of them from {low:+.1f} to {high:+.1f} %"
        add(f"cost of metrics and JSON logs: {what}, {unit}", statistics.median(shares), "%", target=target, note=note)


@contextmanager
def stream(bench: Bench, sides: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    with (bench.folder / f"cost-stream-{sides['METRICS']}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", INSIDE], cwd=ROOT, text=True,
            env={**bench.environment, **sides, "DJANGO_SETTINGS_MODULE": "engagement.settings"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process: "subprocess.Popen[str]", what: str) -> dict[str, Any]:
    assert process.stdin and process.stdout
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith('{"told":'):
            found: dict[str, Any] = json.loads(line)["told"]
            return found
    raise SystemExit("The stream ended: see its log.")
