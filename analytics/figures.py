"""Making zones' days again: the one writer of ZoneDay. A process of its own (manage.py figures); several would share the venues.

    marks and due days  ->  a lock on each venue  ->  its stays  ->  facts  ->  the zone's day, whole

The marks are read before the lock, and the stays after it: what a mark speaks of is committed with it, so it is read. A day that is not
over, or has stays that may still grow, is noted as due and read from its stays until then (analytics.days).
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import psycopg
from django.conf import settings

from analytics import binary, days, facts, marks, premises, regulars
from analytics.calendars import to_date, to_day, to_moment, to_us
from analytics.days import Cursor, Key
from analytics.facts import Day
from analytics.premises import Premises
from analytics.stays import Bools, Ints
from engagement import health, metrics
from engagement.database import connect
from engagement.faults import point

DAYS: Final = metrics.counter("atrium_zone_days_total", "Zones' days that were made into figures, or noted")
STEP_SECONDS: Final = metrics.histogram("atrium_figures_step_seconds", "How long one step of making figures takes, where there is something to make")
Connection = psycopg.Connection[tuple[Any, ...]]
logger = logging.getLogger("atrium.figures")

PROCESS: Final = "figures"
MARKS: Final = 20_000  # looked at in one transaction
ZONE_DAYS: Final = 300  # made in one transaction
PIECES: Final = 50  # whose stays are in memory at once
LOCK: Final = 0x4647  # class of the advisory locks on venues
REST_S: Final = 0.5
CAREFUL: Final = 100  # steps of one zone each after a failure
LEAST_SHARE: Final = 2.0  # rests at least so many times as long as it worked: it must not take the processor from the stream
SESSION: Final = "-c jit=off -c plan_cache_mode=force_custom_plan -c statement_timeout=120s -c lock_timeout=10s"
STANDING_STILL: Final = f"-c idle_in_transaction_session_timeout={settings.WORK_IDLE_S}s"  # what such a process held is another's then
_COLUMNS: Final = (
    "zone_id", "day", "open", "built_at", "restated_at", "reach", "digest", "visits", "visitors", "pass_bys", "dwell_us", *facts.COLUMNS,
)  # fmt: skip
_TYPES: Final = (
    "int8", "date", "bool", "timestamptz", "timestamptz", "timestamptz", "int8", "int4", "int4", "int4", "int8", *["bytea"] * len(facts.COLUMNS),
)  # fmt: skip


@dataclass(slots=True)
class Known:
    """What is stored of a zone's day."""

    due: bool = False
    sealed: bool = False  # it was made once, after it was over
    restated_at: datetime | None = None
    digest: dict[bool, int] = field(default_factory=dict)  # by part


def step(connection: Connection, *, now: datetime | None = None, careful: bool = False) -> int:
    """Make again what is marked and what is due; returns the number of zones' days made or noted. All of it is committed, or nothing.

    `careful`: one zone alone, whichever. What fails then keeps no other zone from being made.
    """
    moment = to_us(now) if now else time.time_ns() // 1000
    with connection.transaction(), connection.cursor() as cursor:
        taken = binary.fetch(
            cursor,
            {"id": ("int8", "m.id"), "zone": ("int8", "m.zone_id"), "hour": ("int4", "m.hour")},
            "FROM (SELECT * FROM analytics_mark ORDER BY id LIMIT %(most)s) m",
            {"most": MARKS},
        )
        due = cursor.execute("SELECT DISTINCT zone_id, day FROM analytics_zoneday WHERE due_at <= %s LIMIT %s", [to_moment(moment), ZONE_DAYS]).fetchall()
        if not len(taken["id"]) and not due:
            return 0
        ground = premises.around(cursor, sorted({*taken["zone"].tolist(), *(zone for zone, _ in due)}))
        wanted = days.keys_of_marks(ground.clock, taken["zone"], taken["hour"]) | {(zone, to_day(day)) for zone, day in due if zone in ground.clock}
        keys = _share(cursor, ground, wanted, careful=careful)
        point("figures.locked")
        rebuild(cursor, ground, sorted(keys), now=moment)
        regulars.suggest(cursor, ground, sorted(keys))
        told = _told(ground, taken["zone"], taken["hour"], keys)
        cursor.execute("DELETE FROM analytics_mark WHERE id = ANY(%s)", [taken["id"][told].tolist()])
        point("figures.before_commit")
    return len(keys)


