"""Staff and residents: who is suggested and who is not, and that a decision tells history anew."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from analytics import days, figures, marks, premises, regulars, reports
from analytics.calendars import to_day
from analytics.models import Mark, Regular, Stay, ZoneDay
from analytics.reports import Figures
from analytics.stream import loop
from engagement import faults, partitions
from engagement.models import Organisation, Shopper, Zone
from tests.analytics.rows import local, shopper, stay, venue
from tests.analytics.test_transitions import drain, minutes, send
from tests.worlds import search

pytestmark = pytest.mark.django_db(transaction=True)

ZONE: Final = "Africa/Johannesburg"
MONDAY: Final = local(ZONE, 2026, 10, 5, 8)
DAY: Final = timedelta(days=1)
HOUR: Final = 3600
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
Session = psycopg.Connection[Any]
State = Regular.State


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Session]:
    with figures.session() as made:
        yield made


@pytest.fixture
def root(acme: Organisation) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(organisation=acme, key="north")


def works(who: Shopper, zone: Zone, *hours: float, since: datetime = MONDAY) -> None:
    """A stay of so many hours on each day from a Monday on; none where it is 0."""
    for number, each in enumerate(hours):
        if each:
            stay(who, zone, since + number * DAY, each * HOUR)


def suggested() -> list[tuple[str, int | None, int | None]]:
    """Name, days and seconds on the longest."""
    return [(str(row.shopper), row.days, row.longest_s) for row in Regular.objects.select_related("shopper").order_by("shopper__external_id")]


def october(zone: Zone) -> Figures:
    return reports.footfall(organisation=zone.organisation, zone=zone, start=MONDAY - 4 * DAY, end=MONDAY + 26 * DAY, grain="month", now=NOW).total


def test_more_than_four_hours_on_three_days_of_a_week_are_suggested(acme: Organisation, root: Zone, worker: Session) -> None:
    works(shopper(acme, "cleaner"), root, 5, 0, 6, 0, 0, 4.5)
    works(shopper(acme, "two days only"), root, 9, 9)
    works(shopper(acme, "four hours and no more"), root, 4, 4, 4, 4)
    works(shopper(acme, "over the weekend"), root, 0, 0, 0, 0, 0, 5, 5, 5)  # the Monday after is another week
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("cleaner", 3, 6 * HOUR)]
    row = Regular.objects.get()
    assert (row.state, row.week, row.zone) == ("suggested", date(2026, 10, 5), root)


def test_the_stays_of_a_day_are_added_up_and_those_of_parts_of_the_venue_and_pass_bys_say_nothing(acme: Organisation, root: Zone, worker: Session) -> None:
    brew = Zone.objects.get(key="north-brew")
    for day in range(3):
        for part in range(3):
            stay(shopper(acme, "three times a day"), root, MONDAY + day * DAY + timedelta(hours=3 * part), 1.5 * HOUR)
        stay(shopper(acme, "in the store"), brew, MONDAY + day * DAY, 9 * HOUR)
        stay(shopper(acme, "passing by"), root, MONDAY + day * DAY, 9 * HOUR, counted=False)
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("three times a day", 3, 16_200)]


def test_dwell_in_two_venues_is_not_added_up(acme: Organisation, root: Zone, worker: Session) -> None:
    south = venue(acme, "south", ZONE)
    works(shopper(acme, "courier"), root, 3, 3, 3, 3)
    works(shopper(acme, "courier"), south, 3, 3, 3, 3, since=MONDAY + timedelta(hours=4))
    works(shopper(acme, "guard of both"), root, 5, 5, 5)
    works(shopper(acme, "guard of both"), south, 0, 0, 0, 5, 5, 5, 5)
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("guard of both", 4, 5 * HOUR)]
    assert Regular.objects.get().zone == south  # which says it most clearly


def test_days_and_weeks_are_those_of_the_venues_clock_also_where_it_changes(acme: Organisation, worker: Session) -> None:
    """On 2026-10-25 Berlin's day has 25 hours: it is the Sunday of its week, up to 23:00 UTC."""
    berlin = venue(acme, "berlin", "Europe/Berlin")
    night = shopper(acme, "night guard")
    for day in (23, 24, 25):
        stay(night, berlin, local("Europe/Berlin", 2026, 10, day, 23, 30), 5 * HOUR)
    late = shopper(acme, "a night later")
    for day in (24, 25, 26):
        stay(late, berlin, local("Europe/Berlin", 2026, 10, day, 23, 30), 5 * HOUR)
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("night guard", 3, 5 * HOUR)]
    assert Regular.objects.get().week == date(2026, 10, 19)


