"""One request at a time, over HTTP: who may, what is taken, what each answer says."""

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from engagement import inbox
from engagement.door.answers import PROBLEMS
from engagement.models import Organisation
from tests.engagement.door.bodies import devices, request, rows, sighting
from tests.servers import Server, until

Keys = dict[str, str]
MEGABYTE: Final = 1024 * 1024


def packed(body: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(body).encode())


def test_accepted_events_are_in_the_inbox_when_the_answer_comes(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    body = request(sighting(), sighting(rssi=99), sighting(), shopper={"id": "crm-42"})
    answer = door.post(acme_keys["publishable"], body)
    assert (answer.status, answer.headers["content-type"]) == (202, "application/json")
    assert answer.json["accepted"] == 2
    (refusal,) = answer.json["rejected"]
    assert (refusal["index"], refusal["id"], refusal["reason"]) == (1, body["events"][1]["id"], "out_of_range")
    assert refusal["detail"].startswith("rssi")
    (row,) = rows(acme)
    assert (row.events, row.imported, row.shard) == (2, False, inbox.shard_of(acme.pk, "s", "crm-42"))
    assert inbox.unpack(bytes(row.payload)).rejected == [(1, refusal["id"], "out_of_range")]


def test_an_anonymous_request_goes_to_the_shard_of_its_device(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    assert door.post(acme_keys["publishable"], request(device="install-1")).status == 202
    assert [row.shard for row in rows(acme)] == [inbox.shard_of(acme.pk, "d", "install-1")]


def test_a_request_with_nothing_acceptable_still_leaves_its_refusals_to_be_counted(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    answer = door.post(acme_keys["publishable"], request(sighting(rssi=99)))
    assert (answer.status, answer.json["accepted"]) == (202, 0)
    (row,) = rows(acme)
    assert (row.events, len(inbox.unpack(bytes(row.payload)).rejected)) == (0, 1)


def test_an_import_key_brings_history_and_says_so(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    old = request(sighting(at="2019-03-01T12:00:00Z"))
    assert door.post(acme_keys["publishable"], old).json["rejected"][0]["reason"] == "too_old"
    assert door.post(acme_keys["import"], old).json == {"accepted": 1, "rejected": []}
    assert [(row.events, row.imported) for row in rows(acme)] == [(0, False), (1, True)]


def test_the_same_request_again_is_accepted_again_and_equal(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    body = request(sighting(), sighting())
    assert [door.post(acme_keys["publishable"], body).json for _ in range(3)] == [{"accepted": 2, "rejected": []}] * 3
    assert len({inbox.unpack(bytes(row.payload)).records for row in rows(acme)}) == 1


def test_a_packed_body_is_read(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    assert door.post(acme_keys["publishable"], packed(request(device="packed")), content_encoding="gzip").status == 202
    assert devices(acme) == ["packed"]


def test_a_chunked_body_is_read(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    text = json.dumps(request(device="chunked")).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (text[:50], text[50:])) + b"0\r\n\r\n"
    assert raw(door, acme_keys["publishable"], "Transfer-Encoding: chunked", chunks).startswith(b"HTTP/1.1 202 ")
    assert devices(acme) == ["chunked"]


@pytest.mark.parametrize(("authorization", "code"), [
    (None, "no_key"), ("Basic abc", "no_key"), ("Bearer", "no_key"), ("Bearer  ", "no_key"), ("Bearer atr_pub_junk", "unknown_key"),
    ("Bearer " + "x" * 5000, "unknown_key"), ("Bearer \xff\xfe", "unknown_key"),
])  # fmt: skip
def test_without_a_good_key_nothing_is_read(shared_door: Server, authorization: str | None, code: str) -> None:
    headers = {"content-type": "application/json", **({"authorization": authorization} if authorization is not None else {})}
    refused(shared_door.request("POST", "/v1/events", b"{}", headers), 401, code)


def test_a_key_is_whole_and_of_its_own_organisation_and_kind(door: Server, acme: Organisation, rival: Organisation, acme_keys: Keys, rival_keys: Keys) -> None:
    token = acme_keys["publishable"]
    refused(door.post(token[:-1], request()), 401, "unknown_key")
    refused(door.post(token + "a", request()), 401, "unknown_key")
    refused(door.post(token.swapcase(), request()), 401, "unknown_key")
    refused(door.post(acme_keys["secret"], request()), 403, "wrong_kind_of_key")
    assert door.post(rival_keys["publishable"], request()).status == 202
    assert (len(rows(acme)), len(rows(rival))) == (0, 1)


def test_a_key_in_the_address_is_no_key(door: Server, acme_keys: Keys) -> None:
    for where in ("/v1/events?key={}", "/v1/events?authorization=Bearer%20{}", "/v1/events?access_token={}"):
        answer = door.request("POST", where.format(acme_keys["publishable"]), b"{}", {"content-type": "application/json"})
        refused(answer, 401, "no_key")


def test_two_keys_in_one_request_are_none(door: Server, acme_keys: Keys) -> None:
    token = acme_keys["publishable"]
    assert raw(door, token, f"Authorization: Bearer {token}\r\nContent-Length: 2", b"{}").startswith(b"HTTP/1.1 401 ")


def test_another_content_type_is_refused(door: Server, acme_keys: Keys) -> None:
    for content_type in ("text/plain", "", "application/json; charset=utf-16", "application/jsonp", "multipart/form-data; boundary=x"):
        refused(door.post(acme_keys["publishable"], request(), content_type=content_type), 415, "unsupported_media_type")


def test_json_in_utf8_is_taken_however_it_is_said(door: Server, acme_keys: Keys) -> None:
    for content_type in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
        assert door.post(acme_keys["publishable"], request(), content_type=content_type).status == 202, content_type


def test_another_encoding_is_refused(door: Server, acme_keys: Keys) -> None:
    for encoding in ("deflate", "br", "zstd", "gzip, gzip", "x-gzip", "gzip;q=1"):
        refused(door.post(acme_keys["publishable"], packed(request()), content_encoding=encoding), 415, "unsupported_encoding")


def _bombs() -> dict[str, tuple[bytes, int, str]]:
    bomb = gzip.compress(bytes(200 * MEGABYTE), 9)
    good = packed(request())
    return {
        "200 MB of zeros": (bomb, 413, "body_too_large"),
        "a bomb in a bomb": (gzip.compress(bomb), 400, "not_json"),
        "a byte over the limit": (gzip.compress(b" " * (4 * MEGABYTE + 1)), 413, "body_too_large"),
        "the limit": (gzip.compress(b" " * (4 * MEGABYTE)), 400, "not_json"),
        "a million events": (gzip.compress(b'{"device":{"id":"a"},"events":[' + b"[]," * MEGABYTE + b"[]]}"), 413, "too_many_events"),
        "many members": (b"".join([good] * 50), 400, "bad_gzip"),
        "junk behind": (good + b"junk", 400, "bad_gzip"),
        "truncated": (good[:-10], 400, "bad_gzip"),
        "nothing": (b"", 400, "bad_gzip"),
        "no gzip": (b"{}", 400, "bad_gzip"),
        "zlib": (zlib.compress(b"{}"), 400, "bad_gzip"),
        "a wrong checksum": (good[:-8] + bytes(8), 400, "bad_gzip"),
    }


BOMBS: Final = _bombs()


def test_bombs_are_refused_in_little_memory(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    token = acme_keys["publishable"]
    door.post(token, gzip.compress(b" " * (4 * MEGABYTE)), content_encoding="gzip")  # what the limit itself needs is not the bombs' fault
    with watched(door) as seen:
        for _ in range(5):
            for name, (body, status, code) in BOMBS.items():
                answer = door.post(token, body, content_encoding="gzip")
                assert (answer.status, answer.json["code"]) == (status, code), name
    assert max(seen) - seen[0] < 20 * MEGABYTE
    assert rows(acme) == []


def test_a_bomb_without_a_key_is_not_unpacked(shared_door: Server) -> None:
    refused(shared_door.post("atr_pub_junk", BOMBS["200 MB of zeros"][0], content_encoding="gzip"), 401, "unknown_key")


def test_a_body_over_the_limit_is_refused_before_it_is_read(door: Server, acme_keys: Keys) -> None:
    assert raw(door, acme_keys["publishable"], "Content-Length: 262145", b"").startswith(b"HTTP/1.1 413 ")
    assert raw(door, acme_keys["publishable"], "Content-Length: 104857600", b"x" * 1000).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_refused_in_little_memory_while_others_are_served(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with watched(door) as seen, opened(door, acme_keys["publishable"], "Transfer-Encoding: chunked") as connection:
        try:
            for sent in range(1600):  # 100 MB
                connection.sendall(chunk)
                if sent == 1:
                    assert door.post(acme_keys["publishable"], request()).status == 202
        except OSError:
            pass  # the door has hung up, as it may
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert max(seen) - seen[0] < 20 * MEGABYTE
    assert len(rows(acme)) == 1


def test_a_slow_body_is_given_up_while_others_are_served(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    with opened(door, acme_keys["publishable"], "Content-Length: 100") as connection:
        connection.sendall(b"{")
        assert door.post(acme_keys["publishable"], request()).status == 202
        connection.settimeout(15)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert len(rows(acme)) == 1


def test_a_client_that_leaves_harms_nobody(door: Server, acme: Organisation, acme_keys: Keys) -> None:
    text = json.dumps(request(device="gone")).encode()
    for length in (len(text), len(text) + 10):  # having sent everything, and in the middle
        with opened(door, acme_keys["publishable"], f"Content-Length: {length}") as connection:
            connection.sendall(text)
    assert door.post(acme_keys["publishable"], request(device="stays")).status == 202
    until(lambda: set(devices(acme)) == {"gone", "stays"})  # who left early may have been heard; half a body never is


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_post_is_possible(shared_door: Server, method: str) -> None:
    answer = shared_door.request(method, "/v1/events")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/v1/", "/v1/event", "/v1/events/", "/v1/Events", "/v1/events/../keys", "/v1//events", "/v1/events%00"])
def test_there_is_nothing_else_behind_the_door(shared_door: Server, path: str) -> None:
    refused(shared_door.request("POST", path, b"{}"), 404, "not_found")


def test_a_page_of_another_origin_may_post_and_see_the_answer(door: Server, acme_keys: Keys) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    answer = door.request("OPTIONS", "/v1/events", headers=asked)
    assert answer.status == 204
    assert {answer.headers["access-control-allow-origin"], answer.headers["access-control-allow-methods"]} == {"*", "POST"}
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    for token in (acme_keys["publishable"], "atr_pub_junk"):
        assert door.post(token, request(), origin="https://shop.example").headers["access-control-allow-origin"] == "*"


def test_the_process_says_that_it_lives_to_any_host(shared_door: Server) -> None:
    assert shared_door.request("GET", "/healthz/live", headers={"host": "10.0.0.7:1234"}).status == 200
    assert shared_door.request("GET", "/healthz/ready").status == 200


def test_an_unreadable_body_is_said_to_be_so(door: Server, acme_keys: Keys) -> None:
    deep = b'{"device":{"id":"a"},"events":' + b"[" * 10_000
    for body in (b"", b"{", b"[]", b'{"device":{"id":"a"},"events":[]}', b"\xff\xfe", b"[" * 100_000, deep):
        answer = door.post(acme_keys["publishable"], body)
        refused(answer, 400, answer.json["code"])


def test_every_problem_has_a_status_that_the_contract_knows() -> None:
    assert {status for status, _ in PROBLEMS.values()} == {400, 401, 403, 404, 405, 408, 413, 415, 429, 503}


def test_neither_keys_nor_bodies_are_in_the_log(door: Server, acme_keys: Keys) -> None:
    for token in (*acme_keys.values(), "atr_pub_" + "junk" * 10):
        door.post(token, request(device="somebodys-phone"))
        door.request("POST", f"/v1/events?key={token}", b"{}")
    said = door.log.read_text()
    for secret in (*acme_keys.values(), "junkjunk", "somebodys-phone", "28.05"):
        assert secret not in said


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]


@contextmanager
def watched(door: Server) -> Iterator[list[int]]:
    """The memory of the process that serves, seen every few milliseconds; the first value is from before."""
    worker = door.worker
    seen = [worker.memory_info().rss]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            seen.append(worker.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def opened(door: Server, token: str, header: str) -> socket.socket:
    """A connection on which the headers of a request are sent, and nothing of its body."""
    connection = socket.create_connection(("127.0.0.1", door.port), timeout=15)
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{header}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def raw(door: Server, token: str, header: str, body: bytes) -> bytes:
    with opened(door, token, header) as connection:
        connection.sendall(body)
        return connection.recv(1000)
