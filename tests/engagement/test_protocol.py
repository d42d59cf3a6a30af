"""The device door's protocol: what is taken, what is refused and why, and that nothing that can be sent raises anything else."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement import inbox
from engagement.protocols import atrium
from engagement.protocols.refusals import Reason, Unreadable

NOW: Final = datetime(2026, 11, 19, 10, 0, tzinfo=UTC)
NOW_US: Final = int(NOW.timestamp()) * 1_000_000
ID: Final = "0193a1b2-1111-7000-8000-00000000000a"
UUID_OF_BEACON: Final = "f7826da6-4fa2-4e98-8024-bc5b71e0893e"


def fix(**changes: Any) -> dict[str, Any]:
    return event("fix", **{"lat": -26.1, "lon": 28.05, "accuracy": 12.5, **changes})


def sighting(**changes: Any) -> dict[str, Any]:
    return event("sighting", **{"beacon": {"uuid": UUID_OF_BEACON, "major": 1, "minor": 7}, "rssi": -71, **changes})


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event of now. A field that is None is left out."""
    return {name: value for name, value in {"id": ID, "type": kind, "at": NOW.isoformat(), **fields}.items() if value is not None}


def request(*events: Any, **changes: Any) -> bytes:
    return json.dumps({"device": {"id": "phone"}, "events": list(events), **changes}).encode()


def read(body: bytes, *, imported: bool = False) -> atrium.Batch:
    return atrium.read(body, received_us=NOW_US, imported=imported)


def reasons(batch: atrium.Batch) -> list[tuple[int, str]]:
    return [(refusal.index, str(refusal.reason)) for refusal in batch.refusals]


def test_each_kind_of_event_arrives_in_the_row_as_it_was_sent() -> None:
    body = request(
        fix(),
        sighting(),
        sighting(beacon={"namespace": "EDD1ebeac04e5defa017", "instance": "0123456789ab"}, rssi=None),
        sighting(beacon={"mac": "C4:BE:84:00:00:01"}, rssi=-70.5),
        event("transition", zone="north-food", direction="exit"),
        event("custom", name="coupon_opened", properties={"coupon": "A1", "n": 2**70}),
        event("custom", name="opened"),
        device={"id": "phone", "platform": "ios", "app_version": "2.1"},
        shopper={"id": "crm-42"},
    )
    batch = read(body)
    row = inbox.unpack(inbox.pack(batch.row))
    assert batch.accepted == 7
    assert (row.device, row.platform, row.app_version, row.shopper, row.skew_us, row.rejected) == ("phone", "ios", "2.1", "crm-42", 0, [])
    records = inbox.records(row)
    assert [int(kind) for kind in records["kind"]] == [inbox.FIX, *[inbox.SIGHTING] * 3, inbox.TRANSITION, *[inbox.CUSTOM] * 2]
    assert {bytes(one) for one in records["id"]} == {uuid.UUID(ID).bytes}
    assert set(records["at"].tolist()) == {NOW_US}
    assert inbox.unpack_position(bytes(records["body"][0])) == (-26.1, 28.05, 12.5)
    assert [int(rssi) for rssi in records["rssi"][1:4]] == [-71, inbox.NO_RSSI, -71]
    addresses = [bytes(body)[:flag] for body, flag in zip(records["body"][1:4].tolist(), records["flag"][1:4].tolist(), strict=True)]
    assert [inbox.describe_address(address) for address in addresses] == [
        f"ibeacon {UUID_OF_BEACON} 1 7",
        "eddystone edd1ebeac04e5defa017 0123456789ab",
        "mac c4:be:84:00:00:01",
    ]
    assert int(records["flag"][4]) == inbox.EXIT
    assert [row.extras[int(extra)] for extra in records["extra"][4:]] == [
        "north-food",
        ("coupon_opened", '{"coupon":"A1","n":1180591620717411303424}'),
        ("opened", None),
    ]


