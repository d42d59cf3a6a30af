"""Stays after raw events are gone: what is told later changes them as if everything were still there."""

import io
from dataclasses import replace
from datetime import timedelta
from types import FunctionType, ModuleType
from typing import Any, Final
from uuid import UUID

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from analytics.recount import recount
from analytics.stream import closing, erasing, presence
from engagement import retention
from engagement.models import Event as StoredEvent
from engagement.models import Organisation, Outcome
from tests.analytics import erasures, stage
from tests.analytics.stage import moment, requests_of
from tests.analytics.test_mutants import mutant_of
from tests.analytics.theatre import Connection, Theatre
from tests.golden import ORGANISATION
from tests.reference import SECOND, Enter, Event, Exit, Places, Version, distinct, occurred_at
from tests.worlds import DAY, TODAY, World, search, worlds

pytestmark = pytest.mark.django_db(transaction=True)

CLOSED: Final = TODAY + DAY  # many worlds lie around this midnight
LONGEST_GRACE: Final = 900 * SECOND
LATER: Final = moment(CLOSED) + timedelta(days=90)  # when the day before is past its time


def owned(world: World) -> World:
    """The same, where each device is always the same person's: whose an anonymous past is can change only while it is there."""
    owner: dict[str, str | None] = {}
    return World(world.places, tuple(replace(event, shopper=owner.setdefault(event.device, event.shopper)) for event in world.events))


def drop(connection: Connection) -> int:
    """As it is done 90 days later."""
    Outcome.objects.update(hour=moment(TODAY - 300 * DAY))
    parts = retention.due(connection, now=LATER)
    return retention.drop(connection, parts, hold=closing.hold)


