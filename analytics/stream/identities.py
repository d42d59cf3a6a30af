"""Whose events these are. Runs under the shards' locks; see the definitions, "People".

An event of a request that names a shopper is that shopper's. An anonymous one is its device's owner's. The owner of a device that
nobody has named is a shopper of the device's own; otherwise the shopper of its first identified event. Changing an owner moves
history between two shards, so it is left as an IdentityClaim for `links.py`.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from analytics.stream.batch import Batch, to_datetime, to_us
from analytics.stream.claim import Claimed
from engagement.inbox import shard_of

Ints = npt.NDArray[np.int64]
Connection = psycopg.Connection[tuple[Any, ...]]
Name = tuple[int, str]  # organisation, key
First = tuple[int, bytes]  # occurred_at in microseconds, event id: the order that decides ownership


class TryAgain(Exception):
    """Another shard made the same device at the same time. Begin the transaction again: it will be found."""


@dataclass(slots=True)
class Device:
    id: int
    owner: int
    owner_shard: int
    first: First | None
    days: list[int]
    new: bool = False


@dataclass(slots=True)
class People:
    """Ids by row of the batch (0 where the row was forwarded)."""

    device: Ints
    shopper: Ints
    named: npt.NDArray[np.bool_]
    devices: dict[Name, Device]
    forwarded: list[tuple[Claimed, int, int]] = field(default_factory=list)


def resolve(connection: Connection, batch: Batch, locked: set[int]) -> People:
    """Find or make the devices and shoppers of the rows. Rows of shards that are not locked come back in `forwarded`."""
    names = [(row.organisation, said.device) for row, said in zip(batch.claimed, batch.said, strict=True)]
    devices = _load_devices(connection, set(names))
    forwarded = _strangers(batch, names, devices, locked)
    gone = {row.id for row, _, _ in forwarded}
    kept = [i for i, row in enumerate(batch.claimed) if row.id not in gone]
    shoppers = _named_shoppers(connection, {(batch.claimed[i].organisation, batch.said[i].shopper or "") for i in kept if batch.said[i].shopper is not None})
    _make_devices(connection, batch, kept, names, devices, shoppers)
    people = People(
        device=np.zeros(len(names), np.int64),
        shopper=np.zeros(len(names), np.int64),
        named=np.array([said.shopper is not None for said in batch.said], dtype=np.bool_),
        devices=devices,
        forwarded=forwarded,
    )
    for i in kept:
        device = devices[names[i]]
        external = batch.said[i].shopper
        people.device[i] = device.id
        people.shopper[i] = device.owner if external is None else shoppers[names[i][0], external]
    return people


def _strangers(batch: Batch, names: list[Name], devices: dict[Name, Device], locked: set[int]) -> list[tuple[Claimed, int, int]]:
    found = []
    count = np.bincount(batch.row, minlength=len(batch.claimed)).tolist()
    for i, (row, said) in enumerate(zip(batch.claimed, batch.said, strict=True)):
        if said.shopper is not None:
            shard = shard_of(row.organisation, "s", said.shopper)
        elif names[i] in devices:
            shard = devices[names[i]].owner_shard
        else:
            shard = shard_of(row.organisation, "d", said.device)
        if shard not in locked:
            found.append((row, shard, count[i]))
    return found


def _load_devices(connection: Connection, names: set[Name]) -> dict[Name, Device]:
    rows = connection.execute(
        """SELECT d.organisation_id, d.key, d.id, d.owner_id, s.shard, d.first_identified_at, d.first_identified_event, d.days
           FROM unnest(%s::bigint[], %s::text[]) AS n(organisation_id, key)
           JOIN engagement_device d ON d.organisation_id = n.organisation_id AND d.key = n.key
           JOIN engagement_shopper s ON s.id = d.owner_id""",
        _columns(names),
        binary=True,
    )
    return {(org, key): Device(id, owner, shard, _first(at, event), days) for org, key, id, owner, shard, at, event, days in rows}


def _first(at: datetime | None, event: uuid.UUID | None) -> First | None:
    return None if at is None or event is None else (to_us(at), event.bytes)


def _columns(names: Iterable[Name]) -> list[list[Any]]:
    ordered = sorted(names)
    return [[org for org, _ in ordered], [key for _, key in ordered]]


def _named_shoppers(connection: Connection, names: set[Name]) -> dict[Name, int]:
    """Ids of the shoppers with the app's own ids, made where they are new. Their shards are ours, so nobody else makes them."""
    return _shoppers(connection, names, "external_id", "s")


