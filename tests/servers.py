"""Real servers for tests: the device door, alone or beside Django, as a process with an address, a log and an end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import psutil

DOOR: Final = "engagement.door.app:application"
WHOLE: Final = "engagement.asgi:application"
START_WITHIN_S: Final = 30
STOP_WITHIN_S: Final = 30
ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def worker(self) -> psutil.Process:
        """The process that serves; the one that was started only watches it."""
        return max(psutil.Process(self.process.pid).children(), key=lambda child: child.memory_info().rss)

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, timeout: float = 15) -> Answer:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def post(self, token: str, body: bytes | dict[str, Any], *, timeout: float = 15, **headers: str) -> Answer:
        """To the device door. Further headers by keyword: content_encoding="gzip"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        known = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return self.request("POST", "/v1/events", content, {**known, **named}, timeout=timeout)


def until(true: Callable[[], Any], *, within_s: float = 10, every_s: float = 0.02) -> Any:
    """The first true value, or a failure."""
    deadline = time.monotonic() + within_s
    while True:
        seen = true()
        if seen:
            return seen
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(every_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(server: Server, path: str = "/healthz/live") -> bool:
    try:
        return server.request("GET", path, timeout=2).status == 200
    except (OSError, HTTPException):
        return False


@contextmanager
def running_door(environment: dict[str, str], log: Path, *, application: str = DOOR, ready: bool = True, **more: str) -> Iterator[Server]:
    """The door on a free port, with the settings of `environment` and `more`. `ready`: wait for its database too.

    `application`: DOOR is the door alone, WHOLE has Django beside it."""
    server = _start({**environment, **more}, log, application)
    try:
        path = "/healthz/ready" if ready and application == DOOR else "/healthz/live"
        until(lambda: server.process.poll() is not None or answers(server, path), within_s=START_WITHIN_S)
        assert server.process.poll() is None, log.read_text()
        yield server
    finally:
        end(server)


def _start(environment: dict[str, str], log: Path, application: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), application]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT)
    return Server(process, port, log)


def end(server: Server) -> None:
    """The end as an operator asks for it; with force where that does not help."""
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()] if server.process.poll() is None else []
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        for process in family:
            process.kill()
        server.process.wait()


def kill(pid: int) -> None:
    """As a power cut would end it."""
    os.kill(pid, signal.SIGKILL)
