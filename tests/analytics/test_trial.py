"""Trials of settings: what they show, and that it is true."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.utils import timezone

from analytics import figures, trial
from analytics.models import Recut, Regular, Stay, Trial, TrialSlice
from analytics.stream import loop
from analytics.stream.batch import to_us
from engagement import inbox
from engagement.models import Organisation, Shopper, Zone, ZoneVersion
from tests.analytics.phones import DOOR, HALL, drain, finished, morning, rows, send
from tests.analytics.trying import correct, crowd, flap, footfall, tried, zone_of
from tests.cast import EDDYSTONE, at
from tests.servers import ROOT, until

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING: Final = {"visits": 0, "visitors": 0, "pass_bys": 0, "came_back": 0, "dwell_median_s": None, "dwell_p90_s": None, "dwell_mean_s": None}


# --- What a trial shows ---------------------------------------------------------------------------------------------------


def test_a_phone_that_flaps_at_the_door_came_ten_times_or_once(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    asked = finished(tried(door, exit_grace_s=300))
    dwell = {"dwell_median_s": 40, "dwell_p90_s": 40, "dwell_mean_s": 40}
    assert asked.result["present"] == {"visits": 10, "visitors": 1, "pass_bys": 0, "came_back": 9, **dwell}
    long = {"dwell_median_s": 1300, "dwell_p90_s": 1300, "dwell_mean_s": 1300}
    assert asked.result["tried"] == {"visits": 1, "visitors": 1, "pass_bys": 0, "came_back": 0, **long}
    assert (asked.result["events"], asked.done, asked.of) == (30, 1, 1)
    assert asked.present["exit_grace_s"] == 60
    assert not TrialSlice.objects.exists()


def test_who_comes_back_after_ten_minutes_exactly_came_back_and_a_second_later_did_not(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    begin = morning(2)
    for device, away in (("soon", 600), ("late", 601)):
        send(acme, device, rows(*(begin + timedelta(seconds=s) for s in (0, 40, 40 + away, 80 + away)), lon_lat=at(*DOOR)))
    drain(worker)
    result = finished(tried(door, min_stay_s=41)).result
    assert (result["present"]["visits"], result["present"]["came_back"]) == (4, 1)
    assert (result["tried"]["visits"], result["tried"]["pass_bys"], result["tried"]["came_back"]) == (0, 4, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_present_column_is_what_is_stored_and_the_tried_one_what_the_correction_makes(acme: Organisation, worker: loop.Worker, seed: int) -> None:
    crowd(acme, seed)
    drain(worker)
    changes = {
        "north": {"exit_grace_s": 301, "min_stay_s": 60},
        "north-ground": {"max_accuracy_m": 80.0},
        "north-brew": {"exit_grace_s": 60, "max_accuracy_m": 20.0},
        "north-page": {"enter_rssi": -90, "hold_rssi": -98, "exit_grace_s": 305},
        "north-door": {"min_stay_s": 0, "enter_rssi": -70},
    }
    telling = 0
    for key, changed in changes.items():
        zone = zone_of(key)
        asked = finished(tried(zone, **changed))
        assert asked.result["present"] == footfall(zone), key
        telling += bool(asked.result["present"]["visits"]) and asked.result["present"] != asked.result["tried"]
        trial.save(trial=asked, by="alice", correct=True)
        drain(worker)
        assert asked.result["tried"] == footfall(zone), key
        assert finished(tried(zone, exit_grace_s=77)).result["present"] == asked.result["tried"], key
    assert telling >= 3


def test_a_boundary_can_be_tried_too(acme: Organisation, worker: loop.Worker) -> None:
    begin = morning(1)
    send(acme, "phone", rows(*(begin + timedelta(seconds=60 * n) for n in range(10)), lon_lat=at(*HALL)))
    drain(worker)
    brew = zone_of("north-brew")
    hall = ZoneVersion.objects.get(zone__key="north-ground", valid_to=None).boundary
    asked = finished(tried(brew, boundary=hall))
    assert (asked.result["present"]["visits"], asked.result["tried"]["visits"]) == (0, 1)
    trial.save(trial=asked, by="alice", correct=True)
    drain(worker)
    assert footfall(brew) == asked.result["tried"]


def test_who_has_no_stay_yet_is_found_where_weaker_signals_are_tried(acme: Organisation, worker: loop.Worker) -> None:
    address = inbox.eddystone_address(bytes.fromhex(EDDYSTONE["namespace"]), bytes.fromhex(EDDYSTONE["instance"]))
    begin = to_us(morning(4))
    faint = [inbox.sighting(event_id=bytes([n]) * 16, at_us=begin + n * 60_000_000, address=address, rssi=-90) for n in range(5)]
    send(acme, "faint", faint)
    drain(worker)
    assert not Stay.objects.exists()
    result = finished(tried(zone_of("north-page"), enter_rssi=-91)).result
    assert result["present"] == NOTHING
    assert result["tried"] == {**NOTHING, "visits": 1, "visitors": 1, "dwell_median_s": 240, "dwell_p90_s": 240, "dwell_mean_s": 240}


def test_a_stay_of_many_days_is_followed_to_its_beginning_and_to_its_end(acme: Organisation, worker: loop.Worker) -> None:
    """A terminal in the mall that reports every ten minutes, from 12 days ago, and from 5 days ago until today: as far as that is over."""
    over = timezone.now() - timedelta(minutes=15)
    for device, first, last in (("old", 12, 6), ("new", 5, 0)):
        begin, hours = morning(first, 12), 24 * (first - last) - 11
        ticks = [tick for n in range(hours * 6) if (tick := begin + timedelta(minutes=10 * n)) < over]
        send(acme, device, rows(*ticks, lon_lat=at(*HALL)))
    drain(worker)
    root = zone_of("north")
    result = finished(tried(root, exit_grace_s=700)).result
    assert result["present"] == result["tried"] == footfall(root)
    assert result["present"]["visits"] == 1
    assert result["present"]["dwell_median_s"] == (ticks[-1] - ticks[0]).total_seconds()
    assert finished(tried(root, exit_grace_s=599)).result["tried"]["visits"] == 0


def test_a_stay_that_is_only_held_around_the_first_midnight_began_before_it(acme: Organisation, worker: loop.Worker) -> None:
    """In the mall two hours before, then just outside the wall, within the fix's accuracy, for three hours, then inside again."""
    midnight, outside = morning(7, 0), (105.0, 0.0)
    send(acme, "phone", rows(midnight - timedelta(hours=2), lon_lat=at(*HALL)))
    held = [midnight + timedelta(minutes=10 * n) for n in range(-11, 7)]
    send(acme, "phone", rows(*held, lon_lat=at(*outside), accuracy=20.0))
    send(acme, "phone", rows(*(midnight + timedelta(minutes=70 + n) for n in range(9)), lon_lat=at(*HALL)))
    drain(worker)
    root = zone_of("north")
    result = finished(tried(root, exit_grace_s=700)).result
    assert result["present"] == result["tried"] == footfall(root) == NOTHING
    assert finished(tried(root, exit_grace_s=599)).result["tried"]["visits"] == 1


