"""Tables of other shapes: odd names, keys of their own, narrow columns."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store import adopt, migrate
from orchestrator.adapters.store.adopt import Adoption
from orchestrator.adapters.store.adopt.ddl import quoted
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.errors import StoreError
from orchestrator.core.search import EntryFilter
from orchestrator.core.states import Status
from tests.store.adopt.legacy import shape
from tests.store.conftest import TABLES, Database, SqliteDatabase
from tests.store.helpers import begun, claim, entry_of, finish

EVIL = "we'ird\"); DROP TABLE track_processing; --"


async def test_evil_names(empty: Database) -> None:
    name = quoted(EVIL, empty.connector.dialect)
    identity = (
        "INTEGER PRIMARY KEY" if empty.connector.dialect == "sqlite" else "int IDENTITY(1, 1) PRIMARY KEY"
    )
    other = quoted("the_column ? -- '", empty.connector.dialect)
    empty.execute(
        f"CREATE TABLE track_processing ({other} {identity}, {name} nvarchar(100), status nvarchar(50))"
    )
    empty.execute(f"INSERT INTO track_processing ({name}, status) VALUES ('sales', 'new')")
    report = adopt.apply(empty.connector, Adoption(table_name_column=EVIL))
    migrate.apply(empty.connector)
    assert report.rows == {Status.PENDING: 1}
    empty.execute(f"INSERT INTO track_processing ({name}) VALUES ('orders')")
    store = Store(Pool(empty.connector))
    assert [(await begun(store, c)).table_name for c in await claim(store)] == ["sales", "orders"]
    await store.pool.close()


async def test_table_that_is_nearly_ours(empty: Database) -> None:
    """It has an id and a table_name, numbers as run ids, and columns with our names."""
    sqlite = empty.connector.dialect == "sqlite"
    identity = "INTEGER PRIMARY KEY" if sqlite else "int IDENTITY(1, 1) PRIMARY KEY"
    now = "CURRENT_TIMESTAMP" if sqlite else "GETDATE()"
    empty.execute(
        f"CREATE TABLE track_processing (Id {identity}, Table_Name nvarchar(100), Status nvarchar(50),"
        f" RunId bigint, Priority int, created_at datetime DEFAULT {now}, updated_at datetime,"
        " owner nvarchar(20) NOT NULL)"
    )
    for word, run, priority, owner in (("new", None, 7, "ann"), ("running", 5, None, "bob")):
        empty.execute(
            "INSERT INTO track_processing (Table_Name, Status, RunId, Priority, owner)"
            " VALUES (?, ?, ?, ?, ?)",
            *(f"of_{owner}", word, run, priority, owner),
        )
    empty.execute("UPDATE track_processing SET created_at = '2024-05-06T07:08:09'")
    report = adopt.apply(empty.connector, Adoption())
    migrate.apply(empty.connector)
    assert report.rows == {Status.PENDING: 1, Status.RUNNING: 1}
    assert [name.lower() for name in report.untouched] == ["owner"]
    store = Store(Pool(empty.connector))
    [claimed] = await claim(store)
    first = await begun(store, claimed)
    assert (first.table_name, first.priority, first.attempt) == ("of_ann", 7, 0)
    assert first.created_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert await store.record_run(claimed, 10**15)
    assert await finish(store, await entry_of(store, claimed.entry_id), Status.DONE)
    assert [(e.runid, e.priority) for e in await store.running("default")] == [(5, 0)]
    await store.pool.close()
    empty.execute("INSERT INTO track_processing (Table_Name, owner) VALUES ('orders', 'cy')")
    assert empty.execute("SELECT Id, Priority, Status FROM track_processing WHERE owner = 'cy'") == [
        (3, 0, "PENDING")
    ]
    with pytest.raises(empty.connector.error):
        empty.execute("INSERT INTO track_processing (Table_Name, owner) VALUES (NULL, 'dan')")


def _but_for_null(found: tuple[Any, ...]) -> list[Any]:
    """Return a column's shape; whether it may be NULL, a constraint may say as well."""
    return [part for part in found if part not in {"YES", "NO"}]


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("datetime", "DEFAULT CURRENT_TIMESTAMP"),
        ("datetime2", "NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        ("datetime2(0)", "NULL"),
        ("datetime2(3)", "NULL"),
    ],
)
async def test_the_time_of_the_last_change_is_the_app_s(empty: Database, kind: str, default: str) -> None:
    migrate.apply(empty.connector)
    fresh = shape(empty)["updated_at"]
    for table in TABLES:
        empty.execute(f"DROP TABLE {table}")
    empty.execute(
        "CREATE TABLE track_processing (table_name varchar(100) NOT NULL, status varchar(50),"
        f" updated_at {kind} {default})"
    )
    for name, time in (("old", "'2024-05-06T07:08:09'"), ("new", "CURRENT_TIMESTAMP")):
        empty.execute(f"INSERT INTO track_processing (table_name, updated_at) VALUES ('{name}', {time})")
    if "NOT NULL" not in default:
        empty.execute("INSERT INTO track_processing (table_name, updated_at) VALUES ('never', NULL)")
    try:
        report = adopt.apply(empty.connector, Adoption())
    except StoreError as error:
        if "NOT NULL in ALTER TABLE ALTER COLUMN" in str(error):
            pytest.skip("this engine gives no column that refuses NULL another type")
        raise
    migrate.apply(empty.connector)
    assert _but_for_null(shape(empty)["updated_at"]) == _but_for_null(fresh)
    is_ours = kind == "datetime2(3)" and empty.connector.dialect == "sqlserver"
    assert ("updated_at" in report.types) is not is_ours
    empty.execute("INSERT INTO track_processing (table_name) VALUES ('later')")
    store = Store(Pool(empty.connector))
    page = await Reports(store.pool).entries(EntryFilter())
    times = {entry.table_name: entry.updated_at for entry in page.entries}
    now = await store.now()
    await store.pool.close()
    assert times.pop("old") == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert all(abs(now - time) < timedelta(minutes=1) for time in times.values()), times
    with pytest.raises(empty.connector.error):
        empty.execute("INSERT INTO track_processing (table_name, updated_at) VALUES ('no', NULL)")


