"""What a rule is made of. Pure. `path` is a part's place in the JSON, as `all.0.visited`; two parts that differ in nothing else are the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal

Edge = date | datetime  # a local date, or an instant
Value = str | float | bool  # what an attribute can be
PlaceKind = Literal["zone", "venue", "brand"]
# What is called what: ("zone", "north-food") to "Food court".
Names = Mapping[tuple[str, str], str]

STATES: Final = ("planned", "claimed", "sent", "delivered", "bounced", "complained", "failed", "skipped", "held_out", "unknown")  # of messages
DONE: Final = ("opened", "clicked")  # by a person, or by nobody knows whom: machines' opens and clicks do not count


@dataclass(frozen=True, slots=True)
class Range:
    """Local days of a place's own clock. Either back from today, or from an edge up to another; nothing given: always."""

    since: Edge | None = None
    until: Edge | None = None  # exclusive
    ago_at_most: int | None = None  # so many local days before today; today is 0
    ago_at_least: int | None = None


@dataclass(frozen=True, slots=True)
class Where:
    kind: PlaceKind
    key: str


@dataclass(frozen=True, slots=True)
class All:
    rules: "tuple[Rule, ...]"
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Any:
    rules: "tuple[Rule, ...]"
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    rule: "Rule"
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Visited:
    """On at least so many local days, there was a visit of at least so many seconds there. Days are counted once over all zones of a brand."""

    where: Where
    range: Range
    days_at_least: int = 1
    dwell_at_least_s: float = 0
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class EdgeVisit:
    """The first visit ever there, or the last one so far, was in the range."""

    which: Literal["first", "last"]
    where: Where
    range: Range
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Fits:
    """Of an attribute: one of these values; or not less and not more than. Texts are compared with texts, numbers with numbers."""

    among: tuple[Value, ...] | None = None
    at_least: str | float | None = None
    at_most: str | float | None = None
    written: str = field(init=False, repr=False)  # in Python, true equals 1: by this, tests of the two differ

    def __post_init__(self) -> None:
        object.__setattr__(self, "written", repr(self.among))


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    test: Fits
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Language:
    """Of this language, also of a regional form of it."""

    tag: str
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Consented:
    channel: str
    purpose: str
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Purchased:
    """`amount_at_least`: of one purchase. `total_at_least`: of all in the range together, in one currency: sums of two currencies are never added."""

    brand: str | None
    range: Range
    amount_at_least: float | None = None
    total_at_least: float | None = None
    currency: str | None = None
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Messaged:
    campaign: str
    state: str
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    list: str
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class InAudience:
    audience: str
    path: str = field(default="", compare=False)


Leaf = Visited | EdgeVisit | Attribute | Language | Consented | Purchased | Messaged | Listed | InAudience
Rule = All | Any | Not | Leaf


@dataclass(frozen=True, slots=True)
class Place:
    """Something is wrong there. `code`: unknown, repeated, required, invalid."""

    path: str
    code: str
    detail: str


class Fault(Exception):
    """A rule that cannot be used: everything that is wrong with it."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__("; ".join(f"{place.path}: {place.detail}" if place.path else place.detail for place in places))
        self.places = places


def children(rule: Rule) -> "tuple[Rule, ...]":
    if isinstance(rule, All | Any):
        return rule.rules
    return (rule.rule,) if isinstance(rule, Not) else ()


def leaves(rule: Rule) -> list[Leaf]:
    """In the order in which they are written."""
    if isinstance(rule, All | Any | Not):
        return [leaf for child in children(rule) for leaf in leaves(child)]
    return [rule]
