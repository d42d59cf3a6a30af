"""Flows, capture, passers-by and cross-visits: worked examples."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from engagement.models import Organisation, Venue, Zone, ZoneVersion
from tests.analytics.asking import ask, brand
from tests.analytics.rows import local, shopper, stay, venue

HERE = "Africa/Johannesburg"
MINUTE = 60
FIRST, SECOND, THIRD = (date(2026, 10, day) for day in (1, 2, 3))


@pytest.fixture
def zones(north: Venue) -> dict[str, Zone]:
    """By the key without the venue's."""
    return {zone.key.removeprefix("north-"): zone for zone in Zone.objects.select_related("venue", "organisation").filter(venue=north)}


def at(*clock: int, day: int = 1) -> datetime:
    return local(HERE, 2026, 10, day, *clock)


def walk(organisation: Organisation, zones: dict[str, Zone], name: str, *steps: str, day: int = 1) -> None:
    """A visit from ten o'clock on, ten minutes in each zone, in that order; `+` in front: not counted."""
    stay(shopper(organisation, name), zones["north"], at(10, day=day), (len(steps) + 1) * 10 * MINUTE)
    for number, step in enumerate(steps):
        stay(shopper(organisation, name), zones[step.strip("+")], at(10, day=day) + timedelta(minutes=10 * number), 8 * MINUTE, counted="+" not in step)


def moves(found: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["from"].removeprefix("north-"), row["to"].removeprefix("north-")): row["visits"] for row in found["rows"]}


def test_flows_are_between_zones_side_by_side_and_leave_pass_bys_out(acme: Organisation, zones: dict[str, Zone]) -> None:
    walk(acme, zones, "ann", "door", "ground", "brew", "page", "brew", "door")
    walk(acme, zones, "ben", "brew", "+page", "brew", "page")
    [mall, floor, street] = ask("flows", acme, [zones["north"], zones["ground"], zones["street"]], FIRST, SECOND)
    assert moves(mall) == {("brew", "page"): 2, ("page", "brew"): 1, ("door", "ground"): 1, ("ground", "door"): 1}
    assert mall["rows"][0] == {"from": "north-brew", "to": "north-page", "visits": 2} and mall["total"] == {"visits": 5}
    assert moves(floor) == {("brew", "page"): 2, ("page", "brew"): 1} and floor["total"] == {"visits": 3}
    assert street == {"rows": [], "total": {"visits": 0}}


def test_two_visits_of_one_day_are_not_one_path(acme: Organisation, zones: dict[str, Zone]) -> None:
    ann = shopper(acme, "ann")
    for hour, name in ((10, "brew"), (15, "page")):
        stay(ann, zones["north"], at(hour), 20 * MINUTE)
        stay(ann, zones[name], at(hour, 5), 10 * MINUTE)
    assert ask("flows", acme, [zones["north"]], FIRST, SECOND)[0]["rows"] == []


def test_a_visit_over_midnight_flows_on_the_day_on_which_it_began(acme: Organisation, zones: dict[str, Zone]) -> None:
    ann = shopper(acme, "ann")
    stay(ann, zones["north"], at(23, 30), 60 * MINUTE)
    stay(ann, zones["brew"], at(23, 40), 10 * MINUTE)
    stay(ann, zones["page"], at(0, 10, day=2), 10 * MINUTE)
    assert [ask("flows", acme, [zones["north"]], *days)[0]["total"]["visits"] for days in ((FIRST, SECOND), (SECOND, THIRD))] == [1, 0]


def move(zone: Zone, parent: Zone, since: datetime) -> None:
    """From then on the zone lies in another one."""
    before = zone.versions.get(valid_to=None)
    ZoneVersion.objects.filter(pk=before.pk).update(valid_to=since)
    before.pk, before.valid_from, before.parent = None, since, parent
    before.save(force_insert=True)


