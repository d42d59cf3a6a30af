"""Real input: phones carried through two shopping malls, and the beacons they heard, against the plain reference.

Surveyors walked the corridors, so nothing is said of shops. A zone is a square of 20 m of a floor, and a beacon (by its own
address: most carry the same uuid, major and minor) belongs to the square in which it was heard strongest, by the surveyed
position at that moment. So a venue has floors, a floor its squares, and a square some beacons, heard through walls and
ceilings as they really are.
"""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import numpy as np
import pytest

from analytics.models import Stay as StoredStay
from tests.golden.posting import DATA, Product, needs
from tests.reference import Event, Placement, Places, Shopper, Sighting, Stay, Version, stays

FOLDER: Final = DATA / "mall_traces"
ORGANISATION: Final = "malls"
SQUARE_M: Final = 20
IDS: Final = UUID("0bb6b0f5-9a54-4e2a-8f58-0b4b2e0c7d55")
# Short graces and minimums, because a trace is half a minute long: chains then break, and stays are too short, as in a week of shopping.
VENUE: Final = {"exit_grace_s": 60, "min_stay_s": 30, "enter_rssi": -85, "hold_rssi": -95}
FLOOR: Final = {"exit_grace_s": 20, "min_stay_s": 15, "enter_rssi": -82, "hold_rssi": -92}
AREA: Final = {"exit_grace_s": 6, "min_stay_s": 5, "enter_rssi": -78, "hold_rssi": -88}
UNNAMED: Final = 12  # each twelfth trace names its shopper in one request only: the others are found by the device
TWICE, LOST = 0.2, 0.02

pytestmark = needs(FOLDER)


@dataclass(frozen=True)
class Zone:
    key: str
    venue: str
    parent: str | None
    kind: str
    settings: dict[str, int]


@dataclass(frozen=True)
class Survey:
    """The traces, and the places that were made of them."""

    traces: list[dict[str, Any]]
    zones: dict[str, Zone]
    beacons: dict[str, str]  # zone by address


def read() -> Iterator[dict[str, Any]]:
    with gzip.open(FOLDER / "traces.jsonl.gz", "rt") as file:
        yield from map(json.loads, file)


def square_of(trace: dict[str, Any], at: int) -> str:
    """The square in which the surveyor stood, between the surveyed points before and after."""
    when, xs, ys = np.array(trace["waypoints"], dtype=float).T
    x, y = np.interp(at, when, xs), np.interp(at, when, ys)
    return f"{trace['site']}-{trace['floor']}-{int(x // SQUARE_M)}-{int(y // SQUARE_M)}"


@pytest.fixture(scope="module")
def survey() -> Survey:
    traces = list(read())
    strongest: dict[str, tuple[int, str]] = {}
    for trace in traces:
        for at, _, _, _, _, rssi, mac in trace["beacons"]:
            if mac not in strongest or rssi > strongest[mac][0]:
                strongest[mac] = rssi, square_of(trace, at)
    zones = {}
    for square in sorted({square for _, square in strongest.values()}):
        site, floor, _, _ = square.split("-")
        zones[site] = Zone(site, site, None, "venue", VENUE)
        zones[f"{site}-{floor}"] = Zone(f"{site}-{floor}", site, site, "floor", FLOOR)
        zones[square] = Zone(square, site, f"{site}-{floor}", "area", AREA)
    return Survey(traces, zones, {mac: square for mac, (_, square) in strongest.items()})


def provision_file(survey: Survey) -> dict[str, Any]:
    inner = [zone for zone in survey.zones.values() if zone.parent]
    return {
        "organisation": {"key": ORGANISATION, "name": "Two malls"},
        "venues": [
            {"key": zone.key, "name": zone.key, "time_zone": "Asia/Shanghai", "boundary": None, **zone.settings}
            for zone in survey.zones.values()
            if zone.parent is None
        ],
        "zones": [
            {
                **{"key": zone.key, "venue": zone.venue, "parent": None if zone.parent == zone.venue else zone.parent},
                **{"name": zone.key, "kind": zone.kind, "floor": None, "brand": None, "boundary": None},
                **zone.settings,
            }
            for zone in inner
        ],
        "beacons": [{"key": f"beacon-{number}", "zone": square, "mac": mac.lower()} for number, (mac, square) in enumerate(survey.beacons.items())],
        "keys": [{"name": "history", "kind": "import"}],
    }


