"""Erasing a shopper: all that is known of him goes in one commit; when, and how much it was, stays. And refusing what comes later from before.

It needs the locks of all shards: somebody else may just be named for the first time on a device of his. So one shopper a transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import psycopg

from analytics import marks
from analytics.stream import claim, forgetting
from analytics.stream.batch import Batch, to_us
from engagement import inbox, shoppers
from engagement.faults import point
from engagement.shoppers import DEVICE, SHOPPER

Connection = psycopg.Connection[tuple[Any, ...]]

# An identity claim on one of his devices says that its past may be somebody else's: that is settled first.
_NEXT: Final = """
SELECT e.id, e.organisation_id, e.shopper_id FROM engagement_erasure e WHERE e.finished_at IS NULL
AND NOT EXISTS (SELECT 1 FROM engagement_identityclaim c LEFT JOIN engagement_device d ON d.id = c.device_id
                WHERE c.shopper_id = e.shopper_id OR d.owner_id = e.shopper_id)
ORDER BY e.id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Device:
    id: int
    key: str
    owned: bool  # its anonymous events are his
    days: list[int]


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to erase: his number, the app's own id of him if it gave one, and the devices that he was seen on."""

    id: int
    organisation: int
    external_id: str | None
    devices: list[Device]

    def owned(self) -> list[Device]:
        return [device for device in self.devices if device.owned]


def erase(connection: Connection) -> int:
    """Erase the one who has waited longest; returns 1, or 0 where nobody waits or can be erased yet."""
    if connection.execute(_NEXT).fetchone() is None:
        return 0
    done = False
    with connection.transaction() as whole:
        done = _erase_next(connection)
        if not done:
            raise psycopg.Rollback(whole)
        point("erase.before_commit")
    return int(done)


def _erase_next(connection: Connection) -> bool:
    """False: he cannot be erased yet, and nothing of what was begun may stay."""
    found = connection.execute(f"{_NEXT} FOR UPDATE OF e SKIP LOCKED").fetchone()
    if found is None:
        return False
    erasure, organisation, shopper = found
    # What was told of stays has no index by shopper. It is gone through before anybody has to wait for it.
    (told,) = connection.execute("SELECT coalesce(max(id), 0) FROM analytics_transition").fetchone() or (0,)
    connection.execute("DELETE FROM analytics_transition WHERE shopper_id = %s AND id <= %s", [shopper, told])
    wanted = forgetting.early(connection, organisation, shopper)
    claim.wait_for(connection, claim.all_shards())
    if connection.execute(_NEXT).fetchone() != found:  # a claim came meanwhile
        return False
    connection.execute("DELETE FROM analytics_transition WHERE shopper_id = %s AND id > %s", [shopper, told])
    forgetting.late(connection, wanted)
    gone = _erase(connection, erasure, organisation, shopper)
    forgetting.what_was_told(connection, wanted)
    connection.execute(
        """UPDATE engagement_erasure SET shopper_id = NULL, finished_at = clock_timestamp(), events = %(events)s, stays = %(stays)s,
                  devices = %(devices)s, purchases = %(purchases)s WHERE id = %(erasure)s""",
        {"events": 0, "stays": 0, "devices": 0, "purchases": 0, **gone, "erasure": erasure},
    )
    return True


def _erase(connection: Connection, erasure: int, organisation: int, shopper: int) -> dict[str, int]:
    """Everything of him but what was told of his stays; returns how much of what it was. His row is locked: who looks at it meanwhile waits."""
    row = connection.execute("SELECT external_id FROM engagement_shopper WHERE id = %s AND organisation_id = %s FOR UPDATE", [shopper, organisation]).fetchone()
    if row is None:
        return {}
    person = Person(shopper, organisation, row[0], _devices(connection, organisation, shopper))
    _remember(connection, erasure, person)
    marks.leave_for_shoppers(connection, [shopper])
    gone = {
        "stays": connection.execute("DELETE FROM analytics_stay WHERE shopper_id = %s", [shopper]).rowcount,
        "events": _erase_events(connection, person),
        "devices": _part_from_devices(connection, person),
        "purchases": connection.execute("DELETE FROM engagement_purchase WHERE shopper_id = %s", [shopper]).rowcount,
    }
    connection.execute("DELETE FROM analytics_regular WHERE organisation_id = %s AND shopper_id = %s", [organisation, shopper])
    keys = [device.key for device in person.devices]
    connection.execute("DELETE FROM engagement_recentevent WHERE organisation_id = %s AND device = ANY(%s)", [organisation, keys])
    _erase_set_aside(connection, person)
    connection.execute("DELETE FROM engagement_shopper WHERE id = %s", [shopper])
    return gone


def _devices(connection: Connection, organisation: int, shopper: int) -> list[Device]:
    rows = connection.execute(
        """SELECT d.id, d.key, d.owner_id = %(shopper)s, d.days FROM engagement_device d
           WHERE d.organisation_id = %(organisation)s AND d.id IN (
               SELECT id FROM engagement_device WHERE owner_id = %(shopper)s
               UNION SELECT device_id FROM engagement_shopperdevice WHERE shopper_id = %(shopper)s) ORDER BY d.id FOR UPDATE""",
        {"organisation": organisation, "shopper": shopper},
    )
    return [Device(*row) for row in rows]


