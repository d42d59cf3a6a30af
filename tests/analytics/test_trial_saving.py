"""Trials of settings: what saving them does, from now on or in history."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics import figures, trial
from analytics.models import Recut
from analytics.stream import loop
from engagement import provisioning
from engagement.models import Organisation, Zone, ZoneVersion
from tests.analytics.phones import HALL, drain, finished, morning, rows, send
from tests.analytics.trying import correct, flap, footfall, tried, zone_of
from tests.cast import at

pytestmark = pytest.mark.django_db(transaction=True)


# --- Saving ---------------------------------------------------------------------------------------------------------------


def versions(zone: Zone) -> list[tuple[datetime, datetime | None, int]]:
    return list(ZoneVersion.objects.filter(zone=zone).order_by("valid_from").values_list("valid_from", "valid_to", "exit_grace_s"))


def test_settings_saved_from_now_on_are_a_new_version_and_leave_history_alone(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    asked = finished(tried(door, exit_grace_s=300))
    now = morning(0)
    trial.save(trial=asked, by="alice", now=now)
    drain(worker)
    assert versions(door) == [(provisioning.BEGINNING, now, 60), (now, None, 300)]
    assert footfall(door)["visits"] == 10
    asked.refresh_from_db()
    assert (asked.saved_at, asked.saved_by) == (now, "alice")
    with pytest.raises(trial.NotToSave):
        trial.save(trial=asked, by="alice")


def test_corrected_history_gives_new_figures_that_say_when_they_were_restated(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    with figures.session() as connection:
        figures.catch_up(connection)
        assert (footfall(door)["visits"], restated(door)) == (10, [])
        asked = finished(tried(door, exit_grace_s=300))
        trial.save(trial=asked, by="alice", correct=True)
        assert versions(door) == [(provisioning.BEGINNING, None, 300)]
        drain(worker)
        recut = Recut.objects.latest("pk")
        assert (recut.since, recut.done, recut.of, recut.reason) == (None, 1, 1, "corrected the history of north-door")
        assert footfall(door) == asked.result["tried"]  # at once: marked days are read from their stays
        figures.catch_up(connection)
        assert footfall(door) == asked.result["tried"]
        assert len(restated(door)) == 1


def restated(zone: Zone) -> list[datetime]:
    return list(zone.zoneday_set.exclude(restated_at=None).values_list("restated_at", flat=True))


def test_history_corrected_since_a_day_leaves_what_was_before_it(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    asked = finished(tried(door, exit_grace_s=300))
    since = morning(2, 0)
    trial.save(trial=asked, by="alice", correct=True, since=since)
    drain(worker)
    assert versions(door) == [(provisioning.BEGINNING, since, 60), (since, None, 300)]
    assert footfall(door)["visits"] == 10  # it flapped the day before
    assert Recut.objects.latest("pk").since == since


def test_a_correction_replaces_the_versions_since_then_and_joins_those_that_become_alike(acme: Organisation, door: Zone) -> None:
    for days_ago, grace in ((5, 100), (3, 110)):
        provisioning.provision({"organisation": {"key": "acme"}, "zones": [{"key": "north-door", "exit_grace_s": grace}]}, now=morning(days_ago))
    provisioning.provision({"organisation": {"key": "acme"}, "zones": [{"key": "north-door", "parent": "north-ground"}]}, now=morning(1))
    assert correct(acme, {"key": "north-door", "exit_grace_s": 300}, since=morning(4)) == ["north-door"]
    begin = provisioning.BEGINNING
    assert versions(door) == [(begin, morning(5), 60), (morning(5), morning(4), 100), (morning(4), morning(1), 300), (morning(1), None, 300)]
    assert ZoneVersion.objects.get(zone=door, valid_to=None).parent == zone_of("north-ground")
    assert correct(acme, {"key": "north-door", "exit_grace_s": 300}, since=morning(4)) == []  # told again, it changes nothing
    assert correct(acme, {"key": "north-door", "exit_grace_s": 100}, since=morning(5)) == ["north-door"]
    assert versions(door) == [(begin, morning(5), 60), (morning(5), morning(1), 100), (morning(1), None, 100)]


@pytest.mark.parametrize(
    ("zone", "place", "sentence"),
    [
        ({"key": "north-door", "exit_grace_s": -1}, "zones[0].exit_grace_s", "This must be a whole number from 0 to 86400."),
        ({"key": "north-door", "hold_rssi": -80}, "zones[0].hold_rssi", "hold_rssi (-80) must not be above enter_rssi (-85)."),
        ({"key": "arcade-shop", "exit_grace_s": 60}, "zones[0]", "There is no zone arcade-shop."),
    ],
)
def test_a_wrong_correction_is_refused_as_a_wrong_provision_file_is(
    acme: Organisation, rival: Organisation, zone: dict[str, Any], place: str, sentence: str
) -> None:
    before = list(ZoneVersion.objects.order_by("pk").values())
    with pytest.raises(provisioning.Refused) as refused:
        correct(acme, zone)
    assert (place, sentence) in [(fault.place, fault.message) for fault in refused.value.faults]
    with pytest.raises(provisioning.Refused, match="This lies in the future"):
        correct(acme, {"key": "north-door", "exit_grace_s": 300}, since=morning(-2))
    assert list(ZoneVersion.objects.order_by("pk").values()) == before


def test_a_venues_root_is_tried_and_corrected_as_the_venue(acme: Organisation, worker: loop.Worker) -> None:
    begin = morning(2)
    send(acme, "phone", rows(*(begin + timedelta(seconds=s) for s in (0, 300, 1000, 1300)), lon_lat=at(*HALL)))
    drain(worker)
    root = zone_of("north")
    asked = finished(tried(root, exit_grace_s=300))
    assert (asked.result["present"]["visits"], asked.result["tried"]["visits"]) == (1, 2)
    trial.save(trial=asked, by="alice", correct=True, since=asked.since)
    drain(worker)
    assert footfall(root) == asked.result["tried"]
