"""Clock correction and the window are decided at the door: it says what the definitions say, and passes every event on whole."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement import inbox
from engagement.protocols import atrium
from tests.analytics.stage import Request, moment, requests_of
from tests.golden import ORGANISATION, cases, instant
from tests.reference import SECOND, Custom, Enter, Event, Exit, Fix, Payload, Sighting, distinct, occurred_at
from tests.translate import address_of
from tests.worlds import DAY, World, search, worlds

RECEIVED = instant("12:00:00")


def body_of(events: list[Event]) -> bytes:
    """The events as an app posts them: they name one device and shopper, and were sent at one instant."""
    first = events[0]
    request: dict[str, Any] = {"device": {"id": first.device, "platform": "ios", "app_version": "1.0"}}
    if first.shopper is not None:
        request["shopper"] = {"id": first.shopper}
    if first.sent_at is not None:
        request["sent_at"] = moment(first.sent_at).isoformat()
    request["events"] = [{"id": str(event.id), "at": moment(event.at).isoformat(), **item_of(event.payload)} for event in events]
    return json.dumps(request).encode()


def item_of(payload: Payload) -> dict[str, Any]:
    match payload:
        case Fix(lat, lon, accuracy):
            return {"type": "fix", "lat": lat, "lon": lon, "accuracy": accuracy}
        case Sighting(beacon, rssi):
            return {"type": "sighting", "beacon": beacon_of(address_of(beacon)), **({} if rssi is None else {"rssi": rssi})}
        case Enter(zone):
            return {"type": "transition", "zone": zone, "direction": "enter"}
        case Exit(zone):
            return {"type": "transition", "zone": zone, "direction": "exit"}
        case Custom():
            return {"type": "custom", "name": "coupon"}


def beacon_of(address: bytes) -> dict[str, Any]:
    body = address[1:]
    if address[:1] == inbox.MAC:
        return {"mac": body.hex(":")}
    if address[:1] == inbox.EDDYSTONE:
        return {"namespace": body[:10].hex(), "instance": body[10:].hex()}
    return {"uuid": str(UUID(bytes=body[:16])), "major": int.from_bytes(body[16:18]), "minor": int.from_bytes(body[18:])}


def extras_of(row: inbox.Row) -> list[str | tuple[str, str | None] | None]:
    """What travels beside each event, however the door has numbered it."""
    return [None if number == inbox.NO_EXTRA else row.extras[number] for number in inbox.records(row)["extra"].tolist()]


@search(60)
@given(worlds())
def test_the_door_corrects_clocks_as_the_definitions_do(world: World) -> None:
    for request in requests_of(distinct(world.events), most=1):
        (event,) = request.events
        read = atrium.read(body_of([event]), received_us=event.received_at, imported=True)
        assert (read.accepted, read.refusals) == (1, [])
        assert read.row.skew_us == occurred_at(event) - event.at
        same(read.row, request)


def same(row: inbox.Row, request: Request) -> None:
    """The row that the door makes is the one that the law's other tests put into the inbox themselves."""
    expected = request.row()
    assert (row.device, row.shopper, row.skew_us) == (expected.device, expected.shopper, expected.skew_us)
    for name in ("id", "at", "body", "kind", "flag", "rssi"):
        assert inbox.records(row)[name].tolist() == inbox.records(expected)[name].tolist()
    for passed, told in zip(extras_of(row), extras_of(expected), strict=True):
        assert passed in (told, None)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in cases() if " clock" in case.name])
def test_the_door_reads_the_table_of_clocks(case: Any) -> None:
    for event in case.events:
        row = atrium.read(body_of([event]), received_us=event.received_at, imported=False).row
        assert event.at + row.skew_us == occurred_at(event)


@pytest.mark.parametrize(
    ("before", "reason"),
    [(35 * DAY, None), (35 * DAY + 1, "too_old"), (0, None), (-300 * SECOND, None), (-300 * SECOND - 1, "in_future")],
)
@pytest.mark.parametrize("skew", [None, 0, 60 * SECOND, -60 * SECOND, 3600 * SECOND, -2 * DAY])
@given(number=st.integers(0, 2**128 - 1))
@search(3)
def test_the_window_is_of_the_corrected_time(before: int, reason: str | None, skew: int | None, number: int) -> None:
    """At most 35 days before and 5 minutes after the server's clock, to the microsecond, whatever the device's clock says."""
    sent_at = None if skew is None else RECEIVED - skew
    event = Event(ORGANISATION, "phone", UUID(int=number), Enter("shop"), RECEIVED - before, RECEIVED, sent_at)
    if occurred_at(event) != event.at:
        event = Event(ORGANISATION, "phone", UUID(int=number), Enter("shop"), event.at - (occurred_at(event) - event.at), RECEIVED, sent_at)
    assert occurred_at(event) == RECEIVED - before
    read = atrium.read(body_of([event]), received_us=RECEIVED, imported=False)
    assert [refusal.reason.value for refusal in read.refusals] == ([] if reason is None else [reason])
    history = atrium.read(body_of([event]), received_us=RECEIVED, imported=True)
    assert [refusal.reason.value for refusal in history.refusals] == (["in_future"] if reason == "in_future" else [])


def test_an_instant_before_1970_is_corrected_too() -> None:
    """Clocks that were never set begin in 1970, or a little before in some time zones."""
    at = datetime(1969, 12, 31, 23, 0, tzinfo=UTC)
    event = Event(ORGANISATION, "phone", UUID(int=1), Enter("shop"), -3600 * SECOND, RECEIVED, -3590 * SECOND)
    assert moment(event.at) == at
    row = atrium.read(body_of([event]), received_us=RECEIVED, imported=False).row
    assert moment(event.at + row.skew_us) == moment(RECEIVED) - timedelta(seconds=10)
