"""Figures as CSV (RFC 4180), for spreadsheets and for people outside: small cells hidden, and no cell that a spreadsheet would run.

In UTF-8 with a byte order mark: without one, Excel takes the text for its own code page, and names lose their letters. Programs read
it as `utf-8-sig`. Numbers are plain, so that they stay numbers; text that could be taken for a formula gets an apostrophe in front.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Final

from analytics.small_cells import Crowd, Row, Rule, hide

BOM: Final = "\ufeff"
TOTAL: Final = "total"
_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212")
_IGNORED: Final = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))  # control, format and blank characters, which spreadsheets skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a report's rows become lines. `keys` name a row; all else in it are figures, but for what is plain."""

    keys: tuple[str, ...]
    rule: Rule
    in_order: bool = False  # beside the nth row stands the nth of the range before; else the one with the same keys


@dataclass(slots=True)
class Part:
    """Rows and total of one range, as the report gave them, and how many shoppers are behind them."""

    rows: Sequence[Row]
    total: Row
    crowds: Sequence[Crowd] = ()
    crowd: Crowd = field(default_factory=dict)


@dataclass(slots=True)
class Block:
    """What a report says of one place: the lines share `first` and `last`, its cells before and behind the figures."""

    first: Row
    part: Part
    beside: Mapping[str, Part]  # by the prefix of their columns
    last: Row


