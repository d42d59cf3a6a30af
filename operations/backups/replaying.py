"""What people asked for since the backup, applied to the database that was brought back, before anybody is served from it.

Told twice, it changes nothing: withdrawals and wishes hold by their instants, suppressions by their strength, erasures by the digests of names.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db import connection, transaction
from django.utils import timezone

from analytics.stream import erasing, links, loop
from engagement import models, shoppers
from engagement.models import Organisation
from engagement.profiles import consents
from engagement.profiles.told import Consent
from notifications import suppressions
from notifications.models import Suppression
from notifications.suppressions import Noted
from operations.backups.ledger import Erased, Said, Stopped, Wished
from operations.backups.trouble import Trouble

TOGETHER: Final = 1000
Key = TypeVar("Key")
Value = TypeVar("Value", Erased, Said, Stopped, Wished)
_WISH: Final = """
INSERT INTO notifications_preference AS known (organisation_id, shopper_id, channel, {kind}_id, wished, at, changed)
SELECT %(organisation)s, s.id, %(channel)s, k.id, %(wished)s, %(at)s, 0
FROM engagement_shopper s, {table} k WHERE s.organisation_id = %(organisation)s AND s.external_id = %(who)s
 AND k.organisation_id = %(organisation)s AND k.key = %(key)s
