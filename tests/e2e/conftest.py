"""A stack of processes for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Azurite
from tests.e2e.stack import Stack


@pytest.fixture
def stack(azurite: Azurite, queue_name: str, tmp_path: Path) -> Iterator[Stack]:
    """An empty state store and a queue of its own; the test starts the rest."""
    made = Stack(folder=tmp_path, azurite=azurite.connection_string, queue_name=queue_name)
    with made.prepared() as stack:
        yield stack
