"""Imports: a file of shoppers is looked at, and then taken in, slice by slice.

    uploaded  ->  its columns are named  ->  looked at: as if it were taken in, and nothing is kept  ->  taken in  ->  the file is dropped

Work is a row: a slice and the line up to which it is done are committed together, so a worker that is killed is followed by one that goes on,
and a file that is taken in twice changes nothing. What is kept of a fault is where and why, never what stood there.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from engagement import display, shoppers, values
from engagement.faults import point
from engagement.models import Channel, Organisation, ShopperImport, ShopperList
from engagement.profiles import sheet, told
from engagement.profiles.record import Answer, Result, record
from engagement.profiles.sheet import Row, Unreadable
from engagement.profiles.told import Consent, Reason, Refused, Told

logger = logging.getLogger("atrium.imports")
State = ShopperImport.State

FIELDS: Final = ("id", "email", "language", "time_zone", "consent", "consent_at")  # what a column may be, each once; else an attribute
KINDS: Final = ("text", "number", "truth")  # of an attribute: `text:tier`
SLICE: Final = 1_000
TURN_S: Final = 1.5  # worked before the doorbell's next ring
TRIES: Final = 3
LOCK: Final = 0x494D  # class of the advisory locks on imports
MOST_FAULTS: Final = 1_000
KEPT: Final = timedelta(days=7)  # a file that nobody takes in
WORKED: Final = (State.CHECKING, State.RUNNING)


class NotNow(Exception):
    """The import is in another state than the one that this takes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the whole file agreed to. `everybody`: also who has nothing in a column of his own."""

    purpose: str = told.MARKETING
    wording: str = ""
    source: str = ""
    at: str = ""  # an instant; empty where each row has its own
    everybody: bool = False


class Fault(Exception):
    """One row cannot be taken. `column`: from 0 on; None where it is the whole row."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.column = reason, column


# --- From the file to what is told ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads rows as the columns are named."""

    mapping: Mapping[int, str]
    terms: Terms
    clock: tzinfo
    now: datetime
    columns: int

    def told(self, row: Row) -> Told:
        """Raises Fault. An empty cell says nothing: what is known stays."""
        if len(row.cells) > self.columns and any(row.cells[self.columns :]):
            raise Fault("too_many_cells")
        found: dict[str, Any] = {}
        attributes: dict[str, told.Value | None] = {}
        for column, meaning in self.mapping.items():
            cell = row.cells[column] if column < len(row.cells) else ""
            if not cell:
                continue
            kind, _, name = meaning.partition(":")
            try:
                if name:
                    attributes[name] = _attribute(kind, cell)
                else:
                    found[kind] = self._field(kind, cell)
            except Refused as refused:
                raise Fault(refused.reason, column) from None
            except values.Unfit as unfit:
                raise Fault(unfit.why, column) from None
        if "id" not in found:
            raise Fault(Reason.MISSING_FIELD, next((column for column, meaning in self.mapping.items() if meaning == "id"), None))
        agreed = self._consent(found.pop("consent", None), found.pop("consent_at", None))
        return Told(**found, attributes=attributes, consents=agreed)

    def _field(self, name: str, cell: str) -> Any:
        if name == "id":
            return values.shopper(cell, "id")
        if name == "consent":
            given = sheet.truth(cell)
            if given is None:
                raise Refused(Reason.MALFORMED, name, "")
            return given
        if name == "consent_at":
            return values.moment(_instant(cell, self.clock), name, self.now)
        return {"email": told.email, "language": told.language, "time_zone": told.time_zone}[name](cell)

    def _consent(self, given: bool | None, at: datetime | None) -> tuple[Consent, ...]:
        if given is None and not self.terms.everybody:
            return ()
        when = at or (datetime.fromisoformat(self.terms.at) if self.terms.at else None)
        if when is None:
            raise Fault(Reason.MISSING_FIELD, next((column for column, meaning in self.mapping.items() if meaning == "consent_at"), None))
        return (Consent(Channel.EMAIL, self.terms.purpose, given is not False, when, self.terms.source, self.terms.wording),)


def _attribute(kind: str, cell: str) -> told.Value:
    found: Any = cell if kind == "text" else sheet.number(cell) if kind == "number" else sheet.truth(cell)
    if found is None:
        raise Refused(Reason.MALFORMED, "attributes", "")
    return told.attribute(found)


def _instant(cell: str, clock: tzinfo) -> str:
    """A day, or a time without its offset, is one of the organisation's clock."""
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return cell  # and is refused as whatever else is no instant
    return (found if found.tzinfo else found.replace(tzinfo=clock)).astimezone(UTC).isoformat()


