"""Many new entries at once: few statements, and the ids in the order of the entries."""

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.connector import Opened
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import StoreError
from orchestrator.core.models import IdempotencyKey, NewEntry
from tests.empty_store import make_empty_store
from tests.store.conftest import SQLSERVER, Database
from tests.store.helpers import entry_of
from tests.store.odbc import Line


class CountingConnector(SqliteConnector):
    """Notes every statement."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.statements: list[str] = []

    def connect(self) -> Opened:
        opened = super().connect()
        opened.connection.set_trace_callback(self.statements.append)  # type: ignore[attr-defined] # sqlite3's
        return opened


def entries(number: int) -> list[NewEntry]:
    return [NewEntry(table_name=f"t{place:04}", priority=place % 7) for place in range(number)]


@pytest.mark.parametrize("number", [1, 20, 21, 210])
async def test_ids_come_in_the_order_of_the_entries(store: Store, database: Database, number: int) -> None:
    """Also beyond 2,100 parameters, the limit of a statement of SQL Server."""
    new = entries(number)
    ids = await Operations(store.pool).add(new)
    found = dict(database.execute("SELECT id, table_name FROM track_processing"))
    assert [found[each] for each in ids] == [each.table_name for each in new]
    assert len(found) == number


async def test_every_value_arrives(store: Store) -> None:
    new = NewEntry(
        table_name='sales "x\\y" — 🎈',
        workspace="eu",
        job_id=2**63 - 1,
        parameter_style="job_parameters",
        parameters='{"a": "' + "é" * 9000 + '"}',
        options='{"only": ["a"]}',
        priority=-(2**31),
        max_attempts=7,
        retry_mode="repair",
        run_timeout_seconds=60,
        queue_timeout_seconds=2**31 - 1,
    )
    named = NewEntry(table_name="b", job_name="load — daily")
    first, second = await Operations(store.pool).add([new, named])
    for entry_id, expected in ((first, new), (second, named)):
        found = await entry_of(store, entry_id)
        for name in NewEntry.__dataclass_fields__:
            assert getattr(found, name) == getattr(expected, name), name


async def test_one_that_the_table_refuses_undoes_all(store: Store, database: Database) -> None:
    new = [*entries(600), NewEntry(table_name="x", max_attempts=-1)]
    with pytest.raises(StoreError):
        await Operations(store.pool).add(new)
    assert database.execute("SELECT id FROM track_processing") == []


async def test_a_trigger_that_inserts_entries_of_its_own_changes_no_answer(
    store: Store, database: Database
) -> None:
    body = (
        "CREATE TRIGGER also ON track_processing AFTER INSERT AS"
        " INSERT INTO process_log (entry_id, submission, attempt, status)"
        " SELECT id, 9, 1, 'DONE' FROM inserted"
        if database.connector.dialect == "sqlserver"
        else "CREATE TRIGGER also AFTER INSERT ON track_processing BEGIN"
        " INSERT INTO process_log (entry_id, submission, attempt, status) VALUES (NEW.id, 9, 1, 'DONE'); END"
    )
    database.execute(body)
    new = entries(20)
    ids = await Operations(store.pool).add(new)
    found = dict(database.execute("SELECT id, table_name FROM track_processing"))
    assert [found[each] for each in ids] == [each.table_name for each in new]


async def test_a_thousand_entries_take_few_statements(tmp_path: Path) -> None:
    connector = CountingConnector(make_empty_store(tmp_path / "state.db"))
    pool = Pool(connector)
    await Operations(pool).add(entries(1000), IdempotencyKey(key="k", body_hash="h"))
    await pool.close()
    inserts = [each for each in connector.statements if re.match(r"\s*INSERT INTO track_processing", each)]
    assert len(inserts) == 50
    assert len(connector.statements) < 60


@pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set")
async def test_a_thousand_entries_take_few_round_trips(database: Any) -> None:
    """Counted between Microsoft's driver and the server."""
    if database.connector.dialect != "sqlserver":
        pytest.skip("a file has no round trips")
    line = Line(SQLSERVER or "")
    async with line.open():
        pool = Pool(type(database.connector)(line.connection_string))
        await Operations(pool).add(entries(1))
        before = line.round_trips
        await Operations(pool).add(entries(1000))
        assert line.round_trips - before < 200
        assert line.connections == 1
        await pool.close()
