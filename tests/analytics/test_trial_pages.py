"""The pages of trials: who may try, who may save, and what each page says."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import strip_tags

from analytics import trial
from analytics.models import Recut, Trial
from analytics.stream import loop
from engagement import partitions, provisioning
from engagement.models import Brand, Membership, Organisation, PlacesChange, Zone, ZoneVersion
from tests.analytics.phones import DOOR, drain, finished, morning, rows, send
from tests.cast import at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


@pytest.fixture
def door(acme: Organisation, worker: loop.Worker) -> Zone:
    """The door with a grace of a minute, and a phone that flapped there ten times."""
    provisioning.correct({"organisation": {"key": "acme"}, "zones": [{"key": "north-door", "exit_grace_s": 60}]}, since=provisioning.BEGINNING)
    heard = [morning(3) + timedelta(seconds=140 * turn + second) for turn in range(10) for second in (0, 20, 40)]
    send(acme, "flapping", rows(*heard, lon_lat=at(*DOOR)))
    drain(worker)
    return Zone.objects.select_related("venue", "organisation").get(key="north-door")


def client(user: User) -> Client:
    made = Client()
    made.force_login(user)
    return made


def settings(**changed: Any) -> dict[str, Any]:
    """The form as the door's page fills it in, with changes."""
    return {"exit_grace_s": 60, "min_stay_s": 30, "max_accuracy_m": 50, "enter_rssi": -85, "hold_rssi": -95, "boundary": "", **changed}


def filled(door: Zone, **changed: Any) -> dict[str, Any]:
    current = ZoneVersion.objects.get(zone=door, valid_to=None)
    return settings(**{"boundary": json.dumps(current.boundary), **changed})


def text_of(response: Any) -> str:
    return str(response.content.decode())


def test_alice_tries_other_settings_and_sees_both_sides(door: Zone, alice: User) -> None:
    web = client(alice)
    page = text_of(web.get(f"/admin/engagement/zone/{door.pk}/change/"))
    assert f"/admin/engagement/zone/{door.pk}/try/" in page and "No other settings were tried yet." in page
    assert 'value="60"' in text_of(web.get(f"/admin/engagement/zone/{door.pk}/try/"))
    answer = web.post(f"/admin/engagement/zone/{door.pk}/try/", filled(door, exit_grace_s=300))
    asked = Trial.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/analytics/trial/{asked.pk}/")
    assert (asked.settings["exit_grace_s"], asked.asked_by, "boundary" in asked.settings) == (300, "alice", False)
    assert web.get(f"/admin/analytics/trial/{asked.pk}/progress").json() == {"finished": False, "percent": 0, "text": "about to begin"}
    assert "You can leave this page" in text_of(web.get(f"/admin/analytics/trial/{asked.pk}/"))
    finished(asked)
    assert web.get(f"/admin/analytics/trial/{asked.pk}/progress").json() == {"finished": True, "percent": 100, "text": "1 of 1 shopper"}
    lines = {
        line["name"]: tuple(strip_tags(line[side]).replace("\xa0", " ") for side in ("present", "tried", "change"))
        for line in web.get(f"/admin/analytics/trial/{asked.pk}/").context["lines"]
    }
    assert lines == {
        "visits": ("10", "1", "−9 (−90.0 %)"),
        "visitors": ("1", "1", "none"),
        "pass_bys": ("0", "0", "none"),
        "dwell_median_s": ("40 s", "21 min 40 s", "+21 min 0 s (+3,150 %)"),
        "dwell_p90_s": ("40 s", "21 min 40 s", "+21 min 0 s (+3,150 %)"),
        "dwell_mean_s": ("40 s", "21 min 40 s", "+21 min 0 s (+3,150 %)"),
        "came_back": ("9", "0", "−9 (−100 %)"),
    }
    page = text_of(web.get(f"/admin/engagement/zone/{door.pk}/change/"))
    assert f"/admin/analytics/trial/{asked.pk}/" in page and "Exit grace 60 → 300 s" in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("exit_grace_s", "90000", "This must be a whole number from 0 to 86400."),
        ("enter_rssi", "-100", "hold_rssi (-95) must not be above enter_rssi (-100)."),
        ("max_accuracy_m", "-1", "This must be a number from 0 to 10000."),
        ("boundary", '{"type": "Point", "coordinates": [1, 2]}', "This must be Polygon or MultiPolygon."),
        ("min_stay_s", "30", "These are the settings that the zone has. Change at least one of them."),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_provisioning(door: Zone, alice: User, field: str, value: str, sentence: str) -> None:
    answer = client(alice).post(f"/admin/engagement/zone/{door.pk}/try/", filled(door, **{field: value}))
    assert answer.status_code == 200 and sentence in text_of(answer)
    assert not Trial.objects.exists()


def test_a_fourth_trial_waits_for_the_others(door: Zone, alice: User) -> None:
    for grace in (300, 301, 302):
        trial.ask(zone=door, changes={"exit_grace_s": grace}, by="alice")
    answer = client(alice).post(f"/admin/engagement/zone/{door.pk}/try/", filled(door, exit_grace_s=303))
    assert "3 trials are under way already." in text_of(answer)


