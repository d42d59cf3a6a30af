from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from engagement import shoppers
from engagement.models import Organisation


class Command(BaseCommand):
    help = "Erases a shopper of an organisation. The stream does it; this returns at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organisation", nargs="?", help="its key")
        parser.add_argument("shopper", nargs="?", help="the app's own id, or atrium: and a number")
        parser.add_argument("--again", action="store_true", help="after a backup was brought back: everybody who was erased and is there again")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["again"]:
            asked = sum(1 for _erasure in shoppers.again())
            self.stdout.write(ngettext("%(n)s shopper is being erased again.", "%(n)s shoppers are being erased again.", asked) % {"n": asked})
            return
        if not options["organisation"] or not options["shopper"]:
            raise CommandError(_("Give the organisation's key and the shopper's id, or --again."))
        organisation = Organisation.objects.filter(key=options["organisation"]).first()
        found = organisation and shoppers.find(organisation, options["shopper"])
        if not organisation or not found:
            raise CommandError(_("There is no such shopper in this organisation."))
        shoppers.ask_to_erase(organisation=organisation, shopper=found, by="manage.py")
        self.stdout.write(_("The shopper is being erased."))
