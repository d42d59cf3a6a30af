"""Cases 40 to 47: campaigns on real processes, against a mail server that fails as mail servers do.

`LAW_DEPTH=20` sends to 20,000 instead of a few hundred, and kills for as long as it takes.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, connections
from django.utils import timezone

from analytics.audiences import columns
from engagement import faults
from engagement.environment import MailServer
from engagement.models import Device, Organisation
from notifications import campaigns, governor, planning
from notifications.channels import email
from notifications.delivery import claim, sending, sweep
from notifications.delivery.sending import Sender
from notifications.models import Campaign, CampaignState, Message, Run, SendingPolicy
from tests.faults.ground import Town
from tests.faults.processes import Keeper, Process, Product
from tests.faults.sink import Sink
from tests.notifications import people
from tests.notifications.wires import MemoryWire
from tests.servers import ROOT, until
from tests.worlds import DEPTH

PEOPLE: Final = 300 if DEPTH == 1 else 1000 * DEPTH
KILLS: Final = 6 if DEPTH == 1 else 2 * DEPTH
# Each 454 halves the pace for minutes, as it should: among thousands of mails there are a few, as of a provider that holds on to its rate.
TROUBLE: Final = "accept*30 drop 454 4xx close" if DEPTH == 1 else "accept*9000 drop*300 454 4xx*300 close*300"
FINAL: Final = {"sent", "skipped", "failed", "held_out", "unknown"}


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    made = Sink(tmp_path / "sink").start()
    yield made
    made.end()


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """Each test has a database of its own, with the same numbers in it."""
    columns.forget()


def acme() -> Organisation:
    return Organisation.objects.get(key="acme")


def labour(product: Product, sink: Sink, *words: str, mutant: str | None = None, **more: str) -> Process:
    """A worker at these tasks. Not started yet."""
    extra = ["--mutant", mutant] if mutant else []
    environment = product.town.environment(EMAIL_URL=sink.url, ATRIUM_MAIL_TIMEOUT_S="2", DJANGO_SETTINGS_MODULE="engagement.settings", **more)
    made = Process([sys.executable, "-m", "tests.faults.labour", *words, *extra], environment, product.folder / f"labour-{len(product.made)}.log")
    product.made.append(made)
    return made


def account(made: Campaign, sink: Sink) -> Counter[str]:
    """What the rows say, having looked that the mail server agrees; by state."""
    rows = list(Message.objects.filter(campaign=made).values_list("pk", "state", "shopper_id"))
    own = {row[0] for row in rows}
    taken = Counter(one.message for one in sink.taken() if one.message in own)
    assert max(taken.values(), default=0) <= 1, "Somebody was told twice."
    states = {pk: state for pk, state, _ in rows}
    assert all(states[number] in ("sent", "unknown", "claimed") for number in taken), "What was taken is said not to have left."
    assert all(taken[pk] for pk, state in states.items() if state == "sent"), "What was not taken is said to have been sent."
    assert len({shopper for *_, shopper in rows}) == len(rows)
    assert sum(campaigns.counts(made).values()) == made.runs.get().audience_count
    return Counter(states.values())


def settle(made: Campaign) -> None:
    """The leases of the dead run out; so do their connections, which hold their rows until PostgreSQL sees that nobody is there."""

    def swept() -> bool:
        sweep.sweep(now=timezone.now() + claim.LEASE + timedelta(seconds=1))
        return not Message.objects.filter(campaign=made, state="claimed").exists()

    until(swept, within_s=30, every_s=0.1)
    made.refresh_from_db()


def begun(number: int, **more: Any) -> Campaign:
    people.shoppers(acme(), number)
    return campaigns.send(people.campaign(acme(), **more), by="emma")


def test_case_40_whoever_is_killed_at_random_tells_nobody_twice_and_loses_nobody(product: Product, sink: Sink) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().getrandbits(32))
    print(f"SOAK_SEED={seed}")
    chance = random.Random(seed)
    made = begun(PEOPLE, holdout="0.05", variants=(1, 1))
    workers = [labour(product, sink, "plan", "sweep"), *(labour(product, sink, "send", ATRIUM_SEND_RATE="200") for _ in range(2))]
    for worker in workers:
        worker.start()
    sink.behave(TROUBLE)
    with Keeper(*workers) as keeper:
        for kill in range(KILLS):
            so_far = PEOPLE * (kill + chance.random()) / KILLS
            until(lambda most=so_far: sink.number() >= most or _all_tried(made), within_s=PEOPLE / 2, every_s=0.02)
            with keeper.busy:
                chance.choice(workers).kill()
        until(lambda: _all_tried(made), within_s=PEOPLE / 2)
    for worker in workers:
        worker.kill()
    settle(made)
    states = account(made, sink)
    print(f"{len(keeper.deaths)} processes killed; {dict(states)}")
    assert set(states) <= FINAL | {"planned"} and len(keeper.deaths) >= KILLS / 2
    assert states["sent"] and states["unknown"] <= sending.BATCH * (len(keeper.deaths) + 2) + PEOPLE / 10  # of the dead, and what the server did not answer
    assert states["planned"] == Message.objects.filter(campaign=made, attempts__gt=0, state="planned").count()  # refused for now: their time comes


def _all_tried(made: Campaign) -> bool:
    return bool(made.runs.get().planned_at) and not Message.objects.filter(campaign=made, state="planned", attempts=0).exists()


POINTS: Final = [name for name in faults.POINTS if name.startswith(("plan.", "send."))]


@pytest.mark.parametrize("at", POINTS)
def test_case_40_killed_at_each_point_everybody_is_told_once_or_nobody_knows(product: Product, sink: Sink, tmp_path: Path, at: str) -> None:
    """Between the provider's yes and our note of it above all."""
    once = tmp_path / "once"
    once.touch()
    made = begun(40)
    worker = labour(product, sink, "plan", "send", FAULT=f"{at}:kill", FAULT_ONCE=str(once))
    worker.start()
    held = at in ("send.claimed", "send.transmitted", "send.before_record")
    partly = at == "send.recorded"  # what was heard of is known; what was on its way besides is not
    left = ["planned"] if held or partly else ["planned", "claimed"]  # nobody comes back to what the dead one held
    with Keeper(worker):
        until(lambda: not once.exists() and not Message.objects.filter(campaign=made, state__in=left).exists() and made.runs.get().planned_at, within_s=60)
    settle(made)
    states = account(made, sink)
    assert made.state == CampaignState.FINISHED and states.total() == 40
    assert set(states) - ({"unknown"} if partly else set()) == ({"unknown"} if held else {"sent"})
    assert held or len(sink.taken()) >= states["sent"]


