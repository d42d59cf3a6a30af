"""What the tests of trials share: phones that flap, crowds that wander, and the stored figures that a trial is compared with."""

import random
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from analytics import reports, trial
from analytics.models import Stay, Trial
from analytics.stream.batch import to_us
from engagement import inbox, provisioning
from engagement.models import Organisation, Zone
from tests.analytics.phones import BREW, CLOCK, DOOR, HALL, PAGE, morning, rows, send
from tests.cast import EDDYSTONE, at

FOOTFALL: Final = ("visits", "visitors", "pass_bys", "dwell_median_s", "dwell_p90_s", "dwell_mean_s")


def zone_of(key: str) -> Zone:
    return Zone.objects.select_related("venue", "organisation").get(key=key)


def correct(organisation: Organisation, *zones: dict[str, Any], since: datetime = provisioning.BEGINNING) -> list[str]:
    return provisioning.correct({"organisation": {"key": organisation.key}, "zones": list(zones)}, since=since)


def tried(zone: Zone, **changed: Any) -> Trial:
    return trial.ask(zone=zone, changes=changed, by="alice")


def flap(organisation: Organisation, times: int = 10) -> None:
    """A phone at the door: heard for 40 s, then not for 100 s, over and over."""
    begin = morning(3)
    heard = [begin + timedelta(seconds=140 * turn + second) for turn in range(times) for second in (0, 20, 40)]
    send(organisation, "flapping", rows(*heard, lon_lat=at(*DOOR)))


def footfall(zone: Zone) -> dict[str, Any]:
    """Of the last seven days, as the reports have it, and who came back, counted stay by stay."""
    start, end = (datetime.fromtimestamp(CLOCK.begin(CLOCK.day_of(to_us(morning(0))) - days) / 1_000_000, tz=morning(0).tzinfo) for days in (7, 0))
    total = asdict(reports.footfall(organisation=zone.organisation, zone=zone, start=start, end=end, grain="day").total)
    stays = list(Stay.objects.filter(zone=zone, counted=True, started__gte=start, started__lt=end).order_by("shopper_id", "started"))
    back = sum(a.shopper_id == b.shopper_id and b.started - a.ended <= timedelta(minutes=10) for a, b in pairwise(stays))
    return {**{name: total[name] for name in FOOTFALL}, "came_back": back}


def crowd(organisation: Organisation, seed: int, people: int = 24) -> None:
    """People who wander between places for nine days, some across midnight, some heard by beacons, some leaving by a transition."""
    chance = random.Random(seed)
    for number in range(people):
        device, shopper = f"phone-{number}", f"crm-{number // 2}" if number % 3 == 0 else None
        for _ in range(chance.randint(1, 4)):
            now = morning(chance.randint(0, 9), chance.choice([10, 15, 23.8, 0.1]) + chance.random() / 10)
            records: list[bytes] = []
            for _ in range(chance.randint(2, 25)):
                now += timedelta(seconds=chance.choice([5, 30, 55, 61, 110, 130, 290, 310, 800, 1000]))
                if now > datetime.now(now.tzinfo):
                    break
                name, us = random.Random(chance.random()).randbytes(16), to_us(now)
                match chance.randint(0, 9):
                    case 0:
                        records.append(inbox.transition(event_id=name, at_us=us, direction=inbox.EXIT, extra=0))
                    case 1 | 2:
                        address = inbox.eddystone_address(bytes.fromhex(EDDYSTONE["namespace"]), bytes.fromhex(EDDYSTONE["instance"]))
                        records.append(inbox.sighting(event_id=name, at_us=us, address=address, rssi=chance.choice([-70, -84, -88, -93, -97])))
                    case _:
                        (east, north), spread = chance.choice([(DOOR, 6), (DOOR, 6), (BREW, 45), (BREW, 45), (PAGE, 45), (HALL, 45)])
                        lon, lat = at(east + chance.uniform(-spread, spread), north + chance.uniform(-spread, spread))
                        records.append(inbox.fix(event_id=name, at_us=us, lat=lat, lon=lon, accuracy=chance.choice([5.0, 20.0, 45.0, 70.0])))
            if records:
                send(organisation, device, records, shopper=shopper, extras=[chance.choice(["north-brew", "north-ground", "north"])])
