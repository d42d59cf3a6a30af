"""Who is held out and who gets which variant: drawn by a hash of campaign and shopper, so the same however often, wherever and in whatever order it is asked.

Two numbers of 64 bits are made of the campaign and of what is drawn (BLAKE2b); a shopper's number is mixed with one, then with the other
(SplitMix64's finaliser each time), and the upper 53 bits are a share between 0 and 1. Draws of other campaigns, and the draw of the variant, know
nothing of it. A million take some milliseconds.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Shares = npt.NDArray[np.float64]


def numbers(of: BitMap) -> Ints:
    """In order."""
    return np.frombuffer(of.to_array(), dtype=np.uint32).astype(np.int64) if of else np.empty(0, np.int64)


def held(campaign: int, shoppers: Ints, share: float) -> Bools:
    """Whether each is held out, where that share is."""
    out: Bools = draw(campaign, "holdout", shoppers) < share
    return out


def variants(campaign: int, shoppers: Ints, weights: Sequence[int]) -> Ints:
    """The index of each one's variant."""
    bounds = np.cumsum(np.array(weights, dtype=np.float64)) / sum(weights)
    return np.searchsorted(bounds[:-1], draw(campaign, "variant", shoppers), side="right").astype(np.int64)


def draw(campaign: int, what: str, shoppers: Ints) -> Shares:
    """A number of [0, 1) for each."""
    seed = blake2b(str(campaign).encode(), digest_size=16, person=what.encode()).digest()
    first, second = (np.uint64(number) for number in np.frombuffer(seed, dtype="<u8"))
    mixed = _mix(_mix(shoppers.astype(np.uint64) ^ first) ^ second)
    shares: Shares = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return shares


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
