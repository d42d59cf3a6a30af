"""What the application and its infrastructure say of the same things is the same: read from both sides."""

import re
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.urls import resolve

from deploy import names
from engagement import asgi, celery, health
from engagement.door.app import EVENTS
from notifications.delivery import sending
from tests.engagement.test_documentation import read_in_code
from tests.servers import ROOT

UNITS: Final = ROOT / "deploy" / "instance" / "units"


def test_queues_are_those_that_tasks_go_to_and_hide_a_message_for_long_enough() -> None:
    assert {queue.name for queue in names.QUEUES} == set(celery.QUEUES)
    routed = {route["queue"] for route in celery.app.conf.task_routes.values()} | {celery.app.conf.task_default_queue}
    named = {entry["options"].get("queue", celery.app.conf.task_default_queue) for entry in celery.TIMETABLE.values()}
    assert routed | named == set(celery.QUEUES)
    assert not celery.app.conf.task_acks_late  # confirmed when taken, so a message is hidden for moments, and no task is given out twice
    assert all(queue.visible_again_s >= celery.VISIBILITY_S > sending.BUDGET_S for queue in names.QUEUES)


def test_nobody_schedules_what_a_queue_would_give_out_twice() -> None:
    """A task that is asked for later is held by a worker, and given out again when its message comes back: so none is asked for later than that."""
    for entry in celery.TIMETABLE.values():
        assert not {"eta", "countdown"} & set(entry["options"])


def test_addresses_are_those_that_are_answered() -> None:
    assert {names.LIVE, names.READY} == set(health.ADDRESSES)
    assert resolve(names.LIVE).func == health.live and resolve(names.READY).func == health.ready
    assert EVENTS.startswith(names.DOOR.removesuffix("*")) and {names.FEEDBACK} == set(asgi.BESIDE_THE_DOOR)
    assert f"{settings.STATIC_URL}*" == names.STATIC


def test_what_the_machines_are_told_are_settings_that_are_read() -> None:
    told = {*names.MACHINE_SETTINGS, *names.PARAMETERS, *names.READER_PARAMETERS, *names.SECRETS}
    assert not told - read_in_code()
    environment = (ROOT / "deploy" / "instance" / "boot.sh").read_text().split('environment" <<END')[1].split("\nEND")[0]
    assert set(re.findall(r"^([A-Z_]+)=", environment, re.MULTILINE)) - {"PYTHONUNBUFFERED"} == set(names.MACHINE_SETTINGS)


def test_the_launch_tells_the_boot_what_it_asks_for() -> None:
    boot = (ROOT / "deploy" / "instance" / "boot.sh").read_text()
    for name in names.BOOT_SETTINGS:
        assert f"${{{name}:" in boot or f"${name}" in boot
    asked = set(re.findall(r'"\$\{(ATRIUM_[A-Z]+|AWS_REGION):\?\}"', boot))
    assert asked and asked <= set(names.BOOT_SETTINGS)
    assert names.of(names.PARAMETERS_PATH, "$ATRIUM_ENVIRONMENT") in boot and names.of(names.SECRET, "$ATRIUM_ENVIRONMENT") in boot


def test_a_machine_may_finish_its_work_before_it_ends() -> None:
    """Units are stopped side by side, so the slowest says how long it takes."""
    longest = max(int(found) for path in UNITS.iterdir() for found in re.findall(r"^TimeoutStopSec=(\d+)$", path.read_text(), re.MULTILINE))
    assert timedelta(seconds=longest) < timedelta(seconds=names.DRAIN_S)
    assert longest > sending.BUDGET_S


def test_every_alarm_has_its_heading_in_the_runbook_of_deployment() -> None:
    headings = set(re.findall(r"^#+ `?([a-z-]+)`?$", (ROOT / "deploy" / "README.md").read_text(), re.MULTILINE))
    assert set(names.ALARMS) <= headings, set(names.ALARMS) - headings
