"""The law of audiences: whatever is kept of whom, and whatever happened since, a rule has the members that the plain reference says."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import figures
from analytics.audiences import evaluate, refresh, rules
from analytics.audiences.evaluate import Counted
from analytics.models import Audience
from tests import audience_reference as reference
from tests.analytics.audiences import crowds
from tests.analytics.audiences.crowds import Scene, act, scenes
from tests.analytics.ledger import moment
from tests.analytics.theatre import Connection
from tests.worlds import search

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crew(transactional_db: None) -> Iterator[list[Connection]]:
    session = figures.session()
    yield [session]
    session.close()


def plain(counted: Counted) -> Any:
    return counted.count, [plain(one) for one in counted.branches]


def agrees(scene: Scene, told: dict[str, Any]) -> None:
    organisation, crowd, now = scene.ledger.organisation, scene.crowd(), moment(scene.ledger.now)
    assert organisation
    rule = rules.parse(told)
    assert set(evaluate.members(organisation, rule, now)) == reference.members(crowd, told), told
    assert plain(evaluate.count(organisation, rule, now)) == reference.counts(crowd, told), told
    assert rules.words(rule, {})


@search(8)
@given(data=st.data(), scene=scenes())
def test_a_rule_has_the_members_of_the_reference_whatever_happened(crew: list[Connection], data: st.DataObject, scene: Scene) -> None:
    scene.build()
    told = [data.draw(crowds.rules(scene.ledger, 3), label="rule") for _ in range(2)]
    saved = Audience.objects.create(**scene.own, key="saved", name="Saved", rule=told[0])
    for rule in told:
        agrees(scene, rule)
    for _ in range(data.draw(st.integers(1, 4))):
        act(scene, data, crew)
        for rule in told:
            agrees(scene, rule)
        refresh.one(saved.pk, now=moment(scene.ledger.now))
        saved.refresh_from_db()
        assert saved.count == len(reference.members(scene.crowd(), told[0]))
        assert sum(one.joined_count - one.left_count for one in saved.changes.all()) == saved.count
