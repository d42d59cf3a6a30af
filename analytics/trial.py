"""Trials: what other settings would have made of a zone's last days, beside what was made of them. Nothing is changed by trying.

    asked  ->  its shoppers cut into slices  ->  slice by slice from the stored events (analytics.what_if)  ->  the result; the slices go

A trial is a row and its slices are rows, so a worker that is killed is followed by one that goes on. Whoever is least far is next.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import numpy as np
import psycopg
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from analytics import what_if
from analytics.calendars import Clock, to_moment, to_us
from analytics.models import Trial
from analytics.reports.reading import quantiles, seconds
from analytics.stays import Ints
from analytics.stream.batch import to_datetime
from engagement import provisioning
from engagement.faults import point
from engagement.models import Organisation, Zone, ZoneKind, ZoneVersion

Connection = psycopg.Connection[tuple[Any, ...]]
logger = logging.getLogger("atrium.trial")

THRESHOLDS: Final = ("exit_grace_s", "min_stay_s", "max_accuracy_m", "enter_rssi", "hold_rssi")
DAYS: Final = 7  # local days before today
AT_ONCE: Final = 3  # unfinished trials of an organisation
SLICE: Final = 100  # shoppers whose events are in memory at once
TURN_S: Final = 0.5  # worked before others have their turn: figures must come
TRIES: Final = 3
LOCK: Final = 0x5452  # class of the advisory locks on trials
CANDIDATES: Final = 20


class Refused(Exception):
    """A trial was not begun, or not saved."""


class NothingToTry(Refused):
    """These are the zone's settings already."""


class TooMany(Refused):
    """The organisation has as many unfinished trials as it may have."""


class NotToSave(Refused):
    """The trial is not finished, failed, or was saved already."""


def ask(*, zone: Zone, changes: Mapping[str, Any], by: str, now: datetime | None = None) -> Trial:
    """Begin a trial, or find the same one that is under way. `changes`: thresholds, and a boundary, as a provision file says them.

    Raises NothingToTry, TooMany, and provisioning.Refused where the changes are wrong.
    """
    now = now or timezone.now()
    said = provisioning.settings(_file(zone, changes))[zone.key]
    current = ZoneVersion.objects.get(zone=zone, valid_to=None)
    present = {name: getattr(current, name) for name in THRESHOLDS}
    settings = {name: said[name] for name in THRESHOLDS} | ({} if said["boundary"] == current.boundary else {"boundary": said["boundary"]})
    if settings == present:
        raise NothingToTry
    clock = Clock.of(zone.venue.time_zone, None)
    today = clock.day_of(to_us(now))
    with transaction.atomic():
        Organisation.objects.select_for_update().get(pk=zone.organisation_id)  # somebody who presses twice finds the first
        same = Trial.objects.filter(zone=zone, settings=settings, finished_at=None).first()
        if same is not None:
            return same
        if Trial.objects.filter(organisation=zone.organisation_id, finished_at=None).count() >= AT_ONCE:
            raise TooMany
        trial = Trial(zone=zone, organisation_id=zone.organisation_id, settings=settings, present=present, asked_by=by)
        trial.since, trial.until = to_moment(clock.begin(today - DAYS)), to_moment(clock.begin(today))
        trial.save(force_insert=True)
    return trial


def cancel(trial: Trial) -> bool:
    """Forget a trial that is not finished; whether there was still something to forget."""
    with transaction.atomic():
        unfinished = Trial.objects.select_for_update().filter(pk=trial.pk, finished_at=None).first()
        if unfinished is not None:
            unfinished.delete()
    return unfinished is not None