BEACON: Final = {"uuid": UUID_OF_BEACON, "major": 1, "minor": 7}
REFUSED: Final = {
    "no object": (17, Reason.MALFORMED),
    "null": (None, Reason.MALFORMED),
    "a list": ([], Reason.MALFORMED),
    "an empty object": ({}, Reason.MISSING_FIELD),
    "no type": ({"id": ID, "at": NOW.isoformat()}, Reason.MISSING_FIELD),
    "unknown type": (event("teleport"), Reason.UNKNOWN_TYPE),
    "type of a wrong shape": ({"type": 5}, Reason.MALFORMED),
    "no id": (fix(id=None), Reason.MISSING_FIELD),
    "id is no UUID": (fix(id="42"), Reason.MALFORMED),
    "id is a number": (fix(id=42), Reason.MALFORMED),
    "no at": (fix(at=None), Reason.MISSING_FIELD),
    "at without offset": (fix(at="2026-11-19T10:00:00"), Reason.MALFORMED),
    "at is a number": (fix(at=1763546400), Reason.MALFORMED),
    "at is no date": (fix(at="2026-02-30T10:00:00Z"), Reason.MALFORMED),
    "no lat": (fix(lat=None), Reason.MISSING_FIELD),
    "lat above 90": (fix(lat=90.01), Reason.OUT_OF_RANGE),
    "lon below -180": (fix(lon=-180.01), Reason.OUT_OF_RANGE),
    "lat is text": (fix(lat="-26.1"), Reason.MALFORMED),
    "lat is true": (fix(lat=True), Reason.MALFORMED),
    "no accuracy": (fix(accuracy=None), Reason.ACCURACY_REQUIRED),
    "accuracy below 0": (fix(accuracy=-1), Reason.OUT_OF_RANGE),
    "rssi above 20": (sighting(rssi=127), Reason.OUT_OF_RANGE),
    "rssi below -127": (sighting(rssi=-128), Reason.OUT_OF_RANGE),
    "rssi is huge": (sighting(rssi=-(2**70)), Reason.OUT_OF_RANGE),
    "no beacon": (sighting(beacon=None), Reason.MISSING_FIELD),
    "an empty beacon": (sighting(beacon={}), Reason.MALFORMED),
    "two beacons in one": (sighting(beacon={**BEACON, "mac": "c4:be:84:00:00:01"}), Reason.MALFORMED),
    "no minor": (sighting(beacon={"uuid": UUID_OF_BEACON, "major": 1}), Reason.MISSING_FIELD),
    "no uuid": (sighting(beacon={"major": 0, "minor": 0}), Reason.MISSING_FIELD),
    "no instance": (sighting(beacon={"namespace": "edd1ebeac04e5defa017"}), Reason.MISSING_FIELD),
    "major above 65535": (sighting(beacon={**BEACON, "major": 65536}), Reason.OUT_OF_RANGE),
    "major above 2^63": (sighting(beacon={**BEACON, "major": 2**64 + 1}), Reason.OUT_OF_RANGE),
    "mac too short": (sighting(beacon={"mac": "c4:be:84:00:00"}), Reason.MALFORMED),
    "mac with spaces": (sighting(beacon={"mac": "c4 be 84 00 00 01"}), Reason.MALFORMED),
    "mac of other letters": (sighting(beacon={"mac": "zz:be:84:00:00:01"}), Reason.MALFORMED),
    "beacon part is long": (sighting(beacon={"mac": "c4" * 100}), Reason.TOO_LARGE),
    "no zone": (event("transition", direction="enter"), Reason.MISSING_FIELD),
    "zone is long": (event("transition", zone="z" * 65, direction="enter"), Reason.TOO_LARGE),
    "zone is empty": (event("transition", zone="", direction="enter"), Reason.MALFORMED),
    "zone holds NUL": (event("transition", zone="a\x00b", direction="enter"), Reason.MALFORMED),
    "no direction": (event("transition", zone="a"), Reason.MISSING_FIELD),
    "direction is sideways": (event("transition", zone="a", direction="sideways"), Reason.MALFORMED),
    "no name": (event("custom"), Reason.MISSING_FIELD),
    "name is long": (event("custom", name="n" * 129), Reason.TOO_LARGE),
    "name breaks the line": (event("custom", name="a\nb"), Reason.MALFORMED),
    "properties are a list": (event("custom", name="n", properties=[1]), Reason.MALFORMED),
    "properties are long": (event("custom", name="n", properties={"a": "b" * 9000}), Reason.TOO_LARGE),
    "properties hold NUL": (event("custom", name="n", properties={"a": ["\x00"]}), Reason.MALFORMED),
    "a property's name holds NUL": (event("custom", name="n", properties={"\x00": 1}), Reason.MALFORMED),
    "properties are deep": (event("custom", name="n", properties=json.loads('{"a":' * 40 + "1" + "}" * 40)), Reason.TOO_LARGE),
    "too old": (fix(at=(NOW - timedelta(days=35, microseconds=1)).isoformat()), Reason.TOO_OLD),
    "in future": (fix(at=(NOW + timedelta(minutes=5, microseconds=1)).isoformat()), Reason.IN_FUTURE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_event_is_refused_by_name_and_never_costs_its_neighbours(name: str) -> None:
    bad, reason = REFUSED[name]
    batch = read(request(fix(), bad, sighting()))
    assert reasons(batch) == [(1, reason)]
    assert batch.accepted == 2
    assert [int(kind) for kind in inbox.records(batch.row)["kind"]] == [inbox.FIX, inbox.SIGHTING]
    assert batch.row.extras == []
    assert batch.row.rejected == [(1, batch.refusals[0].id, reason.value)]
    inbox.unpack(inbox.pack(batch.row))


def test_every_reason_is_tried_above() -> None:
    assert {reason for _, reason in REFUSED.values()} == set(Reason)


def test_a_refusal_names_the_event_and_the_field() -> None:
    batch = read(request(fix(lat=91), sighting(beacon={"uuid": UUID_OF_BEACON, "major": 1}), {"id": "x" * 65, "type": "fix"}))
    assert [refusal.id for refusal in batch.refusals] == [ID, ID, ""]
    assert batch.refusals[0].detail.startswith("lat: ")
    assert batch.refusals[1].detail == "beacon.minor is missing."


WRITTEN_ODDLY: Final = {
    "a number beyond every float": ('"lat":1e400', Reason.OUT_OF_RANGE),
    "half of a surrogate pair": ('"lat":1,"x":"\\ud800"', Reason.MALFORMED),
    "half of a surrogate pair, far from the end": ('"lat":1,"x":"\\ud800 and on"', Reason.MALFORMED),
    "NaN": ('"lat":NaN', Reason.MALFORMED),
    "Infinity": ('"lat":1,"accuracy":-Infinity', Reason.MALFORMED),
    "NaN and a name twice": ('"lat":NaN,"lat":1', Reason.MALFORMED),
    "half of a surrogate pair in a field": ('"lat":1,"id":"\\ud800"', Reason.MALFORMED),
    "an unknown field": ('"lat":1,"floor":{"level":2}', None),
    "a name twice": ('"lat":1,"lat":2', Reason.MALFORMED),
    "a name twice, written differently": ('"lat":1,"l\\u0061t":2', Reason.MALFORMED),
    "a name twice, deep down": ('"lat":1,"x":[{"a":1,"a":2}]', Reason.MALFORMED),
    "a very long number": (f'"lat":1,"x":{"9" * 5000}', None),
    "an escape": ('"lat":1,"x":"\\u0041"', None),
}


@pytest.mark.parametrize("name", WRITTEN_ODDLY)
def test_json_that_readers_disagree_about_is_read_one_way_or_refused(name: str) -> None:
    written, reason = WRITTEN_ODDLY[name]
    odd = f'{{"id":"{ID}","type":"fix","at":"{NOW.isoformat()}","lon":2,"accuracy":3,{written}}}'
    body = f'{{"device":{{"id":"phone"}},"events":[{json.dumps(fix())},{odd}]}}'.encode()
    batch = read(body)
    assert reasons(batch) == ([(1, reason)] if reason else [])
    assert batch.accepted == (1 if reason else 2)


def test_a_repeated_name_is_found_in_every_kind_of_event() -> None:
    kinds = (
        fix(), sighting(), sighting(rssi=None), sighting(beacon={"mac": "c4:be:84:00:00:01"}), sighting(beacon={"namespace": "ab" * 10, "instance": "cd" * 6}),
        event("transition", zone="a", direction="exit"), event("custom", name="n", properties={"a": 1}), event("custom", name="n"),
    )  # fmt: skip
    for good in kinds:
        for name, value in good.items():
            doubled = json.dumps(good)[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"
            batch = read(f'{{"device":{{"id":"phone"}},"events":[{doubled}]}}'.encode())
            assert reasons(batch) == [(0, Reason.MALFORMED)], doubled


GOOD: Final = json.dumps(fix())
UNREADABLE: Final = {
    "nothing": (b"", "not_json"),
    "truncated": (request(fix())[:-5], "not_json"),
    "text behind it": (request(fix()) + b" x", "not_json"),
    "NaN in the device": (b'{"device":{"id":NaN},"events":[]}', "not_json"),
    "NaN, and two lists of events": (b'{"device":{"id":"a"},"events":[],"events":[NaN]}', "not_json"),
    "NaN, and nothing else": (b"NaN", "not_json"),
    "NaN in a very large body": (request(fix(lat=float("nan")), event("custom", name="n" * 300_000)), "not_json"),
    "a byte order mark": (b"\xef\xbb\xbf" + request(fix()), "not_json"),
    "UTF-16": (request(fix()).decode().encode("utf-16"), "not_json"),
    "Latin-1": ('{"device":{"id":"café"},"events":[]}'.encode("latin-1"), "not_json"),
    "Latin-1 where nobody looks": ('{"device":{"id":"a"},"x":"é","events":[]}'.encode("latin-1"), "not_json"),
    "ten thousand deep": (b'{"device":{"id":"a"},"events":[' + b"[" * 10_000 + b"]" * 10_000 + b"]}", "not_json"),
    "ten thousand deep elsewhere": (b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "not_json"),
    "a list": (b"[]", "invalid_envelope"),
    "no device": (b'{"events":[]}', "invalid_envelope"),
    "device is text": (request(fix(), device="phone"), "invalid_envelope"),
    "device.id is empty": (request(fix(), device={"id": ""}), "invalid_envelope"),
    "device.id is long": (request(fix(), device={"id": "d" * 129}), "invalid_envelope"),
    "device.id holds NUL": (request(fix(), device={"id": "a\x00"}), "invalid_envelope"),
    "device.id is half a surrogate pair": (request(fix(), device={"id": "\ud800"}), "not_json"),
    "shopper without id": (request(fix(), shopper={}), "invalid_envelope"),
    "shopper.id is a number": (request(fix(), shopper={"id": 42}), "invalid_envelope"),
    "shopper.id breaks the line": (request(fix(), shopper={"id": "a\nb"}), "invalid_envelope"),
    "sent_at without offset": (request(fix(), sent_at="2026-11-19T10:00:00"), "invalid_envelope"),
    "no list of events": (b'{"device":{"id":"a"}}', "invalid_envelope"),
    "events are an object": (b'{"device":{"id":"a"},"events":{}}', "invalid_envelope"),
    "no events": (request(), "no_events"),
    "501 events": (request(*[1] * 501), "too_many_events"),
    "ten thousand events": (request(*[fix()] * 10_000), "too_many_events"),
    "a million commas": (b'{"device":{"id":"a"},"events":[' + b"0," * 1_000_000 + b"0]}", "too_many_events"),
    "two lists of events": (f'{{"device":{{"id":"a"}},"events":[{GOOD}],"events":[{GOOD}]}}'.encode(), "invalid_envelope"),
    "two lists of events, one escaped": (f'{{"device":{{"id":"a"}},"events":[{GOOD}],"\\u0065vents":[{GOOD}]}}'.encode(), "invalid_envelope"),
    "two lists of events, one empty": (f'{{"device":{{"id":"a"}},"events":[],"events":[{GOOD}]}}'.encode(), "invalid_envelope"),
    "two devices": (f'{{"device":{{"id":"a"}},"device":{{"id":"b"}},"events":[{GOOD}]}}'.encode(), "invalid_envelope"),
    "two ids in the device": (f'{{"device":{{"id":"a","id":"b"}},"events":[{GOOD}]}}'.encode(), "invalid_envelope"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(name: str) -> None:
    body, code = UNREADABLE[name]
    with pytest.raises(Unreadable) as refusal:
        read(body)
    assert refusal.value.code == code
    assert str(refusal.value)


@pytest.mark.parametrize(("sent_s", "skew_s"), [(0, 0), (-60, 0), (60, 0), (-61, 61), (3600, -3600), (-86400 * 400, 86400 * 400)])
def test_the_device_clock_is_corrected_beyond_a_minute(sent_s: int, skew_s: int) -> None:
    clock = NOW + timedelta(seconds=sent_s)
    batch = read(request(fix(at=clock.isoformat()), sent_at=clock.isoformat()))
    assert (batch.accepted, batch.row.skew_us) == (1, skew_s * 1_000_000)
    assert int(inbox.records(batch.row)["at"][0]) == NOW_US + sent_s * 1_000_000  # `at` stays as the client said it


@pytest.mark.parametrize(("age", "reason"), [
    (timedelta(days=35), None), (timedelta(days=35, microseconds=1), Reason.TOO_OLD), (timedelta(days=3650), Reason.TOO_OLD),
    (timedelta(minutes=-5), None), (timedelta(minutes=-5, microseconds=-1), Reason.IN_FUTURE), (timedelta(days=-2), Reason.IN_FUTURE),
])  # fmt: skip
@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=7), timedelta(days=-1000)])
def test_the_window_is_judged_by_the_corrected_time(age: timedelta, reason: Reason | None, skew: timedelta) -> None:
    batch = read(request(fix(at=(NOW - age - skew).isoformat()), sent_at=(NOW - skew).isoformat()))
    assert reasons(batch) == ([(0, reason)] if reason else [])


def test_an_import_takes_any_age_but_no_future() -> None:
    old = [fix(at="1995-01-01T00:00:00+02:00"), fix(at="0001-01-03T00:00:00Z"), fix(at="0001-01-01T00:00:00+14:00"), fix(at="2026-11-21T10:00:00Z")]
    batch = read(request(*old), imported=True)
    assert reasons(batch) == [(2, Reason.TOO_OLD), (3, Reason.IN_FUTURE)]


def test_an_absurd_clock_cannot_push_an_import_out_of_the_calendar() -> None:
    batch = read(request(fix(at="0001-01-03T00:00:00Z"), sent_at="9999-12-31T00:00:00Z"), imported=True)
    assert reasons(batch) == [(0, Reason.TOO_OLD)]


@pytest.mark.parametrize(("at", "reason"), [("9999-12-31T23:59:59-14:00", "in_future"), ("0001-01-01T00:00:00+14:00", "too_old")])
def test_a_clock_at_the_end_of_the_calendar_leaves_nothing_that_cannot_be_read_again(at: str, reason: str) -> None:
    """In UTC it lies in the years 10000 and 0, however well the correction makes it fit."""
    assert reasons(read(request(fix(at=at), sent_at=at))) == [(0, reason)]


def test_what_only_describes_is_cut_and_not_refused() -> None:
    batch = read(request(fix(), device={"id": "a", "platform": None, "app_version": "2.1\n" + "x" * 100}))
    assert (batch.row.platform, batch.row.app_version) == ("", "2.1" + "x" * 29)


def test_500_events_are_taken() -> None:
    assert read(request(*[fix()] * 500)).accepted == 500


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ID, NOW.isoformat(), "fix", "sighting", "enter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["id", "type", "at", "lat", "lon", "accuracy", "beacon", "rssi", "zone", "direction", "name", "properties"])


@given(st.lists(st.builds(lambda good, odd: {**good, **odd}, st.sampled_from([fix(), sighting(), {}]), st.dictionaries(fields, anything)), max_size=4))
def test_whatever_an_event_holds_each_is_accepted_or_refused(events: list[dict[str, Any]]) -> None:
    body = json.dumps({"device": {"id": "phone"}, "events": events}).encode()
    try:
        batch = read(body)
    except Unreadable:
        return
    assert batch.accepted + len(batch.refusals) == len(events)
    assert msgspec.json.encode(batch.refusals)
    assert len(inbox.records(inbox.unpack(inbox.pack(batch.row)))) == batch.accepted


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_no_bytes_raise_anything_but_a_refusal(junk: bytes, start: int, end: int) -> None:
    good = request(fix(), event("custom", name="n", properties={"a": "\\"}), shopper={"id": "s"})
    for body in (junk, good[:start] + junk + good[end:]):
        try:
            read(body)
        except Unreadable as refusal:
            assert refusal.code
