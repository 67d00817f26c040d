"""A team's table beside the app's, and made again from an adopted one, as docs/migrating.md says."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from tests.conftest import ROOT
from tests.store.adopt.legacy import LEGACY, Legacy
from tests.store.conftest import Database
from tests.store.helpers import claim
from tests.store.sql_pages import statements

STATEMENTS = statements(ROOT / "docs" / "migrating.md")


def run(database: Database, name: str) -> list[tuple[Any, ...]]:
    """Run a statement of the page unchanged."""
    return database.execute(STATEMENTS[name, database.connector.dialect])


@pytest.fixture(autouse=True)
def alone(empty: Database) -> Iterator[None]:
    empty.execute("DROP TABLE IF EXISTS team_processing")
    yield
    empty.execute("DROP TABLE IF EXISTS team_processing")


def test_a_team_s_table_gets_another_name(empty: Database) -> None:
    empty.execute(LEGACY[empty.connector.dialect][0])
    empty.execute("INSERT INTO track_processing (SOURCE_TABLE) VALUES ('sales')")
    run(empty, "rename")
    assert empty.execute("SELECT SOURCE_TABLE, STATUS FROM team_processing") == [("sales", "NEW")]


def test_a_table_in_the_team_s_words_is_made_from_an_adopted_one(legacy: Legacy) -> None:
    legacy.adopt()
    before = legacy.execute("SELECT status, COUNT(*) FROM track_processing GROUP BY status")
    run(legacy.database, "back-copy")
    words = {"PENDING": "NEW", "DEAD": "FAILED"}
    copied = legacy.execute("SELECT STATUS, COUNT(*) FROM team_processing GROUP BY STATUS")
    assert sorted(copied) == sorted((words.get(status, status), count) for status, count in before)
    columns = "TRACK_ID, SOURCE_TABLE, LOAD_DATE, PAYLOAD"
    assert legacy.execute(f"SELECT {columns} FROM team_processing ORDER BY TRACK_ID") == legacy.extras
    runs = legacy.execute("SELECT RUNID FROM team_processing WHERE STATUS = 'RUNNING'")
    assert runs
    assert all(isinstance(run_id, str) for (run_id,) in runs)
    legacy.execute("UPDATE team_processing SET STATUS = 'NEW'")  # no rule of ours is left


async def test_names_that_differ_in_case_are_as_the_page_says(legacy: Legacy) -> None:
    """SQL Server compares as the column's collation does, SQLite to the letter."""
    legacy.execute("DELETE FROM track_processing")
    for name in ("Sales", "sales", "SALES"):
        legacy.execute("INSERT INTO track_processing (SOURCE_TABLE, STATUS) VALUES (?, 'NEW')", name)
    legacy.adopt()
    ignores_case = bool(
        legacy.execute("SELECT COUNT(*) FROM track_processing WHERE table_name = 'sAlEs'")[0][0]
    )
    assert not ignores_case or legacy.database.connector.dialect == "sqlserver"
    store = Store(Pool(legacy.database.connector))
    claimed = await claim(store)
    await store.pool.close()
    assert len(claimed) == (1 if ignores_case else 3)
