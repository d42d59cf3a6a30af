"""Feeds the demonstration through the public door: first and always the people who are in the mall now, and behind them its history.

Today and yesterday go first, so that their figures stand soon; then the days before, oldest first, as fast as the stream takes
them and no faster: the inbox stays shallow, and what happens now is seen now.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from django.utils.translation import gettext as _

from engagement import demonstration
from engagement.demonstration import APP, HISTORY, LIVE_PACE, SEED, WATCH, Kept
from engagement.progress import Progress
from engagement.sender import Sender
from engagement.simulation.phones import Pocket, history
from engagement.simulation.traces import Day, Trace

BACKLOG_EVENTS: Final = 12_000  # about half a second of the stream's work
LOOK_EVERY_S: Final = 0.2
TICK_S: Final = 1.0
SAVE_EVERY_S: Final = 10.0
OVERLAP_S: Final = 900.0  # sent again after a restart: the phones that were silent when it ended
SAY_EVERY_S: Final = 300.0
COMPLETE: Final = 9e9  # a day of which everything was sent


class Backlog:
    """What waits in the inbox, by the public status address."""

    def __init__(self, *, host: str, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=10)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._looked = 0.0

    def wait(self, stop: threading.Event) -> None:
        """Return when the inbox is shallow; at once where it was looked at a moment ago."""
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        while not stop.is_set() and self._events() > BACKLOG_EVENTS:
            stop.wait(LOOK_EVERY_S / 2)
        self._looked = time.monotonic()

    def _events(self) -> int:
        """0 where it cannot be told: the door's own Retry-After still holds the sender back."""
        try:
            self._connection.request("GET", "/api/v1/status", headers=self._headers)
            said = json.loads(self._connection.getresponse().read())
            return int(said["inbox"]["events"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            self._connection.close()
            return 0


class Feeder:
    """Runs until `stop` is set. One thread sends history, the caller's thread the present."""

    def __init__(self, *, host: str, port: int, stop: threading.Event, say: Callable[[str], object]) -> None:
        self.url, self.stop, self.say = f"http://{host}:{port}", stop, say
        self.kept: Kept = demonstration.load()
        self.population = demonstration.population(self.kept)
        self.zone = ZoneInfo(self.population.mall.city.time_zone)
        self._backlog = Backlog(host=host, port=port, key=self.kept.keys[WATCH])
        self._lock = threading.Lock()
        self._random = np.random.default_rng()
        self.pockets: list[Pocket] = []
        self._loaded: set[date] = set()

    def run(self) -> None:
        now = time.time()
        past = threading.Thread(target=self._send_past, args=[now], name="history")
        self._take_out(now, now)  # before history begins to compete for the processor
        past.start()
        try:
            self.send_present(now)
        finally:
            self.stop.set()
            past.join()

    def _send_past(self, now: float) -> None:
        """Where history fails, the present ends too: whoever keeps this process starts it again, and it goes on."""
        try:
            self.send_history(now)
        except BaseException:
            self.stop.set()
            raise

    def today(self, now: float) -> date:
        return datetime.fromtimestamp(now, UTC).astimezone(self.zone).date()

    def traces(self, day: date) -> list[Trace]:
        return list(Day(self.population, day, pace=LIVE_PACE if day >= self.kept.live_from else 1.0).traces())

    def send_history(self, now: float) -> None:
        """Everything before `now` that was not sent yet."""
        today = self.today(now)
        days = [day for day in self._days(today) if self.kept.sent.get(str(day), 0.0) < COMPLETE]
        progress = Progress("history", len(days))
        with Sender(url=self.url, key=self.kept.keys[HISTORY], patience_s=None, stop=self.stop) as sender:
            for number, day in enumerate(days):
                self._send_day(day, now, sender, progress, number)
                if self.stop.is_set():
                    return
                self._sent(day, now if day >= today - timedelta(days=1) else COMPLETE)
        accepted = sender.tally.accepted
        progress.end(f"{accepted:,} events")
        self.say(demonstration.announcement(self.kept, more=_("History is in: %(events)s events. Shoppers keep walking.") % {"events": f"{accepted:,}"}))

    def _days(self, today: date) -> list[date]:
        """Today, yesterday, then from the first day to the day before yesterday."""
        age = (today - self.kept.first_day).days
        days = [self.kept.first_day + timedelta(days=number) for number in range(age + 1)]
        return [*reversed(days[-2:]), *days[:-2]]

    def _send_day(self, day: date, now: float, sender: Sender, progress: Progress, done: int) -> None:
        since = self.kept.sent.get(str(day), 0.0) - OVERLAP_S
        traces = [part for part in (between(trace, since, now) for trace in self.traces(day)) if part.texts]
        arrivals = history(traces, np.random.default_rng([SEED, 4, day.toordinal()]))
        for number, (_at, parcel) in enumerate(arrivals):
            self._backlog.wait(self.stop)
            sender.put(parcel.body())
            progress.show(done + number / len(arrivals), f"{day}, {sender.tally.accepted:,} events")
        sender.drain()

    def send_present(self, began: float) -> None:
        """Everything from `began` on, as it happens."""
        saved = said = 0.0
        with Sender(url=self.url, key=self.kept.keys[APP], connections=2, patience_s=None, stop=self.stop) as sender:
            while not self.stop.is_set():
                now = time.time()
                self._take_out(began, now)
                for pocket in self.pockets:
                    for parcel in pocket.due(now):
                        sender.put(parcel.body(time.time()))
                self.pockets = [pocket for pocket in self.pockets if not pocket.empty]
                if now - saved > SAVE_EVERY_S:
                    self._sent_live(now)
                    saved = now
                if now - said > SAY_EVERY_S:
                    self.say(self.describe(now))
                    said = now
                self.stop.wait(max(0.0, TICK_S - (time.time() - now)))

    def _take_out(self, began: float, now: float) -> None:
        """The phones of yesterday (some are still out after midnight) and today, as soon as a day begins."""
        today = self.today(now)
        for day in sorted({today - timedelta(days=1), today} - self._loaded):
            self.pockets += [Pocket(trace, began, self._random) for trace in self.traces(day) if trace.times[-1] > began]
            self._loaded.add(day)

    def describe(self, now: float) -> str:
        """What time it is at the mall, and how many are about."""
        local = datetime.fromtimestamp(now, UTC).astimezone(self.zone)
        out = sum(pocket.out(now) for pocket in self.pockets)
        said = {"time": f"{local:%H:%M}", "city": self.population.mall.city.name, "out": out}
        return _("It is %(time)s at the mall (%(city)s time). %(out)s phones are about.") % said

    def _sent(self, day: date, until: float) -> None:
        with self._lock:
            self.kept.sent[str(day)] = until
            demonstration.save(self.kept)

    def _sent_live(self, now: float) -> None:
        """The present continues only those days whose past was sent."""
        with self._lock:
            for day in (self.today(now), self.today(now) - timedelta(days=1)):
                if str(day) in self.kept.sent:
                    self.kept.sent[str(day)] = max(self.kept.sent[str(day)], now)
            demonstration.save(self.kept)


def between(trace: Trace, since: float, until: float) -> Trace:
    """The part of a trace after `since`, up to and with `until`."""
    first, end = (int(np.searchsorted(trace.times, at, side="right")) for at in (since, until))
    return Trace(trace.person, trace.device, trace.platform, trace.shopper, trace.times[first:end], trace.texts[first:end])
