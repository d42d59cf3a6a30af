"""People who walk through North Mall, as the requests that their phones would send: out of order, across devices, named late."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from tests.cast import EDDYSTONE, IBEACON, MAC, at

# Metres from the middle of the mall, and accuracies none of which comes near a distance between a spot and a boundary.
SPOTS: Final = {"brew": (-50, 50), "page": (50, 50), "hall": (0, 0), "door": (0, -95), "street": (0, -115), "away": (0, -300)}
ACCURACIES: Final = (6.0, 20.0, 45.0, 80.0)
ZONES: Final = ("north-brew", "north-page", "north-door", "north-ground", "north")
BEACONS: Final[tuple[dict[str, Any], ...]] = (IBEACON, EDDYSTONE, {"mac": MAC}, {"mac": "c4:be:84:00:00:99"})
STEPS_S: Final = (5, 20, 40, 55, 61, 119, 121, 300, 899, 901, 2000)

Identity = tuple[str, str, UUID]  # organisation, device, event


@dataclass(frozen=True)
class Request:
    """What one phone posts at once. Sending it again is sending the same bytes again."""

    device: str
    events: tuple[dict[str, Any], ...]
    shopper: str | None = None
    organisation: str = "acme"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        who = {"shopper": {"id": self.shopper}} if self.shopper else {}
        return json.dumps({"device": {"id": self.device}, **who, "events": self.events, **self.more}).encode()

    @property
    def identities(self) -> set[Identity]:
        return {(self.organisation, self.device, UUID(event["id"])) for event in self.events}


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def fix(number: int, seconds: float, spot: str = "brew", accuracy: float = 6.0) -> dict[str, Any]:
    lon, lat = at(*SPOTS[spot])
    return {"id": str(UUID(int=number)), "type": "fix", "at": stamp(seconds), "lat": lat, "lon": lon, "accuracy": accuracy}


def transition(number: int, seconds: float, zone: str = "north-brew", direction: str = "enter") -> dict[str, Any]:
    return {"id": str(UUID(int=number)), "type": "transition", "at": stamp(seconds), "zone": zone, "direction": direction}


def event(chance: random.Random, seconds: float) -> dict[str, Any]:
    """Anything that a phone can say."""
    number, kind = chance.getrandbits(128), chance.random()
    if kind < 0.6:
        return fix(number, seconds, chance.choice(tuple(SPOTS)), chance.choice(ACCURACIES))
    if kind < 0.8:
        made = {"id": str(UUID(int=number)), "type": "sighting", "at": stamp(seconds), "beacon": chance.choice(BEACONS)}
        return made if chance.random() < 0.2 else {**made, "rssi": chance.choice((-70, -85, -90, -99))}
    if kind < 0.97:
        return transition(number, seconds, chance.choice(ZONES), chance.choice(("enter", "enter", "exit")))
    return {"id": str(UUID(int=number)), "type": "custom", "at": stamp(seconds), "name": "coupon_opened", "properties": {"coupon": "A1"}}


def walk(chance: random.Random, name: str, *, events: int, organisation: str = "acme") -> list[Request]:
    """One person with one or two phones: some requests name the person, some do not, and a part of them comes late."""
    devices = [f"{name}-phone", f"{name}-tablet"][: chance.choice((1, 1, 2))]
    named_from = chance.choice((0.0, 0.3, 0.7, 1.0))
    when = int(time.time()) - 3 * 3600 - chance.randrange(20 * 3600)
    requests, sent = [], 0
    while sent < events:
        size = chance.randrange(1, 7)
        told = []
        for _ in range(size):
            when += chance.choice(STEPS_S)
            told.append(event(chance, when))
        sent += size
        named = sent / events > named_from and chance.random() < 0.8
        requests.append(Request(chance.choice(devices), tuple(told), f"{name}-crm" if named else None, organisation))
    for _ in range(len(requests) // 4):
        here, there = chance.randrange(len(requests)), chance.randrange(len(requests))
        requests[here], requests[there] = requests[there], requests[here]
    return requests


def crowd(seed: int, *, people: int, events: int, prefix: str = "p") -> list[list[Request]]:
    """The walks of several people, a tenth of them at the rival's."""
    chance = random.Random(seed)
    return [walk(chance, f"{prefix}{number}", events=events, organisation="rival" if number % 10 == 9 else "acme") for number in range(people)]


def interleaved(walks: list[list[Request]], seed: int) -> Iterator[Request]:
    """Everybody's requests mixed, each person's in order."""
    chance = random.Random(seed)
    left = [list(reversed(walk)) for walk in walks]
    while left:
        chosen = chance.choice(left)
        yield chosen.pop()
        left = [walk for walk in left if walk]
