"""That a mail was opened, and which of its links was followed: one row each, whatever is repeated within a minute.

By whom is what `machines` says of the request, unless its time says more: what comes within seconds of the sending, many links at once, and whoever
follows the link that no person sees, are machines. A click can show that those a moment before it were a machine's, too.
"""

from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from notifications import machines
from notifications.links import HONEYPOT, NO_MESSAGE

_SOON: Final = f"coalesce(m.sent_at, m.claimed_at) > %(at)s - interval '{machines.SOON_S} seconds'"

_OPEN: Final = f"""
INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, detail)
SELECT w.organisation_id, w.id, 'open', %(at)s, 'page:' || %(minute)s || ':' || w.by, w.by, w.rule
FROM (SELECT m.organisation_id, m.id, CASE WHEN {_SOON} THEN 'machine' ELSE %(by)s END AS by, CASE WHEN {_SOON} THEN 'at once' ELSE %(rule)s END AS rule
        FROM notifications_message m WHERE m.id = %(message)s AND m.shopper_id > 0) w
ON CONFLICT (message_id, kind, source) DO NOTHING
"""

# One click of a message after the other, so that of several at one instant the last sees all.
_IN_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('click', %(message)s))"
_CLICK: Final = f"""
WITH lately AS (
    SELECT e.id, e.at, e.by, e.detail, coalesce(e.link_id, 0) AS link FROM notifications_messageevent e
     WHERE e.message_id = %(message)s AND e.kind = 'click' AND e.at > %(at)s - interval '{machines.UNSEEN_S} seconds'
), seen AS (
    SELECT m.organisation_id, m.id,
           CASE WHEN %(unseen)s OR EXISTS (SELECT 1 FROM lately WHERE detail = 'unseen link') THEN 'unseen link'
                WHEN (SELECT count(DISTINCT link) FROM lately WHERE at > %(at)s - interval '{machines.BURST_S} seconds' AND link <> %(link)s) + 1
                     >= {machines.BURST_LINKS} THEN 'burst'
                WHEN {_SOON} THEN 'at once' END AS rule
      FROM notifications_message m WHERE m.id = %(message)s AND m.shopper_id > 0
), corrected AS (
    UPDATE notifications_messageevent e SET by = 'machine', detail = s.rule FROM lately l, seen s
     WHERE e.id = l.id AND e.message_id = %(message)s AND l.by <> 'machine'
       AND (s.rule = 'unseen link' OR (s.rule = 'burst' AND l.at > %(at)s - interval '{machines.BURST_S} seconds'))
)
INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, link_id, detail)
SELECT s.organisation_id, s.id, 'click', %(at)s, 'page:' || %(minute)s || ':' || %(link)s || ':' || w.by, w.by, nullif(%(link)s, 0), coalesce(s.rule, %(rule)s)
FROM seen s, LATERAL (SELECT CASE WHEN s.rule IS NULL THEN %(by)s ELSE 'machine' END AS by) w
ON CONFLICT (message_id, kind, source) DO NOTHING
"""


def opened(message: int, at: datetime, by: str, rule: str) -> None:
    """Nothing is written of a preview, a test, a message that is not known, or an erased shopper's."""
    if message != NO_MESSAGE:
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, {"message": message, "at": at, "minute": _minute(at), "by": by, "rule": rule})


def clicked(message: int, link: int | None, at: datetime, by: str, rule: str) -> None:
    """`link`: a Link's number, HONEYPOT, or None for a target that is of one shopper. Otherwise as `opened`."""
    if message == NO_MESSAGE:
        return
    told: dict[str, Any] = {"message": message, "link": link or 0, "unseen": link == HONEYPOT, "at": at, "minute": _minute(at), "by": by, "rule": rule}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_IN_TURN, told)
        cursor.execute(_CLICK, told)


def target(message: int, link: int) -> str | None:
    """Where a link leads. It must be of the message's own campaign; a test's, of any."""
    of_message = "" if message == NO_MESSAGE else "AND campaign_id = (SELECT campaign_id FROM notifications_message WHERE id = %(message)s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT url FROM notifications_link WHERE id = %(link)s {of_message}", {"message": message, "link": link})
        row = cursor.fetchone()
    return str(row[0]) if row else None


def _minute(at: datetime) -> str:
    return str(int(at.timestamp()) // 60)
