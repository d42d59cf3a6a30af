"""Rows as the stream would have written them, for tests of those who read."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.models import Mark, Stay
from engagement import provisioning
from engagement.models import Device, Organisation, Shopper, Zone

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def shopper(organisation: Organisation, name: str | None = None, *, device: str | None = None) -> Shopper:
    """Whom an app named, or whom only a device stands for."""
    return Shopper.objects.get_or_create(organisation=organisation, shard=0, external_id=name, device_key=device)[0]


def device(owner: Shopper, key: str) -> Device:
    return Device.objects.create(organisation=owner.organisation, key=key, owner=owner)


def stay(who: Shopper, zone: Zone, started: datetime, seconds: float = 600, *, counted: bool = True, grace: float = 900, cut: bool = False) -> Stay:
    ended = started + timedelta(seconds=seconds)
    Mark.objects.create(zone_id=zone.pk, hour=int(started.timestamp() // 3600))
    return Stay.objects.create(
        organisation=who.organisation,
        shard=0,
        shopper=who,
        zone=zone,
        started=started,
        ended=ended,
        closes_at=ended + timedelta(seconds=0 if cut else grace),
        cut=cut,
        counted=counted,
    )


def venue(organisation: Organisation, key: str, time_zone: str) -> Zone:
    """A further venue of the organisation; returns its root zone."""
    provisioning.provision(
        {
            "organisation": {"key": organisation.key, "name": organisation.name},
            "venues": [{"key": key, "name": key.title(), "time_zone": time_zone, "boundary": None}],
        }
    )
    return Zone.objects.select_related("venue").get(organisation=organisation, key=key)


def local(time_zone: str, *parts: int, fold: int = 0) -> datetime:
    """An instant, told by a wall clock."""
    return datetime(*parts, tzinfo=ZoneInfo(time_zone), fold=fold).astimezone(UTC)
