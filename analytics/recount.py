"""Everything computed again from the stored events, beside the live tables, and the differences. Changes nothing.

Each slice of shoppers is read in one snapshot, so a recount may run while events come in: the stream commits events and stays together.
So is each slice of a zone's days: the stays that changed since its figures were made have left marks, and are compared when those are gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import psycopg

from analytics import binary, days, facts, stays
from analytics.calendars import to_date, to_moment, to_us
from analytics.days import Key
from analytics.models import Recount
from analytics.places import Places
from analytics.premises import Premises, around
from analytics.stays import NEVER
from analytics.stream import atlas, closing, events, presence
from analytics.stream.batch import to_datetime
from engagement.database import connect

Connection = psycopg.Connection[tuple[Any, ...]]
Stay = tuple[int, int, int, int, int, bool, bool]  # shopper, zone, started, ended, closes_at, cut, counted

SLICE: Final = 300  # shoppers or devices in one snapshot
ZONE_DAYS: Final = 50  # of one zone, in one snapshot
EXAMPLES: Final = 20
_COUNTS: Final = ("visits", "visitors", "pass_bys", "dwell_us")
_STORED: Final = ("digest", "reach", *_COUNTS, *facts.COLUMNS)


@dataclass(slots=True)
class Report:
    """What was compared, and how it differed."""

    shoppers: int = 0
    stays: int = 0
    zone_days: int = 0
    differences: int = 0
    examples: list[str] = field(default_factory=list)
    closed: dict[str, date] = field(default_factory=dict)  # organisations some of whose events are gone: compared from that day on

    def differ(self, sentence: str) -> None:
        self.differences += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(sentence)


def recount(*, now: datetime | None = None, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Compare all organisations' owners, stays and counters with their events, and the stored figures with the stays.

    `progress` is told the shoppers done.
    """
    report, started = Report(), datetime.now(UTC)
    with connect(application_name="atrium-recount", options="-c jit=off -c statement_timeout=600s") as connection:
        connection.read_only, connection.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ
        for organisation, key, closed in connection.execute("SELECT id, key, raw_closed_before FROM engagement_organisation ORDER BY id").fetchall():
            report.closed |= {key: closed} if closed else {}
            _compare_owners(connection, organisation, report)
            with connection.transaction():
                _compare_counters(connection, organisation, report)
            for compared in _slices(connection, organisation, report):
                progress(compared)
            _compare_figures(connection, organisation, report, now=to_us(now or datetime.now(UTC)))
    Recount.objects.create(
        started_at=started,
        finished_at=datetime.now(UTC),
        shoppers=report.shoppers,
        stays=report.stays,
        differences=report.differences,
        examples=report.examples,
    )
    return report


def _slices(connection: Connection, organisation: int, report: Report) -> Iterator[int]:
    cursor = 0
    while True:
        with connection.transaction():
            # Shoppers whose devices are about to change hands are compared when that is settled, and those of changed places when they are re-cut.
            rows = connection.execute(
                """SELECT s.id FROM engagement_shopper s WHERE s.organisation_id = %s AND s.id > %s
                   AND NOT EXISTS (SELECT 1 FROM engagement_identityclaim c JOIN engagement_device d ON d.id = c.device_id
                                   WHERE c.shopper_id = s.id OR d.owner_id = s.id)
                   AND NOT EXISTS (SELECT 1 FROM engagement_placeschange p WHERE p.organisation_id = s.organisation_id)
                   AND NOT EXISTS (SELECT 1 FROM analytics_recut r WHERE r.organisation_id = s.organisation_id AND r.finished_at IS NULL AND r.cursor < s.id)
                   ORDER BY s.id LIMIT %s""",
                [organisation, cursor, SLICE],
            ).fetchall()
            if not rows:
                return
            shoppers = np.array([row[0] for row in rows], dtype=np.int64)
            _compare_stays(connection, atlas.load(connection, organisation), shoppers, report, closed=closing.closed_at(connection, organisation))
        cursor = rows[-1][0]
        report.shoppers += len(rows)
        yield report.shoppers


