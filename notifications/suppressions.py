"""Addresses that an organisation may not send to: who writes them, and who lifts them.

What holds does not depend on the order in which it was heard, or how often: by hand stands over a complaint, that over a bounce, that over an
unsubscription, which its shopper may take back; and of two alike the earlier one is kept. One that was lifted comes back only by what happened after that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from engagement.models import Channel, Organisation
from notifications.models import Suppression

Why = Suppression.Why
STRENGTH: Final = (Why.UNSUBSCRIBE.value, Why.BOUNCE.value, Why.COMPLAINT.value, Why.MANUAL.value)


@dataclass(frozen=True, slots=True)
class Noted:
    organisation: int
    address: str
    why: str
    at: datetime
    message: int | None = None


# An address that nobody of the organisation has is not kept: no erasure would find it. The profiles are held, so that an erasure under way is seen.
_HELD: Final = """
SELECT p.organisation_id, lower(p.email) FROM engagement_profile p
JOIN unnest(%(organisations)s::bigint[], %(addresses)s::text[]) AS n(o, a) ON p.organisation_id = n.o AND lower(p.email) = n.a AND p.email <> ''
ORDER BY p.shopper_id FOR KEY SHARE OF p
"""
_WRITE: Final = """
INSERT INTO notifications_suppression AS known (organisation_id, channel, address, why, at, message_id, added_by, lifted_by, lift_reason, changed)
SELECT o, %(channel)s, a, w, t, m, '', '', '', 0
FROM unnest(%(organisations)s::bigint[], %(addresses)s::text[], %(whys)s::text[], %(at)s::timestamptz[], %(messages)s::bigint[]) AS n(o, a, w, t, m)
ORDER BY o, a
ON CONFLICT (organisation_id, channel, address) DO UPDATE
   SET why = excluded.why, at = excluded.at, message_id = excluded.message_id, added_by = '', lifted_at = NULL, lifted_by = '', lift_reason = ''
 WHERE CASE WHEN known.lifted_at IS NOT NULL THEN excluded.at > known.lifted_at
            ELSE array_position(%(strength)s::text[], excluded.why::text) > array_position(%(strength)s::text[], known.why::text)
              OR (excluded.why = known.why AND excluded.at < known.at) END
"""


def suppress(cursor: CursorWrapper, noted: Sequence[Noted]) -> int:
    """In the caller's transaction, which holds the shoppers. Addresses are in lower case. Returns how many addresses were written."""
    told: dict[str, Any] = {"organisations": [one.organisation for one in noted], "addresses": [one.address for one in noted]}
    if not noted:
        return 0
    cursor.execute(_HELD, told)
    known = set(cursor.fetchall())
    strongest: dict[tuple[int, str], Noted] = {}
    for one in noted:
        key = (one.organisation, one.address)
        if key in known and (key not in strongest or _rank(one) > _rank(strongest[key])):
            strongest[key] = one
    rows = [strongest[key] for key in sorted(strongest)]
    if not rows:
        return 0
    cursor.execute(
        _WRITE,
        {
            "channel": Channel.EMAIL.value,
            "strength": list(STRENGTH),
            "organisations": [one.organisation for one in rows],
            "addresses": [one.address for one in rows],
            "whys": [one.why for one in rows],
            "at": [one.at for one in rows],
            "messages": [one.message for one in rows],
        },
    )
    return int(cursor.rowcount)


def _rank(one: Noted) -> tuple[int, float]:
    return STRENGTH.index(one.why), -one.at.timestamp()


def add(*, organisation: Organisation, address: str, by: str, now: datetime) -> Suppression:
    """By hand: stays until somebody lifts it, whoever the address is of. One that is there already becomes this one."""
    row, _made = Suppression.objects.update_or_create(
        organisation=organisation,
        channel=Channel.EMAIL,
        address=address.strip().lower(),
        defaults={"why": Why.MANUAL, "at": now, "message": None, "added_by": by[:150], "lifted_at": None, "lifted_by": "", "lift_reason": ""},
    )
    return row


def lift(*, suppression: Suppression, by: str, reason: str, now: datetime) -> bool:
    """It may be sent to again. False where it could already be: of two who lift it, the first one counts."""
    rows = Suppression.objects.filter(pk=suppression.pk, organisation_id=suppression.organisation_id, lifted_at=None)
    return bool(rows.update(lifted_at=now, lifted_by=by[:150], lift_reason=reason[:200]))
