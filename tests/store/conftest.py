"""One suite for every store: SQLite always, SQL Server when TEST_SQLSERVER is its ODBC connection string."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.connector import Connector
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.states import EDGES, Status
from tests.empty_store import make_empty_store
from tests.store.rivals import Rival

SQLSERVER = os.environ.get("TEST_SQLSERVER")

TABLES = (
    "process_log",
    "track_processing",
    "orchestrator_tick",
    "orchestrator_request",
    "orchestrator_alert",
    "orchestrator_silence",
    "orchestrator_stray_run",
    "orchestrator_open_submission",
    "orchestrator_schema",
)


class Database(Protocol):
    """The state store as others see it: plain SQL on a connection of its own."""

    connector: Connector

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement, commit, and return its rows."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let leases and back-offs that end within ``seconds`` end now."""
        ...


class _Database:
    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self._connection = connector.connect().connection

    def execute(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.cursor()
        cursor.execute(sql, parameters)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        self._connection.commit()
        return rows

    def close(self) -> None:
        self._connection.close()


class SqliteDatabase(_Database):
    """A SQLite file with a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self._offset = timedelta()
        super().__init__(SqliteConnector(path, create=True, now=lambda: datetime.now(UTC) + self._offset))

    def pass_time(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


class SqlServerDatabase(_Database):
    """A real server. Its clock cannot be moved, so the times in the entries are."""

    def __init__(self, connection_string: str) -> None:
        from orchestrator.adapters.store.sqlserver import SqlServerConnector

        super().__init__(SqlServerConnector(connection_string))
        for table in TABLES:
            self.execute(f"DROP TABLE IF EXISTS {table}")

    def pass_time(self, seconds: float) -> None:
        self.execute(
            "UPDATE track_processing SET available_at = DATEADD(MILLISECOND, ?, available_at),"
            " lease_expires_at = DATEADD(MILLISECOND, ?, lease_expires_at)",
            -int(seconds * 1000),
            -int(seconds * 1000),
        )


@contextmanager
def open_database(dialect: str, folder: Path) -> Iterator[Database]:
    """Open a database that has the schema and no entries."""
    opened: _Database
    if dialect == "sqlserver" and SQLSERVER:
        opened = SqlServerDatabase(SQLSERVER)
        migrate.apply(opened.connector)
    else:
        opened = SqliteDatabase(make_empty_store(folder / "state.db"))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "sqlserver"] if SQLSERVER else ["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the schema and no entries."""
    with open_database(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def sqlserver() -> Iterator[Database]:
    """A SQL Server database without any table."""
    if not SQLSERVER:
        pytest.skip("TEST_SQLSERVER is not set")
    opened = SqlServerDatabase(SQLSERVER)
    yield opened
    opened.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """A store on the database."""
    opened = Store(Pool(database.connector))
    yield opened
    await opened.pool.close()


@pytest.fixture
async def other_store(database: Database) -> AsyncIterator[Store]:
    """A second process's store on the same database."""
    opened = Store(Pool(database.connector))
    yield opened
    await opened.pool.close()


_AUDIT = {
    "sqlite": (
        "CREATE TRIGGER record_edges AFTER UPDATE OF status ON track_processing WHEN OLD.status <> NEW.status"
        " BEGIN INSERT INTO audit VALUES (OLD.status, NEW.status); END"
    ),
    "sqlserver": (
        "CREATE TRIGGER record_edges ON track_processing AFTER UPDATE AS"
        " INSERT INTO audit SELECT old.status, new.status FROM deleted AS old"
        " INNER JOIN inserted AS new ON new.id = old.id WHERE new.status <> old.status"
    ),
}


@pytest.fixture
async def rivals(database: Database) -> AsyncIterator[tuple[Rival, Rival]]:
    """Two processes whose transactions can be stopped. At the end, check that only drawn edges were taken.

    A trigger records the edges.
    """
    database.execute("DROP TABLE IF EXISTS audit")
    database.execute("CREATE TABLE audit (old varchar(20), new varchar(20))")
    database.execute(_AUDIT[database.connector.dialect])
    one, other = Rival(database.connector), Rival(database.connector)
    yield one, other
    await one.pool.close()
    await other.pool.close()
    taken = database.execute("SELECT old, new FROM audit")
    assert [(old, new) for old, new in taken if Status(new) not in EDGES[Status(old)]] == []
