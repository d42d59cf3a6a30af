"""What audiences ask of shoppers again and again, kept in memory as sets of their numbers: who there is, who has an address, who agreed.

A column is brought up to date before each use, by one statement: everything that was written by the transactions from `since` on is read again,
and laid over what is kept. `since` is the oldest transaction that was under way when it was read last (pg_snapshot_xmin), told by the same
statement, so of the same snapshot as the rows:

- what was committed in that snapshot, was read then;
- what was not, was written by a transaction that was under way (so not older than the oldest one), or had not begun (younger than all of them):
  its number is `since` or greater, whenever it commits. So a transaction that commits late is not missed. By the greatest number *seen* it would be.

Statements of one organisation follow one another under a lock, each with a snapshot taken under it, so what is kept never goes back. (Where the
caller's transaction is REPEATABLE READ its snapshot may be older than what is kept: then its older rows come over newer ones, and `since` is
older too, so the next statement reads the newer ones again.) Rows are deleted by an erasure alone: when one more has finished, all that is kept
of the organisation is dropped.

Nothing is kept of what a transaction reads that has itself written: it may be rolled back.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from django.db import connection
from pyroaring import BitMap

from analytics import days
from analytics.audiences.values import NONE, Values, decoded
from analytics.days import Cursor
from analytics.facts import MOST, NumberTooLarge
from engagement.models import Organisation

Numbers = npt.NDArray[np.uint32]
Row = tuple[Any, Numbers]  # a value, and the shoppers who have it
Parameters = tuple[tuple[str, Any], ...]

BYTES: Final = 384 * 1024 * 1024  # kept in this process; the least recently used organisation goes first
OVERHEAD: Final = 200  # bytes of a set beside its content
SLACK: Final = 1_000  # shoppers read again each time, before it is asked whether all of them are settled


@dataclass(frozen=True, slots=True)
class Flags:
    """Who is in a set. `sql` selects `shopper, value` (who, and whether he is in it now) of everything written by transactions >= %(since)s.

    Also of those who are no longer in it. %(organisation)s is whose, and the parameters are the column's own.
    """

    name: str
    sql: str
    parameters: Parameters = ()

    def of(self, **parameters: Any) -> "Flags":
        return replace(self, parameters=tuple(sorted(parameters.items())))


@dataclass(frozen=True, slots=True)
class Groups:
    """Who has which of a few values. `sql` as of Flags; the value is a text, or NULL."""

    name: str
    sql: str
    parameters: Parameters = ()

    def of(self, **parameters: Any) -> "Groups":
        return replace(self, parameters=tuple(sorted(parameters.items())))


Column = Flags | Groups
State = BitMap | dict[str, BitMap] | Values

_PROFILE: Final = "FROM engagement_profile p WHERE p.organisation_id = %(organisation)s AND p.changed >= %(since)s"
WITH_EMAIL: Final = Flags("with_email", f"SELECT p.shopper_id AS shopper, p.email <> '' AS value {_PROFILE}")
LANGUAGES: Final = Groups("language", f"SELECT p.shopper_id AS shopper, nullif(lower(p.language), '') AS value {_PROFILE}")
CONSENTED: Final = Flags(
    "consented",
    """SELECT c.shopper_id AS shopper, c.given AS value FROM engagement_consentstate c
       WHERE c.organisation_id = %(organisation)s AND c.changed >= %(since)s AND c.channel = %(channel)s AND c.purpose = %(purpose)s""",
)
LISTED: Final = Flags(
    "listed",
    """SELECT m.shopper_id AS shopper, m.present AS value FROM engagement_listmember m
       JOIN engagement_shopperlist l ON l.id = m.list_id AND l.organisation_id = %(organisation)s
       WHERE m.list_id = %(list)s AND m.changed >= %(since)s""",
)
ATTRIBUTE: Final = Groups("attribute", f"SELECT p.shopper_id AS shopper, (p.attributes -> %(name)s)::text AS value {_PROFILE}")

# One row for each value, its shoppers in one piece; and one row of no value where nothing was written.
_READ: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_current_xact_id_if_assigned() IS NOT NULL, g.value, g.shoppers
FROM (SELECT 1) AS once LEFT JOIN (
    SELECT c.value, string_agg(int8send(c.shopper), ''::bytea) AS shoppers FROM ({sql}) c GROUP BY c.value
) g ON true
"""
_UNIVERSE: Final = """
SELECT pg_current_xact_id_if_assigned() IS NOT NULL, current_setting('transaction_isolation') = 'read committed',
       coalesce((SELECT max(id) FROM engagement_shopper), 0),
       (SELECT string_agg(int8send(id), ''::bytea) FROM engagement_shopper WHERE organisation_id = %(organisation)s AND id >= %(low)s)
"""
_UNDER_WAY: Final = """
SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'engagement_shopper'::regclass
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One column as it was read last. Never changed in place: whoever asked before still holds it."""

    state: Any  # a State
    since: int