@pytest.fixture(autouse=True)
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worlds lie a few days back: without this nobody would ask whether they are closed."""
    monkeypatch.setattr(closing, "SURELY_OPEN_US", 0)


@search(40)
@given(data=st.data(), world=worlds(most_events=14))
def test_what_is_told_later_makes_the_stays_that_it_would_have_made(crew: list[Connection], data: st.DataObject, world: World) -> None:
    world = owned(world)
    events = distinct(world.events)
    old = [event for event in events if occurred_at(event) < CLOSED]
    new = [event for event in events if occurred_at(event) >= CLOSED]
    late = [e for e in new if occurred_at(e) >= CLOSED + LONGEST_GRACE or not isinstance(e.payload, Exit)]
    late = data.draw(st.lists(st.sampled_from(late), unique=True) if late else st.just([]), label="told later")
    known = [event for event in events if event not in late]
    theatre = Theatre(World(world.places, tuple(events)), crew)
    told(theatre, *known)
    assert drop(crew[0]) == len({(e.device, e.id) for e in old})
    for request in requests_of(data.draw(st.permutations(late), label="order")):
        theatre.stage.accept(request)
        theatre.drain()
    theatre.agrees()


PLACES: Final = Places({"root": (Version(None, 900, 300, 100.0),), "a": (Version("root", 900, 300, 100.0),)})


def seen(minute: int, *, device: str = "phone", shopper: str | None = "ann", payload: Any = None) -> Event:
    at = CLOSED + minute * 60 * SECOND
    number = (1 << 40) + minute
    return Event(ORGANISATION, device, UUID(int=number), payload or Enter("a"), at, TODAY + 2 * DAY, shopper=shopper)


def told(theatre: Theatre, *events: Event) -> None:
    for request in requests_of(events):
        theatre.stage.accept(request)
    theatre.drain()


def in_a(theatre: Theatre) -> list[tuple[int, int]]:
    """Stays in zone a: minutes from the closing."""
    return [((one.started - CLOSED) // SECOND // 60, (one.ended - CLOSED) // SECOND // 60) for one in theatre.stage.stays() if one.zone == "a"]


@pytest.fixture
def theatre(crew: list[Connection]) -> Theatre:
    return Theatre(World(PLACES, ()), crew)


def test_a_stay_that_goes_on_over_the_closing_keeps_its_beginning(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, *(seen(minute) for minute in (-30, -20, -10, 2, 10)))
    drop(crew[0])
    assert StoredEvent.objects.count() == 2
    told(theatre, seen(20), seen(5), seen(60))
    assert in_a(theatre) == [(-30, 20), (60, 60)]
    assert recount().examples == []


def test_a_stay_that_ended_before_the_closing_may_still_go_on_after_it(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-30), seen(-20), seen(-10), seen(30))
    drop(crew[0])
    assert in_a(theatre) == [(-30, -10), (30, 30)]
    told(theatre, seen(3), seen(16))
    assert in_a(theatre) == [(-30, 30)]
    assert recount().examples == []


def test_a_late_exit_ends_a_stay_that_began_before_the_closing(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-30), seen(-20), seen(-8), seen(5), seen(18))
    drop(crew[0])
    told(theatre, seen(12, payload=Exit("root")))
    assert in_a(theatre) == [(-30, 5), (18, 18)]
    assert recount().examples == []


def test_what_happened_before_the_closing_is_not_taken_in_any_more_and_is_counted(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-30), seen(-20), seen(5))
    drop(crew[0])
    before = in_a(theatre)
    told(theatre, seen(-15), seen(-30), seen(-300))
    assert in_a(theatre) == before
    assert StoredEvent.objects.count() == 1
    assert Outcome.objects.get(outcome="too_old").events == 3
    assert recount().examples == []


def test_places_that_change_make_again_what_can_be_made_again_and_leave_the_rest(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-600), seen(-590), seen(-30), seen(-20), seen(-8), seen(5), seen(18), seen(25))
    drop(crew[0])
    assert in_a(theatre) == [(-600, -590), (-30, 25)]
    shorter = Places({"root": (Version(None, 900, 300, 100.0),), "a": (Version("root", 600, 900, 100.0),)})
    stage.provision(theatre.stage, shorter, since=None)
    theatre.drain()
    assert in_a(theatre) == [(-600, -590), (-30, 5), (18, 25)]
    assert [one.counted for one in theatre.stage.stays() if one.zone == "a"] == [True, True, False]  # the first would be too short now
    assert recount().examples == []


def test_a_device_that_is_named_later_takes_along_the_past_that_is_still_there(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, *(seen(minute, shopper=None) for minute in (-30, -20, -8, 5, 18)))
    drop(crew[0])
    told(theatre, seen(30))
    (before, after) = sorted(stay for stay in theatre.stage.stays() if stay.zone == "a")
    assert (before.shopper.key, after.shopper.key) in {("phone", "ann"), ("ann", "phone")}
    assert sorted(in_a(theatre)) == [(-30, -1), (5, 30)]
    assert recount().examples == []


def test_who_named_the_device_first_is_not_asked_of_events_that_are_gone(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-30), seen(20, shopper="bob"), seen(25, shopper=None))
    drop(crew[0])
    assert recount().examples == []


def test_an_organisation_with_everything_is_compared_to_the_last_unit(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, seen(-30), seen(5))
    StoredEvent.objects.filter(occurred_at__lt=moment(CLOSED)).delete()
    assert len(recount().examples) >= 2
    Organisation.objects.update(raw_closed_before=moment(CLOSED).date())
    report = recount()
    assert (report.examples, report.closed) == ([], {ORGANISATION: moment(CLOSED).date()})
    call_command("recount", stdout=(out := io.StringIO()))
    assert f"Of acme from {moment(CLOSED).date()} on" in out.getvalue()


LIES: Final = [
    # What is told after the closing, what then stands, the room, what it says, and the lie.
    ((20,), [(-30, 20)], presence, "last = np.minimum(mine.ended, closed - 1)", "last = mine.started"),
    ((20,), [(-30, 20)], presence, "segments.join(begun(before, places, closed))", "segments"),
    ((-15, 20), [(-30, 20)], closing, "old = said.occurred_at < limit[said.row]", "old = said.occurred_at < 0"),
]


@pytest.mark.parametrize(("later", "stand", "room", "truth", "lie"), LIES, ids=[lie[-1] for lie in LIES])
@pytest.mark.parametrize("lies", [False, True], ids=["sound", "mutant"])
def test_a_lie_about_the_closing_is_found_out(
    crew: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
    later: tuple[int, ...],
    stand: list[tuple[int, int]],
    room: ModuleType,
    truth: str,
    lie: str,
    lies: bool,
) -> None:
    theatre = Theatre(World(PLACES, ()), crew)
    told(theatre, *(seen(minute) for minute in (-30, -20, -10, 2, 10)))
    if lies:
        mutant = mutant_of(room, truth, lie)
        for name in [key for key, value in vars(mutant).items() if isinstance(value, FunctionType) and value.__module__ == mutant.__name__]:
            monkeypatch.setattr(room, name, getattr(mutant, name))
        monkeypatch.setattr(closing, "SURELY_OPEN_US", 0)
    drop(crew[0])
    told(theatre, *(seen(minute) for minute in later), seen(1))
    kept = StoredEvent.objects.filter(occurred_at__lt=moment(CLOSED)).count()
    assert ((in_a(theatre), kept) == (stand, 0)) == (not lies)


def test_who_is_erased_after_his_events_are_gone_leaves_no_stay(crew: list[Connection], theatre: Theatre) -> None:
    told(theatre, *(seen(minute) for minute in (-300, -290, -30, -20, -8, 5)), *(seen(minute, device="tablet", shopper="bob") for minute in (7, 9)))
    drop(crew[0])
    erasures.ask(Organisation.objects.get(), "ann")
    assert erasing.erase(crew[0])
    assert {stay.shopper.key for stay in theatre.stage.stays()} == {"bob"}
    assert StoredEvent.objects.count() == 2
    assert recount().examples == []
