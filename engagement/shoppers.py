"""Shoppers: found by the names that they have outside, made where something is told of them first, and erased.

    the request (a row)  ->  the stream, under the locks of all shards  ->  everything of him gone, in one commit  ->  when, and how much it was

What is from before the erasure and comes later (it waited in the inbox, a phone sends it again, a backup brings it back) is known by its name's
digest, and not taken in. What is newer is: whoever comes back after he was erased, is new.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.crypto import salted_hmac

from engagement.inbox import OWN, shard_of
from engagement.models import Device, Erased, Erasure, Event, Organisation, Purchase, Shopper, ShopperDevice

SHOPPER: Final = "s"
DEVICE: Final = "d"
Kind = Literal["s", "d"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an erasure would take. `devices`: that nobody else used; of the others only his part goes."""

    events: int
    devices: int
    shared: int
    purchases: int


def digest(organisation: int, kind: Kind, name: str) -> bytes:
    """Stands for a name without telling it. Keyed with the installation's SECRET_KEY: whoever has the database alone cannot try names."""
    return salted_hmac("engagement.shoppers", f"{organisation}:{kind}:{name}", algorithm="sha256").digest()


def find(organisation: Organisation, name: str) -> Shopper | None:
    """By the app's own id, or the product's: `atrium:` and a number, of those whom no app has named."""
    mine = Shopper.objects.filter(organisation=organisation)
    number = name.removeprefix(OWN)
    if number != name:
        return mine.filter(external_id=None, pk=int(number)).first() if number.isascii() and number.isdigit() and len(number) < 19 else None
    return mine.filter(external_id=name).first()


def name_of(shopper: Shopper) -> str:
    """As everybody outside calls him."""
    return shopper.external_id or f"{OWN}{shopper.pk}"


# --- Whom something is told of --------------------------------------------------------------------------------------------

# Both in the order of the ids, as the stream inserts shoppers too: who meets another waits, and never both for each other.
_MADE: Final = """
INSERT INTO engagement_shopper (organisation_id, external_id, shard, created_at)
SELECT %(organisation)s, k, s, now() FROM unnest(%(keys)s::text[], %(shards)s::int[]) AS n(k, s)
ON CONFLICT DO NOTHING
"""
# Held until the commit, so that nobody who is being erased is told anything of. The stream, which notes when it saw them, does not wait for that.
_HELD: Final = """
SELECT external_id, id FROM engagement_shopper WHERE organisation_id = %s AND external_id = ANY(%s) ORDER BY external_id COLLATE "C" FOR KEY SHARE
"""


def hold(cursor: CursorWrapper, organisation: int, names: Collection[str]) -> dict[str, int]:
    """The numbers of those who are known under the app's own ids. Nobody of them is erased until the commit."""
    cursor.execute(_HELD, [organisation, sorted(names)])
    return dict(cursor.fetchall())


def erased(organisation: int, names: Collection[str]) -> dict[str, datetime]:
    """Until when those who were erased under these ids are not taken in again. Ask after they are held."""
    digests = {digest(organisation, SHOPPER, name): name for name in names}
    rows = Erased.objects.filter(organisation=organisation, digest__in=list(digests)).values_list("digest", "until")
    return {digests[bytes(found)]: until for found, until in rows}


def make(cursor: CursorWrapper, organisation: int, names: Collection[str]) -> dict[str, int]:
    """Shoppers of these ids, held, with the shard that the stream looks for them under."""
    if not names:
        return {}
    keys = sorted(names)
    cursor.execute(_MADE, {"organisation": organisation, "keys": keys, "shards": [shard_of(organisation, SHOPPER, name) for name in keys]})
    made = hold(cursor, organisation, keys)  # a statement of its own sees those that somebody else made meanwhile
    if len(made) < len(keys):
        raise OperationalError("a shopper was made and erased meanwhile")
    return made


# --- Erasing --------------------------------------------------------------------------------------------------------------


def ask_to_erase(*, organisation: Organisation, shopper: Shopper, by: str) -> Erasure:
    """Have the stream erase a shopper of the organisation. Asked twice before it is done, it is one erasure."""
    assert shopper.organisation_id == organisation.pk
    try:
        with transaction.atomic():
            return Erasure.objects.get_or_create(shopper_id=shopper.pk, defaults={"organisation": organisation, "requested_by": by[:150]})[0]
    except IntegrityError:  # two asked at once
        return Erasure.objects.get(shopper_id=shopper.pk)


def latest(organisation: Organisation, name: str) -> Erasure | None:
    """The last erasure of somebody of this name, who is no longer known."""
    found = Erased.objects.select_related("erasure").filter(organisation=organisation, digest=digest(organisation.pk, SHOPPER, name)).first()
    return found.erasure if found else None


def waiting(shopper: Shopper) -> Erasure | None:
    return Erasure.objects.filter(shopper_id=shopper.pk).first()


def extent(shopper: Shopper) -> Extent:
    """Counted, not estimated: his own events, and the anonymous ones of devices that he owns."""
    devices = list(Device.objects.filter(organisation=shopper.organisation_id, owner=shopper).values_list("pk", "days"))
    named = ShopperDevice.objects.filter(shopper=shopper).exclude(device__owner=shopper).values_list("device_id", "device__days")
    shared = set(ShopperDevice.objects.filter(device__in=[pk for pk, _ in devices]).exclude(shopper=shopper).values_list("device_id", flat=True))
    return Extent(
        events=_events(shopper, [*devices, *named], {pk for pk, _ in devices}),
        devices=len({pk for pk, _ in devices} - shared),
        shared=len(shared) + len(named),
        purchases=Purchase.objects.filter(organisation=shopper.organisation_id, shopper=shopper).count(),
    )


def _events(shopper: Shopper, devices: list[tuple[int, list[int]]], owned: set[int]) -> int:
    """Day by day of the devices, so that no partition is looked into in vain."""
    table = Event._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT count(*) FROM {table} WHERE device_id = ANY(%s) AND day = ANY(%s::date[]) AND organisation_id = %s
                AND (shopper_id = %s OR (shopper_id IS NULL AND device_id = ANY(%s)))""",
            [[pk for pk, _ in devices], days_of(devices), shopper.organisation_id, shopper.pk, sorted(owned)],
        )
        return int(cursor.fetchone()[0])


def days_of(devices: list[tuple[int, list[int]]]) -> list[date]:
    """The days on which any of the devices was active. Given: device, and its days since 1970."""
    return [date(1970, 1, 1) + timedelta(days=day) for day in sorted({day for _, days in devices for day in days})]


def again() -> Iterator[Erasure]:
    """Ask for everybody who was erased and is there again as he was: after a backup was brought back. The table of erasures must have come along."""
    for organisation in Organisation.objects.order_by("pk"):
        erased = {bytes(row.digest): row.until for row in Erased.objects.filter(organisation=organisation).iterator()}
        shoppers = Shopper.objects.filter(organisation=organisation).order_by("pk") if erased else Shopper.objects.none()
        for shopper in shoppers.iterator():
            name = digest(organisation.pk, SHOPPER, shopper.external_id) if shopper.external_id else digest(organisation.pk, DEVICE, shopper.device_key or "")
            if name in erased and shopper.created_at <= erased[name]:
                yield ask_to_erase(organisation=organisation, shopper=shopper, by="a backup that was brought back")