@dataclass(frozen=True, slots=True)
class Everybody:
    """All shoppers. Their rows tell no transaction; their numbers come from a sequence, and may be committed in any order.

    Numbers from `low` on are read again each time. It is raised to above `top`, the greatest number seen, when all transactions have ended that
    were writing to the table when it had been seen: whoever holds a lower number is among them. Who writes locks the table first, before a number
    is drawn for the row, and until he commits; so none is overlooked, and nobody is waited for who only reads.
    """

    members: BitMap
    low: int = 0
    top: int = 0
    under_way: frozenset[str] | None = None  # when `top` had been seen; None: nobody has asked yet


@dataclass(slots=True)
class Shelf:
    """What is kept of one organisation. `erasures`: how many had finished before any of it was read."""

    erasures: int
    lock: threading.RLock = field(default_factory=threading.RLock)
    columns: dict[Column, Kept] = field(default_factory=dict)
    everybody: Everybody | None = None
    size: int = 0


class View:
    """The columns of one organisation for one use: each is brought up to date once, when it is first asked for. Bitmaps are for reading only."""

    def __init__(self, organisation: int, cursor: Cursor) -> None:
        self._organisation, self._cursor = organisation, cursor
        self._shelf = _shelf(organisation, erasures(cursor, organisation))
        self._seen: dict[Any, Any] = {}

    @property
    def erasures(self) -> int:
        """How many of the organisation's erasures had finished before anything was read."""
        return self._shelf.erasures

    def universe(self) -> BitMap:
        if Everybody not in self._seen:
            self._seen[Everybody] = self._everybody()
        found: BitMap = self._seen[Everybody]
        return found

    def with_email(self) -> BitMap:
        return self.flags(WITH_EMAIL)

    def consented(self, channel: str, purpose: str) -> BitMap:
        return self.flags(CONSENTED.of(channel=channel, purpose=purpose))

    def listed(self, list_: int) -> BitMap:
        return self.flags(LISTED.of(list=list_))

    def language(self, tag: str) -> BitMap:
        """Of this language, or a regional form of it."""
        tag = tag.lower()
        return BitMap.union(BitMap(), *(who for its, who in self.groups(LANGUAGES).items() if its == tag or its.startswith(f"{tag}-")))

    def attribute(self, name: str) -> Values:
        return self._read(ATTRIBUTE.of(name=name), Values.nothing())

    def flags(self, column: Flags) -> BitMap:
        return self._read(column, BitMap())

    def groups(self, column: Groups) -> Mapping[str, BitMap]:
        nothing: dict[str, BitMap] = {}
        return self._read(column, nothing)

    def _read(self, column: Column, nothing: "Kind") -> "Kind":
        if column not in self._seen:
            with self._shelf.lock:
                kept = self._shelf.columns.get(column) or Kept(nothing, 0)
                horizon, writing, rows = _rows(self._cursor, column, self._organisation, kept.since)
                fresh = Kept(_laid_over(kept.state, rows), horizon)
                if not writing:
                    self._shelf.columns[column] = fresh
                    _weigh(self._shelf)
            self._seen[column] = fresh.state
        found: Kind = self._seen[column]
        return found

    def _everybody(self) -> BitMap:
        with self._shelf.lock:
            known = self._shelf.everybody or Everybody(BitMap())
            before, low = known, known.low
            # Before the rows are read: what these transactions had written, they had committed by then.
            if known.under_way is not None and known.under_way.isdisjoint(_under_way(self._cursor)):
                low, known = known.top + 1, replace(known, under_way=None)
            found = self._cursor.execute(_UNIVERSE, {"organisation": self._organisation, "low": known.low}, binary=True).fetchone()
            assert found is not None
            # `now`: the rows are as of after the question above, and not of a snapshot that the caller took earlier.
            writing, now, top, packed = found
            fresh = BitMap(_numbers(packed or b""))
            members = known.members if fresh.issubset(known.members) else known.members | fresh
            known = replace(known, members=members, low=low if now else before.low, under_way=known.under_way if now else before.under_way)
            if not writing:
                if known.under_way is None and top - low >= SLACK:
                    known = replace(known, top=top, under_way=frozenset(_under_way(self._cursor)))
                self._shelf.everybody = known
                _weigh(self._shelf)
        return members


