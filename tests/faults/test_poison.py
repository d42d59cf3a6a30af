"""Cases 21 and 22: rows that cannot be processed are found, set aside and told of; their neighbours go on; a replay works."""

import signal
import time
from typing import Final

from engagement import inbox, set_aside
from engagement.models import Organisation, SetAside
from tests.faults.client import Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved
from tests.faults.oracle import differences, identities
from tests.faults.processes import Keeper, Product, running
from tests.servers import until

POISON: Final = "poison-phone"
PAST: Final = int(time.time()) - 20_000


def neighbours(product: Product) -> list[Request]:
    """Requests of the poison's own shard, before and after it, and of everybody else."""
    acme = product.town.value("SELECT id FROM engagement_organisation WHERE key = 'acme'")
    shard = inbox.shard_of(acme, "d", POISON)
    near = [name for name in (f"n{number}" for number in range(1000)) if inbox.shard_of(acme, "d", name) == shard][:8]
    made = [Request(name, tuple(fix(100 * place + step, PAST + 60 * step) for step in range(4))) for place, name in enumerate(near, start=1)]
    made.insert(4, Request(POISON, tuple(fix(5000 + step, PAST + 60 * step) for step in range(4))))
    return made + list(interleaved(crowd(21, people=3, events=15), 21))


def replay(product: Product) -> None:
    row = SetAside.objects.get(replayed_at=None)
    assert set_aside.replay(organisation=Organisation.objects.get(key="acme"), ids=[row.pk]) == (1, 4)


def wait_for_the_poison(product: Product) -> None:
    until(lambda: product.town.value("SELECT count(*) FROM engagement_setaside WHERE replayed_at IS NULL") and product.town.drained(), within_s=60)


def without_the_poison(ledger: Ledger) -> set[tuple[str, str, object]]:
    return {identity for identity in ledger.acknowledged if identity[1] != POISON}


def test_case_21_a_row_that_raises_is_set_aside_and_can_be_replayed(product: Product) -> None:
    """The cause lies in the database, and is cured afterwards."""
    town = product.town
    town.admin("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    town.admin(f"CREATE TRIGGER refuse BEFORE INSERT ON engagement_device FOR EACH ROW WHEN (new.key = '{POISON}') EXECUTE FUNCTION refuse()")
    door, stream = product.door(), product.stream()
    door.open()
    ledger = post_all(town, door.port, neighbours(product))
    with running(stream):
        wait_for_the_poison(product)
        assert set(identities(town)) == without_the_poison(ledger)
        assert differences(town, set_aside=1) == []
        ((error, events),) = town.rows("SELECT error, events FROM engagement_setaside")
        assert events == 4
        assert error.startswith("RaiseException at ")
        assert "'no'" not in error
        assert stream.said("ALARM: a request was set aside")
        assert town.value("SELECT max(attempts) FROM engagement_shardstate") == 0
        town.admin("DROP TRIGGER refuse ON engagement_device")
        replay(product)
        product.drain()
    assert differences(town, acknowledged=ledger.acknowledged) == []
    assert town.outcomes().get("duplicate", 0) == 0


def test_case_21_a_row_whose_bytes_are_damaged_is_set_aside_each_time(product: Product) -> None:
    town = product.town
    town.rows(
        """INSERT INTO engagement_inbox (organisation_id, shard, received_at, events, imported, payload)
           SELECT id, 5, now(), 4, false, '\\x00ff' FROM engagement_organisation WHERE key = 'acme'"""
    )
    with running(product.stream()):
        for tries in (1, 2):
            wait_for_the_poison(product)
            assert town.value("SELECT count(*) FROM engagement_setaside") == tries
            if tries == 1:
                replay(product)
    assert differences(town, set_aside=1) == []


def test_case_22_a_row_that_kills_the_process_is_set_aside_too(product: Product) -> None:
    town = product.town
    door, stream = product.door(), product.stream(FAULT_MARK=POISON)
    door.open()
    ledger = post_all(town, door.port, neighbours(product))
    stream.start()
    with Keeper(stream) as keeper:
        wait_for_the_poison(product)
    assert set(keeper.deaths) == {-signal.SIGSEGV}
    assert 2 < len(keeper.deaths) < 10  # the count of tries outlives the processes
    assert set(identities(town)) == without_the_poison(ledger)
    assert differences(town, set_aside=1) == []
    assert stream.said("ALARM: a request was set aside")
    stream.kill()
    with running(product.stream()):  # one that the row does not kill
        replay(product)
        product.drain()
    assert differences(town, acknowledged=ledger.acknowledged) == []
