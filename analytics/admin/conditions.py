"""What the builder of audiences offers: the conditions of a rule with their fields and choices, and every text that its scripts write.

The grammar is analytics.audiences.rules'; here stands only how people fill it in. A field's `type` is a way of asking (static/analytics/audiences/fields.js).
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from django.conf.global_settings import LANGUAGES
from django.db import connection
from django.utils.translation import gettext as _

from analytics.known_places import known_places
from analytics.models import Audience
from engagement import tenancy
from engagement.models import Brand, Channel, Organisation, ShopperList
from engagement.tenancy import Principal

Option = tuple[str | int | bool, str]
ATTRIBUTES_FROM: Final = 2_000  # the profiles changed last: enough to know which attributes there are, and read in a moment
VALUES_SHOWN: Final = 12
CAMPAIGNS_SHOWN: Final = 200
DAYS: Final = 30


def conditions(principal: Principal, *, but: str = "") -> list[dict[str, Any]]:
    """Every condition that the builder offers. `but`: the audience being built, which cannot be made of itself."""
    organisation = principal.organisation
    where = {"type": "place", "label": _("Where"), "options": _places(principal)}
    lists = _rows(ShopperList, organisation)
    audiences = [one for one in _rows(Audience, organisation) if one[0] != but]
    return [
        _visited(where),
        _of_visits("first_visit", _("First visit"), where),
        _of_visits("last_visit", _("Last visit"), where),
        _condition("attribute", _("Attribute"), [{"type": "attribute"}], {}),
        _condition("language", _("Language"), [_choice("", _("Language"), LANGUAGES)], "en"),
        _one_of("list", _("Is on a list"), _("List"), lists, _("there is no list yet")),
        _consent(),
        _purchased(organisation),
        _campaign(_campaigns(organisation)),
        _one_of("audience", _("Is in an audience"), _("Audience"), audiences, _("there is no other audience")),
    ]


def _condition(kind: str, label: str, fields: list[dict[str, Any]], start: Any, missing: str = "") -> dict[str, Any]:
    return {"kind": kind, "label": label, "fields": fields, "start": start, "missing": missing}


def _choice(name: str, label: str, options: Sequence[Option], **more: Any) -> dict[str, Any]:
    return {"type": "choice", "name": name, "label": label, "options": options, **more}


def _number(name: str, label: str, **more: Any) -> dict[str, Any]:
    return {"type": "number", "name": name, "label": label, "min": 0, "max": 1_000_000, **more}


def _when(*modes: str) -> dict[str, Any]:
    return {"type": "when", "label": _("When"), "modes": modes, "days": DAYS}


def _one_of(kind: str, label: str, what: str, rows: list[Option], missing: str) -> dict[str, Any]:
    return _condition(kind, label, [_choice("", what, rows)], rows[0][0] if rows else "", "" if rows else missing)


def _visited(where: dict[str, Any]) -> dict[str, Any]:
    dwells: list[Option] = [
        (0, _("any time")),
        (300, _("5 minutes or more")),
        (900, _("15 minutes or more")),
        (1800, _("30 minutes or more")),
        (3600, _("an hour or more")),
    ]
    often = _number("days_at_least", _("On at least so many days"), min=1, max=3650, default=1)
    fields = [where, _when("last", "range", "ever"), often, _choice("dwell_at_least_s", _("Staying"), dwells, default=0)]
    return _condition("visited", _("Visited"), fields, {**_first(where), "within_days": DAYS}, _without(where))


def _of_visits(kind: str, label: str, where: dict[str, Any]) -> dict[str, Any]:
    return _condition(kind, label, [where, _when("last", "ago", "range", "ever")], {**_first(where), "within_days": DAYS}, _without(where))


def _first(where: dict[str, Any]) -> dict[str, str]:
    """The place that a new condition begins with."""
    if not where["options"]:
        return {}
    name, _colon, key = str(where["options"][0]["options"][0][0]).partition(":")
    return {name: key}


def _without(where: dict[str, Any]) -> str:
    return "" if where["options"] else _("there is no venue yet")


def _consent() -> dict[str, Any]:
    options: list[Option] = [(one.value, str(one.label)) for one in Channel]
    purpose = {"type": "line", "name": "purpose", "label": _("For"), "default": "marketing", "optional": True}
    return _condition("consent", _("Agreed to"), [_choice("channel", _("Channel"), options), purpose], {"channel": Channel.EMAIL.value})


def _purchased(organisation: Organisation) -> dict[str, Any]:
    brands: list[Option] = [("", _("any brand")), *_rows(Brand, organisation)]
    fields = [
        _choice("brand", _("Brand"), brands, default="", optional=True),
        _when("last", "range", "ever"),
        _number("amount_at_least", _("One for at least"), step="any", optional=True),
        _number("total_at_least", _("All together at least"), step="any", optional=True),
        {"type": "line", "name": "currency", "label": _("Currency"), "optional": True, "most": 3},
    ]
    return _condition("purchased", _("Purchased"), fields, {"within_days": DAYS})


def _campaign(campaigns: list[Option]) -> dict[str, Any]:
    states: list[Option] = [
        ("opened", _("opened it")),
        ("clicked", _("clicked in it")),
        ("delivered", _("had it delivered")),
        ("sent", _("it was sent, no more is known")),
        ("bounced", _("it bounced")),
        ("complained", _("complained about it")),
        ("failed", _("it failed")),
        ("unknown", _("it may have been sent")),
        ("skipped", _("was skipped")),
        ("held_out", _("was held out")),
    ]
    fields = [_choice("key", _("Campaign"), campaigns), _choice("state", _("What became of it"), states)]
    start = {"key": campaigns[0][0], "state": "delivered"} if campaigns else {}
    return _condition("campaign", _("Was told by a campaign"), fields, start, "" if campaigns else _("there is no campaign yet"))


# --- What there is to choose from -----------------------------------------------------------------------------------------


def _places(principal: Principal) -> list[dict[str, Any]]:
    """Brands and venues first, then what lies in each venue."""
    known = known_places(principal)
    brands = [(f"brand:{one['key']}", one["name"]) for one in known["brands"]]
    venues = [(f"venue:{one['key']}", one["name"]) for one in known["venues"]]
    own = {one["key"] for one in known["venues"]}
    inside = [
        {
            "group": venue["name"],
            "options": [(f"zone:{one['key']}", one["name"]) for one in known["zones"] if one["venue"] == venue["key"] and one["key"] not in own],
        }
        for venue in known["venues"]
    ]
    return [one for one in ({"group": _("Venues"), "options": venues}, {"group": _("Brands"), "options": brands}, *inside) if one["options"]]


def _rows(model: Any, organisation: Organisation) -> list[Option]:
    return list(tenancy.scoped(model.objects.order_by("name", "key"), organisation).values_list("key", "name"))


def _campaigns(organisation: Organisation) -> list[Option]:
    """The latest. Campaigns are of the floor above, and met here in their table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT key, name FROM notifications_campaign WHERE organisation_id = %s ORDER BY id DESC LIMIT %s", [organisation.pk, CAMPAIGNS_SHOWN])
        return list(cursor.fetchall())


