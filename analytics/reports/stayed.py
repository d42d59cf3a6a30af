"""How long people stayed, and how many hardly did."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from analytics import facts
from analytics.reports.pieces import Dwells, Pieces, pieces
from analytics.reports.reading import Question, Reading, Subject, rate, seconds
from analytics.stays import Ints

Answer = dict[str, Any]  # rows and total

CLASSES: Final = ("under_5", "from_5_to_15", "from_15_to_30", "from_30_to_60", "over_60")  # minutes


def dwell(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Of closed visits: the median, the 90th percentile and the mean in seconds, and the share of each class. Raises periods.TooManyPeriods."""
    zones = [zone for subject in subjects for zone in subject.zones]
    days = reading.days(zones, question, ("dwells", "dwell_hours") if question.grain == "hour" else ("dwells", "classes"))
    answers = []
    for subject in subjects:
        found = pieces(reading, subject.zones, question, days)
        dwells = found.dwells()
        classes = _classes(found, dwells)
        rows = [{"period": label, **one} for label, one in zip(found.labels, _dwell(dwells, classes), strict=True)]
        [total] = _dwell(dwells.whole(), classes.sum(axis=0, keepdims=True))
        answers.append({"rows": rows, "total": total})
    return answers


def _classes(found: Pieces, dwells: Dwells) -> Ints:
    """How many closed visits of each class each period has: periods x classes."""
    if found.by_hour:
        label = np.repeat(np.arange(len(found.labels)), dwells.counts())
        cells = label * facts.CLASSES + facts.classes_of(dwells.values)
        return np.bincount(cells, minlength=len(found.labels) * facts.CLASSES).reshape(-1, facts.CLASSES).astype(np.int64)
    counts = np.zeros((len(found.labels), facts.CLASSES), np.int64)
    if len(found.days):
        np.add.at(counts, found.place, np.stack(found.days.columns["classes"]))
    return counts


def _dwell(dwells: Dwells, classes: Ints) -> list[dict[str, Any]]:
    """Of each label."""
    told = []
    for visits, summed, median, p90, of_class in zip(
        dwells.counts().tolist(), dwells.sums.tolist(), *dwells.quantiles((0.5, 0.9)), classes.tolist(), strict=True
    ):
        shares = {name: rate(number, visits) for name, number in zip(CLASSES, of_class, strict=True)}
        mean = seconds(summed / visits) if visits else None
        told.append({"visits": visits, "median_s": seconds(median), "p90_s": seconds(p90), "mean_s": mean, "shares": shares})
    return told


def bounce(reading: Reading, subjects: Sequence[Subject], question: Question) -> list[Answer]:
    """Of all stays, the share that was too short to count. Raises periods.TooManyPeriods."""
    days = reading.days([zone for subject in subjects for zone in subject.zones], question, ("hours",) if question.grain == "hour" else ())
    answers = []
    for subject in subjects:
        found = pieces(reading, subject.zones, question, days)
        visits, pass_bys = found.counts()
        rows = [{"period": label, **_bounce(*both)} for label, *both in zip(found.labels, visits.tolist(), pass_bys.tolist(), strict=True)]
        answers.append({"rows": rows, "total": _bounce(int(visits.sum()), int(pass_bys.sum()))})
    return answers


def _bounce(visits: int, pass_bys: int) -> dict[str, Any]:
    return {"visits": visits, "pass_bys": pass_bys, "rate": rate(pass_bys, visits + pass_bys)}
