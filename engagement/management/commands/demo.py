"""The demonstration: everything that `run` starts, and a feeder beside it."""

import signal
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from engagement import demonstration, supervisor
from engagement.feeder import Feeder

ASK_EVERY_S: Final = 0.2
_DEMONSTRATION: Final = (
    supervisor.Process("demo", [sys.executable, "manage.py", "demo", "--feed"], floor=0),
    # Audiences and campaigns, once the history is in. They are made above this app, so it is started by its name.
    supervisor.Process("marketing", [sys.executable, "manage.py", "demo_campaigns"], floor=0, once=True),
)


class Command(BaseCommand):
    help = "Run everything with a simulated mall: 60 days of history, then shoppers who walk for as long as it runs. Ctrl-C stops it; told again, it goes on."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", action="store_true", help="only send the events, to a door that runs already (the demonstration starts this itself)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["feed"]:
            self._feed()
        else:
            sys.exit(supervisor.run([*supervisor.PROCESSES, *_DEMONSTRATION]))

    def _feed(self) -> None:
        stop, asked = threading.Event(), threading.Event()

        def note(*_: object) -> None:
            asked.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, note)
        kept = demonstration.prepare()
        while not stop.is_set() and not self._answers():
            time.sleep(ASK_EVERY_S)
        if stop.is_set():
            return
        self.stdout.write(demonstration.announcement(kept, more=_("The page can be used while the history loads.")))
        Feeder(host=settings.HOST, port=settings.PORT, stop=stop, say=self.stdout.write).run()
        if not asked.is_set():
            raise CommandError(_("The events of the demonstration cannot be sent: the door does not take its keys, or what stands above happened."))

    def _answers(self) -> bool:
        probe = HTTPConnection(settings.HOST, settings.PORT, timeout=5)
        try:
            probe.request("GET", "/healthz/live")
            return probe.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            probe.close()