def wrong(mapping: Mapping[int, str], terms: Terms) -> list[str]:
    """What is wrong with the names of the columns, each from a closed list: no_id, twice, unknown, name, attributes, terms."""
    used = [meaning for meaning in mapping.values() if meaning != sheet.IGNORE]
    found = []
    if "id" not in used:
        found.append("no_id")
    if len(set(used)) < len(used):
        found.append("twice")
    kinds = [meaning.partition(":") for meaning in used]
    if any(kind not in (KINDS if parted else FIELDS) for kind, parted, _ in kinds):
        found.append("unknown")
    names = [name for _, parted, name in kinds if parted]
    if any(not values.fits(name, told.LONGEST_NAME) or name != name.strip() for name in names) or len(set(names)) < len(names):
        found.append("name")
    if len(names) > told.MOST_ATTRIBUTES:
        found.append("attributes")
    agreed = terms.everybody or "consent" in used
    if agreed and not (terms.purpose and terms.wording and terms.source and (terms.at or ("consent_at" in used and not terms.everybody))):
        found.append("terms")
    return found


# --- Moves ----------------------------------------------------------------------------------------------------------------


def upload(*, organisation: Organisation, name: str, chunks: Iterable[bytes], by: str) -> ShopperImport:
    """Keep a file, with a guess at what its columns are. Raises Unreadable."""
    content = sheet.packed(chunks)
    mapping = {str(column): meaning for column, meaning in enumerate(sheet.guess(content)) if meaning}
    return ShopperImport.objects.create(
        organisation=organisation, name=name[-200:], content=content, lines=sheet.count(content), mapping=mapping, asked_by=by[:150]
    )


def look(row: ShopperImport, *, mapping: Mapping[int, str], terms: Terms, into: ShopperList | None) -> None:
    """Have it looked at, with these columns. Raises NotNow."""
    named = {str(column): meaning for column, meaning in mapping.items() if meaning != sheet.IGNORE}
    consent = {name: getattr(terms, name) for name in Terms.__slots__}
    _move(row, (State.UPLOADED, State.CHECKED), state=State.CHECKING, mapping=named, consent=consent, into=into)


def take_in(row: ShopperImport) -> None:
    """Raises NotNow."""
    _move(row, (State.CHECKED,), state=State.RUNNING)


def again(row: ShopperImport) -> None:
    """Name the columns of one that failed again: what was taken in already is unchanged then. Raises NotNow."""
    if not row.content or ShopperImport.objects.filter(pk=row.pk, state=State.FAILED).update(state=State.UPLOADED, attempts=0) != 1:
        raise NotNow


def discard(row: ShopperImport) -> None:
    """Forget one that is not being worked on. Raises NotNow."""
    if not ShopperImport.objects.filter(pk=row.pk).exclude(state__in=WORKED).delete()[0]:
        raise NotNow


def _move(row: ShopperImport, before: tuple[str, ...], **changes: Any) -> None:
    fresh = {"line": 0, "created": 0, "updated": 0, "unchanged": 0, "rejected": 0, "faults": [], "attempts": 0}
    if ShopperImport.objects.filter(pk=row.pk, state__in=before).update(**fresh, **changes) != 1:
        raise NotNow
    row.refresh_from_db()


def drop_old(now: datetime) -> int:
    """Empty files that nobody took in for a week; returns how many."""
    return ShopperImport.objects.filter(created_at__lt=now - KEPT).exclude(state__in=WORKED).exclude(content=b"").update(content=b"")


# --- Work -----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A file at the place where the next slice begins. `digest`: of the file that this is; an erasure may have taken somebody out of it."""

    digest: str
    line: int
    columns: int
    rows: Iterator[Row]


def work(*, turn_s: float = TURN_S) -> int:
    """Work on imports for a moment, whoever was first first; returns the number of slices done. What somebody else works on is left to him."""
    until = time.monotonic() + turn_s
    done = 0
    for id in list(ShopperImport.objects.filter(state__in=WORKED).order_by("pk").values_list("pk", flat=True)):
        with _held(id) as mine:
            file: list[_Open] = []
            while mine and time.monotonic() < until and _attempt(id, file):
                done += 1
    return done


_STANDING_STILL: Final = "SELECT set_config('idle_session_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false)"


