"""What an automatic action is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Seen:
    """Something to do: what was seen, what is to be done about it, and whatever the doing needs to know. Sentences without names or addresses of people."""

    what: str
    do: str
    subject: Any = None


@dataclass(frozen=True, slots=True)
class Action:
    """`sees` only looks, and says None where there is nothing to do. `does` does it, and says in a sentence what came of it; both may fail alone.

    `does` may be killed anywhere: what it left is seen again. It works for a few seconds at most; what is left is seen the next time.
    """

    name: str
    title: Text
    looks_at: Text
    deed: Text
    sees: Callable[[datetime], Seen | None]
    does: Callable[[Seen, datetime], str]
    every: timedelta
    tells: bool = False  # the operators, in Slack, when it did something
