"""A trial of settings in a browser: asked, followed, compared, saved, and its history corrected, while the workers work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, expect

from analytics.models import Recut, Stay, Trial
from engagement import partitions, provisioning
from engagement.database import connect
from engagement.models import Organisation, Zone, ZoneVersion
from tests.analytics.phones import DOOR, morning, rows, send
from tests.browser.conftest import DESK, PHONE, House, Visit
from tests.cast import at
from tests.servers import ROOT, STOP_WITHIN_S, until

PICTURES: Final = os.environ.get("ATRIUM_PICTURES")  # a folder: the pages are kept there, to be looked at


@pytest.fixture
def door(acme: Organisation, transactional_db: None) -> Zone:
    """The door with a grace of a minute, and a phone that flapped there ten times."""
    with connect(application_name="atrium-tests") as session:
        partitions.ensure(session)
    provisioning.correct({"organisation": {"key": "acme"}, "zones": [{"key": "north-door", "exit_grace_s": 60}]}, since=provisioning.BEGINNING)
    heard = [morning(3) + timedelta(seconds=140 * turn + second) for turn in range(10) for second in (0, 20, 40)]
    send(acme, "flapping", rows(*heard, lon_lat=at(*DOOR)))
    return Zone.objects.get(key="north-door")


@contextmanager
def figures(environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "manage.py", "figures"], env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_WITHIN_S)


def cells(row: Locator) -> list[str]:
    return [text.replace("\xa0", " ").strip() for text in row.locator("td.right").all_inner_texts()]


def picture(visit: Visit, name: str) -> None:
    if PICTURES:
        for width, size in (("desk", DESK), ("phone", PHONE)):
            visit.page.set_viewport_size(size)
            visit.page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
        visit.page.set_viewport_size(DESK)


def fits(visit: Visit) -> None:
    """No page is wider than a phone."""
    visit.page.set_viewport_size(PHONE)
    assert visit.width() <= PHONE["width"]
    visit.page.set_viewport_size(DESK)


def test_alice_tries_compares_and_corrects_history(house: House, alice: User, door: Zone, environment: dict[str, str], tmp_path: Path) -> None:
    until(lambda: Stay.objects.filter(zone=door).count() == 10, within_s=30)
    with house.visit("alice") as visit:
        page = visit.page
        visit.open(f"/admin/engagement/zone/{door.pk}/change/")
        picture(visit, "zone")
        page.get_by_role("link", name="Try other settings").click()
        page.get_by_label("Exit grace, s").fill("90000")
        page.get_by_role("button", name="Try them").click()
        expect(page.get_by_text("This must be a whole number from 0 to 86400.")).to_be_visible()
        fits(visit)
        page.get_by_label("Exit grace, s").fill("300")
        picture(visit, "try")
        page.get_by_role("button", name="Try them").click()
        expect(page.get_by_text("You can leave this page")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("about to begin")
        fits(visit)
        picture(visit, "under-way")
        with figures(environment, tmp_path / "figures.log"):
            # The page shows the result by itself.
            expect(page.get_by_role("heading", name="What would have been")).to_be_visible(timeout=30_000)
            shown = {one: cells(page.locator(f'[data-figure="{one}"]')) for one in ("visits", "visitors", "came_back", "dwell_median_s")}
            assert shown == {
                "visits": ["10", "1", "−9 (−90.0 %)"],
                "visitors": ["1", "1", "none"],
                "came_back": ["9", "0", "−9 (−100 %)"],
                "dwell_median_s": ["40 s", "21 min 40 s", "+21 min 0 s (+3,150 %)"],
            }
            fits(visit)
            picture(visit, "result")
            page.get_by_role("link", name="Use these settings").click()
            fits(visit)
            picture(visit, "save")
            page.get_by_label("From now on, and correct all history").check()
            page.get_by_role("button", name="Save the settings").click()
            expect(page.get_by_text("Stays are made again now, and the figures follow.")).to_be_visible()
            until(lambda: Recut.objects.filter(finished_at__isnull=False).exists(), within_s=30)
            until(lambda: Stay.objects.filter(zone=door).count() == 1, within_s=30)
            visit.open(f"/admin/engagement/zone/{door.pk}/change/")
            expect(page.get_by_text("Exit grace 60 → 300 s")).to_be_visible()
            expect(page.locator("#trials .tag")).to_have_text("saved")
            fits(visit)
            picture(visit, "zone-after")
            visit.open("/admin/analytics/recut/")
            expect(page.get_by_text("corrected the history of north-door").first).to_be_visible()
        assert visit.complaints == []
    assert ZoneVersion.objects.get(zone=door).exit_grace_s == 300


def test_a_trial_can_be_left_and_cancelled_with_the_keyboard(house: House, bob: User, door: Zone) -> None:
    with house.visit("bob") as visit:
        visit.open(f"/admin/engagement/zone/{door.pk}/try/")
        visit.page.get_by_label("Minimum stay, s").fill("41")
        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_text("You can leave this page")).to_be_visible()
        visit.open(f"/admin/engagement/zone/{door.pk}/change/")
        visit.page.locator("#trials td a").first.focus()
        visit.page.keyboard.press("Enter")
        visit.page.get_by_role("button", name="Cancel the trial").focus()
        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_text("The trial was cancelled.")).to_be_visible()
        assert visit.complaints == []
    assert not Trial.objects.exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_have_no_serious_fault_for_those_who_cannot_see_them(house: House, alice: User, door: Zone, scheme: str) -> None:
    done: dict[str, Any] = dict.fromkeys(("visits", "visitors", "pass_bys", "came_back", "dwell_median_s", "dwell_p90_s", "dwell_mean_s"), 3)
    zone = Zone.objects.select_related("venue").get(pk=door.pk)
    settings: dict[str, Any] = {"exit_grace_s": 300, "min_stay_s": 30, "max_accuracy_m": 50.0, "enter_rssi": -85, "hold_rssi": -95}
    made = Trial.objects.create(
        organisation_id=zone.organisation_id,
        zone=zone,
        settings=settings,
        present={**settings, "exit_grace_s": 60},
        since=morning(7, 0),
        until=morning(0, 0),
        of=1,
        done=1,
        result={"events": 30, "present": done, "tried": done},
        asked_by="alice",
        finished_at=morning(0),
    )
    running = Trial.objects.create(
        organisation_id=zone.organisation_id, zone=zone, settings=settings, present=settings, since=morning(7, 0), until=morning(0, 0), asked_by="alice"
    )
    pages = (f"engagement/zone/{door.pk}/try/", f"analytics/trial/{made.pk}/", f"analytics/trial/{made.pk}/save/", f"analytics/trial/{running.pk}/")
    with house.visit("alice", color_scheme=scheme) as visit:
        for path in pages:
            assert visit.open(f"/admin/{path}") == 200
            assert faults(visit) == [], path


def faults(visit: Visit) -> list[tuple[str, Any]]:
    """Serious findings of axe-core."""
    visit.page.evaluate((Path(__file__).parent / "vendor" / "axe.min.js").read_text())
    found = visit.page.evaluate("axe.run('#content, main', {resultTypes: ['violations']})")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"] if one["impact"] in {"serious", "critical"}]
