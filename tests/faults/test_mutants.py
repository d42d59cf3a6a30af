"""Tests of the tests: with one guard taken out of the product, the same checks must report it; with the guard in, nothing."""

import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final

import psycopg
import pytest

from analytics.stream import claim, loop
from engagement import inbox
from tests.faults import mutants
from tests.faults.client import post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences
from tests.faults.processes import Keeper, Product, running
from tests.faults.test_crowding import deadlocks, shared_devices, workers
from tests.faults.test_ownership import acme, claimed_while_it_changes_hands, put, told_in_two_shards_at_once
from tests.servers import until

PAST: Final = int(time.time()) - 20_000


def mutant(name: str) -> pytest.MarkDecorator:
    """The test runs twice: with the guard, and with the mutant."""
    return pytest.mark.parametrize("mutant", [None, name], ids=["sound", name])


def settled(product: Product) -> bool:
    """Nothing is left to take from the inbox; a mutant may leave other work undone."""
    return not product.town.value("SELECT count(*) FROM engagement_inbox")


def judge(found: list[str], mutant: str | None, *signs: str) -> None:
    """The oracle reports nothing, or, of a mutant, each of the signs."""
    if mutant is None:
        assert found == []
    for sign in signs if mutant else ():
        assert any(line.startswith(sign) for line in found), f"Nobody noticed: {found}"


@mutant("delete_then_work")
def test_rows_taken_before_the_work_is_done_are_lost_with_the_process(product: Product, tmp_path: Path, mutant: str | None) -> None:
    once = tmp_path / "once"
    once.touch()
    door, stream = product.door(), product.stream(mutant=mutant, FAULT="stream.stored:kill", FAULT_ONCE=str(once))
    door.open()
    ledger = post_all(product.town, door.port, interleaved(crowd(1, people=2, events=15), 1))
    stream.start()
    with Keeper(stream):
        until(lambda: not once.exists() and settled(product), within_s=60)
        product.drain()
    judge(differences(product.town, acknowledged=ledger.acknowledged), mutant, "lost: ")


@mutant("repeats_not_asked")
def test_a_repeat_is_no_error(product: Product, mutant: str | None) -> None:
    door = product.door()
    door.open()
    stream = product.stream(mutant=mutant)
    with running(stream):
        requests = [Request("phone", tuple(fix(number, PAST + 60 * number) for number in range(1, 6)))]
        for _ in range(2):
            post_all(product.town, door.port, requests)
            until(lambda: settled(product) or stream.log.read_text().count("Collision") > 20, within_s=60)
    judge(differences(product.town), mutant, "work is left over")


@mutant("collision_not_expected")
def test_one_event_told_in_two_shards_at_once_is_a_repeat(product: Product, mutant: str | None) -> None:
    with mutants.applied(mutant) if mutant else nullcontext():
        failed = told_in_two_shards_at_once(product)
    assert ("UniqueViolation" in failed) == (mutant is not None)
    judge(differences(product.town), mutant, "work is left over")


@mutant("other_days_not_asked")
def test_a_repeat_under_another_day_is_found(product: Product, mutant: str | None) -> None:
    door = product.door()
    door.open()
    with running(product.stream(mutant=mutant)):
        for seconds in (PAST, PAST - 86_400):
            post_all(product.town, door.port, [Request("phone", (fix(1, seconds),))])
            until(lambda: settled(product), within_s=60)
    judge(differences(product.town), mutant, "stored 2 times: ")


@mutant("keys_not_sorted")
def test_keys_locked_in_no_order_end_in_deadlocks(product: Product, mutant: str | None) -> None:
    """Days on which everybody uses everybody's devices, each given to all workers at one instant; of the mutant until the first deadlock."""
    town = product.town
    town.admin(f"ALTER DATABASE {town.name} SET deadlock_timeout = '20ms'")
    organisation = acme(product)
    with mutants.applied(mutant) if mutant else nullcontext(), workers(product, 8):
        for day in range(30 if mutant else 6):
            with psycopg.connect(town.url) as connection:
                for request in shared_devices(60, first=60 * day, days_back=30 - day):
                    put(town.url, request, organisation, connection=connection)
            product.drain()
            if deadlocks(product):
                break
    assert (deadlocks(product) > 0) == (mutant is not None)
    assert differences(town) == []  # what fails so is tried again