ON CONFLICT (shopper_id, channel, {kind}_id) WHERE {other}_id IS NULL DO UPDATE SET wished = excluded.wished, at = excluded.at WHERE known.at < excluded.at
"""


@dataclass(slots=True)
class Replayed:
    """How much was applied that the backup did not know."""

    erased: int = 0
    withdrawn: int = 0
    stopped: int = 0
    wished: int = 0


@dataclass
class Known:
    """The ledger, sorted out: of what was said several times, the last."""

    erased: dict[tuple[int, str], Erased] = field(default_factory=dict)
    said: dict[tuple[int, str, str, str], Said] = field(default_factory=dict)
    stopped: dict[tuple[int, str, str], Stopped] = field(default_factory=dict)
    wished: dict[tuple[int, str, str, str | None, str | None], Wished] = field(default_factory=dict)

    def add(self, entries: Iterable[object]) -> "Known":
        for one in entries:
            match one:
                case Erased():
                    _later(self.erased, (one.organisation, one.digest), one, one.until)
                case Said():
                    _later(self.said, (one.organisation, one.who, one.channel, one.purpose), one, one.at)
                case Stopped():
                    _later(self.stopped, (one.organisation, one.address, one.why), one, one.at)
                case Wished():
                    _later(self.wished, (one.organisation, one.who, one.channel, one.brand, one.topic), one, one.at)
        return self

    def __len__(self) -> int:
        return len(self.erased) + len(self.said) + len(self.stopped) + len(self.wished)


def _later(into: dict[Key, Value], key: Key, one: Value, at: datetime) -> None:
    known = into.get(key)
    if known is None or at > (known.until if isinstance(known, Erased) else known.at):
        into[key] = one


def replay(known: Known) -> Replayed:
    """In the database that Django points at. Erasures are finished when it returns. Raises Trouble where one cannot be."""
    organisations = dict(Organisation.objects.values_list("pk", "key"))
    done = Replayed()
    _remember([one for one in known.erased.values() if organisations.get(one.organisation) == one.key])
    for organisation, key in organisations.items():
        said = [one for one in known.said.values() if (one.organisation, one.key) == (organisation, key)]
        for portion in _portions(said):
            done.withdrawn += _say(organisation, portion)
        stopped = [one for one in known.stopped.values() if (one.organisation, one.key) == (organisation, key)]
        done.stopped += _stop(organisation, stopped)
        done.wished += sum(_wish(organisation, one) for one in known.wished.values() if (one.organisation, one.key) == (organisation, key))
    done.erased = sum(1 for _ in shoppers.again())
    finish_erasures()
    return done


def _remember(entries: list[Erased]) -> None:
    """Digests of names that were erased: nothing from before is taken in under them again. Of each erasure one row, as there was."""
    with transaction.atomic():
        rows: dict[tuple[int, int], models.Erasure] = {}
        for one in sorted(entries, key=lambda one: (one.organisation, one.digest)):
            digest, mine = bytes.fromhex(one.digest), models.Erased.objects.filter(organisation=one.organisation)
            there = mine.filter(digest=digest).values_list("until", flat=True).first()
            if there is not None and there >= one.until:
                continue
            of = (one.organisation, one.erasure)
            if of not in rows:
                rows[of] = models.Erasure.objects.create(organisation_id=one.organisation, finished_at=one.until, requested_by="before the restore")
            mine.update_or_create(organisation_id=one.organisation, digest=digest, defaults={"until": one.until, "erasure": rows[of]})


def finish_erasures() -> None:
    """All that are asked for, also those that were when the backup was made."""
    pending = models.Erasure.objects.filter(finished_at=None)
    if not pending.exists():
        return
    worker = loop.Worker()
    with closing(worker.connection):
        while left := pending.count():
            links.settle(worker.connection, worker.atlas)  # an identity claim on his devices comes first
            erasing.erase(worker.connection)
            if pending.count() == left:
                raise Trouble(f"{left} shoppers who asked to be erased cannot be erased in the restored database. It is not put into use.")


def _say(organisation: int, entries: list[Said]) -> int:
    """Withdrawals of everybody, who is made where he is not known; what he agreed to himself only where he is."""
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        names = {one.who for one in entries}
        numbers = shoppers.hold(cursor, organisation, names)
        erased = shoppers.erased(organisation, names)
        lasting = [one for one in entries if one.who not in erased or one.at > erased[one.who]]
        numbers |= shoppers.make(cursor, organisation, {one.who for one in lasting if not one.given} - numbers.keys())
        count = 0
        for by in sorted({one.by for one in lasting}):
            told = [
                (numbers[one.who], Consent(one.channel, one.purpose, one.given, one.at, one.source, one.wording))
                for one in lasting
                if one.by == by and one.who in numbers
            ]
            count += len(consents.add(cursor, organisation, told, by, now))
        return count


def _stop(organisation: int, entries: list[Stopped]) -> int:
    """Those by hand whoever the address is of; the others only where somebody has it, so that no address is kept that no erasure would find."""
    erased = shoppers.erased(organisation, {who for one in entries for who in one.who})
    entries = [one for one in entries if not one.who or any(who not in erased or one.at > erased[who] for who in one.who)]
    manual, heard = ([one for one in entries if (one.why == Suppression.Why.MANUAL) is wanted] for wanted in (True, False))
    count = 0
    with transaction.atomic(), connection.cursor() as cursor:
        count += suppressions.suppress(cursor, [Noted(organisation, one.address, one.why, one.at) for one in heard])
    for one in manual:
        if not Suppression.objects.filter(organisation=organisation, address=one.address, lifted_at=None, why=one.why).exists():
            suppressions.add(organisation=Organisation.objects.get(pk=organisation), address=one.address, by=one.by, now=one.at)
            count += 1
    return count


def _wish(organisation: int, one: Wished) -> int:
    kind, other, table = ("brand", "topic", "engagement_brand") if one.brand is not None else ("topic", "brand", "notifications_topic")
    told: dict[str, Any] = {
        "organisation": organisation,
        "channel": one.channel,
        "who": one.who,
        "key": one.brand or one.topic,
        "wished": one.wished,
        "at": one.at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_WISH.format(kind=kind, other=other, table=table), told)
        return int(cursor.rowcount)


def _portions(entries: list[Said]) -> Iterator[list[Said]]:
    for first in range(0, len(entries), TOGETHER):
        yield entries[first : first + TOGETHER]