def _over(behind: str, *figures: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(figures, (behind,))


_NEW: Final[dict[str, tuple[str, ...]]] = {"new": ("visitors", "new"), "returning": ("visitors", "returning")}
_SHARES: Final = tuple(f"shares_{name}" for name in ("under_5", "from_5_to_15", "from_15_to_30", "from_30_to_60", "over_60"))
_PERIOD: Final = ("period",)

SHEETS: Final[dict[str, Sheet]] = {
    "footfall": Sheet(
        _PERIOD,
        Rule(
            {
                **_over("visitors", "visits", "visitors"),
                **_NEW,
                **_over("passers", "pass_bys"),
                **_over("closed", "dwell_median_s", "dwell_p90_s", "dwell_mean_s"),
            },
            parts=(("new", "returning"),),
            additive=("visits", "new", "pass_bys"),
            tells={"new": ("returning",)},
        ),
        in_order=True,
    ),
    "visitors": Sheet(
        _PERIOD,
        Rule(
            {**_over("visitors", "visits", "visitors", "frequency"), **_NEW},
            parts=(("new", "returning"),),
            additive=("visits", "new"),
            tells={"visits": ("frequency",), "new": ("returning",)},
        ),
        in_order=True,
    ),
    "dwell": Sheet(
        _PERIOD,
        Rule(
            {**_over("closed", "visits", "median_s", "p90_s", "mean_s"), **{share: ("closed", f"class_{number}") for number, share in enumerate(_SHARES)}},
            parts=(_SHARES,),
            additive=("visits",),
            tells={"visits": _SHARES},  # a ratio to six digits tells what it is a ratio of
        ),
        in_order=True,
    ),
    "occupancy": Sheet(_PERIOD, Rule({**_over("peak", "mean", "peak", "peak_at"), "now": ("now",)}), in_order=True),
    "bounce": Sheet(
        _PERIOD,
        Rule(
            {"visits": ("visitors",), "pass_bys": ("passers",), "rate": ("visitors", "passers")},
            additive=("visits", "pass_bys"),
            tells={"visits": ("rate",), "pass_bys": ("rate",)},
        ),
        in_order=True,
    ),
    "capture": Sheet(_PERIOD, Rule({"visitors": ("visitors",), "above": ("above",), "rate": ("visitors", "above")}), in_order=True),
    "passers-by": Sheet(_PERIOD, Rule(_over("passers_by", "passers_by")), in_order=True),
    "flows": Sheet(("from", "to"), Rule(_over("visits", "visits"), additive=("visits",))),
    "cross-visits": Sheet(("a", "b"), Rule(_over("visitors", "visitors"))),
    "retention": Sheet(("cohort",), Rule(_over("visitors", "visitors"), additive=("visitors",)), in_order=True),
    "heatmap": Sheet(("weekday", "hour"), Rule(_over("visitors", "visits", "mean"), additive=("visits",), tells={"visits": ("mean",)})),
    "loyalty": Sheet(
        ("visits",),
        Rule(_over("visitors", "visitors", "frequency", "total_visits"), additive=("visitors",), beside_none=("total_visits", "frequency")),
    ),
    "recency": Sheet(("days_ago",), Rule(_over("visitors", "visitors"), additive=("visitors",))),
    "peak-hours": Sheet(("hour",), Rule({**_over("visitors", "visits", "mean_visits", "total_hour"), "mean_occupancy": ("there",)}, empty=("mean_occupancy",))),
    "conversion": Sheet(_PERIOD, Rule({"buyers": ("buyers",), "visitors": ("visitors",), "rate": ("buyers", "visitors")}), in_order=True),
}


# --- Rows made flat -------------------------------------------------------------------------------------------------------


def flat(row: Mapping[str, Any]) -> Row:
    """One level: `shares: {under_5}` as `shares_under_5`, the nth of `months` as `months_0_visitors`."""
    found: Row = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{inner}": cell for inner, cell in value.items()}
        elif isinstance(value, list):
            found |= {f"{name}_{number}_{inner}": cell for number, one in enumerate(value) for inner, cell in one.items() if inner != "months_later"}
        else:
            found[name] = value
    return found


def _hidden(sheet: Sheet, part: Part) -> tuple[list[Row], Row]:
    """Flat, with small cells hidden. A field of the total that has the name of a key is called `total_` and that."""
    rows = [flat(row) for row in part.rows]
    keys = [{key: row.pop(key, None) for key in sheet.keys} for row in rows]
    total = {f"total_{name}" if name in sheet.keys else name: value for name, value in flat(part.total).items()}
    cohorts = {name: ("visitors", f"{name.rpartition('_')[0]}_visitors") for row in rows for name in row if name.startswith("months_")}
    shown, whole = hide(replace(sheet.rule, over={**sheet.rule.over, **cohorts}), rows, total, part.crowds, part.crowd)
    return [key | row for key, row in zip(keys, shown, strict=True)], whole


def lines(sheet: Sheet, block: Block) -> Iterator[Row]:
    """Of one place, the total last."""
    rows, total = _hidden(sheet, block.part)
    beside = {prefix: _hidden(sheet, part) for prefix, part in block.beside.items()}
    for joined in _side_by_side(sheet, rows, {prefix: found for prefix, (found, _) in beside.items()}):
        yield block.first | joined | block.last
    if total:
        ends = {f"{prefix}_{name}": value for prefix, (_, whole) in beside.items() for name, value in whole.items()}
        yield block.first | {sheet.keys[0]: TOTAL} | total | ends | block.last


def _side_by_side(sheet: Sheet, rows: list[Row], beside: Mapping[str, list[Row]]) -> Iterator[Row]:
    if sheet.in_order:
        for row, *others in zip_longest(rows, *beside.values(), fillvalue={}):
            yield row | {f"{prefix}_{name}": value for prefix, other in zip(beside, others, strict=True) for name, value in other.items()}
        return
    by_key: dict[tuple[Any, ...], Row] = {_key(sheet, row): dict(row) for row in rows}
    for prefix, listed in beside.items():
        for other in listed:
            row = by_key.setdefault(_key(sheet, other), {key: other[key] for key in sheet.keys})
            row |= {f"{prefix}_{name}": value for name, value in other.items() if name not in sheet.keys}
    yield from by_key.values()


def _key(sheet: Sheet, row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in sheet.keys)


# --- Lines written --------------------------------------------------------------------------------------------------------


def write(sheet: Sheet, blocks: Iterable[Block]) -> bytes:
    """The whole file. A column for each field that any line has, in the order of their first appearance, `last` at the end."""
    listed = [(list(lines(sheet, block)), block) for block in blocks]
    behind = [name for _, block in listed[:1] for name in block.last]
    columns = _grouped({name: None for found, _ in listed for row in found for name in row if name not in behind}, [p for _, b in listed[:1] for p in b.beside])
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*columns, *behind])
    for found, _ in listed:
        writer.writerows([cell(row.get(name)) for name in (*columns, *behind)] for row in found)
    return (BOM + out.getvalue()).encode()


def _grouped(columns: Iterable[str], prefixes: Sequence[str]) -> list[str]:
    """The range's own columns first, then those of each range beside it."""

    def group(name: str) -> int:
        return next((number for number, prefix in enumerate(prefixes, 1) if name.startswith(f"{prefix}_")), 0)

    return sorted(columns, key=group)


def cell(value: Any) -> str:
    """A number as it is, nothing for None, and text that nothing runs."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return f"'{text}" if _runs(text) else text


def _runs(text: str) -> bool:
    """Whether a spreadsheet could take it for a formula, also behind characters that it skips."""
    for character in text:
        if character in _FORMULA:
            return True
        if unicodedata.category(character) not in _IGNORED:
            return False
    return False


def filename(report: str, place: str, start: str, end: str) -> str:
    """Of letters, digits, `.`, `-` and `_` alone: any system takes it."""
    return re.sub(r"[^\w.-]+", "_", f"{report}-{place}-{start}-{end}") + ".csv"