@dataclass(frozen=True)
class Request:
    device: str
    shopper: str | None
    events: list[tuple[UUID, int, str, int]]  # id, milliseconds, address, rssi

    def body(self) -> bytes:
        events = [{"id": str(key), "type": "sighting", "at": stamp(at), "beacon": {"mac": mac.lower()}, "rssi": rssi} for key, at, mac, rssi in self.events]
        who = {"shopper": {"id": self.shopper}} if self.shopper else {}
        return json.dumps({"device": {"id": self.device}, **who, "events": events}).encode()


def stamp(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{milliseconds % 1000:03d}Z"


def requests(survey: Survey, chance: random.Random) -> list[Request]:
    """Each trace is a device; those of one site and day belong to one shopper. Pieces of 20 to 60 events, in any order."""
    made = []
    for number, trace in enumerate(survey.traces):
        day = datetime.fromtimestamp(int(trace["startTime"]) / 1000, UTC).date()
        shopper = f"surveyor-{trace['site']}-{day}"
        events = [(uuid5(IDS, f"{trace['trace']} {index}"), int(heard[0]), str(heard[6]), int(heard[5])) for index, heard in enumerate(trace["beacons"])]
        chance.shuffle(events)
        size = chance.randrange(20, 61)
        pieces = [events[first : first + size] for first in range(0, len(events), size)]
        named = chance.randrange(len(pieces)) if pieces else 0
        for index, piece in enumerate(pieces):
            silent = number % UNNAMED == 0 and index != named
            made.append(Request(trace["trace"], None if silent else shopper, piece))
    chance.shuffle(made)
    return made


def expected(survey: Survey, sent: list[Request]) -> list[Stay]:
    """What the reference says. Nobody crosses from one site and day to another, so it is asked for each on its own: it is slow."""
    zones = {zone.key: (Version(parent=zone.parent, max_accuracy_m=100 if zone.parent is None else 50, **zone.settings),) for zone in survey.zones.values()}
    names = {request.device: request.shopper for request in sent if request.shopper}
    groups: dict[str | None, list[Event]] = defaultdict(list)
    for request in sent:
        for key, at, mac, rssi in request.events:
            event = Event(ORGANISATION, request.device, key, Sighting(mac, rssi), at * 1000, at * 1000, shopper=request.shopper)
            groups[names[request.device]].append(event)
    found = []
    for shopper, events in groups.items():
        site = str(shopper).split("-")[1]
        placements = tuple(Placement(mac, square) for mac, square in survey.beacons.items() if square.startswith(site))
        found += stays(events, {ORGANISATION: Places(zones, placements)})
    return sorted(found)


def stored() -> list[Stay]:
    rows = StoredStay.objects.values_list("shopper__external_id", "shopper__device_key", "zone__key", "started", "ended", "closes_at", "counted")
    return sorted(
        Stay(Shopper(ORGANISATION, "shopper" if name else "device", name or device), zone, *map(microseconds, (started, ended, closes)), counted)
        for name, device, zone, started, ended, closes, counted in rows
    )


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def test_the_stays_of_real_walks_are_those_of_the_reference(survey: Survey, product: Product) -> None:
    key = product.provision(provision_file(survey))["history"]
    chance = random.Random(1574572522)
    sent = requests(survey, chance)
    with product.sender(key) as sender:
        for request in [*sent[: len(sent) // 2], *chance.sample(sent, round(TWICE * len(sent))), *sent[len(sent) // 2 :]]:
            if chance.random() < LOST:
                product.lose_the_answer(key, request.body())
            sender.put(request.body())
    assert not sender.tally.failed
    assert not sender.tally.rejected
    product.wait_until_drained()
    wanted = expected(survey, sent)
    assert len(wanted) > 1000
    assert stored() == wanted
    assert product.outcomes()["accepted"] == sum(len(request.events) for request in sent)
