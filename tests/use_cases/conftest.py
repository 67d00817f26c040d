"""A fresh world for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import Database, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World.make(Database(tmp_path))
    yield made
    await made.store.pool.close()
