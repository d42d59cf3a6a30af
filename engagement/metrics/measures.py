"""Counters and histograms in this process's memory. With METRICS=off they are empty shells."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from engagement import environment

PROMETHEUS, EMF, OFF = "prometheus", "emf", "off"
MODE: Final = environment.choice("METRICS", PROMETHEUS, (PROMETHEUS, EMF, OFF))
MOST: Final = 500  # of one family: a label that turns out to have no end must not fill the memory
OTHER: Final = "other"

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Gauge(NamedTuple):
    """A value as it is now, read by whoever tells it. `values` are of `labels`."""

    name: str
    text: str
    value: float
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


class Counter:
    """A number that only grows. The lock is for threads: `+=` on an attribute is three steps."""

    __slots__ = ("_lock", "value")

    def __init__(self, _bounds: tuple[float, ...] = ()) -> None:
        self._lock = threading.Lock()
        self.value: float = 0

    def inc(self, n: float = 1) -> None:
        with self._lock:
            self.value += n


class Histogram:
    """How many values lay up to each bound, and their sum. `largest`: since somebody last took it."""

    __slots__ = ("_lock", "bounds", "counts", "largest", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._lock = threading.Lock()
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = self.largest = 0.0

    def observe(self, value: float) -> None:
        place = bisect_left(self.bounds, value)
        with self._lock:
            self.counts[place] += 1
            self.sum += value
            if value > self.largest:
                self.largest = value

    def take_largest(self) -> float:
        with self._lock:
            found, self.largest = self.largest, 0.0
        return found


class _NoCounter(Counter):
    __slots__ = ()

    def inc(self, n: float = 1) -> None:
        pass


class _NoHistogram(Histogram):
    __slots__ = ()

    def observe(self, value: float) -> None:
        pass


Measure = TypeVar("Measure", Counter, Histogram)


class Family(Generic[Measure]):
    """All that is counted under one name, by the values of its labels."""

    def __init__(self, make: Callable[[tuple[float, ...]], Measure], name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...] = ()) -> None:
        self.name, self.text, self.labels, self.bounds = name, text, labels, bounds
        self.children: dict[tuple[str, ...], Measure] = {}
        self._make: Callable[[tuple[float, ...]], Measure] = make
        self._lock = threading.Lock()

    def of(self, *values: str) -> Measure:
        found = self.children.get(values)
        return self._new(values) if found is None else found

    def _new(self, values: tuple[str, ...]) -> Measure:
        if len(values) != len(self.labels):
            raise TypeError(f"{self.name} has {len(self.labels)} labels.")
        with self._lock:
            if values not in self.children and len(self.children) >= MOST:
                values = (OTHER,) * len(self.labels)
            if values not in self.children:
                child = self._make(self.bounds)
                _resume(child, _inherited.pop((self.name, values), None))
                self.children[values] = child
            return self.children[values]


FAMILIES: Final[dict[str, Family[Any]]] = {}
# What the process before this one of the same name had counted: (name, values) -> its state. A count that went back would be taken for a new one.
_inherited: dict[tuple[str, tuple[str, ...]], Any] = {}


def counter(name: str, text: str) -> Counter:
    return counters(name, text).of()


def counters(name: str, text: str, *labels: str) -> Family[Counter]:
    return _declared(Family[Counter](_NoCounter if MODE == OFF else Counter, name, text, labels))


def histogram(name: str, text: str, bounds: tuple[float, ...] = SECONDS) -> Histogram:
    return histograms(name, text, bounds=bounds).of()


def histograms(name: str, text: str, *labels: str, bounds: tuple[float, ...] = SECONDS) -> Family[Histogram]:
    return _declared(Family[Histogram](_NoHistogram if MODE == OFF else Histogram, name, text, labels, bounds))


def _declared(family: Family[Measure]) -> Family[Measure]:
    if FAMILIES.setdefault(family.name, family) is not family:
        raise ValueError(f"{family.name} is declared twice.")
    return family


def inherit(states: dict[tuple[str, tuple[str, ...]], Any]) -> None:
    """Go on with these counts."""
    for (name, values), state in states.items():
        family = FAMILIES.get(name)
        child = family.children.get(values) if family else None
        if child is None:
            _inherited[name, values] = state
        else:
            _resume(child, state)


def _resume(child: Counter | Histogram, state: Any) -> None:
    match child, state:
        case Counter(), int() | float():
            child.inc(state)
        case Histogram(), [list(counts), int() | float() as total] if len(counts) == len(child.counts):
            child.counts = [a + b for a, b in zip(child.counts, counts, strict=True)]
            child.sum += total


class Laps:
    """Where the time of one piece of work goes: each lap is the time since the one before. Of one thread."""

    __slots__ = ("_family", "_since", "_spent")

    def __init__(self, family: Family[Histogram]) -> None:
        self._family = family
        self._spent: dict[str, float] = {}
        self._since = 0.0

    def begin(self) -> None:
        self._spent.clear()
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._spent[stage] = self._spent.get(stage, 0.0) + now - self._since
        self._since = now

    def tell(self) -> dict[str, float]:
        """Once the work is done: what came to nothing would make the stages look shorter than they are. Returns the seconds of each."""
        spent = dict(self._spent)
        for stage, seconds in spent.items():
            self._family.of(stage).observe(seconds)
        self._spent.clear()
        return spent
