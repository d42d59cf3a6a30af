from collections.abc import Iterator

import pytest

from analytics.audiences import columns, sets


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """What this process keeps of one test's organisation says nothing of the next one's."""
    columns.forget()
    sets.forget()
    yield
    columns.forget()
    sets.forget()
