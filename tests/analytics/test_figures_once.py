"""`manage.py figures --once` ends when everything is made, and not while somebody else is at a venue; and both loops end when they are asked to."""

import os
import signal
import threading
from datetime import UTC, datetime

import pytest

from analytics import figures
from analytics.models import Mark, ZoneDay
from engagement import stopping
from engagement.models import Organisation, Zone
from tests.analytics.rows import shopper, stay

NOON = datetime(2026, 11, 10, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_what_somebody_else_is_at_is_waited_for_and_made(acme: Organisation) -> None:
    root = Zone.objects.get(organisation=acme, key="north")
    stay(shopper(acme, "crm-1"), root, NOON, 400)
    with figures.session() as worker, figures.session() as other:
        with other.transaction():
            other.execute("SELECT pg_advisory_xact_lock(%s, %s)", [figures.LOCK, root.pk])
            assert figures.catch_up(worker, now=NOW) == 0 and Mark.objects.exists()
            made: list[int] = []
            finishing = threading.Thread(target=lambda: made.append(figures.finish(worker, now=NOW, rest_s=0.01)))
            finishing.start()
            finishing.join(0.2)
            assert finishing.is_alive() and not made
        finishing.join(20)
    assert made and made[0] > 0
    assert not Mark.objects.exists() and ZoneDay.objects.get(zone=root, open=True).visits == 1


def test_a_loop_hears_that_it_shall_end() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            asked = stopping.asked()
            assert not asked()
            os.kill(os.getpid(), number)
            assert asked()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
