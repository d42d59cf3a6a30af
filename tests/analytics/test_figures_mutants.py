"""Tests of the tests: each guard of the figures, taken out, is missed by a scene that is sound with it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from types import FunctionType
from typing import Any, Final

import psycopg
import pytest

from analytics import days, facts, figures, marks
from analytics.models import ZoneDay
from analytics.reports import pieces
from analytics.stream import apply, links
from tests.analytics.figures_oracle import agree, places_of
from tests.analytics.ledger import DAY, HOUR, ZONES, Ledger, moment
from tests.analytics.stage import provision
from tests.analytics.test_figures_of_the_stream import Slowly, minutes
from tests.analytics.theatre import Connection
from tests.faults.mutants import changed
from tests.figures_reference import ALWAYS, MINUTE, Question, Stay, Zone, begin_of
from tests.reference import Enter

pytestmark = pytest.mark.django_db(transaction=True)

CLOCK: Final = "Africa/Johannesburg"
TODAY: Final = begin_of(date(2026, 3, 2), CLOCK)
NOW: Final = TODAY + 5 * DAY
WEEK: Final = Question(date(2026, 2, 27), date(2026, 3, 6))
MORNING: Final = TODAY + 8 * HOUR


@pytest.fixture
def makers() -> Iterator[list[Connection]]:
    sessions = [figures.session() for _ in range(2)]
    yield sessions
    for session in sessions:
        session.close()


def ledger(*stays: Stay, now: int = NOW) -> Ledger:
    """One mall, and who was in it."""
    days.forget()
    places = {key: Zone(key, kind, CLOCK, root, ((ALWAYS, parent),), brand) for key, kind, root, parent, brand in ZONES}
    made = Ledger(places, now, TODAY, list(stays))
    made.build()
    return made


def stay(zone: str, started: int, seconds: float = 600, *, shopper: int = 1, grace: int = MINUTE, counted: bool = True) -> Stay:
    ended = started + int(seconds * 1_000_000)
    return Stay(shopper, zone, started, ended, ended + grace, counted)


def holds(scenery: Ledger, question: Question = WEEK) -> None:
    assert scenery.organisation
    agree(scenery.organisation, scenery.zones, scenery.world(), question, places_of(scenery.world()))


def make(scenery: Ledger, maker: Connection) -> None:
    figures.catch_up(maker, now=moment(scenery.now))


# --- scenes: each agrees with the definitions all the way, or somebody has lied ---------------------------------------------------


def two_makers(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """While one has read the stays and not written yet, a late one comes, and the other is quick."""
    scenery, write, left = ledger(stay("mall", MORNING)), figures._write, [True]

    def meanwhile(*arguments: Any) -> None:
        if left:
            left.clear()
            scenery.add([stay("mall", MORNING + HOUR, shopper=2)])
            figures.step(makers[1], now=moment(NOW))
        write(*arguments)

    patch.setattr(figures, "_write", meanwhile)
    make(scenery, makers[0])
    make(scenery, makers[0])
    holds(scenery)


def two_makers_at_midnight(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """One makes the day of a visit that now lasts over midnight; the other the day after, where a step of that visit has come to light since."""
    visit = stay("mall", TODAY - HOUR, 1800)
    scenery, write, left = ledger(visit, stay("brew", TODAY - HOUR, 60)), figures._write, [True]
    make(scenery, makers[0])

    def meanwhile(*arguments: Any) -> None:
        if left:
            left.clear()
            scenery.add([stay("page", TODAY + MINUTE, 60)])
            figures.step(makers[1], now=moment(NOW))
        write(*arguments)

    patch.setattr(figures, "_write", meanwhile)
    scenery.grow(visit, HOUR)
    make(scenery, makers[0])
    make(scenery, makers[0])
    holds(scenery)


def a_little_at_a_time(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    scenery = ledger(stay("mall", MORNING), stay("brew", MORNING), stay("east", MORNING + DAY))
    patch.setattr(figures, "ZONE_DAYS", 1)
    figures.recalendar(makers[0])
    for _ in range(5):
        figures.step(makers[0], now=moment(NOW))
        holds(scenery)


def a_late_step(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """Somebody turns out to have gone on to another store."""
    scenery = ledger(stay("mall", MORNING, 7200), stay("brew", MORNING, 60))
    make(scenery, makers[0])
    holds(scenery)
    scenery.add([stay("page", MORNING + HOUR, 60)])
    holds(scenery)
    make(scenery, makers[0])
    holds(scenery)


def a_late_step_after_midnight(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """The visit began the day before."""
    scenery = ledger(stay("mall", TODAY - HOUR, 7200), stay("brew", TODAY - HOUR, 60))
    make(scenery, makers[0])
    scenery.add([stay("page", TODAY + MINUTE, 60)])
    holds(scenery)
    make(scenery, makers[0])
    holds(scenery)


def still_there(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """A visit is open when its day is over, and closes by the clock alone."""
    scenery = ledger(stay("mall", TODAY - HOUR, 3600, grace=HOUR), now=TODAY + MINUTE)
    make(scenery, makers[0])
    holds(scenery)
    scenery.now += 2 * HOUR
    holds(scenery)
    make(scenery, makers[0])
    assert not ZoneDay.objects.filter(due_at__lte=moment(scenery.now)).exists()
    holds(scenery)


def edges(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """Dwells at the edges of the classes, and stays that begin and end at a quarter of an hour."""
    dwells = (299.999999, 300, 900, 1800, 3600, 3600.000001)
    scenery = ledger(*(stay("mall", MORNING, seconds, shopper=number) for number, seconds in enumerate(dwells)))
    make(scenery, makers[0])
    holds(scenery)
    holds(scenery, replace(WEEK, grain="hour", start=date(2026, 3, 2), end=date(2026, 3, 3)))


def two_visits(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """What lies between two visits, and what two people do, are no flows."""
    visits = [stay("mall", MORNING, 3600), stay("mall", MORNING + 2 * HOUR, 3600), stay("mall", MORNING, 5 * 3600, shopper=2)]
    inside = [stay("brew", MORNING, 60), stay("page", MORNING + 2 * HOUR, 60), stay("toys", MORNING + MINUTE, 60, shopper=2)]
    after = [stay("brew", MORNING + 3 * HOUR + MINUTE, 60)]
    of_no_visit = [stay("brew", MORNING + HOUR, 60, shopper=3), stay("page", MORNING + 2 * HOUR, 60, shopper=3)]
    scenery = ledger(*visits, *inside, *after, *of_no_visit)
    make(scenery, makers[0])
    holds(scenery)


def staff(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    scenery = ledger(stay("mall", MORNING), stay("mall", MORNING, shopper=2))
    make(scenery, makers[0])
    scenery.leave_out(2, lambda shoppers: marks.leave_for_shoppers(makers[1], shoppers))
    holds(scenery)
    make(scenery, makers[0])
    holds(scenery)


def restated(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    scenery = ledger(stay("mall", MORNING), stay("mall", MORNING + DAY))
    make(scenery, makers[0])
    assert not ZoneDay.objects.filter(restated_at__isnull=False).exists()
    scenery.add([stay("mall", MORNING, shopper=2)])
    scenery.now += HOUR
    make(scenery, makers[0])
    assert [(day.day, day.restated_at) for day in ZoneDay.objects.filter(restated_at__isnull=False)] == [(date(2026, 3, 2), moment(NOW + HOUR))]


def read_again(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """What was read before is still in the process's memory."""
    scenery = ledger(stay("mall", MORNING))
    make(scenery, makers[0])
    holds(scenery)
    scenery.add([stay("mall", MORNING + HOUR, 60, shopper=2)])
    make(scenery, makers[0])
    holds(scenery)


