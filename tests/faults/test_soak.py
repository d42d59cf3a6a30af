"""Case 16: a minute of random kills and crashes under clients that insist. `SOAK_S` and `SOAK_SEED` change how long and which."""

import os
import random
import time
from typing import Final

from tests.faults.client import NO_ANSWER, Client, Ledger
from tests.faults.crowd import crowd, interleaved
from tests.faults.ground import Ground
from tests.faults.oracle import differences
from tests.faults.processes import Keeper, Product
from tests.servers import until

SOAK_S: Final = float(os.environ.get("SOAK_S", "60"))
CLIENTS: Final = 4
PACE_S: Final = 0.05  # what is stored is recomputed by the slow reference in the end


def hurt(ground: Ground, chance: random.Random) -> None:
    """The database loses what it had in memory, one way or another, and comes back."""
    match chance.choice(("crash", "crash", "postmaster", "session")):
        case "crash":
            ground.crash()
            ground.cluster.start()
        case "postmaster":
            ground.kill_postmaster()
            ground.cluster.start()
        case _:
            ground.kill_session(chance)
            until(ground.cluster.answers, within_s=60)


def test_case_16_after_a_minute_of_kills_and_crashes_what_was_acknowledged_is_what_is_stored(product: Product) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().getrandbits(32))
    print(f"SOAK_SEED={seed}")
    chance, ledger, ground = random.Random(seed), Ledger(), product.town.ground
    door, streams = product.door(), [product.stream(number, 2) for number in range(2)]
    for stream in streams:
        stream.start()
    door.open()
    people = [crowd(seed + number, people=round(SOAK_S), events=40, prefix=f"c{number}-") for number in range(CLIENTS)]
    clients = [
        Client(product.town, door.port, interleaved(walks, seed + number), ledger, seed=seed + number, resend=0.15, pause_s=PACE_S)
        for number, walks in enumerate(people)
    ]
    ground.admin("CHECKPOINT")
    crashes, until_when = 0, time.monotonic() + SOAK_S
    with Keeper(door, *streams) as keeper:
        for client in clients:
            client.start()
        while time.monotonic() < until_when:
            time.sleep(chance.uniform(0.5, 2.5))  # the fault's moment, not a wait for anything
            if chance.random() < 0.25:
                hurt(ground, chance)
                crashes += 1
            else:
                with keeper.busy:
                    chance.choice((door, *streams, *streams)).kill()
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()
        product.drain(within_s=120)
    print(f"{len(keeper.deaths)} processes killed, {crashes} crashes of the database, {len(ledger.acknowledged)} events, answers {dict(ledger.statuses)}")
    assert crashes > 0
    assert len(keeper.deaths) > SOAK_S / 10
    assert set(ledger.statuses) <= {202, 503, NO_ANSWER}
    assert ledger.odd == []
    assert not any(client.given_up for client in clients)
    assert len(ledger.acknowledged) > 10 * SOAK_S
    assert differences(product.town, acknowledged=ledger.acknowledged) == []
    sound = product.manage("recount")
    assert sound.returncode == 0, sound.stdout
    until(lambda: not product.town.value("SELECT count(*) FROM analytics_stay WHERE NOT closed AND closes_at < now()"))
