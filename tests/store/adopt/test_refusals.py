"""A table that cannot be adopted is left unchanged, and the error lists every problem."""

from pathlib import Path

import pytest

from orchestrator.adapters.store import adopt
from orchestrator.adapters.store.adopt import Adoption
from orchestrator.core.errors import SchemaError, StoreError
from tests.store.adopt.legacy import LEGACY, TEAM, Legacy, contents, expected
from tests.store.conftest import Database, SqliteDatabase
from tests.store.helpers import schema_version


def test_problems_are_listed_and_nothing_is_changed(legacy: Legacy) -> None:
    legacy.execute("UPDATE track_processing SET STATUS = 'ODD' WHERE TRACK_ID <= 3")
    legacy.execute("UPDATE track_processing SET STATUS = 'RUNNING', RUNID = ' ' WHERE TRACK_ID IN (4, 5)")
    legacy.execute("UPDATE track_processing SET RUNID = 'n/a' WHERE TRACK_ID = 2999")
    legacy.execute("UPDATE track_processing SET RUNID = '12x' WHERE TRACK_ID = 2998")
    legacy.execute("UPDATE track_processing SET SOURCE_TABLE = ' ' WHERE TRACK_ID = 7")
    legacy.execute("UPDATE track_processing SET STATUS = 'RUNNING', RUNID = '8' WHERE TRACK_ID = 8")
    legacy.execute("UPDATE track_processing SET STATUS = 'started', RUNID = '8' WHERE TRACK_ID = 9")
    legacy.execute("ALTER TABLE track_processing ADD Job_Name nvarchar(20)")
    legacy.execute("CREATE TABLE orchestrator_tick (mine int)")
    before = contents(legacy)
    with pytest.raises(SchemaError, match="nothing was changed") as caught:
        legacy.adopt()
    assert str(caught.value).count("  - ") == 1, "what stands in the way comes first"
    legacy.execute("DROP TABLE orchestrator_tick")
    with pytest.raises(SchemaError) as caught:
        legacy.adopt(
            Adoption(
                table_name_column="SOURCE_TABLE", parameters_column="no_such", status_map={"NEW": "GONE"}
            )
        )
    text = str(caught.value)
    for problem in (
        "no column no_such",
        "1 rows have no SOURCE_TABLE",
        "'GONE', for 'NEW', is not one of PENDING, RUNNING",
        "3 rows have the status 'ODD'",
        "2 rows are 'RUNNING' without a run id",
        "1 rows have the run id 'n/a'",
        "1 rows have the run id '12x'",
        "2 rows are RUNNING with the run id 8",
        "Job_Name (",
        "has the name of a column of the app's: rename yours",
    ):
        assert problem.lower() in text.lower()
    assert text.count("  - ") == 9
    assert contents(legacy) == before
    with pytest.raises(SchemaError, match="init-db"):
        schema_version(legacy.database.connector)


def test_failure_half_way_leaves_all_as_it_was(legacy: Legacy, monkeypatch: pytest.MonkeyPatch) -> None:
    legacy.execute("CREATE INDEX ux_track_processing_run ON track_processing (LOAD_DATE)")
    before = contents(legacy)
    with pytest.raises(StoreError, match="ux_track_processing_run"):
        legacy.adopt()
    assert contents(legacy) == before
    legacy.execute(
        "DROP INDEX ux_track_processing_run"
        + ("" if legacy.database.connector.dialect == "sqlite" else " ON track_processing")
    )
    assert legacy.adopt().rows == expected()


def test_there_is_no_table(empty: Database) -> None:
    with pytest.raises(SchemaError, match="for a new one run: python -m orchestrator init-db"):
        adopt.apply(empty.connector, Adoption())


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("id varchar(10), table_name varchar(10), status varchar(10)", "id"),
        ("id int NOT NULL, table_name varchar(10), status varchar(10)", "id"),
        ("n int, status varchar(10)", "there is no column table_name with the source table's name"),
        ("n int, table_name varchar(10)", "no column STATUS"),
    ],
)
def test_unfit_table(empty: Database, columns: str, problem: str) -> None:
    empty.execute(f"CREATE TABLE track_processing ({columns})")
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    for _ in range(2):
        values = ", ".join("1" for _ in names.split(", ")[:-1])
        empty.execute(f"INSERT INTO track_processing ({names}) VALUES ({values}, 'NEW')")
    with pytest.raises(SchemaError, match=f"  - .*{problem}"):
        adopt.apply(empty.connector, Adoption())


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (
            "(id INTEGER, n INTEGER PRIMARY KEY, table_name, status)",
            "its key is n, and it also has a column id",
        ),
        ("(table_name TEXT PRIMARY KEY, status) WITHOUT ROWID", "neither a column id nor rowids"),
        ("(table_name, status, CHECK (status IN ('NEW')))", "CHECK .* refers to STATUS"),
    ],
)
def test_unfit_table_of_sqlite(tmp_path: Path, definition: str, problem: str) -> None:
    database = SqliteDatabase(tmp_path / "state.db")
    database.execute(f"CREATE TABLE track_processing {definition}")
    with pytest.raises(SchemaError, match=problem):
        adopt.apply(database.connector, Adoption())
    database.close()


def test_reference_to_the_old_key_of_sqlite(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "state.db")
    database.execute("CREATE TABLE track_processing (table_name TEXT PRIMARY KEY, status TEXT)")
    database.execute("CREATE TABLE notes (of TEXT REFERENCES track_processing)")
    database.execute("INSERT INTO track_processing VALUES ('sales', 'NEW')")
    database.execute("INSERT INTO notes VALUES ('sales')")
    with pytest.raises(SchemaError, match="other tables refer to track_processing by a key"):
        adopt.apply(database.connector, Adoption())
    assert database.execute("SELECT * FROM track_processing") == [("sales", "NEW")]
    database.close()


@pytest.mark.parametrize(
    ("made_so", "problem"),
    [
        (
            "CREATE TRIGGER TR_TEAM ON track_processing INSTEAD OF UPDATE AS BEGIN RETURN; END",
            "trigger .* instead of UPDATE",
        ),
        ("ALTER TABLE track_processing ADD CONSTRAINT CK_TEAM CHECK (STATUS <> 'X')", "constraint .* STATUS"),
        ("CREATE INDEX IX_TEAM ON track_processing (RUNID)", "has to become bigint NULL, and the index"),
        ("ALTER TABLE track_processing ADD attempt nvarchar(5)", "attempt is nvarchar: the app needs int"),
        ("ALTER TABLE track_processing ADD last_error nvarchar(50)", "last_error is nvarchar"),
        (
            "ALTER TABLE track_processing ADD workspace nvarchar(64) COLLATE Latin1_General_CI_AS",
            "column workspace takes names in other spellings for one .*ALTER COLUMN workspace nvarchar",
        ),
    ],
)
def test_unfit_table_of_sqlserver(sqlserver: Database, made_so: str, problem: str) -> None:
    for statement in (*LEGACY["sqlserver"], made_so):
        sqlserver.execute(statement)
    with pytest.raises(SchemaError, match=f"(?i){problem}"):
        adopt.apply(sqlserver.connector, TEAM)
