import json
import os
import sys
import textwrap
from argparse import ArgumentParser
from dataclasses import asdict
from shutil import get_terminal_size
from typing import Any, Final

from django.core.management.base import BaseCommand

from operations import doctor
from operations.doctor import Finding

_COLOURS: Final = {True: "32", False: "31"}


class Command(BaseCommand):
    help = "Says within a minute what is wrong with this installation, and what to type. Needs no database. Exits with 1 where something is wrong."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        found = doctor.examine()
        wrong = doctor.wrong(found)
        if options["json"]:
            self.stdout.write(json.dumps({"fine": not wrong, "findings": [asdict(one) for one in found]}, indent=1))
        else:
            self.stdout.write(self._page(found, wrong))
        self.stdout.flush()
        if wrong:
            sys.exit(1)

    def _page(self, found: list[Finding], wrong: list[Finding]) -> str:
        width = max(len(one.name) for one in found)
        lines = [line for one in found for line in self._lines(one, width)]
        end = f"{len(wrong)} of {len(found)} things are wrong." if wrong else f"All {len(found)} things that were looked at are fine."
        return "\n".join([*lines, "", end])

    def _lines(self, one: Finding, width: int) -> list[str]:
        """Aligned, and broken at the terminal's edge; what to type stands on a line of its own, so that it can be copied whole."""
        start, columns = 7 + width + 2, max(60, get_terminal_size((100, 24)).columns)
        mark = "ok   " if one.fine else "WRONG"
        if self.stdout.isatty() and not os.environ.get("NO_COLOR"):
            mark = f"\x1b[{_COLOURS[one.fine]}m{mark}\x1b[0m"
        first, *more = textwrap.wrap(one.sentence, columns - start, break_long_words=False, break_on_hyphens=False) or [""]
        return [f"{mark}  {one.name:<{width}}  {first}", *(" " * start + line for line in more), *([" " * start + "-> " + one.remedy] if one.remedy else [])]
