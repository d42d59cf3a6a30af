"""Coverage: the share of a range's hours in which somebody was seen."""

from datetime import date

import pytest

from analytics.reports.coverage import coverage
from analytics.reports.reading import Hours, Question, Range, reading
from engagement.models import Organisation, Venue, Zone
from tests.analytics import asking
from tests.analytics.asking import Edge, place
from tests.analytics.rows import local, shopper, stay, venue

HERE, NEW_YORK = "Africa/Johannesburg", "America/New_York"
HOUR = 3600


@pytest.fixture
def root(north: Venue) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(venue=north, kind="venue")


def covered(
    organisation: Organisation, zone: Zone, start: Edge = date(2026, 10, 1), end: Edge = date(2026, 10, 2), hours: Hours = "all", now: Edge = asking.NOW
) -> float | None:
    def answer() -> float | None:
        with reading(organisation, [place(zone)], now=now) as found:
            [share] = coverage(found, [place(zone)], Question(Range(start, end), hours=hours))
            return share

    live = answer()
    asking.make_days(now)
    assert answer() == live
    return live


def test_every_hour_that_a_stay_touches_is_seen_however_short_it_is(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 9, 50), 2 * HOUR)  # 9, 10 and 11 o'clock
    stay(shopper(acme, "ben"), root, local(HERE, 2026, 10, 1, 14), 0, counted=False)
    assert covered(acme, root) == round(4 / 24, 6)


def test_the_venue_is_asked_and_not_the_zone(acme: Organisation, root: Zone) -> None:
    brew = Zone.objects.get(organisation=acme, key="north-brew")
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 9), HOUR - 1)
    assert covered(acme, brew) == round(1 / 24, 6)


def test_who_stays_overnight_is_seen_on_the_day_after(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 9, 29, 12), 42 * HOUR)  # until six o'clock of the first
    assert covered(acme, root) == round(7 / 24, 6)
    root.versions.update(min_stay_s=100 * HOUR)  # ... also where it is a pass-by
    stay(shopper(acme, "ben"), root, local(HERE, 2026, 9, 28, 12), 68 * HOUR, counted=False)  # until eight o'clock
    assert covered(acme, root) == round(9 / 24, 6)


def test_hours_that_are_not_over_are_not_missed(acme: Organisation, root: Zone) -> None:
    assert covered(acme, root, now=local(HERE, 2026, 10, 1, 0, 59)) is None
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 0, 10))
    assert covered(acme, root, now=local(HERE, 2026, 10, 1, 4, 59)) == 0.25
    assert covered(acme, root, start=date(2026, 11, 1), end=date(2026, 11, 3), now=local(HERE, 2026, 10, 1, 4)) is None


def test_a_range_may_begin_and_end_within_an_hour(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 9, 10), 60, counted=False)
    assert covered(acme, root, local(HERE, 2026, 10, 1, 8, 30), local(HERE, 2026, 10, 1, 10, 30)) == round(1 / 3, 6)


def test_where_there_are_opening_hours_only_they_are_asked_for(acme: Organisation, root: Zone, north: Venue) -> None:
    stay(shopper(acme, "ann"), root, local(HERE, 2026, 10, 1, 9, 40), HOUR / 2)  # 9 and 10 o'clock
    stay(shopper(acme, "cleaner"), root, local(HERE, 2026, 10, 1, 20), 60)
    assert (covered(acme, root), covered(acme, root, hours="open"), covered(acme, root, hours="closed")) == (0.125, 0.125, None)
    north.opening_hours = {"thu": [["09:30", "09:45"], ["10:10", "12:00"]], "wed": [["20:00", "02:00"]]}
    north.save()  # open at some time of 0, 1, 9, 10 and 11 o'clock
    assert covered(acme, root) == covered(acme, root, hours="open") == 0.4
    assert covered(acme, root, hours="closed") == round(1 / 19, 6)


@pytest.mark.parametrize(("month", "day", "hours"), [(11, 1, 25), (3, 8, 23)])
def test_the_days_of_23_and_25_hours_have_so_many(acme: Organisation, month: int, day: int, hours: int) -> None:
    zone = venue(acme, "broadway", NEW_YORK)
    stay(shopper(acme, "ann"), zone, local(NEW_YORK, 2026, month, day), 300)
    assert covered(acme, zone, date(2026, month, day), date(2026, month, day + 1)) == round(1 / hours, 6)
