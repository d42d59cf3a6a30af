"""What the stream tells of its work: how long each stage takes, how much it takes at once, what became of the events. Told once a transaction is
committed: what came to nothing is done again, and would count twice."""

import logging
import threading
from collections import Counter
from typing import Final

from engagement import metrics

STAGES: Final = ("claim", "identify", "store", "place", "fold", "write", "commit")
SECONDS: Final = metrics.histograms("atrium_stream_stage_seconds", "Where the time of one transaction of the stream goes", "stage")
ROWS: Final = metrics.histogram("atrium_stream_batch_requests", "Requests in one transaction of the stream", metrics.SIZES)
EVENTS: Final = metrics.histogram("atrium_stream_batch_events", "Events in one transaction of the stream", metrics.SIZES)
OUTCOMES: Final = metrics.counters("atrium_outcomes_total", "What became of events, by outcome", "outcome")
RETRIED: Final = metrics.counter("atrium_stream_retried_total", "Transactions of the stream that were tried again for a passing reason")
FAILED: Final = metrics.counter("atrium_stream_failed_total", "Transactions of the stream that failed")
SET_ASIDE: Final = metrics.counter("atrium_stream_set_aside_requests_total", "Requests set aside because they cannot be processed")
SLOW_S: Final = 10.0  # a transaction that takes longer says so; the others are counted
logger = logging.getLogger("atrium.stream")


class _Transaction(threading.local):
    """The one that this thread is at: a process has one, tests have several."""

    def __init__(self) -> None:
        self.laps = metrics.Laps(SECONDS)
        self.outcomes: Counter[str] = Counter()
        self.events = 0


_under_way: Final = _Transaction()


def begin() -> None:
    _under_way.outcomes.clear()
    _under_way.events = 0
    _under_way.laps.begin()


def lap(stage: str) -> None:
    """The time since the last lap went there."""
    _under_way.laps.lap(stage)


def took(events: int) -> None:
    _under_way.events += events


def became(outcome: str, events: int) -> None:
    _under_way.outcomes[outcome] += events


def tell(rows: int) -> None:
    spent = _under_way.laps.tell()
    if (took := sum(spent.values())) > SLOW_S:
        longest = max(spent, key=lambda stage: spent[stage])
        said = "A transaction of %s requests and %s events took %.1f s, most of it for the stage %s."
        logger.info(said, rows, _under_way.events, took, longest, extra={"duration_ms": took * 1000})
    if rows:
        ROWS.observe(rows)
        EVENTS.observe(_under_way.events)
    for outcome, number in _under_way.outcomes.items():
        OUTCOMES.of(outcome).inc(number)
    _under_way.outcomes.clear()
