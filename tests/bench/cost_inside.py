"""A stream that drains the inbox when it is told to, and says how long that took: started by tests.bench.cost with and without metrics and JSON logs."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings

from analytics.stream import loop, timing
from engagement import logs, metrics
from engagement.door import commit

TIMES: Final = 20_000
GROUP: Final = 20  # requests that share a commit, where 64 connections post


def drain(worker: loop.Worker) -> dict[str, float]:
    began, spent = time.perf_counter(), time.process_time()
    while worker.turn() or worker.connection.execute("SELECT 1 FROM engagement_inbox LIMIT 1").fetchone():
        pass
    return {"wall": time.perf_counter() - began, "cpu": time.process_time() - spent}


def added(_worker: loop.Worker) -> dict[str, float]:
    """Seconds of the processor for what is done beside the work."""
    loop_of_futures = asyncio.new_event_loop()
    group = [(commit.Entry(1, 1, 1, 1, False, b""), loop_of_futures.create_future()) for _ in range(GROUP)]
    found = {
        "request": each(lambda: [(b"x-request-id", logs.begin_request(b"".decode("latin-1")).encode())]) + each(lambda: commit._count(group, 0.01)) / GROUP
    }
    loop_of_futures.close()

    def transaction() -> None:
        timing.begin()
        for stage in timing.STAGES:
            timing.lap(stage)
        timing.took(5000)
        timing.became("accepted", 5000)
        timing.tell(100)

    return {**found, "transaction": each(transaction)}


def each(act: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(TIMES):
        act()
    return (time.process_time() - began) / TIMES


def main() -> None:
    metrics.begin("stream-0", folder=settings.METRICS_FOLDER)
    worker = loop.Worker()
    ways = {"drain": drain, "added": added}
    for line in sys.stdin:
        print(json.dumps({"told": ways[line.strip()](worker)}), flush=True)