def _share(cursor: Cursor, ground: Premises, wanted: set[Key], *, careful: bool) -> set[Key]:
    """As many of the days as one transaction makes, of venues that nobody else works on, and the days above them.

    Day by day, all zones of a venue together: the day of its root, which changes with each of them, is then made once.
    """
    if careful:
        alone = random.sample(sorted({zone for zone, _ in wanted}), min(len(wanted), 1))
        wanted = {key for key in wanted if key[0] in alone}
    listed = sorted(wanted, key=lambda key: (key[1], ground.root.get(key[0], key[0]), key[0]))
    for first in range(0, len(listed), ZONE_DAYS):
        chosen = set(listed[first : first + ZONE_DAYS])
        free = _lock(cursor, sorted({ground.root.get(zone, zone) for zone, _ in chosen}))
        if keys := {key for key in chosen if ground.root.get(key[0], key[0]) in free}:
            return keys | days.roots_touched(cursor, ground, keys)
    return set()


def _lock(cursor: Cursor, roots: list[int]) -> set[int]:
    """Those venues that nobody else holds. Tried, never waited for; held until the commit. Without it, of two who read at different times the
    earlier could write last. A venue as a whole: how far the visits of one day reach into others is known only when nobody is making it."""
    rows = cursor.execute(
        "SELECT root FROM unnest(%s::bigint[]) AS w(root) WHERE pg_try_advisory_xact_lock(%s, (root %% 2147483647)::int)",
        [roots, LOCK],
    )
    return {root for (root,) in rows}


def _told(ground: Premises, zone: Ints, hour: Ints, keys: set[Key]) -> Bools:
    """Which of the marks have nothing to say any more: all their days are made, or the zone is gone."""
    made = np.array(sorted(days.single(*key) for key in keys), dtype=np.int64)
    first, last = days.days_of_marks(ground.clock, zone, hour)
    told: Bools = (first == days.NOWHERE) | (np.isin(days.single(zone, first), made) & np.isin(days.single(zone, last), made))
    return told


def rebuild(cursor: Cursor, ground: Premises, keys: Sequence[Key], *, now: int) -> None:
    """Make these zones' days again, or note when they are due. The caller holds their locks, or is the only one."""
    known = _known(cursor, keys)
    running = [key for key in keys if ground.clock[key[0]].begin(key[1] + 1) > now]
    _note(cursor, [(*key, ground.clock[key[0]].begin(key[1] + 1)) for key in running if key not in known or not known[key].due], now)
    over = [key for key in keys if ground.clock[key[0]].begin(key[1] + 1) <= now]
    for first in range(0, len(over), PIECES):
        slice_ = over[first : first + PIECES]
        made = days.with_flows(cursor, days.make(cursor, [days.whole(*key, ground.clock[key[0]]) for key in slice_], now=now), ground)
        settles = {key: max((day.settles_at for part in (True, False) if (day := made.get((*key, part)))), default=0) for key in slice_}
        _note(cursor, [(*key, settles[key]) for key in slice_ if settles[key] > now], now)
        _write(cursor, [key for key in slice_ if settles[key] <= now], made, known, now)


def _known(cursor: Cursor, keys: Sequence[Key]) -> dict[Key, Known]:
    rows = cursor.execute(
        """SELECT d.zone_id, d.day - date '1970-01-01', d.open, d.due_at IS NOT NULL, d.built_at, d.restated_at, d.digest
           FROM unnest(%s::bigint[], %s::int[]) AS w(zone_id, day) JOIN analytics_zoneday d ON d.zone_id = w.zone_id AND d.day = date '1970-01-01' + w.day""",
        [[zone for zone, _ in keys], [day for _, day in keys]],
    ).fetchall()
    known: dict[Key, Known] = {}
    for zone, day, part, due, built_at, restated_at, digest in rows:
        one = known.setdefault((zone, day), Known())
        one.digest[part] = digest
        if part:
            one.due, one.restated_at, one.sealed = due, restated_at, built_at is not None
    return known


def _note(cursor: Cursor, due: list[tuple[int, int, int]], now: int) -> None:
    """Zones' days that their stays tell until an instant. What was made of them is kept, to be compared with what comes."""
    if due:
        cursor.execute(
            """INSERT INTO analytics_zoneday (zone_id, day, open, due_at)
               SELECT w.zone_id, date '1970-01-01' + w.day, true, atrium_instant(w.due)
               FROM unnest(%s::bigint[], %s::int[], %s::bigint[]) AS w(zone_id, day, due)
               ON CONFLICT (zone_id, day, open) DO UPDATE SET due_at = excluded.due_at""",
            list(map(list, zip(*due, strict=True))),
        )


