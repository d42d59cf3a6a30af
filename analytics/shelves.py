"""What was unpacked from the database, kept in this process. Pure."""

from collections import OrderedDict
from threading import Lock
from typing import Any


class Shelves:
    """Unpacked columns by their content's digest, so that none is ever out of date. One shelf for each zone and column; the least recently
    used shelves go first."""

    def __init__(self, most: int) -> None:
        self._most, self._size, self._lock = most, 0, Lock()
        self._shelves: OrderedDict[tuple[int, str], tuple[dict[int, Any], list[int]]] = OrderedDict()

    def get(self, shelf: tuple[int, str], digests: list[int]) -> list[Any]:
        with self._lock:
            known = self._shelves.get(shelf)
            if known is None:
                return [None] * len(digests)
            self._shelves.move_to_end(shelf)
            return list(map(known[0].get, digests))

    def put(self, shelf: tuple[int, str], values: list[tuple[int, Any, int]]) -> None:
        """`values`: of each its digest, itself and its size in bytes."""
        with self._lock:
            known, size = self._shelves.setdefault(shelf, ({}, [0]))
            for digest, value, bytes_ in values:
                if digest not in known:
                    size[0] += bytes_
                    self._size += bytes_
                known[digest] = value
            self._shelves.move_to_end(shelf)
            while self._size > self._most and len(self._shelves) > 1:
                self._size -= self._shelves.popitem(last=False)[1][1][0]

    def clear(self) -> None:
        with self._lock:
            self._shelves.clear()
            self._size = 0