def delivered(sink: Sink, *, within_s: float = 20) -> Campaign:
    """A campaign for eight, sent in this process until nothing is due."""
    made = begun(8)
    planning.plan()
    wire = email.open_wire()
    try:
        Sender(wire).run(budget_s=within_s)
    finally:
        wire.close()
    return made


@pytest.mark.parametrize(
    ("behaviour", "states"),
    [
        ("drop", {"unknown": 8}),
        ("close", {"unknown": 8}),
        ("stall", {"unknown": 8}),
        ("4xx", {"planned": 8}),
        ("454", {"planned": 8}),
        ("5xx", {"failed": 8}),
        ("accept", {"sent": 8}),
    ],
)
def test_case_41_each_failure_of_the_server_has_its_end(town: Town, sink: Sink, settings: Any, behaviour: str, states: dict[str, int]) -> None:
    settings.MAIL_SERVER = MailServer("smtp", "127.0.0.1", sink.port)
    settings.MAIL_TIMEOUT_S = 1
    sink.behave(behaviour)
    made = delivered(sink)
    assert account(made, sink) == states
    sink.behave("accept")
    for message in Message.objects.filter(campaign=made, state="planned"):
        assert message.send_after > timezone.now() - timedelta(seconds=1)  # backed off


def test_case_42_paused_resumed_and_cancelled_on_the_way_everybody_ends_in_one_state(product: Product, sink: Sink) -> None:
    """One campaign is paused and resumed until it is over; another is cancelled after a third of it."""
    chance = random.Random(42)
    other = begun(90, key="other")
    made = campaigns.send(people.campaign(acme()), by="emma")
    worker = labour(product, sink, "plan", "send", "sweep", ATRIUM_SEND_RATE="40")
    worker.start()
    until(lambda: people.states(other).get("sent", 0) >= 30, within_s=60)
    campaigns.cancel(other, by="emma")
    cancelled_at, changes = time.time(), 0
    while not _over(made):
        time.sleep(chance.uniform(0, 0.4))  # the moment of the change, not a wait for anything
        with suppress(campaigns.WrongState):  # it ended meanwhile
            (campaigns.resume if made.state == CampaignState.PAUSED else campaigns.pause)(made, by="emma")
            changes += 1
        with pytest.raises(campaigns.WrongState):  # what is under way does not begin again
            campaigns.send(made, by="emma")
    until(lambda: other.runs.get().finished_at, within_s=60)
    worker.end()
    assert changes > 3 and account(made, sink) == {"sent": 90} and made.finished_at
    states = account(other, sink)
    assert set(states) == {"sent", "skipped"} and sum(states.values()) == 90
    late = set(Message.objects.filter(campaign=other).values_list("pk", flat=True))
    assert max(one.at for one in sink.taken() if one.message in late) < cancelled_at + 1.5


