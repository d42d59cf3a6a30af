"""Which settings are wrong: all of them, not only the first that stops the start. Imports nothing of Django's, which does not start with them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MOST: Final = 20
WITHIN_S: Final = 20
_ASK: Final = """
import sys
from django.core.exceptions import ImproperlyConfigured
try:
    import engagement.settings
except ImproperlyConfigured as wrong:
    print(wrong)
    sys.exit(3)
"""


def settings(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each. One after another is left out of the environment, until the rest is right."""
    left, found = dict(os.environ if environment is None else environment), list[str]()
    while len(found) < MOST:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK], env=left, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip
        sentence = asked.stdout.strip()
        if asked.returncode != 3 or sentence in found:
            return found
        found.append(sentence)
        name = sentence.split(" ", 1)[0]
        if left.pop(name, None) is None:  # one that is missing: the others are asked for with it
            left[name] = "x" * 40
    return found


def told(first: str) -> str:
    """As `manage.py doctor` prints them."""
    found = settings() or [first]
    lines = [f"WRONG  settings  {sentence}" for sentence in found]
    return "\n".join([*lines, "", f"{len(found)} settings are wrong. README.md and RUNBOOK.md list what each accepts. Mend them, then type: manage.py doctor"])
