"""A rule to the shoppers who meet it: their numbers, and how many for each of its parts. Exact at this instant.

What is kept of shoppers (columns) is brought up to date first; visits, purchases and messages are then read in one snapshot.
`not` is everybody else of the organisation, also shoppers whom only a device stands for.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection, transaction
from pyroaring import BitMap

from analytics import days
from analytics.audiences import ground, tree
from analytics.audiences.columns import View
from analytics.audiences.ground import Ground
from analytics.audiences.others import messaged, purchased
from analytics.audiences.sets import Visits
from analytics.audiences.tree import Names, Rule, children, leaves
from analytics.calendars import to_us
from analytics.days import Cursor
from engagement.models import Organisation


@dataclass(frozen=True, slots=True)
class Counted:
    """How many meet a part of a rule, and the parts in it. `path`: its place in the JSON."""

    count: int
    branches: "tuple[Counted, ...]" = ()
    path: str = ""


def members(organisation: Organisation, rule: Rule, now: datetime | None = None) -> BitMap:
    """The numbers of those who meet the rule: a set of one's own. Raises Fault where it names something that is not there."""
    with evaluation(organisation.pk, surveyed(organisation.pk, [rule]), now=now) as found:
        return BitMap(found.members(rule))


def count(organisation: Organisation, rule: Rule, now: datetime | None = None, *, itself: str | None = None) -> Counted:
    """How many meet the rule, and each of its parts taken alone. Raises Fault."""
    with evaluation(organisation.pk, surveyed(organisation.pk, [rule], itself=itself), now=now) as found:
        return found.count(rule)


def surveyed(organisation: int, rules: Iterable[Rule], *, itself: str | None = None) -> dict[Rule, Ground]:
    """What each of the rules names. Raises Fault where something is not there, or where an audience (`itself`: the key of its own) comes back to itself."""
    cursor = days.plain(connection)
    return {rule: ground.survey(cursor, organisation, rule, itself=itself) for rule in rules}


def names(organisation: Organisation) -> Names:
    return ground.names(days.plain(connection), organisation.pk)


@contextmanager
def evaluation(organisation: int, grounds: dict[Rule, Ground], *, now: datetime | None = None) -> Iterator["Evaluation"]:
    """One instant, for these rules."""
    view = View(organisation, days.plain(connection))
    for rule, given in grounds.items():
        _bring_up_to_date(view, [rule, *given.rules.values()], given)
    nested = connection.in_atomic_block
    with transaction.atomic(savepoint=False):
        cursor = days.plain(connection)
        if not nested:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield Evaluation(organisation, cursor, to_us(now or datetime.now(UTC)), view, grounds)


class Evaluation:
    """Each part is worked out once, however often it stands in the rules. Bitmaps are for reading only."""

    def __init__(self, organisation: int, cursor: Cursor, now: int, view: View, grounds: dict[Rule, Ground]) -> None:
        self.organisation, self.cursor, self.now, self.view = organisation, cursor, now, view
        self.visits = Visits(cursor, now)
        self._grounds = grounds
        self._known: dict[Rule, BitMap] = {}

    def members(self, rule: Rule) -> BitMap:
        return self._of(rule, self._grounds[rule])

    def count(self, rule: Rule) -> Counted:
        return self._count(rule, self._grounds[rule])

    def _count(self, rule: Rule, given: Ground) -> Counted:
        branches = tuple(self._count(child, given) for child in children(rule))
        return Counted(len(self._of(rule, given)), branches, rule.path)

    def _of(self, rule: Rule, given: Ground) -> BitMap:
        if rule not in self._known:
            self._known[rule] = _WAYS[type(rule)](self, rule, given)
        return self._known[rule]

    def _all(self, rule: tree.All, given: Ground) -> BitMap:
        """What is not to be is taken away from what is: everybody is only needed where nothing else is asked for."""
        wanted = sorted((self._of(one, given) for one in rule.rules if not isinstance(one, tree.Not)), key=len)
        found = wanted[0] if wanted else self.view.universe()
        for other in wanted[1:]:
            found = found & other
        for one in rule.rules:
            if isinstance(one, tree.Not):
                found = found - self._of(one.rule, given)
        return found

    def _any(self, rule: tree.Any, given: Ground) -> BitMap:
        return BitMap.union(BitMap(), *(self._of(one, given) for one in rule.rules))

    def _not(self, rule: tree.Not, given: Ground) -> BitMap:
        return self.view.universe() - self._of(rule.rule, given)

    def _visited(self, leaf: tree.Visited, given: Ground) -> BitMap:
        zones = given.zones.get(leaf.where, [])
        return self.visits.visited(zones, leaf.range, days_at_least=leaf.days_at_least, dwell_us=round(leaf.dwell_at_least_s * 1_000_000))

    def _edge_visit(self, leaf: tree.EdgeVisit, given: Ground) -> BitMap:
        way = self.visits.first if leaf.which == "first" else self.visits.last
        return way(given.zones.get(leaf.where, []), leaf.range)

    def _attribute(self, leaf: tree.Attribute, given: Ground) -> BitMap:
        return self.view.attribute(leaf.name).match(leaf.test)

    def _language(self, leaf: tree.Language, given: Ground) -> BitMap:
        return self.view.language(leaf.tag)

    def _consented(self, leaf: tree.Consented, given: Ground) -> BitMap:
        return self.view.consented(leaf.channel, leaf.purpose)

    def _listed(self, leaf: tree.Listed, given: Ground) -> BitMap:
        return self.view.listed(given.numbers["list", leaf.list])

    def _purchased(self, leaf: tree.Purchased, given: Ground) -> BitMap:
        brand = None if leaf.brand is None else given.numbers["brand", leaf.brand]
        return purchased(self.cursor, self.organisation, leaf, brand, given.clock(leaf.brand), self.now)

    def _messaged(self, leaf: tree.Messaged, given: Ground) -> BitMap:
        return messaged(self.cursor, self.organisation, given.numbers["campaign", leaf.campaign], leaf.state)

    def _in_audience(self, leaf: tree.InAudience, given: Ground) -> BitMap:
        return self._of(given.rules[leaf.audience], given)


_WAYS: Final[dict[type, Callable[[Evaluation, Any, Ground], BitMap]]] = {
    tree.All: Evaluation._all,
    tree.Any: Evaluation._any,
    tree.Not: Evaluation._not,
    tree.Visited: Evaluation._visited,
    tree.EdgeVisit: Evaluation._edge_visit,
    tree.Attribute: Evaluation._attribute,
    tree.Language: Evaluation._language,
    tree.Consented: Evaluation._consented,
    tree.Purchased: Evaluation._purchased,
    tree.Messaged: Evaluation._messaged,
    tree.Listed: Evaluation._listed,
    tree.InAudience: Evaluation._in_audience,
}
_KEPT: Final[dict[type, Callable[[View, Any, Ground], object]]] = {
    tree.Attribute: lambda view, leaf, given: view.attribute(leaf.name),
    tree.Language: lambda view, leaf, given: view.language(leaf.tag),
    tree.Consented: lambda view, leaf, given: view.consented(leaf.channel, leaf.purpose),
    tree.Listed: lambda view, leaf, given: view.listed(given.numbers["list", leaf.list]),
}


def _bring_up_to_date(view: View, wholes: list[Rule], given: Ground) -> None:
    """Before the snapshot of the visits is taken: in a snapshot of several statements they would be as old as it."""
    view.universe()
    for leaf in (leaf for whole in wholes for leaf in leaves(whole)):
        if type(leaf) in _KEPT:
            _KEPT[type(leaf)](view, leaf, given)