_ATTRIBUTES: Final = """
SELECT name, jsonb_typeof(value) AS kind, array_agg(DISTINCT value)
FROM (SELECT attributes FROM engagement_profile WHERE organisation_id = %s ORDER BY changed DESC LIMIT %s) AS latest,
    jsonb_each(attributes) AS told(name, value)
GROUP BY name, kind ORDER BY name, kind
"""


def attributes(organisation: Organisation) -> list[dict[str, Any]]:
    """The attributes that shoppers have, with their kind and some values, from the profiles that changed last."""
    with connection.cursor() as cursor:
        cursor.execute(_ATTRIBUTES, [organisation.pk, ATTRIBUTES_FROM])
        found = cursor.fetchall()
    shown = {"string", "boolean"}  # numbers are compared, and seldom the same
    return [
        {"name": name, "kind": kind, "values": [msgspec.json.decode(value) for value in values[:VALUES_SHOWN]] if kind in shown else []}
        for name, kind, values in found
    ]


# --- Words ----------------------------------------------------------------------------------------------------------------


def texts() -> dict[str, str]:
    return {
        **failures(),
        "op_label": _("Who of this group meets it"),
        "op_all": _("All of these"),
        "op_any": _("Any of these"),
        "op_none": _("None of these"),
        "group": _("Group"),
        "empty_group": _("Nothing in it yet. Add a condition."),
        "add_condition": _("Add a condition…"),
        "add_group": _("Add a group"),
        "remove": _("Remove: {what}"),
        "remove_group": _("Remove the group"),
        "choose": _("Choose…"),
        "unknown_condition": _("This page cannot show the condition “{kind}”. It stays as it is, unless you remove it."),
        "branch": _("{n} shoppers meet this part"),
        "no_rule": _("Add a condition, and the count appears here."),
        "unfinished_one": _("One condition is not filled in, and does not count yet."),
        "unfinished_many": _("{n} conditions are not filled in, and do not count yet."),
        "still_counting": _("Still counting. You can go on."),
        "count_fresh": _("exact, as of now"),
        "count_stale": _("counting again"),
        "count_loading": _("counting"),
        "count_empty": "",
        "count_failed": _("of an earlier state"),
        "count_refused": _("of an earlier state"),
        "mend": _("Mend what is marked."),
        "saving": _("Saving…"),
        "save": _("Save the audience"),
        "when_last": _("in the last days"),
        "when_range": _("between two days"),
        "when_ago": _("so many days ago"),
        "when_ever": _("ever"),
        "ago_least": _("At least days ago"),
        "ago_most": _("At most days ago"),
        "from_day": _("From"),
        "before_day": _("Before"),
        "days": _("Days"),
        "attribute_name": _("Name"),
        "attribute_compare": _("Compared"),
        "attribute_value": _("Value"),
        "compare_is": _("is"),
        "compare_in": _("is one of (parted by commas)"),
        "compare_at_least": _("is at least"),
        "compare_at_most": _("is at most"),
    }


