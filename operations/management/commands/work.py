import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from engagement.models import Organisation
from operations import work
from operations.models import Redrive
from operations.work.redrives import FASTEST, OPEN, RATE

NOBODY: Final = "-"  # in place of an organisation's key: what is the installation's own
LOOKED_EVERY_S: Final = 1.0


class Command(BaseCommand):
    help = "Shows what is parked, by organisation, kind and cause; `work redrive` sends it on once the cause is mended, `work stop` stops that."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="redrive | show | stop")
        redrive = verbs.add_parser("redrive", help="send on what is parked for a cause: one first, then the rest")
        redrive.add_argument("organisation", help=f"its key; {NOBODY} for what is the installation's own")
        redrive.add_argument("kind", choices=[kind.name for kind in work.kinds()])
        redrive.add_argument("cause", help="as `work` shows it, or its beginning")
        redrive.add_argument("--rate", type=float, default=RATE, help=f"items a second after the first, {RATE:g} where nothing is said")
        redrive.add_argument("--wait", action="store_true", help="go on until each has its end, and show how far it is")
        for verb, meaning in (("show", "how far a redrive is, with its sums"), ("stop", "send no more on; the rest stays parked")):
            verbs.add_parser(verb, help=meaning).add_argument("redrive", type=int, help="its number")

    def handle(self, *_args: Any, **options: Any) -> None:
        verb = options.get("verb")
        if verb == "redrive":
            self._redrive(options)
        elif verb in ("show", "stop"):
            self._one(verb, options["redrive"])
        else:
            self._list()

    def _list(self) -> None:
        parked = work.parked()
        if not parked:
            self.stdout.write(_("Nothing is parked."))
        else:
            heading = (_("organisation"), _("kind"), _("cause"), _("rows"), _("first"), _("last"), _("why"))
            self._table([heading, *([*_named(one), str(one.number), _when(one.first_at), _when(one.last_at), one.text] for one in parked)])
        for redrive in Redrive.objects.filter(state__in=OPEN).select_related("organisation").order_by("pk"):
            self._say(redrive)
        if parked:
            self.stdout.write(_("Once a cause is mended: manage.py work redrive ORGANISATION KIND CAUSE --wait"))

    def _table(self, rows: Any) -> None:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _redrive(self, options: Any) -> None:
        if not 0 < options["rate"] <= FASTEST:
            raise CommandError(_("The rate is more than 0, and at most %(most)d items a second.") % {"most": FASTEST})
        organisation = None
        if options["organisation"] != NOBODY:
            organisation = Organisation.objects.filter(key=options["organisation"]).first()
            if organisation is None:
                raise CommandError(_("There is no such organisation. Run manage.py work to see what is parked."))
        causes = {
            one.cause for one in work.parked(organisation, options["kind"]) if one.organisation == organisation and one.cause.startswith(options["cause"])
        }
        if len(causes) != 1:
            raise CommandError(_("No cause, or more than one, begins so. Run manage.py work to see what is parked."))
        try:
            redrive = work.redrive(organisation, options["kind"], causes.pop(), options["rate"], "manage.py")
        except work.Refused as refused:
            raise CommandError(str(refused)) from None
        self._say(redrive)
        if options["wait"]:
            self._wait(redrive)
        else:
            self.stdout.write(_("The watch goes on with it. To see how far it is: manage.py work show %(number)d") % {"number": redrive.pk})

    def _wait(self, redrive: Redrive) -> None:
        said = ""
        for line in self._progress(redrive):
            if line != said:
                self.stdout.write(line)
                self.stdout.flush()
            said = line
        if redrive.state == Redrive.State.STOPPED:
            raise CommandError(redrive.why)

    def _progress(self, redrive: Redrive) -> Iterator[str]:
        """A line for each look. The watch may be at it too: whoever holds the redrive takes the step."""
        while True:
            work.advance(timezone.now())
            sums = work.reconcile(redrive)
            yield _line(redrive, sums)
            if redrive.state not in OPEN and not sums.released:
                return
            time.sleep(LOOKED_EVERY_S)

    def _one(self, verb: str, number: int) -> None:
        redrive = Redrive.objects.select_related("organisation").filter(pk=number).first()
        if redrive is None:
            raise CommandError(_("There is no redrive of this number."))
        if verb == "stop" and not work.stop(redrive, "manage.py"):
            raise CommandError(_("It has ended already."))
        self._say(redrive)

    def _say(self, redrive: Redrive) -> None:
        try:
            self.stdout.write(_line(redrive, work.reconcile(redrive)))
        except work.DoesNotAddUp as error:
            raise CommandError(str(error)) from None


def _named(one: work.Parked) -> tuple[str, str, str]:
    return one.organisation.key if one.organisation else NOBODY, one.kind, one.cause


def _when(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _line(redrive: Redrive, sums: work.Sums) -> str:
    name = redrive.organisation.key if redrive.organisation else NOBODY
    more = redrive.why or work.held_up(redrive)
    return f"redrive {redrive.pk} of {name} {redrive.kind} {redrive.cause}: {redrive.get_state_display()}. {sums}. {more}".rstrip()
