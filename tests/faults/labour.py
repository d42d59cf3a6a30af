"""A worker without its broker: the tasks of the timetable, called again and again until it is ended.

python -m tests.faults.labour plan | send | sweep …  [--mutant NAME]
"""

import sys
import time

import django

django.setup()

from notifications import tasks  # noqa: E402
from tests.faults import mutants  # noqa: E402

if __name__ == "__main__":
    words = sys.argv[1:]
    if "--mutant" in words:
        mutants.apply(words[words.index("--mutant") + 1])
        words = words[: words.index("--mutant")]
    while True:
        for word in words:
            getattr(tasks, word)()
        time.sleep(0.05)
