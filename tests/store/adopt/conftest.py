"""Databases with a team's table, or without any table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.adopt.legacy import EXTRAS, LEGACY, Legacy, fill
from tests.store.conftest import SQLSERVER, Database, SqliteDatabase, SqlServerDatabase


@pytest.fixture(params=["sqlite", "sqlserver"] if SQLSERVER else ["sqlite"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    made = SqlServerDatabase(SQLSERVER) if request.param == "sqlserver" and SQLSERVER else None
    opened = made or SqliteDatabase(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def legacy(empty: Database) -> Legacy:
    """A team's table full of rows."""
    for statement in LEGACY[empty.connector.dialect]:
        empty.execute(statement)
    fill(empty)
    return Legacy(
        database=empty, extras=empty.execute(f"SELECT {EXTRAS} FROM track_processing ORDER BY TRACK_ID")
    )
