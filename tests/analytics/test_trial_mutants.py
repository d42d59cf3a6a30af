"""Tests of the tests: small lies put into trials are found out."""

from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Final

import pytest

from analytics import trial, what_if
from analytics.stream import loop
from engagement import partitions
from engagement.models import Organisation
from tests.analytics import test_trial as told
from tests.analytics.test_mutants import mutant_of

pytestmark = pytest.mark.django_db(transaction=True)


def crowd(organisation: Organisation, worker: loop.Worker) -> None:
    told.test_the_present_column_is_what_is_stored_and_the_tried_one_what_the_correction_makes(organisation, worker, 0)


def edges(organisation: Organisation, worker: loop.Worker) -> None:
    told.test_today_and_what_began_eight_days_ago_are_no_part_of_it(organisation, told.zone_of("north-door"), worker)


LIES: Final[list[tuple[Callable[..., None], ModuleType, str, str]]] = [
    # What finds it out, the room, what it says, and the lie.
    (told.test_a_stay_that_is_only_held_around_the_first_midnight_began_before_it, what_if, "wider = left | right", "wider = right"),
    (told.test_a_stay_of_many_days_is_followed_to_its_beginning_and_to_its_end, what_if, "wider = left | right", "wider = left"),
    (told.test_who_has_no_stay_yet_is_found_where_weaker_signals_are_tried, what_if, "tried.enter_rssi >= version.enter_rssi and", ""),
    (told.test_who_has_no_stay_yet_is_found_where_weaker_signals_are_tried, what_if, "sight if places.same_sight else", "sight if True else"),
    (told.test_a_boundary_can_be_tried_too, what_if, " and tried.boundary == version.boundary", ""),
    (crowd, what_if, "_below(versions, zone) | _above(versions, zone)", "_below(versions, zone)"),
    (crowd, what_if, "_below(versions, zone) | _above(versions, zone)", "_above(versions, zone)"),
    (crowd, what_if, "v if v.zone in below else replace(v, boundary=None)", "v if v.zone == question.zone else replace(v, boundary=None)"),
    (crowd, what_if, "p for p in placements if p.zone in below", "p for p in placements if False"),
    (crowd, what_if, "<= BACK_WITHIN_US", "<= 2 * BACK_WITHIN_US"),
    (edges, what_if, "(chains.opened >= question.since) & ", ""),
    (edges, what_if, " & (chains.opened < question.until)", ""),
    (crowd, trial, "np.sort(dwells)", "dwells"),
]


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


@pytest.mark.parametrize(("finds", "room", "truth", "lie"), [pytest.param(*one, id=f"{one[1].__name__}: {one[2][:40]} -> {one[3][:40]}") for one in LIES])
def test_a_lie_in_a_trial_is_found_out(
    monkeypatch: pytest.MonkeyPatch, acme: Organisation, worker: loop.Worker, finds: Callable[..., Any], room: ModuleType, truth: str, lie: str
) -> None:
    mutant = mutant_of(room, truth, lie)
    for function in [key for key, value in vars(mutant).items() if isinstance(value, FunctionType) and value.__module__ == mutant.__name__]:
        monkeypatch.setattr(room, function, getattr(mutant, function))
    with pytest.raises(AssertionError):
        finds(acme, worker)
