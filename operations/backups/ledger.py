"""What people asked for since a backup, kept beside the backups: it must outlive the database that they said it to.

Each minute what is new is written as one more file, ledger/20261121T101500123456Z.jsonl: its head, then a line for each. A file is never changed;
those of a day that is over become one (`tidy`). A line may be written twice, and applied twice: each says what holds, not what to change.

    Erased     somebody was erased, or asked for it: digests of his names, keyed with SECRET_KEY. Not who
    Said       he no longer agrees to be written to, or says himself that he does
    Stopped    his address is not to be written to
    Wished     what he wishes to hear of, and what not

The last three name him as the organisation does, since a database that is older than he is must still know it. They go when he is erased.
"""

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg
from django.utils import timezone

from engagement import shoppers
from operations.backups import databases, making, place
from operations.backups.place import Place
from operations.backups.trouble import Broken

logger = logging.getLogger("atrium.backup")
Connection = psycopg.Connection[tuple[Any, ...]]

FOLDER: Final = "ledger"
EACH: Final = timedelta(seconds=55)
EMPTY_AFTER: Final = timedelta(hours=1)  # a head alone is written so often, so that what a look goes through stays short
MARGIN: Final = timedelta(hours=1)  # a transaction may be committed so long after the instant that its rows bear


class Head(msgspec.Struct, frozen=True, tag="head"):
    at: datetime
    database: str  # which: numbers of transactions mean nothing in another
    after: int  # everything of earlier transactions is in this file, or in one before it


class Erased(msgspec.Struct, frozen=True, tag="erased"):
    organisation: int
    key: str
    erasure: int
    digest: str
    until: datetime


class Said(msgspec.Struct, frozen=True, tag="said"):
    organisation: int
    key: str
    who: str
    channel: str
    purpose: str
    given: bool
    at: datetime
    source: str
    wording: str
    by: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    organisation: int
    key: str
    who: list[str]  # whose address it is
    address: str
    why: str
    at: datetime
    by: str


class Wished(msgspec.Struct, frozen=True, tag="wished"):
    organisation: int
    key: str
    who: str
    channel: str
    brand: str | None
    topic: str | None
    wished: bool
    at: datetime


Entry = Erased | Said | Stopped | Wished
_DECODER: Final[msgspec.json.Decoder[Head | Entry]] = msgspec.json.Decoder(Head | Entry)

# `changed` has an index, and names the transaction as it was numbered when the row was written, perhaps by another server; xmin is of this one.
_NEW: Final = "{0}.changed >= %(after)s AND age({0}.xmin) <= age(%(xid)s::text::xid)"
_SAID: Final = f"""SELECT o.id, o.key, s.external_id, t.channel, t.purpose, t.given, t.at, coalesce(c.source, ''), coalesce(c.wording, ''),
           coalesce(c.recorded_by, '')
    FROM engagement_organisation o JOIN engagement_consentstate t ON t.organisation_id = o.id AND {_NEW.format("t")}
    JOIN engagement_shopper s ON s.id = t.shopper_id AND s.external_id IS NOT NULL
    LEFT JOIN engagement_consent c ON (c.shopper_id, c.channel, c.purpose, c.at, c.given) = (t.shopper_id, t.channel, t.purpose, t.at, t.given)
    WHERE NOT t.given OR c.recorded_by = '' ORDER BY o.id, s.external_id"""
_STOPPED: Final = f"""SELECT o.id, o.key, coalesce((SELECT array_agg(s.external_id ORDER BY s.external_id) FROM engagement_profile p
               JOIN engagement_shopper s ON s.id = p.shopper_id AND s.external_id IS NOT NULL
               WHERE p.organisation_id = o.id AND lower(p.email) = t.address AND p.email <> ''), '{{}}'), t.address, t.why, t.at, t.added_by
    FROM engagement_organisation o JOIN notifications_suppression t ON t.organisation_id = o.id AND t.lifted_at IS NULL AND {_NEW.format("t")}
    ORDER BY o.id, t.address"""
_WISHED: Final = f"""SELECT o.id, o.key, s.external_id, t.channel, b.key, i.key, t.wished, t.at
    FROM engagement_organisation o JOIN notifications_preference t ON t.organisation_id = o.id AND {_NEW.format("t")}
    JOIN engagement_shopper s ON s.id = t.shopper_id AND s.external_id IS NOT NULL
    LEFT JOIN engagement_brand b ON b.id = t.brand_id LEFT JOIN notifications_topic i ON i.id = t.topic_id ORDER BY o.id, s.external_id, t.id"""
_ERASED: Final = """SELECT o.id, o.key, e.erasure_id, encode(e.digest, 'hex'), e.until
    FROM engagement_erased e JOIN engagement_organisation o ON o.id = e.organisation_id
    WHERE age(e.xmin) <= age(%(xid)s::text::xid) ORDER BY e.id"""
_ASKED: Final = """SELECT o.id, o.key, e.id, s.external_id, s.device_key, e.requested_at,
           ARRAY(SELECT d.key FROM engagement_device d WHERE d.organisation_id = o.id AND d.owner_id = s.id ORDER BY d.id)
    FROM engagement_erasure e JOIN engagement_organisation o ON o.id = e.organisation_id JOIN engagement_shopper s ON s.id = e.shopper_id
    WHERE e.finished_at IS NULL AND age(e.xmin) <= age(%(xid)s::text::xid) ORDER BY e.id"""
