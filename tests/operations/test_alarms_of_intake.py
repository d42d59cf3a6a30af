"""What comes in, and what does not come any more: refused, rejected, parked; venues and beacons that fall silent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from analytics.models import BeaconHeard
from analytics.stream import heard
from analytics.stream.batch import to_us
from engagement import inbox
from engagement.models import Beacon, Inbox, Organisation, Outcome, Refusal, Venue, Zone
from notifications.feedback import notices
from notifications.models import FeedbackNotice
from operations import evaluation
from operations.alarms import DECLARED
from operations.models import Alarm
from tests.analytics.rows import shopper, stay
from tests.engagement.door.bodies import request, sighting
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack
from tests.servers import running_door, until

Only = Callable[[str], None]
FRIDAY: Final = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # ten o'clock in Johannesburg
OPEN: Final = {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    return lambda name: monkeypatch.setattr(evaluation, "ALARMS", (DECLARED[name],))


def fired_and_over(name: str) -> list[tuple[str, str, str]]:
    return [(name, "fired", "sent"), (name, "over", "sent")]


def value_of(name: str) -> float | None:
    return Alarm.objects.get(name=name).value


@pytest.mark.django_db(transaction=True)
def test_a_full_inbox_fires_once_the_door_refuses_until_it_takes_again(
    slack: FakeSlack, scheduler: Scheduler, only: Only, environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    only("inbox-refused")
    with running_door(environment, tmp_path / "log", ATRIUM_ORGANISATION_INBOX_EVENTS="20") as door:
        batch = request(*[sighting() for _ in range(25)])
        assert [door.post(acme_keys["publishable"], batch).status for _ in range(3)] == [202, 429, 429]
        until(lambda: Refusal.objects.exists())
    scheduler.now = timezone.now()
    scheduler.run(minutes=2)
    assert slack.titles == ["🔴 Requests are refused"]
    assert "in the last five minutes: 2." in slack.messages[0]["text"] and "Named: acme." in slack.messages[0]["text"]
    scheduler.run(minutes=8)
    assert told() == fired_and_over("inbox-refused")


def outcomes(organisation: Organisation, hour: datetime, **events: int) -> None:
    for outcome, number in events.items():
        Outcome.objects.create(organisation=organisation, hour=hour, shard=len(outcome), outcome=outcome, events=number)


def test_an_app_that_is_released_with_a_fault_fires_until_it_is_mended(
    acme: Organisation, rival: Organisation, slack: FakeSlack, scheduler: Scheduler, only: Only
) -> None:
    only("events-rejected")
    scheduler.now = hour = FRIDAY
    for back in range(1, 8):
        outcomes(acme, hour - timedelta(days=back), accepted=800, too_old=100, duplicate=100)
        outcomes(rival, hour - timedelta(days=back), accepted=100, malformed=900)  # always like that: known, and no news
    outcomes(acme, hour, accepted=900, too_old=100, unmatched=200)
    outcomes(rival, hour, accepted=100, malformed=900)
    scheduler.run(minutes=3)
    assert told() == []
    outcomes(acme, hour, accuracy_required=900)
    scheduler.run(minutes=3)
    assert slack.titles == ["🟠 More events are rejected than usual"]
    assert "37 % higher than usual" in slack.messages[0]["text"] and "Named: acme." in slack.messages[0]["text"]
    scheduler.now = hour + timedelta(hours=2)
    outcomes(acme, hour + timedelta(hours=2), accepted=900, too_old=100)
    scheduler.run(minutes=4)
    assert told() == fired_and_over("events-rejected")


def test_a_few_events_say_nothing_of_a_share_and_somebody_new_is_judged(acme: Organisation, scheduler: Scheduler, only: Only) -> None:
    only("events-rejected")
    scheduler.now = FRIDAY
    outcomes(acme, FRIDAY, malformed=199)
    scheduler.run(minutes=2)
    assert value_of("events-rejected") == 0
    outcomes(acme, FRIDAY - timedelta(hours=1), malformed=1)
    scheduler.run(minutes=2)
    assert value_of("events-rejected") == 1


def test_what_was_given_up_fires_until_it_is_sent_on(db: None, slack: FakeSlack, scheduler: Scheduler, only: Only) -> None:
    only("work-parked")
    given_up: dict[str, Any] = {"attempts": notices.TRIES, "problem": "KeyError ann@acme.example.com", "received_at": scheduler.now}
    notice = FeedbackNotice.objects.create(key="1", topic="t", body="ann@acme.example.com", **given_up)
    scheduler.run(minutes=2)
    assert slack.titles == ["🟠 Work is parked"] and "Named: notices." in slack.messages[0]["text"] and "ann@" not in str(slack.messages)
    assert notices.release([notice.pk], attempts=0) == [notice.pk]
    scheduler.run(minutes=4)
    assert told() == fired_and_over("work-parked")


# --- Venues -----------------------------------------------------------------------------------------------------------------


def visits(zone: Zone, *, days: range, since: datetime, until: datetime) -> None:
    """One visit every five minutes, on each of so many days before."""
    somebody = shopper(zone.organisation, "crm-1")
    for back in days:
        at = since
        while at < until:
            stay(somebody, zone, at - timedelta(days=back), 60)
            at += timedelta(minutes=5)


@pytest.fixture
def busy(acme: Organisation) -> Zone:
    """Acme's venue, which has visits every day until noon, and today until a quarter past ten."""
    root = Zone.objects.select_related("venue", "organisation").get(organisation=acme, key="north")
    Venue.objects.filter(pk=root.venue_id).update(opening_hours=OPEN)
    visits(root, days=range(1, 8), since=FRIDAY - timedelta(minutes=50), until=FRIDAY + timedelta(hours=2))
    visits(root, days=range(1), since=FRIDAY - timedelta(minutes=50), until=FRIDAY + timedelta(minutes=15))
    return root


