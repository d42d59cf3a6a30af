"""The table of exact cases, read: what happened and every stay it must make, in the terms of tests.reference."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from tests.reference import SECOND, Custom, Enter, Event, Exit, Fix, Payload, Placement, Places, Shopper, Sighting, Stay, Version

ORGANISATION: Final = "acme"
TABLE: Final = Path(__file__).with_name("law.toml")
_DAY: Final = "2026-03-02T"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    name: str
    places: Places
    events: tuple[Event, ...]  # in the order of their arrival
    stays: tuple[Stay, ...]


def cases() -> list[Case]:
    """Every case of the table."""
    table = tomllib.loads(TABLE.read_text())
    return [_case(case, _places(table)) for case in table["case"]]


def instant(text: str) -> int:
    """Microseconds since 1970 of `08:00:00` on the day of the table, or of an RFC 3339 instant."""
    moment = datetime.fromisoformat(text if "T" in text else f"{_DAY}{text}Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def rectangle(west: int, south: int, east: int, north: int) -> dict[str, Any]:
    """A GeoJSON polygon in steps of the table's grid."""
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[list(position(*corner)) for corner in corners]]}


def position(east: float, north: float) -> tuple[float, float]:
    """Longitude and latitude of a point of the grid. The same number always gives the same float: borders are met exactly."""
    return 10 + east / 100_000, 60 + north / 100_000


def _places(table: dict[str, Any]) -> Places:
    zones = {key: (_version({"parent": None, **settings}),) for key, settings in table["zones"].items()}
    return Places(zones, tuple(Placement(beacon, zone) for beacon, zone in table["beacons"].items()))


def _version(settings: dict[str, Any]) -> Version:
    known = {name: value for name, value in settings.items() if name != "rectangle"}
    return Version(**known, boundary=rectangle(*settings["rectangle"]) if "rectangle" in settings else None)


def _case(case: dict[str, str], places: Places) -> Case:
    for line in _rows(case.get("changes", "")):
        places = _changed(places, line)
    events = tuple(_event(line, arrival) for arrival, line in enumerate(_rows(case["events"])))
    return Case(case["name"], places, events, tuple(sorted(_stay(line) for line in _rows(case["stays"]))))


def _rows(text: str) -> Iterator[list[str]]:
    yield from (line.split() for line in text.splitlines() if line)


def _changed(places: Places, line: list[str]) -> Places:
    """The places with one more version of a zone, or one more placement of a beacon, from an instant on."""
    since, (name, _, value) = instant(line[0]), line[2].partition("=")
    if line[1] not in places.zones:
        before = tuple(replace(old, valid_to=since) if old.beacon == line[1] else old for old in places.placements)
        return replace(places, placements=(*before, Placement(line[1], value, valid_from=since)))
    *older, last = places.zones[line[1]]
    told: dict[str, Any] = {"boundary": rectangle(*map(int, value.split(",")))} if name == "rectangle" else {name: value if name == "parent" else int(value)}
    after = replace(last, valid_from=since, **told)
    return replace(places, zones={**places.zones, line[1]: (*older, replace(last, valid_to=since), after)})


def _event(line: list[str], arrival: int) -> Event:
    given = dict(word.split("=") for word in line if "=" in word)
    words = [word for word in line if "=" not in word]
    at = instant(words[0])
    return Event(
        organisation=ORGANISATION,
        device=given.get("device", "phone"),
        id=UUID(hex=given.get("id", f"{arrival + 0xA0:02x}").ljust(32, "0")),
        payload=_payload(*words[1:]),
        at=at,
        received_at=instant(given["received"]) if "received" in given else at + SECOND,
        sent_at=instant(given["sent"]) if "sent" in given else None,
        shopper=given.get("shopper"),
        arrival=arrival,
    )


def _payload(verb: str, *words: str) -> Payload:
    match verb, words:
        case "enter", (zone,):
            return Enter(zone)
        case "exit", (zone,):
            return Exit(zone)
        case "sight", (beacon, *rssi):
            return Sighting(beacon, int(rssi[0]) if rssi else None)
        case "fix", (east, north, accuracy):
            lon, lat = position(float(east), float(north))
            return Fix(lat, lon, float(accuracy))
        case "custom", (name,):
            return Custom(name)
    raise ValueError(f"The table has no event {verb!r} with {words!r}.")


def _stay(line: list[str]) -> Stay:
    who, zone, started, ended, verdict, closes = line
    shopper = Shopper(ORGANISATION, "shopper", who[1:]) if who.startswith("@") else Shopper(ORGANISATION, "device", who)
    return Stay(shopper, zone, instant(started), instant(ended), instant(closes), {"counted": True, "pass-by": False}[verdict])
