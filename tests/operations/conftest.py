"""Slack beside the tests, and an installation with nothing wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement import partitions
from engagement.models import Heartbeat
from operations import evaluation, telling
from operations.models import Post
from tests.operations import fake_slack
from tests.operations.fake_slack import FakeSlack


@pytest.fixture(autouse=True)
def no_slack(settings: Settings) -> None:
    """Whatever the environment of the tests says, they call nobody, and watch nothing beside the database."""
    settings.SLACK_WEBHOOK_URL = settings.SLACK_BOT_TOKEN = settings.SLACK_CHANNEL = settings.SLACK_API_URL = settings.ATRIUM_RUNBOOK_URL = ""
    settings.OPERATORS_EMAIL = []
    settings.BACKUP_URL, settings.CERTIFICATES = "", []
    telling._mail_not_before.clear()


@pytest.fixture
def slack(settings: Settings) -> Iterator[FakeSlack]:
    with fake_slack.running() as server:
        settings.SLACK_WEBHOOK_URL = server.address
        yield server


@pytest.fixture
def bot(settings: Settings) -> Iterator[FakeSlack]:
    """The same, told by a bot's token."""
    with fake_slack.running() as server:
        settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL = fake_slack.TOKEN, fake_slack.CHANNEL
        settings.SLACK_API_URL = server.base
        yield server


class Scheduler:
    """Evaluates every half minute of a clock that the test moves. It begins an hour ago, so that what happens now is later."""

    def __init__(self) -> None:
        self.now = timezone.now() - timedelta(hours=1)

    def evaluate(self) -> None:
        self.now += timedelta(seconds=30)
        evaluation.evaluate(self.now)
        telling.tell_waiting(self.now)

    def run(self, minutes: float) -> None:
        for _round in range(int(minutes * 2)):
            self.evaluate()


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def calm(db: None, settings: Settings) -> None:
    """Every process works, the next days have their partitions, and however much this machine's disk has is enough."""
    settings.DISK_RESERVE_MB = 1
    for process in ("web", "stream-0", "figures", "worker", "sender", "scheduler", "watch"):
        Heartbeat.objects.create(process=f"{process}@here", host="here", at=timezone.now())
    today = datetime.now(UTC).date()
    with connection.cursor() as cursor:
        partitions.ensure(cursor.connection, first=today, last=today + timedelta(days=4))


def told() -> list[tuple[str, str, str]]:
    """What operators were to be told, in order: alarm, what of it, how it went."""
    return list(Post.objects.filter(organisation=None).order_by("pk").values_list("incident__alarm", "kind", "delivery"))
