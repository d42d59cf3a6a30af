"""The lines of several processes on one terminal: each after the name of its process, in a colour where there are colours.

Where the log is for machines (`objects`), each line is a JSON object: what processes write so is copied as it is, for it names its process, and what the
others say (the database, the server before it has settings) is made into one.
"""

import asyncio
import contextlib
import os
import re
from typing import Final, TextIO

from engagement import logs
from engagement.logbook import Logbook

_COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 93)
_CLEAR: Final = "\r\x1b[K"
_LONGEST: Final = 65536
_OBJECTS: Final = ('{"time":', '{"_aws":')  # how lines begin that are JSON already: engagement.logs, engagement.metrics.emf
_ENDS: Final = re.compile(rb"\r?\n|\r")


class Console:
    def __init__(self, out: TextIO, *, objects: bool = False, book: Logbook | None = None) -> None:
        self._out = out
        self._book = book
        self._objects = objects
        self._live = out.isatty() and not objects
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._width = 9
        self._names: list[str] = []
        self._passing = False  # the last line is a progress bar, to be written over

    def say(self, name: str, line: str, *, passing: bool = False) -> None:
        """Write a line. A passing one (it ended with a carriage return) is shown on terminals alone, until the next one comes."""
        if passing and not self._live:
            return
        if self._objects:
            text = f"{line if line.startswith(_OBJECTS) else logs.wrapped(name, line)}\n"
        else:
            text = f"{_CLEAR if self._passing else ''}{self._prefix(name)}{line}{'' if passing else chr(10)}"
        self._passing = passing
        with contextlib.suppress(OSError):  # the terminal may be gone; what runs must still be stopped well
            self._out.write(text)
            self._out.flush()
        if self._book is not None and not passing:
            self._book.keep(text.rstrip("\n")) if self._objects else self._book.stamped(name, line)

    async def copy(self, name: str, listen: int) -> None:
        """Everything that a process says into a pipe, until nobody can say more. Closes the pipe."""
        reader = asyncio.StreamReader()
        with os.fdopen(listen, "rb") as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
            try:
                await self._copy(name, reader)
            finally:
                transport.close()

    async def _copy(self, name: str, reader: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await reader.read(_LONGEST):
            rest += chunk
            while (end := _ENDS.search(rest)) and not (end[0] == b"\r" and end.end() == len(rest)):
                self._tell(name, rest[: end.start()], passing=end[0] == b"\r")
                rest = rest[end.end() :]
            if rest.endswith(b"\r") or len(rest) > _LONGEST:
                self._tell(name, rest.rstrip(b"\r"), passing=len(rest) <= _LONGEST)
                rest = b""
        self._tell(name, rest, passing=False)

    def _tell(self, name: str, line: bytes, *, passing: bool) -> None:
        if line.strip():
            self.say(name, line.decode(errors="replace"), passing=passing)

    def _prefix(self, name: str) -> str:
        if name not in self._names:
            self._names.append(name)
            self._width = max(self._width, len(name))
        label = f"{name:<{self._width}} | "
        return f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{label}\x1b[0m" if self._coloured else label
