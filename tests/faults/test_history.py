"""Cases 24, 28, 29, 31 and 36: late events, places that change under the stream, partitions that are not there, and the recount."""

import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from engagement import partitions, provisioning
from engagement.database import connect
from engagement.models import Organisation, PlacesChange
from tests.cast import acme_file, box
from tests.faults.client import Client, Ledger, post_all
from tests.faults.crowd import Request, crowd, fix, interleaved, stamp, transition
from tests.faults.oracle import differences, stored_stays
from tests.faults.processes import Product, running
from tests.servers import until

PAST: Final = int(time.time()) - 20_000
MIDNIGHT: Final = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) - 2 * 86_400 - 7200  # in Johannesburg


def told(product: Product) -> list[tuple[str, int | None, float]]:
    """What the outbox says of the first store, in its order: kind, minutes, start of the stay."""
    return product.town.rows(
        """SELECT t.kind, t.minutes, extract(epoch FROM t.started)::float8 FROM analytics_transition t JOIN engagement_zone z ON z.id = t.zone_id
           WHERE z.key = 'north-brew' AND t.kind <> 'left' ORDER BY t.id"""
    )


def spans(product: Product, zone: str = "north-brew") -> list[tuple[int, int]]:
    return sorted((stay.started // 1_000_000, stay.ended // 1_000_000) for stay in stored_stays(product.town) if stay.zone == zone)


def test_case_24_a_late_event_joins_splits_and_moves_and_nothing_is_told_twice(product: Product) -> None:
    door = product.door()
    door.open()

    def post(*events: dict[str, Any]) -> None:
        post_all(product.town, door.port, [Request("phone", events)])
        product.drain()

    with running(product.stream()):
        post(*(fix(number, PAST + 60 * number) for number in range(1, 7)), *(fix(10 + number, PAST + 500 + 60 * number) for number in range(6)))
        assert spans(product) == [(PAST + 60, PAST + 360), (PAST + 500, PAST + 800)]
        greeted = {(kind, minutes, PAST + start) for kind, minutes in (("entered", None), ("dwelled", 5)) for start in (60, 500)}
        assert sorted(told(product), key=str) == sorted(greeted, key=str)
        # It closes the gap: the two are one. What was told of the second is taken back, and nothing else is told.
        post(fix(30, PAST + 430))
        assert spans(product) == [(PAST + 60, PAST + 800)]
        assert {kind for kind, _, _ in told(product)[4:]} == {"re-cut"}
        # An exit in the middle makes two of them again: the same two, by their starts, so who keeps those greets nobody twice.
        post(transition(31, PAST + 440, direction="exit"))
        assert spans(product) == [(PAST + 60, PAST + 430), (PAST + 500, PAST + 800)]
        assert {row for row in told(product) if row[0] != "re-cut"} == greeted
        # A stay that begins after midnight moves to the day before.
        post(fix(40, MIDNIGHT + 30, "page"), fix(41, MIDNIGHT + 150, "page"))
        assert spans(product, "north-page") == [(MIDNIGHT + 30, MIDNIGHT + 150)]
        before = footfall(product)
        post(fix(42, MIDNIGHT - 60, "page"))
        assert spans(product, "north-page") == [(MIDNIGHT - 60, MIDNIGHT + 150)]
        after = footfall(product)
        assert [sum(day) for day in (before, after)] == [1, 1]
        assert before != after
    assert differences(product.town) == []


def footfall(product: Product) -> list[int]:
    """Counted stays in the second store by local day."""
    day = "date_trunc('day', t.started AT TIME ZONE 'Africa/Johannesburg')"
    rows = product.town.rows(
        f"""SELECT d::date, (SELECT count(*) FROM analytics_stay t JOIN engagement_zone z ON z.id = t.zone_id
                             WHERE z.key = 'north-page' AND t.counted AND {day} = d)
            FROM generate_series(date_trunc('day', now() AT TIME ZONE 'Africa/Johannesburg') - interval '4 days', now(), interval '1 day') AS d ORDER BY d"""
    )
    return [count for _, count in rows]


def plans() -> list[dict[str, Any]]:
    """Provision files that change what decides: a boundary, a grace, a threshold, a parent, a beacon's place, and a zone taken off the plan."""
    made = []
    for change in range(6):
        document = acme_file()
        zones = {zone["key"]: zone for zone in document["zones"]}
        if change % 2:
            zones["north-brew"]["boundary"] = box(-90, 10, -60 + 5 * change, 90)
            zones["north-page"]["parent"] = "north"
        if change % 3 == 1:
            zones["north-page"]["boundary"] = None  # gone from the plan: beacons and transitions alone
            document["beacons"][0]["zone"] = "north-page"
        zones["north-ground"]["exit_grace_s"] = 60 + 60 * change
        zones["north-door"]["enter_rssi"] = -85 + change
        made.append(document)
    return made


def test_case_28_places_change_while_events_come_and_history_keeps_its_versions(product: Product) -> None:
    """Events of the last minutes and of the next ones, so that the changes fall among them."""
    door, ledger = product.door(), Ledger()
    door.open()
    now = time.time()
    walking = [
        Request(f"w{number % 12}", (fix(number, now - 10 + number * 0.04, ("brew", "page", "hall", "door")[number // 40 % 4], 20.0),))
        for number in range(1, 500)
    ]
    with running(product.stream(0, 2), product.stream(1, 2)):
        product.wait_for_stream()
        clients = [
            Client(product.town, door.port, walking, ledger, pause_s=0.01),
            Client(product.town, door.port, interleaved(crowd(28, people=8, events=40), 28), ledger),
        ]
        for client in clients:
            client.start()
        for document in plans():
            provisioning.provision(document)
            clients[0].join(0.5)
        late = acme_file()
        late["beacons"].append({"key": "b-late", "zone": "north-page", "mac": "c4:be:84:00:00:99"})
        provisioning.provision(late)
        for client in clients:
            client.join()
        product.drain()
        assert product.town.value("SELECT count(*) FROM engagement_zoneversion WHERE valid_to IS NOT NULL") > 5
        assert differences(product.town, acknowledged=ledger.acknowledged) == []
        # Everything judged again, later: nothing changes, because each event is judged by the version of its time.
        stays = sorted(stored_stays(product.town))
        PlacesChange.objects.create(organisation=Organisation.objects.get(key="acme"), since=None, reason="again")
        until(lambda: not product.town.drained())
        product.drain()
        assert product.town.value("SELECT changed FROM analytics_recut ORDER BY id DESC LIMIT 1") == 0
        assert sorted(stored_stays(product.town)) == stays


def test_case_29_a_point_on_a_border_is_inside_all_that_share_it_and_nonsense_is_refused(product: Product) -> None:
    document = acme_file()
    corners = document["zones"][1]["boundary"]["coordinates"][0]
    bow_tie = {"type": "Polygon", "coordinates": [[corners[0], corners[2], corners[1], corners[3], corners[0]]]}
    dateline = {"type": "Polygon", "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]}
    endless = {"type": "Polygon", "coordinates": [[[i / 100_000, (i % 2) / 1e6] for i in range(100_000)]]}
    for boundary in (bow_tie, dateline, endless):
        bad = acme_file()
        bad["zones"][1]["boundary"] = boundary
        began = time.monotonic()
        with pytest.raises(provisioning.Refused):
            provisioning.provision(bad)
        assert time.monotonic() - began < 2
    # A second store lies over the first and shares its western border and corners.
    document["zones"].append({**document["zones"][1], "key": "north-twin", "name": "Twin", "boundary": box(-90, 10, -50, 90)})
    provisioning.provision(document)
    west = [(corners[0][0], corners[0][1]), (corners[0][0], (corners[0][1] + corners[3][1]) / 2), (corners[3][0], corners[3][1])]
    events = [{**fix(number, PAST + 60 * number), "lon": lon, "lat": lat} for number, (lon, lat) in enumerate(west, start=1)]
    door = product.door()
    door.open()
    with running(product.stream()):
        post_all(product.town, door.port, [Request("phone", tuple(events))])
        product.drain()
    assert spans(product, "north-brew") == spans(product, "north-twin") == [(PAST + 60, PAST + 180)]
    assert differences(product.town) == []


def test_case_31_a_missing_partition_costs_nothing_and_can_be_made_under_the_stream(product: Product) -> None:
    town, now = product.town, time.time()
    days = [(datetime.now(UTC) - timedelta(days=back)).date() for back in range(3)]
    for day in days:
        town.rows(f"DROP TABLE {partitions.name_of(day)}")
    requests = [
        Request(f"d{number % 20}", tuple({**fix(10 * number + step, 0), "at": stamp(now - (number % 3) * 86_400 - 40 * number - step)} for step in range(3)))
        for number in range(1, 400)
    ]
    door, ledger = product.door(), Ledger()
    door.open()
    with running(product.stream(0, 2), product.stream(1, 2)):
        product.wait_for_stream()
        clients = [Client(town, door.port, requests[half::2], ledger, seed=half, resend=0.2) for half in range(2)]
        for client in clients:
            client.start()
        until(lambda: town.value("SELECT count(*) FROM engagement_event_default") > 50, within_s=30)
        made: list[str] = []
        with closing(connect(application_name="partitions")) as connection:
            making = threading.Thread(target=lambda: made.extend(partitions.ensure(connection)))
            making.start()
            making.join(60)
        for client in clients:
            client.join()
        post_all(town, door.port, requests[:40])  # repeats of what was moved from one partition to another
        product.drain()
    assert {partitions.name_of(day) for day in days} <= set(made)  # and one more where a day began meanwhile
    assert town.value("SELECT count(*) FROM engagement_event_default") == 0
    assert differences(town, acknowledged=ledger.acknowledged) == []


def test_case_36_the_recount_finds_nothing_where_nothing_is_wrong_and_a_mutilated_stay_where_one_is(product: Product) -> None:
    door = product.door()
    door.open()
    with running(product.stream()):
        post_all(product.town, door.port, interleaved(crowd(36, people=8, events=30), 36))
        product.drain()
    assert differences(product.town) == []
    sound = product.manage("recount")
    assert sound.returncode == 0, sound.stdout
    for harm in (
        "UPDATE analytics_stay SET ended = ended + interval '1 second' WHERE id = (SELECT min(id) FROM analytics_stay)",
        "UPDATE analytics_stay SET counted = NOT counted WHERE id = (SELECT max(id) FROM analytics_stay)",
        "DELETE FROM analytics_stay WHERE id = (SELECT max(id) - 1 FROM analytics_stay)",
    ):
        product.town.rows(harm)
        assert any(line.startswith("recount: ") for line in differences(product.town))
    found = product.manage("recount")
    assert found.returncode == 1
    assert found.stdout.count("Missing: ") == 3
