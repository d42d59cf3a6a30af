"""Phones that were about some days ago: their events in the inbox as the door leaves them, worked off, re-cut and made into figures."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics import figures, trial
from analytics.calendars import Clock, to_moment
from analytics.models import Recut, Trial
from analytics.stream import loop
from analytics.stream.batch import to_us
from engagement import inbox
from engagement.models import Inbox, Organisation, PlacesChange

DOOR: Final = (0.0, -95.0)  # places in metres
BREW: Final = (-50.0, 50.0)
PAGE: Final = (50.0, 50.0)
HALL: Final = (0.0, -40.0)
AWAY: Final = (5_000.0, 5_000.0)
CLOCK: Final = Clock.of("Africa/Johannesburg", None)


def morning(days_ago: int, hour: float = 10) -> datetime:
    """An hour of a local day before today."""
    return to_moment(CLOCK.begin(CLOCK.day_of(to_us(datetime.now(UTC))) - days_ago)) + timedelta(hours=hour)


def rows(*ats: datetime, lon_lat: tuple[float, float], accuracy: float = 5.0) -> list[bytes]:
    return [inbox.fix(event_id=uuid.uuid4().bytes, at_us=to_us(one), lat=lon_lat[1], lon=lon_lat[0], accuracy=accuracy) for one in ats]


def send(organisation: Organisation, device: str, records: list[bytes], *, shopper: str | None = None, extras: list[str] | None = None) -> None:
    kind, key = ("d", device) if shopper is None else ("s", shopper)
    Inbox.objects.create(
        organisation=organisation,
        shard=inbox.shard_of(organisation.pk, kind, key),
        received_at=datetime.now(UTC),
        events=len(records),
        payload=inbox.pack(inbox.Row(device, "ios", "1", shopper, 0, b"".join(records), list(extras or []), [])),
    )


def drain(worker: loop.Worker) -> None:
    """Until nothing waits: no request, no claim, no change of places, no re-cut."""
    while worker.step():
        pass
    worker.housekeep()
    while PlacesChange.objects.exists() or Recut.objects.filter(finished_at=None).exists():
        worker.housekeep()


def finished(asked: Trial) -> Trial:
    """The trial, once the worker has done with it."""
    with figures.session() as connection:
        while trial.step(connection):
            pass
    asked.refresh_from_db()
    assert asked.finished_at is not None
    return asked
