"""What every wire takes and answers. Pure.

A result says what is certain. Its detail is for people and for the log, and never holds an address: servers like to quote them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from notifications.mail import Mail

LATE_S: Final = 0.015  # notifications.governor says why


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has taken it, and calls it so; or does not say how."""

    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class ForNow:
    """It certainly did not leave, and may later. `throttled`: the provider says we are too fast. `of_all`: not this mail is in trouble but the wire."""

    detail: str
    throttled: bool = False
    of_all: bool = False


@dataclass(frozen=True, slots=True)
class ForEver:
    """It certainly did not leave, and never will."""

    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have left: only the answer is missing."""

    detail: str


@dataclass(frozen=True, slots=True)
class Late:
    """It certainly did not leave: its instant had passed. It needs another one."""


Result = Sent | ForNow | ForEver | Unknown | Late


@dataclass(frozen=True, slots=True)
class Timed:
    """A mail that leaves at an instant of time.monotonic(), at most LATE_S after it, or not at all."""

    mail: Mail
    leaves_at: float


@dataclass(frozen=True, slots=True)
class Wait:
    """In a feed: there is nothing more before this instant of time.monotonic(). What is under way goes on meanwhile."""

    until: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider says of the account: mails a second; in 24 hours (below zero: no limit), and how many of them are used."""

    rate: float
    quota: float
    sent: float


class NotTold(Exception):
    """The provider did not say. Its text may be shown."""


Feed = Iterable[Mail | Timed | Wait]


class Wire(Protocol):
    """Of one thread. Connections stay open from one call to the next."""

    def send(self, feed: Feed) -> Iterator[Result]:
        """One result for each mail, in order. The feed is read only as fast as mails can leave, so neither may be a list."""
        ...

    def close(self) -> None: ...
