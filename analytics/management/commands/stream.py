from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from analytics.stream import loop
from engagement import stopping


class Command(BaseCommand):
    help = "Turns events into stays, until stopped. Several may run: --number 0 --of 2 and --number 1 --of 2."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--number", type=int, default=0, help="which of them this is, from 0")
        parser.add_argument("--of", type=int, default=1, help="how many run")

    def handle(self, *args: Any, **options: Any) -> None:
        loop.run(number=options["number"], of=options["of"], stopping=stopping.asked())
