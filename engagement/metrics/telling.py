"""This process tells what it counts: to the shelf every few seconds, or to CloudWatch once a minute. One thread, which dies with the process."""

import atexit
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from engagement import logs
from engagement.metrics import emf, shelf
from engagement.metrics.measures import EMF, MODE, OFF, Gauge, inherit

SHELF_EVERY_S: Final = 5.0
EMF_EVERY_S: Final = 60.0
Gauges = Callable[[], Iterable[Gauge]]
logger = logging.getLogger("atrium.metrics")


class Teller:
    """What is told by one process. `gauges`: what it reads and tells beside what it counts; of one process of an installation."""

    def __init__(self, process: str, *, folder: Path, gauges: Gauges = tuple) -> None:
        self._process, self._gauges = process, gauges
        self._differences = emf.Differences()
        self._place: shelf.Place | None = None
        if MODE != EMF:
            self._place = shelf.Place(folder, process)
            inherit(self._place.left_behind())
            shelf.tidy(folder)
        self._stop = threading.Event()

    def tell(self) -> None:
        if self._place is not None:
            self._place.write()
            return
        points = [*self._differences.take(), *emf.of_gauges(self._read_gauges())]
        written = "".join(f"{line}\n" for line in emf.lines(points, process=self._process, now_ms=time.time_ns() // 1_000_000))
        if written:
            sys.stdout.write(written)  # one call: lines of other threads do not come between
            sys.stdout.flush()

    def _read_gauges(self) -> list[Gauge]:
        try:
            return list(self._gauges())
        except Exception as error:  # a database that is away must not keep the counts from being told
            logger.warning("What stands in the database could not be read: %s", type(error).__name__)
            return []

    def run(self) -> None:
        every = EMF_EVERY_S if self._place is None else SHELF_EVERY_S
        while not self._stop.wait(every):
            self.tell_or_say()
        self.tell_or_say()

    def tell_or_say(self) -> None:
        try:
            self.tell()
        except (OSError, ValueError) as error:  # a full disk, a closed output
            logger.warning("What was counted could not be told: %s", type(error).__name__)

    def stop(self) -> None:
        self._stop.set()


_teller: Teller | None = None


def begin(process: str, *, folder: Path, gauges: Gauges = tuple) -> None:
    """From here on this process has this name in logs, and tells what it counts. Called again, it changes nothing."""
    global _teller
    logs.speak_as(process)
    if _teller is not None or MODE == OFF:
        return
    try:
        _teller = Teller(process, folder=folder, gauges=gauges)
    except (OSError, shelf.Full) as error:
        logger.warning("This process cannot tell what it counts: %s", type(error).__name__)
        return
    thread = threading.Thread(target=_teller.run, name="metrics", daemon=True)
    thread.start()
    atexit.register(_end, _teller, thread)


def _end(teller: Teller, thread: threading.Thread) -> None:
    teller.stop()
    thread.join(2)


def tell_now() -> None:
    """What this process counted up to now, for whoever is about to read the shelf."""
    if _teller is not None:
        _teller.tell_or_say()