def at_the_edge_of_a_day(makers: list[Connection], patch: pytest.MonkeyPatch) -> None:
    """Days of Kathmandu begin in the middle of an hour of UTC."""
    scenery = ledger(stay("mall", MORNING))
    scenery.places = {key: replace(zone, time_zone="Asia/Kathmandu") for key, zone in scenery.places.items()}
    scenery.build()
    make(scenery, makers[0])
    midnight = begin_of(date(2026, 3, 3), "Asia/Kathmandu")
    scenery.add([stay("mall", midnight, 60, shopper=2), stay("brew", midnight - 1, 60, shopper=2)])
    holds(scenery)
    make(scenery, makers[0])
    holds(scenery)


SHARE: Final = '        keys = _share(cursor, ground, wanted, careful=careful)\n        point("figures.locked")\n'
WORK: Final = "        rebuild(cursor, ground, sorted(keys), now=moment)\n"
Scene = Callable[[list[Connection], pytest.MonkeyPatch], None]
# The scene that finds it out, the function, what it says, and the lie.
LIES: Final[list[tuple[Scene, Callable[..., Any], str, str]]] = [
    (two_makers, figures._lock, "pg_try_advisory_xact_lock(%s, ", "(%s <> "),
    (two_makers_at_midnight, figures._lock, "pg_try_advisory_xact_lock(%s, ", "(%s <> "),
    (two_makers, figures.step, SHARE + WORK, WORK.replace("keys", "wanted") + SHARE),
    (a_little_at_a_time, figures.step, 'taken["id"][told].tolist()', 'taken["id"].tolist()'),
    (a_late_step, days.roots_touched, "return below | earlier", "return set()"),
    (a_late_step_after_midnight, days.roots_touched, "return below | earlier", "return below"),
    (still_there, days.read, "marked | cut | unsettled", "marked | cut"),
    (still_there, figures.step, "if not len(taken[", "due = []\n        if not len(taken["),
    (still_there, figures.rebuild, "if settles[key] <= now]", "]"),
    (edges, pieces.Dwells.quantiles, "(counts - 1, 0) for share", "(counts, 0) for share"),
    (edges, facts.classes_of, 'side="right"', 'side="left"'),
    (edges, facts.classes_of, "dwell > 60 * MINUTE", "dwell >= 60 * MINUTE"),
    (edges, facts._presence, "last = (until - begin) // QUARTER", "last = (until - begin - 1) // QUARTER"),
    (edges, facts._presence, "first = -((begin - s.started) // QUARTER)", "first = -((begin - s.started - 1) // QUARTER)"),
    (two_visits, facts.flows, "(of[1:] == of[:-1]) & ", ""),
    (two_visits, facts.flows, " & (inside.started[belongs] <= v.ended[visit[belongs]])", ""),
    (two_visits, facts.flows, "(v.shopper[visit[belongs]] == inside.shopper[belongs]) & ", ""),
    (staff, days.stays_of, "WHERE {COUNTED}", "WHERE true"),
    (restated, figures._write, "restated_at = to_moment(now)", "pass"),
    (restated, figures._write, "before.sealed and ", ""),
    (read_again, days._fill, "digests[low:high])]", "[0] * (high - low))]"),
    (at_the_edge_of_a_day, days.days_of_marks, "clock.days_of(begins + HOUR_US - 1)", "clock.days_of(begins)"),
    (at_the_edge_of_a_day, days.days_of_marks, "clock.days_of(begins), ", "clock.days_of(begins + HOUR_US - 1), "),
]


