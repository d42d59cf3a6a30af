"""Real input: a week of Wi-Fi detections at eight places in Hokuriku, and the stays that their publisher made of them.

52 % of the rows repeat a device in the same second, word for word. Each row is a detection of its own, so each gets an event
id of its own; what is sent twice on purpose has the id of its first sending.
"""

import csv
import gzip
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import pytest

from analytics import figures, regulars, reports
from analytics.models import Mark, Regular, Stay
from engagement import provisioning
from engagement.models import Organisation, Shopper, Zone
from tests.golden.posting import DATA, Product, needs

FOLDER: Final = DATA / "hokuriku_visits"
TOKYO: Final = ZoneInfo("Asia/Tokyo")
GRACE: Final = timedelta(seconds=1800)
BATCH: Final = 200
IDS: Final = UUID("6fd8cf26-6b0c-4b21-9d5f-0c4f1c6f2a11")
TWICE, LOST = 0.2, 0.02

Who = tuple[str, str]  # facility, device
Span = tuple[datetime, datetime]
Detection = tuple[datetime, str, str, int]  # when, facility, device, row

pytestmark = needs(FOLDER)


def detections() -> Iterator[Detection]:
    with gzip.open(FOLDER / "detections.csv.gz", "rt") as file:
        for row, found in enumerate(csv.DictReader(file)):
            yield datetime.fromisoformat(found["time_jst"]).replace(tzinfo=TOKYO), found["facility_no"], found["device"], row


def publisher(facilities: set[str]) -> dict[Who, list[Span]]:
    """The publisher's own stays at these facilities, cut at local midnight as they cut them."""
    stays = defaultdict(list)
    with gzip.open(FOLDER / "stays_all_facilities.csv.gz", "rt") as file:
        for found in csv.DictReader(file):
            if found["facility_no"] in facilities:
                start = datetime.fromisoformat(found["start_jst"]).replace(tzinfo=TOKYO)
                stays[found["facility_no"], found["device"]].append((start, start + timedelta(seconds=int(found["dwell_s"]))))
    return {who: sorted(spans) for who, spans in stays.items()}


def joined(spans: list[Span]) -> list[Span]:
    """Stays again whole that were cut at midnight: the same rule, a gap of at most 1800 s, across the change of the day."""
    whole: list[Span] = []
    for start, end in spans:
        if whole and start.date() != whole[-1][1].date() and start - whole[-1][1] <= GRACE:
            whole[-1] = whole[-1][0], end
        else:
            whole.append((start, end))
    return whole


def runs(instants: list[datetime], *, by_day: bool) -> list[Span]:
    """The publisher's rule, in plain words: a gap of more than 1800 s starts a new stay, and where asked so does a new day."""
    found: list[Span] = []
    for at in sorted(instants):
        if found and at - found[-1][1] <= GRACE and not (by_day and at.date() != found[-1][1].date()):
            found[-1] = found[-1][0], at
        else:
            found.append((at, at))
    return found


@pytest.fixture(scope="module")
def rows() -> list[Detection]:
    return list(detections())


def test_the_publishers_stays_are_what_the_one_law_makes_of_the_detections(rows: list[Detection]) -> None:
    seen: dict[Who, list[datetime]] = defaultdict(list)
    for at, facility, device, _ in rows:
        seen[facility, device].append(at)
    theirs = publisher({facility for facility, _ in seen})
    assert sum(map(len, theirs.values())) == 10_606
    assert {who: runs(instants, by_day=True) for who, instants in seen.items()} == theirs
    whole = {who: joined(spans) for who, spans in theirs.items()}
    assert sum(map(len, whole.values())) == 10_587, "19 stays went on over midnight"
    assert {who: runs(instants, by_day=False) for who, instants in seen.items()} == whole


def provision_file(facilities: list[str]) -> dict[str, Any]:
    return {
        "organisation": {"key": "hokuriku", "name": "Hokuriku"},
        "venues": [
            {"key": f"facility-{number}", "name": f"Facility {number}", "time_zone": "Asia/Tokyo", "boundary": None, "exit_grace_s": 1800, "min_stay_s": 0}
            for number in facilities
        ],
        "beacons": [{"key": f"sensor-{number}", "zone": f"facility-{number}", "mac": mac(number)} for number in facilities],
        "keys": [{"name": "history", "kind": "import"}],
    }


