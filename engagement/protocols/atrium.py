"""The device door's own protocol: the bytes of one request in, a packed inbox row and the refusals out. Pure.

Every event is decoded by itself, so that a bad one never costs its neighbours: it becomes a refusal with its index and reason.
"""

import math
import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from engagement import inbox
from engagement.protocols import lenient
from engagement.protocols.refusals import InvalidEnvelope, NoEvents, NotJson, Reason, Refused, TooManyEvents, explain, refuse_repeated

MAX_EVENTS: Final = 500
MAX_PROPERTIES_BYTES: Final = 8 * 1024
MAX_PROPERTIES_DEPTH: Final = 32
LABEL_LENGTH: Final = 32  # platform and app_version describe only, so a longer one is cut instead of refused

SECOND_US: Final = 1_000_000
TRUSTED_SKEW_US: Final = 60 * SECOND_US
OLDEST_US: Final = 35 * 86_400 * SECOND_US
NEWEST_US: Final = 5 * 60 * SECOND_US
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Nothing before the year 1 or after 9999 can be shown or read again by those who come after, not even from an import or an absurd clock.
FLOOR_US: Final = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
CEILING_US: Final = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


class Refusal(Struct, frozen=True):
    """One entry of the answer's `rejected`."""

    index: int
    id: str
    reason: Reason
    detail: str


class Batch(Struct, frozen=True):
    """A request that could be read. `row.rejected` says the same as `refusals`, without the details."""

    row: inbox.Row
    accepted: int
    refusals: list[Refusal]


# --- Shapes ---------------------------------------------------------------------------------------------------------------

