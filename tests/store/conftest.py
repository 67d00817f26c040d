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

    def __init__(self, connection_string: str, *, keeps_tables: bool = False) -> None:
        from orchestrator.adapters.store.sqlserver import SqlServerConnector

        super().__init__(SqlServerConnector(connection_string))
        if not keeps_tables:
            self.drop()

    def drop(self) -> None:
        """Drop the app's tables."""
        for table in TABLES:
            self.execute(f"DROP TABLE IF EXISTS {table}")

    def empty(self) -> None:
        """Delete all rows of the app's tables, whose ids begin at 1 again."""
        self.execute("ALTER TABLE process_log DROP CONSTRAINT fk_process_log_entry")
        for table in TABLES:
            if table != "orchestrator_schema":
                self.execute(f"TRUNCATE TABLE {table}")
        self.execute(
            "ALTER TABLE process_log ADD CONSTRAINT fk_process_log_entry FOREIGN KEY (entry_id)"
            " REFERENCES track_processing (id) ON DELETE CASCADE"
        )

    def shape(self) -> list[list[tuple[Any, ...]]]:
        """Return all that a test may change besides rows."""
        ours = ", ".join(f"OBJECT_ID('{table}')" for table in TABLES)
        objects = self.execute(
            "SELECT name, type FROM sys.objects WHERE is_ms_shipped = 0 ORDER BY name, type"
        )
        has_versions = any(name == "orchestrator_schema" for name, _ in objects)
        return [
            objects,
            self.execute("SELECT * FROM orchestrator_schema") if has_versions else [],
            self.execute(
                "SELECT object_id, name, system_type_id, max_length, is_nullable, collation_name"
                f" FROM sys.columns WHERE object_id IN ({ours}) ORDER BY object_id, column_id"
            ),
            self.execute("SELECT name, is_disabled, is_not_trusted FROM sys.check_constraints ORDER BY name"),
            self.execute("SELECT name, is_disabled FROM sys.triggers ORDER BY name"),
            self.execute(
                "SELECT object_id, name FROM sys.indexes"
                f" WHERE object_id IN ({ours}) ORDER BY object_id, name"
            ),
        ]

    def pass_time(self, seconds: float) -> None:
        self.execute(
            "UPDATE track_processing SET available_at = DATEADD(MILLISECOND, ?, available_at),"
            " lease_expires_at = DATEADD(MILLISECOND, ?, lease_expires_at)",
            -int(seconds * 1000),
            -int(seconds * 1000),
        )


#: The last :meth:`SqlServerDatabase.shape` that this process migrated the database to. Migrating takes
#: seconds, and most tests change rows only.
_migrated: list[list[list[tuple[Any, ...]]]] = []


def _renew(opened: SqlServerDatabase) -> None:
    """Give a database the schema and no rows, as if it had just been migrated."""
    if _migrated and opened.shape() == _migrated[-1]:
        opened.empty()
        return
    opened.drop()
    migrate.apply(opened.connector)
    _migrated.append(opened.shape())


@contextmanager
def open_database(dialect: str, folder: Path) -> Iterator[Database]:
    """Open a database that has the schema and no entries."""
    opened: _Database
    if dialect == "sqlserver" and SQLSERVER:
        opened = server = SqlServerDatabase(SQLSERVER, keeps_tables=True)
        _renew(server)
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
