from collections.abc import Iterator

import pytest

from analytics.stream import loop
from engagement import partitions
from tests.analytics.stage import moment
from tests.analytics.theatre import Connection
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