def test_a_venue_from_which_nothing_comes_fires_until_somebody_is_seen(busy: Zone, slack: FakeSlack, scheduler: Scheduler, only: Only) -> None:
    only("venue-silent")
    scheduler.now = FRIDAY
    scheduler.run(minutes=38)
    assert told() == []
    scheduler.run(minutes=4)
    assert slack.titles == ["🟠 Nothing comes from a venue"]
    assert "for half an hour: 1. Named: north." in slack.messages[0]["text"]
    stay(shopper(busy.organisation, "crm-2"), busy, scheduler.now + timedelta(minutes=1), 600)
    scheduler.run(minutes=5)
    assert told() == fired_and_over("venue-silent")


def _closed_today(busy: Zone) -> None:
    Venue.objects.filter(pk=busy.venue_id).update(opening_hours={**OPEN, "exceptions": {"2026-11-20": []}})


def _without_hours(busy: Zone) -> None:
    Venue.objects.filter(pk=busy.venue_id).update(opening_hours=None)


def _no_such_friday(busy: Zone) -> None:
    busy.stay_set.filter(started__date=(FRIDAY - timedelta(days=7)).date()).delete()


def _a_young_venue(busy: Zone) -> None:
    busy.stay_set.filter(started__lt=FRIDAY - timedelta(days=3)).delete()


def _stream_behind(busy: Zone) -> None:
    Inbox.objects.create(organisation=busy.organisation, shard=1, received_at=FRIDAY + timedelta(minutes=20), events=1, payload=b"")


@pytest.mark.parametrize("why", [_closed_today, _without_hours, _no_such_friday, _a_young_venue, _stream_behind], ids=lambda why: why.__name__.strip("_"))
def test_a_venue_is_not_called_silent(busy: Zone, scheduler: Scheduler, only: Only, why: Callable[[Zone], None]) -> None:
    only("venue-silent")
    why(busy)
    scheduler.now = FRIDAY + timedelta(minutes=50)
    scheduler.run(minutes=3)
    assert (value_of("venue-silent"), told()) == (0, [])


# --- Beacons ----------------------------------------------------------------------------------------------------------------