def _own_shoppers(connection: Connection, names: set[Name]) -> dict[Name, int]:
    return _shoppers(connection, names, "device_key", "d")


def _shoppers(connection: Connection, names: set[Name], column: str, kind: str) -> dict[Name, int]:
    if not names:
        return {}
    find = f"""SELECT s.organisation_id, s.{column}, s.id FROM unnest(%s::bigint[], %s::text[]) AS n(organisation_id, key)
               JOIN engagement_shopper s ON s.organisation_id = n.organisation_id AND s.{column} = n.key"""
    found = {(org, key): id for org, key, id in connection.execute(find, _columns(names), binary=True)}
    missing = sorted(names - found.keys())
    if missing:
        made = connection.execute(
            f"""INSERT INTO engagement_shopper (organisation_id, {column}, shard, created_at)
                SELECT o, k, s, now() FROM unnest(%s::bigint[], %s::text[], %s::int[]) AS n(o, k, s)
                ON CONFLICT DO NOTHING RETURNING organisation_id, {column}, id""",
            [*_columns(missing), [shard_of(org, kind, key) for org, key in missing]],
            binary=True,
        ).fetchall()
        if len(made) < len(missing):
            raise TryAgain
        found |= {(org, key): id for org, key, id in made}
    return found


def _make_devices(connection: Connection, batch: Batch, kept: list[int], names: list[Name], devices: dict[Name, Device], shoppers: dict[Name, int]) -> None:
    """New devices: owned by the shopper of their first identified event in hand, else by a shopper of their own."""
    missing = {names[i] for i in kept} - devices.keys()
    if not missing:
        return
    firsts = _firsts_of_new(batch, kept, names, missing)
    own = _own_shoppers(connection, {name for name in missing if name not in firsts})
    ordered = sorted(missing)
    said = {names[i]: batch.said[i] for i in kept}
    owner = [shoppers[name[0], firsts[name][2]] if name in firsts else own[name] for name in ordered]
    made = connection.execute(
        """INSERT INTO engagement_device
             (organisation_id, key, owner_id, platform, app_version, first_identified_at, first_identified_event, skew_min_s, skew_max_s, days, created_at)
           SELECT o, k, w, p, v, f, e, 0, 0, '{}', now()
           FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::uuid[]) AS n(o, k, w, p, v, f, e)
           ON CONFLICT DO NOTHING RETURNING organisation_id, key, id""",
        [
            *_columns(ordered),
            owner,
            [said[name].platform for name in ordered],
            [said[name].app_version for name in ordered],
            [to_datetime(firsts[name][0]) if name in firsts else None for name in ordered],
            [uuid.UUID(bytes=firsts[name][1]) if name in firsts else None for name in ordered],
        ],
        binary=True,
    ).fetchall()
    if len(made) < len(missing):
        raise TryAgain
    ids = {(org, key): id for org, key, id in made}
    for name, owned_by in zip(ordered, owner, strict=True):
        first = firsts[name][:2] if name in firsts else None
        devices[name] = Device(ids[name], owned_by, -1, first, [], new=True)


def _firsts_of_new(batch: Batch, kept: list[int], names: list[Name], missing: set[Name]) -> dict[Name, tuple[int, bytes, str]]:
    """The first identified event of each new device: (occurred_at, event id, shopper named). A repeat in the batch counts as its first telling did."""
    rows = {i for i in kept if names[i] in missing}
    told: dict[Name, set[bytes]] = {}
    firsts: dict[Name, tuple[int, bytes, str]] = {}
    for event in np.flatnonzero(np.isin(batch.row, list(rows))).tolist():
        i = int(batch.row[event])
        name, id = names[i], batch.records["id"][event].tobytes()
        seen = told.setdefault(name, set())
        if id in seen:
            continue
        seen.add(id)
        external = batch.said[i].shopper
        if external is not None:
            candidate = (int(batch.occurred_at[event]), id, external)
            if name not in firsts or candidate < firsts[name]:
                firsts[name] = candidate
    return firsts


