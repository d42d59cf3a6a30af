"""The law: the table of exact cases, and any small world, say the same by the plain reference and by the product's pure rooms."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import golden
from tests.golden import ORGANISATION, Case
from tests.reference import Stay, distinct, stays
from tests.translate import product_stays
from tests.worlds import World, search, worlds

CASES = pytest.mark.parametrize("case", [pytest.param(case, id=case.name.replace(" ", "-")) for case in golden.cases()])


@CASES
def test_the_reference_says_what_was_worked_out_by_hand(case: Case) -> None:
    assert tuple(stays(case.events, {ORGANISATION: case.places})) == case.stays


@CASES
def test_places_and_stays_say_what_was_worked_out_by_hand(case: Case) -> None:
    assert tuple(product_stays(distinct(case.events), case.places)) == case.stays


@search(250)
@given(worlds())
def test_places_and_stays_say_what_the_reference_says(world: World) -> None:
    assert product_stays(distinct(world.events), world.places) == world.stays()


@search(60)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_events_is_of_no_account(world: World, chance: random.Random) -> None:
    events = distinct(world.events)
    shuffled = chance.sample(events, len(events))
    assert product_stays(shuffled, world.places) == world.stays()


def test_a_stay_is_open_up_to_the_last_instant_that_could_extend_it() -> None:
    case = next(case for case in golden.cases() if case.name.startswith("a single point"))
    (shop,) = (stay for stay in case.stays if stay.zone == "shop")
    assert [shop.is_open(shop.closes_at - 1), shop.is_open(shop.closes_at), shop.is_open(shop.closes_at + 1)] == [True, True, False]


@search(60)
@given(worlds())
def test_stays_of_a_shopper_in_a_zone_follow_one_another(world: World) -> None:
    """What the schema relies on: no two begin at one instant, none overlap, none ends before it begins."""
    by_line: dict[object, list[Stay]] = {}
    for stay in world.stays():
        assert stay.started <= stay.ended <= stay.closes_at
        by_line.setdefault((stay.shopper, stay.zone), []).append(stay)
    for line in by_line.values():
        assert all(before.closes_at < after.started for before, after in itertools.pairwise(line))


@search(60)
@given(worlds())
def test_another_organisation_is_another_world(world: World) -> None:
    """Charlie's shoppers carry the same names and the same devices; neither side's stays change."""
    theirs = [replace(event, organisation="rival", arrival=len(world.events) + event.arrival) for event in world.events]
    both = stays([*world.events, *theirs], {ORGANISATION: world.places, "rival": world.places})
    assert [stay for stay in both if stay.shopper.organisation == ORGANISATION] == world.stays()
    assert len(both) == 2 * len(world.stays())