Kind = TypeVar("Kind", BitMap, dict[str, BitMap], Mapping[str, BitMap], Values)


def of(organisation: Organisation, cursor: Cursor | None = None) -> View:
    """The organisation's columns as they are now. `cursor`: a plain one (days.plain); without it, of Django's connection."""
    return View(organisation.pk, cursor or days.plain(connection))


def forget() -> None:
    """All that this process keeps. For tests, which make the same numbers again."""
    with _lock:
        _shelves.clear()


def _rows(cursor: Cursor, column: Column, organisation: int, since: int) -> tuple[int, bool, list[Row]]:
    parameters = {"organisation": organisation, "since": since, **dict(column.parameters)}
    found = cursor.execute(_READ.format(sql=column.sql), parameters, binary=True).fetchall()
    horizon, writing = found[0][:2]
    return horizon, writing, [(value, _numbers(packed)) for *_, value, packed in found if packed is not None]


def _numbers(packed: bytes) -> Numbers:
    numbers = np.frombuffer(packed, ">i8")
    if len(numbers) and int(numbers.max()) > MOST:
        raise NumberTooLarge
    return numbers.astype(np.uint32)


def _laid_over(state: Any, rows: list[Row]) -> Any:
    """Another state with these rows; the same one where they say nothing new."""
    if not rows:
        return state
    if isinstance(state, Values):
        return state.over([(NONE if value is None else decoded(value), who) for value, who in rows])
    if isinstance(state, BitMap):
        sets = {value: BitMap(who) for value, who in rows}
        added, gone = sets.get(True, BitMap()), BitMap.union(BitMap(), *(who for value, who in sets.items() if value is not True))
        return state if added.issubset(state) and gone.isdisjoint(state) else (state - gone) | added
    fresh = {value: BitMap(who) for value, who in rows}
    told = BitMap.union(*fresh.values())
    found = {value: (state.get(value, BitMap()) - told) | fresh.get(value, BitMap()) for value in {*state, *fresh} if value is not None}
    return {value: who for value, who in found.items() if who}


def _under_way(cursor: Cursor) -> set[str]:
    return {number for (number,) in cursor.execute(_UNDER_WAY).fetchall()}


def erasures(cursor: Any, organisation: int) -> int:
    """How many have finished. Asked before anything is read: what is read later cannot have in it whom these erased."""
    cursor.execute("SELECT count(*) FROM engagement_erasure WHERE organisation_id = %s AND finished_at IS NOT NULL", [organisation])
    found = cursor.fetchone()
    return int(found[0]) if found else 0


_shelves: OrderedDict[int, Shelf] = OrderedDict()
_lock: Final = threading.Lock()


def _shelf(organisation: int, erasures: int) -> Shelf:
    with _lock:
        known = _shelves.get(organisation)
        if known is None or known.erasures != erasures:
            known = _shelves[organisation] = Shelf(erasures)
        _shelves.move_to_end(organisation)
        return known


def _weigh(shelf: Shelf) -> None:
    """After a change of it: the least recently used organisations go, until the others have room."""
    shelf.size = sum(_size(kept.state) for kept in shelf.columns.values()) + (_size(shelf.everybody.members) if shelf.everybody else 0)
    with _lock:
        while len(_shelves) > 1 and sum(one.size for one in _shelves.values()) > BYTES:
            _shelves.popitem(last=False)
        if shelf.size > BYTES:  # the only one left, and too large by itself: begin again
            shelf.columns.clear()


def _size(state: Any) -> int:
    if isinstance(state, Values):
        return state.size
    found = 0
    for one in [state] if isinstance(state, BitMap) else state.values():
        told = one.get_statistics()
        found += told["n_bytes_array_containers"] + told["n_bytes_run_containers"] + told["n_bytes_bitset_containers"] + OVERHEAD
    return found
