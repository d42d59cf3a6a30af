"""Figures, exactly as the definitions say, and the same again from a plain reading of them."""

import random
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist
from pytest_django import Settings

from analytics import reports
from analytics.models import Stay
from analytics.periods import GRAINS, Grain, Period, split
from analytics.reports import Figures, Footfall
from engagement.models import Inbox, Organisation, Outcome, Venue, Zone
from tests.analytics.rows import local, shopper, stay, venue

DAY = timedelta(days=1)
START = datetime(2026, 10, 1, tzinfo=UTC)
GRAIN_ROWS: dict[Grain, int] = {"hour": 24 * 60, "day": 60, "month": 2}  # of October and the first 29 days of November


def footfall(zone: Zone, start: datetime, end: datetime, grain: Grain = "day", now: datetime | None = None) -> Footfall:
    return reports.footfall(organisation=zone.organisation, zone=zone, start=start, end=end, grain=grain, now=now)


@pytest.fixture
def root(north: Venue) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(venue=north, kind="venue")


def visits(found: Footfall) -> dict[str, int]:
    return {label: figures.visits for label, figures in found.rows}


def test_a_visitor_of_two_days_is_one_visitor_of_both(acme: Organisation, root: Zone) -> None:
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    for who, day in ((ann, 0), (ann, 0), (ann, 1), (ben, 1)):
        stay(who, root, START + day * DAY + timedelta(hours=10 + Stay.objects.count()))
    found = footfall(root, START, START + 2 * DAY)
    assert [(figures.visits, figures.visitors) for _, figures in found.rows] == [(2, 1), (2, 2), (0, 0)]
    assert (found.total.visits, found.total.visitors) == (4, 2)


def test_new_is_who_was_never_counted_here_before(acme: Organisation, root: Zone) -> None:
    ann, ben, cat = (shopper(acme, name) for name in ("ann", "ben", "cat"))
    brew = Zone.objects.select_related("venue").get(organisation=acme, key="north-brew")
    stay(ann, root, START - 30 * DAY)  # was here long ago
    stay(ben, brew, START - 30 * DAY)  # was in another zone
    stay(cat, root, START - 30 * DAY, 5, counted=False)  # only passed by
    for who in (ann, ben, cat):
        stay(who, root, START + timedelta(hours=8))
        stay(who, root, START + DAY + timedelta(hours=8))
    found = footfall(root, START, START + 2 * DAY - timedelta(hours=2))
    assert [(figures.new, figures.returning) for _, figures in found.rows] == [(2, 1), (0, 3)]
    assert (found.total.new, found.total.returning) == (2, 1)


def test_a_pass_by_makes_nobody_a_visitor(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, START + timedelta(hours=1), 12, counted=False)
    found = footfall(root, START, START + timedelta(hours=20))
    assert found.total == Figures(pass_bys=1) == found.rows[0][1]


def test_dwell_is_of_closed_counted_stays_alone(acme: Organisation, root: Zone) -> None:
    for number, seconds in enumerate((300, 301, 600.5, 3600)):
        stay(shopper(acme, f"s{number}"), root, START, seconds)
    stay(shopper(acme, "short"), root, START, 10, counted=False)
    still_here = stay(shopper(acme, "open"), root, START, 7200)
    total = footfall(root, START, START + DAY, now=still_here.closes_at).total
    assert (total.visits, total.dwell_median_s, total.dwell_p90_s, total.dwell_mean_s) == (5, 450.75, 2700.15, 1200.375)
    total = footfall(root, START, START + DAY, now=still_here.closes_at + timedelta(microseconds=1)).total
    assert (total.dwell_median_s, total.dwell_mean_s) == (600.5, 2400.3)


def test_where_nobody_came_there_is_no_dwell_but_a_row(root: Zone) -> None:
    found = footfall(root, local("Africa/Johannesburg", 2026, 10, 1), local("Africa/Johannesburg", 2026, 10, 4))
    assert found == Footfall([("2026-10-01", Figures()), ("2026-10-02", Figures()), ("2026-10-03", Figures())], Figures())
    assert footfall(root, START, START) == Footfall([], Figures())


