"""An SMTP server in a process of its own that takes mails, or fails as servers do; it writes down every mail whose final dot arrived.

    python -m tests.faults.sink PORT JOURNAL CONTROL

The file CONTROL says what it does, and is read again for each mail, so it can be changed at any time: words of `accept drop stall 454 4xx 5xx close`,
each with `*<weight>` or without; one of them is drawn for each mail.

    accept   takes the mail, and says so
    drop     takes it, and closes without an answer
    stall    takes it, and says nothing for as long as anybody waits
    454      too fast, said to MAIL
    4xx 5xx  refused for now, for ever, said after the data
    close    closes after DATA was asked for and the content came, without keeping it
"""

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers import ROOT, free_port, until

LARGEST: Final = 10_000_000
_REFUSALS: Final = {"4xx": "451 4.3.0 Try again later", "5xx": "550 5.1.1 No such user"}


@dataclass
class Taken:
    """A line of the journal. `message`: what X-Atrium-Message says."""

    at: float
    message: int
    recipient: str
    mode: str


class Sink:
    """What a test holds: started with `start()`, its behaviour set with `behave`."""

    def __init__(self, folder: Path, behaviour: str = "accept") -> None:
        self.port, self.journal, self._control = free_port(), folder / "journal", folder / "control"
        folder.mkdir(parents=True, exist_ok=True)
        self.behave(behaviour)
        self._log = folder / "sink.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> "Sink":
        command = [sys.executable, "-m", "tests.faults.sink", str(self.port), str(self.journal), str(self._control)]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until(lambda: self._listens() or (self._process and self._process.poll() is not None), within_s=30)
        assert self._process.poll() is None, self._log.read_text()
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def behave(self, behaviour: str) -> None:
        whole = self._control.with_suffix(".new")
        whole.write_text(behaviour)
        whole.replace(self._control)

    def taken(self) -> list[Taken]:
        """Every mail that arrived whole and was kept, however it was answered."""
        return [Taken(**json.loads(line)) for line in self.journal.read_text().splitlines()]

    def number(self) -> int:
        """How many those are, without reading what they say."""
        return self.journal.read_bytes().count(b"\n")


class Handler:
    def __init__(self, journal: Path, control: Path) -> None:
        self._journal, self._control = journal.open("a", buffering=1), control
        self._chance = random.Random(7)

    def _mode(self) -> str:
        words = [word.partition("*") for word in self._control.read_text().split()]
        return self._chance.choices([name for name, _, _ in words], [float(weight or 1) for _, _, weight in words])[0]

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        envelope.mode = self._mode()
        if envelope.mode == "454":
            return "454 4.7.0 Throttling failure: Maximum sending rate exceeded."
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        mode: Any = envelope.mode
        if mode in _REFUSALS:
            return _REFUSALS[mode]
        if mode != "close":
            self._keep(envelope, mode)
        if mode == "stall":
            await asyncio.sleep(3600)
        if mode in ("drop", "close"):
            transport: Any = server.transport
            transport.abort()
        return "250 OK queued"

    def _keep(self, envelope: Envelope, mode: str) -> None:
        content: Any = envelope.content
        head = content.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        [number] = [int(line.partition(b":")[2]) for line in head if line.startswith(b"x-atrium-message:")] or [0]
        line = {"at": time.time(), "message": number, "recipient": envelope.rcpt_tos[0], "mode": mode}
        self._journal.write(json.dumps(line) + "\n")


async def serve(port: int, journal: Path, control: Path) -> None:
    controller = UnthreadedController(Handler(journal, control), hostname="127.0.0.1", port=port, data_size_limit=LARGEST, loop=asyncio.get_running_loop())
    server = await controller._create_server()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
