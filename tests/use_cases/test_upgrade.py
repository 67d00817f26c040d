"""An upgrade in the middle of the work, from every earlier schema: nothing is lost, nothing is doubled."""

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.models import Run
from orchestrator.core.states import Status
from tests.world import Database, World

#: What the app of the first schema had written: an entry in each state, with the columns that there were.
_ENTRIES = """
INSERT INTO track_processing (table_name, status, submission, attempt, deliveries, runid) VALUES
    ('waiting', 'PENDING', 0, 0, 0, NULL),
    ('called', 'QUEUED', 1, 0, 1, NULL),
    ('running', 'RUNNING', 1, 1, 1, 1001),
    ('failed', 'FAILED', 1, 1, 0, 901),
    ('done', 'DONE', 1, 1, 0, 902),
    ('dead', 'DEAD', 3, 3, 0, 903);
UPDATE track_processing SET lease_expires_at = datetime('now', '-1 minute') WHERE status = 'QUEUED';
UPDATE track_processing SET submitted_at = datetime('now', '-1 hour') WHERE submission > 0;
UPDATE track_processing SET finished_at = datetime('now', '-1 minute') WHERE id >= 4;
INSERT INTO process_log (entry_id, submission, attempt, runid, status)
VALUES (4, 1, 1, 901, 'FAILED'), (5, 1, 1, 902, 'DONE'), (6, 3, 3, 903, 'DEAD');
"""

_VERSIONS = migrate.available("sqlite")


@pytest.mark.parametrize("version", range(1, len(_VERSIONS) + 1))
async def test_entries_of_an_older_schema_come_to_their_end(tmp_path: Path, version: int) -> None:
    world = World.make(Database(tmp_path))
    fill_older_store(world.database.path, version)
    migrate.apply(world.database.connector)
    called, running = await world.entry(2), await world.entry(3)
    world.databricks.by_token = {f"{called.entry_guid}-1": 1000, f"{running.entry_guid}-1": 1001}
    world.databricks.runs = {each: Run(run_id=each, life_cycle_state="RUNNING") for each in (1000, 1001)}
    for _ in range(3):
        assert await world.trigger() == []
        await world.deliver()
        world.database.pass_time(120)
    assert [(await world.entry(each)).runid for each in (2, 3)] == [1000, 1001]
    tokens = {request.idempotency_token for request in world.databricks.requests}
    assert tokens == {f"{(await world.entry(each)).entry_guid}-{n}" for each, n in ((1, 1), (2, 1), (4, 2))}
    for run_id in world.databricks.runs:
        world.databricks.end(run_id, "SUCCESS")
    assert await world.monitor() == []
    states = [(await world.entry(each)).status for each in range(1, 7)]
    assert states == [*(Status.DONE,) * 5, Status.DEAD]
    await world.store.pool.close()


def fill_older_store(path: Path, version: int) -> None:
    """Make the store anew with an older schema and the entries of its app."""
    path.unlink()
    with patch.object(migrate, "available", lambda _dialect: _VERSIONS[:version]):
        migrate.apply(SqliteConnector(path, create=True))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_ENTRIES)
