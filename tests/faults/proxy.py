"""A proxy between a process and PostgreSQL that can be slow, silent or rude, and can drop the answer to a COMMIT."""

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

_NO_ENCRYPTION: Final = {80877103, 80877104}  # SSLRequest and GSSENCRequest, answered here with N
_COMPLETE: Final = b"C"


@dataclass
class Proxy:
    """On a port of its own, in a thread of its own. `mode` is one of pass, delay and black_hole, and holds for what comes."""

    target: int
    mode: str = "pass"
    delay_s: float = 0.2
    dropped: int = 0  # answers that never arrived
    port: int = 0
    _drop: tuple[bytes, ...] = ()
    _skip: int = 0
    _drop_in_silence: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __enter__(self) -> "Proxy":
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.reset()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop_answer_to(self, *commands: str, skip: int = 0, silently: bool = False) -> None:
        """The next completion of such a command (COMMIT, COPY) does not arrive: the connection breaks then, or `silently` hangs.

        `skip`: so many of them arrive before."""
        self._skip, self._drop_in_silence = skip, silently
        self._drop = tuple(command.encode() for command in commands)

    def reset(self) -> None:
        """Break every connection there is."""
        self._do(self._abort())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await _startup(reader, writer)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
            return
        self._writers += [writer, far_writer]
        far_writer.write(first)
        both = [
            asyncio.ensure_future(self._pump(reader, far_writer, lambda data: data)),
            asyncio.ensure_future(self._pump(far_reader, writer, _Answers(self).filter)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        for one in (writer, far_writer):
            one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes | None]) -> None:
        try:
            while data := await reader.read(65536):
                if self.mode == "delay":
                    await asyncio.sleep(self.delay_s)
                while self.mode == "black_hole":
                    await asyncio.sleep(0.02)
                changed = change(data)
                if changed is None:
                    if self._drop_in_silence:
                        await asyncio.Event().wait()
                    return
                writer.write(changed)
                await writer.drain()
        except OSError:
            return

    def drops(self, message: bytes) -> bool:
        """Whether this message is the one to drop; only the first is."""
        if not self._drop or message[:1] != _COMPLETE or not message[5:].startswith(self._drop):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._drop = ()
        self.dropped += 1
        return True


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The client's first real message, once encryption has been declined."""
    while True:
        length = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack(">i", length)[0] - 4)
        if struct.unpack(">i", body[:4])[0] not in _NO_ENCRYPTION:
            return length + body
        writer.write(b"N")
        await writer.drain()


class _Answers:
    """The server's side of one connection, cut into messages: a type, a length, a body."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._kept = b""

    def filter(self, data: bytes) -> bytes | None:
        """What to pass on of this; None where the answer to be dropped is reached."""
        self._kept += data
        passed = 0
        while len(self._kept) - passed >= 5:
            size = 1 + struct.unpack_from(">i", self._kept, passed + 1)[0]
            if len(self._kept) - passed < size:
                break
            if self._proxy.drops(self._kept[passed : passed + size]):
                return None
            passed += size
        whole, self._kept = self._kept[:passed], self._kept[passed:]
        return whole
