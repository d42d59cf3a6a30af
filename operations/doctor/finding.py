"""What the doctor says of one thing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy`: what to type or to look at, where something is wrong. No address with a password, no secret, nobody's name is in it."""

    name: str
    fine: bool
    sentence: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def good(name: str, sentence: str) -> Finding:
    return Finding(name, True, sentence)


def bad(name: str, sentence: str, remedy: str) -> Finding:
    return Finding(name, False, sentence, remedy)
