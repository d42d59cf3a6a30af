from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from engagement import stopping
from operations.watch import Watch


class Command(BaseCommand):
    help = "Reads the alarms four times a minute, tells people, and does what can be done by itself, until stopped. Several may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="look once, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            Watch(lambda: False).round(timezone.now())
            return
        Watch(stopping.asked()).run()
