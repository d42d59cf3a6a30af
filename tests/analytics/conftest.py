from collections.abc import Iterator

import pytest

from analytics.stream import loop
from engagement import partitions
from engagement.models import Organisation, Zone
from tests.analytics.stage import moment
from tests.analytics.theatre import Connection
from tests.analytics.trying import correct, zone_of
from tests.worlds import TODAY


@pytest.fixture
def crew(transactional_db: None) -> Iterator[list[Connection]]:
    """Three workers' connections, and a partition for one of the days that the worlds of the law use."""
    sessions = [loop.open_session() for _ in range(3)]
    partitions.ensure(sessions[0], first=moment(TODAY).date(), last=moment(TODAY).date())
    yield sessions
    for session in sessions:
        session.close()


@pytest.fixture
def worker(transactional_db: None) -> Iterator[loop.Worker]:
    made = loop.Worker()
    partitions.ensure(made.connection)
    yield made
    made.connection.close()


@pytest.fixture
def door(acme: Organisation) -> Zone:
    """The door, at which a gap of more than a minute has always ended a stay."""
    correct(acme, {"key": "north-door", "exit_grace_s": 60})
    return zone_of("north-door")