def test_staff_are_left_out_of_both_sides(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    Regular.objects.create(organisation=acme, shopper=Shopper.objects.get(device_key="flapping"), state=Regular.State.CONFIRMED)
    asked = finished(tried(door, exit_grace_s=300))
    assert (asked.result["present"], asked.result["tried"], asked.of) == (NOTHING, NOTHING, 0)


def test_where_nothing_happened_nothing_is_found(acme: Organisation, door: Zone) -> None:
    asked = finished(tried(door, exit_grace_s=300))
    assert asked.result == {"events": 0, "present": NOTHING, "tried": NOTHING}
    assert (asked.done, asked.of, asked.failed) == (0, 0, "")


def test_today_and_what_began_eight_days_ago_are_no_part_of_it(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    asked = tried(door, exit_grace_s=300)
    assert (asked.since, asked.until) == (morning(7, 0), morning(0, 0))
    for device, moment in (
        ("before", asked.since - timedelta(seconds=1)),
        ("first", asked.since),
        ("last", asked.until - timedelta(seconds=1)),
        ("last", asked.until + timedelta(minutes=10)),
    ):
        send(acme, device, rows(*(moment + timedelta(seconds=s) for s in (0, 30)), lon_lat=at(*DOOR)))
    drain(worker)
    assert finished(asked).result["present"]["visits"] == 2


# --- The work -------------------------------------------------------------------------------------------------------------


def test_nothing_is_changed_by_trying(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    before = [list(model.objects.order_by("pk").values()) for model in (Stay, ZoneVersion, Organisation, Recut)]
    finished(tried(door, exit_grace_s=300))
    assert [list(model.objects.order_by("pk").values()) for model in (Stay, ZoneVersion, Organisation, Recut)] == before


def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on(
    acme: Organisation, door: Zone, worker: loop.Worker, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SLICE", 1)
    for number in range(3):
        send(acme, f"phone-{number}", rows(*(morning(2) + timedelta(seconds=s) for s in (0, 40)), lon_lat=at(*DOOR)))
    drain(worker)
    asked = tried(door, exit_grace_s=300)
    with figures.session() as connection:
        for _ in range(2):
            trial.step(connection, turn_s=0)  # cut, and the first slice
    command = [sys.executable, "manage.py", "figures", "--once"]
    died = subprocess.run(command, env={**environment, "FAULT": "trial.before_commit:kill"}, cwd=ROOT, check=False, timeout=60)
    assert died.returncode == -9
    asked.refresh_from_db()
    assert (asked.done, asked.of, asked.attempts) == (1, 3, 1)
    assert finished(asked).result["present"]["visits"] == 3
    assert asked.done == 3


def test_a_trial_is_taken_from_a_worker_that_stands_still(
    acme: Organisation, door: Zone, worker: loop.Worker, environment: dict[str, str], tmp_path: Path
) -> None:
    send(acme, "phone", rows(*(morning(2) + timedelta(seconds=s) for s in (0, 40)), lon_lat=at(*DOOR)))
    drain(worker)
    asked = tried(door, exit_grace_s=300)
    once = tmp_path / "once"
    once.touch()
    own = {**environment, "FAULT": "trial.before_commit:stop", "FAULT_ONCE": str(once), "ATRIUM_WORK_IDLE_S": "2"}
    frozen = subprocess.Popen([sys.executable, "manage.py", "figures", "--once"], env=own, cwd=ROOT)
    try:
        until(lambda: not once.exists(), within_s=30)
        with figures.session() as connection:
            assert trial.step(connection) == 0  # it is held, and its worker might go on
            until(lambda: trial.step(connection) > 0, within_s=30)
        assert finished(asked).result["present"]["visits"] == 1
    finally:
        frozen.kill()
        frozen.wait()


def test_a_trial_that_ends_its_worker_each_time_is_given_up_and_the_next_one_is_done(
    acme: Organisation, door: Zone, environment: dict[str, str], worker: loop.Worker
) -> None:
    asked = tried(door, exit_grace_s=300)
    Trial.objects.filter(pk=asked.pk).update(attempts=trial.TRIES)
    other = tried(door, exit_grace_s=301)
    assert finished(asked).failed == "The worker ended each time while working on this trial."
    assert finished(other).result


def test_a_trial_that_fails_is_given_up_after_three_times(acme: Organisation, door: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a position")

    monkeypatch.setattr(trial, "_cut", fail)
    asked = finished(tried(door, exit_grace_s=300))
    assert (asked.failed, asked.result) == ("It failed 3 times: ValueError.", None)


def test_a_cancelled_trial_is_forgotten_with_all_that_was_found(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    asked = tried(door, exit_grace_s=300)
    with figures.session() as connection:
        trial.step(connection, turn_s=0)
        assert TrialSlice.objects.count() == 1
        assert trial.cancel(asked)
        assert trial.step(connection) == 0
    assert not Trial.objects.exists() and not TrialSlice.objects.exists()
    assert not trial.cancel(finished(tried(door, exit_grace_s=300)))


def test_two_workers_share_the_trials_and_none_is_done_twice(acme: Organisation, door: Zone, worker: loop.Worker) -> None:
    flap(acme)
    drain(worker)
    asked = tried(door, exit_grace_s=300)
    with figures.session() as one, figures.session() as other, trial._next(one) as held:
        assert held == asked.pk
        assert trial.step(other) == 0


def test_places_that_change_meanwhile_begin_the_trial_again(acme: Organisation, door: Zone, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SLICE", 1)
    for number in range(2):
        send(acme, f"phone-{number}", rows(*(morning(2) + timedelta(seconds=s) for s in (0, 100)), lon_lat=at(*DOOR)))
    drain(worker)
    asked = tried(door, exit_grace_s=300)
    with figures.session() as connection:
        for _ in range(2):
            trial.step(connection, turn_s=0)
    correct(acme, {"key": "north-door", "exit_grace_s": 120})
    drain(worker)
    result = finished(asked).result
    assert result["present"]["visits"] == result["tried"]["visits"] == 2


def test_the_same_trial_is_not_begun_twice_and_only_a_few_at_once(acme: Organisation, door: Zone) -> None:
    first = tried(door, exit_grace_s=300)
    assert tried(door, exit_grace_s=300) == first
    tried(door, exit_grace_s=301)
    tried(door, exit_grace_s=302)
    with pytest.raises(trial.TooMany):
        tried(door, exit_grace_s=303)
    finished(first)
    tried(door, exit_grace_s=303)
    with pytest.raises(trial.NothingToTry):
        tried(door)