@contextmanager
def lying(function: Callable[..., Any], truth: str, lie: str) -> Iterator[None]:
    assert isinstance(function, FunctionType)
    kept = function.__code__
    function.__code__ = changed(function, truth, lie)
    try:
        yield
    finally:
        function.__code__ = kept


@pytest.mark.parametrize("scene", dict.fromkeys(lie[0] for lie in LIES))
def test_a_scene_is_sound(makers: list[Connection], monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    scene(makers, monkeypatch)


@pytest.mark.parametrize(("scene", "function", "truth", "lie"), [pytest.param(*lie, id=f"{lie[1].__qualname__}: {lie[2].strip()[:40]}") for lie in LIES])
def test_a_lie_about_figures_is_found_out(
    makers: list[Connection], monkeypatch: pytest.MonkeyPatch, scene: Scene, function: Callable[..., Any], truth: str, lie: str
) -> None:
    with lying(function, truth, lie), pytest.raises((AssertionError, IndexError, ValueError, psycopg.Error)):
        if scene is read_again:
            monkeypatch.setattr(days._cache, "put", shelved_by_nothing(days._cache.put))
        scene(makers, monkeypatch)


def shelved_by_nothing(put: Callable[..., None]) -> Callable[..., None]:
    """What the lie about the memory needs beside itself: values are also put there without their digest."""

    def put_so(shelf: Any, values: list[tuple[int, Any, int]]) -> None:
        put(shelf, [(0, value, size) for _, value, size in values])

    return put_so


# --- what the stream leaves for the figures ---------------------------------------------------------------------------------------


def moved(slowly: Slowly) -> None:
    """A visit that began after midnight begins before it."""
    for seconds in (30, 100, 200):
        slowly.tell(TODAY_OF_TABLE + seconds * 1_000_000, Enter("shop"))
    slowly.visits()
    slowly.tell(TODAY_OF_TABLE - 60_000_000, Enter("shop"))
    slowly.visits()


def grown(slowly: Slowly) -> None:
    for at in minutes(0, 1):
        slowly.tell(at, Enter("shop"))
    slowly.visits()
    slowly.tell(*minutes(2), Enter("shop"))
    slowly.visits()


def nested(slowly: Slowly) -> None:
    """A booth turns out to lie beside the shop that it was thought to lie in: nobody's stays are others, but the ways from zone to zone are."""
    for at in minutes(0, 1, 2):
        for zone in ("booth", "shop"):
            slowly.tell(at, Enter(zone))
    for at in minutes(3, 4, 5, 6):
        slowly.tell(at, Enter("cafe"))
    slowly.visits()
    slowly.places = replace(slowly.places, zones={**slowly.places.zones, "booth": (replace(slowly.places.zones["booth"][0], parent="mall"),)})
    provision(slowly.theatre.stage, slowly.places, since=None)
    slowly.theatre.drain()
    slowly.visits()


TODAY_OF_TABLE: Final = minutes(0)[0] - 8 * HOUR
LEFT: Final[list[tuple[Callable[[Slowly], None], Callable[..., Any], str, str]]] = [
    (grown, marks.leave, "if not len(zone):", "if True:"),
    (moved, apply.write, "(change.before.zone[found.gone], ", "(change.before.zone[:0], "),
    (nested, links.recut, "marks.leave_for_roots(connection, organisation, since)", "pass"),
]


@pytest.fixture
def slowly(crew: list[Connection], makers: list[Connection]) -> Slowly:
    days.forget()
    return Slowly(crew, makers[0])


@pytest.mark.parametrize("scene", [lie[0] for lie in LEFT])
def test_what_the_stream_leaves_is_enough(slowly: Slowly, scene: Callable[[Slowly], None]) -> None:
    scene(slowly)


@pytest.mark.parametrize(("scene", "function", "truth", "lie"), [pytest.param(*lie, id=lie[1].__qualname__) for lie in LEFT])
def test_a_mark_that_is_not_left_is_missed(slowly: Slowly, scene: Callable[[Slowly], None], function: Callable[..., Any], truth: str, lie: str) -> None:
    with lying(function, truth, lie), pytest.raises((AssertionError, ValueError)):
        scene(slowly)
