"""Figures over fewer than ten shoppers, written so that nobody can be told from them. Pure.

What leaves the organisation's own screens says `<10` instead of such a figure. A figure of more people says `hidden` where it would
give a small one away: the other part of a shown whole, or a total of which all other rows are shown. Nothing else is changed: 0 is
nobody, and is said. What stays possible is to set one export against another (other ranges, other zones): who gives several away sees to that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

FEW: Final = 10
SMALL: Final = "<10"
HIDDEN: Final = "hidden"

Row = dict[str, Any]
Crowd = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one report. Fields are those of its flat rows and total."""

    over: Mapping[str, tuple[str, ...]]  # figure -> the counts of shoppers behind it: fields of the row, or of its crowd
    empty: tuple[str, ...] = ()  # figures that are 0 where nobody was, whatever the counts say
    parts: tuple[tuple[str, ...], ...] = ()  # figures that make up a whole which is shown as well
    additive: tuple[str, ...] = ()  # figures of rows that add up to the total's
    tells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # additive figure -> others of the total that tell it as well
    beside_none: tuple[str, ...] = ()  # figures of the total that are hidden as soon as one row is: they are weighted sums of the rows


def is_small(number: Any) -> bool:
    return isinstance(number, int | float) and 0 < number < FEW


def hide(rule: Rule, rows: Sequence[Row], total: Row, crowds: Sequence[Crowd], crowd: Crowd) -> tuple[list[Row], Row]:
    """The rows and the total as they may leave. `crowds` has an entry for each row (or none at all), `crowd` is the total's."""
    behind: Sequence[Crowd] = crowds or [{} for _ in rows]
    shown = [_shown(rule, row, counts) for row, counts in zip(rows, behind, strict=True)]
    whole = _shown(rule, total, crowd)
    for figure in rule.additive:
        gone = [row[figure] for row, left in zip(rows, shown, strict=True) if left.get(figure) in (SMALL, HIDDEN)]
        giving = (figure, *rule.tells.get(figure, ())) if gone and _told(gone) else ()
        for name in (*giving, *(rule.beside_none if gone else ())):
            if whole.get(name) not in (None, SMALL):
                whole[name] = HIDDEN
    return shown, whole


def _shown(rule: Rule, row: Row, crowd: Crowd) -> Row:
    counts = {**row, **crowd}
    said = {figure for figure in rule.over if row.get(figure) is not None and not (figure in rule.empty and row[figure] == 0)}
    small = {figure for figure in said if any(is_small(counts.get(name)) for name in rule.over[figure])}
    shown = {name: SMALL if name in small else value for name, value in row.items()}
    for parts in rule.parts:
        if sum(shown.get(name) == SMALL for name in parts) == 1:
            others = [name for name in parts if name not in small and row.get(name)]
            if others:
                shown[min(others, key=lambda name: (row[name], name))] = HIDDEN
    return shown


def _told(gone: Sequence[float]) -> bool:
    """Whether the sum of hidden numbers tells what each of them is: one alone, or all the least or the greatest that they can be."""
    return len(gone) == 1 or sum(gone) in (0, len(gone), (FEW - 1) * len(gone))
