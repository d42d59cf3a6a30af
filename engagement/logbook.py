"""What the supervisor's console shows, kept for the days after: one file a day under ATRIUM_VAR/log, without colours and without secrets.

A full or read-only disk costs the file and nothing else: the terminal is written first. Old files go by operations.upkeep.
"""

import contextlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engagement import logs

_LOGIN: Final = re.compile(r"(?i)(password\W{1,3})\S+")  # the demonstration shows its login, on the terminal
LARGEST: Final = 32 * 1024**2
MOST: Final = 8  # parts of a day beside the one that is written: a storm of lines does not fill the disk


def utc_now() -> datetime:
    return datetime.now(UTC)


class Logbook:
    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._folder, self._clock = folder, clock

    def keep(self, line: str) -> None:
        """A whole line, as it is to be read. The file is opened for each, so one that is moved or deleted meanwhile is begun again."""
        path = self._folder / f"{self._clock().date().isoformat()}.log"
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8", errors="replace") as file:
                file.write(_LOGIN.sub(r"\1…", logs.scrubbed(line)) + "\n")
                full = file.tell() > LARGEST
            if full:
                self._begin_another(path)

    def stamped(self, name: str, line: str) -> None:
        """A line without a time of its own."""
        self.keep(f"{self._clock():%H:%M:%S} {name} | {line}")

    def _begin_another(self, path: Path) -> None:
        """The file becomes part 1, part 1 becomes part 2, and the last one goes."""
        for number in range(MOST, 0, -1):
            younger = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            if younger.exists():
                younger.replace(path.with_name(f"{path.name}.{number}"))
