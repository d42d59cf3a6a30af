"""Reports as the tests ask for them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from analytics import days, figures
from analytics.periods import Grain
from analytics.reports.catalogue import REPORTS
from analytics.reports.reading import Hours, Question, Range, Subject, reading
from engagement.models import Brand, Organisation, Zone

Edge = date | datetime
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)  # after all that the tests tell of, unless they say otherwise


def place(zone: Zone) -> Subject:
    return Subject("zone", zone.key, zone.name, (zone.pk,))


def brand(organisation: Organisation, key: str) -> Subject:
    found = Brand.objects.get(organisation=organisation, key=key)
    return Subject("brand", key, found.name, tuple(found.zone_set.order_by("pk").values_list("pk", flat=True)))


def ask(
    name: str,
    organisation: Organisation,
    subjects: Sequence[Zone | Subject],
    start: Edge,
    end: Edge,
    *,
    grain: Grain = "day",
    hours: Hours = "all",
    now: datetime = NOW,
) -> list[dict[str, Any]]:
    """The answers for the subjects: from the stays, and the same again from stored days."""
    question = Question(Range(start, end), grain, hours)
    listed = [subject if isinstance(subject, Subject) else place(subject) for subject in subjects]

    def answer() -> list[dict[str, Any]]:
        with reading(organisation, listed, now=now) as found:
            return REPORTS[name].function(found, listed, question)

    live = answer()
    make_days(now)
    days.forget()
    assert answer() == live
    return live


def make_days(now: datetime) -> None:
    """As the worker would have, in the test's own transaction."""
    connection.ensure_connection()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection.connection, "cursor_factory", psycopg.Cursor)  # the worker's cursors have binary results, Django's have not
        figures.catch_up(connection.connection, now=now)
