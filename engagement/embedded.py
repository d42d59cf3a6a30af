"""The embedded PostgreSQL: find the server's binaries, make a cluster in a folder, start it, stop it.

The server's own programs are used, never a package's Python interface around them: a cluster is then the same thing with
every origin, listens on 127.0.0.1 alone, asks for a password and keeps what it has committed.

    Unusable            one sentence for a person: what is wrong, and what to do
"""

import contextlib
import fcntl
import locale
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psycopg

from engagement.postgres import CHOICES, Tools, Unusable, account, find, launcher

__all__ = ["CHOICES", "Cluster", "Tools", "Unusable", "find"]

OWNER: Final = "atrium"  # the application's role and database: no superuser, so that row security binds it too
STOP_SIGNALS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
START_WITHIN_S: Final = 60.0  # recovery after a crash under load reads up to max_wal_size
STOP_WITHIN_S: Final = 20.0
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may not be longer than 107 bytes, and folders are what people make them
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "max_locks_per_transaction": "256",  # a query over all daily partitions locks each of them and its index
    "random_page_cost": "1.1",
    "jit": "off",  # the queries are short; compiling them costs more than it saves
    "autovacuum_naptime": "15s",  # the inbox lives for milliseconds and must not grow
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}

_NOT_OURS: Final = "{} belongs to another account. Run as that one, or set ATRIUM_VAR to another folder."


