"""Which test shows which case. The numbers are those of the table of faults; every test named here exists."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final[dict[int, tuple[str, ...]]] = {
    1: ("faults/test_accept.py::test_case_01_",),
    2: ("faults/test_accept.py::test_case_02_", "faults/test_ownership.py::test_case_02_"),
    3: ("faults/test_database.py::test_case_03_",),
    4: ("faults/test_database.py::test_case_04_",),
    5: ("faults/test_database.py::test_case_05_",),
    6: ("faults/test_database.py::test_case_06_",),
    7: ("faults/test_database.py::test_case_07_",),
    8: ("faults/test_database.py::test_case_08_",),
    9: ("faults/test_crowding.py::test_case_09_",),
    10: ("faults/test_database.py::test_case_10_",),
    11: ("faults/test_accept.py::test_case_11_",),
    12: ("faults/test_accept.py::test_case_12_",),
    13: ("faults/test_accept.py::test_case_13_",),
    14: ("faults/test_accept.py::test_case_14_",),
    15: ("faults/test_crash_points.py::test_case_15_",),
    16: ("faults/test_soak.py::test_case_16_",),
    17: ("faults/test_ownership.py::test_case_17_",),
    18: ("faults/test_ownership.py::test_case_18_",),
    19: ("faults/test_ownership.py::test_case_19_",),
    20: ("faults/test_ownership.py::test_case_20_", "faults/test_doorbells.py::test_case_20_"),
    21: ("faults/test_poison.py::test_case_21_", "faults/test_crowding.py::test_case_21_", "faults/test_redrive.py::test_case_21_"),
    22: ("faults/test_poison.py::test_case_22_",),
    23: ("analytics/test_stream_law.py::test_any_delivery_and_any_workers_make_the_stays_of_the_definitions",),
    24: ("faults/test_history.py::test_case_24_",),
    25: ("faults/test_ownership.py::test_case_25_",),
    26: ("analytics/test_stream_law.py::test_the_stream_says_what_was_worked_out_by_hand",),
    28: ("faults/test_history.py::test_case_28_",),
    29: ("faults/test_history.py::test_case_29_", "engagement/test_provision_faults.py::test_a_faulty_one_is_refused_in_plain_words"),
    30: ("faults/test_crowding.py::test_case_30_",),
    31: ("faults/test_history.py::test_case_31_",),
    **{case: (f"faults/test_pressed.py::test_case_{case}_",) for case in (32, 33, 34)},
    35: ("faults/test_ownership.py::test_case_35_",),
    36: ("faults/test_history.py::test_case_36_",),
    **{case: (f"faults/test_sending.py::test_case_{case}_",) for case in range(40, 48)},
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_tests(case: int) -> None:
    for named in CASES[case]:
        path, _, beginning = named.partition("::")
        assert re.search(rf"^ *def {beginning}", (ROOT / "tests" / path).read_text(), re.MULTILINE), named


def test_each_case_that_a_test_claims_is_listed() -> None:
    claimed = {
        int(number) for path in Path(__file__).parent.glob("test_*.py") for number in re.findall(r"^def test_case_(\d+)_", path.read_text(), re.MULTILINE)
    }
    assert claimed <= CASES.keys()
    assert set(range(1, 27)) | set(range(28, 37)) | set(range(40, 48)) <= CASES.keys()
