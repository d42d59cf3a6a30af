"""The fold alone: whatever it is told at once, it may as well be told in parts."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.stays import NEVER, Chains, Cuts, Segments, fold
from tests.worlds import search

Seen = tuple[int, int, int, bool]  # shopper, zone, instant, opening
Left = tuple[int, int, int]  # shopper, zone, instant
GRACE = {0: 3, 1: 2, 2: 0}  # by zone


@dataclass(frozen=True)
class Line:
    """What was seen, and the exits, at instants so few that they often meet."""

    seen: list[Seen]
    left: list[Left]

    def up_to(self, instant: int) -> "Line":
        return Line([s for s in self.seen if s[2] <= instant], [e for e in self.left if e[2] <= instant])

    def after(self, instant: int) -> "Line":
        return Line([s for s in self.seen if s[2] > instant], [e for e in self.left if e[2] > instant])


SEEN = st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 20), st.booleans())
LEFT = st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 20))
LINES = st.builds(Line, st.lists(SEEN, max_size=25), st.lists(LEFT, max_size=4))


def ints(values: list[int]) -> "np.typing.NDArray[np.int64]":
    return np.array(values, dtype=np.int64)


def segments(seen: list[Seen]) -> Segments:
    at = ints([s[2] for s in seen])
    opened = ints([s[2] if s[3] else NEVER for s in seen])
    return Segments(ints([s[0] for s in seen]), ints([s[1] for s in seen]), at, at, opened, ints([GRACE[s[1]] for s in seen]))


def cuts(left: list[Left]) -> Cuts:
    return Cuts(*(ints([e[column] for e in left]) for column in range(3)))


def stays_of(chains: Chains) -> list[tuple[int, ...]]:
    chains = chains.take(chains.opened < NEVER)
    columns = (chains.shopper, chains.zone, chains.opened, chains.ended, chains.closes_at)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def whole(line: Line) -> list[tuple[int, ...]]:
    return stays_of(fold(segments(line.seen), cuts(line.left)))


@search(300)
@given(LINES)
def test_the_fold_is_the_law_in_plain_loops(line: Line) -> None:
    expected = []
    for shopper, zone in {s[:2] for s in line.seen}:
        strength: dict[int, bool] = {}
        for _, _, at, opening in (s for s in line.seen if s[:2] == (shopper, zone)):
            strength[at] = opening or strength.get(at, False)
        exits = [e[2] for e in line.left if e[:2] == (shopper, zone)]
        chain: list[int] = []
        for at in [*sorted(strength), NEVER]:
            reach = min([chain[-1] + GRACE[zone], *(e for e in exits if e >= chain[-1])]) if chain else NEVER
            if chain and at > reach:
                opened = [when for when in chain if strength[when]]
                expected += [(shopper, zone, opened[0], chain[-1], reach)] if opened else []
                chain = []
            chain.append(at)
    assert whole(line) == sorted(expected)


@search(300)
@given(LINES, st.integers(0, 20))
def test_stays_extended_by_what_comes_after_them_are_those_of_all_at_once(line: Line, instant: int) -> None:
    """The prompt path: of the time before, only the stays are known, and of their exits only those that closed one."""
    known = fold(segments(line.up_to(instant).seen), cuts(line.up_to(instant).left))
    known = known.take(known.opened < NEVER)
    stored = Segments(known.shopper, known.zone, known.opened, known.ended, known.opened, ints([GRACE[z] for z in known.zone.tolist()]))
    closed = Cuts(known.shopper[known.cut], known.zone[known.cut], known.closes_at[known.cut])
    later = line.after(instant)
    assert stays_of(fold(stored.join(segments(later.seen)), closed.join(cuts(later.left)))) == whole(line)


@search(200)
@given(LINES, st.integers(1, 20))
def test_a_world_later_is_the_same_world(line: Line, shift: int) -> None:
    moved = Line([(s, z, at + shift, o) for s, z, at, o in line.seen], [(s, z, at + shift) for s, z, at in line.left])
    assert whole(moved) == [(s, z, opened + shift, ended + shift, closes + shift) for s, z, opened, ended, closes in whole(line)]


@search(200)
@given(LINES, SEEN)
def test_what_is_seen_twice_is_seen_once(line: Line, again: Seen) -> None:
    once, twice = Line([*line.seen, again], line.left), Line([*line.seen, again, again], line.left * 2)
    assert whole(twice) == whole(once)


@search(200)
@given(LINES, SEEN)
def test_seeing_more_never_shortens_a_stay(line: Line, more: Seen) -> None:
    """A further observation can join stays and lengthen them. It cannot take away an instant that was in one."""
    later = whole(Line([*line.seen, more], line.left))
    for shopper, zone, opened, ended, _ in whole(line):
        assert any(stay[:2] == (shopper, zone) and stay[2] <= opened and ended <= stay[3] for stay in later)


def test_nothing_makes_nothing() -> None:
    assert whole(Line([], [(0, 0, 5)])) == []
