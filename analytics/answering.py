"""A question put to a report: the answer for every place that was named, with what stands beside it, in one snapshot of the database."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from analytics import crowds
from analytics.asking import Asked, Comparison, moment_told, told
from analytics.crowds import Crowds
from analytics.export import SHEETS, Block, Part, filename, write
from analytics.periods import TooManyPeriods
from analytics.reports.catalogue import Report
from analytics.reports.coverage import coverage
from analytics.reports.reading import DEFINITIONS, Question, Reading, Subject, reading
from engagement import metrics
from engagement.models import Organisation

SECONDS: Final = metrics.histograms("atrium_report_seconds", "How long the answer of a report takes", "report")
Json = dict[str, Any]


@dataclass(slots=True)
class Told:
    """Rows and total of one place (or of all together) in one range. `crowds` only where they are wanted."""

    rows: list[Json]
    total: Json
    crowds: Crowds = field(default_factory=Crowds)

    def part(self) -> Part:
        return Part(self.rows, self.total, self.crowds.rows, self.crowds.total)


@dataclass(slots=True)
class Answer:
    """`places` has those that it is about: one, or all of a report that is about all together."""

    places: tuple[Subject, ...]
    coverage: float | None
    restated_at: str | None
    told: Told
    beside: dict[Comparison, Told]


def answer(report: Report, asked: Asked, organisation: Organisation, *, now: datetime | None = None) -> list[Answer]:
    """One for each place, in order; of a report that is about all together, one. Raises periods.TooManyPeriods."""
    began = time.perf_counter()
    found = _answer(report, asked, organisation, now=now)
    SECONDS.of(report.name).observe(time.perf_counter() - began)
    return found


def _answer(report: Report, asked: Asked, organisation: Organisation, *, now: datetime | None) -> list[Answer]:
    wants_crowds = asked.form == "csv"
    with reading(organisation, asked.subjects, now=now) as found:
        main = _ask(report, found, asked.subjects, asked.question, crowds_too=wants_crowds)
        restated = [moment_told(_restated(found, asked.subjects, about)) for about in _about(report, asked)]
        beside = {name: _ask(report, found, asked.subjects, question, crowds_too=wants_crowds) for name, question in asked.compared.items()}
        covered = _coverage(found, [_joined(about) for about in _about(report, asked)], asked.question)
    return [
        Answer(about, covered[number], restated[number], told, {name: all_told[number] for name, all_told in beside.items()})
        for number, (about, told) in enumerate(zip(_about(report, asked), main, strict=True))
    ]


def _about(report: Report, asked: Asked) -> list[tuple[Subject, ...]]:
    return [asked.subjects] if report.together else [(subject,) for subject in asked.subjects]


def _coverage(found: Reading, subjects: Sequence[Subject], question: Question) -> list[float | None]:
    """None where the range is longer than anybody looks at hour by hour: its figures can still be told."""
    try:
        return coverage(found, subjects, question)
    except TooManyPeriods:
        return [None] * len(subjects)


def _joined(about: tuple[Subject, ...]) -> Subject:
    """All of them as one place."""
    return about[0] if len(about) == 1 else Subject("zone", "", "", tuple(zone for subject in about for zone in subject.zones))


def _ask(report: Report, found: Reading, subjects: Sequence[Subject], question: Question, *, crowds_too: bool) -> list[Told]:
    answers = report.function(found, subjects, question)
    counted = crowds.of(report.name, found, subjects, question) if crowds_too else []
    return [Told(one["rows"], one["total"], counted[number] if counted else Crowds()) for number, one in enumerate(answers)]


def _restated(found: Reading, asked: Sequence[Subject], about: Sequence[Subject]) -> int:
    """Of the days behind an answer: its own places', and those that the report read beside all that were asked for."""
    named = {zone for subject in asked for zone in subject.zones}
    own = {zone for subject in about for zone in subject.zones}
    return max((at for zone, at in found.restated.items() if zone in own or zone not in named), default=0)


# --- As JSON --------------------------------------------------------------------------------------------------------------


def place_told(subject: Subject) -> Json:
    return {"kind": subject.kind, "key": subject.key, "name": subject.name}


def as_json(report: Report, asked: Asked, answers: Sequence[Answer]) -> Json:
    head = {"definitions": DEFINITIONS, "report": report.name}
    edges = {"from": told(asked.question.range.start), "to": told(asked.question.range.end)}
    if len(asked.subjects) == 1:
        return {**head, "place": place_told(asked.subjects[0]), **edges, **_said(asked, answers[0])}
    if report.together:
        return {**head, "places": [place_told(subject) for subject in asked.subjects], **edges, **_said(asked, answers[0])}
    return {**head, **edges, "places": [{"place": place_told(one.places[0]), **_said(asked, one)} for one in answers]}


def _said(asked: Asked, one: Answer) -> Json:
    said = {"coverage": one.coverage, "restated_at": one.restated_at, "rows": one.told.rows, "total": one.told.total}
    if asked.compared:
        said["compare"] = {
            name: {"from": told(question.range.start), "to": told(question.range.end), "rows": one.beside[name].rows, "total": one.beside[name].total}
            for name, question in asked.compared.items()
        }
    return said


# --- As CSV ---------------------------------------------------------------------------------------------------------------


def as_csv(report: Report, asked: Asked, answers: Sequence[Answer]) -> bytes:
    return write(SHEETS[report.name], [_block(report, one) for one in answers])


def _block(report: Report, one: Answer) -> Block:
    first = {} if report.together else {"place": one.places[0].key, "name": one.places[0].name}
    last = {"coverage": one.coverage, "restated_at": one.restated_at, "definitions": DEFINITIONS}
    return Block(first, one.told.part(), {name: told.part() for name, told in one.beside.items()}, last)


def file_of(report: Report, asked: Asked) -> str:
    place = asked.subjects[0].key if len(asked.subjects) == 1 else f"{len(asked.subjects)}-places"
    return filename(report.name, place, told(asked.question.range.start), told(asked.question.range.end))
