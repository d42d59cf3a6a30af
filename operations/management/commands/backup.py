from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operations.backups import databases, ledger, making, place, verifying
from operations.backups.trouble import Trouble


class Command(BaseCommand):
    help = "Makes a backup, and removes those whose day, week and month have newer ones. --verify restores it into a scratch database to see that it is whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", metavar="PLACE", help="a folder, or s3://bucket/prefix, instead of BACKUP_URL")
        parser.add_argument("--verify", nargs="?", const="", metavar="NAME", help="also restore it and compare; with a name: that one, and make none")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            where = place.of(options["to"]) if options["to"] else making.usual()
            with databases.standing():
                name = options["verify"]
                if not name:
                    name = making.make(where=where, say=self.stdout.write).name
                    ledger.keep(where)
                    ledger.tidy(where)
                if options["verify"] is not None:
                    verifying.verify(name, where=where, say=self.stdout.write)
        except Trouble as trouble:
            raise CommandError(str(trouble)) from None