def _compare_stays(connection: Connection, places: Places, shoppers: presence.Ints, report: Report, *, closed: int) -> None:
    """Stays that nothing since the closing of events could extend cannot be made again. Of one that goes on over it, what was before is believed."""
    stored = events.read(connection, events.Windows(shoppers, np.full(len(shoppers), closed), np.full(len(shoppers), presence.FAR_OFF)))
    live = presence.stays_of(connection, shoppers)
    live = live.take(live.closes_at >= closed)
    segments, cuts = presence.segments_of(places.observe(stored.events), stored.shopper, stored.events.occurred_at, places)
    chains = stays.fold(segments.join(presence.begun(live, places, closed)), cuts)
    made = chains.take(chains.opened < NEVER)
    counted = made.ended - made.opened >= places.min_stay(made.zone, made.opened)
    expected = set(_rows(made.shopper, made.zone, made.opened, made.ended, made.closes_at, made.cut, counted))
    found = set(_rows(live.shopper, live.zone, live.started, live.ended, live.closes_at, live.cut, live.counted))
    report.stays += len(expected)
    for missing in sorted(expected - found):
        report.differ(f"Missing: {_sentence(missing)}")
    for surplus in sorted(found - expected):
        report.differ(f"Should not be: {_sentence(surplus)}")


def _rows(*columns: binary.Array) -> Iterator[Stay]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _sentence(stay: Stay) -> str:
    shopper, zone, started, ended, _, _, counted = stay
    return f"shopper {shopper} in zone {zone} from {to_datetime(started)} to {to_datetime(ended)}, {'counted' if counted else 'a pass-by'}."


def _compare_owners(connection: Connection, organisation: int, report: Report) -> None:
    """A device belongs to the shopper of its first identified event, or to one of its own. Of one whose first is gone nobody can say it again."""
    cursor = 0
    while True:
        with connection.transaction():  # a slice in a snapshot: one for all devices would keep the inbox from being swept for its time
            found = connection.execute(
                "SELECT max(id) FROM (SELECT id FROM engagement_device WHERE organisation_id = %s AND id > %s ORDER BY id LIMIT %s) d",
                [organisation, cursor, SLICE],
            ).fetchone()
            if found is None or found[0] is None:
                return
            _compare_owners_between(connection, organisation, (cursor, found[0]), report)
        cursor = found[0]


def _compare_owners_between(connection: Connection, organisation: int, devices: tuple[int, int], report: Report) -> None:
    """`devices`: numbers, the first exclusive, the last inclusive."""
    rows = connection.execute(
        """SELECT d.id FROM engagement_device d JOIN engagement_shopper o ON o.id = d.owner_id
           LEFT JOIN LATERAL (SELECT e.shopper_id FROM engagement_event e WHERE e.device_id = d.id AND e.shopper_id IS NOT NULL
                              ORDER BY e.occurred_at, e.event_id LIMIT 1) f ON true
           JOIN engagement_organisation g ON g.id = d.organisation_id
           WHERE d.organisation_id = %s AND d.id > %s AND d.id <= %s AND NOT EXISTS (SELECT 1 FROM engagement_identityclaim c WHERE c.device_id = d.id)
             AND coalesce(d.first_identified_at, 'infinity') >= coalesce(g.raw_closed_before::timestamp AT TIME ZONE 'UTC', '-infinity')
             AND CASE WHEN f.shopper_id IS NULL THEN o.device_key IS DISTINCT FROM d.key ELSE f.shopper_id <> d.owner_id END""",
        [organisation, *devices],
    )
    for (device,) in rows:
        report.differ(f"Device {device} has another owner than its first identified event says.")


def _compare_counters(connection: Connection, organisation: int, report: Report) -> None:
    """Every stored event was counted as accepted or unmatched, once; and so was every one that was erased since, or is past its time."""
    found = connection.execute(
        """SELECT (SELECT coalesce(sum(events), 0) FROM engagement_outcome WHERE organisation_id = %(o)s AND outcome IN ('accepted', 'unmatched'))
                  - (SELECT coalesce(sum(events), 0) FROM engagement_erasure WHERE organisation_id = %(o)s),
                  (SELECT count(*) FROM engagement_event WHERE organisation_id = %(o)s),
                  (SELECT raw_closed_before FROM engagement_organisation WHERE id = %(o)s)""",
        {"o": organisation},
    ).fetchone()
    if found and (found[0] < found[1] or (found[0] > found[1] and found[2] is None)):
        report.differ(f"Organisation {organisation} counted {found[0]} events and stores {found[1]}.")


def _compare_figures(connection: Connection, organisation: int, report: Report, *, now: int) -> None:
    zones = connection.execute("SELECT id FROM engagement_zone WHERE organisation_id = %s ORDER BY id", [organisation]).fetchall()
    for (zone,) in zones:
        with connection.transaction():
            known = _days_of(connection, zone)
        for first in range(0, len(known), ZONE_DAYS):
            with connection.transaction(), connection.cursor() as cursor:
                _compare_zone(cursor, organisation, [(zone, day) for day in known[first : first + ZONE_DAYS]], report, now=now)