def failures() -> dict[str, str]:
    """What every page says that tells the API something."""
    return {
        "lost": _("The server did not answer. Check the connection and try again."),
        "refused": _("The server could not do this. Try again in a moment."),
        "conflict": _("Meanwhile this has changed. Load the page again."),
        "out": _("You are logged out."),
        "in": _("Log in again"),
        "retry": _("Try again"),
        "seconds": _("{n} s"),
        "minutes": _("{n} min"),
        "hours": _("{h} h {m} min"),
    }


def starts(offered: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rules to begin with, of what there is."""
    found = {one["kind"]: one for one in offered if not one["missing"]}
    listed: list[tuple[str, dict[str, Any]]] = [(_("Who may be told"), {"all": [{"consent": {"channel": Channel.EMAIL.value}}]})]
    if "visited" in found:
        somewhere = {name: value for name, value in found["visited"]["start"].items() if name in {"zone", "brand", "venue"}}
        often: dict[str, Any] = {"visited": {**somewhere, "within_days": DAYS, "days_at_least": 2}}
        listed.append((_("Regulars: on two days in 30"), {"all": [often]}))
        listed.append((_("Came twice, but not to us"), {"all": [often, {"not": {"visited": {**_elsewhere(found["visited"]), "within_days": DAYS}}}]}))
        listed.append(
            (_("Not seen for a month"), {"all": [{"visited": {**somewhere, "within_days": 365}}, {"not": {"visited": {**somewhere, "within_days": DAYS}}}]})
        )
    return [{"label": label, "rule": msgspec.json.encode(rule).decode()} for label, rule in listed]


def _elsewhere(visited: dict[str, Any]) -> dict[str, str]:
    """The place to be left out: a brand where there is one, else the last place listed."""
    options = [value for one in visited["fields"][0]["options"] for value, _label in one["options"]]
    name, _colon, key = str(next((one for one in options if str(one).startswith("brand:")), options[-1])).partition(":")
    return {name: key}
