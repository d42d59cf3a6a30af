"""Sends the events of a file through the public door."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from engagement.progress import Progress
from engagement.sender import Sender

SHOWN_FAILURES = 5


class Command(BaseCommand):
    help = "Send the events of a file (NDJSON, one request body a line, plain or .gz) through the public door. Sending a file twice changes nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a file of request bodies, one a line")
        parser.add_argument("--url", default=f"http://{settings.HOST}:{settings.PORT}", help="address of the door (default: %(default)s)")
        parser.add_argument("--key", help="the API key; better in the environment as ATRIUM_KEY, because others on this machine can see a command line")
        parser.add_argument("--connections", type=int, default=4, choices=range(1, 65), metavar="1..64", help="how many at a time (default: %(default)s)")
        parser.add_argument("--patience", type=float, default=120.0, metavar="SECONDS", help="how long one body is tried (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        if not file.is_file():
            raise CommandError(_("There is no file %(file)s.") % {"file": file})
        sender = self._sender(options)
        progress = Progress(file.name, file.stat().st_size)
        try:
            with sender:
                for number, line, read in lines(file):
                    sender.put(line, str(number))
                    progress.show(read, _("%(events)s events accepted") % {"events": f"{sender.tally.accepted:,}"})
                    if sender.stop.is_set():
                        break
        except (OSError, EOFError) as error:
            raise CommandError(_("%(file)s cannot be read: %(error)s.") % {"file": file, "error": error}) from error
        progress.end(_("%(events)s events accepted") % {"events": f"{sender.tally.accepted:,}"})
        self._report(sender)

    def _sender(self, options: dict[str, Any]) -> Sender:
        key = options["key"] or os.environ.get("ATRIUM_KEY", "")
        if not key:
            raise CommandError(_("Give an API key in the environment as ATRIUM_KEY, or with --key. A key of kind import may send events of any age."))
        if options["key"]:
            self.stderr.write(_("A key on the command line can be seen by others on this machine. ATRIUM_KEY in the environment cannot."))
        try:
            return Sender(url=options["url"], key=key, connections=options["connections"], patience_s=options["patience"])
        except ValueError as error:
            raise CommandError(str(error)) from error

    def _report(self, sender: Sender) -> None:
        tally = sender.tally
        self.stdout.write(json.dumps({"requests": tally.requests, "accepted": tally.accepted, "rejected": dict(sorted(tally.rejected.items()))}))
        if not tally.failed:
            return
        for label, why in tally.failed[:SHOWN_FAILURES]:
            self.stderr.write(_("Line %(line)s was not sent: %(why)s") % {"line": label, "why": why})
        raise CommandError(_("%(count)s requests could not be sent. Sending the whole file again is safe.") % {"count": f"{len(tally.failed):,}"})


def lines(file: Path) -> Iterator[tuple[int, bytes, int]]:
    """(line number from 1, body, bytes of the file read so far), without empty lines."""
    with file.open("rb") as raw:
        source = cast(IO[bytes], gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw)
        for number, line in enumerate(source, 1):
            body = line.strip()
            if body:
                yield number, body, raw.tell()
