"""What became of the events: outcome counters, and a sample of the last ones for the live page."""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

from analytics.stream import timing
from analytics.stream.batch import Batch
from analytics.stream.claim import Claimed
from engagement.inbox import KIND_NAMES

Bools = npt.NDArray[np.bool_]
Connection = psycopg.Connection[tuple[Any, ...]]

ACCEPTED: Final = "accepted"
UNMATCHED: Final = "unmatched"
DUPLICATE: Final = "duplicate"
ERASED: Final = "erased"
TOO_OLD: Final = "too_old"  # as the door says it: its raw events are closed
SAMPLE: Final = 20  # events of a transaction shown on the live page
SAMPLE_KEPT: Final = "10 minutes"
TOLD_KEPT: Final = "7 days"
PRUNED: Final = 50_000  # rows looked at in one go


def count(connection: Connection, batch: Batch, kept: Bools, outcome: npt.NDArray[np.object_], shard: int) -> None:
    """Add the outcomes of the events, and the refusals of their requests, to the hour of receipt.

    `shard` is one that this transaction has locked: no other transaction touches its rows.
    """
    total: Counter[tuple[int, datetime, str]] = Counter()
    hours = [(row.organisation, row.received_at.replace(minute=0, second=0, microsecond=0)) for row in batch.claimed]
    for name in (ACCEPTED, UNMATCHED, DUPLICATE):
        for i, number in enumerate(np.bincount(batch.row[outcome == name], minlength=len(hours)).tolist()):
            if number:
                total[*hours[i], name] += number
    for i in np.flatnonzero(kept).tolist():
        for _, _, reason in batch.said[i].rejected:
            total[*hours[i], reason] += 1
    _add(connection, total, shard)


def count_left_out(connection: Connection, outcome: str, rows: list[Claimed], shard: int) -> None:
    """Add events that were not taken in, because they are from before an erasure or from closed days: the row of each."""
    _add(connection, Counter((row.organisation, row.received_at.replace(minute=0, second=0, microsecond=0), outcome) for row in rows), shard)


def _add(connection: Connection, total: Counter[tuple[int, datetime, str]], shard: int) -> None:
    if total:
        for (_, _, outcome), events in total.items():
            timing.became(outcome, events)
        ordered = sorted(total)
        connection.execute(
            """INSERT INTO engagement_outcome AS t (organisation_id, hour, shard, outcome, events)
               SELECT o, h, %s, r, n FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[]) AS x(o, h, r, n)
               ON CONFLICT (organisation_id, hour, shard, outcome) DO UPDATE SET events = t.events + excluded.events""",
            [shard, [k[0] for k in ordered], [k[1] for k in ordered], [k[2] for k in ordered], [total[k] for k in ordered]],
        )


def sample(connection: Connection, batch: Batch, kept: Bools, outcome: npt.NDArray[np.object_], zones: dict[int, str]) -> None:
    """Keep the last few events and refusals for people to look at. `zones` gives the zones that an event opened."""
    rows: list[tuple[int, datetime, str, str, str, str]] = []
    for event in np.flatnonzero(outcome != None)[-SAMPLE:].tolist():  # noqa: E711 (elementwise)
        row, said = batch.claimed[int(batch.row[event])], batch.said[int(batch.row[event])]
        rows.append((row.organisation, row.received_at, said.device, KIND_NAMES[int(batch.records["kind"][event])], outcome[event], zones.get(event, "")))
    for i in np.flatnonzero(kept)[-SAMPLE:].tolist():
        row, said = batch.claimed[i], batch.said[i]
        rows += [(row.organisation, row.received_at, said.device, "", reason, "") for _, _, reason in said.rejected[:SAMPLE]]
    if rows:
        connection.execute(
            """INSERT INTO engagement_recentevent (organisation_id, received_at, device, kind, outcome, zones)
               SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[])""",
            [[row[i] for row in rows[: 2 * SAMPLE]] for i in range(6)],
        )


def prune(connection: Connection) -> None:
    """Forget old samples and what the outbox told long ago; a slice at a time, the oldest first. Cheap: both go by the primary key."""
    for table, moment, kept in (("engagement_recentevent", "received_at", SAMPLE_KEPT), ("analytics_transition", "created_at", TOLD_KEPT)):
        connection.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT {PRUNED}) AND {moment} < now() - interval '{kept}'")
