"""Whether telling brought more people: two shares, their difference and how sure one may be of it. Pure."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, Literal

Z: Final = 1.959963984540054  # of 95 %, two-sided
Z_POWER: Final = 0.8416212335729143  # of 80 %
FEW: Final = 5  # expected in each of the four cells, below which nothing is said
Verdict = Literal["more", "fewer", "open", "too_few"]


@dataclass(frozen=True, slots=True)
class Group:
    """So many people, and how many of them did what is asked about."""

    size: int
    did: int

    @property
    def share(self) -> float | None:
        return self.did / self.size if self.size else None


@dataclass(frozen=True, slots=True)
class Lift:
    """`difference`: the share of those told less that of those held out; `low` and `high` its 95 % interval. None where a group is empty.

    verdict: "more" or "fewer" where the interval leaves out zero, "open" where it does not, "too_few" where nothing may be said.
    needed: how many people in all, parted as these were, would show a difference of this size in four of five campaigns.
    """

    told: Group
    held: Group
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    needed: int | None


def lift(told: Group, held: Group) -> Lift:
    if not told.size or not held.size:
        return Lift(told, held, None, None, None, "too_few", None)
    difference, low, high = newcombe(told.did, told.size, held.did, held.size)
    verdict: Verdict = "more" if low > 0 else "fewer" if high < 0 else "open"
    return Lift(told, held, difference, low, high, "too_few" if too_few(told, held) else verdict, needed(told, held))


def too_few(told: Group, held: Group) -> bool:
    """The rule: if both groups did alike, fewer than 5 people would be expected to have done it, or not to have, in one of them.

    (Cochran, 1954: the usual bound for the expected counts of a table of four cells.)
    """
    share = (told.did + held.did) / max(told.size + held.size, 1)
    return min(told.size, held.size) * min(share, 1 - share) < FEW


def wilson(did: int, size: int) -> tuple[float, float]:
    """The score interval of one share (Wilson, 1927)."""
    share, square = did / size, Z * Z
    middle = share + square / (2 * size)
    reach = Z * sqrt(share * (1 - share) / size + square / (4 * size * size))
    whole = 1 + square / size
    # At none and all the formula's end is the share itself, but for rounding.
    return (middle - reach) / whole if did else 0.0, (middle + reach) / whole if did < size else 1.0


def newcombe(did: int, size: int, other_did: int, other_size: int) -> tuple[float, float, float]:
    """The difference of two independent shares, and its 95 % interval by the hybrid score method.

    Newcombe, R. G. (1998), Interval estimation for the difference between independent proportions: comparison of eleven methods.
    Statistics in Medicine 17, 873-890: method 10. It keeps its 95 % with few people and with shares near 0 and 1, and never leaves [-1, 1].
    """
    one, other = did / size, other_did / other_size
    (low, high), (other_low, other_high) = wilson(did, size), wilson(other_did, other_size)
    difference = one - other
    below = sqrt((one - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - one) ** 2 + (other - other_low) ** 2)
    return difference, difference - below, difference + above


def needed(told: Group, held: Group) -> int | None:
    """How many people in all would show this difference at 95 % with a power of 80 %. None where there is none to be shown.

    Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions (2003), chapter 4: two samples of unequal size, without the
    correction for continuity.
    """
    if told.share is None or held.share is None or told.share == held.share:
        return None
    ratio = held.size / told.size
    mean = (told.share + ratio * held.share) / (1 + ratio)
    under_none = Z * sqrt(mean * (1 - mean) * (1 + 1 / ratio))
    under_this = Z_POWER * sqrt(told.share * (1 - told.share) + held.share * (1 - held.share) / ratio)
    size = ((under_none + under_this) / (told.share - held.share)) ** 2
    return ceil(size) + ceil(size * ratio)
