"""The figures of the definitions, version 1, written for reading: plain records, plain loops, and no line shared with the product.

The product must show of every set of stays what this module says of it, however its stored days came to be. Everything is computed
from the whole list of stays each time. The calendar is walked, a quarter of an hour at a time: no clock of our times changes in between.

An instant is a whole number of microseconds since 1970. Durations that are shown are seconds, shares numbers from 0 to 1.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations, pairwise

from tests.figures_of_the_clock import (
    coverage,  # noqa: F401 (known by this module to those who compare)
    heatmap,
    occupancy,
    peak_hours,
)
from tests.figures_world import (  # noqa: F401 (known by this module to those who compare)
    ALWAYS,
    EPOCH,
    MEDIAN,
    MINUTE,
    P90,
    SECOND,
    Answer,
    Purchase,
    Question,
    Row,
    Stay,
    World,
    Zone,
    before,
    begin_of,
    bounds,
    by_period,
    dates,
    dwells_of,
    label,
    labels,
    mean_of,
    period_of,
    quantile,
    rate,
    since_1970,
    stays_of,
    visitors_of,
    wall,
    within,
)

# --- Figures of people ------------------------------------------------------------------------------------------------------


def footfall(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        dwells = dwells_of(world, stays)
        return {
            "visits": sum(stay.counted for stay in stays),
            "visitors": len(visitors_of(stays)),
            "pass_bys": sum(not stay.counted for stay in stays),
            "dwell_median_s": quantile(dwells, MEDIAN),
            "dwell_p90_s": quantile(dwells, P90),
            "dwell_mean_s": mean_of(dwells),
        }

    return with_new(world, zones, question, by_period(world, zones, question, tell))


def with_new(world: World, zones: tuple[str, ...], question: Question, answer: Answer) -> Answer:
    """New: the first ever counted stay falls in the period. Returning: had one before the period."""
    known = earlier = visitors_of(before(world, zones, question))
    stays = within(world, zones, question)
    for row in answer["rows"]:
        visitors = visitors_of(stay for stay in stays if period_of(world, stay, question.grain) == row["period"])
        row |= {"new": len(visitors - known), "returning": len(visitors & known)}
        known = known | visitors
    answer["total"] |= {"new": len(visitors_of(stays) - earlier), "returning": len(visitors_of(stays) & earlier)}
    return answer


def visitors(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        visits, people = sum(stay.counted for stay in stays), len(visitors_of(stays))
        return {"visits": visits, "visitors": people, "frequency": rate(visits, people)}

    return with_new(world, zones, question, by_period(world, zones, question, tell))


def dwell(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        dwells = dwells_of(world, stays)
        classes = {
            "under_5": sum(one < 5 * MINUTE for one in dwells),
            "from_5_to_15": sum(5 * MINUTE <= one < 15 * MINUTE for one in dwells),
            "from_15_to_30": sum(15 * MINUTE <= one < 30 * MINUTE for one in dwells),
            "from_30_to_60": sum(30 * MINUTE <= one <= 60 * MINUTE for one in dwells),
            "over_60": sum(one > 60 * MINUTE for one in dwells),
        }
        return {
            "visits": len(dwells),
            "median_s": quantile(dwells, MEDIAN),
            "p90_s": quantile(dwells, P90),
            "mean_s": mean_of(dwells),
            "shares": {name: rate(number, len(dwells)) for name, number in classes.items()},
        }

    return by_period(world, zones, question, tell)


def bounce(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    def tell(stays: list[Stay]) -> Row:
        visits = sum(stay.counted for stay in stays)
        return {"visits": visits, "pass_bys": len(stays) - visits, "rate": rate(len(stays) - visits, len(stays))}

    return by_period(world, zones, question, tell)


def loyalty(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """How many came how often."""
    visits = [stay for stay in within(world, zones, question) if stay.counted]
    times = [sum(stay.shopper == shopper for stay in visits) for shopper in visitors_of(visits)]
    rows = [{"visits": str(number), "visitors": times.count(number)} for number in range(1, 10)]
    rows.append({"visits": "10+", "visitors": sum(number >= 10 for number in times)})
    return {"rows": rows, "total": {"visits": len(visits), "visitors": len(times), "frequency": rate(len(visits), len(times))}}


def recency(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Everybody who visited before the range's end, or now: how many local days before that was the last time?"""
    ago: dict[int, int] = {}
    for stay in stays_of(world, zones, question.hours):
        time_zone = world.zones[stay.zone].time_zone
        until = min(bounds(question, time_zone)[1], world.now)
        if stay.counted and stay.started < until:
            days = (wall(until - 1, time_zone).date() - wall(stay.started, time_zone).date()).days
            ago[stay.shopper] = min(days, ago.get(stay.shopper, days))
    classes = {"0-6": range(7), "7-13": range(7, 14), "14-29": range(14, 30), "30-59": range(30, 60), "60-89": range(60, 90), "90-179": range(90, 180)}
    rows = [{"days_ago": name, "visitors": sum(days in members for days in ago.values())} for name, members in classes.items()]
    rows.append({"days_ago": "180+", "visitors": sum(days >= 180 for days in ago.values())})
    return {"rows": rows, "total": {"visitors": len(ago)}}