def _remember(connection: Connection, erasure: int, person: Person) -> None:
    """Digests of his names: what is from before now is not taken in under them again."""
    own = shoppers.digest(person.organisation, SHOPPER, person.external_id or f"{inbox.OWN}{person.id}")
    names = [own, *(shoppers.digest(person.organisation, DEVICE, device.key) for device in person.owned())]
    connection.execute(
        """INSERT INTO engagement_erased (organisation_id, erasure_id, digest, until) SELECT %s, %s, n, clock_timestamp() FROM unnest(%s::bytea[]) AS n
           ON CONFLICT (organisation_id, digest) DO UPDATE SET until = excluded.until, erasure_id = excluded.erasure_id""",
        [person.organisation, erasure, names],
    )


def _erase_events(connection: Connection, person: Person) -> int:
    """Those that name him, and the anonymous ones of the devices that he owns."""
    days = shoppers.days_of([(device.id, device.days) for device in person.devices])
    return connection.execute(
        """DELETE FROM engagement_event WHERE device_id = ANY(%s) AND day = ANY(%s) AND (shopper_id = %s OR (shopper_id IS NULL AND device_id = ANY(%s)))""",
        [[device.id for device in person.devices], days, person.id, [device.id for device in person.owned()]],
    ).rowcount


def _part_from_devices(connection: Connection, person: Person) -> int:
    """His devices go to whoever was named on them first beside him; those that nobody else used are removed. Returns how many."""
    removed = []
    for device in person.owned():
        # Nothing anonymous is left on it, so no stay moves with it.
        heir = connection.execute(
            """SELECT shopper_id, occurred_at, event_id FROM engagement_event WHERE device_id = %s AND day = ANY(%s) AND shopper_id IS NOT NULL
               ORDER BY occurred_at, event_id LIMIT 1""",
            [device.id, shoppers.days_of([(device.id, device.days)])],
        ).fetchone()
        if heir is None:
            removed.append(device.id)
        else:
            connection.execute(
                "UPDATE engagement_device SET owner_id = %s, first_identified_at = %s, first_identified_event = %s WHERE id = %s", [*heir, device.id]
            )
    connection.execute("DELETE FROM engagement_shopperdevice WHERE shopper_id = %s OR device_id = ANY(%s)", [person.id, removed])
    connection.execute("DELETE FROM engagement_device WHERE id = ANY(%s)", [removed])
    return len(removed)


def _erase_set_aside(connection: Connection, person: Person) -> None:
    """Requests of his that could not be processed. Of one whose bytes cannot be read nobody can say whose it is."""
    owned = {device.key for device in person.owned()}
    his = []
    for id, payload in connection.execute("SELECT id, payload FROM engagement_setaside WHERE organisation_id = %s", [person.organisation]).fetchall():
        try:
            said = inbox.unpack(payload)
        except msgspec.MsgspecError:
            continue
        if (said.shopper is None and said.device in owned) or (said.shopper is not None and said.shopper == person.external_id):
            his.append(id)
    connection.execute("DELETE FROM engagement_setaside WHERE id = ANY(%s)", [his])


def refuse(connection: Connection, said: Batch) -> tuple[Batch, list[claim.Claimed]]:
    """The batch without what is from before an erasure of its shopper, or of its device where it names none; and the row of each event left out.

    A request of which nothing else is left is passed over whole, so that nobody is made again of it.
    """
    until = _erased_until(connection, said)
    if not until:
        return said, []
    limit = np.array([until.get(row, -(2**62)) for row in range(len(said.claimed))], dtype=np.int64)
    before = np.array([to_us(row.received_at) for row in said.claimed], dtype=np.int64) <= limit
    old = (said.occurred_at <= limit[said.row]) | before[said.row]
    had, left = (np.bincount(said.row[chosen], minlength=len(said.claimed)) for chosen in (np.ones(len(old), np.bool_), ~old))
    return said.take(~old).of_rows((left > 0) | ((had == 0) & ~before)), [said.claimed[row] for row in said.row[old].tolist()]


def _erased_until(connection: Connection, said: Batch) -> dict[int, int]:
    """By row of the batch: until when what is said under its name was erased. Most organisations have erased nobody since the batch happened."""
    first = np.array([to_us(row.received_at) for row in said.claimed], dtype=np.int64)
    np.minimum.at(first, said.row, said.occurred_at)
    earliest: dict[int, int] = {}
    for one, at in zip(said.claimed, first.tolist(), strict=True):
        earliest[one.organisation] = min(at, earliest.get(one.organisation, at))
    rows = connection.execute(
        "SELECT o, (SELECT max(until) FROM engagement_erased e WHERE e.organisation_id = o) FROM unnest(%s::bigint[]) AS o", [sorted(earliest)]
    )
    concerned = {organisation for organisation, latest in rows if latest is not None and to_us(latest) >= earliest[organisation]}
    if not concerned:
        return {}
    names: dict[tuple[int, bytes], list[int]] = {}
    for row, (one, told) in enumerate(zip(said.claimed, said.said, strict=True)):
        if one.organisation in concerned:
            name = shoppers.digest(one.organisation, *((DEVICE, told.device) if told.shopper is None else (SHOPPER, told.shopper)))
            names.setdefault((one.organisation, name), []).append(row)
    found: list[tuple[int, bytes, datetime]] = connection.execute(
        """SELECT e.organisation_id, e.digest, e.until FROM unnest(%s::bigint[], %s::bytea[]) AS n(organisation_id, digest)
           JOIN engagement_erased e ON e.organisation_id = n.organisation_id AND e.digest = n.digest""",
        [[organisation for organisation, _ in names], [name for _, name in names]],
    ).fetchall()
    return {row: to_us(until) for organisation, name, until in found for row in names[organisation, bytes(name)]}