def _file(zone: Zone, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The provision file that makes these settings the zone's."""
    section = "venues" if zone.kind == ZoneKind.VENUE else "zones"  # a venue's root zone is spoken of as the venue
    return {"organisation": {"key": zone.organisation.key}, section: [{"key": zone.key, **settings}]}


def save(*, trial: Trial, by: str, correct: bool = False, since: datetime | None = None, now: datetime | None = None) -> None:
    """Make the tried settings the zone's: from now on, or, to `correct` history, since an instant (None: from the beginning).

    Raises NotToSave, and provisioning.Refused where the settings no longer fit.
    """
    with transaction.atomic():
        locked = Trial.objects.select_for_update().get(pk=trial.pk)
        if locked.result is None or locked.saved_at is not None:
            raise NotToSave
        if correct:
            provisioning.correct(_file(trial.zone, trial.settings), since=since or provisioning.BEGINNING, now=now)
        else:
            provisioning.provision(_file(trial.zone, trial.settings), now=now)
        locked.saved_at, locked.saved_by = now or timezone.now(), by
        locked.save(update_fields=["saved_at", "saved_by"])


def step(connection: Connection, *, turn_s: float = TURN_S) -> int:
    """Work on trials for a moment; returns the number of slices done, 0 where there is nothing to do. Takes a plain connection, autocommit on.

    A trial that fails is tried again, and given up after some tries; it keeps nobody else's work. Raises what says that the connection is lost.
    """
    until = time.monotonic() + turn_s
    done = 0
    while True:
        with _next(connection) as trial:
            if trial is None:
                return done
            _attempt(connection, trial)
            done += 1
        if time.monotonic() >= until:
            return done


@contextmanager
def _next(connection: Connection) -> Iterator[int | None]:
    """An unfinished trial that nobody else works on, held: the lock is the session's, so that it ends with a worker that is killed."""
    rows = connection.execute("SELECT id FROM analytics_trial WHERE finished_at IS NULL ORDER BY done, id LIMIT %s", [CANDIDATES]).fetchall()
    held = next((trial for (trial,) in rows if _value(connection, "SELECT pg_try_advisory_lock(%s, %s)", [LOCK, trial % 2**31])), None)
    try:
        if held is not None:  # between two transactions too, a process that stands still loses it
            connection.execute("SELECT set_config('idle_session_timeout', %s, false)", [f"{settings.WORK_IDLE_S}s"])
        yield held
    finally:
        if held is not None and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s, %s), set_config('idle_session_timeout', '0', false)", [LOCK, held % 2**31])


def _value(connection: Connection, query: str, parameters: list[Any]) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _attempt(connection: Connection, trial: int) -> None:
    attempts = _value(connection, "UPDATE analytics_trial SET attempts = attempts + 1 WHERE id = %s AND finished_at IS NULL RETURNING attempts", [trial])
    if attempts is None:
        return  # it was cancelled
    if attempts > TRIES:
        _give_up(connection, trial, "The worker ended each time while working on this trial.")
        return
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # events of one slice are read in several statements
            _advance(connection, trial)
            point("trial.before_commit")
    except psycopg.errors.SerializationFailure:
        return  # it was cancelled meanwhile
    except Exception as error:
        if isinstance(error, psycopg.OperationalError) and not isinstance(error, psycopg.errors.QueryCanceled):
            raise
        logger.warning("Trial %s failed, for the %s. time: %s", trial, attempts, type(error).__name__)
        if attempts >= TRIES:
            _give_up(connection, trial, f"It failed {attempts} times: {type(error).__name__}.")


def _give_up(connection: Connection, trial: int, why: str) -> None:
    with connection.transaction():
        connection.execute("DELETE FROM analytics_trialslice WHERE trial_id = %s", [trial])
        connection.execute("UPDATE analytics_trial SET failed = %s, finished_at = now() WHERE id = %s", [why, trial])


def _advance(connection: Connection, trial: int) -> None:
    """The trial's next deed: its slices are cut, or one of them is done, or all of them are put together."""
    row = connection.execute(
        "SELECT organisation_id, zone_id, settings, since, until, created_at, of FROM analytics_trial WHERE id = %s FOR UPDATE", [trial]
    ).fetchone()
    if row is None:
        return
    organisation, zone, settings, since, until, asked, of = row
    question = what_if.Question(organisation, zone, settings, to_us(since), to_us(until), to_us(asked))
    if of is None:
        _cut(connection, trial, question)
        return
    piece = connection.execute(
        "SELECT id, shoppers FROM analytics_trialslice WHERE trial_id = %s AND found IS NULL ORDER BY id LIMIT 1", [trial], binary=True
    ).fetchone()
    if piece is None:
        _finish(connection, trial)
    else:
        _work(connection, trial, question, piece[0], np.frombuffer(piece[1], dtype="<i8").astype(np.int64))


def _cut(connection: Connection, trial: int, question: what_if.Question) -> None:
    shoppers = _shoppers(connection, question)
    pieces = [(trial, shoppers[first : first + SLICE].astype("<i8").tobytes()) for first in range(0, len(shoppers), SLICE)]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO analytics_trialslice (trial_id, shoppers, present_dwells, tried_dwells) VALUES (%s, %s, '', '')", pieces)
    connection.execute("UPDATE analytics_trial SET of = %s, attempts = 0 WHERE id = %s", [len(shoppers), trial])