def _write(cursor: Cursor, keys: list[Key], made: dict[tuple[int, int, bool], Day], known: dict[Key, Known], now: int) -> None:
    """Replace the stored days by these."""
    if not keys:
        return
    cursor.execute(
        """DELETE FROM analytics_zoneday d USING unnest(%s::bigint[], %s::int[]) AS w(zone_id, day)
           WHERE d.zone_id = w.zone_id AND d.day = date '1970-01-01' + w.day""",
        [[zone for zone, _ in keys], [day for _, day in keys]],
    )
    rows = []
    for key in keys:
        parts = {part: made.get((*key, part)) for part in (True, False)}
        packed = {part: day.columns() if day else _NOTHING for part, day in parts.items()}
        digests = {part: facts.digest(packed[part]) if parts[part] else 0 for part in (True, False)}
        before = known.get(key, Known())
        restated_at = before.restated_at
        if before.sealed and {True: 0, False: 0, **before.digest} != digests:
            restated_at = to_moment(now)
        if not any(parts.values()) and restated_at is None:
            continue
        for part, day in parts.items():
            if day or part:
                rows.append(_row(key, part, day, packed[part], digests[part], restated_at, now))
    with cursor.copy(f"COPY analytics_zoneday ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


_NOTHING: Final = dict.fromkeys(facts.COLUMNS, b"")


def _row(key: Key, part: bool, day: Day | None, packed: dict[str, bytes], digest: int, restated_at: datetime | None, now: int) -> list[Any]:
    reach = to_moment(day.reach) if day and day.visits else None
    counts = [day.visits, day.visitors, day.pass_bys, day.dwell_us] if day else [0, 0, 0, 0]
    return [key[0], to_date(key[1]), part, to_moment(now), restated_at, reach, digest, *counts, *(packed[name] for name in facts.COLUMNS)]


def recalendar(connection: Connection) -> int:
    """Make all days of the venues again whose clock or opening hours are no longer those of their days. Returns how many venues."""
    with connection.transaction(), connection.cursor() as cursor:
        changed = cursor.execute(
            """SELECT v.id, c.venue_id IS NOT NULL FROM engagement_venue v LEFT JOIN analytics_calendar c ON c.venue_id = v.id
               WHERE (c.time_zone, c.opening_hours) IS DISTINCT FROM (v.time_zone, v.opening_hours) ORDER BY v.id FOR UPDATE OF v SKIP LOCKED"""
        ).fetchall()
        for venue, was_known in changed:
            cursor.execute(
                """INSERT INTO analytics_calendar (venue_id, time_zone, opening_hours) SELECT id, time_zone, opening_hours FROM engagement_venue WHERE id = %s
                   ON CONFLICT (venue_id) DO UPDATE SET time_zone = excluded.time_zone, opening_hours = excluded.opening_hours""",
                [venue],
            )
            if was_known:
                marks.leave_for_venue(connection, venue)
    return len(changed)


def session() -> Connection:
    return connect(application_name="atrium-figures", options=f"{SESSION} {STANDING_STILL}")


def catch_up(connection: Connection, *, now: datetime | None = None) -> int:
    """Work until there is nothing to take: nothing is marked and nothing due, or others are at it."""
    recalendar(connection)
    made = 0
    while done := step(connection, now=now):
        made += done
    return made


def finish(connection: Connection, *, now: datetime | None = None, rest_s: float = REST_S) -> int:
    """The same, and wait for those whose venues somebody else is at: what he does not make is made here."""
    made = catch_up(connection, now=now)
    while _left(connection, now):
        time.sleep(rest_s)
        made += catch_up(connection, now=now)
    return made


def _left(connection: Connection, now: datetime | None) -> bool:
    moment = to_moment(to_us(now) if now else time.time_ns() // 1000)
    row = connection.execute("SELECT EXISTS (SELECT 1 FROM analytics_mark) OR EXISTS (SELECT 1 FROM analytics_zoneday WHERE due_at <= %s)", [moment]).fetchone()
    return bool(row and row[0])


def run(*, stopping: Callable[[], bool], beside: Sequence[Callable[[Connection], object]] = ()) -> None:
    """Until stopped. Loses its connection, or fails at something: says so, waits, and goes on, for a while with one zone at a time.

    `beside`: other work of this process, each a moment at a time, so that figures still come.
    """
    metrics.begin(PROCESS, folder=settings.METRICS_FOLDER)
    pause, careful = REST_S, 0
    while not stopping():
        try:
            with session() as connection:
                while not stopping():
                    began = time.monotonic()
                    health.beat(connection, PROCESS)
                    recalendar(connection)
                    made = _timed_step(connection, careful=careful > 0)
                    for act in beside:
                        act(connection)
                    pause, careful = REST_S, max(0, careful - 1)
                    _rest(0.0 if made >= ZONE_DAYS else max(REST_S, LEAST_SHARE * (time.monotonic() - began)), stopping)
        except Exception as error:
            logger.warning("Making figures failed, and is tried again: %s", type(error).__name__)
            _rest(pause, stopping)
            pause, careful = min(pause * 2, 30.0), CAREFUL


def _timed_step(connection: Connection, *, careful: bool) -> int:
    began = time.monotonic()
    made = step(connection, careful=careful)
    if made:
        DAYS.inc(made)
        STEP_SECONDS.observe(time.monotonic() - began)
    return made


def _rest(seconds: float, stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopping() and (left := until - time.monotonic()) > 0:
        time.sleep(min(0.1, left))
