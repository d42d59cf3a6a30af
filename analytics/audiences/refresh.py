"""Members of saved audiences, made again and compared with those that are stored. Who joined and who left is written with them, in one commit.

Nothing is patched: the whole set is worked out, of what is kept and what is read, and where it is the stored one nothing is written. Two who
refresh the same audience do no harm: whoever finds that it has become another since he looked, leaves it as it is.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

import psycopg
from django.db import connection, transaction
from pyroaring import BitMap

from analytics import days, facts
from analytics.audiences.columns import View, erasures
from analytics.audiences.evaluate import evaluation, surveyed
from analytics.audiences.ground import Ground
from analytics.audiences.parsing import parse
from analytics.audiences.tree import Fault, Rule
from engagement.database import connect

logger = logging.getLogger("atrium.audiences")

LOCK: Final = 0x4155444E  # of whoever refreshes all audiences
STANDING_STILL: Final = "-c idle_in_transaction_session_timeout=900s"  # far longer than a round takes: whoever holds the lock then, stands still
BUDGET_S: Final = 10.0  # of one round; what is left over is first in the next one
SLOW_S: Final = 0.3  # an audience that takes longer is worked out by itself, so that the others need not wait for it
SHARE: Final = 10  # and is left alone for so many times as long as it took


@dataclass(frozen=True, slots=True)
class Saved:
    """An audience as it was when somebody looked."""

    id: int
    organisation: int
    key: str
    rule: str  # JSON, as the database writes it
    state: str


@dataclass(slots=True)
class Pace:
    """How this process gets on with an audience, by its monotonic clock."""

    took_s: float = 0.0
    again_at: float = 0.0
    faulty: bool = False


_paces: dict[int, Pace] = {}


def step(*, now: datetime | None = None, budget_s: float = BUDGET_S) -> int:
    """Every audience that is due, quick ones first. Returns how many have other members than before; -1 where somebody else is at it."""
    with connect(application_name="atrium-audiences", options=STANDING_STILL) as guard, guard.transaction():
        # A lock of a session of its own: held until the round is over, while this one commits again and again.
        if not _alone(guard):
            return -1
        until = time.monotonic() + budget_s
        return sum(_round(_due(), now, until))


def _alone(guard: psycopg.Connection[Any]) -> bool:
    found = guard.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK]).fetchone()
    return bool(found and found[0])


def _due() -> list[Saved]:
    listed = _saved("ORDER BY id", [])
    for gone in _paces.keys() - {one.id for one in listed}:
        del _paces[gone]
    began = time.monotonic()
    due = [one for one in listed if _paces.setdefault(one.id, Pace()).again_at <= began]
    return sorted(due, key=lambda one: (_paces[one.id].took_s > SLOW_S, one.organisation, _paces[one.id].again_at))


def _round(due: list[Saved], now: datetime | None, until: float) -> Iterator[int]:
    """Quick ones of an organisation share what they read; a slow one is alone."""
    for (organisation, _slow), several in groupby(due, key=lambda one: (one.organisation, one.id if _paces[one.id].took_s > SLOW_S else 0)):
        if time.monotonic() > until:
            return
        try:
            yield refresh(organisation, several, now=now)
        except Exception as error:  # the others are not to wait until it is mended
            logger.warning("Refreshing audiences of organisation %s failed, and is tried again: %s", organisation, type(error).__name__)
            connection.close_if_unusable_or_obsolete()


def one(audience: int, *, now: datetime | None = None) -> bool:
    """One audience at once, such as after its rule was changed. Whether its members are others now."""
    return any(refresh(saved.organisation, [saved], now=now) for saved in _saved("WHERE id = %s", [audience]))


def refresh(organisation: int, audiences: Iterable[Saved], *, now: datetime | None = None) -> int:
    """Some audiences of one organisation, as of one instant. Returns how many have other members."""
    grounds: dict[Rule, Ground] = {}
    rules: dict[Saved, Rule] = {}
    for one in audiences:
        try:
            rule = parse(json.loads(one.rule))
            grounds |= surveyed(organisation, [rule], itself=one.key)
            rules[one] = rule
            _paces.setdefault(one.id, Pace()).faulty = False
        except Fault:
            _tell_faulty(one)
    found: list[tuple[Saved, BitMap]] = []
    with evaluation(organisation, grounds, now=now) as evaluated:
        for one, rule in rules.items():
            began = time.monotonic()
            found.append((one, evaluated.members(rule)))
            took = time.monotonic() - began
            pace = _paces[one.id]
            # The first time, what others share was read for it: that says nothing of what it takes itself.
            pace.took_s, pace.again_at = took, began + SHARE * min(took, pace.took_s)
        view = evaluated.view
    moment = now or datetime.now(UTC)
    return sum([_write(one, members, view, moment) for one, members in found])


def _tell_faulty(one: Saved) -> None:
    """Its members stay as they are: nobody is to be written to because a list is gone."""
    pace = _paces.setdefault(one.id, Pace())
    if not pace.faulty:
        text = "Audience %s of organisation %s names something that is gone. Its members stay as they are until its rule is changed."
        logger.warning(text, one.id, one.organisation)
    pace.faulty = True


def _saved(which: str, parameters: list[Any]) -> list[Saved]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, organisation_id, key, rule::text, state FROM analytics_audience {which}", parameters)
        return [Saved(id, organisation, key, rule, state) for id, organisation, key, rule, state in cursor.fetchall()]


def state_of(members: BitMap) -> str:
    """Tells one set of members from another. An erasure, which takes somebody out of the stored ones, leaves it as it is: then they differ once."""
    return blake2b(b"members:" + facts.pack_set(BitMap(members)), digest_size=16).hexdigest()


def _stored(audience: int) -> BitMap:
    found = days.plain(connection).execute("SELECT members FROM analytics_audience WHERE id = %s", [audience]).fetchone()
    return facts.unpack_set(found[0]) if found else BitMap()


def _write(one: Saved, members: BitMap, view: View, now: datetime) -> bool:
    state = state_of(members)
    if state == one.state:
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT members, state, rule::text, refreshed_at FROM analytics_audience WHERE id = %s FOR UPDATE", [one.id])
        row = cursor.fetchone()
        if row is None or row[1] != one.state or row[2] != one.rule:
            return False  # somebody has changed it since: what was worked out says nothing of it
        if erasures(cursor, one.organisation) != view.erasures:
            # Who was erased since may be among them. Erasures change this row, so under its lock none is half done: the next round knows of it.
            return False
        before = facts.unpack_set(bytes(row[0]))
        joined, left = members - before, before - members
        cursor.execute(
            "UPDATE analytics_audience SET members = %s, count = %s, state = %s, refreshed_at = %s WHERE id = %s",
            [facts.pack_set(BitMap(members)), len(members), state, now, one.id],
        )
        if joined or left:
            told: list[Any] = [facts.pack_set(joined), facts.pack_set(left), len(joined), len(left)]
            cursor.execute(
                'INSERT INTO analytics_audiencechange (audience_id, at, joined, "left", joined_count, left_count) VALUES (%s, %s, %s, %s, %s, %s)',
                [one.id, now, *told],
            )
    return bool(joined or left)


def since(audience: int, members: BitMap) -> list[tuple[datetime | None, BitMap]]:
    """Since when each of the members is in the audience: when a refresh found him, the latest first; None: none has yet."""
    stored = _stored(audience)
    found: list[tuple[datetime | None, BitMap]] = [(None, members - stored)]
    left = members & stored
    joined = days.plain(connection).execute(
        "SELECT at, joined FROM analytics_audiencechange WHERE audience_id = %s AND joined_count > 0 ORDER BY id DESC", [audience]
    )
    for at, packed in joined.fetchall():
        then = facts.unpack_set(packed) & left
        found.append((at, then))
        left = left - then
    return [(at, who) for at, who in [*found, (None, left)] if who]