@pytest.mark.parametrize("cut", [False, True])
def test_flows_of_a_floor_are_of_the_zones_that_lay_in_it_at_the_time(acme: Organisation, zones: dict[str, Zone], cut: bool) -> None:
    for day in (1, 2, 3):
        walk(acme, zones, f"s{day}", "brew", "page", "brew", day=day)
    for name in ("brew", "page"):
        move(zones[name], zones["door"], at(10, 15, day=2))  # in the middle of the second one's walk
    range_ = (at(5), at(20, day=3)) if cut else (FIRST, date(2026, 10, 4))
    [mall, ground, door] = ask("flows", acme, [zones["north"], zones["ground"], zones["door"]], *range_)
    assert moves(ground) == {("brew", "page"): 2, ("page", "brew"): 1}  # of the first day, and on the second what came before
    assert moves(door) == {("page", "brew"): 1, ("brew", "page"): 1}
    assert moves(mall) == {("brew", "page"): 3, ("page", "brew"): 2}


def test_capture_is_beside_the_visitors_of_the_zone_above(acme: Organisation, zones: dict[str, Zone]) -> None:
    for name, *places in (("ann", "ground", "brew"), ("ben", "ground"), ("cat", "ground"), ("dan", "north")):
        for number, one in enumerate(places):
            stay(shopper(acme, name), zones[one], at(10, number), 10 * MINUTE)
    stay(shopper(acme, "ben"), zones["brew"], at(11), 5, counted=False)
    stay(shopper(acme, "cat"), zones["ground"], at(9, day=2))
    [found, root] = ask("capture", acme, [zones["brew"], zones["north"]], FIRST, THIRD)
    assert found["rows"] == [
        {"period": "2026-10-01", "visitors": 1, "above": 3, "rate": 0.333333},
        {"period": "2026-10-02", "visitors": 0, "above": 1, "rate": 0.0},
    ]
    assert found["total"] == {"visitors": 1, "above": 3, "rate": 0.333333}
    assert root["total"] == {"visitors": 1, "above": None, "rate": None}
    [hour] = [row for row in ask("capture", acme, [zones["brew"]], FIRST, SECOND, grain="hour")[0]["rows"] if row["above"]]
    assert (hour["period"], hour["visitors"], hour["above"]) == ("2026-10-01T10:00:00+02:00", 1, 3)


def test_the_zone_above_is_the_one_at_the_ranges_end(acme: Organisation, zones: dict[str, Zone]) -> None:
    move(zones["brew"], zones["north"], at(12, day=2))
    for name, one in (("ann", "ground"), ("ben", "ground"), ("ann", "north"), ("ben", "north"), ("cat", "north"), ("ann", "brew")):
        stay(shopper(acme, name), zones[one], at(10))
    assert [ask("capture", acme, [zones["brew"]], FIRST, end)[0]["total"]["above"] for end in (SECOND, THIRD)] == [2, 3]
    assert ask("capture", acme, [zones["brew"]], FIRST, THIRD, now=at(11, day=2))[0]["total"]["above"] == 2


def test_a_brand_is_captured_from_all_that_lies_above_its_stores(acme: Organisation, zones: dict[str, Zone]) -> None:
    there = venue(acme, "broadway", "America/New_York")
    there.brand = zones["brew"].brand
    there.save()
    stay(shopper(acme, "ann"), there, local("America/New_York", 2026, 10, 1, 10))  # nothing lies above the venue itself
    stay(shopper(acme, "ben"), zones["brew"], at(10))
    for name in ("ann", "ben", "cat"):
        stay(shopper(acme, name), zones["ground"], at(10))
    assert ask("capture", acme, [brand(acme, "brew")], FIRST, SECOND)[0]["total"] == {"visitors": 2, "above": 3, "rate": 0.666667}


