"""Who is held out and who gets which variant."""

from fractions import Fraction
from hashlib import blake2b

import numpy as np

from notifications import arms

PEOPLE = np.arange(1, 200_001, dtype=np.int64)


def by_hand(campaign: int, what: str, shopper: int) -> float:
    """The same draw in plain integers."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    seed = blake2b(str(campaign).encode(), digest_size=16, person=what.encode()).digest()
    first, second = int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little")
    return float(Fraction(mix(mix(shopper ^ first) ^ second) >> 11, 2**53))


def test_a_draw_is_what_its_description_says() -> None:
    chosen = np.array([1, 2, 7, 4_294_967_295], dtype=np.int64)
    assert arms.draw(12, "holdout", chosen).tolist() == [by_hand(12, "holdout", shopper) for shopper in chosen.tolist()]


def test_a_draw_asks_for_nothing_but_campaign_and_shopper() -> None:
    whole = arms.held(3, PEOPLE, 0.05)
    assert (arms.held(3, PEOPLE[::-1], 0.05)[::-1] == whole).all() and (arms.held(3, PEOPLE[500:600], 0.05) == whole[500:600]).all()


def test_shares_are_as_asked_and_draws_know_nothing_of_each_other() -> None:
    """Within five standard deviations."""
    one, other = arms.held(1, PEOPLE, 0.05), arms.held(2, PEOPLE, 0.05)
    assert abs(one.mean() - 0.05) < 5 * (0.05 * 0.95 / len(PEOPLE)) ** 0.5
    assert abs((one & other).mean() - 0.0025) < 5 * (0.0025 / len(PEOPLE)) ** 0.5
    chosen = arms.variants(1, PEOPLE, [1, 2, 1])
    for index, share in enumerate([0.25, 0.5, 0.25]):
        assert abs((chosen == index).mean() - share) < 5 * (share * (1 - share) / len(PEOPLE)) ** 0.5
        assert abs((one & (chosen == index)).mean() - 0.05 * share) < 5 * (0.05 * share / len(PEOPLE)) ** 0.5


def test_nobody_is_held_out_where_the_share_is_nothing() -> None:
    assert not arms.held(1, PEOPLE, 0).any() and not arms.variants(1, PEOPLE, [7]).any()
