"""What is wrong with an installation, and what to type. Works where nothing else does: without a database, without a network, within a minute.

finding.py   what is said of one thing
machine.py   this machine
inside.py    what the database tells
outside.py   what is asked over the network
"""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Final

from django.db import connections

from operations.doctor import inside, machine, outside
from operations.doctor.finding import Check, Finding, bad

__all__ = ["CHECKS", "Finding", "examine"]

WITHIN_S: Final = 45.0
CHECKS: Final[dict[str, Check]] = {
    "settings": machine.settings_told,
    "python": machine.packages,
    "postgresql": machine.programs,
    "disk": machine.disk_space,
    "files": machine.files,
    "port": machine.port,
    "database": inside.examine,
    "broker": outside.broker,
    "mail": outside.mail,
    "slack": outside.slack,
    "certificate": outside.certificates,
    "backups": outside.backups,
    "replica": outside.replica,
}


def examine(checks: dict[str, Check] = CHECKS, *, within_s: float = WITHIN_S) -> list[Finding]:
    """All of it at the same time; in the order above. What does not answer is said, and waited for no longer."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what is wrong is said once, and by us
    answers: dict[str, list[Finding]] = {}
    try:
        until = time.monotonic() + within_s
        # Daemons: one that hangs does not keep the command from ending.
        asked = [threading.Thread(target=_run, args=(name, check, answers), daemon=True) for name, check in checks.items()]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join(max(0.0, until - time.monotonic()))
        late = {name: [bad(name, f"There was no answer within {within_s:g} s.", "Look whether this machine reaches it at all.")] for name in checks}
        return [one for name in checks for one in answers.get(name, late[name])]
    finally:
        logging.disable(before)


def _run(name: str, check: Check, answers: dict[str, list[Finding]]) -> None:
    found: list[Finding] = []
    try:
        found += check()
    except Exception as error:  # its text may hold an address
        found.append(bad(name, f"This could not be looked at ({type(error).__name__}).", "Run it again; if it stays so, read the log."))
    finally:
        connections.close_all()
        answers[name] = found


def wrong(found: Iterable[Finding]) -> list[Finding]:
    return [one for one in found if not one.fine]
