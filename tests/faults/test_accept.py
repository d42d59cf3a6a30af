"""Cases 1, 2 and 11 to 14: what clients send, against a door and a stream that run in peace."""

import gzip
import json
import socket
import threading
import time
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.faults.client import Client, post_all
from tests.faults.crowd import Request, fix, stamp, transition
from tests.faults.oracle import differences, identities, stored_events, stored_stays
from tests.faults.processes import Steady
from tests.reference import Enter
from tests.servers import until

DAY: Final = 86_400


def numbers(count: int) -> list[int]:
    """Ids that nobody else has."""
    return [uuid4().int for _ in range(count)]


def outcome(steady: Steady, name: str) -> int:
    return steady.town.outcomes().get(name, 0)


def send_and_hang_up(steady: Steady, request: Request) -> None:
    """The whole request arrives, and nobody waits for the answer."""
    head = f"POST /v1/events HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {steady.town.key()}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", steady.door.port), 5) as connection:
        connection.sendall(f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body)


def test_case_01_a_batch_sent_again_and_again_counts_once(steady: Steady) -> None:
    now = time.time()
    request = Request("c1", tuple(fix(number, now - 600 + 60 * place) for place, number in enumerate(numbers(5))))
    ledger = post_all(steady.town, steady.door.port, [request])
    steady.product.drain()
    stays, duplicates, told = stored_stays(steady.town), outcome(steady, "duplicate"), steady.town.value("SELECT count(*) FROM analytics_transition")
    clients = [Client(steady.town, steady.door.port, [request], ledger, seed=seed) for seed in range(5)]
    for client in clients:
        client.start()
    send_and_hang_up(steady, request)
    for client in clients:
        client.join()
    assert ledger.statuses == {202: 6}
    until(lambda: steady.town.drained() and outcome(steady, "duplicate") >= duplicates + 25)
    assert sorted(identities(steady.town)).count(next(iter(request.identities))) == 1
    assert sorted(stored_stays(steady.town)) == sorted(stays)
    assert steady.town.value("SELECT count(*) FROM analytics_transition") == told
    assert differences(steady.town) == []


def test_case_02_of_one_id_the_first_telling_counts(steady: Steady) -> None:
    now, (number,) = time.time(), numbers(1)
    accepted, duplicates = outcome(steady, "accepted"), outcome(steady, "duplicate")
    first = Request("c2", (transition(number, now - 500), fix(number, now - 400, "page")))
    other_content = Request("c2", (fix(number, now - 300, "door"),))
    other_day = Request("c2", (transition(number, now - 2 * DAY, "north-page"),))
    other_shopper = Request("c2", (transition(number, now - 100),), "c2-crm")
    for request in (first, other_content, other_day, other_shopper):
        assert post_all(steady.town, steady.door.port, [request]).statuses == {202: 1}
        steady.product.drain()
    (stored,) = [event for event in stored_events(steady.town) if event.device == "c2"]
    assert stored.payload == Enter("north-brew")
    assert stored.shopper is None
    assert outcome(steady, "accepted") == accepted + 1
    assert outcome(steady, "duplicate") == duplicates + 4
    assert differences(steady.town) == []


GOOD: Final = '{"id": "%s", "type": "fix", "at": "%s", "lat": 1, "lon": 2, "accuracy": 3}'
# A body whose one event is bad, or that is bad as a whole; and what the door must say: a reason for the event, or a status.
ODD: Final[dict[str, tuple[str | bytes, str | int]]] = {
    "truncated": ('{"device": {"id": "c11"}, "events": [' + GOOD, 400),
    "not a number": (GOOD.replace('"lat": 1', '"lat": NaN'), "malformed"),
    "infinity": (GOOD.replace('"lat": 1', '"lat": Infinity'), "malformed"),
    "beyond a double": (GOOD.replace('"lat": 1', '"lat": 1e400'), "out_of_range malformed"),
    "beyond 64 bits": (GOOD.replace('"lat": 1', '"lat": 9223372036854775809'), "out_of_range malformed"),
    "a NUL": (GOOD.replace('"type": "fix"', '"type": "transition", "zone": "a\\u0000b", "direction": "enter"'), "malformed"),
    "half of a surrogate pair": (GOOD.replace('"type": "fix"', '"type": "transition", "zone": "\\ud800", "direction": "enter"'), "malformed"),
    "a field twice": (GOOD.replace('"lat": 1', '"lat": 1, "lat": 5'), "malformed"),
    "ten thousand deep": ('{"device": {"id": "c11"}, "events": [' + "[" * 10_000 + "]" * 10_000 + "]}", 400),
    "a wrong charset": ('{"device": {"id": "c11é"}, "events": [1]}'.encode("latin-1"), 400),
    "UTF-16": ('{"device": {"id": "c11"}, "events": [1]}'.encode("utf-16"), 400),
}


