"""The load: kept-alive connections that post as fast as the server answers, or at a rate. A process of its own; prints one JSON object.

It is on the same cores as what it measures, so it is a bare asyncio protocol: no client library.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import uvloop

from tests.bench.world import Walks


class Poster(asyncio.Protocol):
    """One connection: one request under way at a time."""

    def __init__(self, take: Callable[[], bytes | None], done: Callable[[int, float], None]) -> None:
        self._take, self._done = take, done
        self._buffer = b""
        self._sent = 0.0
        self.idle = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class
        self.post()

    def post(self) -> None:
        body = self._take()
        self.idle = body is None
        if body is not None:
            self._sent = time.perf_counter()
            self._transport.write(body)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if len(rest) < size:
            return
        self._buffer = b""
        self._done(int(head[9:12]), time.perf_counter() - self._sent)
        self.post()


class Load:
    """Posts for so many seconds; holds back while the file `brake` exists (the caller keeps the backlog bounded by it)."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.bodies: Iterator[bytes] = iter(Walks(devices=options.devices, per_request=options.per_request, seed=options.seed))
        self.head = f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {options.key}\r\nContent-Type: application/json\r\nContent-Length: "
        self.brake = Path(options.brake) if options.brake else None
        self.held = False
        self.seconds: list[float] = []
        self.refused = 0
        self.posters: list[Poster] = []

    def take(self) -> bytes | None:
        now = time.perf_counter()
        if now >= self.until or self.held:
            return None
        if self.options.rate and len(self.seconds) + self.under_way >= (now - self.began) * self.options.rate / self.options.per_request:
            return None
        self.under_way += 1
        body = next(self.bodies)
        return f"{self.head}{len(body)}\r\n\r\n".encode() + body

    def done(self, status: int, took: float) -> None:
        self.under_way -= 1
        if status == 202:
            self.seconds.append(took)
        else:
            self.refused += 1

    async def run(self) -> dict[str, Any]:
        self.began = time.perf_counter()
        self.until = self.began + self.options.seconds
        self.under_way = 0
        loop = asyncio.get_running_loop()
        for _ in range(self.options.connections):
            _, poster = await loop.create_connection(lambda: Poster(self.take, self.done), "127.0.0.1", self.options.port)
            self.posters.append(poster)
        while time.perf_counter() < self.until or self.under_way:
            await asyncio.sleep(0.005)
            self.held = self.brake is not None and self.brake.exists()
            for poster in self.posters:
                if poster.idle:
                    poster.post()
        took = time.perf_counter() - self.began
        ordered = sorted(self.seconds) or [0.0]
        return {
            "requests": len(self.seconds),
            "refused": self.refused,
            "seconds": took,
            "requests_s": len(self.seconds) / took,
            "events_s": len(self.seconds) * self.options.per_request / took,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--per-request", type=int, default=1)
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=0, help="events a second; 0: as many as are answered")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brake", default="")
    print(json.dumps(uvloop.run(Load(parser.parse_args()).run())))


if __name__ == "__main__":
    main()
