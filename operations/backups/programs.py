"""pg_dump and pg_restore. How the database is reached stands in their environment, never on a command line or in a log."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from django.db import connections

from engagement import postgres
from operations.backups.trouble import Broken, Trouble

JOBS: Final = 2  # sessions that restore side by side
COMPRESSION: Final = "1"  # gzip's quickest: a backup is made beside everything else, on the same cores
_VARIABLES: Final = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip


class Dump:
    """A running pg_dump, read as a file. It ends with an error where pg_dump does, so what reads it never takes half a dump for a whole one."""

    def __init__(self, *, database: str, snapshot: str, major: int) -> None:
        program = _folder(major) / "pg_dump"
        command = [str(program), "--format=custom", f"--compress={COMPRESSION}", f"--snapshot={snapshot}", "--no-owner", "--no-privileges"]
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the dump)
        self._process = subprocess.Popen(
            [*command, "--no-password"], env=_environment(database), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._words
        )
        self._digest = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        assert self._process.stdout is not None
        piece = self._process.stdout.read(size)
        self._digest.update(piece)
        self.bytes += len(piece)
        if not piece and self._process.wait():
            raise Trouble(f"pg_dump failed: {_last_line(self._words)}")
        return piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> "Dump":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdout is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()


def restore(dump: Path, *, database: str, major: int) -> None:
    """Into an empty database, whole or with Trouble."""
    command = [
        str(_folder(major) / "pg_restore"),
        f"--dbname={database}",
        f"--jobs={JOBS}",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        "--no-password",
    ]
    with tempfile.TemporaryFile() as words:
        done = subprocess.run([*command, str(dump)], env=_environment(database), stdin=subprocess.DEVNULL, stdout=words, stderr=words, check=False)
        if done.returncode:
            raise Broken(f"pg_restore failed: {_last_line(words)}")


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _folder(major: int) -> Path:
    try:
        return postgres.clients(major)
    except postgres.Unusable as missing:
        raise Trouble(str(missing)) from None


def _environment(database: str) -> dict[str, str]:
    params = connections["default"].get_connection_params()
    known = {variable: str(params[name]) for name, variable in _VARIABLES.items() if params.get(name)}
    mine = {"PGDATABASE": database, "PGAPPNAME": "atrium backup"}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, **known, **mine}


def _last_line(words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").strip().splitlines()
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "it said nothing")[:500]
