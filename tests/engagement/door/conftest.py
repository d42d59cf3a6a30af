"""One door for all tests of this folder that only talk to it; those that hurt it start their own."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import database_url
from tests.servers import Server, running_door


@pytest.fixture(scope="session")
def door_environment(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}}
    return {
        **kept,
        "DATABASE_URL": database_url(),
        "SECRET_KEY": "a key for the tests alone, long enough",
        "ATRIUM_VAR": str(tmp_path_factory.mktemp("var")),
        "PYTHONUNBUFFERED": "1",
    }


# Of this package alone: a door beats, and would in other tests' database, too.
@pytest.fixture(scope="package")
def shared_door(door_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_door(door_environment, tmp_path_factory.mktemp("door") / "log") as server:
        yield server


@pytest.fixture
def door(shared_door: Server, transactional_db: None) -> Server:
    """The shared door, on a database that is empty but for the cast."""
    return shared_door