@pytest.mark.parametrize("name", ODD)
def test_case_11_what_json_can_do_wrong_is_refused_with_a_reason(steady: Steady, name: str) -> None:
    text, wanted = ODD[name]
    if isinstance(text, str) and "%s" in text:
        text = text % (uuid4(), stamp(time.time()))
    if isinstance(text, str) and text.startswith('{"id"'):
        text = f'{{"device": {{"id": "c11"}}, "events": [{text}]}}'
    before = outcome(steady, "accepted"), outcome(steady, "unmatched")
    answer = steady.door.server.post(steady.town.key(), text if isinstance(text, bytes) else text.encode())
    assert answer.status in (400, 202)
    if answer.status == 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert wanted == 400 or answer.json["code"]
    else:
        assert answer.json["accepted"] == 0
        (refused,) = answer.json["rejected"]
        assert refused["index"] == 0
        assert refused["reason"] in str(wanted).split()
    steady.product.drain()
    assert (outcome(steady, "accepted"), outcome(steady, "unmatched")) == before


def test_case_12_one_bad_event_of_fifty_costs_none_of_the_others(steady: Steady) -> None:
    now = time.time()
    events = [fix(number, now - 600 + place) for place, number in enumerate(numbers(50))]
    events[17]["lat"] = 91
    request = Request("c12", tuple(events))
    refused, duplicates = outcome(steady, "out_of_range"), outcome(steady, "duplicate")
    for tries in (1, 2):
        answer = steady.door.server.post(steady.town.key(), request.body)
        assert (answer.status, answer.json["accepted"]) == (202, 49)
        assert [(item["index"], item["reason"]) for item in answer.json["rejected"]] == [(17, "out_of_range")]
        steady.product.drain()
        assert outcome(steady, "out_of_range") == refused + tries
        assert outcome(steady, "duplicate") == duplicates + 49 * (tries - 1)
    assert len([event for event in stored_events(steady.town) if event.device == "c12"]) == 49
    assert differences(steady.town) == []


def test_case_13_bodies_without_end_cost_nobody_anything(steady: Steady) -> None:
    """A body that drips, one of 100 MB, one without a length, and 10,000 events: refused in bounded memory, while others are served."""
    before = steady.door.server.worker.memory_info().rss
    dripped: list[bytes] = []
    dripping = threading.Thread(target=lambda: dripped.append(drip(steady)))
    dripping.start()
    assert announce(steady, "Content-Length: 104857600\r\n", b"") == 413
    assert announce(steady, "Transfer-Encoding: chunked\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n", times=1600) == 413
    events = [fix(number, time.time()) for number in numbers(10_000)]
    assert steady.door.server.post(steady.town.key(), gzip.compress(Request("c13", tuple(events)).body), content_encoding="gzip").status == 413
    while dripping.is_alive():
        began = time.monotonic()
        assert post_all(steady.town, steady.door.port, [Request("c13", (fix(numbers(1)[0], time.time()),))]).statuses == {202: 1}
        assert time.monotonic() - began < 1
        dripping.join(0.5)
    assert b" 408 " in dripped[0].split(b"\r\n", 1)[0]
    assert steady.door.server.worker.memory_info().rss - before < 20 * 1024 * 1024


def announce(steady: Steady, header: str, piece: bytes, *, times: int = 1) -> int:
    """The status of a request whose body is piece after piece; the door may answer and hang up in the middle of it."""
    head = f"POST /v1/events HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {steady.town.key()}\r\nContent-Type: application/json\r\n{header}\r\n"
    with socket.create_connection(("127.0.0.1", steady.door.port), 10) as connection:
        connection.sendall(head.encode())
        try:
            for _ in range(times):
                connection.sendall(piece)
        except OSError:
            pass
        return int(connection.recv(4096).split(b" ", 2)[1])


def drip(steady: Steady) -> bytes:
    """A byte every 50 ms, until the door has had enough."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {steady.town.key()}\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", steady.door.port), 20) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.05)
        for _ in range(1000):
            try:
                return connection.recv(4096)
            except TimeoutError:
                connection.sendall(b" ")
    return b""


def test_case_14_clocks_may_lie_and_repeats_are_still_repeats(steady: Steady) -> None:
    now, (ahead, old, corrected, backwards) = time.time(), numbers(4)

    def send(event: dict[str, Any], sent_at: float | None) -> Any:
        more = {} if sent_at is None else {"sent_at": stamp(sent_at)}
        answer = steady.door.server.post(steady.town.key(), json.dumps({"device": {"id": "c14"}, "events": [event], **more}).encode())
        steady.product.drain()
        assert answer.status == 202
        return [item["reason"] for item in answer.json["rejected"]]

    assert send(fix(ahead, now + 2 * DAY), None) == ["in_future"]
    assert send(fix(old, now - 3650 * DAY), None) == ["too_old"]
    # A clock that is two days ahead is moved back; the same event again, with another story about the clock or none, is a repeat.
    duplicates = outcome(steady, "duplicate")
    lying = fix(corrected, now + 2 * DAY - 60)
    assert send(lying, now + 2 * DAY) == []
    assert send(lying, now + 2 * DAY - 30) == []
    assert send(lying, now + 2 * DAY + 3000) == []
    assert send(fix(backwards, now - 10_000), now - 9_000) == []  # a clock that is 9,000 s behind now
    assert outcome(steady, "duplicate") == duplicates + 2
    stored = {event.id.int: event.at / 1e6 for event in stored_events(steady.town) if event.device == "c14"}
    assert stored.keys() == {corrected, backwards}
    assert stored[corrected] == pytest.approx(now - 60, abs=5)
    assert stored[backwards] == pytest.approx(now - 1_000, abs=5)
    assert differences(steady.town) == []
