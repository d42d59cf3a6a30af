"""The table of what runs, and one call that runs it: `run(PROCESSES)`, or `run([*PROCESSES, Process(...)])` with more.

manage.py run       the house
manage.py demo      the house and a demonstration
"""

import asyncio
import errno
import fcntl
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import IO, Final

from django.conf import settings

from engagement import watchdog
from engagement.console import Console
from engagement.embedded import Cluster, Unusable
from engagement.logbook import Logbook
from engagement.processes import WEB, WORK, Keeper, Process

__all__ = ["PROCESSES", "WEB", "WORK", "Process", "run"]

_PYTHON: Final = sys.executable
_MANAGE: Final = (_PYTHON, str(settings.BASE_DIR / "manage.py"))
_CELERY: Final = (_PYTHON, "-m", "celery", "--quiet", "--app", "engagement")
# The worker may well run as root on somebody's machine: it takes no pickled messages, which is what Celery fears.
_QUIET: Final = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"}


def _house() -> list[Process]:
    """Everything but the database and its preparation."""
    web = [_PYTHON, "-m", "granian", "--interface", "asgi", "--host", settings.HOST, "--port", str(settings.PORT)]
    web += ["--workers", "1", "--loop", "uvloop", "--no-ws", "--workers-kill-timeout", "5", "engagement.asgi:application"]
    streams = settings.ATRIUM_STREAMS
    worker = [*_CELERY, "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "INFO"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # workers have nothing to tell each other, and SQS could not carry it
    return [
        Process("web", web),
        *(Process("stream" if streams == 1 else f"stream-{n + 1}", [*_MANAGE, "stream", "--number", str(n), "--of", str(streams)]) for n in range(streams)),
        Process("figures", [*_MANAGE, "figures"]),
        Process("worker", [*worker, "--queues", "atrium"], environment=_QUIET, floor=WORK),
        Process("sender", [*worker, "--queues", "sending", "--hostname", "sender@%h"], environment=_QUIET, floor=WORK),
        Process("scheduler", [*_CELERY, "beat", "--pidfile", "", "--loglevel", "INFO"], floor=WORK),
        Process("watch", [*_MANAGE, "watch"], floor=WORK),
    ]


PROCESSES: Final = tuple(_house())


def run(processes: Sequence[Process], *, welcome: str = "") -> int:
    """Run the database, prepare it, then run `processes` until Ctrl-C. The exit code: 1 where the start failed, told in one sentence."""
    console = Console(sys.stdout, objects=settings.LOG_FORMAT == "json", book=Logbook(settings.VAR / "log"))
    address = f"http://{f'[{settings.HOST}]' if ':' in settings.HOST else settings.HOST}:{settings.PORT}"
    try:
        lock = _take_lock()
        with lock:
            _check_port()
            cluster = Cluster(settings.VAR / "pg", choice=settings.ATRIUM_POSTGRES, url_file=settings.VAR / "pg.url") if settings.EMBEDDED else None
            keeper = Keeper(processes, root=settings.BASE_DIR, cluster=cluster, first=Process("prepare", [*_MANAGE, "prepare"]), console=console)
            said = welcome or f"Atrium runs at {address}/admin/. Press Ctrl-C to stop it."
            return asyncio.run(keeper.run(welcome=said, ready=_answering(f"{address}/healthz/live"), kept_open=lock.fileno()))
    except Unusable as trouble:
        print(trouble, file=sys.stderr)  # noqa: T201 (the person who typed the command)
        return 1


def _take_lock() -> IO[str]:
    """One run a folder. What a killed run left is being ended by its watchdog, which holds the lock for so long."""
    try:
        settings.VAR.mkdir(parents=True, exist_ok=True)
        lock = (settings.VAR / "run.lock").open("a+")
    except OSError as error:
        raise Unusable(f"ATRIUM_VAR is {str(settings.VAR)!r} ({error.strerror}). Give a folder that can be written.") from None
    deadline = time.monotonic() + watchdog.GRACE_S + 5
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            if _lives(int(lock.read() or 0)) or time.monotonic() > deadline:
                lock.close()
                raise Unusable(f"Atrium is running already with the data in {settings.VAR}. Stop it, or set ATRIUM_VAR to another folder.") from None
            time.sleep(0.2)
            continue
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock


def _check_port() -> None:
    elsewhere = f"HOST is {settings.HOST!r}. Give an address of this machine, as 127.0.0.1 or 0.0.0.0."
    try:
        family, kind, _, _, where = socket.getaddrinfo(settings.HOST, settings.PORT, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise Unusable(elsewhere) from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise Unusable(elsewhere) from None
            raise Unusable(f"Port {settings.PORT} of {settings.HOST} cannot be used ({error.strerror}). Stop what uses it, or set PORT to another.") from None


def _answering(url: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own address)
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    return asked


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
