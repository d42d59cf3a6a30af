"""Figures over fewer than ten shoppers: hidden, and not to be worked out from what is shown."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analytics.small_cells import FEW, HIDDEN, SMALL, Rule, hide

PEOPLE = Rule(
    {"visits": ("visitors",), "visitors": ("visitors",), "new": ("visitors", "new"), "returning": ("visitors", "returning")},
    parts=(("new", "returning"),),
    additive=("visits", "new"),
    tells={"visits": ("frequency",), "new": ("returning",)},
)


def row(visits: int, new: int, returning: int) -> dict[str, Any]:
    return {"period": "x", "visits": visits, "visitors": new + returning, "new": new, "returning": returning}


def test_every_figure_over_one_to_nine_shoppers_is_hidden_and_none_over_ten_or_nobody() -> None:
    [few, enough, nobody], _ = hide(PEOPLE, [row(40, 4, 5), row(40, 0, 10), row(0, 0, 0)], {}, [], {})
    assert few == {"period": "x", "visits": SMALL, "visitors": SMALL, "new": SMALL, "returning": SMALL}
    assert enough == row(40, 0, 10)
    assert nobody == row(0, 0, 0)


def test_the_other_part_of_a_shown_whole_does_not_give_the_small_one_away() -> None:
    [shown], _ = hide(PEOPLE, [row(60, 3, 47)], {}, [], {})
    assert (shown["visitors"], shown["new"], shown["returning"]) == (50, SMALL, HIDDEN)


def test_shoppers_that_a_row_does_not_show_count_all_the_same() -> None:
    rule = Rule({"pass_bys": ("passers",)})
    shown, total = hide(rule, [{"pass_bys": 500}, {"pass_bys": 500}], {"pass_bys": 1000}, [{"passers": 9}, {"passers": 10}], {"passers": 12})
    assert ([one["pass_bys"] for one in shown], total["pass_bys"]) == ([SMALL, 500], 1000)


def test_a_total_is_hidden_where_it_would_tell_the_only_hidden_row() -> None:
    rows = [row(40, 20, 0), row(7, 5, 0), row(30, 12, 20)]
    total = {**row(77, 37, 20), "frequency": 1.350877}
    _, whole = hide(PEOPLE, rows, total, [], {})
    assert whole == {"period": "x", "visits": HIDDEN, "visitors": 57, "new": HIDDEN, "returning": HIDDEN, "frequency": HIDDEN}
    _, whole = hide(PEOPLE, [*rows, row(8, 6, 0)], {**total, "visits": 85, "new": 43}, [], {})
    assert (whole["visits"], whole["new"]) == (85, 43)  # the sum of two tells neither


def test_a_total_is_hidden_where_the_sum_of_what_is_hidden_has_one_explanation() -> None:
    for numbers, told in (((1, 1), True), ((9, 9, 9), True), ((1, 2), False), ((8, 9), False)):
        rows = [{"visitors": number} for number in (*numbers, 50)]
        _, whole = hide(Rule({"visitors": ("visitors",)}, additive=("visitors",)), rows, {"visitors": 50 + sum(numbers)}, [], {})
        assert (whole["visitors"] == HIDDEN) == told, numbers


def test_a_weighted_sum_is_hidden_as_soon_as_one_row_is() -> None:
    rule = Rule({"visitors": ("visitors",)}, additive=("visitors",), beside_none=("visits",))
    for rows, visits in (([{"visitors": 40}, {"visitors": 3}, {"visitors": 4}], HIDDEN), ([{"visitors": 40}, {"visitors": 30}], 100)):
        assert hide(rule, rows, {"visitors": 100, "visits": 100}, [], {})[1]["visits"] == visits


def test_what_is_null_stays_null_and_a_zero_of_nobody_stays_a_zero() -> None:
    rule = Rule({"mean": ("there",), "rate": ("visitors",)}, empty=("mean",))
    [shown], _ = hide(rule, [{"mean": 0, "rate": None}], {}, [{"there": 1, "visitors": 3}], {})
    assert shown == {"mean": 0, "rate": None}


counts = st.integers(0, 60)


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=6))
def test_no_hidden_number_of_shoppers_has_only_one_explanation(numbers: list[tuple[int, int]]) -> None:
    """An attacker knows the rule, and every shown cell: another file with other numbers in a hidden cell must look the same to him."""
    rows = [row(new + returning, new, returning) for new, returning in numbers]
    total = {"visits": sum(map(sum, numbers)), "new": sum(new for new, _ in numbers)}
    shown, whole = hide(PEOPLE, rows, total, [], {})
    for figure in ("new", "visits"):
        hidden = [place for place, one in enumerate(shown) if one[figure] in (SMALL, HIDDEN)]
        if hidden and whole[figure] not in (SMALL, HIDDEN):
            left = whole[figure] - sum(one[figure] for place, one in enumerate(shown) if place not in hidden)
            assert len(hidden) > 1 and left > 0
            if all(shown[place][figure] == SMALL for place in hidden):
                assert left not in (len(hidden), (FEW - 1) * len(hidden))
    for one in shown:
        if one["visitors"] not in (SMALL, HIDDEN):
            assert (one["new"] in (SMALL, HIDDEN)) == (one["returning"] in (SMALL, HIDDEN)) or 0 in (one["new"], one["returning"])
