from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from analytics import figures, trial
from engagement import stopping


class Command(BaseCommand):
    help = "Makes figures of stays, zone by zone and day by day, and works on trials of settings, until stopped. Several may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="make what is marked and due, also what others are at, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            with figures.session() as connection:
                self.stdout.write(f"{figures.finish(connection)} zones' days were made.")
                while trial.step(connection):
                    pass
            return
        figures.run(stopping=stopping.asked(), beside=(trial.step,))
