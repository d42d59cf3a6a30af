"""The interval against published values, and the rule for saying nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.lift import Group, lift, needed, newcombe, too_few, wilson

# Newcombe (1998), table II: the eight contrasts, by method 10.
PUBLISHED = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0000)),
    ((10, 10, 0, 10), (0.6075, 1.0000)),
]


@pytest.mark.parametrize(("counts", "interval"), PUBLISHED)
def test_the_interval_is_the_published_one(counts: tuple[int, int, int, int], interval: tuple[float, float]) -> None:
    difference, low, high = newcombe(*counts)
    assert (round(low, 4), round(high, 4)) == interval
    assert difference == counts[0] / counts[1] - counts[2] / counts[3]


def test_the_interval_of_one_share_is_the_published_one() -> None:
    """Newcombe (1998), Two-sided confidence intervals for the single proportion, table I: method 3."""
    for counts, interval in (((81, 263), (0.2553, 0.3662)), ((15, 148), (0.0624, 0.1605)), ((0, 20), (0.0, 0.1611)), ((1, 29), (0.0061, 0.1718))):
        low, high = wilson(*counts)
        assert (round(low, 4), round(high, 4)) == interval


sizes = st.integers(1, 3000).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size)))


@given(sizes, sizes)
def test_the_interval_holds_the_difference_and_turns_with_the_groups(one: tuple[int, int], other: tuple[int, int]) -> None:
    (size, did), (other_size, other_did) = one, other
    difference, low, high = newcombe(did, size, other_did, other_size)
    turned = newcombe(other_did, other_size, did, size)
    assert -1 <= low <= difference + 1e-12 and difference - 1e-12 <= high <= 1
    assert turned == pytest.approx((-difference, -high, -low), abs=1e-12)


def test_few_people_say_nothing_and_many_say_something() -> None:
    assert lift(Group(0, 0), Group(40, 3)).verdict == "too_few"
    assert lift(Group(950, 190), Group(20, 5)).verdict == "too_few"  # 4 of 20 were to be expected
    assert lift(Group(95_000, 19_000), Group(5_000, 875)).verdict == "more"
    assert lift(Group(95_000, 17_000), Group(5_000, 1_000)).verdict == "fewer"
    assert lift(Group(950, 190), Group(50, 10)).verdict == "open"
    assert too_few(Group(10_000, 9_990), Group(1_000, 999))  # too few who did not
    assert not too_few(Group(950, 200), Group(50, 0))  # 10 were to be expected: that none came says something


def test_the_number_needed_shows_the_difference() -> None:
    """Fleiss, Levin and Paik: equal groups, 0.60 against 0.70 at 5 % and 80 %: 356 in each."""
    assert needed(Group(1000, 600), Group(1000, 700)) == 712
    assert needed(Group(10, 5), Group(10, 5)) is None
    many = needed(Group(9_500, 2_090), Group(500, 100))
    assert many and 50_000 < many < 80_000  # two points at a holdout of 5 %
