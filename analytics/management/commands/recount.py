import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from analytics import recount


class Command(BaseCommand):
    help = "Computes stays and figures again from the stored events, beside the live tables, and prints the differences. Exits with 1 if there is one."

    def handle(self, *args: Any, **options: Any) -> None:
        report = recount.recount(progress=self.show)
        if sys.stderr.isatty():
            self.stderr.write("")
        for example in report.examples:
            self.stdout.write(example)
        self.stdout.write(
            _("Compared %(stays)s stays of %(shoppers)s shoppers and the figures of %(days)s zones' days: %(differences)s differences.")
            % {"stays": report.stays, "shoppers": report.shoppers, "days": report.zone_days, "differences": report.differences}
        )
        for organisation, day in report.closed.items():
            self.stdout.write(
                _("Of %(organisation)s from %(day)s on: raw events from before are not kept any more.") % {"organisation": organisation, "day": day}
            )
        if report.differences:
            sys.exit(1)

    def show(self, shoppers: int) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"\r{shoppers} shoppers", ending="")
