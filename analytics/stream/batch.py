"""Inbox rows as columns of events."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analytics.places import Events
from analytics.stream.claim import Claimed
from engagement import faults, inbox

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - EPOCH) // _MICROSECOND


def to_datetime(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


@dataclass(slots=True)
class Batch:
    """Rows, what they said, and their events as columns; `row` is the index into the first two."""

    claimed: list[Claimed]
    said: list[inbox.Row]
    row: Ints
    records: npt.NDArray[np.void]  # dtype inbox.RECORD
    occurred_at: Ints
    id_high: npt.NDArray[np.uint64]  # the event id's two halves: comparable, as UUIDs compare
    id_low: npt.NDArray[np.uint64]

    def take(self, chosen: Bools) -> "Batch":
        """The same rows with some of the events."""
        return Batch(self.claimed, self.said, self.row[chosen], self.records[chosen], self.occurred_at[chosen], self.id_high[chosen], self.id_low[chosen])

    def of_rows(self, kept: Bools) -> "Batch":
        """Some of the rows with their events."""
        mine, number, left = kept[self.row], np.cumsum(kept) - 1, np.flatnonzero(kept).tolist()
        claimed, said = [self.claimed[row] for row in left], [self.said[row] for row in left]
        return Batch(claimed, said, number[self.row[mine]], self.records[mine], self.occurred_at[mine], self.id_high[mine], self.id_low[mine])

    def beside(self, event: int) -> Any:
        """What travelled beside the event: a transition's zone key, or a custom event's (name, properties)."""
        return self.said[int(self.row[event])].extras[int(self.records["extra"][event])]

    def columns(self, chosen: Ints) -> Events:
        """The chosen events as places.py takes them."""
        records = self.records[chosen]
        keys: list[str | None] = [None] * len(chosen)
        for position in np.flatnonzero(records["kind"] == inbox.TRANSITION).tolist():
            keys[position] = self.beside(int(chosen[position]))
        return Events(records["kind"], self.occurred_at[chosen], records["body"], records["flag"], records["rssi"], keys)


def decode(claimed: list[Claimed]) -> Batch:
    """Raises where a payload is damaged: the row is poison then, and is set aside."""
    said = [inbox.unpack(one.payload) for one in claimed]
    for one in said:
        faults.marked(one.device)
    count = [len(one.records) // inbox.RECORD.itemsize for one in said]
    records = np.frombuffer(b"".join([one.records for one in said]), dtype=inbox.RECORD)
    row = np.repeat(np.arange(len(said)), count)
    skew = np.array([one.skew_us for one in said], dtype=np.int64)
    halves = np.ascontiguousarray(records["id"]).view(">u8").reshape(-1, 2).astype(np.uint64)
    return Batch(claimed, said, row, records, records["at"].astype(np.int64) + skew[row], halves[:, 0], halves[:, 1])
