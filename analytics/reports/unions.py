"""The people of many days together, kept in this process by what the days contain: of a year's weeks only the running one is united again."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from threading import Lock
from typing import Final

import numpy as np
from pyroaring import BitMap

from analytics.days import Days
from analytics.reports.reading import union
from analytics.stays import Ints

KEPT_BYTES: Final = 64 * 1024 * 1024
FEWEST: Final = 4  # of fewer sets the union costs no more than looking for it

_kept: OrderedDict[bytes, tuple[BitMap, int]] = OrderedDict()
_lock: Final = Lock()
_size = 0


def united(sets: Sequence[BitMap], digests: Ints) -> BitMap:
    """The union of the days' sets, for reading only. `digests`: of each day's content, 0 where the day is read from its stays (analytics.days)."""
    if len(sets) == 1:
        return sets[0]
    if len(sets) < FEWEST:
        return union(sets)
    live = np.flatnonzero(digests == 0).tolist()
    if not live:
        return _of_stored(sets, digests)
    stored = np.flatnonzero(digests)
    return union([*([_of_stored([sets[place] for place in stored.tolist()], digests[stored])] if len(stored) else []), *(sets[place] for place in live)])


def members_of(days: Days) -> BitMap:
    """Everybody with a visit in the days' entries, for reading only."""
    return united(days.columns["members"], days.digest) if len(days) else BitMap()


def _of_stored(sets: Sequence[BitMap], digests: Ints) -> BitMap:
    key = blake2b(digests.tobytes(), digest_size=16).digest()
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key][0]
    found = union(sets)
    _keep(key, found)
    return found


def _keep(key: bytes, found: BitMap) -> None:
    global _size
    size = sum(int(str(value)) for name, value in found.get_statistics().items() if name.startswith("n_bytes")) + 500
    with _lock:
        if key in _kept:
            return
        _kept[key] = found, size
        _size += size
        while _size > KEPT_BYTES:
            _size -= _kept.popitem(last=False)[1][1]


def forget() -> None:
    global _size
    with _lock:
        _kept.clear()
        _size = 0
