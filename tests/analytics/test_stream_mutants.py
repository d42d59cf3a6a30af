"""Tests of the tests: small lies put into the stream are found out by a case of the table, told event by event."""

from types import FunctionType, ModuleType
from typing import Final

import psycopg
import pytest

from analytics.stream import events, identities, links, presence, work
from tests import golden
from tests.analytics.stage import Request
from tests.analytics.test_mutants import mutant_of
from tests.analytics.theatre import Connection, Theatre
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

LIES: Final = [
    # The case that finds it out, the room, what it says, and the lie.
    ("a late point joins two stays that", work, "late = first <= known.last_at", "late = np.zeros(len(ids), np.bool_)"),
    ("an exit cuts also what is told later", work, "late = first <= known.last_at", "late = first < known.last_at"),
    ("an exit between two points", presence, "before.closes_at[before.cut])", "before.closes_at[before.cut] + 10**12)"),
    ("a late point joins two stays that", presence, "first[order] - places.max_grace", "first[order]"),
    ("a late exit splits a stay that began long", presence, "np.minimum.at(since, place, found.started)", "pass"),
    ("the minimum is that of", presence, "places.min_stay(after.zone, after.opened)", "places.min_stay(after.zone, after.ended)"),
    (
        "a gap is judged by the version valid at the observation before it, though a longer",
        presence,
        "places.grace(before.zone, before.ended)",
        "places.grace(before.zone, before.ended + 10**9)",
    ),
    ("a repeat on another day", events, "for active in days.get(id, ())", "for active in ()"),
    ("the first identified event decides by its time", identities, "(one.occurred_at, one.event_id) < device_known.first", "False"),
    ("at one instant the lower id", identities, "(one.occurred_at, one.event_id) < device_known.first", "one.occurred_at < device_known.first[0]"),
    ("a device that is identified later", links, "    if owner != shopper:", "    if False:"),
    ("an anonymous past that was no stay", links, "np.maximum(known.last_at, reached)", "known.last_at"),
]


@pytest.mark.parametrize(("name", "room", "truth", "lie"), [pytest.param(*lie, id=f"{lie[1].__name__}: {lie[3]}") for lie in LIES])
def test_a_lie_in_the_stream_is_found_out(monkeypatch: pytest.MonkeyPatch, crew: list[Connection], name: str, room: ModuleType, truth: str, lie: str) -> None:
    (case,) = (case for case in golden.cases() if case.name.startswith(name))
    assert told(case, crew), "the case holds without the lie"
    mutant = mutant_of(room, truth, lie)
    for function in [key for key, value in vars(mutant).items() if isinstance(value, FunctionType) and value.__module__ == mutant.__name__]:
        monkeypatch.setattr(room, function, getattr(mutant, function))
    assert not told(case, crew)


def told(case: golden.Case, crew: list[Connection]) -> bool:
    """Does the stream make the stays of the case? A worker that fails does not."""
    theatre = Theatre(World(case.places, case.events), crew)
    try:
        for event in case.events:
            theatre.stage.accept(Request((event,)))
            theatre.drain()
    except (psycopg.Error, events.Collision):
        return False
    return tuple(theatre.stage.stays()) == case.stays
