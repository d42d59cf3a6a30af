"""A rule: read with everything that is wrong told at once, described by a schema, and said in a sentence."""

from typing import Any

import pytest

from analytics.audiences import parsing, rules
from analytics.audiences.schema import EXAMPLE, RULE
from analytics.audiences.tree import STATES, Not, Visited, leaves
from analytics.audiences.tree import Any as AnyOf
from notifications.models import MessageState

BREW: dict[str, Any] = {"visited": {"brand": "brew", "within_days": 30}}


def places(told: Any) -> list[tuple[str, str]]:
    with pytest.raises(rules.Fault) as fault:
        rules.parse(told)
    return [(place.path, place.code) for place in fault.value.places]


def nested(depth: int) -> dict[str, Any]:
    return BREW if depth == 1 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (None, [("", "invalid")]),
        ([], [("", "invalid")]),
        ({}, [("", "invalid")]),
        ({"all": [], "any": []}, [("", "invalid")]),
        ({"all": []}, [("all", "invalid")]),
        ({"any": [BREW, 5, {"seen": {}}]}, [("any.1", "invalid"), ("any.2", "unknown")]),
        ({"not": {"not": {"visited": []}}}, [("not.not.visited", "invalid")]),
        ({"visited": {"within_days": 1}}, [("visited", "required")]),
        ({"visited": {"zone": "a", "brand": "b"}}, [("visited", "required")]),
        ({"visited": {"zone": "a", "within_days": 1, "from": "2026-01-01"}}, [("visited", "repeated")]),
        ({"visited": {"zone": "a", "within_days": True}}, [("visited.within_days", "invalid")]),
        ({"visited": {"zone": "a", "within_days": 1.5, "days_at_least": 0}}, [("visited.days_at_least", "invalid"), ("visited.within_days", "invalid")]),
        ({"visited": {"zone": "a", "dwell_at_least_s": float("nan")}}, [("visited.dwell_at_least_s", "invalid")]),
        ({"visited": {"zone": "a", "from": "2026-02-30"}}, [("visited.from", "invalid")]),
        ({"visited": {"zone": "a", "from": "2026-02-02", "to": "2026-02-01"}}, [("visited.to", "invalid")]),
        ({"visited": {"zone": "a\x00"}}, [("visited.zone", "invalid")]),
        ({"last_visit": {"zone": "a", "days_ago_at_least": 3, "days_ago_at_most": 2}}, [("last_visit.days_ago_at_least", "invalid")]),
        ({"attribute": {"name": "a"}}, [("attribute", "required")]),
        ({"attribute": {"name": "a", "is": 1, "in": [1]}}, [("attribute", "required")]),
        ({"attribute": {"name": "a", "in": [1, {}, 10**400]}}, [("attribute.in.1", "invalid"), ("attribute.in.2", "invalid")]),
        ({"attribute": {"name": "a", "at_least": 1, "at_most": "b"}}, [("attribute", "invalid")]),
        ({"attribute": {"name": "a", "at_least": True}}, [("attribute", "invalid")]),
        ({"consent": {"channel": "pigeon"}}, [("consent.channel", "invalid")]),
        ({"campaign": {"key": "a", "state": "lost"}}, [("campaign.state", "invalid")]),
        ({"purchased": {"currency": "eur", "amount_at_least": -1}}, [("purchased.currency", "invalid"), ("purchased.amount_at_least", "invalid")]),
        ({"list": 5}, [("list", "invalid")]),
        ({"audience": ""}, [("audience", "invalid")]),
        ({"language": "d"}, [("language", "invalid")]),
        (nested(parsing.DEPTH + 1), [(".".join(["not"] * parsing.DEPTH), "invalid")]),
        ({"any": [BREW] * parsing.RULES}, [(f"any.{parsing.RULES - 1}", "invalid")]),
    ],
)
def test_everything_that_is_wrong_is_told_with_its_place(told: Any, wrong: list[tuple[str, str]]) -> None:
    assert places(told) == wrong


def test_a_rule_of_the_greatest_size_is_taken() -> None:
    assert isinstance(rules.parse(nested(parsing.DEPTH)), Not)
    found = rules.parse({"any": [BREW] * (parsing.RULES - 1)})
    assert isinstance(found, AnyOf) and len(leaves(found)) == parsing.RULES - 1


def test_two_parts_that_say_the_same_are_the_same_and_true_is_not_one() -> None:
    both = rules.parse({"all": [BREW, BREW]})
    first, second = rules.children(both)
    assert isinstance(first, Visited) and first == second and (first.path, second.path) == ("all.0", "all.1")
    assert rules.parse({"attribute": {"name": "a", "is": True}}) != rules.parse({"attribute": {"name": "a", "is": 1}})


def test_every_kind_of_rule_and_every_state_is_in_the_schema() -> None:
    assert [next(iter(one["properties"])) for one in RULE["oneOf"]] == list(parsing.KINDS)
    assert list(STATES) == list(MessageState.values)
    assert rules.parse(EXAMPLE)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (BREW, "who visited Brew & Co in the last 30 days"),
        ({"not": BREW}, "who did not visit Brew & Co in the last 30 days"),
        (
            {"visited": {"zone": "a", "within_days": 0, "days_at_least": 2, "dwell_at_least_s": 300}},
            "who visited a on at least 2 days for at least 5 minutes today",
        ),
        (
            {"visited": {"zone": "a", "from": "2026-01-01", "to": "2026-02-01T10:00:00+02:00"}},
            "who visited a from 2026-01-01 until before 2026-02-01 08:00 UTC",
        ),
        ({"last_visit": {"zone": "a", "days_ago_at_least": 30, "days_ago_at_most": 90}}, "who visited a for the last time 30 to 90 days ago"),
        ({"first_visit": {"zone": "a", "within_days": 1}}, "who visited a for the first time today or yesterday"),
        ({"attribute": {"name": "tier", "in": ["gold", 1, True]}}, "whose tier is one of gold, 1, true"),
        ({"attribute": {"name": "spent", "at_least": 10, "at_most": 20.5}}, "whose spent is from 10 to 20.5"),
        ({"purchased": {"brand": "brew", "amount_at_least": 10, "currency": "EUR"}}, "who bought something of Brew & Co for at least 10 EUR at once"),
        ({"campaign": {"key": "c", "state": "opened"}}, "who opened c"),
        ({"not": {"campaign": {"key": "c", "state": "delivered"}}}, "who have no message of c that was delivered"),
        ({"any": [{"list": "a"}, {"all": [{"list": "b"}, {"list": "c"}]}]}, "who are on the list a, or (who are on the list b, and who are on the list c)"),
        ({"not": {"any": [{"list": "a"}, {"not": {"audience": "b"}}]}}, "who are not on the list a, and who are in the audience b"),
    ],
)
def test_a_rule_is_said_in_a_sentence(told: Any, said: str) -> None:
    assert rules.words(rules.parse(told), {("brand", "brew"): "Brew & Co"}) == f"Shoppers {said}."