def retention(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Of the shoppers whose first visit fell in a month that began in the range: the share with a visit in each month since."""
    months: dict[int, set[str]] = {}
    for stay in stays_of(world, zones, question.hours):
        if stay.counted:
            months.setdefault(stay.shopper, set()).add(period_of(world, stay, "month"))
    rows = []
    for cohort in cohorts(world, zones, question):
        people = [came for came in months.values() if min(came) == cohort]
        current = max(label(world.now, "month", world.zones[zone].time_zone) for zone in zones)
        back = []
        for later in range(between(cohort, current) + 1):
            number = sum(any(between(cohort, month) == later for month in came) for came in people)
            back.append({"months_later": later, "visitors": number, "share": rate(number, len(people))})
        rows.append({"cohort": cohort, "visitors": len(people), "months": back})
    return {"rows": rows, "total": {"visitors": sum(row["visitors"] for row in rows)}}


def cohorts(world: World, zones: tuple[str, ...], question: Question) -> list[str]:
    """The months that begin in the range on one of the clocks, and have begun."""
    found = set()
    for time_zone in {world.zones[zone].time_zone for zone in zones}:
        start, end = bounds(question, time_zone)
        begins = [begin_of(day, time_zone) for day in dates(start, end, time_zone) if day.day == 1]
        found |= {label(at, "month", time_zone) for at in begins if start <= at < end and at <= world.now}
    return sorted(found)


def between(month: str, later: str) -> int:
    return (int(later[:4]) - int(month[:4])) * 12 + int(later[5:]) - int(month[5:])


# --- Figures between places -------------------------------------------------------------------------------------------------


def at_end(world: World, zone: str, question: Question) -> int:
    """Places lie where they lie at the range's end, or now."""
    return min(bounds(question, world.zones[zone].time_zone)[1], world.now)


def capture(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Visitors, and those of the zones directly above, in the same period."""
    around = {parent for zone in zones if (parent := world.zones[zone].parent(at_end(world, zone, question)))}

    def told(period: str | None) -> Row:
        inside, above = (visitors_of(of_period(world, some, question, period)) for some in (zones, around))
        return {"visitors": len(inside), "above": len(above) if around else None, "rate": rate(len(inside), len(above))}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def of_period(world: World, zones: Iterable[str], question: Question, period: str | None) -> list[Stay]:
    """Those of a period; None: of the whole range."""
    return [stay for stay in within(world, zones, question) if period in (None, period_of(world, stay, question.grain))]


def passers_by(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Distinct shoppers seen in a street and without a visit to the venue on that day. Of a venue: in all its streets."""
    streets = [key for key, zone in world.zones.items() if zone.kind == "street" and (key in zones or zone.root in zones)]

    def told(period: str | None) -> Row:
        return {"passers_by": len({stay.shopper for stay in of_period(world, streets, question, period) if not came_in(world, stay)})}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def came_in(world: World, seen: Stay) -> bool:
    """Whether the shopper visited the venue on the day on which he was seen, at any time."""
    own = [stay for stay in stays_of(world, [world.zones[seen.zone].root]) if stay.shopper == seen.shopper and stay.counted]
    return any(period_of(world, stay, "day") == period_of(world, seen, "day") for stay in own)


def flows(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Consecutive counted stays of one visit in sibling zones, by start: of a venue anywhere in it, of another zone directly in it.

    A stay is one of a visit when it starts while the visit lasts. Of two that start together, the zone that was made first comes first.
    """
    [top] = zones
    root = world.zones[top].root
    inside = [stay for stay in stays_of(world, [key for key, zone in world.zones.items() if zone.root == root != key]) if stay.counted]
    steps: dict[tuple[str, str], int] = {}
    for visit in within(world, [root], question):
        own = [stay for stay in inside if visit.counted and stay.shopper == visit.shopper and visit.started <= stay.started <= visit.ended]
        for parent in {above(world, stay) for stay in own} & ({top} if top != root else set(world.zones)):
            siblings = [stay for stay in own if above(world, stay) == parent]
            siblings.sort(key=lambda stay: (stay.started, list(world.zones).index(stay.zone)))
            for one, other in pairwise(siblings):
                if one.zone != other.zone:
                    steps[one.zone, other.zone] = steps.get((one.zone, other.zone), 0) + 1
    rows = [{"from": one, "to": other, "visits": number} for (one, other), number in steps.items()]
    rows.sort(key=lambda row: (-steps[row["from"], row["to"]], row["from"], row["to"]))
    return {"rows": rows, "total": {"visits": sum(steps.values())}}


def above(world: World, stay: Stay) -> str | None:
    return world.zones[stay.zone].parent(stay.started)


def cross_visits(world: World, places: Mapping[str, tuple[str, ...]], question: Question) -> Answer:
    """Distinct shoppers who visited both in the range, of every two. `places`: zones by key, in order."""
    members = {key: visitors_of(within(world, zones, question)) for key, zones in places.items()}
    return {"rows": [{"a": a, "b": b, "visitors": len(members[a] & members[b])} for a, b in combinations(places, 2)], "total": {}}


def stores_in(world: World, top: str, question: Question) -> dict[str, tuple[str, ...]]:
    """The stores in a zone, however deep."""
    found = []
    for key, zone in world.zones.items():
        over: str | None = key
        while over not in (None, top):
            over = world.zones[over].parent(at_end(world, key, question))
        if zone.kind == "store" and key != top and over == top:
            found.append(key)
    return {key: (key,) for key in sorted(found)}


# --- Figures of sales -------------------------------------------------------------------------------------------------------


def conversion(world: World, zones: tuple[str, ...], question: Question) -> Answer:
    """Distinct shoppers with a purchase at the zone's brand in the period who also visited it, of the visitors."""
    sold = any(world.zones[zone].brand for zone in zones)

    def told(period: str | None) -> Row:
        people = visitors_of(of_period(world, zones, question, period))
        buyers = {shopper for zone in zones for shopper in visitors_of(of_period(world, [zone], question, period)) & paid(world, zone, question, period)}
        return {"buyers": len(buyers), "visitors": len(people), "rate": rate(len(buyers), len(people)) if sold else None}

    return {"rows": [{"period": period, **told(period)} for period in labels(world, zones, question)], "total": told(None)}


def paid(world: World, zone: str, question: Question, period: str | None) -> set[int]:
    """Who bought of the zone's brand, by the zone's clock."""
    time_zone = world.zones[zone].time_zone
    start, end = bounds(question, time_zone)
    bought = [purchase for purchase in world.purchases if purchase.brand == world.zones[zone].brand and start <= purchase.at < end]
    return {purchase.shopper for purchase in bought if period in (None, label(purchase.at, question.grain, time_zone))}


# --- All of them ------------------------------------------------------------------------------------------------------------

# Cross-visits are of several places together, and coverage stands at the head of every answer.
FIGURES: dict[str, Callable[[World, tuple[str, ...], Question], Answer]] = {
    "footfall": footfall,
    "visitors": visitors,
    "dwell": dwell,
    "bounce": bounce,
    "loyalty": loyalty,
    "recency": recency,
    "retention": retention,
    "occupancy": occupancy,
    "heatmap": heatmap,
    "peak-hours": peak_hours,
    "capture": capture,
    "passers-by": passers_by,
    "flows": flows,
    "conversion": conversion,
}