async def test_table_without_a_number(empty: Database) -> None:
    empty.execute(
        "CREATE TABLE track_processing (table_name varchar(100) NOT NULL PRIMARY KEY, status varchar(50))"
    )
    for name, word in (("a", "NEW"), ("b", "DONE"), ("c", None)):
        empty.execute("INSERT INTO track_processing VALUES (?, ?)", name, word)
    adopt.apply(empty.connector, Adoption())
    migrate.apply(empty.connector)
    empty.execute("INSERT INTO track_processing (table_name) VALUES ('d')")
    with pytest.raises(empty.connector.error):
        empty.execute("INSERT INTO track_processing (table_name) VALUES ('d')")
    store = Store(Pool(empty.connector))
    assert len(await claim(store)) == 3
    await store.pool.close()


def test_strict_table_stays_strict_and_ids_are_not_given_twice(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "state.db")
    database.execute(
        "CREATE TABLE track_processing"
        " (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT, status TEXT, n INT) STRICT"
    )
    database.execute("INSERT INTO track_processing (id, table_name) VALUES (1, 'a'), (41, 'b')")
    database.execute("DELETE FROM track_processing WHERE id = 41")
    adopt.apply(database.connector, Adoption())
    assert database.execute("INSERT INTO track_processing (table_name) VALUES ('c') RETURNING id") == [(42,)]
    with pytest.raises(database.connector.error, match="INT"):
        database.execute("INSERT INTO track_processing (table_name, n) VALUES ('d', 'many')")
    database.close()


def test_narrow_columns_and_a_trigger_sqlserver(sqlserver: Database) -> None:
    sqlserver.execute(
        "CREATE TABLE track_processing (id int IDENTITY(1, 1) PRIMARY KEY, table_name varchar(50) NOT NULL,"
        " status char(10), runid int)"
    )
    sqlserver.execute(
        "INSERT INTO track_processing (table_name, status, runid)"
        " VALUES ('a', 'running', 7), ('b', 'new', NULL)"
    )
    sqlserver.execute("CREATE TRIGGER TR_TEAM ON track_processing AFTER INSERT, UPDATE AS BEGIN RETURN; END")
    report = adopt.apply(sqlserver.connector, Adoption())
    assert report.rows == {Status.RUNNING: 1, Status.PENDING: 1}
    assert sqlserver.execute("SELECT table_name, status, runid FROM track_processing ORDER BY id") == [
        ("a", "RUNNING", 7),
        ("b", "PENDING", None),
    ]
    sqlserver.execute("UPDATE track_processing SET runid = 100000000000000 WHERE id = 1")
