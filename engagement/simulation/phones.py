"""How phones send what they noticed: in parcels, and now and then late, twice or out of order. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from engagement.simulation.traces import Trace

MOST_EVENTS: Final = 400  # of one request; the door takes 500
LATE, TWICE, SHUFFLED = 0.04, 0.03, 0.05  # shares of parcels
LIVE_EVERY_S: Final = (6.0, 20.0)
LIVE_LATE_S: Final = (60.0, 400.0)


@dataclass(frozen=True)
class Parcel:
    """The content of one request."""

    device: str
    platform: str
    shopper: str | None
    texts: list[str]

    def body(self, sent_at: float | None = None) -> bytes:
        """As the door takes it. History has no `sent_at`: it was sent by an import, not by a phone."""
        shopper = f'"shopper":{{"id":"{self.shopper}"}},' if self.shopper else ""
        sent = f'"sent_at":"{datetime.fromtimestamp(sent_at, UTC).isoformat()}",' if sent_at is not None else ""
        device = f'"device":{{"id":"{self.device}","platform":"{self.platform}","app_version":"5.2"}}'
        return f'{{{device},{shopper}{sent}"events":[{",".join(self.texts)}]}}'.encode()


def history(traces: Iterable[Trace], random: np.random.Generator) -> list[tuple[float, Parcel]]:
    """A day's parcels with the instant at which each arrives, in the order of arrival; late ones up to some hours after."""
    arrivals: list[tuple[float, Parcel]] = []
    for trace in traces:
        for at, parcel in _parcels(trace, random):
            arrivals.append((at + random.uniform(0, 900) + (random.uniform(1800, 30_000) if random.random() < LATE else 0), parcel))
            if random.random() < TWICE:
                arrivals.append((at + random.uniform(0, 7200), parcel))
    arrivals.sort(key=lambda arrival: arrival[0])
    return arrivals


def _parcels(trace: Trace, random: np.random.Generator) -> Iterator[tuple[float, Parcel]]:
    """A trace in pieces, each with the time of its last event; some are cut in two, so that one half can be late."""
    size = MOST_EVENTS if random.random() >= 2 * LATE else max(1, len(trace.texts) // 2)
    for first in range(0, len(trace.texts), size):
        texts = trace.texts[first : first + size]
        yield trace.times[first + len(texts) - 1], shuffled(Parcel(trace.device, trace.platform, trace.shopper, texts), random)


def shuffled(parcel: Parcel, random: np.random.Generator) -> Parcel:
    """The parcel itself, or one in twenty times its events in another order."""
    if random.random() >= SHUFFLED:
        return parcel
    return replace(parcel, texts=[parcel.texts[i] for i in random.permutation(len(parcel.texts)).tolist()])


class Pocket:
    """A phone that is out now: what it has noticed and has not sent."""

    def __init__(self, trace: Trace, since: float, random: np.random.Generator) -> None:
        self._trace, self._random = trace, random
        self._sent = int(np.searchsorted(trace.times, since, side="right"))
        self._next = max(since, trace.times[0]) + float(random.uniform(0, LIVE_EVERY_S[1]))
        self._again: Parcel | None = None

    @property
    def empty(self) -> bool:
        return self._sent == len(self._trace.texts) and self._again is None

    def out(self, now: float) -> bool:
        """Whether its owner is about."""
        return self._trace.times[0] <= now <= self._trace.times[-1]

    def due(self, now: float) -> Iterator[Parcel]:
        """What it sends at this instant: nothing most of the time."""
        if now < self._next:
            return
        late = self._random.random() < LATE / 2
        self._next = now + float(self._random.uniform(*(LIVE_LATE_S if late else LIVE_EVERY_S)))
        if self._again:
            yield self._again
            self._again = None
        end = int(np.searchsorted(self._trace.times, now, side="right"))
        for first in range(self._sent, end, MOST_EVENTS):
            trace = self._trace
            parcel = shuffled(Parcel(trace.device, trace.platform, trace.shopper, trace.texts[first : min(first + MOST_EVENTS, end)]), self._random)
            self._again = parcel if self._random.random() < TWICE else None
            yield parcel
        self._sent = end
