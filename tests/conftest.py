"""The database of the tests, and the cast: Acme with Alice (owner) and Bob (analyst), and a rival with Charlie, who must see nothing."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import AppConfig
from django.conf import settings
from django.db import connection, connections
from django.db.models.signals import post_migrate
from environ import Env
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from engagement.embedded import Cluster, find
from tests.cast import _acme, _rival, acme, acme_keys, alice, bob, charlie, dora, emma, north, rival, rival_keys  # noqa: F401

# How fast examples are made and tried says something of the machine, and nothing of the product.
hypothesis_settings.register_profile("any machine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
hypothesis_settings.load_profile("any machine")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """Without a DATABASE_URL the tests start a server of their own; it is made once and kept in ATRIUM_VAR/test."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    # The folder is thrown away at will, so it need not survive a power cut; tests of that make clusters of their own.
    # Processes side by side have a server each.
    name = f"pg{find(settings.ATRIUM_POSTGRES).major}{os.environ.get('PYTEST_XDIST_WORKER', '').replace('gw', '-')}"
    cluster = Cluster(settings.VAR / "test" / name, choice=settings.ATRIUM_POSTGRES, settings={"fsync": "off"})
    cluster.start()
    try:
        address = Env.db_url_config(cluster.url)
        connections["default"].settings_dict.update({key: address[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
        yield
        connections.close_all()
    finally:
        cluster.stop()


def restore_what_migrations_made(sender: AppConfig, **_: Any) -> None:
    """Emptying the tables between tests takes the shards' rows along, and leaves the events, whose table Django does not manage."""
    if sender.name == "engagement":
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE engagement_event")
            cursor.execute(
                "INSERT INTO engagement_shardstate (shard, attempts, suspect_attempts) SELECT s, 0, 0 FROM generate_series(0, 63) AS s ON CONFLICT DO NOTHING"
            )


post_migrate.connect(restore_what_migrations_made)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For programs that a test starts: this test's database, and a folder of their own. Ask for `transactional_db` beside it, so that they see rows."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "ATRIUM_POSTGRES"}}
    return {
        **kept,
        "DATABASE_URL": database_url(),
        "SECRET_KEY": "a key for the tests alone, long enough",
        "ATRIUM_VAR": str(tmp_path / "var"),
        "PYTHONUNBUFFERED": "1",
    }


def database_url() -> str:
    """The address of the test database, for programs beside this one."""
    seen = connections["default"].settings_dict
    password = f":{quote(seen['PASSWORD'], safe='')}" if seen["PASSWORD"] else ""
    return f"postgres://{seen['USER']}{password}@{seen['HOST']}:{seen['PORT']}/{seen['NAME']}"
