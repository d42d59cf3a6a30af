"""From events to figures: however late, shuffled or repeated they come, figures are those of the stays that the definitions make of them."""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import days, figures
from analytics.models import Mark, ZoneDay
from engagement.models import Venue
from tests import figures_reference as reference
from tests import golden
from tests.analytics import stage
from tests.analytics.figures_oracle import agree, places_of
from tests.analytics.ledger import moment
from tests.analytics.stage import Request
from tests.analytics.test_stream_law import earlier, first_difference, scripts
from tests.analytics.theatre import Connection, Theatre
from tests.figures_reference import Question, World, Zone
from tests.reference import Enter, Event, Exit, Payload, Shopper, Stay
from tests.worlds import DAY, HOUR, TODAY, search, worlds
from tests.worlds import World as Told

pytestmark = pytest.mark.django_db(transaction=True)

CLOCKS: Final = ("UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
WHOLE: Final = Question(TODAY - 5 * DAY, TODAY + 5 * DAY)


@pytest.fixture
def maker() -> Iterator[Connection]:
    """The figures' own connection."""
    session = figures.session()
    yield session
    session.close()


def world_of(stays: list[Stay], told: Told, time_zone: str, now: int) -> World:
    """The reference's stays, with numbers for shoppers."""
    numbers: dict[Shopper, int] = {}
    listed = tuple(
        reference.Stay(numbers.setdefault(stay.shopper, len(numbers)), stay.zone, stay.started, stay.ended, stay.closes_at, stay.counted) for stay in stays
    )
    (root,) = (zone for zone, versions in told.places.zones.items() if versions[0].parent is None)
    zones = {
        key: Zone(key, "venue" if key == root else "area", time_zone, root, tuple((version.valid_from, version.parent) for version in versions))
        for key, versions in told.places.zones.items()
    }
    return World(zones, listed, now)


def agrees(theatre: Theatre, world: World, question: Question) -> None:
    numbers = {key: zone.pk for key, zone in theatre.stage.zones.items()}
    agree(theatre.stage.organisation, numbers, world, question, places_of(world))


@search(12)
@given(data=st.data(), told=worlds(most_events=14))
def test_figures_follow_whatever_the_stream_makes_of_history(crew: list[Connection], maker: Connection, data: st.DataObject, told: Told) -> None:
    """Places become known in the middle of it, devices are named late, and figures are made at any time in between."""
    days.forget()
    before = data.draw(earlier(told.places), label="places before")
    theatre = Theatre(told, crew, places=before)
    time_zone, now = data.draw(st.sampled_from(CLOCKS)), TODAY + data.draw(st.sampled_from((9 * HOUR, 25 * HOUR, 4 * DAY)))
    Venue.objects.update(time_zone=time_zone)
    script = data.draw(scripts(told), label="script")
    heard = data.draw(st.integers(0, len(script)), label="when the change is heard of")
    for number, act in enumerate([*script, None]):
        if number == heard:
            stage.provision(theatre.stage, told.places, since=first_difference(before, told.places))
        theatre.play([act] if act else [])
        if data.draw(st.booleans(), label="figures are made"):
            figures.catch_up(maker, now=moment(now))
    theatre.drain()
    world = world_of(told.stays(), told, time_zone, now)
    agrees(theatre, world, WHOLE)  # what waits is read from the stays
    figures.catch_up(maker, now=moment(now))
    assert not Mark.objects.exists()
    agrees(theatre, world, WHOLE)
    agrees(theatre, world, Question(TODAY, TODAY + DAY, "hour"))


# --- case 24, told slowly -------------------------------------------------------------------------------------------------------


MIDNIGHT: Final = TODAY  # on the clock of the venue, which is UTC here
NOW: Final = TODAY + 3 * DAY


class Slowly:
    """One phone whose events come one by one; figures are made after each."""

    def __init__(self, crew: list[Connection], maker: Connection) -> None:
        self.places = golden.cases()[0].places
        self.theatre, self.maker = Theatre(Told(self.places, ()), crew), maker
        self.told: list[Event] = []

    def tell(self, at: int, payload: Payload, *, device: str = "phone", shopper: str | None = None) -> None:
        event = Event("acme", device, UUID(int=len(self.told) + 1), payload, at, TODAY + 2 * DAY, shopper=shopper, arrival=len(self.told))
        self.told.append(event)
        self.theatre.stage.accept(Request((event,)))
        self.theatre.drain()

    def visits(self) -> dict[str, int]:
        """Of the shop by day, as read before the figures are made again and after: they are the same."""
        found = []
        for make in (False, True):
            if make:
                figures.catch_up(self.maker, now=moment(NOW))
            world = world_of(Told(self.places, tuple(self.told)).stays(), Told(self.places, ()), "UTC", NOW)
            agrees(self.theatre, world, WHOLE)
            rows = reference.footfall(world, ("shop",), WHOLE)["rows"]
            found.append({row["period"]: row["visits"] for row in rows if row["visits"]})
        assert found[0] == found[1]
        return found[0]

    def restated(self) -> set[date]:
        """Days of the shop that are no longer what they were when they had ended."""
        zone = self.theatre.stage.zones["shop"].pk
        return set(ZoneDay.objects.filter(zone_id=zone, restated_at__isnull=False).values_list("day", flat=True))


@pytest.fixture
def slowly(crew: list[Connection], maker: Connection) -> Slowly:
    return Slowly(crew, maker)


def minutes(*offsets: float) -> list[int]:
    """Instants after eight in the morning."""
    return [TODAY + 8 * HOUR + int(offset * 60_000_000) for offset in offsets]


def test_case_24_a_late_event_that_joins_two_visits_leaves_one_in_the_figures(slowly: Slowly) -> None:
    for at in minutes(0, 2, 5, 7):
        slowly.tell(at, Enter("shop"))
    assert slowly.visits() == {"2026-03-02": 2}
    assert slowly.restated() == set()
    slowly.tell(*minutes(3.5), Enter("shop"))
    assert slowly.visits() == {"2026-03-02": 1}
    assert slowly.restated() == {date(2026, 3, 2)}


def test_case_24_a_late_exit_that_splits_a_visit_leaves_two_in_the_figures(slowly: Slowly) -> None:
    for at in minutes(0, 2, 4, 6):
        slowly.tell(at, Enter("shop"))
    assert slowly.visits() == {"2026-03-02": 1}
    slowly.tell(*minutes(3), Exit("shop"))
    assert slowly.visits() == {"2026-03-02": 2}
    assert slowly.restated() == {date(2026, 3, 2)}


def test_case_24_a_late_event_that_moves_a_visit_over_midnight_corrects_both_days(slowly: Slowly) -> None:
    for seconds in (30, 100, 200):
        slowly.tell(MIDNIGHT + seconds * 1_000_000, Enter("shop"))
    assert slowly.visits() == {"2026-03-02": 1}
    slowly.tell(MIDNIGHT - 60_000_000, Enter("shop"))
    assert slowly.visits() == {"2026-03-01": 1}
    assert slowly.restated() == {date(2026, 3, 2)}  # the first of March was never shown otherwise


def test_case_38_a_late_event_for_a_sealed_day_restates_that_day_alone(slowly: Slowly) -> None:
    for day in (0, 1):
        for at in minutes(0, 2):
            slowly.tell(at + day * DAY, Enter("shop"))
    assert slowly.visits() == {"2026-03-02": 1, "2026-03-03": 1}
    for at in minutes(60, 62):
        slowly.tell(at, Enter("shop"), device="tablet")
    assert slowly.visits() == {"2026-03-02": 2, "2026-03-03": 1}
    assert slowly.restated() == {date(2026, 3, 2)}
    slowly.tell(minutes(60)[0], Enter("shop"), device="tablet")  # the same again says nothing new
    before = stored(slowly)
    assert slowly.visits() == {"2026-03-02": 2, "2026-03-03": 1}
    assert stored(slowly) == before


def stored(slowly: Slowly) -> list[dict[str, Any]]:
    return list(ZoneDay.objects.filter(zone_id=slowly.theatre.stage.zones["shop"].pk).values("day", "digest", "restated_at"))


def test_case_35_two_phones_that_turn_out_to_be_one_persons_are_one_visitor(slowly: Slowly) -> None:
    for device in ("phone", "tablet"):
        for at in minutes(0, 2):
            slowly.tell(at + (device == "tablet") * HOUR, Enter("shop"), device=device)
    assert slowly.visits() == {"2026-03-02": 2}
    figures.catch_up(slowly.maker, now=moment(NOW))
    assert visitors(slowly) == 2
    for device in ("phone", "tablet"):
        slowly.tell(minutes(300)[0], Enter("street"), device=device, shopper="crm")
    assert slowly.visits() == {"2026-03-02": 2}
    assert visitors(slowly) == 1


def visitors(slowly: Slowly) -> int:
    return ZoneDay.objects.get(zone_id=slowly.theatre.stage.zones["shop"].pk, day=date(2026, 3, 2), open=True).visitors
