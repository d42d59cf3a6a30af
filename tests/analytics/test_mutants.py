"""Tests of the tests: each small lie put into the law's two pure rooms is found out by the table of exact cases."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from analytics import places, stays
from tests import golden, translate
from tests.reference import distinct

STAYS: Final = [
    ("a gap of exactly the grace parts", "s.first[1:] - s.last[:-1] <= s.grace[:-1]", "s.first[1:] - s.last[:-1] < s.grace[:-1]"),
    ("a gap is judged by the observation after it", "<= s.grace[:-1]", "<= s.grace[1:]"),
    ("a gap counts from the chain's start", "s.first[1:] - s.last[:-1]", "s.first[1:] - s.first[0]"),
    ("an exit at the later observation parts", "next_cut[:-1] >= s.first[1:]", "next_cut[:-1] > s.first[1:]"),
    ("exits do not part", "& (next_cut[:-1] >= s.first[1:])", ""),
    ("exits do not close", "closes_at=np.minimum(by_grace, by_exit)", "closes_at=by_grace"),
    ("an exit after the grace keeps a stay open", "closes_at=np.minimum(by_grace, by_exit)", "closes_at=np.where(by_exit < NEVER, by_exit, by_grace)"),
    ("an exit comes before the observation of its instant", "np.zeros(n, np.int8), np.ones(m, np.int8)", "np.ones(n, np.int8), np.zeros(m, np.int8)"),
    ("an exit is everybody's", "& (shopper[source] == shopper[order])", ""),
    ("an exit is every zone's", "& (zone[source] == zone[order])", ""),
    ("a chain goes on in another zone", "& (s.zone[1:] == s.zone[:-1])", ""),
    ("a chain goes on with another shopper", "(s.shopper[1:] == s.shopper[:-1])", "np.bool_(True)"),
    ("the last opening begins the stay", "np.minimum.reduceat(s.opened, heads)", "s.opened[tails]"),
    ("a stay begins with its chain", "np.minimum.reduceat(s.opened, heads)", "s.first[heads]"),
    ("a stay ends with its first observation", "ended = s.last[tails]", "ended = s.last[heads]"),
    (
        "the order of arrival decides",
        "np.lexsort((segments.last, segments.first, segments.zone, segments.shopper))",
        "np.lexsort((segments.zone, segments.shopper))",
    ),
]
PLACES: Final = [
    ("a beacon at exactly enter_rssi holds", "rssi >= self._enter[zone]", "rssi > self._enter[zone]"),
    ("a beacon at exactly hold_rssi is nothing", "rssi >= self._hold[zone]", "rssi > self._hold[zone]"),
    ("a beacon of any strength opens", "opening = (rssi == inbox.NO_RSSI) | (rssi >= self._enter[zone])", "opening = np.ones(len(rssi), np.bool_)"),
    ("a sighting without a strength is the weakest", "(rssi == inbox.NO_RSSI) | ", ""),
    ("a beacon never holds", "observed = opening | (rssi >= self._hold[zone])", "observed = opening"),
    ("a point on the border is outside", "shapely.intersects_xy(", "shapely.contains_xy("),
    ("an accuracy of exactly the maximum is too vague", "accuracy[point] <= self._accuracy[shape]", "accuracy[point] < self._accuracy[shape]"),
    ("any accuracy will do", "fitting = accuracy[point] <= self._accuracy[shape]", "fitting = accuracy[point] < np.inf"),
    ("a fix nearby is nothing", "away <= accuracy[point[near]]", "away < 0"),
    ("a fix nearby opens", "self._column[shape[observed]], inside[observed]", "self._column[shape[observed]], observed[observed]"),
    ("a degree of longitude is as long as one of latitude", "* math.cos(math.radians(lat)), ", ", "),
    ("zones above see nothing", "                above = parent[above]", "                above = None"),
    ("holding wins", "* 2 + ~np.repeat(opening, count)", "* 2 + np.repeat(opening, count)"),
    ("an exit leaves the zones below alone", "(event, below) for below in self._below[zone]", "(event, below) for below in [zone]"),
    ("an exit enters", "events.flag[event] == inbox.ENTER", "events.flag[event] > 0"),
    ("a version begins after its first instant", 'np.searchsorted(self._changes, at, side="right")', 'np.searchsorted(self._changes, at, side="left")'),
    ("the latest version judges everything", 'np.searchsorted(self._changes, at, side="right")', "np.full(np.shape(at), len(self._changes))"),
]


def mutant_of(module: ModuleType, truth: str, lie: str) -> ModuleType:
    """The module with one expression replaced."""
    source = Path(str(module.__file__)).read_text()
    assert source.count(truth) == 1, f"The mutant has lost its place: {truth!r} is {source.count(truth)} times in {module.__name__}."
    changed = ModuleType(f"mutant_of_{module.__name__.rpartition('.')[2]}")
    sys.modules[changed.__name__] = changed  # dataclasses look their module up
    try:
        exec(compile(source.replace(truth, lie), changed.__name__, "exec"), changed.__dict__)
    finally:
        del sys.modules[changed.__name__]
    return changed


def agrees(case: golden.Case) -> bool:
    try:
        return tuple(translate.product_stays(distinct(case.events), case.places)) == case.stays
    except (IndexError, ValueError):  # an array that no longer fits is found out too
        return False


@pytest.mark.parametrize(("truth", "lie"), [pytest.param(truth, lie, id=name.replace(" ", "-")) for name, truth, lie in STAYS])
def test_a_lie_about_stays_is_found_out(monkeypatch: pytest.MonkeyPatch, truth: str, lie: str) -> None:
    monkeypatch.setattr(translate, "stays", mutant_of(stays, truth, lie))
    assert not all(agrees(case) for case in golden.cases())


@pytest.mark.parametrize(("truth", "lie"), [pytest.param(truth, lie, id=name.replace(" ", "-")) for name, truth, lie in PLACES])
def test_a_lie_about_places_is_found_out(monkeypatch: pytest.MonkeyPatch, truth: str, lie: str) -> None:
    monkeypatch.setattr(translate, "product", mutant_of(places, truth, lie))
    assert not all(agrees(case) for case in golden.cases())
