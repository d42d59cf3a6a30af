"""The process: choose shards, work, rest a little, and now and then sweep, settle and re-cut. One Worker a process."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from psycopg import errors

from analytics.stream import apply, claim, counters, erasing, events, links, presence, timing, work
from analytics.stream.atlas import Atlas
from analytics.stream.identities import TryAgain
from engagement import health, metrics
from engagement.database import connect
from engagement.faults import point

Connection = psycopg.Connection[tuple[Any, ...]]
logger = logging.getLogger("atrium.stream")

# The guard's session rests in its transaction while the other one works, for as long as a statement may last, and longer.
GUARD: Final = "-c idle_in_transaction_session_timeout=120s"
ALONE: Final = 100  # rows tried one by one before a troubled shard is tried as a whole again
SHORTEST_REST: Final = 0.005
LONGEST_REST: Final = 0.2
PUT_OFF_S: Final = 60.0  # what failed beside the events is tried again after so long
# Failures that say nothing of the rows: somebody else was first, or the schema is being changed.
PASSING: Final = (TryAgain, events.Collision, errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
# The server refused the work itself. They look like a lost connection, and would be excused and tried again for ever.
TOO_MUCH: Final = (errors.QueryCanceled, errors.ProgramLimitExceeded)


@dataclass(slots=True)
class Clock:
    """Something to be done every so many seconds."""

    every: float
    act: Callable[[], object]
    due: float = 0.0

    def tick(self, now: float) -> None:
        if now >= self.due:
            self.due = now + self.every
            self.act()


@dataclass(slots=True)
class Worker:
    """One stream process, `number` of `of`: it begins with its own part of the shards, and helps the others where they are free."""

    number: int = 0
    of: int = 1
    connection: Connection = field(default_factory=lambda: open_session())
    atlas: Atlas = field(default_factory=Atlas)
    clocks: list[Clock] = field(init=False)
    begun: list[int] = field(default_factory=list)  # shards whose attempt is counted and not yet decided
    interrupted: int | None = None  # the shard whose row was being tried alone when the connection was lost

    def __post_init__(self) -> None:
        self.clocks = [
            Clock(5.0, lambda: health.beat(self.connection, f"stream-{self.number}")),
            Clock(1.0, lambda: links.sweep(self.connection, self.own())),
            Clock(0.2, self.housekeep),
            Clock(30.0, lambda: counters.prune(self.connection)),
            Clock(30.0, lambda: self.atlas.heard.write(self.connection)),
        ]

    def own(self) -> list[int]:
        return [shard for shard in claim.all_shards() if shard % self.of == self.number]

    def housekeep(self) -> None:
        links.settle(self.connection, self.atlas)
        erasing.erase(self.connection)
        links.ask_for_recuts(self.connection)
        links.recut(self.connection, self.atlas)

    def step(self) -> int:
        """One round: the sound shards of this worker together, then one troubled shard alone. Returns the rows taken."""
        attempts = claim.ready(self.connection)
        sound = [shard for shard, tried in attempts.items() if not tried]
        mine = [shard for shard in sound if shard % self.of == self.number] or sound
        taken = self.attempt(mine) if mine else 0
        troubled = sorted((tried, shard) for shard, tried in attempts.items() if tried)
        if troubled:
            tried, shard = troubled[int(time.monotonic() * 10) % len(troubled)]
            taken += self.attempt([shard]) if tried < claim.TRIES else self.attempt_alone(shard)
        return taken

    def attempt(self, shards: list[int]) -> int:
        free = self.begun = claim.begin(self.connection, shards)
        point("stream.attempts_committed")
        taken = 0
        if not free:
            return taken
        try:
            locked, taken = work.attempt(self.connection, self.atlas, free)
            self.forgive([shard for shard in free if shard not in locked])  # another worker was quicker
        except PASSING as error:
            timing.RETRIED.inc()
            logger.info("Trying again: %s", type(error).__name__)
            self.forgive(free)
        except psycopg.OperationalError:
            raise  # the connection: `run` makes a new one
        except Exception as error:
            timing.FAILED.inc()
            logger.warning("Shards %s failed: %s", free, describe(error))
        self.begun = []
        return taken

    def attempt_alone(self, shard: int) -> int:
        """The shard's oldest rows, each by itself. One that fails, again and again, is set aside, and its neighbours go on."""
        with connect(application_name="atrium-stream-guard", options=GUARD) as session, claim.guard(session, shard) as alone:
            taken = 0
            while alone and taken < ALONE and (row := claim.oldest(self.connection, shard)) is not None:
                if not self.try_row(shard, row):
                    return taken
                taken += 1
            if alone:
                claim.finish(self.connection, [shard])  # none of them was the cause: all together again
        return taken

    def try_row(self, shard: int, row: int) -> bool:
        """Whether the row is out of the way: processed, or set aside."""
        tried = claim.suspect(self.connection, shard, row)
        if tried > claim.TRIES:  # it ended the process each time, before anything could be caught
            self.put_aside(shard, row, "The process died while working on this row.")
            return True
        try:
            locked, _ = work.attempt(self.connection, self.atlas, [shard], row=row)
        except PASSING:
            locked = []
        except psycopg.OperationalError:
            self.interrupted = shard
            raise
        except Exception as error:
            timing.FAILED.inc()
            logger.warning("Row %s of shard %s failed alone, for the %s. time: %s", row, shard, tried, describe(error))
            if tried >= claim.TRIES:
                self.put_aside(shard, row, describe(error))
            return tried >= claim.TRIES
        if not locked:
            claim.unsuspect(self.connection, shard)
        return bool(locked)

    def put_aside(self, shard: int, row: int, error: str) -> None:
        claim.set_aside(self.connection, row, error)
        claim.finish(self.connection, [shard])
        timing.SET_ASIDE.inc()
        logger.error("ALARM: a request was set aside because it cannot be processed (shard %s): %s See it under Set aside in the admin.", shard, error)

    def forgive(self, shards: list[int]) -> None:
        if not self.connection.closed:
            claim.forgive(self.connection, shards)

    def excuse(self, lost: "Worker") -> None:
        """Take back the attempts that another worker had begun when its connection went."""
        self.forgive(lost.begun)
        if lost.interrupted is not None:
            claim.unsuspect(self.connection, lost.interrupted)

    def turn(self) -> int:
        """A step, and what is due beside it."""
        taken = self.step()
        now = time.monotonic()
        for clock in self.clocks:
            try:
                clock.tick(now)
            except PASSING as error:
                logger.info("Put off: %s", type(error).__name__)
            except Exception as error:
                if isinstance(error, psycopg.OperationalError) and not isinstance(error, TOO_MUCH):
                    raise
                # A claim or a slice that fails always must not take the events with it; it stays where it is, and is told again and again.
                clock.due = now + PUT_OFF_S
                logger.error("ALARM: the stream's housekeeping failed, and is tried again in a minute: %s", describe(error))
        return taken


