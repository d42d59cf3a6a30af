"""The text that Prometheus reads (exposition format 0.0.4). Pure."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby
from typing import Any, Final

from engagement.metrics.measures import Gauge

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABEL: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def written(laid_down: dict[str, dict[tuple[str, ...], dict[str, Any]]], gauges: Iterable[Gauge]) -> str:
    """`laid_down` as shelf.read gives it: those of one name are added up."""
    lines: list[str] = []
    for name, by_process in sorted(laid_down.items()):
        head = next(iter(by_process.values()))
        lines += _head(name, head["text"], head["kind"])
        same = {key: family for key, family in by_process.items() if _shape(family) == _shape(head)}  # another version may run beside us for a moment
        total: dict[tuple[str, ...], Any] = {}
        for (process, _place), family in same.items():
            for values, state in family["children"]:
                key = (process, *values)
                total[key] = _added(total[key], state) if key in total else state
        labels = ("process", *head["labels"])
        for values, state in sorted(total.items()):
            lines += _histogram(name, labels, values, head["bounds"], state) if head["kind"] == "histogram" else [_line(name, labels, values, state)]
    for name, some in groupby(sorted(gauges), key=lambda gauge: gauge.name):
        told = list(some)
        lines += _head(name, told[0].text, "gauge")
        lines += [_line(name, one.labels, one.values, one.value) for one in told]
    return "\n".join([*lines, ""])


def _shape(family: dict[str, Any]) -> tuple[Any, ...]:
    return family["kind"], family["labels"], family["bounds"]


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [[a + b for a, b in zip(one[0], other[0], strict=True)], one[1] + other[1]]
    return one + other


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text.translate(_HELP)}", f"# TYPE {name} {kind}"]


def _histogram(name: str, labels: Sequence[str], values: Sequence[str], bounds: Sequence[float], state: Any) -> list[str]:
    counts, total = state
    up_to = list(accumulate(counts))
    edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    buckets = [_line(f"{name}_bucket", (*labels, "le"), (*values, edge), count) for edge, count in zip(edges, up_to, strict=True)]
    return [*buckets, _line(f"{name}_sum", labels, values, total), _line(f"{name}_count", labels, values, up_to[-1])]


def _line(name: str, labels: Sequence[str], values: Sequence[str], value: float) -> str:
    named = ",".join(f'{label}="{said.translate(_LABEL)}"' for label, said in zip(labels, values, strict=True))
    return f"{name}{{{named}}} {value!r}" if named else f"{name} {value!r}"