def mac(facility: str) -> str:
    return f"02:00:00:00:00:{int(facility):02x}"


def batches(rows: list[Detection], chance: random.Random) -> Iterator[bytes]:
    """Requests of at most 200 events of one device, the hours in order, everything within an hour shuffled, a fifth of them twice."""
    for _, hour in groupby(sorted(rows), key=lambda row: row[0].replace(minute=0, second=0)):
        found = list(hour)
        chance.shuffle(found)
        by_device = defaultdict(list)
        for row in found:
            by_device[row[2]].append(row)
        bodies = [body(device, mine[first : first + BATCH]) for device, mine in by_device.items() for first in range(0, len(mine), BATCH)]
        bodies += chance.sample(bodies, round(TWICE * len(bodies)))
        chance.shuffle(bodies)
        yield from bodies


def body(device: str, rows: list[Detection]) -> bytes:
    events = (
        f'{{"id":"{uuid5(IDS, str(row))}","type":"sighting","at":"{at.isoformat()}","beacon":{{"mac":"{mac(facility)}"}}}}' for at, facility, _, row in rows
    )
    return f'{{"device":{{"id":"{device}"}},"events":[{",".join(events)}]}}'.encode()


def test_the_product_makes_the_publishers_stays_of_shuffled_repeated_and_unanswered_batches(rows: list[Detection], product: Product) -> None:
    facilities = sorted({row[1] for row in rows})
    key = product.provision(provision_file(facilities))["history"]
    chance = random.Random(20241002)
    with product.sender(key) as sender:
        for content in batches(rows, chance):
            if chance.random() < LOST:
                product.lose_the_answer(key, content)
            sender.put(content)
    assert not sender.tally.failed
    assert not sender.tally.rejected
    product.wait_until_drained()
    made: dict[Who, list[Span]] = defaultdict(list)
    found = Stay.objects.order_by("started").values_list("zone__key", "shopper__device_key", "started", "ended", "counted")
    for zone, device, started, ended, counted in found:
        assert counted
        made[zone.removeprefix("facility-"), device].append((started.astimezone(TOKYO), ended.astimezone(TOKYO)))
    assert made == {who: joined(spans) for who, spans in publisher(set(facilities)).items()}
    with figures.session() as session:
        figures.catch_up(session)
    assert footfall() == theirs_by_day({who: joined(spans) for who, spans in publisher(set(facilities)).items()})
    outcomes = product.outcomes()
    assert outcomes["accepted"] == len(rows)
    assert set(outcomes) == {"accepted", "duplicate"}
    assert outcomes["duplicate"] > 0.1 * len(rows)


# --- Figures, and who works or lives there --------------------------------------------------------------------------------

FIRST, AFTER = date(2024, 9, 26), date(2024, 10, 3)
Day = tuple[int, int, float]  # visits, visitors, mean dwell in seconds


def footfall() -> dict[tuple[str, str], Day]:
    """By facility and day: what the product says of days on which somebody came."""
    found = {}
    start, end = (datetime(edge.year, edge.month, edge.day, tzinfo=TOKYO) for edge in (FIRST, AFTER))
    for zone in Zone.objects.select_related("organisation", "venue"):
        for day, one in reports.footfall(organisation=zone.organisation, zone=zone, start=start, end=end, grain="day").rows:
            if one.visits:
                assert one.dwell_mean_s is not None and not one.pass_bys
                found[zone.key.removeprefix("facility-"), day] = one.visits, one.visitors, round(one.dwell_mean_s, 3)
    return found


def theirs_by_day(stays: dict[Who, list[Span]]) -> dict[tuple[str, str], Day]:
    """The same, counted one by one from the publisher's rows."""
    spans: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for (facility, device), mine in stays.items():
        for start, end in mine:
            spans[facility, start.date().isoformat()].append((device, (end - start).total_seconds()))
    return {key: (len(mine), len({device for device, _ in mine}), round(sum(dwell for _, dwell in mine) / len(mine), 3)) for key, mine in spans.items()}