def open_session() -> Connection:
    connection = connect(application_name="atrium-stream", options=work.SESSION)
    for table in (events.PROBE, apply.CHANGED, presence.NOTED):
        connection.execute(table)
    return connection


def describe(error: BaseException) -> str:
    """Type and place of a failure; never its text, which may quote a shopper's position."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "/analytics/" in f.filename or "/engagement/" in f.filename), None)
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}" if place else type(error).__name__


def run(*, number: int, of: int, stopping: Callable[[], bool]) -> None:
    """Work until told to stop. A lost database is waited for, with a new connection each time."""
    metrics.begin(f"stream-{number}", folder=settings.METRICS_FOLDER)
    rest, away = SHORTEST_REST, False
    worker: Worker | None = None
    lost: Worker | None = None  # whose connection went, with attempts under way: they say nothing of the rows
    while not stopping():
        try:
            if worker is None:
                worker = Worker(number, of)
                if lost is not None:
                    worker.excuse(lost)
                    lost = None
            taken = worker.turn()
            if away:
                logger.info("The database is back.")
                away = False
        except psycopg.OperationalError as error:
            if not away:
                logger.warning("The database is away (%s); trying again.", type(error).__name__)
            if worker is not None:
                worker.connection.close()
                lost = None if isinstance(error, TOO_MUCH) else worker
            worker, away, taken = None, True, 0
        rest = SHORTEST_REST if taken else min(rest * 1.5, LONGEST_REST)
        if not taken:
            time.sleep(rest)
    if worker is not None:
        worker.connection.close()
