"""The process that looks: reads the alarms, tells people, and does by itself what can be done by itself.

It needs neither the broker nor a worker, since it must notice that they are gone. Several may run: each part takes care of that itself.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from analytics.stream.heard import KEPT_DAYS
from engagement import heartbeats, metrics
from operations import evaluation, news, readings, telling, upkeep, work
from operations import metrics as standing
from operations.backups import ledger

log = logging.getLogger("atrium.watch")

PROCESS: Final = "watch"
EVERY_S: Final = 15.0
REST_S: Final = 0.2
FORGET_EVERY: Final = timedelta(hours=1)
REFUSALS_KEPT: Final = timedelta(days=2)


class Watch:
    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._away = False
        self._forgotten: datetime | None = None

    def parts(self) -> dict[str, Callable[[datetime], object]]:
        """What is done in a round, in this order. Readings first: some alarms are about them."""
        return {
            "readings": readings.take,
            "alarms": evaluation.evaluate,
            "telling": telling.tell_waiting,
            "upkeep": upkeep.look,
            "news": news.look,
            "parked work": work.advance,
            "ledger": ledger.look,
            "forgetting": self.forget,
        }

    def run(self) -> None:
        """Until stopped. A database that is away is waited for."""
        metrics.begin(PROCESS, folder=settings.METRICS_FOLDER, gauges=standing.gauges)
        while not self._stopping():
            began = time.monotonic()
            self.round(timezone.now())
            while not self._stopping() and time.monotonic() - began < EVERY_S:
                time.sleep(REST_S)

    def round(self, now: datetime) -> None:
        """All parts once, each failing alone."""
        close_old_connections()
        if not self._beats():
            return
        for name, act in self.parts().items():
            if self._stopping():
                return
            try:
                act(now)
            except Exception as error:  # its text may quote an address
                log.warning("The watch's part %s failed, and is tried again: %s", name, type(error).__name__)

    def _beats(self) -> bool:
        try:
            with connection.cursor() as cursor:
                heartbeats.beat(cursor.connection, PROCESS)
        except (DatabaseError, psycopg.Error) as error:
            connection.close()  # the next round makes a new one
            if not self._away:
                log.error("The watch cannot reach the database (%s). Nothing is watched until it is back.", type(error).__name__)
            self._away = True
            return False
        if self._away:
            log.info("The database is back, and watched again.")
        self._away = False
        return True

    def forget(self, now: datetime) -> None:
        """Once an hour: what is too old to keep, of what is noted for alarms."""
        if self._forgotten is not None and now - self._forgotten < FORGET_EVERY:
            return
        readings.forget(now)
        with connection.cursor() as cursor:
            heartbeats.forget(cursor.connection)
            cursor.execute("DELETE FROM engagement_refusal WHERE minute < %s", [now - REFUSALS_KEPT])
            cursor.execute("DELETE FROM analytics_beaconheard WHERE hour < %s", [int(now.timestamp()) // 3600 - KEPT_DAYS * 24])
        self._forgotten = now
