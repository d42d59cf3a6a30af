"""Where the processes of one machine lay down what they counted: a file each, under ATRIUM_VAR/metrics.

A process takes the first free place of its name (`web.0`, `web.1`) and holds it by a lock that ends with it, however it ends. Whoever comes after it
takes the same place and goes on with its counts: so nothing is left behind by the dead, and no count ever goes back, which a reader would take for a
restart of all of them. What a process counted in the last seconds before it was killed is lost.
"""

import contextlib
import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from engagement.metrics.measures import FAMILIES, Counter, Family, Histogram

PLACES: Final = 256
FORGOTTEN_S: Final = 7 * 86_400.0  # a name that nobody has had for so long is gone for good
_NAME: Final = re.compile(r"([a-z][a-z0-9-]*)\.(\d+)\.json")

State = dict[str, Any]  # of a family, as it is written: kind, text, labels, bounds, and for each child its values and its state


class Full(Exception):
    """All places of this name are taken."""


class Place:
    """One process's own file. Kept open for as long as the process lives: closing the lock would give the place away."""

    def __init__(self, folder: Path, process: str) -> None:
        self._writing = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(PLACES):
            handle = os.open(folder / f"{process}.{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            self._lock, self._file = handle, folder / f"{process}.{number}.json"
            return
        raise Full(process)

    def left_behind(self) -> dict[tuple[str, tuple[str, ...]], Any]:
        """What whoever had the place before had counted: (name, values of the labels) -> its state."""
        found = _read(self._file)
        return {(name, tuple(values)): state for name, family in found.items() for values, state in family["children"]}

    def write(self) -> None:
        """Whole or not at all; also of two threads, whoever reads in between."""
        fresh = self._file.with_suffix(".new")
        with self._writing:
            fresh.write_text(json.dumps({name: state(family) for name, family in list(FAMILIES.items())}, separators=(",", ":")))
            fresh.replace(self._file)

    def close(self) -> None:
        os.close(self._lock)


def state(family: Family[Any]) -> State:
    kind = "histogram" if family.bounds else "counter"
    children = [
        [list(values), child.value if isinstance(child, Counter) else [list(child.counts), child.sum]] for values, child in list(family.children.items())
    ]
    return {"kind": kind, "text": family.text, "labels": list(family.labels), "bounds": list(family.bounds), "children": children}


def _of(child: Counter | Histogram) -> Any:
    return child.value if isinstance(child, Counter) else [list(child.counts), child.sum]


def tidy(folder: Path) -> None:
    """Names that nobody has any more: of streams, after there are fewer."""
    for path, _process in _files(folder):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink()


def read(folder: Path) -> dict[str, dict[tuple[str, ...], State]]:
    """All that the processes of this machine laid down: by name of the family and then by process, several of one name each by itself."""
    found: dict[str, dict[tuple[str, ...], State]] = {}
    for path, process in _files(folder):
        for name, family in _read(path).items():
            found.setdefault(name, {})[process, path.name] = family
    return found


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.glob("*.json")):
        if named := _NAME.fullmatch(path.name):
            yield path, named[1]


def _read(path: Path) -> dict[str, State]:
    """Nothing where there is nothing that can be read: a count that begins anew is better than a process that does not."""
    try:
        found = json.loads(path.read_bytes())
        return {name: family for name, family in found.items() if {"kind", "text", "labels", "bounds", "children"} <= family.keys()}
    except (OSError, ValueError, AttributeError):
        return {}
