"""The law of figures: whatever was stored of them, and in whatever order it was made, what is read is what the definitions say of the stays."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import days, figures, marks
from analytics.models import Mark, ZoneDay
from analytics.recount import recount
from analytics.reports.catalogue import REPORTS
from tests import figures_reference as reference
from tests.analytics import ledger as rows
from tests.analytics.figures_oracle import agree, places_of
from tests.analytics.ledger import DAY, HOURS, MINUTE, SHOPPERS, Ledger, instants, ledgers, moment, questions
from tests.analytics.theatre import Connection
from tests.worlds import search

pytestmark = pytest.mark.django_db(transaction=True)

PLACES: Final = ("mall", "brew", "ground", "street", "east")  # and the brand of the same key as the store
Act = Callable[[Ledger, st.DataObject, list[Connection]], None]


@pytest.fixture
def crew(transactional_db: None) -> Iterator[list[Connection]]:
    """Three workers' connections."""
    sessions = [figures.session() for _ in range(3)]
    yield sessions
    for session in sessions:
        session.close()


def agrees(ledger: Ledger, question: reference.Question) -> None:
    """Every report says of every place what the definitions say."""
    assert ledger.organisation
    world = ledger.world()
    agree(ledger.organisation, ledger.zones, world, question, [place for place in places_of(world) if place[1] in PLACES])


# --- what happens ---------------------------------------------------------------------------------------------------------------


def late(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.add(data.draw(rows.stays(ledger, 3), label="late stays"))


def withdrawn(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    if ledger.stays:
        ledger.remove(data.draw(st.lists(st.sampled_from(ledger.stays), max_size=3), label="removed"))


def longer(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    if ledger.stays:
        ledger.grow(data.draw(st.sampled_from(ledger.stays), label="grows"), data.draw(st.sampled_from((1, MINUTE, 30 * MINUTE))))


def merged(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.merge(*data.draw(st.permutations(SHOPPERS), label="merged into")[:2])


def staff(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.leave_out(data.draw(st.sampled_from(SHOPPERS), label="left out, or no longer"), lambda shoppers: marks.leave_for_shoppers(crew[0], shoppers))


def moved(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    zone, parent = data.draw(st.sampled_from(("toys", "food", "page"))), data.draw(st.sampled_from(("ground", "upper", "mall")))
    ledger.move(zone, parent, data.draw(instants(ledger.anchor), label="moved at"), lambda since: marks.leave_for_roots(crew[0], 1, since))


def reopened(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.reopen(data.draw(st.sampled_from(rows.ROOTS)), data.draw(st.sampled_from(HOURS), label="opening hours"))
    figures.recalendar(crew[0])


def later(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.now += data.draw(st.sampled_from((1, MINUTE, 15 * MINUTE, DAY, 3 * DAY)), label="later by")


def step(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    """A worker takes some of the marks."""
    worker = data.draw(st.sampled_from(crew))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "MARKS", data.draw(st.sampled_from((1, 2, 5)), label="marks"))
        patch.setattr(figures, "ZONE_DAYS", data.draw(st.sampled_from((1, 3, 300)), label="zones' days"))
        figures.recalendar(worker)
        figures.step(worker, now=moment(ledger.now), careful=data.draw(st.booleans(), label="careful"))


def caught_up(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    figures.catch_up(crew[0], now=moment(ledger.now))


def dropped(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    ledger.forget_figures()


def forgotten(ledger: Ledger, data: st.DataObject, crew: list[Connection]) -> None:
    days.forget()


ACTS: Final[tuple[Act, ...]] = (
    late, late, withdrawn, longer, merged, staff, moved, reopened, later, later, step, step, step, step, caught_up, caught_up, dropped, forgotten,
)  # fmt: skip


# --- the law --------------------------------------------------------------------------------------------------------------------


@search(20)
@given(data=st.data(), ledger=ledgers())
def test_figures_are_those_of_the_definitions_whatever_was_made_of_them_when(crew: list[Connection], data: st.DataObject, ledger: Ledger) -> None:
    days.forget()
    ledger.build()
    agrees(ledger, data.draw(questions(ledger), label="question"))
    for act in data.draw(st.lists(st.sampled_from(ACTS), min_size=1, max_size=8), label="acts"):
        act(ledger, data, crew)
        if act is not forgotten:
            agrees(ledger, data.draw(questions(ledger), label="question"))
    caught_up(ledger, data, crew)
    assert not Mark.objects.exists()
    agrees(ledger, data.draw(questions(ledger), label="question"))


@search(10)
@given(data=st.data(), ledger=ledgers())
def test_days_are_the_same_made_in_any_order_and_made_anew(crew: list[Connection], data: st.DataObject, ledger: Ledger) -> None:
    ledger.build()
    for act in data.draw(st.lists(st.sampled_from((late, withdrawn, longer, merged, staff, step, step)), max_size=6), label="acts"):
        act(ledger, data, crew)
    caught_up(ledger, data, crew)
    before = stored()
    ledger.forget_figures()
    for _ in range(data.draw(st.integers(0, 4))):
        step(ledger, data, crew)
    caught_up(ledger, data, crew)
    assert stored() == before
    assert [example for example in recount(now=moment(ledger.now)).examples if example.startswith("Figures")] == []


def stored() -> list[dict[str, Any]]:
    """Every stored day that says something; not when it was made."""
    told = [name for field in ZoneDay._meta.fields if (name := field.attname) not in ("built_at", "restated_at")]
    return list(ZoneDay.objects.exclude(digest=0, due_at=None).order_by("zone_id", "day", "open").values(*told))


def test_every_report_is_held_against_the_definitions() -> None:
    assert REPORTS.keys() == {*reference.FIGURES, "cross-visits"}