_WHERE: Final = (
    "SELECT current_database(), oid::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM pg_database WHERE datname = current_database()"
)
_SERVER: Final = "SELECT system_identifier::text FROM pg_control_system() WHERE has_function_privilege('pg_control_system()', 'EXECUTE')"


def head(session: Connection, at: datetime) -> Head:
    """Where the session's database stands: what commits from now on has a transaction of `after` or later."""
    [(name, number, after)] = session.execute(_WHERE).fetchall()
    try:
        [(server,)] = session.execute(_SERVER).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        server = ""
    return Head(at, f"{server}:{name}:{number}", after)


def entries(session: Connection, *, after: int = 0) -> list[Entry]:
    """What the session's database knows of such things: everything, or what transactions from `after` on wrote."""
    told = {"after": after, "xid": str(max(after % 2**32, 2))}  # 2 is older than every row
    found: list[Entry] = [Erased(*row) for row in session.execute(_ERASED, told)]
    for organisation, key, erasure, external_id, device_key, at, owned in session.execute(_ASKED, told):
        names = [("s", external_id)] if external_id else [("d", device_key or "")]
        for kind, name in {*names, *(("d", device) for device in owned)}:
            found.append(Erased(organisation, key, erasure, shoppers.digest(organisation, kind, name).hex(), at))
    found += [Said(*row) for row in session.execute(_SAID, told)]
    found += [Stopped(*row) for row in session.execute(_STOPPED, told)]
    found += [Wished(*row) for row in session.execute(_WISHED, told)]
    return found


def keep(where: Place, *, now: datetime | None = None) -> int:
    """Write what is new; returns how many lines. Called each minute, or never: the next call makes up for it."""
    now = now or timezone.now()
    last = _last_head(where)
    with closing(databases.connect(application="atrium ledger")) as session:
        here = head(session, now)
        after = last.after if last and last.database == here.database else 0
        new = entries(session, after=after)
    if new or last is None or last.database != here.database or now - last.at >= EMPTY_AFTER:
        _write(where, f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}Z", [here, *new])
    return len(new)


_kept_at: list[datetime] = []


def look(now: datetime) -> None:
    """The watch calls it in each round; something is done each minute."""
    where = place.usual()
    if where is not None and not (_kept_at and timedelta(0) <= now - _kept_at[0] < EACH):
        keep(where, now=now)
        _kept_at[:] = [now]


def read(where: Place, *, since: datetime | None = None) -> Iterator[Head | Entry]:
    """All lines of the files that may hold something from after `since`, in the order of the files."""
    first = f"{FOLDER}/{since - MARGIN:%Y%m%d}" if since else ""
    for path in _files(where):
        if path >= first:
            yield from _lines(path, where)


def tidy(where: Place, *, now: datetime | None = None) -> None:
    """The files of a day that is over become one. What is older than every backup goes, and what names somebody who was erased."""
    now = now or timezone.now()
    kept = making.names(where)
    first = making.instant_of(kept[0]) - MARGIN if kept else None
    gone: dict[str, datetime] = {}
    for one in read(where):
        if isinstance(one, Erased):
            gone[one.digest] = max(one.until, gone.get(one.digest, one.until))
    days: dict[str, list[str]] = {}
    for path in _files(where):
        days.setdefault(_day(path), []).append(path)
    for day, paths in sorted(days.items()):
        if day >= f"{now.astimezone(UTC):%Y%m%d}":
            continue
        before = [line for path in paths for line in _lines(path, where)]
        after = [line for line in dict.fromkeys(_hashable(line) for line in before) if first is not None and day >= f"{first:%Y%m%d}"]
        left = [line for line in map(_DECODER.decode, after) if not _names(line, gone)]
        whole = f"{FOLDER}/{day}.jsonl"
        if left and (paths != [whole] or left != before):
            _write(where, day, left)
        for path in paths if not left else [path for path in paths if path != whole]:
            where.remove(path)


def _names(line: Head | Entry, gone: dict[str, datetime]) -> bool:
    """Whether a line names somebody who was erased after it. Who came back is somebody new."""
    match line:
        case Said() | Wished():
            who = [line.who]
        case Stopped() if line.who:
            who = line.who
        case _:
            return False
    until = [gone.get(shoppers.digest(line.organisation, "s", name).hex()) for name in who]
    return all(limit is not None and line.at <= limit for limit in until)


def _hashable(line: Head | Entry) -> bytes:
    return msgspec.json.encode(line)


def _day(path: str) -> str:
    return path.removeprefix(f"{FOLDER}/")[:8]


def _files(where: Place) -> list[str]:
    """By name, which is by time: a day's one file before what is left of its parts."""
    return [path for path in where.files() if path.startswith(f"{FOLDER}/") and path.endswith(".jsonl")]


def _last_head(where: Place) -> Head | None:
    for path in reversed(_files(where)):
        heads = [line for line in _lines(path, where) if isinstance(line, Head)]
        if heads:
            return max(heads, key=lambda one: one.at)
    return None


def _lines(path: str, where: Place) -> Iterator[Head | Entry]:
    """Raises Broken: what people asked for may not be passed over."""
    try:
        yield from (_DECODER.decode(line) for line in (where.read(path) or b"").splitlines())
    except msgspec.MsgspecError as error:
        raise Broken(f"The ledger's file {path} in {where.shown} cannot be read ({error}).") from None


def _write(where: Place, name: str, lines: list[Any]) -> None:
    where.write(f"{FOLDER}/{name}.jsonl", making.source(b"".join(msgspec.json.encode(line) + b"\n" for line in lines)))
