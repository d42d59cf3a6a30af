"""How the processes without the ORM reach the database: the same address that Django has (the test database in tests)."""

from typing import Any

import psycopg
from django.db import connections
from psycopg.conninfo import make_conninfo


def conninfo(**extra: Any) -> str:
    """A libpq connection string for the default database. `extra` adds or replaces libpq parameters."""
    wrapper = connections["default"]
    params = wrapper.get_connection_params()
    known = {key: params[key] for key in ("dbname", "user", "password", "host", "port", "sslmode", "sslrootcert", "connect_timeout") if params.get(key)}
    return make_conninfo(**{**known, **extra})


def connect(*, application_name: str, options: str = "") -> psycopg.Connection[tuple[Any, ...]]:
    """A plain psycopg connection, autocommit on. `options` are server settings, as `-c statement_timeout=30s`.

    In UTC, as Django's: west of it the beginning of time, from which first versions are valid, is no year that Python has.
    """
    return psycopg.connect(conninfo(application_name=application_name, options=f"-c timezone=UTC {options}"), autocommit=True)
