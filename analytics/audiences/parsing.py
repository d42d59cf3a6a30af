"""Parsed JSON to a rule. Everything that is wrong is told at once, each with its place. Pure.

What a rule may hold is bounded, so that nobody can have it take the machine: RULES parts, DEPTH of them in each other.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any as Told
from typing import Final, Literal

from django.utils.translation import gettext as _

from analytics.audiences import tree
from analytics.audiences.tree import DONE, STATES, Edge, Fault, Fits, Place, Range, Rule, Value, Where

DEPTH: Final = 8
RULES: Final = 200
VALUES: Final = 1_000  # in one list of values
LONGEST: Final = 512  # characters of a text
MOST_DAYS: Final = 3_660
MOST_DWELL_S: Final = 366 * 86_400
LARGEST: Final = 2.0**53  # numbers beyond it have no exact neighbours
FIRST_YEAR, LAST_YEAR = 1900, 2999
CHANNELS: Final = ("email",)
MARKETING: Final = "marketing"  # what a consent is for, where nothing is said

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*", re.ASCII)
_UNFIT: Final = re.compile(r"[\x00\ud800-\udfff]")  # what PostgreSQL cannot hold
_PLACES: Final[tuple[tree.PlaceKind, ...]] = ("zone", "venue", "brand")
_NOTHING: Final = Range()


def parse(told: Told) -> Rule:
    """Raises Fault."""
    parser = _Parser()
    rule = parser.rule(told, "", 1)
    if parser.faults or rule is None:
        raise Fault(parser.faults)
    return rule


class _Parser:
    """Reads all of it, whatever is wrong; what is wrong gives None, and a fault."""

    def __init__(self) -> None:
        self.faults: list[Place] = []
        self.rules = 0

    def wrong(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Place(path, code, detail))

    def rule(self, told: Told, path: str, depth: int) -> Rule | None:
        self.rules += 1
        if self.rules > RULES:
            if self.rules == RULES + 1:
                self.wrong(path, "invalid", _("A rule has at most %(most)s parts.") % {"most": RULES})
            return None
        if depth > DEPTH:
            self.wrong(path, "invalid", _("Rules stand in each other at most %(most)s deep.") % {"most": DEPTH})
            return None
        if not isinstance(told, dict) or len(told) != 1:
            self.wrong(path, "invalid", _("A rule is an object with exactly one of these names: %(known)s.") % {"known": ", ".join(KINDS)})
            return None
        [(kind, inside)] = told.items()
        if kind not in KINDS:
            self.wrong(path, "unknown", _("There is no such rule. Known are %(known)s.") % {"known": ", ".join(KINDS)})
            return None
        return KINDS[kind](self, inside, f"{path}.{kind}".lstrip("."), depth)

    def several(self, make: "Callable[[tuple[Rule, ...], str], Rule]", told: Told, path: str, depth: int) -> Rule | None:
        if not isinstance(told, list) or not told:
            self.wrong(path, "invalid", _("Give a list of at least one rule."))
            return None
        inside = [self.rule(one, f"{path}.{number}", depth + 1) for number, one in enumerate(told[: RULES + 1])]
        return make(tuple(one for one in inside if one is not None), _parent(path))

    def no(self, told: Told, path: str, depth: int) -> Rule | None:
        inside = self.rule(told, path, depth + 1)
        return None if inside is None else tree.Not(inside, _parent(path))

    def visited(self, told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, (*_PLACES, "within_days", "from", "to", "days_at_least", "dwell_at_least_s"))
        if fields is None:
            return None
        days = self.whole(fields, path, "days_at_least", 1, MOST_DAYS)
        dwell = self.number(fields, path, "dwell_at_least_s", 0, MOST_DWELL_S)
        where = self.where(fields, path)
        found = self.range(fields, path)
        return None if where is None else tree.Visited(where, found, days or 1, dwell or 0, _parent(path))

    def edge_visit(self, which: Literal["first", "last"], told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, (*_PLACES, "within_days", "from", "to", "days_ago_at_least", "days_ago_at_most"))
        if fields is None:
            return None
        where, found = self.where(fields, path), self.range(fields, path)
        return None if where is None else tree.EdgeVisit(which, where, found, _parent(path))

    def attribute(self, told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, ("name", "is", "in", "at_least", "at_most"))
        if fields is None:
            return None
        name = self.text(fields, path, "name", required=True)
        test = self.test(fields, path)
        return tree.Attribute(name, test, _parent(path)) if name and test else None

    def test(self, fields: Mapping[str, Told], path: str) -> Fits | None:
        given = [name for name in ("is", "in", "at_least", "at_most") if fields.get(name) is not None]
        if not given or (len(given) > 1 and given != ["at_least", "at_most"]):
            self.wrong(path, "required", _("Give exactly one of is and in, or at_least, at_most, or both of these."))
            return None
        if given[0] in ("is", "in"):
            listed = fields["in"] if given[0] == "in" else [fields["is"]]
            if not isinstance(listed, list) or not 1 <= len(listed) <= VALUES:
                self.wrong(f"{path}.in", "invalid", _("Give a list of 1 to %(most)s values.") % {"most": VALUES})
                return None
            where = f"{path}.is" if given[0] == "is" else ""
            values = [self.value(one, where or f"{path}.in.{number}") for number, one in enumerate(listed)]
            return Fits(among=tuple(one for one in values if one is not None))
        bounds = {name: self.value(fields[name], f"{path}.{name}") for name in given}
        least, most = bounds.get("at_least"), bounds.get("at_most")
        if isinstance(least, bool) or isinstance(most, bool) or (least is not None and most is not None and isinstance(least, str) != isinstance(most, str)):
            self.wrong(path, "invalid", _("Give texts, or numbers: only these have an order, each among themselves."))
            return None
        return Fits(at_least=least, at_most=most)

    def language(self, told: Told, path: str, depth: int) -> Rule | None:
        if not isinstance(told, str) or len(told) > 35 or not _TAG.fullmatch(told):
            self.wrong(path, "invalid", _("Give the tag of a language, such as de or pt-BR."))
            return None
        return tree.Language(told.lower(), _parent(path))

    def consent(self, told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, ("channel", "purpose"))
        if fields is None:
            return None
        channel, purpose = self.text(fields, path, "channel", required=True), self.text(fields, path, "purpose", most=64)
        if channel and channel not in CHANNELS:
            self.wrong(f"{path}.channel", "invalid", _("Give one of %(choices)s.") % {"choices": ", ".join(CHANNELS)})
        return tree.Consented(channel, purpose or MARKETING, _parent(path)) if channel else None

    def purchased(self, told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, ("brand", "within_days", "from", "to", "amount_at_least", "total_at_least", "currency"))
        if fields is None:
            return None
        brand, currency = self.text(fields, path, "brand"), self.text(fields, path, "currency")
        if currency and not _CURRENCY.fullmatch(currency):
            self.wrong(f"{path}.currency", "invalid", _("Give three capital letters (ISO 4217), such as EUR."))
        amount, total = (self.number(fields, path, name, 0, 10**12) for name in ("amount_at_least", "total_at_least"))
        return tree.Purchased(brand, self.range(fields, path), amount, total, currency, _parent(path))

    def campaign(self, told: Told, path: str, depth: int) -> Rule | None:
        fields = self.fields(told, path, ("key", "state"))
        if fields is None:
            return None
        key, state = self.text(fields, path, "key", required=True), self.text(fields, path, "state", required=True)
        if state and state not in (*STATES, *DONE):
            self.wrong(f"{path}.state", "invalid", _("Give one of %(choices)s.") % {"choices": ", ".join((*STATES, *DONE))})
        return tree.Messaged(key, state, _parent(path)) if key and state else None

    def key(self, make: Callable[[str, str], Rule], told: Told, path: str, depth: int) -> Rule | None:
        key = self.text({"": told}, path, "", required=True)
        return make(key, _parent(path)) if key else None

    # --- parts of them --------------------------------------------------------------------------------------------------------

    def fields(self, told: Told, path: str, known: Collection[str]) -> dict[str, Told] | None:
        if not isinstance(told, dict):
            self.wrong(path, "invalid", _("Give an object, with each name once."))
            return None
        for name in told:
            if name not in known:
                self.wrong(_below(path, str(name)[:64]), "unknown", _("There is no such field. Known are %(known)s.") % {"known": ", ".join(known)})
        return told

    def where(self, fields: Mapping[str, Told], path: str) -> Where | None:
        given = [kind for kind in _PLACES if fields.get(kind) is not None]
        if len(given) != 1:
            self.wrong(path, "required", _("Give exactly one of zone, venue and brand."))
            return None
        key = self.text(fields, path, given[0])
        return Where(given[0], key) if key else None

    def range(self, fields: Mapping[str, Told], path: str) -> Range:
        back = [name for name in ("within_days", "days_ago_at_least", "days_ago_at_most") if fields.get(name) is not None]
        edges = [name for name in ("from", "to") if fields.get(name) is not None]
        if (back and edges) or ("within_days" in back and len(back) > 1):
            self.wrong(path, "repeated", _("Give days back from today, or from and to, in one way."))
            return _NOTHING
        if back:
            most = self.whole(fields, path, "within_days" if "within_days" in back else "days_ago_at_most", 0, MOST_DAYS)
            least = self.whole(fields, path, "days_ago_at_least", 0, MOST_DAYS)
            if most is not None and least is not None and least > most:
                self.wrong(f"{path}.days_ago_at_least", "invalid", _("It is more than the days at most."))
            return Range(ago_at_most=most, ago_at_least=(least or 0) if "within_days" in back else least)
        since, until = (self.edge(fields, path, name) for name in ("from", "to"))
        if since and until and type(since) is type(until) and since > until:
            self.wrong(f"{path}.to", "invalid", _("It lies before `from`."))
        return Range(since, until)

    def edge(self, fields: Mapping[str, Told], path: str, name: str) -> Edge | None:
        told = fields.get(name)
        if told is None:
            return None
        try:
            if isinstance(told, str) and _DAY.fullmatch(told):
                found: Edge = date.fromisoformat(told)
            elif isinstance(told, str) and _INSTANT.fullmatch(told):
                found = datetime.fromisoformat(told.upper()).astimezone(UTC)
            else:
                raise ValueError(name)
            if FIRST_YEAR <= found.year <= LAST_YEAR:
                return found
        except (ValueError, OverflowError):
            pass
        form = _("Give a date as 2026-11-19 or an instant as 2026-11-19T10:00:00Z, in the years %(first)s to %(last)s.")
        self.wrong(f"{path}.{name}", "invalid", form % {"first": FIRST_YEAR, "last": LAST_YEAR})
        return None

    def text(self, fields: Mapping[str, Told], path: str, name: str, *, required: bool = False, most: int = LONGEST) -> str | None:
        told = fields.get(name)
        if told is None:
            if required:
                self.wrong(_below(path, name), "required", _("It is required."))
            return None
        if not isinstance(told, str) or not 1 <= len(told) <= most or _UNFIT.search(told):
            self.wrong(_below(path, name), "invalid", _("Give a text of 1 to %(most)s characters, without NUL.") % {"most": most})
            return None
        return told

    def whole(self, fields: Mapping[str, Told], path: str, name: str, low: int, high: int) -> int | None:
        told = fields.get(name)
        if told is None:
            return None
        if isinstance(told, bool) or not isinstance(told, int | float) or told != told // 1 or not low <= told <= high:
            self.wrong(f"{path}.{name}", "invalid", _("Give a whole number from %(low)s to %(high)s.") % {"low": low, "high": high})
            return None
        return int(told)

    def number(self, fields: Mapping[str, Told], path: str, name: str, low: float, high: float) -> float | None:
        told = fields.get(name)
        if told is None:
            return None
        if isinstance(told, bool) or not isinstance(told, int | float) or not low <= told <= high:
            self.wrong(f"{path}.{name}", "invalid", _("Give a number from %(low)s to %(high)s.") % {"low": low, "high": high})
            return None
        return told

    def value(self, told: Told, path: str) -> Value | None:
        if isinstance(told, bool) or (isinstance(told, str) and len(told) <= LONGEST and not _UNFIT.search(told)):
            return told
        if isinstance(told, int | float) and abs(told) < LARGEST:  # no such number is NaN
            return float(told)
        self.wrong(path, "invalid", _("Give a text of at most %(most)s characters, a number, true or false.") % {"most": LONGEST})
        return None


def _parent(path: str) -> str:
    """`all.0.visited` is the place of what a rule says; the rule's own is `all.0`."""
    return path.rpartition(".")[0]


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if name else path


Kind = Callable[[_Parser, Told, str, int], Rule | None]
# One entry a kind of rule.
KINDS: Final[dict[str, Kind]] = {
    "all": lambda parser, *told: parser.several(tree.All, *told),
    "any": lambda parser, *told: parser.several(tree.Any, *told),
    "not": _Parser.no,
    "visited": _Parser.visited,
    "first_visit": lambda parser, *told: parser.edge_visit("first", *told),
    "last_visit": lambda parser, *told: parser.edge_visit("last", *told),
    "attribute": _Parser.attribute,
    "language": _Parser.language,
    "consent": _Parser.consent,
    "purchased": _Parser.purchased,
    "campaign": _Parser.campaign,
    "list": lambda parser, *told: parser.key(tree.Listed, *told),
    "audience": lambda parser, *told: parser.key(tree.InAudience, *told),
}
