"""A database that takes Sales, sales and SALES for one table: why an entry waits agrees with its claim."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.obstacles import held_by_alive
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.models import AliveRun
from orchestrator.core.slots import Obstacles
from orchestrator.core.waiting import Reason, Slots, explain
from tests.store.conftest import Database
from tests.store.helpers import claim
from tests.world import policy

SPELLINGS = ("Sales", "sales", "SALES")

ALIVE = Obstacles(alive=(AliveRun(entry_id=99, run_id=7, table_name="sAlEs"),))


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """A store whose table names are compared without case."""
    if database.connector.dialect == "sqlite":
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = REPLACE(sql, 'table_name TEXT', 'table_name TEXT COLLATE NOCASE')"
            " WHERE type = 'table'"
        )
    elif database.execute("SELECT 1 WHERE N'a' <> N'A'"):
        pytest.skip("this database tells case")
    opened = Store(Pool(database.connector))
    for name in (*SPELLINGS, "orders"):
        connection = database.connector.connect().connection
        connection.cursor().execute("INSERT INTO track_processing (table_name) VALUES (?)", (name,))
        connection.commit()
        connection.close()
    yield opened
    await opened.pool.close()


async def reasons(store: Store, obstacles: Obstacles) -> list[Reason]:
    """Return why each entry waits, by its id."""
    found = await Reports(store.pool).candidates("default", 10, obstacles.held_tables)
    waiting = explain(found, Slots(obstacles=obstacles), policy())
    return [each.reason for each in sorted(waiting, key=lambda each: each.entry.id)]


async def test_entries_of_one_table_wait_for_one_another(store: Store) -> None:
    same = Reason.SAME_TABLE
    assert await reasons(store, Obstacles()) == [Reason.NEXT, same, same, Reason.NEXT]
    assert [each.entry_id for each in await claim(store)] == [1, 4]


async def test_a_run_of_the_table_holds_them_all(store: Store) -> None:
    active = Reason.ACTIVE_RUN
    assert await reasons(store, ALIVE) == [active, active, active, Reason.NEXT]


async def test_health_counts_them_together(store: Store, database: Database) -> None:
    database.execute("UPDATE track_processing SET available_at = '2020-01-01 00:00:00'")
    [held] = await store.pool.transact(lambda session: held_by_alive(session, "default", ALIVE), writes=False)
    assert (held.entries, held.example.id) == (3, 1)