def test_a_stay_over_midnight_belongs_to_the_day_of_its_start(acme: Organisation, root: Zone) -> None:
    stay(shopper(acme, "ann"), root, local("Africa/Johannesburg", 2026, 10, 1, 23, 50), 1800)
    stay(shopper(acme, "ben"), root, local("Africa/Johannesburg", 2026, 10, 2), 1800)
    found = footfall(root, local("Africa/Johannesburg", 2026, 10, 1), local("Africa/Johannesburg", 2026, 10, 3))
    assert visits(found) == {"2026-10-01": 1, "2026-10-02": 1}


@pytest.mark.parametrize(
    ("time_zone", "day", "moments"),
    [
        ("America/New_York", (2026, 11, 1), [((0, 0), 0), ((1, 30), 0), ((1, 30), 1), ((23, 59), 0)]),
        ("America/New_York", (2026, 3, 8), [((0, 0), 0), ((1, 59), 0), ((3, 0), 0), ((23, 59), 0)]),
        ("Australia/Lord_Howe", (2026, 4, 5), [((0, 0), 0), ((1, 45), 0), ((1, 45), 1), ((23, 59), 0)]),
        ("Europe/London", (2028, 2, 29), [((0, 0), 0), ((12, 0), 0), ((23, 59), 0)]),
    ],
)
def test_an_odd_day_holds_its_own_stays_and_no_others(acme: Organisation, time_zone: str, day: tuple[int, int, int], moments: list[Any]) -> None:
    zone = venue(acme, "elsewhere", time_zone)
    begin = local(time_zone, *day)
    following = (datetime(*day, tzinfo=UTC) + DAY).date()
    end = local(time_zone, following.year, following.month, following.day)
    for number, (clock, fold) in enumerate(moments):
        stay(shopper(acme, f"s{number}"), zone, local(time_zone, *day, *clock, fold=fold))
    stay(shopper(acme, "before"), zone, begin - timedelta(microseconds=1))
    stay(shopper(acme, "after"), zone, end)
    label = f"{day[0]}-{day[1]:02}-{day[2]:02}"
    assert visits(footfall(zone, begin - 3 * DAY, end + 3 * DAY))[label] == len(moments)
    hours = footfall(zone, begin, end, "hour")
    assert sum(visits(hours).values()) == hours.total.visits == len(moments)
    assert max(visits(hours).values()) == 1


def test_the_rivals_stays_in_the_same_minute_are_not_ours(acme: Organisation, rival: Organisation, root: Zone) -> None:
    stay(shopper(rival, "cy"), Zone.objects.get(organisation=rival, key="arcade"), START)
    stay(shopper(rival, "cy"), root, START + timedelta(hours=1))  # a row that never should be
    assert footfall(root, START, START + DAY).total == Figures()


def plainly(stays: list[Stay], zone: Zone, period: Period, now: datetime) -> Figures:
    """The definitions, word by word."""
    here = [stay for stay in stays if stay.zone_id == zone.pk]
    counted = [stay for stay in here if stay.counted]
    inside = [stay for stay in here if period.start <= stay.started < period.end]
    visitors = {stay.shopper_id for stay in inside if stay.counted}
    new = {who for who in visitors if min(stay.started for stay in counted if stay.shopper_id == who) >= period.start}
    dwells = sorted((stay.ended - stay.started).total_seconds() for stay in inside if stay.counted and now > stay.closes_at)
    return Figures(
        visits=sum(stay.counted for stay in inside),
        visitors=len(visitors),
        new=len(new),
        returning=len(visitors - new),
        pass_bys=sum(not stay.counted for stay in inside),
        dwell_median_s=quantile(dwells, 0.5),
        dwell_p90_s=quantile(dwells, 0.9),
        dwell_mean_s=mean(dwells) if dwells else None,
    )


def quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@pytest.mark.parametrize("seed", range(3))
def test_all_figures_equal_a_plain_reading_of_the_definitions(acme: Organisation, root: Zone, seed: int) -> None:
    dice = random.Random(seed)
    brew = Zone.objects.select_related("venue").get(organisation=acme, key="north-brew")
    people = [shopper(acme, f"s{number}") for number in range(12)]
    made = [
        stay(
            dice.choice(people),
            dice.choice([root, brew]),
            START + timedelta(seconds=dice.randrange(40 * 86_400)),
            dice.randrange(9_000),
            counted=dice.random() < 0.7,
        )
        for _ in range(200)
    ]
    now = START + 35 * DAY
    for grain in GRAINS:
        start, end = START + timedelta(seconds=dice.randrange(10 * 86_400)), START + timedelta(seconds=dice.randrange(20, 40) * 86_400)
        found = footfall(root, start, end, grain, now=now)
        periods = split(start, end, grain, ZoneInfo("Africa/Johannesburg"))
        wanted = [(period.label, plainly(made, root, period, now)) for period in periods]
        assert [(label, rounded(figures)) for label, figures in found.rows] == [(label, rounded(figures)) for label, figures in wanted]
        assert rounded(found.total) == rounded(plainly(made, root, Period("", start, end), now))


