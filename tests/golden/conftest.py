from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.posting import Product, running


@pytest.fixture
def product(transactional_db: None, environment: dict[str, str], tmp_path: Path) -> Iterator[Product]:
    """A real door and a real stream on this test's database, in processes of their own."""
    with running(environment, tmp_path) as product:
        yield product