def hear(ears: heard.Heard, beacon: Beacon, at: datetime) -> None:
    """As the stream does with a request that has such a sighting."""
    one = inbox.sighting(event_id=bytes(16), at_us=to_us(at), address=bytes(beacon.address), rssi=-70)
    records = np.frombuffer(one, dtype=inbox.RECORD)
    ears.note(beacon.organisation_id, records, np.array([to_us(at)]))


def write(ears: heard.Heard, monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(heard.time, "time_ns", lambda: to_us(now) * 1000)
    with connection.cursor() as cursor:
        ears.write(cursor.connection)


def test_a_beacon_that_is_heard_no_more_fires_until_it_is(
    acme: Organisation, rival: Organisation, slack: FakeSlack, scheduler: Scheduler, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("beacon-silent")
    ears = heard.Heard()
    beacon, other = Beacon.objects.get(organisation=acme, key="b-brew"), Beacon.objects.get(organisation=rival)
    assert bytes(beacon.address) == bytes(other.address)  # the same address on two grounds is two beacons
    for back in range(8):
        for minutes in range(0, 240, 20):
            at = FRIDAY - timedelta(days=back) + timedelta(minutes=minutes)
            if back or minutes <= 20:
                hear(ears, beacon, at)
            hear(ears, other, at)
    write(ears, monkeypatch, FRIDAY)
    scheduler.now = FRIDAY + timedelta(minutes=30)
    scheduler.run(minutes=45)
    assert told() == []
    scheduler.run(minutes=10)
    assert slack.titles == ["🟠 A beacon is silent"]
    assert "for an hour: 1. Named: b-brew." in slack.messages[0]["text"]
    hear(ears, beacon, scheduler.now)
    write(ears, monkeypatch, FRIDAY)
    scheduler.run(minutes=13)
    assert told() == fired_and_over("beacon-silent")


def test_a_beacon_that_is_heard_now_and_then_or_was_never_heard_is_not_called_silent(
    acme: Organisation, scheduler: Scheduler, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("beacon-silent")
    ears, beacon = heard.Heard(), Beacon.objects.get(organisation=acme, key="b-brew")
    for back in (1, 2, 3, 4, 5):
        hear(ears, beacon, FRIDAY - timedelta(days=back))
    write(ears, monkeypatch, FRIDAY)
    scheduler.now = FRIDAY
    scheduler.run(minutes=3)
    assert (value_of("beacon-silent"), told()) == (0, [])


def test_what_is_noted_of_beacons_is_bounded_and_history_is_not_written(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    ears, beacon = heard.Heard(), Beacon.objects.get(organisation=acme, key="b-brew")
    monkeypatch.setattr(heard, "MOST", 3)
    strangers = [Beacon(organisation=acme, address=inbox.mac_address(bytes([0, 0, 0, 0, 0, number]))) for number in range(9)]
    hear(ears, beacon, FRIDAY - timedelta(days=60))
    hear(ears, beacon, FRIDAY + timedelta(minutes=1))
    hear(ears, beacon, FRIDAY)
    for stranger in strangers:
        hear(ears, stranger, FRIDAY)
    assert len(ears._latest) == 3
    write(ears, monkeypatch, FRIDAY)
    assert list(BeaconHeard.objects.values_list("beacon", "at")) == [(beacon.pk, FRIDAY + timedelta(minutes=1))]
    assert not ears._latest


def test_under_load_one_batch_in_some_seconds_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: list[Any] = [100.0]
    monkeypatch.setattr(heard.time, "monotonic", lambda: clock[0])
    ears = heard.Heard()
    many, noted = heard.SMALL + 1, []
    for batch, later in enumerate((0.0, 0.5, heard.REST_S)):
        clock[0] += later
        addresses = (inbox.mac_address((batch * many + n).to_bytes(6, "big")) for n in range(many))
        records = np.frombuffer(b"".join(inbox.sighting(event_id=bytes(16), at_us=1, address=one, rssi=-70) for one in addresses), dtype=inbox.RECORD)
        ears.note(1, records, np.full(many, 7_200_000_000))
        noted.append(len(ears._latest))
    assert noted == [many, many, 2 * many]
    ears.note(1, records[:1], np.full(1, 10_800_000_000))
    assert len(ears._latest) == 2 * many + 1  # a small one always
