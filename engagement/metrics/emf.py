"""CloudWatch's embedded metric format: JSON lines on the standard output, which the machine's log agent sends on. Pure.

Each line has the metrics of one set of dimensions. Of counters and histograms CloudWatch is told what came since the last line; it adds up by itself, so
neither the process nor the machine is a dimension, and of labels only the short ones are: each combination is a metric that is paid for by the month.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from engagement.metrics.measures import FAMILIES, Counter, Gauge

NAMESPACE: Final = "Atrium"
MOST_METRICS: Final = 100  # in one object
MOST_DIMENSIONS: Final = 30
LONGEST: Final = 256 * 1024
NOT_PAID_FOR: Final = frozenset({"route", "method", "task"})  # dozens of each: added up over them

Told = dict[tuple[str, tuple[str, ...]], Any]
Point = tuple[tuple[tuple[str, str], ...], str, str, float]  # dimensions, name, unit, value


class Differences:
    """What came since the last time, of this process."""

    def __init__(self) -> None:
        self._told: Told = {}

    def take(self) -> Iterator[Point]:
        for name, family in list(FAMILIES.items()):
            for values, child in list(family.children.items()):
                dimensions = tuple(zip(family.labels, values, strict=True))
                if isinstance(child, Counter):
                    value = child.value
                    if more := value - self._told.get((name, values), 0):
                        yield dimensions, name, "Count", more
                    self._told[name, values] = value
                else:
                    count, total = sum(child.counts), child.sum
                    before_count, before_total = self._told.get((name, values), (0, 0.0))
                    if count > before_count:
                        unit = _unit(name)
                        yield dimensions, f"{name}_count", "Count", count - before_count
                        yield dimensions, f"{name}_sum", unit, total - before_total
                        yield dimensions, f"{name}_max", unit, child.take_largest()
                    self._told[name, values] = count, total


def of_gauges(gauges: Iterable[Gauge]) -> Iterator[Point]:
    for one in gauges:
        yield tuple(zip(one.labels, one.values, strict=True)), one.name, _unit(one.name), one.value


def lines(points: Iterable[Point], *, process: str, now_ms: int) -> list[str]:
    together: defaultdict[tuple[tuple[str, str], ...], dict[tuple[str, str], float]] = defaultdict(dict)
    for labels, name, unit, value in points:
        some = together[tuple(pair for pair in labels if pair[0] not in NOT_PAID_FOR)[:MOST_DIMENSIONS]]
        before = some.get((name, unit), 0.0)
        some[name, unit] = max(before, value) if name.endswith("_max") else before + value
    written = []
    for dimensions, values in together.items():
        told = [(name, unit, value) for (name, unit), value in values.items()]
        for start in range(0, len(told), MOST_METRICS):
            one = _object(dimensions, told[start : start + MOST_METRICS], process, now_ms)
            written.append(json.dumps(one, separators=(",", ":"), allow_nan=False))
    return written


def _object(dimensions: tuple[tuple[str, str], ...], some: list[tuple[str, str, float]], process: str, now_ms: int) -> dict[str, Any]:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[label for label, _ in dimensions]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit, _ in some],
    }
    said = {label: value[:1024] or "none" for label, value in dimensions}
    return {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}, "process": process, **said, **{name: value for name, _, value in some}}


def _unit(name: str) -> str:
    for end, unit in {"_seconds": "Seconds", "_bytes": "Bytes", "_ratio": "None"}.items():
        if name.endswith(end):
            return unit
    return "Count"