def _over(made: Campaign) -> bool:
    made.refresh_from_db()
    return made.state in (CampaignState.FINISHED, CampaignState.CANCELLED)


def together(number: int, work: Callable[[int], object]) -> None:
    """So many threads, begun at one instant, each with its own connection; what one raises is raised."""
    gate, failures = threading.Barrier(number), list[BaseException]()

    def one(index: int) -> None:
        try:
            gate.wait(30)
            work(index)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=[index]) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for failure in failures:
        raise failure


def test_case_43_two_planners_and_two_senders_and_overlapping_runs_tell_everybody_once_a_run(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SLICE", 20)
    made = begun(200)
    other = campaigns.send(people.campaign(acme(), "other"), by="emma")
    wires = [MemoryWire() for _ in range(4)]

    def work(index: int) -> None:
        while Run.objects.filter(finished_at=None).exists():
            planning.plan()
            Sender(wires[index]).run(budget_s=1)
            sweep.sweep()

    together(4, work)
    told = Counter((mail.recipient, number) for wire in wires for mail, number in zip(wire.mails, wire.numbers, strict=True))
    assert max(told.values()) == 1 and len(told) == 400
    for one in (made, other):
        one.refresh_from_db()
        assert people.states(one) == {"sent": 200} and one.state == CampaignState.FINISHED and one.runs.count() == 1


def test_case_44_what_is_down_past_its_time_waits_and_a_copy_of_the_database_sends_nothing(product: Product, sink: Sink) -> None:
    town = product.town
    made = begun(20)
    late = campaigns.send(people.campaign(acme(), "late", send_at=timezone.now() + timedelta(hours=1)), by="emma")
    planning.plan()
    adopted = subprocess.run([sys.executable, "manage.py", "adopt_sending", "--yes"], cwd=ROOT, env=town.environment(), capture_output=True, text=True)
    assert adopted.returncode == 0, adopted.stderr
    connection.close()
    town.ground.admin(f"CREATE DATABASE {town.name}_copy TEMPLATE {town.name} OWNER atrium")
    try:
        copy = Town(town.ground, f"{town.name}_copy")
        twin = labour(product, sink, "plan", "send", "sweep")
        twin.environment["DATABASE_URL"] = copy.url
        own = labour(product, sink, "plan", "send", "sweep")
        twin.start()
        own.start()
        until(lambda: people.states(made) == {"sent": 20}, within_s=60)
        until(lambda: copy.value("SELECT count(*) FROM engagement_heartbeat WHERE process = 'sender'"), within_s=60)
        twin.end()
        own.end()
        assert copy.rows("SELECT DISTINCT state FROM notifications_message") == [("planned",)] and account(made, sink) == {"sent": 20}
    finally:
        town.ground.admin(f"DROP DATABASE {town.name}_copy WITH (FORCE)")
    campaigns.start_due(timezone.now() + timedelta(hours=14))
    late.refresh_from_db()
    assert late.state == CampaignState.PAUSED and late.pause_reason and not late.runs.exists()


def test_case_45_a_shopper_with_two_devices_is_one_recipient(town: Town) -> None:
    [shopper] = people.shoppers(acme(), 1)
    for device in ("phone", "tablet"):
        Device.objects.create(organisation=acme(), key=device, owner_id=shopper)
    made = campaigns.send(people.campaign(acme()), by="emma")
    wires = [MemoryWire(), MemoryWire()]

    def work(index: int) -> None:
        planning.plan()
        Sender(wires[index]).run(budget_s=1)

    together(2, work)
    Sender(wires[0]).run()
    assert people.states(made) == {"sent": 1} and sum(len(wire.mails) for wire in wires) == 1


def test_case_46_no_cap_is_exceeded_under_sixteen_threads(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight campaigns for the same thirty people, of whom each may be told three times."""
    monkeypatch.setattr("notifications.delivery.sending.BATCH", 7)
    SendingPolicy.objects.create(organisation=acme(), cap_messages=3, cap_days=7)
    people.shoppers(acme(), 30)
    for number in range(8):
        campaigns.send(people.campaign(acme(), f"c{number}"), by="emma")
    planning.plan()
    wires = [MemoryWire() for _ in range(16)]

    def work(index: int) -> None:
        while Message.objects.filter(state__in=["planned", "claimed"]).exists():
            Sender(wires[index]).run(budget_s=5)

    together(16, work)
    told = Counter(recipient for wire in wires for recipient in wire.recipients)
    assert set(told.values()) == {3} and len(told) == 30
    assert Counter(Message.objects.values_list("state", "reason")) == {("sent", ""): 90, ("skipped", "capped"): 150}


@pytest.mark.parametrize("rate", [0, 2000])
def test_case_46_the_days_budget_is_not_exceeded_under_sixteen_threads(town: Town, settings: Any, rate: int) -> None:
    settings.SEND_RATE = rate
    made = begun(90)
    planning.plan()
    governor.told(rate=1000.0, quota=60.0, sent=20.0)
    wires = [MemoryWire() for _ in range(16)]
    together(16, lambda index: Sender(wires[index]).run(budget_s=3))
    left = sum(len(wire.mails) for wire in wires)
    assert 30 <= left <= 40 and people.states(made) == {"sent": left, "planned": 90 - left}


def test_case_46_quiet_hours_hold_under_sixteen_threads(town: Town) -> None:
    night = timezone.now()
    hours = {"from": f"{night - timedelta(hours=1):%H:%M}", "until": f"{night + timedelta(hours=2):%H:%M}", "then": "hold", "clocks": ["shop"]}
    held = begun(40, quiet_hours=hours, time_zone="UTC")
    planning.plan()
    wires = [MemoryWire() for _ in range(16)]
    together(16, lambda index: Sender(wires[index]).run(budget_s=1))
    assert not any(wire.mails for wire in wires) and people.states(held) == {"planned quiet_hours": 40}


def test_case_47_whoever_says_no_while_his_campaign_goes_out_is_left_alone(product: Product, sink: Sink) -> None:
    """One withdraws, one unsubscribes, one is erased, while a slow sender works; each has said so before his turn comes."""
    made = begun(60)
    worker = labour(product, sink, "plan", "send", ATRIUM_SEND_RATE="20")
    worker.start()
    until(lambda: sink.taken(), within_s=60)
    last = list(Message.objects.filter(campaign=made).order_by("-shopper_id").values_list("shopper_id", flat=True)[:3])
    people.withdraw(last[0])
    people.suppress(acme(), "s58@acme.example.com")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM engagement_profile WHERE shopper_id = %s", [last[2]])
        cursor.execute("DELETE FROM engagement_shopper WHERE id = %s", [last[2]])
    until(lambda: not Message.objects.filter(campaign=made, state__in=["planned", "claimed"]).exists(), within_s=60)
    worker.end()
    assert people.states(made) == {"sent": 57, "skipped no_consent": 1, "skipped suppressed": 1, "skipped erased": 1}
    assert not {f"s{n}@acme.example.com" for n in (57, 58, 59)} & {one.recipient for one in sink.taken()}
