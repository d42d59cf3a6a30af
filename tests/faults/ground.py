"""A throw-away PostgreSQL with the product's own settings, and fresh databases on it: migrated once, copied for each test."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from django.db import connections
from environ import Env

from analytics.models import DwellMark
from engagement import partitions, provisioning
from engagement.database import connect
from engagement.embedded import Cluster
from engagement.models import Zone
from tests.cast import acme_file, rival_file
from tests.servers import ROOT

TEMPLATE: Final = "atrium_template"
MARK_MINUTES: Final = 5  # somebody asks to be told of stays in Acme's stores that pass this


@dataclass
class Ground:
    """The server, and the database that all others are copied from. `keys`: organisation and kind of key to token."""

    cluster: Cluster
    folder: Path
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    made: int = 0

    def prepare(self) -> None:
        self.cluster.start()
        self.admin(f"CREATE DATABASE {TEMPLATE} OWNER atrium")
        template = Town(self, TEMPLATE)
        migrated = subprocess.run(
            [sys.executable, "manage.py", "migrate"],
            cwd=ROOT,
            env=template.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert migrated.returncode == 0, migrated.stderr
        with template.pointed():
            for document in (acme_file(), rival_file()):
                told = provisioning.provision(document).keys
                self.keys |= {(document["organisation"]["key"], key["kind"]): told[key["name"]] for key in document["keys"]}
            for zone in Zone.objects.filter(key__in=("north-brew", "north-page")):
                DwellMark.objects.create(zone=zone, minutes=MARK_MINUTES)
            with closing(connect(application_name="partitions")) as connection:
                partitions.ensure(connection)

    def town(self) -> "Town":
        self.made += 1
        name = f"town_{self.made}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER atrium")
        return Town(self, name)

    def admin(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the superuser, and outside a transaction."""
        with psycopg.connect(self.cluster.address(role="postgres", database=database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def crash(self) -> None:
        """What a power cut leaves of the server's memory: nothing. It is down then."""
        self.cluster.stop(mode="immediate")

    def kill_postmaster(self) -> None:
        """Only the head of the server is gone; its sessions learn of it by and by. It is down then."""
        assert self.cluster.process is not None
        self.cluster.process.kill()
        self.cluster.stop()

    def kill_session(self, chance: random.Random) -> None:
        """One of the server's processes is gone. It ends all the others then, recovers, and is up again by itself."""
        assert self.cluster.process is not None
        victims = sorted(child.pid for child in psutil.Process(self.cluster.process.pid).children() if "atrium town_" in " ".join(child.cmdline()))
        if victims:
            os.kill(chance.choice(victims), signal.SIGKILL)


@dataclass
class Town:
    """One test's database, with Acme and the rival in it."""

    ground: Ground
    name: str

    @property
    def url(self) -> str:
        return self.ground.cluster.address(database=self.name)

    def url_through(self, port: int) -> str:
        """The same database behind a proxy, which must be able to read the messages."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}", query="sslmode=disable"))

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}}
        return {
            **kept,
            "DATABASE_URL": self.url,
            "SECRET_KEY": "a key for the tests alone, long enough",
            "ATRIUM_VAR": str(self.ground.folder / "var"),
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    def key(self, organisation: str = "acme", kind: str = "publishable") -> str:
        return self.ground.keys[organisation, kind]

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        return self.rows(statement, parameters)[0][0]

    def admin(self, statement: str) -> list[tuple[Any, ...]]:
        return self.ground.admin(statement, database=self.name)

    def cut_off(self, application: str) -> int:
        """End the sessions of an application from the server's side; returns how many there were."""
        return len(
            self.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}' AND application_name LIKE '{application}%'")
        )

    def outcomes(self) -> dict[str, int]:
        return dict(self.rows("SELECT outcome, sum(events)::bigint FROM engagement_outcome GROUP BY outcome"))

    def drained(self) -> bool:
        """Everything accepted is worked in: the inbox empties in the transaction that writes the stays."""
        return not any(
            self.rows(
                """SELECT EXISTS (SELECT 1 FROM engagement_inbox), EXISTS (SELECT 1 FROM engagement_identityclaim),
                          EXISTS (SELECT 1 FROM engagement_placeschange), EXISTS (SELECT 1 FROM analytics_recut WHERE finished_at IS NULL)"""
            )[0]
        )

    @contextmanager
    def pointed(self) -> Iterator[None]:
        """Django in this process uses this database for a while."""
        wrapper = connections["default"]
        kept = dict(wrapper.settings_dict)
        wrapper.close()
        address = Env.db_url_config(self.url)
        wrapper.settings_dict.update({key: address[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")})
        try:
            yield
        finally:
            wrapper.close()
            wrapper.settings_dict.clear()
            wrapper.settings_dict.update(kept)

    def drop(self) -> None:
        self.ground.admin(f"DROP DATABASE {self.name} WITH (FORCE)")
