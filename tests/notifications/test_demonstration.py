"""The demonstration's marketing: made by the product itself, once, with a result that the report can show."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from analytics.models import Audience
from engagement import demonstration as mall
from engagement.models import Organisation, Profile, Purchase, Shopper, Zone
from notifications import demonstration, planning, reports
from notifications.delivery import sweep
from notifications.delivery.sending import Sender
from notifications.models import Campaign, Message, MessageEvent
from tests.analytics.rows import stay
from tests.notifications.wires import MemoryWire


@pytest.fixture
def galleria(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    """The mall with its people, and what they did: each third day somebody of every three comes to two stores."""
    settings.VAR = tmp_path
    monkeypatch.setattr(mall, "HISTORY_DAYS", 3)
    kept = mall.prepare()
    organisation = Organisation.objects.get(key=mall.ORGANISATION)
    Shopper.objects.bulk_create(Shopper(organisation=organisation, shard=0, external_id=f"crm-{number:05d}") for number in range(150))
    people = list(Shopper.objects.order_by("external_id"))
    root, *stores = [Zone.objects.get(organisation=organisation, key=key) for key in (mall.ROOT, "hartley-s", "brew-co")]
    noon = timezone.now() - timedelta(hours=3)
    for days in (14, 10, 7, 2):
        for who in people[days % 3 :: 3]:
            for zone, hour in zip((root, *stores), (0, 0.1, 1), strict=True):
                stay(who, zone, noon - timedelta(days=days) + timedelta(hours=hour), 1500)
    kept.sent = {str(kept.first_day + timedelta(days=number)): 9e9 for number in range(4)}
    mall.save(kept)
    return organisation


class Working(threading.Event):
    """Instead of waiting, does what the processes beside it would: plan, send, finish."""

    wire = MemoryWire()

    def wait(self, timeout: float | None = None) -> bool:
        planning.plan()
        Sender(self.wire).run()
        sweep.sweep(now=timezone.now())
        return False


def tell(organisation: Organisation) -> list[str]:
    said: list[Any] = []
    demonstration.run(stop=Working(), say=said.append)
    return said


@pytest.mark.django_db(transaction=True)
def test_it_is_made_by_the_pipeline_and_told_again_it_stays(galleria: Organisation) -> None:
    [said] = tell(galleria)
    assert "dated back 11 days" in said
    assert (Profile.objects.count(), Audience.objects.count()) == (150, 3)
    assert Profile.objects.exclude(email__endswith="@example.com").exclude(email="").count() == 0
    assert dict(Campaign.objects.values_list("key", "state")) == {demonstration.SENT: "finished", demonstration.DRAFT: "draft"}
    sent = Campaign.objects.get(key=demonstration.SENT)
    assert timedelta(days=10) < timezone.now() - sent.runs.get().due_at < timedelta(days=12)
    found = reports.report(sent)
    assert found["adds_up"] and found["left"] == len(Working.wire.mails) > 50
    assert found["counts"]["skipped"] > 0 and found["counts"]["held_out"] > 0
    assert found["outcome"]["complete"] and found["outcome"]["visits"]["messaged"]["did"] > 0
    bought = found["outcome"]["purchases"]
    assert bought["messaged"]["did"] > 0  # whether more than of those held out, chance decides where so few are told
    heard = found["engagement"]["total"]
    assert heard["opened"]["person"] > heard["clicked"]["person"] > 0 and heard["opened"]["machine"] > 0
    rows = [model.objects.count() for model in (Message, MessageEvent, Purchase, Profile)]
    tell(galleria)
    assert [model.objects.count() for model in (Message, MessageEvent, Purchase, Profile)] == rows
    assert reports.report(sent)["outcome"] == found["outcome"]


@pytest.mark.django_db
def test_nothing_is_sent_where_mail_goes_to_a_real_server(galleria: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration.settings, "MAIL_SERVER", type("Server", (), {"scheme": "smtp"}))
    [said, _] = tell(galleria)
    assert "sends none" in said
    assert set(Campaign.objects.values_list("state", flat=True)) == {"draft"}


@pytest.mark.django_db
def test_it_waits_for_the_history_and_can_be_stopped(settings: Settings, tmp_path: Path) -> None:
    settings.VAR = tmp_path
    assert not demonstration.history_is_in()
    kept = mall.prepare()
    kept.sent = {str(kept.first_day): 9e9}
    mall.save(kept)
    assert not demonstration.history_is_in()
    stopped = threading.Event()
    stopped.set()
    demonstration.run(stop=stopped, say=lambda _: None)
    assert not Audience.objects.exists()