def test_bob_tries_and_does_not_save(door: Zone, bob: User, alice: User) -> None:
    web = client(bob)
    web.post(f"/admin/engagement/zone/{door.pk}/try/", filled(door, exit_grace_s=300))
    asked = finished(Trial.objects.get())
    assert asked.asked_by == "bob"
    page = text_of(web.get(f"/admin/analytics/trial/{asked.pk}/"))
    assert "Use these settings" not in page and "An owner of the organisation can save these settings." in page
    for ask in (web.get, web.post):
        assert ask(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "always"}).status_code == 403
    assert ZoneVersion.objects.get(zone=door).exit_grace_s == 60
    # His own he may cancel, Alice's he may not.
    own, hers = (trial.ask(zone=door, changes={"exit_grace_s": grace}, by=by) for grace, by in ((301, "bob"), (302, "alice")))
    assert web.post(f"/admin/analytics/trial/{hers.pk}/cancel/").status_code == 403
    assert web.post(f"/admin/analytics/trial/{own.pk}/cancel/")["Location"] == f"/admin/engagement/zone/{door.pk}/try/"
    assert [one.pk for one in Trial.objects.filter(finished_at=None)] == [hers.pk]


def test_charlie_and_a_brands_member_find_no_trial(door: Zone, charlie: User, acme: Organisation) -> None:
    asked = finished(trial.ask(zone=door, changes={"exit_grace_s": 300}, by="alice"))
    dora = User.objects.create_user("dora")
    Membership.objects.create(user=dora, organisation=acme, brand=Brand.objects.get(organisation=acme, key="brew"))
    for user in (charlie, dora):
        web = client(user)
        for path in (f"engagement/zone/{door.pk}/try/", *(f"analytics/trial/{asked.pk}/{end}" for end in ("", "progress", "save/"))):
            assert web.get(f"/admin/{path}").status_code == 404, path
        for path in (f"engagement/zone/{door.pk}/try/", f"analytics/trial/{asked.pk}/cancel/", f"analytics/trial/{asked.pk}/save/"):
            assert web.post(f"/admin/{path}", {**filled(door, exit_grace_s=301), "holds": "always"}).status_code == 404, path
    assert Trial.objects.count() == 1 and ZoneVersion.objects.get(zone=door).exit_grace_s == 60


def test_alice_saves_from_now_on(door: Zone, alice: User) -> None:
    asked = finished(trial.ask(zone=door, changes={"exit_grace_s": 300}, by="bob"))
    web = client(alice)
    page = text_of(web.get(f"/admin/analytics/trial/{asked.pk}/save/"))
    assert "stays of 1 shopper are made again" in page
    answer = web.post(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "now"}, follow=True)
    assert "Tried settings were saved; they hold from now on." in text_of(answer)
    assert [one.exit_grace_s for one in ZoneVersion.objects.filter(zone=door).order_by("valid_from")] == [60, 300]
    asked.refresh_from_db()
    assert asked.saved_by == "alice"
    assert "saved; they hold" in text_of(web.get(f"/admin/engagement/zone/{door.pk}/history/"))
    # Saved once, it is not saved again.
    assert web.post(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "always"})["Location"] == f"/admin/analytics/trial/{asked.pk}/"


def test_alice_corrects_history_and_sees_how_far_it_is(door: Zone, alice: User, worker: loop.Worker) -> None:
    asked = finished(trial.ask(zone=door, changes={"exit_grace_s": 300}, by="alice"))
    web = client(alice)
    answer = web.post(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "since", "day": ""})
    assert "Say from which day on history is to be corrected." in text_of(answer)
    future = (morning(-3)).date().isoformat()
    assert "This lies in the future." in text_of(web.post(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "since", "day": future}))
    day = morning(5).date()
    answer = web.post(f"/admin/analytics/trial/{asked.pk}/save/", {"holds": "since", "day": day.isoformat()}, follow=True)
    page = text_of(answer)
    assert "Stays are made again now, and the figures follow." in page and "about to begin" in page
    assert PlacesChange.objects.get().since == morning(5, 0)
    PlacesChange.objects.all().delete()
    Recut.objects.create(organisation=door.organisation, reason="corrected", cursor=7, done=1200, of=5000)
    for path in (f"/admin/engagement/zone/{door.pk}/change/", "/admin/analytics/recut/"):
        assert "1,200 of 5,000 shoppers" in text_of(web.get(path)), path


def test_a_failed_trial_says_so_and_offers_another(door: Zone, alice: User) -> None:
    asked = trial.ask(zone=door, changes={"exit_grace_s": 300}, by="alice")
    Trial.objects.filter(pk=asked.pk).update(attempts=trial.TRIES)
    finished(asked)
    page = text_of(client(alice).get(f"/admin/analytics/trial/{asked.pk}/"))
    assert "The trial failed" in page and "Try others" in page and "Use these settings" not in page
    assert client(alice).get(f"/admin/analytics/trial/{asked.pk}/save/")["Location"] == f"/admin/analytics/trial/{asked.pk}/"


def test_a_trial_over_a_change_of_settings_says_by_which_the_present_is_judged(door: Zone, alice: User) -> None:
    provisioning.provision({"organisation": {"key": "acme"}, "zones": [{"key": "north-door", "exit_grace_s": 90}]}, now=morning(2))
    asked = finished(trial.ask(zone=door, changes={"exit_grace_s": 300}, by="alice"))
    assert "Present judges each event by the settings of its time." in text_of(client(alice).get(f"/admin/analytics/trial/{asked.pk}/"))
    assert asked.result["present"]["visits"] == 10
