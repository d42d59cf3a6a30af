"""What was told of a shopper and what was made of it goes with him: his profile and consents, the lists and audiences that he is in, files and
answers that have him in them.

The large part is done before anybody has to wait for the erasure (`early`), what came meanwhile under its locks (`late`). Rows come in the order
in which others take them: files, audiences, then the shopper himself, then what hangs on him, so nobody waits in a circle.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from analytics.facts import pack_set, unpack_set
from engagement.profiles import sheet

Connection = psycopg.Connection[tuple[Any, ...]]

LONGEST_WRITE: Final = timedelta(minutes=15)  # an answer is committed with its write, so long after it was dated
AT_ONCE: Final = 200  # changes of audiences whose sets are in memory at once
_SHOPPERS_OWN: Final = ("engagement_consent", "engagement_consentstate", "engagement_listmember")


@dataclass(slots=True)
class Wanted:
    """Whom to forget, and what was gone through already. By their numbers one by one: a row may be committed after one of a greater number."""

    organisation: int
    shopper: int
    external_id: str | None
    email: str
    begun: datetime
    files: set[int] = field(default_factory=set)
    changes: set[int] = field(default_factory=set)


def early(connection: Connection, organisation: int, shopper: int) -> Wanted:
    """Everything that is there now, without a lock that others wait for, but that of files that have him in them."""
    row = connection.execute(
        """SELECT clock_timestamp(), s.external_id, p.email FROM (SELECT 1) AS once
           LEFT JOIN engagement_shopper s ON s.id = %s AND s.organisation_id = %s LEFT JOIN engagement_profile p ON p.shopper_id = s.id""",
        [shopper, organisation],
    ).fetchone()
    assert row is not None
    begun, external_id, email = row
    wanted = Wanted(organisation, shopper, external_id, (email or "").lower(), begun)
    _files(connection, wanted)
    _answers(connection, wanted, None)
    _changes(connection, wanted)
    return wanted


def late(connection: Connection, wanted: Wanted) -> None:
    """What came since, and the audiences themselves. They are held until the commit: whoever makes their sets again afterwards no longer sees him."""
    _files(connection, wanted)
    audiences = connection.execute(
        "SELECT id, members FROM analytics_audience WHERE organisation_id = %s ORDER BY id FOR NO KEY UPDATE", [wanted.organisation], binary=True
    ).fetchall()
    for id, packed in audiences:
        members = unpack_set(packed)
        if wanted.shopper in members:
            members.discard(wanted.shopper)
            connection.execute("UPDATE analytics_audience SET members = %s, count = %s WHERE id = %s", [pack_set(members), len(members), id])
    # A refresh that has worked its sets out already, and waits for the row to write them, finds another state than it began with and gives up.
    connection.execute("UPDATE analytics_audience SET state = '' WHERE organisation_id = %s", [wanted.organisation])
    _changes(connection, wanted)


def what_was_told(connection: Connection, wanted: Wanted) -> None:
    """After the shopper's own row is gone: whoever tells something of him meanwhile waits there, and then finds nobody."""
    for table in _SHOPPERS_OWN:
        connection.execute(f"DELETE FROM {table} WHERE shopper_id = %s", [wanted.shopper])
    connection.execute("DELETE FROM engagement_profile WHERE shopper_id = %s", [wanted.shopper])
    _answers(connection, wanted, wanted.begun - LONGEST_WRITE)


def _files(connection: Connection, wanted: Wanted) -> None:
    """Imports that are not taken in yet, or failed: his rows are emptied, so that they bring nobody back."""
    listed = connection.execute(
        "SELECT id FROM engagement_shopperimport WHERE organisation_id = %s AND content <> '' AND id <> ALL(%s) ORDER BY id",
        [wanted.organisation, sorted(wanted.files)],
    ).fetchall()
    for (id,) in listed:
        found = connection.execute("SELECT content, mapping FROM engagement_shopperimport WHERE id = %s FOR NO KEY UPDATE", [id], binary=True).fetchone()
        left = sheet.without(found[0], _his(wanted, found[1])) if found and found[0] else None
        if left is not None:
            connection.execute("UPDATE engagement_shopperimport SET content = %s WHERE id = %s", [left, id])
        wanted.files.add(id)


def _his(wanted: Wanted, mapping: dict[str, str]) -> Callable[[int, str], bool]:
    """Whether a cell is his address or his id: in a column of ids, or one that may be named so yet. A number of something else is not his."""
    named = "id" in mapping.values()

    def his(column: int, cell: str) -> bool:
        meaning = mapping.get(str(column), "").partition(":")[0]
        return (cell == wanted.external_id and (not named or meaning in ("id", "text", ""))) or (wanted.email != "" and cell.lower() == wanted.email)

    return his


def _answers(connection: Connection, wanted: Wanted, since: datetime | None) -> None:
    """Stored answers of writes name him by his id, as an object's `id`. The answer stays, so that the write is not done again."""
    if wanted.external_id is None:
        return
    connection.execute(
        """UPDATE engagement_idempotentanswer SET answer = replace(answer, %(named)s, '"id":""')
           WHERE organisation_id = %(organisation)s AND created_at >= coalesce(%(since)s::timestamptz, '-infinity') AND position(%(named)s in answer) > 0""",
        {"organisation": wanted.organisation, "named": f'"id":{json.dumps(wanted.external_id, ensure_ascii=False)}', "since": since},
    )


_LISTED: Final = "SELECT c.id FROM analytics_audiencechange c JOIN analytics_audience a ON a.id = c.audience_id WHERE a.organisation_id = %s"
_CHANGES: Final = 'SELECT id, joined, "left" FROM analytics_audiencechange WHERE id = ANY(%s)'
_CHANGED: Final = 'UPDATE analytics_audiencechange SET joined = %s, joined_count = %s, "left" = %s, left_count = %s WHERE id = %s'


def _changes(connection: Connection, wanted: Wanted) -> None:
    """Who joined and left audiences, and when: his going through them is a trace as his stays are."""
    listed = [id for (id,) in connection.execute(_LISTED, [wanted.organisation]).fetchall() if id not in wanted.changes]
    for first in range(0, len(listed), AT_ONCE):
        for id, *packed in connection.execute(_CHANGES, [listed[first : first + AT_ONCE]], binary=True).fetchall():
            joined, left = (unpack_set(one) for one in packed)
            if wanted.shopper in joined or wanted.shopper in left:
                joined.discard(wanted.shopper)
                left.discard(wanted.shopper)
                connection.execute(_CHANGED, [pack_set(joined), len(joined), pack_set(left), len(left), id])
    wanted.changes.update(listed)
