"""The mall that is measured on, and the walks through it: any number of zones in a square kilometre, fixes every ten seconds."""

import math
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

LON: Final = 28.05
LAT: Final = -26.11
SIDE_M: Final = 1_000.0
_KY: Final = 1 / 110_800.0
_KX: Final = 1 / (111_320.0 * math.cos(math.radians(LAT)))
STEP_S: Final = 10


def place(east: float, north: float) -> tuple[float, float]:
    return LON + east * _KX, LAT + north * _KY


def square(west: float, south: float, side: float) -> dict[str, Any]:
    corners = [(west, south), (west + side, south), (west + side, south + side), (west, south + side), (west, south)]
    return {"type": "Polygon", "coordinates": [[list(place(*corner)) for corner in corners]]}


def provision_file(zones: int) -> dict[str, Any]:
    """One venue whose stores fill a grid, with a quarter of each cell left for the corridor."""
    across = math.ceil(math.sqrt(zones))
    cell = SIDE_M / across
    stores = [
        {
            "key": f"store-{i}",
            "venue": "mall",
            "name": f"Store {i}",
            "kind": "store",
            "boundary": square((i % across) * cell, (i // across) * cell, cell * 0.75),
        }
        for i in range(zones)
    ]
    return {
        "organisation": {"key": "bench", "name": "Bench"},
        "venues": [{"key": "mall", "name": "Mall", "time_zone": "Africa/Johannesburg", "boundary": square(-10, -10, SIDE_M + 20)}],
        "zones": stores,
        "keys": [{"name": "app", "kind": "publishable"}, {"name": "ops", "kind": "secret"}],
    }


class Walks:
    """Endless request bodies of walking devices: each device's batches follow one another in time, event ids are never used again."""

    def __init__(self, *, devices: int, per_request: int, seed: int, named: float = 0.5) -> None:
        self._random = random.Random(seed)
        self._per_request = per_request
        self._devices = devices
        self._prefix = f"{seed}-{os.urandom(4).hex()}"
        self._named = int(devices * named)
        batches = math.ceil(timedelta(days=30) / timedelta(seconds=STEP_S * per_request))
        # Far enough back that a run does not reach the present, inside the window that the door accepts.
        self._start = (datetime.now(UTC) - timedelta(days=30)).replace(microsecond=0)
        self._batches = batches
        self._steps = [self._walk() for _ in range(200)]

    def _walk(self) -> list[bytes]:
        """Tails of the events of a request: from `lat` on."""
        east, north = self._random.uniform(0, SIDE_M), self._random.uniform(0, SIDE_M)
        tails = []
        for _ in range(self._per_request):
            east = min(max(east + self._random.gauss(0, 4), 0), SIDE_M)
            north = min(max(north + self._random.gauss(0, 4), 0), SIDE_M)
            lon, lat = place(east, north)
            tails.append(f'Z","lat":{lat:.7f},"lon":{lon:.7f},"accuracy":8.0}}'.encode())
        return tails

    def __iter__(self) -> Iterator[bytes]:
        for batch in range(self._batches):
            start = self._start + timedelta(seconds=STEP_S * self._per_request * batch)
            times = [(start + timedelta(seconds=STEP_S * i)).strftime("%Y-%m-%dT%H:%M:%S").encode() for i in range(self._per_request)]
            for device in range(self._devices):
                yield self._body(device, times)

    def _body(self, device: int, times: list[bytes]) -> bytes:
        ids = os.urandom(16 * self._per_request).hex()
        name = f"{self._prefix}-{device}"
        shopper = f'"shopper":{{"id":"s-{name}"}},' if device < self._named else ""
        tails = self._steps[self._random.randrange(len(self._steps))]
        events = b",".join(
            [
                b'{"id":"%b-%b-%b-%b-%b","type":"fix","at":"%b%b'
                % (
                    ids[i : i + 8].encode(),
                    ids[i + 8 : i + 12].encode(),
                    ids[i + 12 : i + 16].encode(),
                    ids[i + 16 : i + 20].encode(),
                    ids[i + 20 : i + 32].encode(),
                    at,
                    tail,
                )
                for i, at, tail in zip(range(0, 32 * self._per_request, 32), times, tails, strict=True)
            ]
        )
        return b'{"device":{"id":"%b"},%b"events":[%b]}' % (name.encode(), shopper.encode(), events)
