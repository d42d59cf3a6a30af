"""Case 36, of figures: what is stored of the days is compared with what their stays say, and every harm done to it is found."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from analytics import figures
from analytics.calendars import to_us
from analytics.models import Mark, ZoneDay
from analytics.models import Stay as StoredStay
from analytics.recount import Report, _compare_figures
from engagement.database import connect
from engagement.models import Organisation, PlacesChange, Venue, Zone
from tests.analytics.rows import shopper, stay

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HARMS = (
    "UPDATE analytics_zoneday SET members = ''",
    "UPDATE analytics_zoneday SET visits = visits + 1",
    "UPDATE analytics_zoneday SET dwell_us = dwell_us - 1",
    "UPDATE analytics_zoneday SET reach = reach + interval '1 microsecond'",
    "UPDATE analytics_zoneday SET digest = digest + 1",
    "UPDATE analytics_zoneday SET flows = '\\x0000010203'",
    "DELETE FROM analytics_zoneday",
    "UPDATE analytics_zoneday SET day = day - 1",
)


@pytest.fixture
def acme_with_figures(acme: Organisation, north: Venue) -> Organisation:
    """Two of Acme's shoppers on two days, in the mall and in two of its stores; everything is made."""
    zones = {zone.key: zone for zone in Zone.objects.filter(venue=north)}
    for number, name in enumerate(("ann", "ben")):
        for key, hours in (("north", 0), ("north-brew", 0), ("north-page", 1)):
            stay(shopper(acme, name), zones[key], NOON + timedelta(days=number, hours=hours), 7200)
    with figures.session() as session:
        figures.catch_up(session)
    return acme


def found(organisation: Organisation) -> Report:
    report = Report()
    with connect(application_name="test") as session:
        _compare_figures(session, organisation.pk, report, now=to_us(datetime.now(UTC)))
    return report


def harm(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_sound_figures_have_no_difference(acme_with_figures: Organisation, rival: Organisation) -> None:
    report = found(acme_with_figures)
    assert (report.zone_days, report.differences) == (6, 0), report.examples
    assert found(rival).zone_days == 0


@pytest.mark.parametrize("statement", HARMS)
def test_every_harm_is_found_and_told_by_zone_and_day(acme_with_figures: Organisation, rival: Organisation, statement: str) -> None:
    north = Zone.objects.get(organisation=acme_with_figures, key="north")
    harm(f"{statement} WHERE zone_id = {north.pk} AND day = '2026-11-02'")
    report = found(acme_with_figures)
    assert report.differences == (2 if "SET day" in statement else 1)
    assert any(f"zone {north.pk} on 2026-11-02 are not" in example for example in report.examples)
    assert found(rival).differences == 0


def test_stays_that_changed_without_a_mark_are_found(acme_with_figures: Organisation) -> None:
    harm(f"UPDATE analytics_stay SET ended = ended + interval '1 second' WHERE id = {StoredStay.objects.earliest('id').pk}")
    assert found(acme_with_figures).differences == 1


def test_what_is_to_be_made_again_is_left_for_another_time(acme_with_figures: Organisation) -> None:
    north = Zone.objects.get(organisation=acme_with_figures, key="north")
    harm("UPDATE analytics_zoneday SET visits = 0")
    Mark.objects.create(zone_id=north.pk, hour=int(NOON.timestamp()) // 3600)
    assert found(acme_with_figures).differences == 5
    ZoneDay.objects.update(due_at=NOON + timedelta(days=999))
    assert found(acme_with_figures).differences == 0
    ZoneDay.objects.update(due_at=None)
    PlacesChange.objects.create(organisation=acme_with_figures, reason="a test")
    assert found(acme_with_figures).differences == 4
    Venue.objects.update(opening_hours={})
    assert found(acme_with_figures).differences == 0
