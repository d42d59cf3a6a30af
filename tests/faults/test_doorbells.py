"""Case 20: a task's message is a doorbell. Lost, a hundred times, too early or for nothing: what is to be done is done once, by whoever looks next."""

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import psycopg
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analytics import tasks as analytics_tasks
from analytics.models import Audience
from engagement import imports
from engagement import tasks as engagement_tasks
from engagement.models import Organisation, Profile, ShopperImport
from notifications import campaigns, planning
from notifications import tasks as notifications_tasks
from notifications.delivery.sending import Sender
from notifications.feedback import apply
from notifications.models import FeedbackNotice, Message
from tests.faults.ground import Town
from tests.notifications import people
from tests.notifications.feedback.amazon import TOPIC
from tests.notifications.wires import MemoryWire

SHEET: Final = "id,email\n" + "".join(f"n{number},n{number}@example.com\n" for number in range(30))
AT: Final = timezone.now() - timedelta(hours=1)
NOTICE: Final = """INSERT INTO notifications_feedbacknotice (key, topic, body, received_at, attempts, problem)
    SELECT 'n' || n, %s, %s, %s, 0, '' FROM generate_series(1, %s) n"""
TOLD: Final = (TOPIC, f"event\n{AT.isoformat()}\n{{}}", AT)


@pytest.fixture
def wire() -> MemoryWire:
    return MemoryWire()


@pytest.fixture
def bells(wire: MemoryWire) -> dict[str, Callable[[], object]]:
    return {
        "plan": notifications_tasks.plan,
        "send": lambda: Sender(wire).run(budget_s=0.2),
        "sweep": notifications_tasks.sweep,
        "apply_feedback": notifications_tasks.apply_feedback,
        "judge_feedback": notifications_tasks.judge_feedback,
        "work_imports": engagement_tasks.work_imports,
        "refresh_audiences": analytics_tasks.refresh_audiences,
    }


def something_of_everything(organisation: Organisation) -> tuple[ShopperImport, Any]:
    people.shoppers(organisation, 40)
    made = campaigns.send(people.campaign(organisation), by="emma")
    with connection.cursor() as cursor:
        cursor.execute(NOTICE, [*TOLD, 25])
    row = imports.upload(organisation=organisation, name="people.csv", chunks=[SHEET.encode()], by="emma")
    imports.look(row, mapping={0: "id", 1: "email"}, terms=imports.Terms(), into=None)
    return row, made


def all_at_once(*work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def done(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=done, args=[act]) for act in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_case_20_a_hundred_doorbells_do_everything_once(town: Town, wire: MemoryWire, bells: dict[str, Callable[[], object]]) -> None:
    row, made = something_of_everything(Organisation.objects.get(key="acme"))

    def ring(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            for name in chance.sample(sorted(bells), len(bells)):
                bells[name]()

    all_at_once(*[lambda seed=seed: ring(seed) for seed in range(4)])
    row.refresh_from_db()
    assert (row.state, row.created, row.line) == (ShopperImport.State.CHECKED, 30, 31)
    assert not FeedbackNotice.objects.filter(applied_at=None).exists() and not FeedbackNotice.objects.filter(attempts__gt=0).exists()
    assert sorted(wire.recipients) == sorted(Profile.objects.exclude(email="").values_list("email", flat=True))
    assert people.states(made) == {"sent": 40}
    assert Audience.objects.get().count == 40


def test_case_20_a_bell_for_nothing_costs_next_to_nothing(town: Town, bells: dict[str, Callable[[], object]]) -> None:
    del bells["judge_feedback"]  # it judges the latest mails each time, whether or not anything is new
    asked = {}
    for name, ring in bells.items():
        ring()
        with CaptureQueriesContext(connection) as context:
            ring()
        asked[name] = len(context)
    assert {name: number for name, number in asked.items() if number > 8} == {}


def test_case_20_what_is_not_committed_yet_is_done_at_the_next_ring(town: Town) -> None:
    organisation = Organisation.objects.get(key="acme")
    row = imports.upload(organisation=organisation, name="people.csv", chunks=[SHEET.encode()], by="emma")
    with psycopg.connect(town.url) as late:
        late.execute(NOTICE, [*TOLD, 3])
        late.execute("UPDATE engagement_shopperimport SET state = 'checking', mapping = '{\"0\": \"id\"}', consent = '{}' WHERE id = %s", [row.pk])
        assert (apply.apply(), imports.work()) == (0, 0)
        late.commit()
        assert apply.apply() == 3 and imports.work() > 0


# What a worker holds while it is at it, as its own room takes it; and what another one gets of it then.
HELD: Final[dict[str, tuple[str, Callable[[], object]]]] = {
    "notices": ("SELECT 1 FROM notifications_feedbacknotice FOR UPDATE", apply.apply),
    "messages": ("SELECT 1 FROM notifications_message FOR UPDATE", lambda: Sender(MemoryWire()).run(budget_s=0.2)),
    "imports": (f"SELECT pg_try_advisory_lock({imports.LOCK}, id::int) FROM engagement_shopperimport", imports.work),
}


@pytest.mark.parametrize("queue", HELD)
def test_what_a_worker_held_is_another_s_as_soon_as_its_session_ends(town: Town, queue: str) -> None:
    something_of_everything(Organisation.objects.get(key="acme"))
    if queue == "messages":
        planning.plan()
    statement, act = HELD[queue]
    with psycopg.connect(town.url) as worker:
        worker.execute(statement)
        assert not act()
        town.admin(f"SELECT pg_terminate_backend({worker.info.backend_pid}, 5000)")
        act()
        worker.close()
    done = {
        "notices": not FeedbackNotice.objects.filter(applied_at=None).exists(),
        "messages": Message.objects.filter(state="sent").count() == 40,
        "imports": ShopperImport.objects.get().state == ShopperImport.State.CHECKED,
    }
    assert done[queue]
