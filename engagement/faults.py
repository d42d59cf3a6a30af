"""Named crash points for the fault tests: `FAULT=stream.claimed:kill` ends the process there, as a power cut would.

The action is `kill`, `segv`, `stop` (it stands still until SIGCONT) or `raise`.
Without the setting a point is one dictionary look-up. `FAULT_ONCE=<file>` makes a point fire only while that file exists,
and removes it first, so that the process started again passes.
"""

import os
import signal
from pathlib import Path
from typing import Final

POINTS: Final = (
    "door.decoded",
    "door.before_commit",
    "door.after_commit",
    "stream.attempts_committed",
    "stream.locked",
    "stream.claimed",
    "stream.identified",
    "stream.stored",
    "stream.observed",
    "stream.folded",
    "stream.before_commit",
    "stream.after_commit",
    "link.locked",
    "link.before_commit",
    "recut.before_commit",
    "sweep.before_commit",
    "erase.before_commit",
    "figures.locked",
    "figures.before_commit",
    "trial.before_commit",
    "retention.closed",
    "retention.deleted",
    "retention.before_commit",
    "import.before_commit",
    "alarms.before_commit",
    "alarms.after_commit",
    "tell.before_note",
    "plan.audience_kept",
    "plan.before_commit",
    "plan.after_commit",
    "send.before_claim",
    "send.claimed",
    "send.transmitted",
    "send.before_record",
    "send.recorded",
    "backup.dumped",
    "backup.made",
    "backup.scratch",
    "restore.created",
    "restore.loaded",
    "restore.before_swap",
    "restore.swapped",
    "work.before_commit",
    "work.after_commit",
)
_SIGNALS: Final = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV, "stop": signal.SIGSTOP}
_name, _, _action = os.environ.get("FAULT", "").partition(":")
_once = os.environ.get("FAULT_ONCE")


class InjectedFault(Exception):
    """Raised at a point whose action is `raise`."""


def point(name: str) -> None:
    """Die here if the environment asks for it."""
    if name != _name:
        return
    if _once:
        try:
            Path(_once).unlink()
        except FileNotFoundError:
            return
    if _action == "raise":
        raise InjectedFault(name)
    os.kill(os.getpid(), _SIGNALS[_action])


_mark = os.environ.get("FAULT_MARK")


def marked(value: str) -> None:
    """Die here if `value` is the poison that the environment names: `FAULT_MARK=<device>` ends the process, as a crashing C library would."""
    if _mark is not None and value == _mark:
        os.kill(os.getpid(), signal.SIGSEGV)
