import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from engagement import provisioning


class Command(BaseCommand):
    help = "Create or update an organisation, its venues, zones, beacons, brands and API keys from one JSON file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The file; - reads it from the standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Print the difference and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """The difference goes to stderr, and one JSON object to stdout, so that a script can read the tokens."""
        path: Path = options["file"]
        try:
            raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
            report = provisioning.provision(provisioning.parse(raw), dry_run=options["dry_run"])
        except OSError as error:
            raise CommandError(_("%(file)s cannot be read: %(reason)s.") % {"file": path, "reason": error.strerror}) from None
        except provisioning.Refused as refused:
            number = len(refused.faults)
            heading = ngettext("Nothing was changed. The file has %(number)d fault:", "Nothing was changed. The file has %(number)d faults:", number)
            heading %= {"number": number}
            raise CommandError("\n".join([heading, *(f"  {fault}" for fault in refused.faults)])) from None
        told = asdict(report)
        for line in told.pop("lines"):
            self.stderr.write(line)
        self.stdout.write(json.dumps(told))