Identity = Annotated[str, Meta(min_length=1, max_length=128)]
Moment = Annotated[datetime, Meta(tz=True)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Accuracy = Annotated[float, Meta(ge=0)]
Strength = Annotated[float, Meta(ge=-127, le=20)]
U16 = Annotated[int, Meta(ge=0, le=65535)]
BeaconPart = Annotated[str, Meta(max_length=64)]

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _plain(text: str, name: str) -> str:
    """The text, if it has no control characters: they are never meant, and PostgreSQL cannot hold NUL."""
    if not text.isprintable() and _control.search(text):
        raise Refused(Reason.MALFORMED, f"{name}: control characters are not allowed.")
    return text


class _Device(Struct):
    id: Identity
    platform: str | None = None
    app_version: str | None = None


class _Shopper(Struct):
    id: Identity


class _Envelope(Struct):
    device: _Device
    events: list[Raw]
    shopper: _Shopper | None = None
    sent_at: Moment | None = None


# `quotes` is how many quotation marks an event has that gives each of its fields once and nothing else. Any other number, or an
# escape, is looked at closely for repeated names; so that the ordinary event costs no second parse.


class _Event(Struct, tag_field="type"):
    id: uuid.UUID
    at: Moment


class _Fix(_Event, tag="fix"):
    lat: Latitude
    lon: Longitude
    accuracy: Accuracy | None = None

    def quotes(self) -> int:
        return 18 if self.accuracy is not None else 16

    def record(self, at_us: int, extras: list[Any]) -> bytes:
        if self.accuracy is None:
            raise Refused(Reason.ACCURACY_REQUIRED, "accuracy: a fix needs its accuracy in metres.")
        return inbox.fix(event_id=self.id.bytes, at_us=at_us, lat=self.lat, lon=self.lon, accuracy=self.accuracy)


class _Beacon(Struct):
    """iBeacon (uuid, major, minor), Eddystone (namespace, instance) or a hardware address (mac)."""

    uuid: BeaconPart | None = None
    major: U16 | None = None
    minor: U16 | None = None
    namespace: BeaconPart | None = None
    instance: BeaconPart | None = None
    mac: BeaconPart | None = None


class _Sighting(_Event, tag="sighting"):
    beacon: _Beacon
    rssi: Strength | None = None

    def quotes(self) -> int:
        return (18 if self.beacon.mac is not None else 22) + (2 if self.rssi is not None else 0)

    def record(self, at_us: int, extras: list[Any]) -> bytes:
        # Gateways send means. Thresholds are whole, so a strength reaches one exactly when its floor does.
        rssi = None if self.rssi is None else math.floor(self.rssi)
        beacon = self.beacon
        address = _beacon_address(beacon.uuid, beacon.major, beacon.minor, beacon.namespace, beacon.instance, beacon.mac)
        return inbox.sighting(event_id=self.id.bytes, at_us=at_us, address=address, rssi=rssi)


class _Transition(_Event, tag="transition"):
    zone: Annotated[str, Meta(min_length=1, max_length=64)]
    direction: str

    def quotes(self) -> int:
        return 20

    def record(self, at_us: int, extras: list[Any]) -> bytes:
        direction = {"enter": inbox.ENTER, "exit": inbox.EXIT}.get(self.direction)
        if direction is None:
            raise Refused(Reason.MALFORMED, "direction: give enter or exit.")
        extras.append(_plain(self.zone, "zone"))
        return inbox.transition(event_id=self.id.bytes, at_us=at_us, direction=direction, extra=len(extras) - 1)


class _Custom(_Event, tag="custom"):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    properties: Raw = Raw(b"null")

    def quotes(self) -> int:
        return 16  # without properties: those are always looked at closely

    def record(self, at_us: int, extras: list[Any]) -> bytes:
        extras.append((_plain(self.name, "name"), _properties(bytes(self.properties))))
        return inbox.custom(event_id=self.id.bytes, at_us=at_us, extra=len(extras) - 1)


class _Named(Struct):
    id: Any = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_Known = _Fix | _Sighting | _Transition | _Custom
_decode_event = msgspec.json.Decoder(_Known).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_id = msgspec.json.Decoder(_Named).decode

# --- The request ----------------------------------------------------------------------------------------------------------


def read(body: bytes, *, received_us: int, imported: bool) -> Batch:
    """The request in `body`, which came at `received_us` (microseconds since 1970). `imported` lifts the age limit. Raises Unreadable."""
    envelope = _read_envelope(body)
    device, shopper = envelope.device, envelope.shopper
    skew_us = _skew(envelope.sent_at, received_us)
    # The window in terms of `at`, so that each event needs two comparisons only.
    oldest_us = max(FLOOR_US, (FLOOR_US if imported else received_us - OLDEST_US) - skew_us)
    newest_us = min(CEILING_US, received_us + NEWEST_US - skew_us)
    extras: list[Any] = []
    records: list[bytes] = []
    refusals: list[Refusal] = []
    for index, raw in enumerate(envelope.events):
        try:
            records.append(_record(raw, oldest_us, newest_us, extras))
        except Refused as refused:
            refusals.append(Refusal(index, _id_of(raw), refused.reason, refused.detail))
        except (msgspec.DecodeError, RecursionError) as error:
            reason, detail = explain(error)
            refusals.append(Refusal(index, _id_of(raw), reason, detail))
    row = inbox.Row(
        device=device.id,
        platform=_label(device.platform),
        app_version=_label(device.app_version),
        shopper=shopper.id if shopper is not None else None,
        skew_us=skew_us,
        records=b"".join(records),
        extras=extras,
        rejected=[(refusal.index, refusal.id, refusal.reason.value) for refusal in refusals],
    )
    return Batch(row=row, accepted=len(records), refusals=refusals)


def _skew(sent_at: datetime | None, received_us: int) -> int:
    """What must be added to the device's clock: nothing while it is within a minute of ours."""
    if sent_at is None:
        return 0
    skew_us = received_us - _microseconds(sent_at)
    return skew_us if abs(skew_us) > TRUSTED_SKEW_US else 0


def _microseconds(moment: datetime) -> int:
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def _label(text: str | None) -> str:
    return _control.sub("", text)[:LABEL_LENGTH] if text else ""


def _read_envelope(body: bytes) -> _Envelope:
    try:
        body.decode()  # skipped parts of JSON are not checked by the decoder
        if len(body) > 64 * 1024:
            _count_events(body)
        envelope = _decode_envelope(body)
        _refuse_repeated_envelope(body, envelope)
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: see byte {error.start}.") from error
    except RecursionError as error:
        raise NotJson("The body is nested too deeply.") from error
    except msgspec.ValidationError as error:
        raise InvalidEnvelope(explain(error)[1]) from error
    except msgspec.DecodeError as error:
        envelope = _read_leniently(body, str(error))
    except Refused as refused:
        raise InvalidEnvelope(refused.detail) from refused
    _check_envelope(envelope)
    return envelope


def _read_leniently(body: bytes, complaint: str) -> _Envelope:
    """The request, if only some events in it are no JSON. `complaint` is the strict reader's."""
    parts = lenient.split(body, "events")
    if parts is None:
        mark = " It begins with a byte order mark." if body.startswith(b"\xef\xbb\xbf") else ""
        raise NotJson(f"{complaint}.{mark}")
    try:
        envelope = _decode_envelope(parts[0])
    except msgspec.ValidationError as error:
        raise InvalidEnvelope(explain(error)[1]) from error
    except msgspec.DecodeError as error:
        raise NotJson(f"{complaint}.") from error
    envelope.events = [Raw(event) for event in parts[1]]
    return envelope


def _check_envelope(envelope: _Envelope) -> None:
    try:
        _plain(envelope.device.id, "device.id")
        shopper = _plain(envelope.shopper.id, "shopper.id") if envelope.shopper is not None else ""
    except Refused as refused:
        raise InvalidEnvelope(refused.detail) from refused
    if shopper.startswith(inbox.OWN):
        raise InvalidEnvelope(f"shopper.id: ids that begin with {inbox.OWN} are the product's own.")
    if not envelope.events:
        raise NoEvents(f"events: send 1 to {MAX_EVENTS}.")
    if len(envelope.events) > MAX_EVENTS:
        raise TooManyEvents(f"events: send at most {MAX_EVENTS} in one request.")


# An array read as a structure of so many fields: the decoder skips what lies beyond instead of making an object of each,
# so four megabytes of commas stay four megabytes.
_Bounded = msgspec.defstruct("_Bounded", [(f"e{index}", Raw, Raw(b"")) for index in range(MAX_EVENTS + 1)], array_like=True)
_Counted = msgspec.defstruct("_Counted", [("events", _Bounded)])
_decode_counted = msgspec.json.Decoder(_Counted).decode
_last_of_counted = f"e{MAX_EVENTS}"


def _count_events(body: bytes) -> None:
    counted: Any = _decode_counted(body)
    if bytes(getattr(counted.events, _last_of_counted)):
        raise TooManyEvents(f"events: send at most {MAX_EVENTS} in one request.")


# --- One event ------------------------------------------------------------------------------------------------------------


def _record(raw: Raw, oldest_us: int, newest_us: int, extras: list[Any]) -> bytes:
    """One event, packed. Appends to `extras` as its last act but one, so a refusal leaves nothing behind."""
    event: _Known = _decode_event(raw)
    since = event.at - EPOCH
    at_us = (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds
    if at_us < oldest_us:
        raise Refused(Reason.TOO_OLD, "at: it happened before the oldest time that is accepted.")
    if at_us > newest_us:
        raise Refused(Reason.IN_FUTURE, "at: it lies more than 5 minutes in the future.")
    text = bytes(raw)
    if text.count(b'"') != event.quotes() or b"\\" in text:
        refuse_repeated(text)
    return event.record(at_us, extras)


def _properties(text: bytes) -> str | None:
    """The properties as JSON text that PostgreSQL's jsonb takes."""
    if text == b"null":
        return None
    if len(text) > MAX_PROPERTIES_BYTES:
        raise Refused(Reason.TOO_LARGE, f"properties: at most {MAX_PROPERTIES_BYTES} bytes.")
    value = _decode_object(text)
    if text.count(b"{") + text.count(b"[") > MAX_PROPERTIES_DEPTH or b"\\u0000" in text:
        _check_properties(value, MAX_PROPERTIES_DEPTH)
    return msgspec.json.encode(value).decode()


def _check_properties(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Refused(Reason.MALFORMED, "properties: the character U+0000 is not allowed.")
        return
    if not isinstance(value, dict | list):
        return
    if depth == 0:
        raise Refused(Reason.TOO_LARGE, f"properties: nested more than {MAX_PROPERTIES_DEPTH} deep.")
    for item in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
        _check_properties(item, depth - 1)


@lru_cache(maxsize=8192)
def _beacon_address(proximity: str | None, major: int | None, minor: int | None, namespace: str | None, instance: str | None, mac: str | None) -> bytes:
    """The address that identifies a beacon. Few beacons are seen often, so the cache answers nearly always."""
    given = (proximity or major or minor) is not None, (namespace or instance) is not None, mac is not None
    if sum(given) != 1:
        raise Refused(Reason.MALFORMED, "beacon: give uuid, major and minor; or namespace and instance; or mac.")
    if mac is not None:
        return inbox.mac_address(_hex(mac.replace("-", "").replace(":", ""), 6, "beacon.mac"))
    if namespace is not None or instance is not None:
        return inbox.eddystone_address(_hex(namespace, 10, "beacon.namespace"), _hex(instance, 6, "beacon.instance"))
    identity = _hex(proximity.replace("-", "") if proximity is not None else None, 16, "beacon.uuid")
    for value, name in ((major, "beacon.major"), (minor, "beacon.minor")):
        if value is None:
            raise Refused(Reason.MISSING_FIELD, f"{name} is missing.")
    return inbox.ibeacon_address(identity, int(major or 0), int(minor or 0))


def _hex(text: str | None, size: int, name: str) -> bytes:
    if text is None:
        raise Refused(Reason.MISSING_FIELD, f"{name} is missing.")
    if len(text) != 2 * size or not text.isascii() or not text.isalnum():
        raise Refused(Reason.MALFORMED, f"{name}: give {2 * size} hexadecimal digits.")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Refused(Reason.MALFORMED, f"{name}: give {2 * size} hexadecimal digits.") from error


# --- Refusals -------------------------------------------------------------------------------------------------------------


def _refuse_repeated_envelope(body: bytes, envelope: _Envelope) -> None:
    """Two lists of events in one body: one of them would be lost without a word."""
    expected = 8 + sum(4 for value in (envelope.device.platform, envelope.device.app_version, envelope.sent_at) if value is not None)
    expected += 0 if envelope.shopper is None else 6
    inside = b"".join(envelope.events)
    if body.count(b'"') - inside.count(b'"') == expected and body.count(b"\\") == inside.count(b"\\"):
        return
    events = bytes(msgspec.json.decode(body, type=_Events).events)
    refuse_repeated(body.replace(events, b"[]"))


class _Events(Struct):
    events: Raw


def _id_of(raw: Raw) -> str:
    """The refused event's id as it was sent, or nothing: it goes into the answer and the row."""
    try:
        found = _decode_id(raw).id
    except msgspec.ValidationError:
        return ""
    except (msgspec.DecodeError, RecursionError):
        found = lenient.field(bytes(raw), "id")
    return found if isinstance(found, str) and len(found) <= 64 and found.isprintable() else ""
