"""A small world on the real database: its places provisioned, its events in the inbox, its stays read back in the reference's terms."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from analytics.models import Stay as StoredStay
from engagement import inbox
from engagement.models import Beacon, BeaconPlacement, Inbox, Organisation, PlacesChange, Venue, Zone, ZoneKind, ZoneVersion
from engagement.provisioning import BEGINNING
from tests import reference
from tests.golden import ORGANISATION
from tests.reference import Enter, Event, Exit, Places, Shopper, Stay, occurred_at
from tests.translate import address_of, record_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LATEST: Final = 2**52  # an instant after everything
# Of the stream, and the machine-made rest: emptied between examples. Quicker than TRUNCATE while there are few rows.
_TABLES: Final = (
    "engagement_inbox", "engagement_event", "engagement_identityclaim", "engagement_shopperdevice", "engagement_device", "engagement_shopper",
    "engagement_outcome", "engagement_recentevent", "engagement_setaside", "engagement_placeschange",
    "analytics_stay", "analytics_transition", "analytics_recut", "analytics_mark", "analytics_zoneday", "analytics_calendar", "analytics_regular",
    "engagement_beaconplacement", "engagement_beacon", "engagement_zoneversion", "engagement_zone", "engagement_venue", "engagement_organisation",
)  # fmt: skip


def moment(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def instant(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


@dataclass(frozen=True)
class Request:
    """Events that one device sends together. All have one shopper and one correction."""

    events: tuple[Event, ...]

    def row(self) -> inbox.Row:
        first = self.events[0]
        extras: list[str | tuple[str, str | None]] = [
            event.payload.zone if isinstance(event.payload, Enter | Exit) else ("coupon", None) for event in self.events
        ]
        records = b"".join(record_of(event, extra=number) for number, event in enumerate(self.events))
        return inbox.Row(first.device, "ios", "1.0", first.shopper, occurred_at(first) - first.at, records, extras, [])


def requests_of(events: Iterable[Event], most: int = 5) -> list[Request]:
    """Neighbours that can go together, do."""
    made: list[Request] = []
    for (_, _, _), run in itertools.groupby(events, key=lambda e: (e.device, e.shopper, occurred_at(e) - e.at)):
        together = list(run)
        made += [Request(tuple(together[i : i + most])) for i in range(0, len(together), most)]
    return made


@dataclass(frozen=True)
class Stage:
    """An organisation, its places, and what the stream has made of its events."""

    organisation: Organisation
    zones: dict[str, Zone]

    def accept(self, request: Request) -> None:
        """What the door does with a request that it could read."""
        first = request.events[0]
        kind, key = ("d", first.device) if first.shopper is None else ("s", first.shopper)
        Inbox.objects.create(
            organisation=self.organisation,
            shard=inbox.shard_of(self.organisation.pk, kind, key),
            received_at=moment(first.received_at),
            events=len(request.events),
            payload=inbox.pack(request.row()),
        )

    def stays(self) -> list[Stay]:
        found = StoredStay.objects.filter(organisation=self.organisation).select_related("shopper", "zone")
        return sorted(_stay(one) for one in found)


def _stay(stored: StoredStay) -> Stay:
    shopper = stored.shopper
    origin, key = ("device", shopper.device_key) if shopper.external_id is None else ("shopper", shopper.external_id)
    started, ended, closes_at = map(instant, (stored.started, stored.ended, stored.closes_at))
    return Stay(Shopper(ORGANISATION, origin, str(key)), stored.zone.key, started, ended, closes_at, stored.counted)


def build(places: Places) -> Stage:
    """An empty database with one organisation and these places. Its number is always the same: the shards follow from it."""
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"DELETE FROM {table}" for table in _TABLES))
    organisation = Organisation.objects.create(pk=1, key=ORGANISATION, name="Acme Malls")
    venue = Venue.objects.create(organisation=organisation, key="mall", name="Mall", time_zone="UTC")
    zones = {}
    for name, (first, *_) in places.zones.items():
        kind = ZoneKind.VENUE if first.parent is None else ZoneKind.AREA
        zones[name] = Zone.objects.create(organisation=organisation, venue=venue, key=name, name=name, kind=kind)
    stage = Stage(organisation, zones)
    _write(stage, places)
    return stage


def provision(stage: Stage, places: Places, *, since: int | None) -> None:
    """Make the stage's places these, all at once, and ask for history to be made again since an instant; None: from the beginning."""
    with transaction.atomic():
        _write(stage, places)
        PlacesChange.objects.create(organisation=stage.organisation, since=None if since is None else moment(min(since, _LATEST)), reason="a test")


def _write(stage: Stage, places: Places) -> None:
    ZoneVersion.objects.filter(zone__organisation=stage.organisation).delete()
    BeaconPlacement.objects.filter(zone__organisation=stage.organisation).delete()
    for name, versions in places.zones.items():
        for v in versions:
            since, until = _span(v.valid_from, v.valid_to)
            settings = {field: getattr(v, field) for field in ("boundary", "exit_grace_s", "min_stay_s", "enter_rssi", "hold_rssi", "max_accuracy_m")}
            parent = None if v.parent is None else stage.zones[v.parent]
            ZoneVersion.objects.create(zone=stage.zones[name], valid_from=since, valid_to=until, parent=parent, **settings)
    for p in places.placements:
        since, until = _span(p.valid_from, p.valid_to)
        beacon, _ = Beacon.objects.get_or_create(organisation=stage.organisation, key=p.beacon, address=address_of(p.beacon))
        BeaconPlacement.objects.create(beacon=beacon, zone=stage.zones[p.zone], valid_from=since, valid_to=until)
    stage.organisation.places_revision += 1
    stage.organisation.save()


def _span(valid_from: int, valid_to: int) -> tuple[datetime, datetime | None]:
    return BEGINNING if valid_from == reference.BEGINNING else moment(valid_from), None if valid_to == reference.END else moment(valid_to)