class Cluster:
    """One cluster in `folder`: `data`, its passwords, its port, and a lock so that two runs never share it.

    The thread that calls `start` must outlive the server: on Linux the server stops when that thread ends (also by kill -9).
    """

    def __init__(self, folder: Path, *, choice: str = "auto", url_file: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.url_file = url_file or self.folder / "url"
        made_by = self._made_by()
        self.tools = find(choice, major=int(made_by) if made_by else None)
        self.settings = {**SETTINGS, **(settings or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._launcher: Sequence[str] = ()

    @property
    def port(self) -> int:
        return int((self.folder / "port").read_text())

    @property
    def url(self) -> str:
        """The application's address. Its role may make databases (the tests do), and is not a superuser."""
        return self.address()

    def address(self, *, role: str = OWNER, database: str = OWNER) -> str:
        """The address for `role`: `atrium`, or the superuser `postgres`."""
        return f"postgres://{role}:{self._secret(role)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, start it, and wait until it answers. Raises Unusable."""
        self.prepare()
        log = self.folder / "log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.data)
        deadline = time.monotonic() + START_WITHIN_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop(mode="immediate")
                raise Unusable(f"PostgreSQL did not start. Its last words in {log}: {_last_line(log)}")
            time.sleep(0.05)
        self.complete()

    def stop(self, *, mode: str = "fast") -> None:
        """`fast` finishes cleanly; `immediate` is a crash that the next start recovers from. Keeps nothing running in any case."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(STOP_SIGNALS[mode])
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        self.release()

    def prepare(self) -> None:
        """Everything before the server is started: lock, data folder, no leftovers, a port. Raises Unusable."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._own_account()
            self._check_version()
            if not self.data.exists():
                self._initialise()
            self.end_leftovers()
            self._choose_port()
        except BaseException:
            self.release()
            raise

    def command(self) -> list[str]:
        """The server in the foreground, as the account it needs."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in {**self.settings, "port": str(self.port)}.items()]
        return [*self._launcher, str(self.tools.folder / "postgres"), "-D", str(self.data), *options]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.address(role="postgres", database="postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def complete(self) -> None:
        """The application's role and database, and its address where the settings read it."""
        with psycopg.connect(self.address(role="postgres", database="postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
                connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB PASSWORD '{self._secret(OWNER)}'")
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [OWNER]).fetchone():
                connection.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
        _write_private(self.url_file, self.url)

    def end_leftovers(self) -> None:
        """Stop a server that a killed run left on this folder, and the sessions that a killed server left. The lock is ours, so nobody needs them."""
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists():
            server = int(pid_file.read_text().split("\n", 1)[0])
            shown = _command_line(server)
            if str(self.data) in shown:
                _kill(server, signal.SIGINT)
                _wait_for_end(server, STOP_WITHIN_S)
            elif shown and "postgres" not in shown:
                pid_file.unlink(missing_ok=True)  # the number belongs to another program by now, and PostgreSQL would wait for it to end
        deadline = time.monotonic() + STOP_WITHIN_S
        while (left := _processes_in(self.data)) and time.monotonic() < deadline:
            for pid in left:
                _kill(pid, signal.SIGKILL)  # a session busy with a query does not notice that its server is gone
            time.sleep(0.02)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise Unusable(f"The database in {self.folder} is in use by another run. Stop that one, or set ATRIUM_VAR to another folder.") from error

    def _own_account(self) -> None:
        """Decide under which account the server runs, and that it can reach its binaries and its data from there."""
        owner = self.data.stat() if self.data.exists() else None
        if owner is not None and os.geteuid() not in {0, owner.st_uid}:
            raise Unusable(_NOT_OURS.format(self.data))
        self._account = account(owner)
        probe = self.data if owner else self.folder / "data.new"
        if owner is None:
            shutil.rmtree(probe, ignore_errors=True)  # what an interrupted start had begun
            probe.mkdir(mode=0o700)
            if self._account:
                os.chown(probe, self._account.uid, self._account.gid)
        self._launcher = launcher(self._account, program=self.tools.folder / "postgres", folder=probe)

    def _made_by(self) -> str | None:
        kept = self.data / "PG_VERSION"
        try:
            return kept.read_text().strip() if kept.exists() else None
        except PermissionError as error:
            raise Unusable(_NOT_OURS.format(self.data)) from error

    def _check_version(self) -> None:
        made_by = self._made_by()
        if made_by and made_by != str(self.tools.major):
            raise Unusable(
                f"{self.data} was made by PostgreSQL {made_by}, but the server found is {self.tools.major} ({self.tools.folder}). "
                "Set ATRIUM_POSTGRES to the one that made it (system or package), or set ATRIUM_VAR to another folder."
            )

    def _initialise(self) -> None:
        """Made beside its final name and renamed when whole, so that an interrupted start leaves no half of a cluster."""
        fresh = self.folder / "data.new"
        for role in ("postgres", OWNER):
            _write_private(self._secret_file(role), secrets.token_urlsafe(24))
        told = self.folder / "password.new"  # in the hands of the account that reads it, for as long as it does
        _write_private(told, self._secret("postgres"))
        if self._account:
            os.chown(told, self._account.uid, self._account.gid)
        command = [*self._launcher, str(self.tools.folder / "initdb"), "-D", str(fresh), "-U", "postgres", "-A", "scram-sha-256"]
        command += [f"--pwfile={told}", "-E", "UTF8", "--lc-collate=C", f"--lc-ctype={_character_locale()}", "--lc-messages=C"]
        # fsync is off only where somebody says so for a throw-away cluster.
        command += ["--no-sync"] if self.settings["fsync"] == "off" else []
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=fresh, check=False)
        told.unlink()
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise Unusable(f"initdb could not make a database in {self.folder}. It said: {words[-1]}")
        fresh.rename(self.data)

    def _choose_port(self) -> None:
        """The port of the last start, so that addresses people copied go on working; another where somebody took it."""
        kept = self.folder / "port"
        if not (kept.exists() and _is_free(int(kept.read_text()))):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                kept.write_text(str(probe.getsockname()[1]))

    def _secret_file(self, role: str) -> Path:
        return self.folder / f"password.{role}"

    def _secret(self, role: str) -> str:
        return self._secret_file(role).read_text()


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    fresh.rename(path)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _character_locale() -> str:
    """What is a letter, and its capital, for all of Unicode; sorting stays by bytes, the same with every build."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C"


def _processes_in(folder: Path) -> list[int]:
    """The sessions of a PostgreSQL server with this data folder: it is their working folder. Empty where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == "postgres" and (entry / "cwd").readlink() == folder.resolve():
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
    return sorted(found)


def _command_line(pid: int) -> str:
    """Empty where the process does not exist, or may not be looked at."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # sessions end by themselves too, also between the look and the signal
        os.kill(pid, number)


def _wait_for_end(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
