"""The list of a zone's stored days is kept in memory, and never out of date."""

from datetime import date
from typing import Any

import pytest
from django.db import connection, transaction

from analytics import contents
from analytics.days import plain
from analytics.models import ZoneDay
from engagement.models import Organisation, Zone

DAY = date(2026, 11, 1)
NUMBER = DAY.toordinal() - date(1970, 1, 1).toordinal()


@pytest.fixture
def zone(acme: Organisation) -> Zone:
    contents.forget()
    return Zone.objects.get(organisation=acme, key="north-brew")


def stored(zone: Zone, visits: int, *, day: date = DAY) -> ZoneDay:
    return ZoneDay.objects.create(zone=zone, day=day, open=True, visits=visits)


def listed(*zones: Zone) -> list[int]:
    """Visits of the stored days, from the beginning to the end."""
    keys = sorted(zone.pk for zone in zones)
    found = contents.read(plain(connection), keys, [contents.FIRST] * len(keys), [contents.LAST] * len(keys))
    return [int(visits) for visits in found["visits"]]


def test_every_way_of_changing_a_day_is_seen_at_once(zone: Zone) -> None:
    assert listed(zone) == []
    row = stored(zone, 1)
    assert listed(zone) == [1]
    ZoneDay.objects.filter(zone=zone).update(visits=2)
    assert listed(zone) == [2]
    row.delete()
    assert listed(zone) == []
    stored(zone, 3)
    assert listed(zone) == [3]


@pytest.mark.django_db(transaction=True)
def test_an_emptied_table_is_seen_and_begins_again(zone: Zone) -> None:
    stored(zone, 1)
    assert listed(zone) == [1]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE analytics_zoneday")
    assert listed(zone) == []
    stored(zone, 2)
    assert listed(zone) == [2]


def test_what_was_read_of_a_transaction_that_failed_is_not_believed(zone: Zone) -> None:
    stored(zone, 1)
    with transaction.atomic():
        ZoneDay.objects.filter(zone=zone).update(visits=2)
        assert listed(zone) == [2]
        transaction.set_rollback(True)
    assert listed(zone) == [1]


def test_only_the_list_that_changed_is_read_again(zone: Zone, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Zone.objects.get(organisation=zone.organisation, key="north-page")
    stored(zone, 1)
    stored(other, 2)
    assert listed(zone, other) == [1, 2]
    asked: list[list[int]] = []
    kept = contents._fetch
    monkeypatch.setattr(contents, "_fetch", lambda cursor, where, zones, revisions: asked.append(zones) or kept(cursor, where, zones, revisions))
    assert listed(zone, other) == [1, 2]
    ZoneDay.objects.filter(zone=other).update(visits=5)
    assert listed(zone, other) == [1, 5]
    assert asked == [[other.pk]]


def test_a_list_is_cut_to_the_days_that_are_asked_for(zone: Zone) -> None:
    for number in range(1, 6):
        stored(zone, number, day=date(2026, 11, number))
    found = contents.read(plain(connection), [zone.pk], [NUMBER + 1], [NUMBER + 3])
    assert found["visits"].tolist() == [2, 3, 4]
    assert found["day"].tolist() == [NUMBER + 1, NUMBER + 2, NUMBER + 3]


def test_no_more_is_kept_than_there_is_room_for(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Zone.objects.get(organisation=zone.organisation, key="north-page")
    stored(zone, 1)
    stored(other, 2)
    monkeypatch.setattr(contents, "KEPT_BYTES", 1)
    assert listed(zone, other) == [1, 2]
    assert len(contents._kept) == 1
    assert listed(zone, other) == [1, 2]