@mutant("attempts_not_committed")
def test_a_failure_that_is_not_counted_is_met_for_ever(product: Product, mutant: str | None) -> None:
    town = product.town
    town.rows(
        """INSERT INTO engagement_inbox (organisation_id, shard, received_at, events, imported, payload)
           SELECT id, 5, now(), 4, false, '\\x00ff' FROM engagement_organisation WHERE key = 'acme'"""
    )
    stream = product.stream(mutant=mutant)
    with running(stream):
        until(lambda: town.value("SELECT count(*) FROM engagement_setaside") or stream.log.read_text().count("failed: ") > 30, within_s=60)
    judge(differences(town, set_aside=1), mutant, "0 requests set aside", "work is left over")


def waits_for_the_owners_shard(product: Product) -> bool:
    """An anonymous event of a device that belongs to somebody of another shard, while that shard is another's."""
    town = product.town
    organisation = town.value("SELECT id FROM engagement_organisation WHERE key = 'acme'")
    door = product.door()
    door.open()
    post_all(town, door.port, [Request("phone", (fix(1, PAST),), "crm")])
    until(town.drained, within_s=30)
    owner = inbox.shard_of(organisation, "s", "crm")
    assert owner != inbox.shard_of(organisation, "d", "phone")
    with closing(loop.open_session()) as holder, holder.transaction():
        claim.wait_for(holder, [owner])
        post_all(town, door.port, [Request("phone", (fix(2, PAST + 60),))])
        until(lambda: settled(product) or town.rows("SELECT shard FROM engagement_inbox") == [(owner,)], within_s=30)
        waited = not settled(product)
    until(town.drained, within_s=30)
    return waited and town.value("SELECT count(*) FROM engagement_event") == 2


@mutant("forward_omitted")
def test_an_event_waits_for_the_shard_of_the_shopper_it_belongs_to(product: Product, mutant: str | None) -> None:
    with running(product.stream(mutant=mutant)):
        assert waits_for_the_owners_shard(product) == (mutant is None)


@mutant("lock_not_taken")
def test_a_shard_that_is_worked_on_is_left_alone(product: Product, mutant: str | None) -> None:
    taken_out = mutants.applied(mutant) if mutant else nullcontext()
    with taken_out, closing(loop.open_session()) as one, closing(loop.open_session()) as other, one.transaction():
        assert claim.lock(one, [1, 2]) == [1, 2]
        assert claim.begin(other, [2, 3]) == ([3] if mutant is None else [2, 3])


@pytest.mark.parametrize("mutant", [None, "claims_not_settled", "past_left_behind"])
def test_an_anonymous_past_comes_along_when_its_device_is_named(product: Product, mutant: str | None) -> None:
    door = product.door()
    door.open()
    with running(product.stream(mutant=mutant)):
        for shopper in (None, "crm"):
            start = PAST + (1000 if shopper else 0)
            events = tuple(fix(start - PAST + number, start + 60 * number) for number in range(1, 6))
            post_all(product.town, door.port, [Request("phone", events, shopper)])
            until(lambda: settled(product), within_s=30)
        if mutant != "claims_not_settled":
            product.drain()
    judge(differences(product.town), mutant, "missing stay: ", "strange stay: ")


@mutant("joined_while_waiting")
def test_a_claim_that_waited_is_judged_by_what_is_so_then(product: Product, mutant: str | None) -> None:
    with mutants.applied(mutant) if mutant else nullcontext():
        assert claimed_while_it_changes_hands(product) == (mutant is None)
    judge(differences(product.town), mutant, "recount: Device ")


@pytest.mark.parametrize("mutant", [None, "answer_before_commit", "commit_not_waited_for"])
def test_what_was_acknowledged_survives_a_crash_at_once(product: Product, mutant: str | None) -> None:
    """The server's memory is lost the moment after each 202; of a mutant's promises at least one goes with it."""
    ground, acknowledged = product.town.ground, 0
    door = product.door(application="tests.faults.mutants.door:application", MUTANT=mutant) if mutant else product.door()
    door.path = "/healthz/ready"
    door.open()
    ground.admin("CHECKPOINT")
    for number in range(1, 7 if mutant else 3):
        post_all(product.town, door.port, [Request("phone", (fix(number, PAST),))])
        acknowledged += 1
        ground.crash()
        ground.cluster.start()
        stored = {bytes(payload) for (payload,) in product.town.rows("SELECT payload FROM engagement_inbox")}
        if len(stored) < acknowledged:
            break
    assert (len(stored) < acknowledged) == (mutant is not None)


def test_every_mutant_is_tried() -> None:
    tried = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*mutants.py"))
    assert all(f'"{name}"' in tried for name in mutants.CATALOGUE)
