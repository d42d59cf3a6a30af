"""Visits and purchases after a message: by hand, against a plain reference, and with each guard taken out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics import attribution
from analytics.attribution import DAY_US, Claims, Credit, Deeds, Told
from analytics.calendars import to_us
from analytics.days import plain
from analytics.models import Regular
from engagement.models import Brand, Organisation, Purchase, Zone
from tests.analytics.rows import local, shopper, stay, venue
from tests.faults.mutants import changed
from tests.worlds import search

HERE = "Africa/Johannesburg"
Row = tuple[int, int, int]


def at(day: int, *clock: int) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


def told(*rows: tuple[int, int]) -> Told:
    return Told(*np.array(rows, dtype=np.int64).reshape(-1, 2).T)


def deeds(*rows: Row) -> Deeds:
    return Deeds(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


# --- Windows --------------------------------------------------------------------------------------------------------------


def test_a_window_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    begin, end = 1_000, 1_000 + 7 * DAY_US
    for started, expected in ((begin - 1, False), (begin, True), (end - 1, True), (end, False)):
        assert attribution.did(told((1, begin)), deeds((1, started, started + 5)), days=7).tolist() == [expected]
    assert not attribution.did(told((1, begin)), deeds((2, begin, begin)), days=7).any()


def test_somebody_told_twice_is_one_of_the_people() -> None:
    twice = told((1, 0), (1, 20 * DAY_US), (2, 0))
    assert attribution.people(twice, deeds((1, 21 * DAY_US, 21 * DAY_US)), days=7) == (2, 1)
    assert attribution.people(told(), deeds((1, 0, 0)), days=7) == (0, 0)
    assert attribution.people(twice, deeds(), days=7) == (2, 0)


instants = st.integers(0, 6).map(lambda n: n * DAY_US // 2)
told_rows = st.lists(st.tuples(st.integers(1, 4), st.builds(int.__add__, instants, st.integers(-1, 1))), max_size=8)
deed_rows = st.lists(st.tuples(st.integers(1, 4), st.builds(int.__add__, instants, st.integers(-1, 1)), st.integers(0, DAY_US)), max_size=8, unique=True)


@search(150)
@given(told_rows, deed_rows, st.integers(1, 3))
def test_windows_are_those_of_a_plain_loop(people: list[tuple[int, int]], done: list[Row], days: int) -> None:
    did = attribution.did(told(*people), deeds(*((who, start, start + length) for who, start, length in done)), days=days)
    assert did.tolist() == [any(who == other and since <= start < since + days * DAY_US for other, start, _ in done) for who, since in people]


# --- Credit ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Campaign:
    number: int
    people: list[tuple[int, int]]
    deeds: list[Row]

    def claims(self) -> Claims:
        return attribution.claims(told(*self.people), deeds(*self.deeds), days=2, by=self.number)


def plainly(own: Campaign, others: list[Campaign]) -> Credit:
    """Visit by visit."""

    def last(campaign: Campaign, deed: Row) -> int | None:
        return max((since for who, since in campaign.people if who == deed[0] and since <= deed[1] < since + 2 * DAY_US), default=None)

    claimed = shared = unique = 0
    for deed in sorted(set(own.deeds)):
        mine = last(own, deed)
        if mine is None:
            continue
        touching = [
            (theirs, other.number)
            for other in others
            for its in other.deeds
            if its[0] == deed[0] and its[1] <= deed[2] and deed[1] <= its[2] and (theirs := last(other, its)) is not None
        ]
        claimed += 1
        shared += bool(touching)
        unique += all((theirs, -number) < (mine, -own.number) for theirs, number in touching)
    return Credit(claimed, shared, unique)


def credit(own: Campaign, others: list[Campaign]) -> Credit:
    joined = Campaign(0, [], []).claims()
    for other in others:
        joined = joined.join(other.claims())
    return attribution.credit(own.claims(), joined)


visits = st.lists(st.tuples(st.integers(1, 3), instants, st.integers(0, 2)), max_size=6, unique=True).map(
    lambda rows: [(who, start, start + length * DAY_US // 4) for who, start, length in rows]
)


@search(150)
@given(visits, visits, st.lists(st.tuples(st.integers(1, 3), instants), max_size=6), st.lists(st.tuples(st.integers(1, 3), instants), max_size=6))
def test_credit_is_that_of_a_plain_loop(mall: list[Row], store: list[Row], one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    campaigns = [Campaign(1, one, mall), Campaign(2, other, mall), Campaign(3, other[::2], store)]
    found = [credit(mine, [its for its in campaigns if its is not mine]) for mine in campaigns]
    assert found == [plainly(mine, [its for its in campaigns if its is not mine]) for mine in campaigns]


def test_of_campaigns_with_the_same_places_each_visit_is_somebodys_once() -> None:
    visit, alone = (1, DAY_US, DAY_US + 9), (2, DAY_US, DAY_US + 9)
    early, late = Campaign(1, [(1, 0), (2, 0)], [visit, alone]), Campaign(2, [(1, DAY_US // 2)], [visit, alone])
    assert credit(early, [late]) == Credit(claimed=2, shared=1, unique=1)
    assert credit(late, [early]) == Credit(claimed=1, shared=1, unique=1)


# --- From the database ----------------------------------------------------------------------------------------------------


@pytest.fixture
def brew(acme: Organisation) -> Zone:
    return Zone.objects.select_related("organisation", "brand").get(organisation=acme, key="north-brew")


def came(organisation: Organisation, brand: Brand | None, names: list[str], *, days: int = 7) -> list[str]:
    """Who of these, told at ten on the first of October, came."""
    people = [shopper(organisation, name) for name in names]
    start = to_us(at(1, 10))
    cursor = plain(connection)
    zones = attribution.places(cursor, organisation=organisation.pk, brand=brand.pk if brand else None)
    found = attribution.visits(cursor, organisation=organisation.pk, zones=zones, start=start, end=start + days * DAY_US)
    did = attribution.did(Told(np.array([one.pk for one in people]), np.full(len(people), start)), found, days=days)
    return [name for name, one in zip(names, did.tolist(), strict=True) if one]


def scene(acme: Organisation, brew: Zone) -> list[str]:
    root = Zone.objects.get(organisation=acme, key="north")
    page = Zone.objects.get(organisation=acme, key="north-page")
    for name, zone, when, more in (
        ("ann", brew, at(1, 10), {}),
        ("ben", brew, at(8, 9, 59, 59), {}),
        ("cat", brew, at(8, 10), {}),  # a moment too late
        ("dan", page, at(2, 10), {}),  # another brand's
        ("eve", brew, at(2, 10), {"counted": False}),  # only passed by
        ("fay", brew, at(1, 9, 59, 59), {}),  # was there already
        ("gus", root, at(3, 10), {}),
        ("barista", brew, at(2, 10), {}),
    ):
        stay(shopper(acme, name), zone, when, **more)
    Regular.objects.create(organisation=acme, shopper=shopper(acme, "barista"), state=Regular.State.CONFIRMED)
    return ["ann", "ben", "cat", "dan", "eve", "fay", "gus", "barista", "nobody"]


@pytest.mark.django_db
def test_who_came_to_the_stores_of_the_brand(acme: Organisation, brew: Zone) -> None:
    assert came(acme, brew.brand, scene(acme, brew)) == ["ann", "ben"]


@pytest.mark.django_db
def test_without_a_brand_a_visit_to_any_venue_counts(acme: Organisation, brew: Zone) -> None:
    names = scene(acme, brew)
    stay(shopper(acme, "hal"), venue(acme, "broadway", "America/New_York"), at(2, 10))
    assert came(acme, None, [*names, "hal"]) == ["gus", "hal"]


@pytest.mark.django_db
def test_the_clocks_going_back_lengthens_nobodys_window(acme: Organisation) -> None:
    """Seven days are 168 hours, also in New York in the week in which a day has 25."""
    there = venue(acme, "broadway", "America/New_York")
    sent = local("America/New_York", 2026, 10, 28, 10)
    stay(shopper(acme, "ann"), there, sent + timedelta(hours=168) - timedelta(microseconds=1))
    stay(shopper(acme, "ben"), there, sent + timedelta(hours=168))
    cursor, start = plain(connection), to_us(sent)
    found = attribution.visits(cursor, organisation=acme.pk, zones=[there.pk], start=start, end=start + 9 * DAY_US)
    people = Told(np.array([shopper(acme, name).pk for name in ("ann", "ben")]), np.array([start, start]))
    assert attribution.did(people, found, days=7).tolist() == [True, False]


@pytest.mark.django_db
def test_purchases_are_of_the_brand_or_of_any_and_never_the_rivals(acme: Organisation, rival: Organisation, brew: Zone) -> None:
    page = Brand.objects.get(organisation=acme, key="page")
    ann, cy = shopper(acme, "ann"), shopper(rival, "cy")
    rows = [(acme, ann, brew.brand, at(2, 9)), (acme, ann, page, at(2, 10)), (rival, cy, brew.brand, at(2, 11)), (acme, ann, page, at(9, 10))]
    for number, (organisation, who, brand, when) in enumerate(rows):
        Purchase.objects.create(organisation=organisation, key=f"p{number}", shopper=who, brand=brand, at=when)
    cursor, edges = plain(connection), {"start": to_us(at(1, 10)), "end": to_us(at(8, 10))}
    assert brew.brand
    assert attribution.purchases(cursor, organisation=acme.pk, brand=brew.brand.pk, **edges).started.tolist() == [to_us(at(2, 9))]
    assert attribution.purchases(cursor, organisation=acme.pk, brand=None, **edges).shopper.tolist() == [ann.pk, ann.pk]
    assert attribution.places(cursor, organisation=rival.pk, brand=brew.brand.pk) == []


# --- Mutants --------------------------------------------------------------------------------------------------------------

GUARDS: list[tuple[Callable[..., object], str, str]] = [
    (attribution.pairs, "since < days", "since <= days"),
    (attribution.pairs, "(since >= 0)", "(since > 0)"),
    (attribution.visits, "AND s.counted", "AND true"),
    (attribution.visits, "AND {COUNTED}", "AND true"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("function", "guard", "without"), GUARDS)
def test_a_guard_taken_out_is_missed(
    acme: Organisation, brew: Zone, monkeypatch: pytest.MonkeyPatch, function: Callable[..., object], guard: str, without: str
) -> None:
    names = scene(acme, brew)
    stay(shopper(acme, "edge"), brew, at(8, 10))
    monkeypatch.setattr(function, "__code__", changed(function, guard, without))
    with pytest.raises(AssertionError):
        assert came(acme, brew.brand, names) == ["ann", "ben"]
        assert not attribution.did(told((1, 0)), deeds((1, 7 * DAY_US, 7 * DAY_US)), days=7).any()
