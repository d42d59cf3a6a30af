"""A rule as one sentence. Pure. Negations are said of each part, so that nobody has to think a bracket through.

Every text is whole clauses of a sentence that begins with "Shoppers": translators may turn them as their language needs.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any as Leaf
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from analytics.audiences import tree
from analytics.audiences.tree import Names, Range, Rule, Value, Where

MINUTE_S: Final = 60
_STATES: Final = {
    "planned": gettext_lazy("is planned"),
    "claimed": gettext_lazy("is being sent"),
    "sent": gettext_lazy("was sent"),
    "delivered": gettext_lazy("was delivered"),
    "bounced": gettext_lazy("bounced"),
    "complained": gettext_lazy("was complained about"),
    "failed": gettext_lazy("failed"),
    "skipped": gettext_lazy("was skipped"),
    "held_out": gettext_lazy("was held out"),
    "unknown": gettext_lazy("may have been sent"),
}


def words(rule: Rule, names: Names) -> str:
    """`names`: what places, brands, lists, campaigns and audiences are called; what has none there is called by its key."""
    return _("Shoppers %(clauses)s.") % {"clauses": _said(rule, names, True, None)}


def _said(rule: Rule, names: Names, holds: bool, outer: bool | None) -> str:
    """`outer`: whether the clauses around it hold together (and) or one by one (or); None: there are none."""
    if isinstance(rule, tree.Not):
        return _said(rule.rule, names, not holds, outer)
    if isinstance(rule, tree.All | tree.Any):
        together = isinstance(rule, tree.All) == holds  # "not (a or b)" is "not a, and not b"
        between = _("%(before)s, and %(after)s") if together else _("%(before)s, or %(after)s")
        clauses = [_said(one, names, holds, together if len(rule.rules) > 1 else outer) for one in rule.rules]
        joined = clauses[0]
        for clause in clauses[1:]:
            joined = between % {"before": joined, "after": clause}
        return _("(%(clauses)s)") % {"clauses": joined} if outer is not None and outer != together and len(clauses) > 1 else joined
    return _LEAVES[type(rule)](rule, names, holds)


def _visited(leaf: tree.Visited, names: Names, holds: bool) -> str:
    text = _("who visited %(place)s%(often)s%(long)s%(when)s") if holds else _("who did not visit %(place)s%(often)s%(long)s%(when)s")
    often = ngettext(" on at least %(count)d day", " on at least %(count)d days", leaf.days_at_least) % {"count": leaf.days_at_least}
    long = _(" for at least %(dwell)s") % {"dwell": _dwell(leaf.dwell_at_least_s)} if leaf.dwell_at_least_s else ""
    return text % {"place": _place(leaf.where, names), "often": often if leaf.days_at_least > 1 else "", "long": long, "when": _when(leaf.range)}


def _edge_visit(leaf: tree.EdgeVisit, names: Names, holds: bool) -> str:
    texts = {
        ("first", True): _("who visited %(place)s for the first time%(when)s"),
        ("first", False): _("who did not visit %(place)s for the first time%(when)s"),
        ("last", True): _("who visited %(place)s for the last time%(when)s"),
        ("last", False): _("who did not visit %(place)s for the last time%(when)s"),
    }
    return texts[leaf.which, holds] % {"place": _place(leaf.where, names), "when": _when(leaf.range)}


def _attribute(leaf: tree.Attribute, names: Names, holds: bool) -> str:
    test, said = leaf.test, {"name": leaf.name}
    if test.among is not None and len(test.among) == 1:
        text = _("whose %(name)s is %(value)s") if holds else _("whose %(name)s is not %(value)s")
        return text % {**said, "value": _value(test.among[0])}
    if test.among is not None:
        text = _("whose %(name)s is one of %(values)s") if holds else _("whose %(name)s is none of %(values)s")
        return text % {**said, "values": ", ".join(map(_value, test.among))}
    if test.at_least is not None and test.at_most is not None:
        text = _("whose %(name)s is from %(least)s to %(most)s") if holds else _("whose %(name)s is not from %(least)s to %(most)s")
        return text % {**said, "least": _value(test.at_least), "most": _value(test.at_most)}
    if test.at_least is not None:
        text = _("whose %(name)s is at least %(least)s") if holds else _("whose %(name)s is not at least %(least)s")
        return text % {**said, "least": _value(test.at_least)}
    text = _("whose %(name)s is at most %(most)s") if holds else _("whose %(name)s is not at most %(most)s")
    return text % {**said, "most": _value(test.at_most or 0)}


def _language(leaf: tree.Language, names: Names, holds: bool) -> str:
    return (_("whose language is %(tag)s") if holds else _("whose language is not %(tag)s")) % {"tag": leaf.tag}


def _consent(leaf: tree.Consented, names: Names, holds: bool) -> str:
    text = _("who agreed to %(channel)s for %(purpose)s") if holds else _("who have not agreed to %(channel)s for %(purpose)s")
    return text % {"channel": {"email": _("e-mail")}[leaf.channel], "purpose": leaf.purpose}


def _purchased(leaf: tree.Purchased, names: Names, holds: bool) -> str:
    text = _("who bought something%(brand)s%(amount)s%(total)s%(when)s") if holds else _("who did not buy anything%(brand)s%(amount)s%(total)s%(when)s")
    money = f" {leaf.currency}" if leaf.currency else ""
    return text % {
        "brand": _(" of %(brand)s") % {"brand": names.get(("brand", leaf.brand), leaf.brand)} if leaf.brand else "",
        "amount": "" if leaf.amount_at_least is None else _(" for at least %(amount)s at once") % {"amount": _value(leaf.amount_at_least) + money},
        "total": "" if leaf.total_at_least is None else _(" for at least %(amount)s in all") % {"amount": _value(leaf.total_at_least) + money},
        "when": _when(leaf.range),
    }


def _messaged(leaf: tree.Messaged, names: Names, holds: bool) -> str:
    said = {"campaign": names.get(("campaign", leaf.campaign), leaf.campaign)}
    if leaf.state == "opened":
        return (_("who opened %(campaign)s") if holds else _("who did not open %(campaign)s")) % said
    if leaf.state == "clicked":
        return (_("who clicked in %(campaign)s") if holds else _("who did not click in %(campaign)s")) % said
    text = _("whose message of %(campaign)s %(state)s") if holds else _("who have no message of %(campaign)s that %(state)s")
    return text % {**said, "state": _STATES[leaf.state]}


def _listed(leaf: tree.Listed, names: Names, holds: bool) -> str:
    text = _("who are on the list %(list)s") if holds else _("who are not on the list %(list)s")
    return text % {"list": names.get(("list", leaf.list), leaf.list)}


def _audience(leaf: tree.InAudience, names: Names, holds: bool) -> str:
    text = _("who are in the audience %(audience)s") if holds else _("who are not in the audience %(audience)s")
    return text % {"audience": names.get(("audience", leaf.audience), leaf.audience)}


_LEAVES: Final[dict[type, Callable[[Leaf, Names, bool], str]]] = {
    tree.Visited: _visited,
    tree.EdgeVisit: _edge_visit,
    tree.Attribute: _attribute,
    tree.Language: _language,
    tree.Consented: _consent,
    tree.Purchased: _purchased,
    tree.Messaged: _messaged,
    tree.Listed: _listed,
    tree.InAudience: _audience,
}


def _place(where: Where, names: Names) -> str:
    return names.get((where.kind, where.key), where.key)


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return _("true") if value else _("false")
    return value if isinstance(value, str) else f"{value:.15g}"


def _dwell(seconds: float) -> str:
    if seconds % MINUTE_S == 0:
        return ngettext("%(count)d minute", "%(count)d minutes", int(seconds // MINUTE_S)) % {"count": seconds // MINUTE_S}
    return _("%(count)s seconds") % {"count": f"{seconds:.15g}"}


def _when(when: Range) -> str:
    """With a blank before it; empty: always."""
    most, least = when.ago_at_most, when.ago_at_least or 0
    if most is not None and not least:
        return _(" today") if most == 0 else ngettext(" today or yesterday", " in the last %(count)d days", most) % {"count": most}
    if most is not None:
        return _(" %(least)d to %(most)d days ago") % {"least": least, "most": most}
    if least:
        return ngettext(" at least %(count)d day ago", " at least %(count)d days ago", least) % {"count": least}
    if when.since is not None and when.until is not None:
        return _(" from %(since)s until before %(until)s") % {"since": _edge(when.since), "until": _edge(when.until)}
    if when.since is not None:
        return _(" since %(since)s") % {"since": _edge(when.since)}
    return "" if when.until is None else _(" before %(until)s") % {"until": _edge(when.until)}


def _edge(edge: tree.Edge) -> str:
    return edge.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00") + " UTC" if isinstance(edge, datetime) else edge.isoformat()
