"""A backup a day, by night where Atrium runs all day. It is made by a process of its own: the watch, which asks for it, has alarms to read meanwhile."""

import subprocess
import sys
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from engagement import display
from operations.backups import making

NIGHT: Final = range(1, 5)  # hours of UTC
BY_NIGHT: Final = timedelta(hours=14)  # what is so old is made again in the night
AT_LATEST: Final = timedelta(hours=23)  # and at any hour: the alarm comes after a day and some hours
FIRST_AFTER: Final = timedelta(hours=20)  # a new installation is tried before it is kept
COMMAND: Final = (sys.executable, str(settings.BASE_DIR / "manage.py"), "backup", "--verify")

_begun: list["subprocess.Popen[bytes]"] = []


def due(now: datetime) -> str | None:
    """What is wrong, in a sentence; None where there is nothing to do, or it is being done. Raises Trouble where the place cannot be read."""
    if not settings.BACKUP_URL:
        return None
    problem = ""
    if _begun:
        code = _begun[0].poll()
        if code is None:
            return None
        _begun.clear()
        problem = " " + _("The last attempt failed; the log says why.") if code else ""
    latest = making.latest()
    since = latest or _standing_since()
    if since is None or not is_due(now, since, first=latest is None):
        return None
    if latest is None:
        return _("There is no backup yet.") + problem
    return _("The newest backup is %(age)s old.") % {"age": display.duration((now - latest).total_seconds())} + problem


def is_due(now: datetime, since: datetime, *, first: bool) -> bool:
    """`since`: the newest backup; where it would be the first, when the installation was made."""
    age = now - since
    if first:
        return age >= FIRST_AFTER
    return age >= AT_LATEST or (age >= BY_NIGHT and now.hour in NIGHT)


def begin() -> str:
    """Start it; its lines are in the log of the watch. Killed with it, it leaves no half of a backup."""
    _begun[:] = [subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL)]
    return _("It is being made, and restored into a scratch database to see that it is whole.")


def _standing_since() -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(applied) FROM django_migrations")
        [(since,)] = cursor.fetchall()
    return since if isinstance(since, datetime) else None
