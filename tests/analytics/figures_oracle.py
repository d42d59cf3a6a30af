"""Every report beside what the definitions say of the same stays."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from analytics.reports.catalogue import REPORTS, Report
from analytics.reports.reading import Question, Range, Subject, reading
from engagement.models import Organisation
from tests import figures_reference as reference
from tests.analytics.stage import moment

Asked = tuple[str, str, tuple[str, ...]]  # kind, key and zones of a place


def places_of(world: reference.World) -> list[Asked]:
    """Every zone, and every brand over its stores in all venues."""
    brands = sorted({zone.brand for zone in world.zones.values() if zone.brand})
    stores = {brand: tuple(key for key, zone in world.zones.items() if zone.brand == brand) for brand in brands}
    return [("zone", key, (key,)) for key in world.zones] + [("brand", brand, zones) for brand, zones in stores.items()]


def takes(report: Report, world: reference.World, place: Asked) -> bool:
    kind, key, _ = place
    if kind == "brand":
        return "brand" in report.takes
    zone = world.zones[key]
    return ("venue" if zone.kind == "venue" else "zone") in report.takes or (zone.kind in report.takes)


def agree(organisation: Organisation, numbers: Mapping[str, int], world: reference.World, question: reference.Question, places: Iterable[Asked]) -> None:
    """Every report says of each of these places what the definitions say. `numbers`: primary keys of the zones."""
    places = list(places)
    made = {place: Subject(place[0], place[1], place[1], tuple(numbers[zone] for zone in place[2])) for place in places}  # type: ignore[arg-type]
    with reading(organisation, list(made.values()), now=moment(world.now)) as found:
        for name, report in REPORTS.items():
            fitting = [place for place in places if takes(report, world, place)]
            if not fitting:
                continue
            answers = report.function(found, [made[place] for place in fitting], asked(question))
            expected = expectations(report, world, fitting, question)
            assert len(answers) == len(expected)
            for place, answer, wanted in zip(fitting, answers, expected, strict=report.together is False):
                same(answer, wanted, f"{name} of {place[0]} {place[1]}")


def expectations(report: Report, world: reference.World, places: list[Asked], question: reference.Question) -> list[reference.Answer]:
    function = reference.FIGURES[report.name]
    if report.together:
        return [function(world, tuple(key for _, key, _ in places), question)]
    return [function(world, zones, question) for _, _, zones in places]


def asked(question: reference.Question) -> Question:
    start, end = (moment(edge) if isinstance(edge, int) else edge for edge in (question.start, question.end))
    return Question(Range(start, end), question.grain, question.hours)  # type: ignore[arg-type]


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
