"""A file system of some megabytes, where this account may mount one."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("This account may not mount a file system; the guard is tried without.")
    for parent in folder.parents:  # the database may be another account's
        if parent.is_relative_to(tempfile.gettempdir()):
            parent.chmod(parent.stat().st_mode | 0o011)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(path: Path) -> None:
    """Until nothing more fits."""
    with path.open("wb", buffering=0) as ballast:
        for size in (1024**2, 4096):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue
