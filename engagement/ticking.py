"""Celery's scheduler, which says that it ticks. A scheduler that runs and rings no bell any more says nothing."""

import logging
import time
from typing import Any, Final

import psycopg
from celery.beat import PersistentScheduler

from engagement import database, heartbeats

PROCESS: Final = "scheduler"
BEAT_S: Final = 10.0
OPTIONS: Final = "-c statement_timeout=2000 -c synchronous_commit=off"
logger = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    _connection: psycopg.Connection[Any] | None = None
    _due = 0.0

    def tick(self, *args: Any, **options: Any) -> Any:
        rest = super().tick(*args, **options)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + BEAT_S
            self._beat()
        return rest

    def _beat(self) -> None:
        """A database that is away keeps no bell from ringing: the broker may be elsewhere."""
        try:
            if self._connection is None:
                self._connection = database.connect(application_name="atrium scheduler", options=OPTIONS)
            heartbeats.beat(self._connection, PROCESS)
        except psycopg.Error as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            logger.info("The scheduler could not say that it works: %s", type(error).__name__)

    def close(self) -> None:
        super().close()
        if self._connection is not None:
            self._connection.close()
