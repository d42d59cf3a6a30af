"""Case 15: SIGKILL at every crash point in turn. After a start without the fault, everything is as if nothing had been."""

import random
import signal
import time
from pathlib import Path
from typing import Any, Final

import pytest

from engagement import faults, provisioning
from tests.cast import acme_file
from tests.faults.client import Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved, walk
from tests.faults.oracle import differences
from tests.faults.oracle import figures as figures_differences
from tests.faults.processes import Keeper, Product
from tests.servers import ROOT, until


def journey(product: Product, port: int) -> Ledger:
    """Something of everything: crowds, a phone that is named late, places that change, stays that end."""
    town, now = product.town, int(time.time())
    before = [fix(number, now - 7200 + 30 * number) for number in range(1, 9)]
    after = [fix(number, now - 6000 + 30 * number, "page") for number in range(101, 109)]
    ledger = Ledger()
    first = [Request("late-phone", tuple(before)), *interleaved(crowd(15, people=4, events=20), 15)]
    second = [Request("late-phone", tuple(after), "late-crm"), first[0], *walk(random.Random(16), "more", events=20)]
    for requests in (first, second):
        told = post_all(town, port, requests)
        ledger.acknowledged |= told.acknowledged
        ledger.statuses += told.statuses
        product.drain()
    changed = acme_file()
    # Valid from the beginning of time: what was heard of it and told nothing is judged again.
    changed["beacons"].append({"key": "b-late", "zone": "north-page", "mac": "c4:be:84:00:00:99"})
    provisioning.provision(changed)
    product.drain()
    until(lambda: not town.value("SELECT count(*) FROM analytics_stay WHERE NOT closed AND closes_at < now()"), within_s=30)
    return ledger


def told(product: Product) -> list[tuple[Any, ...]]:
    """What the outbox says of the people's stays, apart from re-cuts: they tell of the way that history took."""
    return sorted(product.town.rows("SELECT shopper_id, zone_id, kind, started, minutes FROM analytics_transition WHERE kind = 'left'"), key=repr)


# On the journey nobody is erased or written to, no settings are tried, no time is over and no file is taken in: these points have tests of their own.
ELSEWHERE: Final = {
    "erase.": "faults/test_erasure.py",
    "trial.": "analytics/test_trial.py",
    "retention.": "engagement/test_retention.py",
    "import.": "engagement/test_imports.py",
    "plan.": "faults/test_sending.py",
    "send.": "faults/test_sending.py",
    "backup.": "faults/test_backup.py",
    "restore.": "faults/test_backup.py",
    "work.": "faults/test_redrive.py",
    "alarms.": "operations/test_watch.py",
    "tell.": "operations/test_telling.py",
}


@pytest.mark.parametrize("point", ELSEWHERE)
def test_each_point_off_the_journey_is_tried_elsewhere(point: str) -> None:
    assert f'"{point}' in (ROOT / "tests" / ELSEWHERE[point]).read_text()


@pytest.mark.parametrize("point", [point for point in faults.POINTS if not point.startswith(tuple(ELSEWHERE))])
def test_case_15_killed_at_any_point_the_end_is_the_same(product: Product, tmp_path: Path, point: str) -> None:
    once = tmp_path / "once"
    once.touch()
    fault = {"FAULT": f"{point}:kill", "FAULT_ONCE": str(once)}
    at_the_door = point.startswith("door.")
    door, stream, figures = product.door(), product.stream(), product.figures()
    {"door": door, "figures": figures}.get(point.partition(".")[0], stream).environment.update(fault)
    stream.start()
    figures.start()
    door.open()
    with Keeper(door, stream, figures) as keeper:
        ledger = journey(product, door.port)
        product.figure_out()
    assert not once.exists(), "The point was never reached."
    assert len(keeper.deaths) == 1
    assert at_the_door or keeper.deaths == [-signal.SIGKILL]
    assert set(ledger.statuses) <= {202, 0, 503}
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    assert figures_differences(product.town) == []
    if not at_the_door:
        assert ledger.statuses[0] == 0
        assert product.town.outcomes()["duplicate"] == 8  # what was sent twice, and not once more