def _days_of(connection: Connection, zone: int) -> list[int]:
    """The days of which the zone has stays, or figures."""
    with connection.cursor() as cursor:
        clock = around(cursor, [zone]).clock[zone]
        started = binary.fetch(cursor, {"at": ("timestamptz", "s.started")}, "FROM analytics_stay s WHERE s.zone_id = %(zone)s", {"zone": zone})["at"]
        stored = cursor.execute("SELECT DISTINCT day - date '1970-01-01' FROM analytics_zoneday WHERE zone_id = %s", [zone]).fetchall()
    return sorted({*np.unique(clock.days_of(started)).tolist(), *(day for (day,) in stored)})


def _compare_zone(cursor: binary.Cursor, organisation: int, keys: list[Key], report: Report, *, now: int) -> None:
    """The stored figures of some days of one zone with those made anew. What is to be made again, and what is read live, is left for another time."""
    zone = keys[0][0]
    ground = around(cursor, [zone])
    stored, live = _stored(cursor, keys)
    # Before any day is made the calendar is noted, so that a changed clock is seen. What lies above what comes with a re-cut.
    waiting = cursor.execute(
        """SELECT NOT EXISTS (SELECT 1 FROM analytics_calendar c WHERE c.venue_id = v.id AND c.time_zone = v.time_zone
                                AND c.opening_hours IS NOT DISTINCT FROM v.opening_hours)
             OR (z.kind = 'venue' AND (EXISTS (SELECT 1 FROM engagement_placeschange p WHERE p.organisation_id = %(organisation)s)
                                       OR EXISTS (SELECT 1 FROM analytics_recut r WHERE r.organisation_id = %(organisation)s AND r.finished_at IS NULL)))
           FROM engagement_zone z JOIN engagement_venue v ON v.id = z.venue_id WHERE z.id = %(zone)s""",
        {"organisation": organisation, "zone": zone},
    ).fetchone()
    if waiting is None or waiting[0]:
        return
    later = live | _marked(cursor, ground)
    settled = [key for key in keys if key not in later]
    made = days.with_flows(cursor, days.make(cursor, [days.whole(*key, ground.clock[zone]) for key in settled], now=now), ground)
    report.zone_days += len(settled)
    for key in settled:
        for part in (True, False):
            fresh, known = made.get((*key, part)), stored.get((*key, part))
            wrong = _unlike(known, fresh)
            if wrong:
                where = f"{to_date(key[1])}{'' if part else ', outside the opening hours'}"
                report.differ(f"Figures of zone {zone} on {where} are not those of its stays: {', '.join(wrong)}.")


def _marked(cursor: binary.Cursor, ground: Premises) -> set[Key]:
    """Days of the venue that are to be made again."""
    rows = binary.fetch(
        cursor,
        {"zone": ("int8", "m.zone_id"), "hour": ("int4", "m.hour")},
        "FROM analytics_mark m WHERE m.zone_id = ANY(%(zones)s)",
        {"zones": list(ground.clock)},
    )
    keys = days.keys_of_marks(ground.clock, rows["zone"], rows["hour"])
    return keys | days.roots_touched(cursor, ground, keys)


def _stored(cursor: binary.Cursor, keys: list[Key]) -> tuple[dict[tuple[int, int, bool], dict[str, Any]], set[Key]]:
    """What is stored, by zone, day and part; and the days that are read from their stays, whatever is stored."""
    rows = cursor.execute(
        f"""SELECT d.zone_id, d.day - date '1970-01-01', d.open, d.due_at IS NOT NULL, {", ".join(f"d.{name}" for name in _STORED)}
            FROM analytics_zoneday d WHERE d.zone_id = %s AND d.day - date '1970-01-01' = ANY(%s)""",
        [keys[0][0], [day for _, day in keys]],
    ).fetchall()
    found = {(zone, day, part): dict(zip(_STORED, values, strict=True)) for zone, day, part, _, *values in rows}
    return found, {(zone, day) for zone, day, _, due, *_ in rows if due}


def _unlike(stored: dict[str, Any] | None, made: facts.Day | None) -> list[str]:
    """The columns that differ. Nothing stored says the same as no stays."""
    columns = made.columns() if made else dict.fromkeys(facts.COLUMNS, b"")
    reach = to_moment(made.reach) if made and made.visits else None
    wanted = {"digest": facts.digest(columns) if made else 0, "reach": reach, **{name: getattr(made, name) if made else 0 for name in _COUNTS}, **columns}
    have = stored or {"digest": 0, "reach": None, **dict.fromkeys(_COUNTS, 0), **dict.fromkeys(facts.COLUMNS, b"")}
    return [name for name, value in wanted.items() if have[name] != value]
