"""Every report beside what the definitions say of the same stays."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from analytics.reports.catalogue import REPORTS, Report
from analytics.reports.coverage import coverage
from analytics.reports.reading import Question, Range, Reading, Subject, reading
from engagement.models import Organisation
from tests import figures_reference as reference
from tests.analytics.stage import moment
from tests.figures_reference import World

HALF_HOURS: Final = {"Australia/Lord_Howe"}  # whose hours lie across those of days before a change: coverage tells them by their middle
Place = tuple[str, str, tuple[str, ...]]  # kind, key and zones of a place


def places_of(world: World) -> list[Place]:
    """Every zone, and every brand over its stores in all venues."""
    brands = sorted({zone.brand for zone in world.zones.values() if zone.brand})
    stores = {brand: tuple(key for key, zone in world.zones.items() if zone.brand == brand) for brand in brands}
    return [("zone", key, (key,)) for key in world.zones] + [("brand", brand, zones) for brand, zones in stores.items()]


def takes(report: Report, world: World, place: Place) -> bool:
    kind, key, _ = place
    if kind == "brand":
        return "brand" in report.takes
    zone = world.zones[key]
    return bool({zone.kind, "venue" if zone.kind == "venue" else "zone"} & set(report.takes))


def agree(organisation: Organisation, numbers: Mapping[str, int], world: World, question: reference.Question, places: Iterable[Place]) -> None:
    """Every report says of each of these places what the definitions say. `numbers`: primary keys of the zones."""
    made = {place: Subject(place[0], place[1], place[1], tuple(numbers[zone] for zone in place[2])) for place in places}
    with reading(organisation, list(made.values()), now=moment(world.now)) as found:
        for name, report in REPORTS.items():
            fitting = [place for place in made if takes(report, world, place)]
            if report.together:
                _agree_together(found, report, world, question, {place: made[place] for place in fitting})
            elif fitting:
                answers = report.function(found, [made[place] for place in fitting], asked(question))
                for place, answer in zip(fitting, answers, strict=True):
                    same(answer, reference.FIGURES[name](world, place[2], question), f"{name} of {place[0]} {place[1]}")
        shares = coverage(found, list(made.values()), asked(question))
        for place, share in zip(made, shares, strict=True):
            # An hour that the range cuts is told by what is known of the range; whole ones are exact.
            if isinstance(question.start, date) and not HALF_HOURS & {world.zones[zone].time_zone for zone in place[2]}:
                same(share, reference.coverage(world, place[2], question), f"coverage of {place[0]} {place[1]}")


def _agree_together(found: Reading, report: Report, world: World, question: reference.Question, made: dict[Place, Subject]) -> None:
    """Of all zones named together; of a venue, a floor or a brand alone, of its stores."""
    zones = {place: subject for place, subject in made.items() if place[0] == "zone"}
    if len(zones) > 1:
        [answer] = report.function(found, list(zones.values()), asked(question))
        same(answer, reference.cross_visits(world, {key: own for _, key, own in zones}, question), f"{report.name} of {list(zones)}")
    for (kind, key, own), subject in made.items():
        stores = reference.stores_in(world, key, question) if kind == "zone" else {zone: (zone,) for zone in sorted(own)}
        [answer] = report.function(found, [subject], asked(question))
        same(answer, reference.cross_visits(world, stores, question), f"{report.name} in {kind} {key}")


def asked(question: reference.Question) -> Question:
    start, end = (moment(edge) if isinstance(edge, int) else edge for edge in (question.start, question.end))
    return Question(Range(start, end), question.grain, question.hours)


CLOSE: Final = 1.5e-6  # figures are shown to the sixth digit


def same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict), f"{where}: {found} is not {expected}"
        assert found.keys() == expected.keys(), f"{where}: {found} is not {expected}"
        for name, value in expected.items():
            same(found[name], value, f"{where}, {name}" if "period" not in expected else f"{where}, {expected['period']}, {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{where}: {found} is not {expected}"
        for number, value in enumerate(expected):
            same(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, float) and isinstance(found, float | int):
        assert abs(found - expected) < CLOSE, f"{where}: {found} is not {expected}"
    else:
        assert found == expected, f"{where}: {found} is not {expected}"