@contextmanager
def _held(id: int) -> Iterator[bool]:
    """Whether nobody else works on it. The lock is the session's: an attempt and its slice are two commits, and it ends with a worker that is killed,
    or that stands still for too long."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, id % 2**31])
        mine = bool(cursor.fetchone()[0])
        if mine:
            cursor.execute(_STANDING_STILL, [f"{settings.WORK_IDLE_S}s"] * 2)
    try:
        yield mine
    finally:
        if mine and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, id % 2**31])
                cursor.execute(_STANDING_STILL, ["0", "0"])


def _attempt(id: int, file: list[_Open]) -> bool:
    """One slice; whether there may be another. That it was begun is committed first: one that kills its worker is given up after some tries."""
    with transaction.atomic():
        row = _taken(id)
        if row is None:
            return False
        if row.attempts >= TRIES:
            _end(row, State.FAILED)
            return False
        ShopperImport.objects.filter(pk=id).update(attempts=row.attempts + 1)
    try:
        with transaction.atomic():
            row = _taken(id)
            more = row is not None and _slice(row, file)
            point("import.before_commit")
    except Exception as error:  # whatever it was: its words may have in them what stood in the file
        file.clear()
        logger.warning("A slice of import %s failed: %s", id, type(error).__name__)
        return False
    return more


def _taken(id: int) -> Any:
    """The row without its file, held: an erasure that takes somebody out of the file is waited for. None where nothing is to be done."""
    found = ShopperImport.objects.defer("content").select_for_update(of=("self",), no_key=True).filter(pk=id, state__in=WORKED)
    return found.select_related("organisation").first()


def _slice(row: ShopperImport, file: list[_Open]) -> bool:
    now = timezone.now()
    try:
        opened = _opened(row, file)
        rows = _next(opened)
    except Unreadable as error:
        row.faults = [{"line": error.line, "column": None, "reason": error.why}, *row.faults][:MOST_FAULTS]
        _end(row, State.FAILED)
        return False
    if not rows:
        _end(row, State.CHECKED if row.state == State.CHECKING else State.FINISHED)
        return False
    reader = _reader(row, opened.columns, now)
    good: dict[int, Told] = {}
    faults: dict[int, Fault] = {}
    for one in rows:
        try:
            good[one.line] = reader.told(one)
        except Fault as fault:
            faults[one.line] = fault
    answers = dict(zip(good, _recorded(row, list(good.values()), now), strict=True))
    faults |= {line: Fault(str(answer.reason), _column(row, answer)) for line, answer in answers.items() if answer.reason}
    _note(row, rows[-1].line, answers, faults)
    return True


def _opened(row: ShopperImport, file: list[_Open]) -> _Open:
    with connection.cursor() as cursor:
        cursor.execute("SELECT md5(content) FROM engagement_shopperimport WHERE id = %s", [row.pk])
        (digest,) = cursor.fetchone()
    if not file or (file[0].digest, file[0].line) != (digest, row.line):
        content = bytes(row.content)
        names = sheet.heading(content)
        file[:] = [_Open(digest, row.line, len(names.cells), sheet.rows(content, after=row.line or names.line))]
    return file[0]


def _next(file: _Open) -> list[Row]:
    """The next rows. What cannot be read ends them, and is met again by the next slice."""
    found: list[Row] = []
    try:
        for row in file.rows:
            found.append(row)
            if len(found) == SLICE:
                break
    except Unreadable:
        if not found:
            raise
        file.digest = ""
        return found
    if found:
        file.line = found[-1].line
    return found


def _reader(row: ShopperImport, columns: int, now: datetime) -> Reader:
    mapping = {int(column): meaning for column, meaning in sorted(row.mapping.items(), key=lambda item: int(item[0]))}
    return Reader(mapping, Terms(**row.consent), display.clock_of(row.organisation), now, columns)


def _recorded(row: ShopperImport, people: list[Told], now: datetime) -> list[Answer]:
    """What became of each; of one that is only looked at, what would have."""
    by = row.asked_by
    if row.state == State.RUNNING:
        answers = record(row.organisation, people, by, now)
        if row.into_id:
            _join(row, [answer.id for answer in answers if answer.result is not Result.REJECTED])
        return answers
    with transaction.atomic():
        answers = record(row.organisation, people, by, now)
        transaction.set_rollback(True)
    return answers


_JOIN: Final = """
INSERT INTO engagement_listmember AS known (list_id, shopper_id, present, changed)
SELECT %s, s, true, 0 FROM unnest(%s::bigint[]) AS n(s) ON CONFLICT (list_id, shopper_id) DO UPDATE SET present = true WHERE NOT known.present
"""


def _join(row: ShopperImport, ids: list[str]) -> None:
    with connection.cursor() as cursor:
        numbers = sorted(shoppers.hold(cursor, row.organisation_id, set(ids)).values())
        cursor.execute(_JOIN, [row.into_id, numbers])


def _column(row: ShopperImport, answer: Answer) -> int | None:
    """Where a refusal belongs that only the database could tell."""
    meant = {"consents": "consent_at"}.get(answer.field.partition(".")[0], answer.field)
    return next((int(column) for column, meaning in row.mapping.items() if meaning == meant), None)


def _note(row: ShopperImport, line: int, answers: Mapping[int, Answer], faults: Mapping[int, Fault]) -> None:
    for result in (Result.CREATED, Result.UPDATED, Result.UNCHANGED):
        setattr(row, result.value, getattr(row, result.value) + sum(answer.result is result for answer in answers.values()))
    row.rejected += len(faults)
    shown = [{"line": at, "column": fault.column, "reason": str(fault.reason)} for at, fault in sorted(faults.items())]
    row.faults = [*row.faults, *shown][:MOST_FAULTS]
    row.line, row.attempts = line, 0
    row.save(update_fields=["line", "attempts", "created", "updated", "unchanged", "rejected", "faults"])


def _end(row: ShopperImport, state: str) -> None:
    """What was taken in is no longer needed as a file."""
    row.state, row.attempts, row.finished_at = state, 0, timezone.now()
    fields = ["state", "attempts", "finished_at", "faults"]
    if state == State.FINISHED:
        row.content = b""
        fields.append("content")
    row.save(update_fields=fields)