@pytest.mark.parametrize("grain", ["day", "hour"])
def test_passers_by_were_in_the_street_and_not_inside_on_that_day(acme: Organisation, zones: dict[str, Zone], grain: Any) -> None:
    for name, day in (("ann", 1), ("ann", 2), ("ben", 1), ("ben", 2)):
        stay(shopper(acme, name), zones["street"], at(10, day=day), 5, counted=name == "ann")
    stay(shopper(acme, "ann"), zones["north"], at(22))  # on the first, much later
    stay(shopper(acme, "ben"), zones["north"], at(10), 30, counted=False)  # not a visit
    stay(shopper(acme, "cat"), zones["north"], at(10))  # never in the street
    [mall, street, brew] = ask("passers-by", acme, [zones["north"], zones["street"], zones["brew"]], FIRST, THIRD, grain=grain)
    assert mall == street
    assert [row["passers_by"] for row in mall["rows"] if row["passers_by"]] == [1, 2] and mall["total"] == {"passers_by": 2}
    assert brew["total"] == {"passers_by": 0} and len(brew["rows"]) == len(mall["rows"])


@pytest.mark.parametrize("grain", ["day", "hour"])
def test_a_visit_outside_the_range_and_the_hours_makes_nobody_a_passer_by(acme: Organisation, zones: dict[str, Zone], north: Venue, grain: Any) -> None:
    north.opening_hours = {"thu": [["09:00", "18:00"]]}
    north.save()
    for hour in (8, 10):
        stay(shopper(acme, "ann"), zones["street"], at(hour), 5)
        stay(shopper(acme, f"s{hour}"), zones["street"], at(hour), 5)
    stay(shopper(acme, "ann"), zones["north"], at(19))
    assert ask("passers-by", acme, [zones["north"]], at(9), at(12), grain=grain)[0]["total"] == {"passers_by": 1}
    for hours in ("open", "closed"):
        assert ask("passers-by", acme, [zones["north"]], FIRST, SECOND, grain=grain, hours=hours)[0]["total"] == {"passers_by": 1}


def test_cross_visits_are_of_every_two_places_named(acme: Organisation, zones: dict[str, Zone]) -> None:
    for name, *places in (("ann", "brew", "page", "door"), ("ben", "brew", "page"), ("cat", "brew")):
        for number, one in enumerate(places):
            stay(shopper(acme, name), zones[one], at(10 + number, day=1 + number), 10 * MINUTE)
    stay(shopper(acme, "cat"), zones["page"], at(10), 5, counted=False)
    found = ask("cross-visits", acme, [zones["page"], zones["brew"], zones["door"]], FIRST, date(2026, 10, 4))
    pairs = [("page", "brew", 2), ("page", "door", 1), ("brew", "door", 1)]
    assert found == [{"rows": [{"a": f"north-{a}", "b": f"north-{b}", "visitors": number} for a, b, number in pairs], "total": {}}]
    assert ask("cross-visits", acme, [zones["page"], zones["brew"]], FIRST, SECOND)[0]["rows"][0]["visitors"] == 0


def test_cross_visits_of_a_venue_a_floor_or_a_brand_are_of_its_stores(acme: Organisation, zones: dict[str, Zone]) -> None:
    for one in ("brew", "page"):
        stay(shopper(acme, "ann"), zones[one], at(10))
    both = [{"a": "north-brew", "b": "north-page", "visitors": 1}]
    for subject, rows in ((zones["north"], both), (zones["ground"], both), (zones["door"], []), (zones["brew"], []), (brand(acme, "brew"), [])):
        assert ask("cross-visits", acme, [subject], FIRST, SECOND)[0]["rows"] == rows


def test_the_rivals_shop_on_the_same_ground_is_no_place_of_ours(acme: Organisation, rival: Organisation, zones: dict[str, Zone]) -> None:
    shop = Zone.objects.get(organisation=rival, key="arcade-shop")
    cy = shopper(rival, "cy")
    for zone in (shop, zones["brew"], zones["page"], zones["street"], zones["north"]):
        stay(cy, zone, datetime(2026, 10, 1, 10, tzinfo=UTC), 900)
    assert ask("cross-visits", acme, [zones["brew"], zones["page"]], FIRST, SECOND)[0]["rows"][0]["visitors"] == 0
    for name, nothing in (("flows", {"visits": 0}), ("passers-by", {"passers_by": 0})):
        assert ask(name, acme, [zones["north"]], FIRST, SECOND)[0]["total"] == nothing
