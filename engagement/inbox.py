"""The row between the door and the stream: one per request, packed. Pure.

The door knows typed values; the stream wants columns. So events travel as fixed-width records that numpy reads without a
loop, and what has no fixed width (zone keys, names, properties) travels beside them in `extras`.
"""

import struct
import zlib
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

SHARDS: Final = 64  # for ever: a shopper's shard is stored with its rows

OWN: Final = "atrium:"  # and a number: how a shopper whom no app has named is called outside; the door refuses it in an app's ids

FIX, SIGHTING, TRANSITION, CUSTOM = 1, 2, 3, 4
KIND_NAMES: Final = {FIX: "fix", SIGHTING: "sighting", TRANSITION: "transition", CUSTOM: "custom"}
ENTER, EXIT = 1, 2
NO_RSSI: Final = -32768
NO_EXTRA: Final = -1

# Layout of one record, little-endian, no padding. `body` is lat, lon, accuracy (three doubles) of a fix,
# or the beacon's address of a sighting (see `beacon_address`), zero-padded; zeros otherwise.
# `flag`: ENTER/EXIT of a transition, length of the address of a sighting. `extra`: index into extras, or NO_EXTRA.
RECORD: Final = np.dtype([("id", "V16"), ("at", "<i8"), ("body", "V24"), ("kind", "u1"), ("flag", "u1"), ("rssi", "<i2"), ("extra", "<i4")])
_pack_record = struct.Struct("<16sq24sBBhi").pack
_pack_position = struct.Struct("<3d").pack
unpack_position = struct.Struct("<3d").unpack

IBEACON, EDDYSTONE, MAC = b"i", b"e", b"m"


class Row(msgspec.Struct, array_like=True, frozen=True):
    """What one request said. `skew_us` is already zero where definitions trust the device's clock."""

    device: str
    platform: str
    app_version: str
    shopper: str | None
    skew_us: int
    records: bytes
    extras: list[str | tuple[str, str | None]]  # a zone's key, or (name, properties as JSON text)
    rejected: list[tuple[int, str, str]]  # (index in the request, event id or "", reason)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


def pack(row: Row) -> bytes:
    """The inbox payload of a request."""
    return _encode(row)


def unpack(payload: bytes) -> Row:
    """The request again. Raises msgspec.MsgspecError where the payload is damaged."""
    return _decode(payload)


def records(row: Row) -> npt.NDArray[np.void]:
    """The row's events as a structured array of dtype RECORD, in the order of the request."""
    return np.frombuffer(row.records, dtype=RECORD)


def shard_of(organisation: int, kind: str, key: str) -> int:
    """0..63, from the identity that owns the events: kind 's' and the shopper's own id, or kind 'd' and the device's."""
    return zlib.crc32(f"{organisation}:{kind}:{key}".encode()) % SHARDS


def fix(*, event_id: bytes, at_us: int, lat: float, lon: float, accuracy: float) -> bytes:
    return _pack_record(event_id, at_us, _pack_position(lat, lon, accuracy), FIX, 0, NO_RSSI, NO_EXTRA)


def sighting(*, event_id: bytes, at_us: int, address: bytes, rssi: int | None) -> bytes:
    return _pack_record(event_id, at_us, address, SIGHTING, len(address), NO_RSSI if rssi is None else rssi, NO_EXTRA)


def transition(*, event_id: bytes, at_us: int, direction: int, extra: int) -> bytes:
    """`extra` indexes the zone's key in extras."""
    return _pack_record(event_id, at_us, b"", TRANSITION, direction, NO_RSSI, extra)


def custom(*, event_id: bytes, at_us: int, extra: int) -> bytes:
    """`extra` indexes `(name, properties as JSON text or None)` in extras."""
    return _pack_record(event_id, at_us, b"", CUSTOM, 0, NO_RSSI, extra)


def ibeacon_address(uuid: bytes, major: int, minor: int) -> bytes:
    """21 bytes: b'i', the 16 of the UUID, major and minor big-endian."""
    return IBEACON + uuid + struct.pack(">HH", major, minor)


def eddystone_address(namespace: bytes, instance: bytes) -> bytes:
    """17 bytes: b'e', 10 of the namespace, 6 of the instance."""
    return EDDYSTONE + namespace + instance


def mac_address(mac: bytes) -> bytes:
    """7 bytes: b'm' and the 6 of the hardware address."""
    return MAC + mac


def describe_address(address: bytes) -> str:
    """For people: `ibeacon f7826da6-… 1 7`, `eddystone edd1… 0123…`, `mac c4:be:84:00:00:01`."""
    body = address[1:]
    if address[:1] == IBEACON:
        major, minor = struct.unpack(">HH", body[16:20])
        text = body[:16].hex()
        return f"ibeacon {text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]} {major} {minor}"
    if address[:1] == EDDYSTONE:
        return f"eddystone {body[:10].hex()} {body[10:16].hex()}"
    return "mac " + body[:6].hex(":")
