"""Who bought, and whose messages became what: asked of the database each time, in the snapshot of the evaluation."""

from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from analytics.audiences import tree
from analytics.audiences.sets import edges
from analytics.calendars import Clock
from analytics.days import Cursor

_BOUGHT: Final = """
SELECT string_agg(int8send(p.shopper_id), ''::bytea) FROM (
    SELECT p.shopper_id FROM engagement_purchase p
    WHERE p.organisation_id = %(organisation)s AND p.brand_id = ANY(%(brands)s)
      AND p.at >= atrium_instant(%(start)s) AND p.at < atrium_instant(%(end)s) {conditions}
    {together}) p
"""
# Opens and clicks of machines say nothing of a person.
_MESSAGES: Final = {
    "opened": """SELECT DISTINCT m.shopper_id FROM notifications_run r JOIN notifications_message m ON m.run_id = r.id
                 JOIN notifications_messageevent e ON e.message_id = m.id AND e.kind = 'open' AND e.by <> 'machine'
                 WHERE r.campaign_id = %(campaign)s AND m.organisation_id = %(organisation)s""",
    "clicked": """SELECT DISTINCT m.shopper_id FROM notifications_run r JOIN notifications_message m ON m.run_id = r.id
                  JOIN notifications_messageevent e ON e.message_id = m.id AND e.kind = 'click' AND e.by <> 'machine'
                  WHERE r.campaign_id = %(campaign)s AND m.organisation_id = %(organisation)s""",
}
_STATE: Final = """SELECT m.shopper_id FROM notifications_run r JOIN notifications_message m ON m.run_id = r.id
                   WHERE r.campaign_id = %(campaign)s AND m.organisation_id = %(organisation)s AND m.state = %(state)s"""


def purchased(cursor: Cursor, organisation: int, leaf: tree.Purchased, brand: int | None, clock: Clock, now: int) -> BitMap:
    start, end = edges(leaf.range, clock, now)
    conditions, together = [], ""
    if leaf.currency is not None:
        conditions.append("AND p.currency = %(currency)s")
    if leaf.amount_at_least is not None:
        conditions.append("AND p.amount >= %(amount)s::text::numeric")
    if leaf.total_at_least is not None:
        together = "GROUP BY p.shopper_id, p.currency HAVING sum(p.amount) >= %(total)s::text::numeric"
    asked = {
        "organisation": organisation,
        "brands": [brand] if brand is not None else _brands(cursor, organisation),
        "start": start,
        "end": end,
        "currency": leaf.currency,
        "amount": _exact(leaf.amount_at_least),
        "total": _exact(leaf.total_at_least),
    }
    return _set(cursor, _BOUGHT.format(conditions=" ".join(conditions), together=together), asked)


def _exact(amount: float | None) -> str | None:
    """As it was written: 12.1 is not the nearest binary number."""
    return None if amount is None else repr(amount)


def _brands(cursor: Cursor, organisation: int) -> list[int]:
    return [number for (number,) in cursor.execute("SELECT id FROM engagement_brand WHERE organisation_id = %s", [organisation]).fetchall()]


def messaged(cursor: Cursor, organisation: int, campaign: int, state: str) -> BitMap:
    """Shoppers that still are: an erased one's message has a number below 0."""
    sql = f"SELECT string_agg(int8send(shopper_id), ''::bytea) FROM ({_MESSAGES.get(state, _STATE)}) m WHERE shopper_id > 0"
    return _set(cursor, sql, {"organisation": organisation, "campaign": campaign, "state": state})


def _set(cursor: Cursor, sql: str, asked: dict[str, Any]) -> BitMap:
    found = cursor.execute(sql, asked, binary=True).fetchone()
    return BitMap(np.frombuffer((found[0] if found else None) or b"", ">i8").astype(np.uint32))
