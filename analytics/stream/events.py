"""Accepted events: stored once, and read again. The unique key is (device, event id, day of `at`)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics import binary
from analytics.places import Events
from analytics.stream.batch import Batch, to_datetime, to_us
from analytics.stream.identities import People
from engagement import inbox

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Connection = psycopg.Connection[tuple[Any, ...]]

PROBE: Final = """
CREATE TEMP TABLE IF NOT EXISTS probe (place int, day date, device_id bigint, event_id uuid) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS asked (day date, device_id bigint) ON COMMIT DELETE ROWS;
"""
# Of each asked day of a device, the batch's ids: one index scan in one partition, below a microsecond an id. As a plain join of probe
# and events the planner reads the index of every partition from end to end, which costs more with every stored event.
_KNOWN: Final = """
WITH ids AS MATERIALIZED (SELECT device_id, array_agg(event_id) AS told FROM probe GROUP BY device_id),
found AS MATERIALIZED (
    SELECT a.device_id, e.event_id FROM asked a JOIN ids i ON i.device_id = a.device_id CROSS JOIN LATERAL (
        SELECT event_id FROM engagement_event WHERE day = a.day AND device_id = a.device_id AND event_id = ANY(i.told) OFFSET 0) e)
SELECT p.place FROM found f JOIN probe p ON p.device_id = f.device_id AND p.event_id = f.event_id
"""


DEDUPE_DAYS: Final = 36  # a repeat under a day further away than the door's window is not looked for: a device may have been active for years


class Collision(Exception):
    """An event is stored already, on a day that the device was not known to be active on: another shard told of it meanwhile."""


_STORED: Final = (
    "day, organisation_id, device_id, event_id, kind, at, occurred_at, received_at, shopper_id, "
    "lat, lon, accuracy, beacon, rssi, zone, direction, name, properties"
)


def repeats_in(batch: Batch, device: Ints) -> Bools:
    """Which events of the batch repeat an earlier one of it: same device and id. `device` numbers the device of each event."""
    order = np.lexsort((np.arange(len(device)), batch.id_low, batch.id_high, device))
    same = (np.diff(device[order]) == 0) & (np.diff(batch.id_high[order]) == 0) & (np.diff(batch.id_low[order]) == 0)
    repeated = np.zeros(len(device), np.bool_)
    repeated[order[1:][same]] = True
    return repeated


def store(connection: Connection, batch: Batch, people: People, *, cautious: bool) -> Bools:
    """Insert the events; returns which of them were new. The batch holds no repeats of itself.

    What is stored already is found first, on the days that the devices were active on, so that the rest can be copied straight into the
    partitions: COPY writes whole pages, ON CONFLICT row by row. The unique key stands guard behind it. Raises Collision where it strikes;
    begin the transaction again then, `cautious`: the days of the events themselves are asked too.
    """
    fresh = np.ones(len(batch.row), np.bool_)
    if not len(fresh):
        return fresh
    fresh[_known(connection, batch, people, cautious=cautious)] = False
    new = np.flatnonzero(fresh)
    device = people.device[batch.row[new]]
    new = new[np.lexsort((batch.id_low[new], batch.id_high[new], device))]  # in the order of the index
    try:
        with connection.cursor() as cursor:
            binary.copy_in(cursor, f"engagement_event ({_STORED})", _rows(batch, people, new))
    except psycopg.errors.UniqueViolation as error:
        raise Collision from error
    return fresh


def _rows(batch: Batch, people: People, chosen: Ints) -> list[bytes]:
    """COPY rows: one layout a kind, since NULL has no width. Beacon addresses differ in length, so they too part into layouts."""
    kind = batch.records["kind"][chosen]
    parts = [_rows_alike(batch, people, chosen[kind == inbox.FIX])]
    sightings = chosen[kind == inbox.SIGHTING]
    length, silent = batch.records["flag"][sightings], batch.records["rssi"][sightings] == inbox.NO_RSSI
    for size in np.unique(length).tolist():
        parts += [_rows_alike(batch, people, sightings[(length == size) & (silent == quiet)]) for quiet in (False, True)]
    parts += [_row_with_text(batch, people, event) for event in chosen[kind >= inbox.TRANSITION].tolist()]
    return [part for part in parts if part]


def _common(batch: Batch, people: People, chosen: Ints) -> dict[str, Any]:
    row = batch.row[chosen]
    at = batch.records["at"][chosen].astype(np.int64)
    received = np.array([to_us(one.received_at) for one in batch.claimed], dtype=np.int64)
    organisation = np.array([one.organisation for one in batch.claimed], dtype=np.int64)
    return {
        "day": binary.date(at // binary.DAY_US),
        "organisation_id": binary.int8(organisation[row]),
        "device_id": binary.int8(people.device[row]),
        "event_id": batch.records["id"][chosen],
        "kind": binary.int2(batch.records["kind"][chosen]),
        "at": binary.instant(at),
        "occurred_at": binary.instant(batch.occurred_at[chosen]),
        "received_at": binary.instant(received[row]),
    }


def _rows_alike(batch: Batch, people: People, chosen: Ints) -> bytes:
    """Fixes, or sightings with addresses of one length and all with or all without rssi; named and anonymous part here."""
    parts = []
    named = people.named[batch.row[chosen]]
    for is_named in (False, True):
        some = chosen[named == is_named]
        if len(some):
            columns = _common(batch, people, some)
            columns["shopper_id"] = binary.int8(people.shopper[batch.row[some]]) if is_named else None
            parts.append(binary.copy_rows(columns | _place_columns(batch, some)))
    return b"".join(parts)


def _place_columns(batch: Batch, chosen: Ints) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("lat", "lon", "accuracy", "beacon", "rssi", "zone", "direction", "name", "properties"))
    body = np.ascontiguousarray(batch.records["body"][chosen])
    if batch.records["kind"][chosen[0]] == inbox.FIX:
        lat, lon, accuracy = body.view("<f8").reshape(-1, 3).astype(">f8").T
        return empty | {"lat": lat, "lon": lon, "accuracy": accuracy}
    size = int(batch.records["flag"][chosen[0]])
    address = np.ascontiguousarray(body.view("u1").reshape(-1, 24)[:, :size]).view(f"V{size}").reshape(-1)
    rssi = batch.records["rssi"][chosen]
    return empty | {"beacon": address, "rssi": None if rssi[0] == inbox.NO_RSSI else binary.int2(rssi)}


def _row_with_text(batch: Batch, people: People, event: int) -> bytes:
    """A transition or a custom event, alone: its texts have widths of their own."""
    one = np.array([event])
    columns = _common(batch, people, one)
    named = bool(people.named[batch.row[event]])
    columns["shopper_id"] = binary.int8(people.shopper[batch.row[one]]) if named else None
    columns |= dict.fromkeys(("lat", "lon", "accuracy", "beacon", "rssi", "zone", "direction", "name", "properties"))
    beside = batch.beside(event)
    if batch.records["kind"][event] == inbox.TRANSITION:
        columns["zone"], columns["direction"] = _text(beside), binary.int2(batch.records["flag"][one])
    else:
        columns["name"] = _text(beside[0])
        # jsonb's binary form is a version byte and the text.
        columns["properties"] = None if beside[1] is None else _bytes(b"\x01" + beside[1].encode())
    return binary.copy_rows(columns)


def _text(value: str) -> Any:
    return _bytes(value.encode())


def _bytes(value: bytes) -> Any:
    return np.frombuffer(value, dtype=f"V{len(value)}")


def _known(connection: Connection, batch: Batch, people: People, *, cautious: bool) -> list[int]:
    """Events that are stored already, under the same day or, where a repeat lies about `at`, under another that the device was active on."""
    days = {d.id: d.days for d in people.devices.values() if d.days}
    device = people.device[batch.row]
    day = batch.records["at"].astype(np.int64) // binary.DAY_US
    near = range(int(day.min()) - DEDUPE_DAYS, int(day.max()) + DEDUPE_DAYS + 1)
    asked = {(id, active) for id in np.unique(device).tolist() for active in days.get(id, ()) if active in near}
    if cautious:
        asked |= {(id, one) for id, one in np.unique(np.stack((device, day), axis=1), axis=0).tolist()}
    if not asked:
        return []
    asking = np.array(sorted(asked), dtype=np.int64)
    place = np.flatnonzero(np.isin(device, asking[:, 0]))
    probes: dict[str, Any] = {
        "place": place.astype(">i4"),
        "day": binary.date(day[place]),
        "device_id": binary.int8(device[place]),
        "event_id": batch.records["id"][place],
    }
    spans: dict[str, Any] = {"day": binary.date(asking[:, 1]), "device_id": binary.int8(asking[:, 0])}
    with connection.cursor() as cursor:
        binary.copy_in(cursor, "probe (place, day, device_id, event_id)", [binary.copy_rows(probes)])
        binary.copy_in(cursor, "asked (day, device_id)", [binary.copy_rows(spans)])
        cursor.execute(_KNOWN, prepare=True)
        return [row[0] for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Windows:
    """Of each shopper, the time between `since` and `until`, both inclusive, in microseconds."""

    shopper: Ints
    since: Ints
    until: Ints


@dataclass(frozen=True, slots=True)
class Stored:
    """Events read again, and whose they are."""

    shopper: Ints
    events: Events


_READ: Final = {
    "device": ("int8", "device_id"),
    "named": ("int8", "coalesce(shopper_id, 0)"),
    "kind": ("int2", "kind"),
    "occurred_at": ("timestamptz", "occurred_at"),
    "body": (
        "bytes24",
        "CASE kind WHEN 1 THEN float8send(lat) || float8send(lon) || float8send(accuracy)"
        " WHEN 2 THEN substr(beacon || decode(repeat('00', 24), 'hex'), 1, 24) ELSE decode(repeat('00', 24), 'hex') END",
    ),
    "flag": ("int2", "CASE kind WHEN 2 THEN length(beacon) ELSE coalesce(direction, 0) END::smallint"),
    "rssi": ("int2", f"coalesce(rssi, {inbox.NO_RSSI})::smallint"),
}
_CHOSEN: Final = "device_id = ANY(%(devices)s) AND day BETWEEN %(first)s AND %(last)s AND occurred_at BETWEEN %(since)s AND %(until)s"
_SOURCE: Final = f"FROM (SELECT * FROM engagement_event WHERE {_CHOSEN} AND kind < 3) e"
# Transitions name their zone in text, which has no fixed width. They are read by themselves: two answers about the same rows could
# differ, since another shard may tell of the same device in between.
_TRANSITIONS: Final = f"SELECT device_id, coalesce(shopper_id, 0), occurred_at, direction, zone FROM engagement_event WHERE {_CHOSEN} AND kind = 3"
_FIRST_DAY: Final = -719_162  # year 1
_LAST_DAY: Final = 2_932_896  # year 9999


def read(connection: Connection, windows: Windows) -> Stored:
    """The stored events that belong to the shoppers in their windows: named ones, and anonymous ones of the devices they own."""
    devices = _devices_of(connection, windows.shopper)
    parts = [_read_days(connection, windows, devices, span) for span in _spans(windows, devices)]
    if not parts:
        nothing = np.empty(0, np.int64)
        return Stored(nothing, Events(nothing.astype("u1"), nothing, np.empty(0, "V24"), nothing.astype("u1"), nothing.astype("i2"), []))
    return Stored(
        np.concatenate([p.shopper for p in parts]),
        Events(
            kind=np.concatenate([p.events.kind for p in parts]),
            occurred_at=np.concatenate([p.events.occurred_at for p in parts]),
            body=np.concatenate([p.events.body for p in parts]),
            flag=np.concatenate([p.events.flag for p in parts]),
            rssi=np.concatenate([p.events.rssi for p in parts]),
            zone_key=[key for p in parts for key in p.events.zone_key],
        ),
    )


def _devices_of(connection: Connection, shoppers: Ints) -> dict[str, Ints]:
    """Pairs (shopper, device) with the device's skew in microseconds; `owned` where anonymous events are the shopper's."""
    with connection.cursor() as cursor:
        return binary.fetch(
            cursor,
            {
                "shopper": ("int8", "p.shopper"),
                "device": ("int8", "d.id"),
                "owned": ("bool", "d.owner_id = p.shopper"),
                "low": ("int8", "d.skew_min_s * 1000000"),
                "high": ("int8", "d.skew_max_s * 1000000"),
            },
            """FROM (SELECT owner_id AS shopper, id AS device FROM engagement_device WHERE owner_id = ANY(%(shoppers)s)
                     UNION SELECT shopper_id, device_id FROM engagement_shopperdevice WHERE shopper_id = ANY(%(shoppers)s)) p
               JOIN engagement_device d ON d.id = p.device""",
            {"shoppers": shoppers.tolist()},
        )


def _spans(windows: Windows, devices: dict[str, Ints]) -> list[tuple[int, int, Ints]]:
    """(first day, last day, positions in `devices`): windows of the same days are read together, so that no partition is read in vain."""
    order = np.argsort(windows.shopper)
    place = order[np.searchsorted(windows.shopper[order], devices["shopper"])]
    first = np.clip((windows.since[place] + devices["low"]) // binary.DAY_US, _FIRST_DAY, _LAST_DAY)
    last = np.clip((windows.until[place] + devices["high"]) // binary.DAY_US, _FIRST_DAY, _LAST_DAY)
    spans, member = np.unique(np.stack((first, last), axis=1), axis=0, return_inverse=True)
    return [(int(span[0]), int(span[1]), np.flatnonzero(member == i)) for i, span in enumerate(spans)]


def _read_days(connection: Connection, windows: Windows, devices: dict[str, Ints], span: tuple[int, int, Ints]) -> Stored:
    first, last, chosen = span
    wanted = np.isin(windows.shopper, devices["shopper"][chosen])
    parameters = {
        "devices": np.unique(devices["device"][chosen]).tolist(),
        "first": to_datetime(first * binary.DAY_US).date(),
        "last": to_datetime(last * binary.DAY_US).date(),
        "since": to_datetime(max(int(windows.since[wanted].min()), _FIRST_DAY * binary.DAY_US)),
        "until": to_datetime(min(int(windows.until[wanted].max()), _LAST_DAY * binary.DAY_US)),
    }
    with connection.cursor() as cursor:
        placed = binary.fetch(cursor, _READ, _SOURCE, parameters)
        moves = cursor.execute(_TRANSITIONS, parameters, binary=True).fetchall()
    rows = _with_transitions(placed, moves)
    keys: list[str | None] = [*([None] * len(placed["kind"])), *(zone for *_, zone in moves)]
    owned = chosen[devices["owned"][chosen].astype(np.bool_)]
    owner = dict(zip(devices["device"][owned].tolist(), devices["shopper"][owned].tolist(), strict=True))
    anonymous = rows["named"] == 0
    shopper = rows["named"].copy()
    shopper[anonymous] = [owner.get(d, 0) for d in rows["device"][anonymous].tolist()]
    mine = np.flatnonzero(_within(windows, shopper, rows["occurred_at"]))
    events = Events(
        rows["kind"][mine].astype("u1"),
        rows["occurred_at"][mine],
        _little_endian(rows["body"], rows["kind"])[mine],
        rows["flag"][mine].astype("u1"),
        rows["rssi"][mine].astype("i2"),
        [keys[i] for i in mine.tolist()],
    )
    return Stored(shopper[mine], events)


def _with_transitions(rows: dict[str, Any], moves: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The columns with those of the transitions (device, named shopper, occurred_at, direction, zone) after them."""
    device, named, at, direction = zip(*(move[:4] for move in moves), strict=True) if moves else ((), (), (), ())
    more: dict[str, Any] = {
        "device": device,
        "named": named,
        "kind": [inbox.TRANSITION] * len(moves),
        "occurred_at": [to_us(one) for one in at],
        "body": np.zeros(len(moves), "V24"),
        "flag": direction,
        "rssi": [inbox.NO_RSSI] * len(moves),
    }
    return {name: np.concatenate((column, np.array(more[name], dtype=column.dtype))) for name, column in rows.items()}


def _within(windows: Windows, shopper: Ints, at: Ints) -> Bools:
    order = np.argsort(windows.shopper)
    place = order[np.minimum(np.searchsorted(windows.shopper[order], shopper), len(order) - 1)]
    result: Bools = (windows.shopper[place] == shopper) & (windows.since[place] <= at) & (at <= windows.until[place])
    return result


def _little_endian(body: npt.NDArray[np.void], kind: Ints) -> npt.NDArray[np.void]:
    """PostgreSQL sends doubles big-endian; records hold them little-endian."""
    octets = body.view("u1").reshape(-1, 24).copy()
    fixes = kind == inbox.FIX
    octets[fixes] = octets[fixes].reshape(-1, 3, 8)[:, :, ::-1].reshape(-1, 24)
    return octets.view("V24").reshape(-1)