# Whoever could have a stay: where the tried settings open no more than the present ones, only who has one now; else all who were about.
_WITH_STAY: Final = """SELECT DISTINCT s.shopper_id FROM analytics_stay s WHERE s.organisation_id = %(organisation)s AND s.zone_id = %(zone)s
                       AND s.started < %(until)s AND s.ended >= %(since)s"""
_ABOUT: Final = "SELECT s.id FROM engagement_shopper s WHERE s.organisation_id = %(organisation)s AND s.last_at >= %(since)s"
_LEFT_OUT: Final = "SELECT shopper_id FROM analytics_regular WHERE organisation_id = %(organisation)s AND state = 'confirmed'"
# While stays are about to be made again, they do not say who has one.
_UNSETTLED: Final = """SELECT EXISTS (SELECT 1 FROM engagement_placeschange WHERE organisation_id = %(organisation)s)
                           OR EXISTS (SELECT 1 FROM analytics_recut WHERE organisation_id = %(organisation)s AND finished_at IS NULL)"""


def _shoppers(connection: Connection, question: what_if.Question) -> Ints:
    """Sorted. Staff and residents are left out, as in every figure."""
    parameters = {
        "organisation": question.organisation,
        "zone": question.zone,
        "since": to_datetime(question.since),
        "until": to_datetime(question.until),
    }
    unsettled = connection.execute(_UNSETTLED, parameters).fetchone()
    narrow = what_if.ground(connection, question).narrower and not (unsettled and unsettled[0])
    found = connection.execute(f"SELECT * FROM ({_WITH_STAY if narrow else _ABOUT}) f (id) WHERE id NOT IN ({_LEFT_OUT}) ORDER BY id", parameters)
    return np.array([row[0] for row in found.fetchall()], dtype=np.int64)


def _work(connection: Connection, trial: int, question: what_if.Question, piece: int, shoppers: Ints) -> None:
    present, tried, events = what_if.compare(connection, question, what_if.ground(connection, question), shoppers)
    revision = _value(connection, "SELECT places_revision FROM engagement_organisation WHERE id = %s", [question.organisation])
    found = {"places": revision, "events": events, **{name: _counts(side) for name, side in (("present", present), ("tried", tried))}}
    connection.execute(
        "UPDATE analytics_trialslice SET found = %s, present_dwells = %s, tried_dwells = %s WHERE id = %s",
        [Jsonb(found), *(side.dwells.astype("<i8").tobytes() for side in (present, tried)), piece],
    )
    connection.execute("UPDATE analytics_trial SET done = done + %s, attempts = 0 WHERE id = %s", [len(shoppers), trial])


_COUNTS: Final = ("visits", "visitors", "pass_bys", "came_back")


def _counts(side: what_if.Side) -> dict[str, int]:
    return {name: getattr(side, name) for name in _COUNTS}


def _finish(connection: Connection, trial: int) -> None:
    """A shopper is in one slice alone, so that visitors add up. Where places changed meanwhile, slices judged differently: all of them again."""
    rows = connection.execute("SELECT found, present_dwells, tried_dwells FROM analytics_trialslice WHERE trial_id = %s", [trial], binary=True).fetchall()
    connection.execute("DELETE FROM analytics_trialslice WHERE trial_id = %s", [trial])
    if len({found["places"] for found, *_ in rows}) > 1:
        connection.execute("UPDATE analytics_trial SET of = NULL, done = 0, attempts = 0 WHERE id = %s", [trial])
        return
    result: dict[str, Any] = {"events": sum(found["events"] for found, *_ in rows)}
    for number, side in enumerate(("present", "tried"), start=1):
        dwells = np.frombuffer(b"".join(row[number] for row in rows), dtype="<i8").astype(np.int64)
        result[side] = {name: sum(found[side][name] for found, *_ in rows) for name in _COUNTS} | _dwell(dwells)
    connection.execute("UPDATE analytics_trial SET result = %s, finished_at = now() WHERE id = %s", [Jsonb(result), trial])


def _dwell(dwells: Ints) -> dict[str, float | None]:
    median, p90 = quantiles([np.sort(dwells)], (0.5, 0.9))
    mean = int(dwells.sum()) / len(dwells) if len(dwells) else None
    return {"dwell_median_s": seconds(median), "dwell_p90_s": seconds(p90), "dwell_mean_s": seconds(mean)}
