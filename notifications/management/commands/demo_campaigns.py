import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from notifications import demonstration


class Command(BaseCommand):
    help = "Gives the demonstration its shoppers' profiles, purchases, audiences and campaigns, once its history is in. The demonstration starts it itself."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            demonstration.run(stop=stop, say=self.stdout.write)
        except demonstration.NotSent as trouble:
            raise CommandError(_("The demonstration's campaign was not sent: %(why)s") % {"why": trouble}) from None
