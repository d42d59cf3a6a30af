"""`manage.py replay`, and the patient client under it, against a door that answers as it is told."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from engagement.progress import Progress
from engagement.sender import Sender

Script = Callable[[int], tuple[int, dict[str, str], dict[str, Any]] | None]


@dataclass
class StubDoor:
    """Answers request n (from 0) as `script` says; None closes the connection without an answer."""

    script: Script = field(default=lambda _: (202, {}, {"accepted": 1, "rejected": []}))
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def door() -> Iterator[StubDoor]:
    stub = StubDoor()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            with lock:
                number = len(stub.bodies)
                stub.bodies.append(body)
                stub.headers.append(dict(self.headers))
            said = stub.script(number)
            if said is None:
                self.close_connection = True
                return
            status, headers, content = said
            text = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


def write(path: Path, count: int) -> Path:
    content = "".join(json.dumps({"device": {"id": f"d{number}"}, "events": []}) + "\n\n" for number in range(count)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["history.ndjson", "history.ndjson.gz"])
def test_each_line_is_sent_once_and_the_summary_adds_up(
    door: StubDoor, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door.script = lambda number: (202, {}, {"accepted": 3, "rejected": [{"index": 0, "id": "", "reason": "too_old", "detail": ""}]})
    monkeypatch.setenv("ATRIUM_KEY", "ak_test")
    call_command("replay", str(write(tmp_path / name, 20)), url=door.url)
    assert sorted(json.loads(body)["device"]["id"] for body in door.bodies) == sorted(f"d{number}" for number in range(20))
    assert {headers["Authorization"] for headers in door.headers} == {"Bearer ak_test"}
    out, err = capsys.readouterr()
    assert json.loads(out) == {"requests": 20, "accepted": 60, "rejected": {"too_old": 20}}
    assert "100%" in err


def test_a_large_body_travels_compressed(door: StubDoor) -> None:
    with Sender(url=door.url, key="k") as sender:
        sender.put(b'{"padding": "' + b"x" * 5000 + b'"}')
    assert door.headers[0]["Content-Encoding"] == "gzip"
    assert int(door.headers[0]["Content-Length"]) < 500


def test_a_door_that_is_busy_is_asked_again_after_the_time_it_named(door: StubDoor) -> None:
    door.script = lambda number: (503, {"Retry-After": "0"}, {"code": "busy"}) if number < 3 else (202, {}, {"accepted": 1, "rejected": []})
    with Sender(url=door.url, key="k", connections=1) as sender:
        sender.put(b"{}")
    assert (sender.tally.requests, sender.tally.waited, len(door.bodies)) == (1, 3, 4)


def test_a_connection_that_breaks_before_the_answer_is_no_loss(door: StubDoor) -> None:
    door.script = lambda number: None if number % 3 == 0 else (202, {}, {"accepted": 1, "rejected": []})
    with Sender(url=door.url, key="k", connections=2) as sender:
        for number in range(9):
            sender.put(str(number).encode())
    assert sender.tally.requests == 9
    assert set(door.bodies) == {str(number).encode() for number in range(9)}
    assert not sender.tally.failed


def test_a_body_that_the_door_cannot_read_is_named_by_its_line_and_the_others_go_on(
    door: StubDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door.script = lambda number: (400, {}, {"detail": "This is no JSON."}) if number == 0 else (202, {}, {"accepted": 1, "rejected": []})
    monkeypatch.setenv("ATRIUM_KEY", "k")
    with pytest.raises(CommandError, match="1 requests could not be sent"):
        call_command("replay", str(write(tmp_path / "f.ndjson", 4)), url=door.url, connections=1)
    out, err = capsys.readouterr()
    assert json.loads(out)["accepted"] == 3
    assert "Line 1 was not sent: 400 This is no JSON." in err


def test_a_refused_key_ends_the_replay_at_once(door: StubDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door.script = lambda _: (401, {}, {"detail": "No such key."})
    monkeypatch.setenv("ATRIUM_KEY", "k")
    with pytest.raises(CommandError):
        call_command("replay", str(write(tmp_path / "f.ndjson", 500)), url=door.url, connections=1)
    assert len(door.bodies) < 10


def test_a_door_that_is_not_there_is_given_up_after_the_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ATRIUM_KEY", "k")
    with pytest.raises(CommandError, match="could not be sent"):
        call_command("replay", str(write(tmp_path / "f.ndjson", 1)), url="http://127.0.0.1:9", patience=0.2)
    assert "no answer (ConnectionRefusedError)" in capsys.readouterr().err


def test_without_a_key_or_a_file_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATRIUM_KEY", raising=False)
    with pytest.raises(CommandError, match="ATRIUM_KEY"):
        call_command("replay", str(write(tmp_path / "f.ndjson", 1)))
    with pytest.raises(CommandError, match="There is no file"):
        call_command("replay", str(tmp_path / "missing"))


def test_a_key_on_the_command_line_works_and_is_warned_of(door: StubDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("replay", str(write(tmp_path / "f.ndjson", 1)), url=door.url, key="ak_seen")
    assert "can be seen by others" in capsys.readouterr().err
    assert door.headers[0]["Authorization"] == "Bearer ak_seen"


def test_a_bar_says_how_far_and_how_long_still() -> None:
    assert Progress("history", 200).line(50, 10.0, "1,000 events") == f"history [{'#' * 8}{'.' * 22}]  25% 1,000 events, about 30 s left"


def test_an_answer_that_is_not_the_doors_is_a_failure_and_no_hang(door: StubDoor) -> None:
    door.script = lambda number: (202, {}, {"welcome": "to something else"}) if number == 0 else (202, {}, {"accepted": 1, "rejected": []})
    with Sender(url=door.url, key="k", connections=1) as sender:
        sender.put(b"{}", "first")
        sender.put(b"{}", "second")
    assert sender.tally.failed == [("first", "202 (an answer that is not the door's)")]
    assert sender.tally.accepted == 1
