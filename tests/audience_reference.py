"""Who meets a rule, written for reading: plain records, plain loops over lists, the rule as the JSON that it is, and no line shared with the product.

Everything is worked out from all that is known, for one shopper after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.figures_reference import Stay, World, since_1970, wall

Rule = Mapping[str, Any]


@dataclass
class Person:
    """What was told of somebody."""

    language: str = ""
    attributes: dict[str, str | float | bool] = field(default_factory=dict)
    consents: dict[tuple[str, str], bool] = field(default_factory=dict)  # channel and purpose
    lists: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Purchase:
    shopper: int
    brand: str
    at: int
    amount: Fraction | None
    currency: str


@dataclass(frozen=True)
class Message:
    shopper: int
    campaign: str
    state: str
    opened_by: tuple[str, ...] = ()  # person, machine, unknown
    clicked_by: tuple[str, ...] = ()


@dataclass
class Crowd:
    """Everybody, and everything that is known of them, at one instant."""

    world: World
    people: dict[int, Person]
    purchases: list[Purchase] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    audiences: dict[str, Rule] = field(default_factory=dict)


def members(crowd: Crowd, rule: Rule) -> set[int]:
    return {shopper for shopper in crowd.people if meets(crowd, shopper, rule)}


def counts(crowd: Crowd, rule: Rule) -> Any:
    """How many, and of each part: as the product tells it, without the paths."""
    [(kind, inside)] = rule.items()
    parts = inside if kind in ("all", "any") else [inside] if kind == "not" else []
    return len(members(crowd, rule)), [counts(crowd, part) for part in parts]


def meets(crowd: Crowd, shopper: int, rule: Rule) -> bool:
    [(kind, told)] = rule.items()
    person = crowd.people[shopper]
    if kind == "all":
        return all(meets(crowd, shopper, part) for part in told)
    if kind == "any":
        return any(meets(crowd, shopper, part) for part in told)
    if kind == "not":
        return not meets(crowd, shopper, told)
    if kind == "visited":
        return visited(crowd.world, shopper, told)
    if kind in ("first_visit", "last_visit"):
        return edge_visit(crowd.world, shopper, kind, told)
    if kind == "attribute":
        return told["name"] in person.attributes and fits(person.attributes[told["name"]], told)
    if kind == "language":
        return person.language.lower() == told.lower() or person.language.lower().startswith(told.lower() + "-")
    if kind == "consent":
        return person.consents.get((told["channel"], told.get("purpose", "marketing")), False)
    if kind == "list":
        return told in person.lists
    if kind == "purchased":
        return purchased(crowd, shopper, told)
    if kind == "campaign":
        return any(became(message, told["state"]) for message in crowd.messages if (message.shopper, message.campaign) == (shopper, told["key"]))
    assert kind == "audience"
    return meets(crowd, shopper, crowd.audiences[told])


# --- visits -----------------------------------------------------------------------------------------------------------------


def visits(world: World, shopper: int, told: Rule) -> list[Stay]:
    """All of his, at these places, but those of staff."""
    zones = {
        key
        for key, zone in world.zones.items()
        if key == told.get("zone") or (zone.kind == "venue" and key == told.get("venue")) or (zone.brand and zone.brand == told.get("brand"))
    }
    return [stay for stay in world.stays if stay.shopper == shopper and stay.zone in zones and stay.counted and shopper not in world.left_out]


def visited(world: World, shopper: int, told: Rule) -> bool:
    days = {
        wall(stay.started, clock_of(world, stay)).date()
        for stay in visits(world, shopper, told)
        if when(stay.started, clock_of(world, stay), told, world.now) == "within"
        and Fraction(stay.ended - stay.started, 1_000_000) >= Fraction(told.get("dwell_at_least_s", 0))
    }
    return bool(len(days) >= told.get("days_at_least", 1))


def edge_visit(world: World, shopper: int, kind: str, told: Rule) -> bool:
    placed = [when(stay.started, clock_of(world, stay), told, world.now) for stay in visits(world, shopper, told)]
    return "within" in placed and ("before" if kind == "first_visit" else "after") not in placed


def clock_of(world: World, stay: Stay) -> str:
    return world.zones[stay.zone].time_zone


def when(at: int, time_zone: str, told: Rule, now: int) -> str:
    """Before, within or after the range of a rule."""
    day, today = wall(at, time_zone).date(), wall(now, time_zone).date()
    ago = (today - day).days
    if ago > told.get("within_days", told.get("days_ago_at_most", ago)):
        return "before"
    if ago < told.get("days_ago_at_least", 0 if "within_days" in told else ago):
        return "after"
    if "from" in told and earlier(at, day, told["from"]):
        return "before"
    return "after" if "to" in told and not earlier(at, day, told["to"]) else "within"


def earlier(at: int, day: date, edge: str) -> bool:
    """Whether an instant, and its local day, lies before an edge: a date, or an instant."""
    return at < since_1970(datetime.fromisoformat(edge)) if "T" in edge else day < date.fromisoformat(edge)


# --- what else --------------------------------------------------------------------------------------------------------------


def fits(value: str | float | bool, told: Rule) -> bool:
    def alike(other: Any) -> bool:
        return kind_of(other) == kind_of(value)

    if "is" in told or "in" in told:
        return any(alike(one) and one == value for one in told.get("in", [told.get("is")]))
    return all(alike(told[name]) and ok(value, told[name]) for name, ok in BOUNDS.items() if name in told)


BOUNDS: dict[str, Any] = {"at_least": lambda value, bound: value >= bound, "at_most": lambda value, bound: value <= bound}


def kind_of(value: Any) -> str:
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def purchased(crowd: Crowd, shopper: int, told: Rule) -> bool:
    brand = told.get("brand")
    time_zone = one_clock(crowd.world, brand)
    his = [
        one
        for one in crowd.purchases
        if one.shopper == shopper and brand in (None, one.brand) and told.get("currency") in (None, one.currency)
        if when(one.at, time_zone, told, crowd.world.now) == "within"
        if "amount_at_least" not in told or (one.amount is not None and one.amount >= Fraction(str(told["amount_at_least"])))
    ]
    if "total_at_least" not in told:
        return bool(his)
    sums = {
        currency: sum(one.amount for one in his if one.currency == currency and one.amount is not None)
        for currency in {one.currency for one in his if one.amount is not None}
    }
    return any(total >= Fraction(str(told["total_at_least"])) for total in sums.values())


def one_clock(world: World, brand: str | None) -> str:
    """Of the brand's stores, where they have one; else of all venues, where they have; else UTC."""
    for zones in ([zone for zone in world.zones.values() if brand and zone.brand == brand], list(world.zones.values())):
        clocks = {zone.time_zone for zone in zones}
        if len(clocks) == 1:
            return clocks.pop()
    return "UTC"


def became(message: Message, state: str) -> bool:
    if state == "opened":
        return any(by != "machine" for by in message.opened_by)
    if state == "clicked":
        return any(by != "machine" for by in message.clicked_by)
    return message.state == state


def days_before(day: date, number: int) -> str:
    return (day - timedelta(days=number)).isoformat()
