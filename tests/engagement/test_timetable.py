"""The timetable and its broker: a message is a doorbell, so a lost or doubled one changes nothing."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from engagement import celery
from engagement.models import Heartbeat

ROOT: Final = Path(__file__).resolve().parents[2]
RING: Final = "import django; django.setup(); from engagement.tasks import beat; [beat.delay('somebody') for _ in range(3)]"


def test_every_task_of_the_timetable_exists() -> None:
    celery.app.loader.import_default_modules()
    assert {entry["task"] for entry in celery.TIMETABLE.values()} <= set(celery.app.tasks)


def test_no_message_outlives_the_next_one() -> None:
    for entry in celery.TIMETABLE.values():
        assert entry["options"]["expires"] <= 12 * 3600


def test_the_broker_is_the_database_unless_another_is_named(settings: object) -> None:
    found = celery.transport()
    assert found["broker_url"].startswith("pgmq://")
    assert "conn_string" in found["broker_transport_options"]
    settings.BROKER_URL = "sqs://"
    assert celery.transport()["broker_url"] == "sqs://"


@pytest.mark.django_db(transaction=True)
def test_a_message_passes_through_the_database_to_a_real_worker(environment: dict[str, str]) -> None:
    own = {**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-q", "-A", "engagement", "worker", "-P", "solo", "--without-gossip", "--without-mingle"], cwd=ROOT, env=own
    )
    try:
        subprocess.run([sys.executable, "-c", RING], cwd=ROOT, env=own, check=True)
        deadline = time.monotonic() + 30
        while not Heartbeat.objects.filter(process__startswith="somebody@").exists():
            assert time.monotonic() < deadline, "The worker did not do what the message asked for."
            time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait(20)