def long_about(stays: dict[Who, list[Span]]) -> set[str]:
    """The rule, in plain words: devices with more than 4 h on each of 3 days of a week at one facility."""
    dwell: dict[tuple[str, str, int], dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for (facility, device), mine in stays.items():
        for start, end in mine:
            dwell[facility, device, start.isocalendar().week][start.date()] += (end - start).total_seconds()
    return {device for (_, device, _), days in dwell.items() if sum(seconds > 4 * 3600 for seconds in days.values()) >= 3}


@pytest.fixture
def acted(rows: list[Detection], transactional_db: None) -> dict[Who, list[Span]]:
    """The publisher's stays, as the test above shows that the product makes them of the detections; and days made of them."""
    whole = {who: joined(spans) for who, spans in publisher({row[1] for row in rows}).items()}
    provisioning.provision(provision_file(sorted({facility for facility, _ in whole})))
    organisation = Organisation.objects.get()
    zones = {zone.key.removeprefix("facility-"): zone for zone in Zone.objects.all()}
    people = {device: Shopper(organisation=organisation, shard=0, device_key=device) for device in sorted({device for _, device in whole})}
    Shopper.objects.bulk_create(people.values())
    made = [(zones[facility], people[device], start, end) for (facility, device), spans in whole.items() for start, end in spans]
    Stay.objects.bulk_create(
        Stay(organisation=organisation, shard=0, shopper=who, zone=zone, started=start, ended=end, closes_at=end + GRACE, counted=True, closed=True)
        for zone, who, start, end in made
    )
    Mark.objects.bulk_create(Mark(zone_id=zone.pk, hour=int(start.timestamp() // 3600)) for zone, _, start, _ in made)
    with figures.session() as session:
        figures.catch_up(session)
    return whole


def test_the_footfall_of_each_facility_and_day_is_that_of_the_publishers_stays(acted: dict[Who, list[Span]]) -> None:
    made = footfall()
    assert made == theirs_by_day(acted)
    assert (len(made), sum(visits for visits, _, _ in made.values())) == (55, 10_587)


def test_the_devices_that_stand_out_are_suggested_and_the_figures_are_those_of_the_others_once_they_are_left_out(
    rows: list[Detection], acted: dict[Who, list[Span]]
) -> None:
    """13 of 544 devices make 77 % of the rows and 63 % of the time. Of the ten with the most rows three are not among them: two are at all
    places and at none for long, and one stood for 58 hours without a gap, which is one visit that starts on one day."""
    suggested = {str(row.shopper.device_key) for row in Regular.objects.select_related("shopper")}
    assert suggested == long_about(acted)
    told = Counter(device for _, _, device, _ in rows)
    most = {device for device, _ in told.most_common(10)}
    assert round(sum(told[device] for device in most) / len(rows), 2) == 0.78
    assert (len(suggested), len(suggested & most), round(sum(told[device] for device in suggested) / len(rows), 2)) == (13, 7, 0.77)
    assert {device for device, _ in told.most_common(4)} <= suggested
    before = whole_week(acted)
    assert before == (10_587, 544, 1414, 4158)
    regulars.decide(organisation=Organisation.objects.get(), ids=Regular.objects.values_list("pk", flat=True), state=Regular.State.CONFIRMED, by="alice")
    others = {(facility, device): spans for (facility, device), spans in acted.items() if device not in suggested}
    assert footfall() == theirs_by_day(others)  # at once
    with figures.session() as session:
        figures.catch_up(session)
    assert footfall() == theirs_by_day(others)  # and made again
    after = whole_week(others)
    assert after == (8_286, 531, 678, 1561)
    print("Visits, visitors, mean dwell in seconds, hours of dwell: with residents", before, "without", after)


def whole_week(stays: dict[Who, list[Span]]) -> tuple[int, int, int, int]:
    """Visits, visitors, mean dwell (s) and all dwell (h) of all facilities. That the product's are the same is shown day by day."""
    dwell = [(end - start).total_seconds() for spans in stays.values() for start, end in spans]
    return len(dwell), len({device for _, device in stays}), round(sum(dwell) / len(dwell)), round(sum(dwell) / 3600)
