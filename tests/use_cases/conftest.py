"""One world a test."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.sqlite import SqliteConnector
from tests.fakes import FakeQueue, FakeRuns
from tests.use_cases.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made: World
    database = tmp_path / "state.db"
    connector = SqliteConnector(database, create=True, now=lambda: datetime.now(UTC) + made.offset)
    made = World(
        database=database, store=Store(connector), queue=FakeQueue(), databricks=FakeRuns(), eu=FakeRuns()
    )
    migrate.apply(connector)
    yield made
    await made.store.close()