def rounded(figures: Figures) -> list[float | None]:
    values = (figures.visits, figures.visitors, figures.new, figures.returning, figures.pass_bys)
    dwells = (figures.dwell_median_s, figures.dwell_p90_s, figures.dwell_mean_s)
    return [*values, *(None if value is None else round(value, 3) for value in dwells)]


def test_the_number_of_queries_does_not_grow_with_the_rows(acme: Organisation, root: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    stay(shopper(acme, "ann"), root, START)
    start, end = local("Africa/Johannesburg", 2026, 10, 1), local("Africa/Johannesburg", 2026, 11, 30)
    asked: list[object] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    counts = set()
    for grain, rows in GRAIN_ROWS.items():
        asked.clear()
        assert len(footfall(root, start, end, grain).rows) == rows
        counts.add(len(asked))
    assert len(counts) == 1 and counts.pop() <= 10  # places, then marks, days and live stays: of the range, and of what lay before


def test_occupancy_is_who_is_here_now(acme: Organisation, root: Zone, north: Venue) -> None:
    now = timezone.now()
    brew = Zone.objects.get(organisation=acme, key="north-brew")
    here, gone, passing = shopper(acme, "here"), shopper(acme, "gone"), shopper(acme, "passing")
    stay(here, root, now - timedelta(minutes=30), 1500)
    stay(here, brew, now - timedelta(minutes=20), 600, grace=120)
    stay(gone, root, now - timedelta(hours=2), 600)
    stay(gone, brew, now - timedelta(minutes=10), 300, cut=True)
    stay(passing, root, now - timedelta(seconds=5), 2, counted=False)
    stay(passing, brew, now + timedelta(minutes=2), 0, counted=False)
    with CaptureQueriesContext(connection) as queries:
        assert reports.occupancy_now(north, now=now) == {root.pk: 2}
    assert len(queries) == 1


def test_occupancy_reads_people_about_and_not_history(north: Venue) -> None:
    with connection.cursor() as cursor:
        # An empty table says nothing of what is cheap in a full one.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_mergejoin = off")
        cursor.execute("EXPLAIN " + reports.OCCUPANCY, {"venue": north.pk, "now": timezone.now()})
        assert "stay_not_closed" in "\n".join(line for (line,) in cursor.fetchall())


def test_what_the_door_refused_is_not_processed(acme: Organisation, rival: Organisation) -> None:
    for organisation, hour, outcome, events in (
        (acme, 0, "accepted", 5),
        (acme, 3, "accepted", 7),
        (acme, 3, "duplicate", 2),
        (acme, 3, "unmatched", 1),
        (acme, 3, "too_old", 4),
    ):
        Outcome.objects.create(organisation=organisation, hour=START + timedelta(hours=hour), shard=hour, outcome=outcome, events=events)
    assert reports.outcomes(acme) == {"accepted": 12, "duplicate": 2, "unmatched": 1, "too_old": 4}
    assert reports.outcomes(acme, START + timedelta(hours=3, minutes=59))["accepted"] == 7
    assert reports.processed(acme) == 15
    assert reports.processed(rival) == 0


def test_the_inbox_tells_how_much_waits_and_how_long(acme: Organisation, rival: Organisation) -> None:
    assert reports.inbox(acme) == reports.Backlog(0, 0, 0)
    for age, events in ((90, 3), (5, 4)):
        Inbox.objects.create(organisation=acme, shard=1, received_at=timezone.now() - timedelta(seconds=age), events=events, payload=b"")
    found = reports.inbox(acme)
    assert (found.requests, found.events) == (2, 7)
    assert 90 <= found.oldest_s < 120
    assert reports.inbox(rival) == reports.Backlog(0, 0, 0)


def test_reports_read_the_replica_where_there_is_one(acme: Organisation, settings: Settings) -> None:
    settings.REPORTS_DATABASE = "replica"
    with pytest.raises(ConnectionDoesNotExist):
        reports.inbox(acme)
