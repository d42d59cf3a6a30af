"""What was set aside: reading it, and sending it on again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from engagement import inbox
from engagement.models import Organisation

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DECIMALS: Final = 3  # of a degree, about 100 m: enough to see what went wrong, too coarse to follow somebody

# One statement, so one transaction: a row is stamped and back in the inbox, or neither. What is stamped already is passed
# over, so a second click changes nothing; of two clicks at once, one waits for the other's lock and then sees the stamp.
# The stamp has the number that the request gets in the inbox: by it can be told later what became of it.
REPLAY: Final = """
WITH held AS MATERIALIZED (
    SELECT id FROM engagement_setaside WHERE organisation_id = %s AND id = ANY(%s) AND replayed_at IS NULL ORDER BY id FOR UPDATE
), taken AS (
    UPDATE engagement_setaside s SET replayed_at = now(), replayed_as = nextval(pg_get_serial_sequence('engagement_inbox', 'id'))
    FROM held WHERE s.id = held.id AND s.replayed_at IS NULL
    RETURNING s.id, s.replayed_as, s.organisation_id, s.shard, s.received_at, s.events, s.imported, s.payload
), put AS (
    INSERT INTO engagement_inbox (id, organisation_id, shard, received_at, events, imported, payload) OVERRIDING SYSTEM VALUE
    SELECT replayed_as, organisation_id, shard, received_at, events, imported, payload FROM taken
)
SELECT id, events FROM taken ORDER BY id
"""


def replay(*, organisation: Organisation, ids: Sequence[int]) -> tuple[int, int]:
    """Put the organisation's rows of these numbers back into the inbox; returns how many requests and events went. Once each."""
    taken = send_on(organisation.pk, ids)
    return len(taken), sum(taken.values())


def send_on(organisation: int, ids: Sequence[int]) -> dict[int, int]:
    """As `replay`: the numbers of the rows that went, with their events."""
    with connection.cursor() as cursor:
        cursor.execute(REPLAY, [organisation, sorted(ids)])
        return dict(cursor.fetchall())


@dataclass(frozen=True)
class Readable:
    """A request for people: who sent it, what it held. Positions are rounded, for owners too."""

    device: str
    shopper: str | None
    events: list["ReadableEvent"]
    rejected: list[tuple[int, str, str]]


@dataclass(frozen=True)
class ReadableEvent:
    event_id: str
    at: datetime | None  # None: beyond what a calendar can say
    kind: str
    what: str


def read(payload: bytes) -> Readable | None:
    """The request that was set aside; None where its bytes cannot be read, which may be the reason that it is here."""
    try:
        row = inbox.unpack(payload)
        events = [_event(record, row.extras) for record in inbox.records(row)]
    except (msgspec.MsgspecError, ValueError, IndexError):
        return None
    return Readable(device=row.device, shopper=row.shopper, events=events, rejected=row.rejected)


def _event(record: Any, extras: list[Any]) -> ReadableEvent:
    kind = int(record["kind"])
    extra = extras[record["extra"]] if record["extra"] != inbox.NO_EXTRA else ""
    body = record["body"].tobytes()
    if kind == inbox.FIX:
        what = position(*inbox.unpack_position(body))
    elif kind == inbox.SIGHTING:
        what = sighting(body[: int(record["flag"])], int(record["rssi"]))
    elif kind == inbox.TRANSITION:
        what = f"{direction(int(record['flag']))} {extra}"
    else:
        what = str(extra[0]) if extra else ""
    return ReadableEvent(str(UUID(bytes=record["id"].tobytes())), _instant(int(record["at"])), inbox.KIND_NAMES.get(kind, str(kind)), what)


def _instant(microseconds: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def position(lat: float, lon: float, accuracy: float) -> str:
    return f"≈ {lat:.{DECIMALS}f}, {lon:.{DECIMALS}f} ± {accuracy:.0f} m"


def sighting(address: bytes, rssi: int | None) -> str:
    strength = "" if rssi is None or rssi == inbox.NO_RSSI else f", {rssi} dBm"
    return inbox.describe_address(address) + strength


def direction(flag: int) -> str:
    return {inbox.ENTER: "enter", inbox.EXIT: "exit"}.get(flag, "?")
