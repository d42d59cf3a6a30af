from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from engagement import display
from operations.backups import databases, making, place, restoring
from operations.backups.place import Place
from operations.backups.trouble import Trouble


class Command(BaseCommand):
    help = "Brings a backup back: the newest, or the one named. Says beforehand what it will do, and asks. The database in use is kept under another name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="of a backup, as `--list` shows it")
        parser.add_argument("--from", dest="source", metavar="PLACE", help="a folder, or s3://bucket/prefix, instead of BACKUP_URL")
        parser.add_argument("--list", action="store_true", help="only show what backups there are")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--while-running", action="store_true", help="also where Atrium runs: it is cut off, and comes back to what was restored")
        parser.add_argument("--other-key", action="store_true", help="also where the backup was made under another SECRET_KEY")
        parser.add_argument("--drop-old", action="store_true", help="only drop the databases that restores took out of use")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["list"]:
                self._list(self._place(options))
                return
            with databases.standing(alone_here=not options["drop_old"]) as runs_here:
                if options["drop_old"]:
                    if not restoring.drop_old(self.stdout.write):
                        self.stdout.write("There is none.")
                    return
                self._restore(options, runs_here)
        except Trouble as trouble:
            raise CommandError(str(trouble)) from None

    def _restore(self, options: dict[str, Any], runs_here: bool) -> None:
        if not options["while_running"]:
            databases.check_idle(runs_here=runs_here)
        plan = restoring.plan(options["name"], where=self._place(options))
        for sentence in plan.sentences():
            self.stdout.write(sentence)
        if not options["yes"] and not self._agreed(plan.backup.name):
            raise CommandError("Nothing was done.")
        told = {"while_running": options["while_running"], "other_key": options["other_key"]}
        restoring.restore(plan, runs_here=runs_here, **told, say=self.stdout.write)

    def _agreed(self, name: str) -> bool:
        try:
            return input(f"Type the name of the backup ({name}) to bring it back: ").strip() == name
        except EOFError:
            return False

    def _place(self, options: dict[str, Any]) -> Place:
        return place.of(options["source"]) if options["source"] else making.usual()

    def _list(self, where: Place) -> None:
        names = making.names(where)
        self.stdout.write(f"{len(names)} backups in {where.shown}.")
        for name in reversed(names):
            known, seen = making.read(name, where), making.verified(name, where)
            age = display.duration((timezone.now() - known.at).total_seconds())
            self.stdout.write(f"{name}  {making.shown(known.bytes):>9}  {age} old, {'verified' if seen else 'not verified'}, Atrium {known.version}")
