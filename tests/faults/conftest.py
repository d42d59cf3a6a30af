from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from engagement.embedded import Cluster
from tests.faults.ground import Ground, Town
from tests.faults.processes import Product, Steady


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Ground]:
    """One server for this folder, durable as the product's own; tests crash it and start it again."""
    folder = tmp_path_factory.mktemp("faults")
    made = Ground(Cluster(folder / "pg", choice=settings.ATRIUM_POSTGRES, settings={"shared_buffers": "64MB"}), folder)
    try:
        with django_db_blocker.unblock():
            made.prepare()
        yield made
    finally:
        made.cluster.stop()


@pytest.fixture
def town(ground: Ground, django_db_blocker: Any) -> Iterator[Town]:
    """A fresh database with Acme and the rival, which Django in this process uses too."""
    made = ground.town()
    with django_db_blocker.unblock(), made.pointed():
        yield made
    made.drop()


@pytest.fixture
def product(town: Town, tmp_path: Path) -> Iterator[Product]:
    """Processes on the town's database; none is started yet, and all are ended afterwards."""
    made = Product(town, tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def steady(ground: Ground, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Steady]:
    """A door and a stream that nothing is done to, for all tests of a module that only talk to them."""
    town = ground.town()
    product = Product(town, tmp_path_factory.mktemp("steady"))
    door, stream = product.door(), product.stream()
    try:
        stream.start()
        door.open()
        with django_db_blocker.unblock():
            yield Steady(product, door)
    finally:
        product.end()
        town.drop()
