"""What a rule names, looked up: zones with their clocks, lists, campaigns, audiences. What is not there is a fault with its place."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from analytics.audiences import tree
from analytics.audiences.parsing import DEPTH, parse
from analytics.audiences.sets import Zone
from analytics.audiences.tree import Fault, Names, Place, Rule, Where, leaves
from analytics.calendars import Clock
from analytics.days import Cursor

UTC: Final = Clock.of("UTC", None)

# A venue is its root zone; a brand all its zones.
_ZONES: Final = """
SELECT w.kind, w.key, z.id, v.time_zone, v.opening_hours::text
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(kind, key)
JOIN engagement_zone z ON z.organisation_id = %(organisation)s AND CASE w.kind
     WHEN 'zone' THEN z.key = w.key
     WHEN 'venue' THEN z.key = w.key AND z.kind = 'venue'
     ELSE z.brand_id = (SELECT id FROM engagement_brand WHERE organisation_id = %(organisation)s AND key = w.key) END
JOIN engagement_venue v ON v.id = z.venue_id
ORDER BY z.id
"""
_KEYS: Final = {
    "brand": "SELECT key, id, name FROM engagement_brand WHERE organisation_id = %s",
    "list": "SELECT key, id, name FROM engagement_shopperlist WHERE organisation_id = %s",
    "campaign": "SELECT key, id, name FROM notifications_campaign WHERE organisation_id = %s",
}
_NAMED: Final = {
    **_KEYS,
    "zone": "SELECT key, id, name FROM engagement_zone WHERE organisation_id = %s",
    "venue": "SELECT key, id, name FROM engagement_venue WHERE organisation_id = %s",
    "audience": "SELECT key, id, name FROM analytics_audience WHERE organisation_id = %s",
}


@dataclass(frozen=True, slots=True)
class Ground:
    zones: dict[Where, list[Zone]]
    numbers: dict[tuple[str, str], int]  # kind (brand, list, campaign) and key to primary key
    rules: dict[str, Rule]  # of the audiences that are named, and of those that these name
    clocks: dict[str | None, Clock]  # of a brand's purchases; None: of those of any brand

    def clock(self, brand: str | None) -> Clock:
        return self.clocks.get(brand, UTC)


def survey(cursor: Cursor, organisation: int, rule: Rule, *, itself: str | None = None) -> Ground:
    """Everything that the rule names. `itself`: the key of the audience whose rule it is. Raises Fault, with everything that is not there."""
    faults: list[Place] = []
    rules = _audiences(cursor, organisation, rule, itself, faults)
    wholes = [rule, *rules.values()]
    own = leaves(rule)
    every = [leaf for whole in wholes for leaf in leaves(whole)]
    visits = [leaf for leaf in every if isinstance(leaf, tree.Visited | tree.EdgeVisit)]
    zones = _zones(cursor, organisation, {leaf.where for leaf in visits})
    numbers = _numbers(cursor, organisation, every)
    for leaf in every:
        for path, known in _named(leaf, zones, numbers):
            if not known:
                # What is wrong inside another audience is told of the part that names it, as far as that is in this rule.
                place = path if leaf in own else next((f"{one.path}.audience" for one in own if isinstance(one, tree.InAudience)), "")
                faults.append(
                    Place(place, "unknown", _("There is nothing with this key.") if leaf in own else _("That audience names something that is gone."))
                )
    if faults:
        raise Fault(list(dict.fromkeys(faults)))
    return Ground(zones, numbers, rules, _clocks(cursor, organisation, [leaf for leaf in every if isinstance(leaf, tree.Purchased)]))


def names(cursor: Cursor, organisation: int) -> Names:
    """What everything that a rule can name is called."""
    return {(kind, key): name for kind, sql in _NAMED.items() for key, _number, name in cursor.execute(sql, [organisation]).fetchall()}


def _named(leaf: tree.Leaf, zones: dict[Where, list[Zone]], numbers: dict[tuple[str, str], int]) -> Iterable[tuple[str, bool]]:
    """Places of the keys in a leaf, and whether they are known."""
    if isinstance(leaf, tree.Visited | tree.EdgeVisit):
        kind = "visited" if isinstance(leaf, tree.Visited) else f"{leaf.which}_visit"
        known = leaf.where in zones or (leaf.where.kind == "brand" and ("brand", leaf.where.key) in numbers)
        yield _at(leaf.path, kind, leaf.where.kind), known
    elif isinstance(leaf, tree.Purchased) and leaf.brand is not None:
        yield _at(leaf.path, "purchased", "brand"), ("brand", leaf.brand) in numbers
    elif isinstance(leaf, tree.Messaged):
        yield _at(leaf.path, "campaign", "key"), ("campaign", leaf.campaign) in numbers
    elif isinstance(leaf, tree.Listed):
        yield _at(leaf.path, "list"), ("list", leaf.list) in numbers


def _at(*steps: str) -> str:
    return ".".join(step for step in steps if step)


def _audiences(cursor: Cursor, organisation: int, rule: Rule, itself: str | None, faults: list[Place]) -> dict[str, Rule]:
    """Rules of the audiences named, and so on. One that comes back to itself, or goes too deep, is a fault at the part that leads there."""
    known: dict[str, Rule | None] = {}

    def follow(inside: Rule, trail: tuple[str, ...], place: str) -> None:
        for leaf in leaves(inside):
            if not isinstance(leaf, tree.InAudience):
                continue
            at = place or _at(leaf.path, "audience")
            if leaf.audience in trail:
                faults.append(Place(at, "invalid", _("This audience would be made of itself.")))
            elif len(trail) > DEPTH:
                faults.append(Place(at, "invalid", _("Audiences stand in each other at most %(most)s deep.") % {"most": DEPTH}))
            else:
                if leaf.audience not in known:
                    known[leaf.audience] = _stored(cursor, organisation, leaf.audience)
                found = known[leaf.audience]
                if found is None:
                    faults.append(Place(at, "unknown", _("There is no audience with this key that can be used.")))
                else:
                    follow(found, (*trail, leaf.audience), at)

    follow(rule, () if itself is None else (itself,), "")
    return {key: found for key, found in known.items() if found is not None}


def _stored(cursor: Cursor, organisation: int, key: str) -> Rule | None:
    found = cursor.execute("SELECT rule::text FROM analytics_audience WHERE organisation_id = %s AND key = %s", [organisation, key]).fetchone()
    if found is None:
        return None
    try:
        return parse(json.loads(found[0]))
    except Fault:
        return None


def _zones(cursor: Cursor, organisation: int, places: set[Where]) -> dict[Where, list[Zone]]:
    if not places:
        return {}
    asked = {"organisation": organisation, "kinds": [place.kind for place in places], "keys": [place.key for place in places]}
    found: dict[Where, list[Zone]] = {}
    for kind, key, number, time_zone, hours in cursor.execute(_ZONES, asked).fetchall():
        found.setdefault(Where(kind, key), []).append(Zone(number, Clock.of(time_zone, json.loads(hours) if hours else None)))
    return found


def _numbers(cursor: Cursor, organisation: int, every: Sequence[tree.Leaf]) -> dict[tuple[str, str], int]:
    wanted: dict[str, list[str]] = {"brand": [], "list": [], "campaign": []}
    for leaf in every:
        if isinstance(leaf, tree.Purchased) and leaf.brand is not None:
            wanted["brand"].append(leaf.brand)
        elif isinstance(leaf, tree.Visited | tree.EdgeVisit) and leaf.where.kind == "brand":
            wanted["brand"].append(leaf.where.key)
        elif isinstance(leaf, tree.Messaged):
            wanted["campaign"].append(leaf.campaign)
        elif isinstance(leaf, tree.Listed):
            wanted["list"].append(leaf.list)
    found: dict[tuple[str, str], int] = {}
    for kind, keys in wanted.items():
        if keys:
            rows: list[tuple[Any, ...]] = cursor.execute(f"{_KEYS[kind]} AND key = ANY(%s)", [organisation, keys]).fetchall()
            found |= {(kind, key): number for key, number, _name in rows}
    return found


def _clocks(cursor: Cursor, organisation: int, bought: Sequence[tree.Purchased]) -> dict[str | None, Clock]:
    """A purchase is of a brand, and tells no place: its local day is that of the brand's stores, where these agree; else of all venues, where they do."""
    if not bought:
        return {}
    rows = cursor.execute(
        """SELECT b.key, array_agg(DISTINCT v.time_zone) FROM engagement_zone z JOIN engagement_venue v ON v.id = z.venue_id
           JOIN engagement_brand b ON b.id = z.brand_id WHERE z.organisation_id = %s GROUP BY 1
           UNION ALL SELECT NULL, array_agg(DISTINCT time_zone) FROM engagement_venue WHERE organisation_id = %s""",
        [organisation, organisation],
    ).fetchall()
    agreed: dict[str | None, Clock] = {key: Clock.of(zones[0], None) for key, zones in rows if zones and len(zones) == 1}
    return {leaf.brand: agreed.get(leaf.brand, agreed.get(None, UTC)) for leaf in bought}
