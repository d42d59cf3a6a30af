from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from notifications import governor


class Command(BaseCommand):
    help = "Makes this installation the one that sends campaigns. Whichever it was before stops within a second."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        if governor.at_home():
            self.stdout.write(_("This installation sends already."))
            return
        question = _(
            "Another installation sends from this database's campaigns. If this is a copy of it, both would send the same mails.\n"
            "Has the other one been stopped, or is it to send no more? Type yes to take over: "
        )
        if not options["yes"] and input(question).strip().lower() not in ("yes", _("yes")):
            raise CommandError(_("Nothing was changed."))
        governor.adopt()
        self.stdout.write(_("This installation sends from now on."))
