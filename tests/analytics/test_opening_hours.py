"""Opening hours in the figures: what is changed for a venue changes its past, and no other venue's, and the figures say so."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import pytest

from analytics import figures
from analytics.models import ZoneDay
from analytics.reports.footfall import report
from analytics.reports.reading import Hours, Question, Range, Subject, reading
from engagement import provisioning
from engagement.models import Organisation, Venue, Zone
from tests.analytics.rows import local, shopper, stay, venue

pytestmark = pytest.mark.django_db(transaction=True)
ZONE: Final = "Africa/Johannesburg"
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
DAYTIME: Final = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
MONDAY: Final = local(ZONE, 2026, 10, 5)
Session = psycopg.Connection[Any]


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Session]:
    with figures.session() as made:
        yield made


@pytest.fixture
def root(acme: Organisation) -> Zone:
    """Of North Mall, with a stay at 10:00 and at 20:59 on Monday, at 21:00 on Monday, and at 02:00 on Tuesday."""
    found = Zone.objects.select_related("venue", "organisation").get(organisation=acme, key="north")
    for minute in (10 * 60, 20 * 60 + 59, 21 * 60, 26 * 60):
        stay(shopper(acme, f"at {minute}"), found, MONDAY + timedelta(minutes=minute), 1800)
    return found


def say(hours: Any, venue: str = "north") -> None:
    provisioning.provision({"organisation": {"key": "acme"}, "venues": [{"key": venue, "opening_hours": hours}]})


def visits(zone: Zone, hours: Hours) -> tuple[int, bool]:
    """Of two days; and whether they say that they were restated."""
    subject = Subject("zone", zone.key, zone.name, (zone.pk,))
    with reading(zone.organisation, [subject], now=NOW) as read:
        [answer] = report(read, [subject], Question(Range(MONDAY, MONDAY + timedelta(days=2)), "day", hours))
        return answer["total"]["visits"], read.restated_at > 0


def parts(zone: Zone) -> list[int]:
    return [visits(zone, hours)[0] for hours in ("all", "open", "closed")]


def test_hours_that_change_divide_the_past_anew_and_the_figures_say_so(root: Zone, worker: Session) -> None:
    figures.catch_up(worker, now=NOW)
    assert parts(root) == [4, 4, 0] and not visits(root, "open")[1]
    say(DAYTIME)
    figures.catch_up(worker, now=NOW)
    assert parts(root) == [4, 2, 2] and visits(root, "open")[1] and visits(root, "closed")[1]
    say({**DAYTIME, "mon": [["20:00", "03:00"]]})  # Monday's night reaches into Tuesday
    figures.catch_up(worker, now=NOW)
    assert parts(root) == [4, 3, 1]
    say({**DAYTIME, "exceptions": {"2026-10-05": []}})
    figures.catch_up(worker, now=NOW)
    assert parts(root) == [4, 0, 4]
    say(None)
    figures.catch_up(worker, now=NOW)
    assert parts(root) == [4, 4, 0]


def test_what_is_stored_is_what_the_stays_say(root: Zone, worker: Session) -> None:
    say(DAYTIME)
    live = parts(root)
    figures.catch_up(worker, now=NOW)
    assert live == parts(root) == [4, 2, 2]


def test_other_venues_and_hours_that_stay_as_they_were_are_left_alone(acme: Organisation, root: Zone, worker: Session) -> None:
    south = venue(acme, "south", ZONE)
    stay(shopper(acme, "ann"), south, MONDAY + timedelta(hours=22), 1800)
    figures.catch_up(worker, now=NOW)
    made = dict(ZoneDay.objects.filter(zone=south).values_list("pk", "built_at"))
    say(DAYTIME)
    figures.catch_up(worker, now=NOW + timedelta(hours=1))
    assert dict(ZoneDay.objects.filter(zone=south).values_list("pk", "built_at")) == made
    assert parts(south) == [1, 1, 0] and not visits(south, "all")[1]
    say({**DAYTIME, "mon": DAYTIME["mon"][::-1]})
    assert figures.recalendar(worker) == 0


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/London"])
def test_from_the_change_until_the_past_is_made_again_it_is_read_from_the_stays(root: Zone, worker: Session, zone: str) -> None:
    figures.catch_up(worker, now=NOW)
    say(DAYTIME)
    assert parts(root) == [4, 2, 2]  # nothing has been made again yet
    provisioning.provision({"organisation": {"key": "acme"}, "venues": [{"key": "north", "time_zone": zone}]})
    root.refresh_from_db()
    meanwhile = [days(root, whole) for whole in (True, False)]
    assert meanwhile[0]
    figures.catch_up(worker, now=NOW)
    assert [days(root, whole) for whole in (True, False)] == meanwhile
    assert figures.recalendar(worker) == 0


def days(zone: Zone, whole: bool) -> list[tuple[str, int]]:
    """Visits by the venue's own days: over weeks, or over one day that stays lie on by one clock and not by the other."""
    own = ZoneInfo(Venue.objects.get(pk=zone.venue_id).time_zone)
    start = datetime(2026, 9, 25, tzinfo=own) if whole else datetime(2026, 10, 6, tzinfo=own)
    end = datetime(2026, 10, 25, tzinfo=own) if whole else datetime(2026, 10, 7, tzinfo=own)
    subject = Subject("zone", zone.key, zone.name, (zone.pk,))
    with reading(zone.organisation, [subject], now=NOW) as read:
        [answer] = report(read, [subject], Question(Range(start, end), "day", "open"))
        return [(str(row["period"]), row["visits"]) for row in answer["rows"] if row["visits"]]
