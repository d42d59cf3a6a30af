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
from django.utils.translation import gettext as _

from analytics.stream.heard import KEPT_DAYS
from engagement import heartbeats, metrics
from operations import evaluation, news, readings, slack, telling, upkeep, ways, work
from operations import metrics as standing
from operations.backups import ledger
from operations.blocks import Notice

log = logging.getLogger("atrium.watch")

PROCESS: Final = "watch"
EVERY_S: Final = 15.0
REST_S: Final = 0.2
AWAY_TOLD_S: Final = 60.0  # a restart is shorter
FORGET_EVERY: Final = timedelta(hours=1)
REFUSALS_KEPT: Final = timedelta(days=2)


class Watch:
    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._away_since: float | None = None
        self._away_told = False
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
            self._miss(type(error).__name__)
            return False
        if self._away_since is not None:
            log.info("The database is back, and watched again.")
            self._away_since = None
        if self._away_told:
            self._away_told = not _told(_back())
        return True

    def _miss(self, problem: str) -> None:
        """Alarms and what waits to be told are in the database: that it is away itself is told straight away, by each watch that finds it so."""
        if self._away_since is None:
            log.error("The watch cannot reach the database (%s). Nothing is watched until it is back.", problem)
            self._away_since = time.monotonic()
        elif not self._away_told and time.monotonic() - self._away_since >= AWAY_TOLD_S:
            self._away_told = _told(_away(problem))

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


def _away(problem: str) -> Notice:
    return Notice(
        mark="🔴",
        title=_("The database is away"),
        body=_("The database has not been reached for a minute (%(problem)s). The door answers 503, and phones keep their events.") % {"problem": problem},
        remedy=_("What to do: look whether PostgreSQL runs and what its log says last, and type manage.py doctor. All processes go on by themselves."),
        footer=_now(),
        level="error",
    )


def _back() -> Notice:
    return Notice(mark="🟢", title=_("Over: the database is back"), body=_("It is reached again, and the alarms are read."), remedy="", footer=_now())


def _now() -> str:
    return f"{timezone.now():%Y-%m-%d %H:%M} UTC"


def _told(notice: Notice) -> bool:
    try:
        ways.operators().tell(notice)
    except slack.NotTold as problem:
        log.warning("That the database is away, or back, could not be told yet: %s", problem)
        return False
    return True
