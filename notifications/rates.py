"""How much of the mail bounces, or is complained of.

Amazon looks at a "representative volume" of the latest mail, without saying how much that is. Here a rate is of the shortest span that ends now and
holds a volume of sent mail (10,000 for bounces; complaints are rarer and come later: 50,000), at most of 30 days. Where less was sent than a
twentieth (a tenth) of that, the rate is as if so much had been: a handful of mails proves nothing. Hard bounces count alone, as Amazon counts them.
What was heard in the span may be of mail that was sent before it; over a volume that evens out, and after a big sending the span grows by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper

from engagement import display
from notifications.models import MessageEvent

SPANS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 120, 480, 1440, 3 * 1440, 7 * 1440, 30 * 1440))


@dataclass(frozen=True, kw_only=True)
class Measure:
    kind: str
    volume: int  # sent mails that a rate is taken over, where there are as many
    least: int  # and at least
    slower: float  # from this rate on marketing goes at half its pace
    stopped: float  # and from this one not at all


# Amazon reviews an account at 5 % and 0.1 %: it should never come to that.
BOUNCES: Final = Measure(kind=MessageEvent.Kind.BOUNCE.value, volume=10_000, least=500, slower=0.02, stopped=0.04)
COMPLAINTS: Final = Measure(kind=MessageEvent.Kind.COMPLAINT.value, volume=50_000, least=5_000, slower=0.0005, stopped=0.0008)
MEASURES: Final = (BOUNCES, COMPLAINTS)

_FROM: Final = "SELECT judged_from FROM notifications_sendingaccount WHERE id = 1"
_ENOUGH: Final = "SELECT count(*) FROM (SELECT 1 FROM notifications_message WHERE sent_at >= %s LIMIT %s) AS found"
_SENT: Final = "SELECT count(*) FROM notifications_message WHERE sent_at >= %s"
_HEARD: Final = "SELECT count(DISTINCT message_id) FROM notifications_messageevent WHERE kind = %s AND kind IN ('bounce', 'complaint') AND at >= %s"


@dataclass(frozen=True, slots=True)
class Rate:
    heard: int
    sent: int
    value: float


def rate(measure: Measure, now: datetime) -> Rate:
    with connection.cursor() as cursor:
        cursor.execute(_FROM)
        row = cursor.fetchone()
        since = _since(cursor, measure, now, row[0] if row else None)
        cursor.execute(_SENT, [since])
        [(sent,)] = cursor.fetchall()
        cursor.execute(_HEARD, [measure.kind, since])
        [(heard,)] = cursor.fetchall()
    return Rate(heard, sent, heard / max(sent, measure.least))


def _since(cursor: CursorWrapper, measure: Measure, now: datetime, judged_from: datetime | None) -> datetime:
    for span in SPANS:
        since = now - span
        if judged_from is not None and since <= judged_from:
            return judged_from
        cursor.execute(_ENOUGH, [since, measure.volume])
        [(sent,)] = cursor.fetchall()
        if sent >= measure.volume:
            return since
    return now - SPANS[-1]


def percent(value: float) -> str:
    return f"{display.number(value * 100, 2)} %"
