"""How far long work is: a bar that redraws itself on a terminal, a line every few seconds in a log."""

import sys
import time
from typing import Final, TextIO

REDRAW_S: Final = 0.2
LINE_EVERY_S: Final = 5.0
WIDTH: Final = 30


class Progress:
    """`total` and `done` in any unit; `said` is what stands behind the bar."""

    def __init__(self, name: str, total: float, *, stream: TextIO | None = None) -> None:
        self.name, self.total = name, max(total, 1e-9)
        self.began = time.monotonic()
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._drawn = 0.0

    def show(self, done: float, said: str = "", *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._drawn < (REDRAW_S if self._terminal else LINE_EVERY_S):
            return
        self._drawn = now
        line = self.line(done, now - self.began, said)
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def line(self, done: float, seconds: float, said: str) -> str:
        share = min(done / self.total, 1.0)
        bar = "#" * round(share * WIDTH)
        left = f", about {clock(seconds * (1 - share) / share)} left" if 0.02 < share < 1 else ""
        return f"{self.name} [{bar:.<{WIDTH}}] {share:4.0%} {said}{left}"

    def end(self, said: str = "") -> None:
        self.show(self.total, said, at_once=True)
        if self._terminal:
            self._stream.write("\n")


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