def test_open_stays_have_no_dwell_until_they_close_and_then_it_counts(acme: Organisation, root: Zone, worker: Session) -> None:
    guard = shopper(acme, "guard")
    works(guard, root, 5, 5, 15)
    evening = MONDAY + 2 * DAY + timedelta(hours=15)
    figures.catch_up(worker, now=evening)
    assert not Regular.objects.exists()
    figures.catch_up(worker, now=evening + DAY)  # nothing but the clock has gone on
    assert suggested() == [("guard", 3, 15 * HOUR)]


def test_late_events_suggest_too(acme: Organisation, root: Zone, worker: Session) -> None:
    cleaner = shopper(acme, "cleaner")
    works(cleaner, root, 5, 5)
    figures.catch_up(worker, now=NOW)
    assert not Regular.objects.exists()
    works(cleaner, root, 0, 0, 0, 0, 0, 0, 5)
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("cleaner", 3, 5 * HOUR)]


def test_both_sides_of_the_opening_hours_count(acme: Organisation, root: Zone, worker: Session) -> None:
    root.venue.opening_hours = {day: [["10:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    root.venue.save()
    for day in range(3):
        stay(shopper(acme, "cleaner"), root, MONDAY + day * DAY - timedelta(hours=2), 3 * HOUR)  # before it opens
        stay(shopper(acme, "cleaner"), root, MONDAY + day * DAY + timedelta(hours=4), 2 * HOUR)
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("cleaner", 3, 5 * HOUR)]


def test_a_worker_that_dies_suggests_after_it_is_started_again(acme: Organisation, root: Zone, worker: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    works(shopper(acme, "cleaner"), root, 5, 5, 5)
    monkeypatch.setattr(faults, "_name", "figures.before_commit")
    monkeypatch.setattr(faults, "_action", "raise")
    with pytest.raises(faults.InjectedFault):
        figures.step(worker, now=NOW)
    assert not Regular.objects.exists() and not ZoneDay.objects.exists()
    monkeypatch.setattr(faults, "_name", "")
    figures.catch_up(worker, now=NOW)
    assert suggested() == [("cleaner", 3, 5 * HOUR)]


def test_nobody_is_suggested_again_whatever_was_decided(acme: Organisation, root: Zone, worker: Session) -> None:
    names = ("suggested", "confirmed", "dismissed")
    for name in names:
        works(shopper(acme, name), root, 5, 5, 5)
    figures.catch_up(worker, now=NOW)
    for name in names[1:]:
        regulars.decide(organisation=acme, ids=[Regular.objects.get(shopper__external_id=name).pk], state=State(name), by="alice")
    for name in names:
        works(shopper(acme, name), root, 7, 7, 7, 7, since=MONDAY + 7 * DAY)
    figures.catch_up(worker, now=NOW)
    rows = {str(row.shopper): row for row in Regular.objects.select_related("shopper")}
    assert {name: (row.state, row.days) for name, row in rows.items()} == {name: (name, 3) for name in names}


def test_confirming_leaves_out_all_that_was_and_all_that_comes_and_the_way_back_brings_it_again(acme: Organisation, root: Zone, worker: Session) -> None:
    works(shopper(acme, "cleaner"), root, 5, 5, 5)
    for day in range(3):
        stay(shopper(acme, "ann"), root, MONDAY + day * DAY, 600)
        stay(shopper(acme, "cleaner"), Zone.objects.get(key="north-brew"), MONDAY + day * DAY, 600)
    figures.catch_up(worker, now=NOW)
    before = october(root)
    assert (before.visits, before.visitors) == (6, 2)
    row = Regular.objects.get()
    assert regulars.decide(organisation=acme, ids=[row.pk], state=State.CONFIRMED, by="alice") == 1
    left = october(root)  # at once, before anything is made again
    assert (left.visits, left.visitors, left.dwell_mean_s) == (3, 1, 600)
    figures.catch_up(worker, now=NOW)
    works(shopper(acme, "cleaner"), root, 5, since=MONDAY + 7 * DAY)
    figures.catch_up(worker, now=NOW)
    assert october(root) == left
    assert not ZoneDay.objects.filter(zone__key="north-brew", visits__gt=0).exists()
    assert ZoneDay.objects.filter(zone=root, restated_at__isnull=False).count() == 3
    assert regulars.left_out(acme) == 1
    row.refresh_from_db()
    assert row.decided_by == "alice" and row.decided_at is not None
    regulars.decide(organisation=acme, ids=[row.pk], state=State.SUGGESTED, by="alice")
    assert (october(root).visits, regulars.left_out(acme)) == (7, 0)
    assert list(Regular.objects.values_list("state", "decided_by", "decided_at")) == [("suggested", "", None)]


def test_the_live_pages_count_those_who_are_there_now_without_staff(acme: Organisation, root: Zone) -> None:
    now = datetime.now(UTC)
    for name in ("ann", "cleaner"):
        stay(shopper(acme, name), root, now - timedelta(minutes=10), 300)
    assert reports.occupancy_now(root.venue) == {root.pk: 2}
    regulars.mark(organisation=acme, shopper=shopper(acme, "cleaner"), by="alice")
    assert reports.occupancy_now(root.venue) == {root.pk: 1}


def test_a_decision_told_twice_marks_nothing_again(acme: Organisation, root: Zone) -> None:
    works(shopper(acme, "cleaner"), root, 5)
    row = regulars.mark(organisation=acme, shopper=shopper(acme, "cleaner"), by="alice")
    Mark.objects.all().delete()
    assert regulars.decide(organisation=acme, ids=[row.pk], state=State.CONFIRMED, by="bob") == 0
    assert not Mark.objects.exists()
    assert Regular.objects.get().decided_by == "alice"


def test_a_decision_and_its_marks_are_one(acme: Organisation, root: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    works(shopper(acme, "cleaner"), root, 5, 5)

    def broken(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(marks, "leave_for_shoppers", broken)
    with pytest.raises(ConnectionError):
        regulars.mark(organisation=acme, shopper=shopper(acme, "cleaner"), by="alice")
    assert not Regular.objects.exists()


def test_whom_somebody_marked_by_hand_is_forgotten_on_the_way_back(acme: Organisation, root: Zone) -> None:
    works(shopper(acme, "cleaner"), root, 5)
    row = regulars.mark(organisation=acme, shopper=shopper(acme, "cleaner"), by="alice")
    assert (row.state, row.zone, october(root).visits) == ("confirmed", None, 0)
    regulars.decide(organisation=acme, ids=[row.pk], state=State.SUGGESTED, by="alice")
    assert not Regular.objects.exists()
    assert october(root).visits == 1


def test_nobody_decides_about_shoppers_of_others(acme: Organisation, rival: Organisation, root: Zone) -> None:
    row = regulars.mark(organisation=acme, shopper=shopper(acme, "cleaner"), by="alice")
    for state in State:
        assert regulars.decide(organisation=rival, ids=[row.pk], state=state, by="charlie") == 0
    assert (Regular.objects.get().state, regulars.left_out(rival)) == ("confirmed", 0)


def test_a_row_of_another_organisation_leaves_nobody_out(acme: Organisation, rival: Organisation, root: Zone) -> None:
    """No service makes such a row. If one did, it would be no other's loss."""
    works(shopper(acme, "ann"), root, 1)
    Regular.objects.create(organisation=rival, shopper=shopper(acme, "ann"), state=State.CONFIRMED)
    assert october(root).visits == 1


def test_a_shopper_whose_stays_have_gone_to_another_is_not_suggested(acme: Organisation, root: Zone, worker: Session) -> None:
    works(shopper(acme, device="phone"), root, 5, 5, 5)
    figures.catch_up(worker, now=NOW)
    Regular.objects.all().delete()
    Stay.objects.all().delete()
    ground = premises.around(worker.cursor(), [root.pk])
    regulars.suggest(worker.cursor(), ground, [(root.pk, to_day(MONDAY.date()) + day) for day in range(3)])
    assert not Regular.objects.exists()


@search(40)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 23), st.sampled_from((1.0, 3.9, 4.0, 4.001, 2.0, 6.0))),
        max_size=40,
        unique_by=lambda s: s[:3],
    ),
    size=st.integers(1, 5),
)
def test_whatever_happened_in_whatever_order_the_rule_decides(
    acme: Organisation, root: Zone, worker: Session, spans: list[tuple[int, int, int, float]], size: int
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE analytics_regular, analytics_stay, analytics_zoneday, analytics_mark")
    plain: dict[int, dict[int, float]] = {}
    for place, (who, day, hour, hours) in enumerate(spans):
        plain.setdefault(who, {})
        plain[who][day] = plain[who].get(day, 0) + hours
        stay(shopper(acme, f"s{who}"), root, local(ZONE, 2026, 10, 5) + day * DAY + timedelta(hours=hour), hours * HOUR)
        if place % size == 0:
            figures.catch_up(worker, now=NOW)
    figures.catch_up(worker, now=NOW)
    expected = {f"s{who}" for who, found in plain.items() if any(sum(found.get(7 * week + day, 0) > 4 for day in range(7)) >= 3 for week in range(3))}
    assert {name for name, _, _ in suggested()} == expected


# --- Whose device it was, becomes known -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "named", "after"),
    [
        ("confirmed", None, "confirmed"),
        ("dismissed", None, "dismissed"),
        ("suggested", None, "suggested"),
        (None, "confirmed", "confirmed"),
        ("confirmed", "suggested", "confirmed"),
        ("dismissed", "suggested", "dismissed"),
        ("suggested", "confirmed", "confirmed"),
        ("confirmed", "dismissed", "dismissed"),
        ("dismissed", "confirmed", "confirmed"),
        ("suggested", "suggested", "suggested"),
    ],
)
def test_what_was_decided_of_a_device_is_decided_of_him_unless_somebody_decided_about_himself(
    acme: Organisation, root: Zone, worker: Session, device: str | None, named: str | None, after: str
) -> None:
    old, new = shopper(acme, device="phone"), shopper(acme, "ann")
    for who, state in ((old, device), (new, named)):
        if state:
            Regular.objects.create(organisation=acme, shopper=who, state=state, zone=root)
    works(new, root, 1)
    figures.catch_up(worker, now=NOW)
    with worker.transaction():
        regulars.inherit(worker, organisation=acme.pk, old=old.pk, new=new.pk)
    assert [(row.shopper, row.state) for row in Regular.objects.select_related("shopper")] == [(new, after)]
    figures.catch_up(worker, now=NOW)
    assert october(root).visits == (0 if after == "confirmed" else 1)


def test_of_two_named_shoppers_each_keeps_what_was_said_of_him(acme: Organisation, worker: Session) -> None:
    old, new = shopper(acme, "ann"), shopper(acme, "ben")
    Regular.objects.create(organisation=acme, shopper=old, state=State.CONFIRMED)
    regulars.inherit(worker, organisation=acme.pk, old=old.pk, new=new.pk)
    assert Regular.objects.get().shopper == old


def test_what_was_said_of_a_device_goes_with_its_past_to_him_who_is_named_on_it(acme: Organisation, root: Zone) -> None:
    stream = loop.Worker()
    try:
        partitions.ensure(stream.connection)
        send(acme, *minutes(30, 29, 28))
        drain(stream)
        regulars.mark(organisation=acme, shopper=Shopper.objects.get(device_key="phone"), by="alice")
        send(acme, *minutes(20, 19), shopper="ann")
        drain(stream)
    finally:
        stream.connection.close()
    row = Regular.objects.select_related("shopper").get()
    assert (row.shopper.external_id, row.state, row.decided_by) == ("ann", "confirmed", "alice")
    assert Stay.objects.filter(zone=root).exists()
    assert reports.footfall(organisation=acme, zone=root, start=minutes(120)[0], end=minutes(0)[0], grain="month").total == Figures()


# --- How quick ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_left_out_are_looked_up_and_not_gone_through(acme: Organisation, root: Zone) -> None:
    """For each stay of a small day one look-up by its index, however many are left out; and all of them once, for a large one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO analytics_regular (organisation_id, shopper_id, state, created_at, decided_by)"
            " SELECT %s, n, 'confirmed', now(), '' FROM generate_series(1000000, 1009999) n",
            [acme.pk],
        )
        cursor.execute("ANALYZE analytics_regular")
    works(shopper(acme, "ann"), root, 1)
    with transaction.atomic():
        plan = days.plain(connection).execute(f"EXPLAIN SELECT s.* FROM analytics_stay s WHERE s.zone_id = {root.pk} AND {days.COUNTED}").fetchall()
    assert "Seq Scan on analytics_regular" not in " ".join(line for (line,) in plan), plan
    assert october(root).visits == 1


def test_a_day_says_of_each_shopper_how_long_he_was_about_and_open_stays_say_nothing(root: Zone) -> None:
    hour = 3_600_000_000
    found = regulars._long_of_day(root.pk, 20_000, [np.array([hour, 3 * hour, 5 * hour]), np.array([2 * hour])], [np.array([7, 8, 9, 7, 8]), np.array([8])])
    assert (found.shopper.tolist(), found.dwell.tolist()) == ([8, 9], [5 * hour, 5 * hour])
