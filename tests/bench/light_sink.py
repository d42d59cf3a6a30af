"""An SMTP server that does as little as one can: it takes every mail and counts it. `python -m tests.bench.light_sink PORT`"""

import asyncio
import sys
from typing import Any

import uvloop


class Taker(asyncio.Protocol):
    """One connection. Commands are answered, mails are passed over up to their final dot."""

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self.transport, self.read, self.in_mail = transport, b"", False
        transport.write(b"220 here\r\n")

    def data_received(self, data: bytes) -> None:
        self.read += data
        said = []
        while True:
            head, mark, rest = self.read.partition(b"\r\n.\r\n" if self.in_mail else b"\r\n")
            if not mark:
                break
            self.read = rest
            if self.in_mail:
                self.in_mail = False
                said.append(b"250 Ok 0102018f2a3b4c5d-000000\r\n")
                continue
            verb = head[:4].upper()
            self.in_mail = verb == b"DATA"
            said.append(
                {b"DATA": b"354 go on\r\n", b"EHLO": b"250-here\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 Ok\r\n")
            )
        self.transport.write(b"".join(said))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Taker, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
