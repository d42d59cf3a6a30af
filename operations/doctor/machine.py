"""What can be said of this machine without asking anybody: settings, packages, programs, files, ports."""

import difflib
import fcntl
import os
import re
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from django.conf import settings

from engagement import disk, postgres
from operations.backups import making
from operations.doctor.finding import Finding, bad, good

_OURS: Final = re.compile(r'"(ATRIUM_[A-Z_]+)"')


def settings_told() -> Iterable[Finding]:
    """The wrong ones stop every command (operations.wrong_settings); what is left are those that nothing reads."""
    known = set[str]()
    for path in (settings.BASE_DIR / "engagement").rglob("*.py"):
        known |= set(_OURS.findall(path.read_text()))
    strange = sorted(name for name in os.environ if name.startswith("ATRIUM_") and name not in known)
    for name in strange:
        near = difflib.get_close_matches(name, known, 1)
        yield bad("settings", f"{name} is set, and nothing reads it.", f"Mend its name{f': {near[0]}?' if near else ', or take it away.'}")
    if settings.DEBUG and settings.HOST not in ("127.0.0.1", "::1", "localhost"):
        yield bad("settings", "DEBUG is on, and Atrium listens to other machines: whoever meets an error reads the code.", "Set DEBUG=0.")
    elif not strange:
        yield good("settings", "All settings have values that are accepted.")


def packages() -> Iterable[Finding]:
    wrong = []
    for line in (settings.BASE_DIR / "requirements.txt").read_text().splitlines():
        name, _, version = line.strip().partition("==")
        if not version or name.startswith("#"):
            continue
        try:
            seen = metadata.version(name)
        except metadata.PackageNotFoundError:
            seen = ""
        if seen != version:
            wrong.append(f"{name} {seen}, not {version}" if seen else f"{name} is missing")
    python = ".".join(map(str, sys.version_info[:3]))
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        yield bad(
            "python", f"Packages are not those of requirements.txt: {'; '.join(wrong[:3])}{more}.", f"{sys.executable} -m pip install -r requirements.txt"
        )
    else:
        yield good("python", f"Python {python}, and every package of requirements.txt in its version.")


def programs() -> Iterable[Finding]:
    """The server's, where the database is embedded. Those that dump it are looked for by the database's own version."""
    if not settings.EMBEDDED:
        return
    try:
        tools = postgres.find(settings.ATRIUM_POSTGRES)
        postgres.clients(tools.major)
    except postgres.Unusable as trouble:
        yield bad("postgresql", str(trouble), "Install it, then run `make run`.")
    else:
        yield good("postgresql", f"PostgreSQL {tools.major} of {'this machine' if tools.origin == 'system' else 'the Python package'}, in {tools.folder}.")


def disk_space() -> Iterable[Finding]:
    folder = settings.VAR if settings.VAR.exists() else settings.VAR.parent
    found = disk.measured(folder)
    if found is None:
        yield bad("disk", f"{folder} cannot be looked at.", "Set ATRIUM_VAR to a folder that can be written.")
        return
    said = f"{making.shown(found.free_bytes)} of {making.shown(found.total_bytes)} are free where ATRIUM_VAR lies"
    if found.is_full:
        yield bad("disk", f"{said}: the device door refuses everything.", f"Make room: du -xh -d2 {settings.VAR} | sort -h | tail")
    elif found.is_nearly_full:
        yield bad("disk", f"{said}. Soon the device door refuses everything.", f"Make room: du -xh -d2 {settings.VAR} | sort -h | tail")
    else:
        yield good("disk", f"{said}.")


def files() -> Iterable[Finding]:
    """Secrets, and what has people's names in it, are for their owner alone."""
    open_ones = [path for path in _private() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in open_ones:
        yield bad("files", f"{path} can be read by others on this machine.", f"chmod go= {path}")
    if not os.access(settings.VAR if settings.VAR.exists() else settings.VAR.parent, os.W_OK):
        yield bad("files", f"{settings.VAR} cannot be written by this account.", "Run as the account that Atrium runs as, or set ATRIUM_VAR.")
    elif not open_ones:
        yield good("files", "Secrets and backups can be read by their owner alone.")


def _private() -> Iterator[Path]:
    for name in ("secret_key", "pg.url", "demo.json"):
        if (settings.VAR / name).exists():
            yield settings.VAR / name
    yield from (settings.VAR / "pg").glob("password.*")
    place = settings.BACKUP_URL
    if place.startswith("/"):
        yield from (path for path in (Path(place), *Path(place).glob("*/*.dump"), *Path(place).glob("ledger/*.jsonl")) if path.exists())


def runs_here() -> bool:
    """Whether Atrium runs with this ATRIUM_VAR under its own supervisor."""
    path = settings.VAR / "run.lock"
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def port() -> Iterable[Finding]:
    """Taken by Atrium where it runs, free where it does not."""
    with socket.socket(socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET) as probe:
        probe.settimeout(2)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104 (what it listens on)
        taken = probe.connect_ex((host, settings.PORT)) == 0
    runs, where = runs_here(), f"Port {settings.PORT} of {settings.HOST}"
    if runs and not taken:
        yield bad("port", f"Atrium runs here, but nothing answers at {where.lower()}.", "Read the lines of `web` in its log.")
    elif runs:
        yield good("port", f"Atrium runs here, and {where.lower()} answers.")
    elif taken and settings.EMBEDDED:
        yield bad("port", f"Atrium does not run here, and {where.lower()} is taken by something else.", "Stop that, or set PORT to another.")
    else:
        yield good("port", f"{where} {'answers' if taken else 'is free'}; no supervisor runs on this machine with this ATRIUM_VAR.")