def remember(connection: Connection, batch: Batch, people: People) -> None:
    """After the events are stored (the batch holds those that were new): who named themselves where, days and skews of devices, ownership."""
    if not len(batch.row):
        return
    _link_devices(connection, batch, people)
    earlier, claims = _first_identified(batch, people)
    changes = _days_and_skews(batch, people)
    # All at once and in order: two shards may tell of one device.
    ids = sorted({c.device for c in earlier} | changes.keys())
    connection.execute("SELECT 1 FROM engagement_device WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [ids])
    _note_earlier(connection, earlier)
    _note_claims(connection, claims, {d.id: name[0] for name, d in people.devices.items()})
    _note_days(connection, changes)


def _link_devices(connection: Connection, batch: Batch, people: People) -> None:
    rows = np.unique(batch.row)
    rows = rows[people.named[rows]]
    pairs = sorted(set(zip(people.shopper[rows].tolist(), people.device[rows].tolist(), strict=True)))
    if pairs:
        connection.execute(
            """INSERT INTO engagement_shopperdevice (shopper_id, device_id)
               SELECT s, d FROM unnest(%s::bigint[], %s::bigint[]) AS n(s, d)
               WHERE NOT EXISTS (SELECT 1 FROM engagement_shopperdevice x WHERE x.shopper_id = s AND x.device_id = d)
               ON CONFLICT DO NOTHING""",
            [[s for s, _ in pairs], [d for _, d in pairs]],
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identified event that comes before the one known for its device."""

    device: int
    shopper: int
    occurred_at: int
    event_id: bytes


def _first_identified(batch: Batch, people: People) -> tuple[list[Candidate], list[Candidate]]:
    """The first identified event of each device, where it comes before the one known: of the owner itself, and of others (claims)."""
    named = np.flatnonzero(people.named[batch.row])
    device = people.device[batch.row[named]]
    order = np.lexsort((batch.id_low[named], batch.id_high[named], batch.occurred_at[named], device))
    leading = order[np.flatnonzero(np.diff(device[order], prepend=-1))]
    known = {d.id: d for d in people.devices.values()}
    earlier: list[Candidate] = []
    claims: list[Candidate] = []
    for event in named[leading].tolist():
        row = batch.row[event]
        one = Candidate(int(people.device[row]), int(people.shopper[row]), int(batch.occurred_at[event]), batch.records["id"][event].tobytes())
        device_known = known[one.device]
        if device_known.first is None or (one.occurred_at, one.event_id) < device_known.first:
            (earlier if device_known.owner == one.shopper else claims).append(one)
    return earlier, claims


def _note_earlier(connection: Connection, earlier: list[Candidate]) -> None:
    if earlier:
        connection.execute(
            """UPDATE engagement_device SET first_identified_at = f, first_identified_event = e
               FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[]) AS n(i, f, e)
               WHERE id = i AND (first_identified_at IS NULL OR (f, e) < (first_identified_at, first_identified_event))""",
            [[c.device for c in earlier], [to_datetime(c.occurred_at) for c in earlier], [uuid.UUID(bytes=c.event_id) for c in earlier]],
        )


def _note_claims(connection: Connection, claims: list[Candidate], organisation: dict[int, int]) -> None:
    if claims:
        connection.execute(
            """INSERT INTO engagement_identityclaim (organisation_id, device_id, shopper_id, occurred_at, event_id)
               SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::uuid[])""",
            [
                [organisation[c.device] for c in claims],
                [c.device for c in claims],
                [c.shopper for c in claims],
                [to_datetime(c.occurred_at) for c in claims],
                [uuid.UUID(bytes=c.event_id) for c in claims],
            ],
        )


def _days_and_skews(batch: Batch, people: People) -> dict[int, tuple[list[int], int, int]]:
    """By device: days of `at` that are new for it, and bounds of at - occurred_at in seconds, where there is anything to note."""
    device = people.device[batch.row]
    at = batch.records["at"].astype(np.int64)
    known = {d.id: d.days for d in people.devices.values()}
    changes: dict[int, tuple[list[int], int, int]] = {}
    for id, day in np.unique(np.stack((device, at // 86_400_000_000), axis=1), axis=0).tolist():
        if day not in known[id]:
            changes.setdefault(id, ([], 0, 0))[0].append(day)
    skew = (at - batch.occurred_at) // 1_000_000
    for id, low in np.unique(np.stack((device, skew), axis=1)[skew != 0], axis=0).tolist():
        days, lowest, highest = changes.get(id, ([], 0, 0))
        changes[id] = (days, min(lowest, low), max(highest, low + 1))
    return changes


def _note_days(connection: Connection, changes: dict[int, tuple[list[int], int, int]]) -> None:
    """Merged in SQL, since the device may have changed since it was read."""
    if changes:
        with connection.cursor() as cursor:
            cursor.executemany(
                """UPDATE engagement_device SET days = (SELECT array_agg(DISTINCT t ORDER BY t) FROM unnest(days || %s::int[]) AS t),
                          skew_min_s = least(skew_min_s, %s), skew_max_s = greatest(skew_max_s, %s) WHERE id = %s""",
                [[*changes[id], id] for id in sorted(changes)],
            )
