"""The people of many days are united once, and remembered by what the days contain."""

import numpy as np
import pytest
from pyroaring import BitMap

from analytics.reports import unions

DAYS = [BitMap(range(first, first + 10)) for first in range(0, 50, 5)]
DIGESTS = np.arange(1, 11, dtype=np.int64)
EVERYBODY = set(range(55))


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    unions.forget()


def test_the_same_days_are_united_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(unions, "union", lambda sets: counted.append(len(sets)) or BitMap.union(*sets))
    assert [set(unions.united(DAYS, DIGESTS)) for _ in range(3)] == [EVERYBODY] * 3
    assert counted == [10]


def test_a_day_with_another_content_is_another_union() -> None:
    assert set(unions.united(DAYS, DIGESTS)) == EVERYBODY
    assert set(unions.united([*DAYS[:-1], BitMap([1_000])], np.append(DIGESTS[:-1], 99))) == set(range(50)) | {1_000}


def test_a_day_that_is_read_from_its_stays_is_never_remembered() -> None:
    running = DIGESTS.copy()
    running[4] = 0
    for stranger in (500, 600):
        days = [*DAYS[:4], BitMap([stranger]), *DAYS[5:]]
        assert stranger in unions.united(days, running)
    assert 500 not in unions.united([*DAYS[:4], BitMap([600]), *DAYS[5:]], running)
    assert set(unions.united([BitMap([1]), BitMap([2]), BitMap([3]), BitMap([4])], np.zeros(4, np.int64))) == {1, 2, 3, 4}


def test_nobody_changes_what_is_remembered_by_using_it_and_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unions, "KEPT_BYTES", 2_000)
    for first in range(1, 100, 10):
        unions.united(DAYS, DIGESTS + first * 100)
    assert len(unions._kept) < 5
    assert set(unions.united(DAYS, DIGESTS)) == EVERYBODY
