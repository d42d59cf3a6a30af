"""How long people stayed, and how many hardly did."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from analytics import facts
from analytics.reports.pieces import Pieces, pieces
from analytics.reports.reading import Question, Reading, Subject, quantiles, rate, seconds
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
        runs = found.dwells()
        classes = _classes(found, runs)
        rows = [{"period": label, **_dwell(own, counts)} for label, own, counts in zip(found.labels, runs, classes, strict=True)]
        answers.append({"rows": rows, "total": _dwell([run for own in runs for run in own], classes.sum(axis=0))})
    return answers


def _classes(found: Pieces, runs: list[list[Ints]]) -> Ints:
    """How many closed visits of each class each period has: periods x classes."""
    counts = np.zeros((len(found.labels), facts.CLASSES), np.int64)
    if found.by_hour:
        for place, own in enumerate(runs):
            for run in own:
                counts[place] += np.bincount(facts.classes_of(run), minlength=facts.CLASSES)
    elif len(found.days):
        np.add.at(counts, found.place, np.stack(found.days.columns["classes"]))
    return counts


def _dwell(runs: list[Ints], classes: Ints) -> dict[str, Any]:
    runs = [run for run in runs if len(run)]
    visits = sum(map(len, runs))
    median, p90 = quantiles(runs, (0.5, 0.9))
    mean = sum(int(run.sum()) for run in runs) / visits if visits else None
    shares = {name: rate(number, visits) for name, number in zip(CLASSES, classes.tolist(), strict=True)}
    return {"visits": visits, "median_s": seconds(median), "p90_s": seconds(p90), "mean_s": seconds(mean), "shares": shares}


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
