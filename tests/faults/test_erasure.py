"""Killed in the middle of an erasure: it is done by the next process, once, and nothing of him is left or comes back."""

import signal
import time
from pathlib import Path

from tests.faults.client import post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Keeper, Product
from tests.servers import until


def test_an_erasure_that_is_killed_before_its_commit_is_done_by_the_next_process(product: Product, tmp_path: Path) -> None:
    once, now, town = tmp_path / "once", int(time.time()), product.town
    once.touch()
    door, stream = product.door(), product.stream(FAULT="erase.before_commit:kill", FAULT_ONCE=str(once))
    his = [
        Request("his-phone", tuple(fix(number, now - 7200 + 30 * number) for number in range(1, 9))),
        Request("his-phone", tuple(fix(number, now - 6000 + 30 * number, "page") for number in range(101, 109)), "him"),
    ]
    stream.start()
    door.open()
    with Keeper(door, stream) as keeper:
        post_all(town, door.port, [*his, *interleaved(crowd(27, people=4, events=20), 27)])
        product.drain()
        others = town.value("SELECT count(*) FROM engagement_event WHERE device_id <> (SELECT id FROM engagement_device WHERE key = 'his-phone')")
        asked = product.manage("erase", "acme", "him")
        assert asked.returncode == 0, asked.stderr
        until(lambda: not town.value("SELECT count(*) FROM engagement_erasure WHERE finished_at IS NULL"), within_s=60)
        post_all(town, door.port, his)  # the phone sends all of it again
        product.drain()
    assert not once.exists()
    assert keeper.deaths == [-signal.SIGKILL]
    assert town.rows("SELECT events, devices, shopper_id FROM engagement_erasure") == [(16, 1, None)]
    assert town.value("SELECT count(*) FROM engagement_event") == others
    assert not town.value("SELECT count(*) FROM engagement_shopper WHERE external_id = 'him'")
    assert not town.value("SELECT count(*) FROM engagement_device WHERE key = 'his-phone'")
    assert town.outcomes()["erased"] == 16
    # What was counted as it came stays counted: the recount knows of erasures, and says that all else is as it must be.
    assert [one for one in differences(town) if "events counted as accepted" not in one] == []
