"""The ledger of consents, and what holds of it: written together, in the caller's transaction.

What holds is the latest by `at`, and of two at one instant the withdrawal: a greatest, so the order in which things are told does not matter.
A consent that is given lifts the suppression that an earlier unsubscription left: a trigger of notifications does it (its migration
0004_consent_lifts), so that whoever writes here, now or later, cannot forget it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from engagement.profiles.told import Consent

# Sorted by the whole key, as every writer of these tables does: whoever meets another waits, and never both for each other.
_LEDGER: Final = """
INSERT INTO engagement_consent (organisation_id, shopper_id, channel, purpose, given, at, source, wording, recorded_at, recorded_by)
SELECT %(organisation)s, s, c, p, g, a, o, w, %(now)s, %(by)s
FROM unnest(%(shoppers)s::bigint[], %(channels)s::text[], %(purposes)s::text[], %(given)s::bool[], %(at)s::timestamptz[], %(sources)s::text[],
            %(wordings)s::text[]) AS n(s, c, p, g, a, o, w)
ON CONFLICT DO NOTHING RETURNING shopper_id
"""
_STATES: Final = """
INSERT INTO engagement_consentstate AS known (organisation_id, shopper_id, channel, purpose, given, at, changed)
SELECT %(organisation)s, s, c, p, g, a, 0
FROM unnest(%(shoppers)s::bigint[], %(channels)s::text[], %(purposes)s::text[], %(given)s::bool[], %(at)s::timestamptz[]) AS n(s, c, p, g, a)
ON CONFLICT (shopper_id, channel, purpose) DO UPDATE SET given = excluded.given, at = excluded.at
WHERE (excluded.at, NOT excluded.given) > (known.at, NOT known.given)
"""


_HELD: Final = "SELECT 1 FROM engagement_shopper WHERE id = %s AND organisation_id = %s FOR KEY SHARE"

Key = tuple[int, str, str]  # shopper, channel, purpose


def add(cursor: CursorWrapper, organisation: int, told: Iterable[tuple[int, Consent]], by: str, now: datetime) -> set[int]:
    """Add what was told of shoppers, by their numbers; returns those of whom something was new. The caller holds the shoppers (shoppers.hold)."""
    once = {(shopper, one.channel, one.purpose, one.at, one.given): one for shopper, one in told}
    if not once:
        return set()
    rows = [(key[0], one) for key, one in sorted(once.items(), key=lambda item: item[0])]
    more: dict[str, Any] = {"sources": [one.source for _, one in rows], "wordings": [one.wording for _, one in rows], "by": by[:150], "now": now}
    cursor.execute(_LEDGER, {"organisation": organisation, **_columns(rows), **more})
    new = {shopper for (shopper,) in cursor.fetchall()}
    latest: dict[Key, Consent] = {}
    for shopper, one in rows:  # in the order of the instants, and the withdrawal first of two at one
        known = latest.get((shopper, one.channel, one.purpose))
        if shopper in new and (known is None or one.at > known.at):
            latest[shopper, one.channel, one.purpose] = one
    if latest:
        cursor.execute(_STATES, {"organisation": organisation, **_columns([(key[0], one) for key, one in latest.items()])})
    return new


def withdraw(cursor: CursorWrapper, organisation: int, shopper: int, channel: str, purpose: str, at: datetime, source: str, wording: str = "") -> bool:
    """The shopper himself no longer agrees. False where he is no longer known. Call it before anything else of him is written: an erasure, which
    takes his row first and all the others after it, is then waited for and never waited with."""
    cursor.execute(_HELD, [shopper, organisation])
    if cursor.fetchone() is None:
        return False
    add(cursor, organisation, [(shopper, Consent(channel, purpose, False, at, source, wording))], "", timezone.now())
    return True


def _columns(rows: Sequence[tuple[int, Consent]]) -> dict[str, list[Any]]:
    return {
        "shoppers": [shopper for shopper, _ in rows],
        "channels": [one.channel for _, one in rows],
        "purposes": [one.purpose for _, one in rows],
        "given": [one.given for _, one in rows],
        "at": [one.at for _, one in rows],
    }
