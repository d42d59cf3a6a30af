"""One attribute's values, of each shopper who has one: in arrays, and what changed since beside them. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from analytics.audiences.tree import Fits, Value

Numbers = npt.NDArray[np.uint32]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

NONE: Final = None  # no value, or one that no rule can ask for
LAID_OVER: Final = 20_000  # changes that lie beside the arrays before they are worked in
REMEMBERED: Final = 32  # answers of the arrays
_TEXT_BYTES: Final = 120  # of a text in a dictionary, about
_CHANGE_BYTES: Final = 150


def decoded(told: str) -> Value | None:
    """A value as PostgreSQL writes JSON. Numbers are floats: those that are taken in have fewer than 53 bits."""
    value = json.loads(told)
    if isinstance(value, str | bool):
        return value
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Values:
    """Never changed in place, but for the answers it remembers."""

    shoppers: Numbers
    codes: Codes  # of the value of each: its place in `numbers`
    numbers: Floats  # NaN: it is a text or a truth, whose code is in `others`
    others: dict[str | bool, int]
    changes: dict[int, Value | None]  # what holds of these, whatever the arrays say
    answers: dict[Fits, BitMap] = field(default_factory=dict, compare=False)  # of the arrays alone

    @classmethod
    def nothing(cls) -> "Values":
        return cls(np.empty(0, np.uint32), np.empty(0, np.int32), np.empty(0), {}, {})

    @property
    def size(self) -> int:
        arrays = self.shoppers.nbytes + self.codes.nbytes + self.numbers.nbytes
        return arrays + len(self.others) * _TEXT_BYTES + len(self.changes) * _CHANGE_BYTES

    def over(self, rows: Sequence[tuple[Value | None, Numbers]]) -> "Values":
        """The same with these values for these shoppers; None: no longer any."""
        if sum(len(who) for _, who in rows) + len(self.changes) > LAID_OVER:
            return self._worked_in([(value, np.array([who], dtype=np.uint32)) for who, value in self.changes.items()])._worked_in(rows)
        return replace(self, changes={**self.changes, **{shopper: value for value, who in rows for shopper in who.tolist()}})

    def match(self, test: Fits) -> BitMap:
        """Who passes it. A set of one's own."""
        known = self.answers.get(test)
        if known is None:
            known = BitMap(self.shoppers[self._codes(test)[self.codes]])
            if len(self.answers) < REMEMBERED:
                self.answers[test] = known
        if not self.changes:
            return BitMap(known)
        return (known - BitMap(self.changes)) | BitMap([shopper for shopper, value in self.changes.items() if value is not None and passes(test, value)])

    def _codes(self, test: Fits) -> npt.NDArray[np.bool_]:
        """Which of the values pass."""
        found = np.zeros(len(self.numbers), np.bool_)
        if test.among is not None:
            found |= np.isin(self.numbers, [value for value in test.among if isinstance(value, float)])
            found[[self.others[value] for value in test.among if not isinstance(value, float) and value in self.others]] = True
        elif isinstance(test.at_least, str) or isinstance(test.at_most, str):
            found[[code for value, code in self.others.items() if passes(test, value)]] = True
        else:
            with np.errstate(invalid="ignore"):  # NaN is neither more nor less
                found = self.numbers >= (-np.inf if test.at_least is None else test.at_least)
                found &= self.numbers <= (np.inf if test.at_most is None else test.at_most)
        return found

    def _worked_in(self, rows: Sequence[tuple[Value | None, Numbers]]) -> "Values":
        """Without changes beside the arrays."""
        if not rows:
            return replace(self, changes={}, answers={})
        gone = BitMap.union(*(BitMap(who) for _, who in rows))
        kept = ~np.isin(self.shoppers, np.asarray(gone.to_array(), dtype=np.uint32)) if len(self.shoppers) else np.empty(0, np.bool_)
        others, shoppers, codes = dict(self.others), [self.shoppers[kept]], [self.codes[kept]]
        fresh: list[float] = []
        for value, who in rows:
            if value is None:
                continue
            code = others.get(value) if not isinstance(value, float) else None
            if code is None:
                code = len(self.numbers) + len(fresh)
                fresh.append(value if isinstance(value, float) else np.nan)
                if not isinstance(value, float):
                    others[value] = code
            shoppers.append(who)
            codes.append(np.full(len(who), code, np.int32))
        return Values(np.concatenate(shoppers), np.concatenate(codes), np.concatenate((self.numbers, np.array(fresh, dtype=np.float64))), others, {})


def passes(test: Fits, value: Any) -> bool:
    if test.among is not None:
        return any(type(one) is type(value) and one == value for one in test.among)
    bounds = [bound for bound in (test.at_least, test.at_most) if bound is not None]
    if any(type(bound) is not type(value) for bound in bounds):
        return False
    return (test.at_least is None or value >= test.at_least) and (test.at_most is None or value <= test.at_most)
