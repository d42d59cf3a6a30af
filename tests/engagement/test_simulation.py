"""The simulated mall: a plan without overlaps, habits that look like habits, and what phones notice of it."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from shapely import Polygon

from engagement import opening
from engagement.simulation.mall import CITIES, HOURS, ROOT, Mall
from engagement.simulation.people import SHOPPERS, Population
from engagement.simulation.phones import MOST_EVENTS, Pocket, history
from engagement.simulation.traces import Day, Trace

FIRST = date(2026, 9, 21)  # a Monday
FRIDAY, SATURDAY, TUESDAY = (FIRST + timedelta(days=number) for number in (4, 5, 1))


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(seed=7, mall=Mall(), first_day=FIRST)


@pytest.fixture(scope="module")
def saturday(population: Population) -> Day:
    return Day(population, SATURDAY)


@pytest.fixture(scope="module")
def traces(saturday: Day) -> list[Trace]:
    return list(saturday.traces())


def events(traces: list[Trace]) -> list[dict[str, Any]]:
    return [json.loads(text) for trace in traces for text in trace.texts]


def test_the_mall_has_two_floors_forty_stores_and_a_street_outside() -> None:
    kinds = Counter(place.kind for place in Mall().places)
    assert kinds == {"store": 40, "floor": 2, "area": 5, "entrance": 3, "street": 2}


def test_the_mall_is_open_while_nearly_all_come_and_some_come_by_night(population: Population) -> None:
    assert not opening.faults(HOURS)
    for number in range(7):
        day = FIRST + timedelta(days=number)
        [(start, end)] = opening.spans(HOURS, day, ZoneInfo("UTC"))
        hours = [outing.hour for outing in population.outings(day) if outing.door]
        midnight = datetime.combine(day, time(), UTC)
        came = sum(start <= midnight + timedelta(hours=hour) < end for hour in hours)
        assert 0.88 * len(hours) < came < len(hours), day


def test_no_two_places_overlap_but_a_floor_and_what_lies_on_it() -> None:
    shapes = [(place, Polygon(place.outline)) for place in Mall().places]
    assert all(shape.is_valid for _, shape in shapes)
    for (one, its_shape), (other, other_shape) in combinations(shapes, 2):
        if "floor" not in (one.kind, other.kind):
            assert its_shape.intersection(other_shape).area < 0.01, (one.key, other.key)
            continue
        floor, inner, inner_shape = (one, other, other_shape) if one.kind == "floor" else (other, one, its_shape)
        shared = its_shape.intersection(other_shape).area
        on_it = inner.floor == floor.floor and inner.kind != "floor"
        assert shared == pytest.approx(inner_shape.area if on_it else 0.0, abs=0.5), (one.key, other.key)


def test_every_store_has_a_beacon_of_its_own_and_all_three_families_are_there() -> None:
    mall = Mall()
    assert {place.key for place, _ in mall.beacons} >= {place.key for place in mall.stores}
    names = [mall.beacon_name(index) for index in range(len(mall.beacons))]
    assert len({json.dumps(name) for name in names}) == len(names)
    assert {next(iter(name)) for name in names} == {"ibeacon", "eddystone", "mac"}


@pytest.mark.parametrize("city", CITIES, ids=lambda city: str(city.name))
def test_the_plan_keeps_its_size_in_every_city(city: Any) -> None:
    mall = Mall(city)
    ring = mall.polygon(mall.place("hartley-s").outline)["coordinates"][0]
    north_south = (max(lat for _, lat in ring) - min(lat for _, lat in ring)) * 111_320
    assert north_south == pytest.approx(74, abs=0.1)
    assert ring[0] == ring[-1]


def test_the_same_seed_gives_the_same_day_to_the_byte_in_another_process(traces: list[Trace]) -> None:
    program = (
        "import hashlib,datetime\nfrom engagement.simulation.mall import Mall\nfrom engagement.simulation.people import Population\n"
        "from engagement.simulation.traces import Day\n"
        f"day = Day(Population(seed=7, mall=Mall(), first_day=datetime.date({FIRST.year}, {FIRST.month}, {FIRST.day})), "
        f"datetime.date({SATURDAY.year}, {SATURDAY.month}, {SATURDAY.day}))\n"
        "print(hashlib.sha256(''.join(t.device + ''.join(t.texts) for t in day.traces()).encode()).hexdigest())"
    )
    here = hashlib.sha256("".join(trace.device + "".join(trace.texts) for trace in traces).encode()).hexdigest()
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_another_seed_gives_another_day(population: Population) -> None:
    other = Population(seed=8, mall=population.mall, first_day=FIRST)
    assert [outing.hour for outing in other.outings(FRIDAY)] != [outing.hour for outing in population.outings(FRIDAY)]


def test_weekends_and_december_are_busier(population: Population) -> None:
    def visits(day: date) -> int:
        return sum(1 for outing in population.outings(day) if outing.door and not outing.staff)

    assert visits(SATURDAY) > 1.2 * visits(TUESDAY)
    assert sum(visits(date(2026, 12, 8) + timedelta(days=n)) for n in range(7)) > 1.2 * sum(visits(date(2026, 9, 8) + timedelta(days=n)) for n in range(7))


def test_people_come_by_day_and_a_few_by_night(population: Population) -> None:
    hours = Counter(int(outing.hour) for n in range(14) for outing in population.outings(FIRST + timedelta(days=n)) if outing.door and not outing.staff)
    assert sum(hours[hour] for hour in range(11, 20)) > 0.6 * hours.total()
    assert 0 < sum(hours[hour] for hour in range(2, 6)) < 0.05 * hours.total()


def test_thousands_come_now_and_then_and_some_come_often(population: Population) -> None:
    seen = Counter(outing.person.shopper for n in range(60) for outing in population.outings(FIRST + timedelta(days=n)) if outing.door and not outing.staff)
    assert 0.7 * SHOPPERS < len(seen) <= SHOPPERS
    assert max(seen.values()) > 4 * seen.total() / len(seen)


def test_staff_are_there_all_day_and_passers_by_never_come_in(saturday: Day) -> None:
    shifts = [sum(stop.seconds for stop in outing.stops) for outing in saturday.outings if outing.staff]
    assert len(shifts) >= 5
    assert min(shifts) > 7 * 3600
    street = [outing for outing in saturday.outings if outing.door is None]
    assert len(street) > 50
    assert all(outing.person.shopper is None and not outing.stops for outing in street)


def test_some_shoppers_are_known_from_the_start_some_later_some_never(population: Population) -> None:
    known = Counter("never" if person.known_from is None else "always" if person.known_from == FIRST else "later" for person in population.people)
    assert all(known[when] > 0.15 * SHOPPERS for when in ("always", "later", "never"))
    later = next(person for person in population.people if person.known_from and person.known_from > FIRST)
    assert later.known_from is not None
    assert later.name_on(later.known_from - timedelta(days=1)) is None
    assert later.name_on(later.known_from) == later.shopper
    assert 100 < sum(len(person.devices) == 2 for person in population.people) < 500


def test_what_phones_notice_is_what_the_door_takes(traces: list[Trace]) -> None:
    seen = events(traces)
    assert len({event["id"] for event in seen}) == len(seen)
    kinds = Counter(event["type"] for event in seen)
    assert min(kinds[kind] for kind in ("fix", "sighting", "transition", "custom")) > 10
    assert all(5 <= event["accuracy"] <= 25 for event in seen if event["type"] == "fix")
    assert all(-98 < event["rssi"] < -20 for event in seen if event["type"] == "sighting")
    assert {event["zone"] for event in seen if event["type"] == "transition"} == {ROOT}
    assert all(trace.times == sorted(trace.times) for trace in traces)


def test_the_hours_of_a_day_are_those_of_the_mall(population: Population) -> None:
    def mean_hour(mall: Mall) -> float:
        day = Day(Population(seed=7, mall=mall, first_day=FIRST), TUESDAY)
        instants = np.concatenate([trace.times for trace in day.traces()])
        return float(np.mean(instants) - datetime(TUESDAY.year, TUESDAY.month, TUESDAY.day, tzinfo=UTC).timestamp()) / 3600

    by_name = {city.name: city for city in CITIES}
    assert mean_hour(Mall(by_name["Johannesburg"])) - mean_hour(Mall(by_name["Tokyo"])) == pytest.approx(7.0, abs=0.01)


def test_a_shorter_pace_measures_more_of_the_same_outings(population: Population, saturday: Day, traces: list[Trace]) -> None:
    dense = Day(population, SATURDAY, pace=0.5)
    assert dense.outings == saturday.outings
    assert sum(len(trace.texts) for trace in dense.traces()) > 1.8 * sum(len(trace.texts) for trace in traces)


def test_history_sends_everything_once_or_twice_and_some_of_it_late_or_shuffled(traces: list[Trace]) -> None:
    arrivals = history(traces, np.random.default_rng(1))
    assert [at for at, _ in arrivals] == sorted(at for at, _ in arrivals)
    sent = Counter(text for _, parcel in arrivals for text in parcel.texts)
    assert set(sent) == {text for trace in traces for text in trace.texts}
    assert 1.0 < sent.total() / len(sent) < 1.1
    assert max(len(parcel.texts) for _, parcel in arrivals) <= MOST_EVENTS
    inner = [[json.loads(text)["at"] for text in parcel.texts] for _, parcel in arrivals]
    assert 0 < sum(instants != sorted(instants) for instants in inner) < 0.1 * len(inner)


def test_a_body_is_what_the_contract_says(traces: list[Trace]) -> None:
    known = next(parcel for _, parcel in history(traces, np.random.default_rng(1)) if parcel.shopper)
    body = json.loads(known.body(1_790_000_000.25))
    assert body["sent_at"] == "2026-09-21T14:13:20.250000+00:00"
    assert body["shopper"] == {"id": known.shopper}
    assert set(body["device"]) == {"id", "platform", "app_version"}
    assert "sent_at" not in json.loads(known.body())


def test_a_pocket_sends_each_event_after_it_happened_and_none_is_left(traces: list[Trace]) -> None:
    trace = max(traces, key=lambda known: len(known.texts))
    middle = trace.times[len(trace.times) // 2]
    pocket = Pocket(trace, middle, np.random.default_rng(3))
    sent: Counter[str] = Counter()
    now = middle
    while not pocket.empty:
        now += 1
        for parcel in pocket.due(now):
            sent.update(parcel.texts)
            assert all(datetime.fromisoformat(json.loads(text)["at"]).timestamp() <= now for text in parcel.texts)
    assert set(sent) == {text for at, text in zip(trace.times, trace.texts, strict=True) if at > middle}
    assert now < trace.times[-1] + 900
