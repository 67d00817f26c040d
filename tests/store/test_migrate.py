"""The schema is made of numbered migrations, and the app knows which ones it needs."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.connector import Connector
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import SchemaError, StoreError
from tests.store.conftest import TABLES, Database
from tests.store.helpers import schema_version


def test_applying_twice_changes_nothing(database: Database) -> None:
    assert migrate.apply(database.connector) == []
    assert schema_version(database.connector) == len(migrate.available(database.connector.dialect))


def test_printed_script_makes_the_same_schema(tmp_path: Path) -> None:
    """For SQLite, as its shell runs the script; for SQL Server see the next test."""
    applied = SqliteConnector(tmp_path / "applied.db", create=True)
    migrate.apply(applied)
    printed = sqlite3.connect(tmp_path / "printed.db")
    printed.executescript(migrate.script("sqlite"))
    wanted = applied.connect().connection.cursor()
    schema = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert printed.execute(schema).fetchall() == wanted.execute(schema).fetchall()
    printed.close()
    assert schema_version(SqliteConnector(tmp_path / "printed.db")) == len(migrate.available("sqlite"))
    assert migrate.apply(SqliteConnector(tmp_path / "printed.db")) == []


def test_printed_script_runs_piece_by_piece(database: Database) -> None:
    if database.connector.dialect == "sqlite":
        assert "GO" not in migrate.script("sqlite").split()
        return
    for table in TABLES:
        database.execute(f"DROP TABLE {table}")
    connection = database.connector.connect().connection
    for piece in database.connector.split(migrate.script("sqlserver")):
        if "NOEXEC" not in piece:  # for sqlcmd and the like; a driver stops by itself
            connection.cursor().execute(piece)
    connection.commit()
    connection.close()
    assert schema_version(database.connector) == len(migrate.available("sqlserver"))


def test_script_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """As ``sqlite3 -bail`` runs it: it stops at the first error and rolls back."""
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    connection.execute("CREATE TABLE track_processing (theirs)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        connection.executescript(migrate.script("sqlite"))
    connection.close()
    with sqlite3.connect(tmp_path / "state.db") as after:
        assert after.execute("SELECT name FROM sqlite_master").fetchall() == [("track_processing",)]
    after.close()


def test_every_piece_of_the_tsql_script_stops_after_an_error() -> None:
    guard = "IF @@TRANCOUNT = 0 SET NOEXEC ON;"
    opening, *pieces, committed, last = SqlServerConnector("").split(migrate.script("sqlserver"))
    assert "SET XACT_ABORT ON" in opening
    assert (committed, last) == ("COMMIT TRANSACTION;", "SET NOEXEC OFF;")
    assert len(pieces) > 10
    assert [piece for piece in pieces if piece != guard] == pieces[::2], "a guard between any two pieces"


def test_forward_from_an_older_schema(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future release: one more migration, applied to a database with entries and printed for a DBA."""
    database.execute("INSERT INTO track_processing (table_name) VALUES ('sales')")
    dialect = database.connector.dialect
    today = migrate.available(dialect)
    more = migrate.Migration(
        version=len(today) + 1, name="more", script="ALTER TABLE track_processing ADD remark int;"
    )
    monkeypatch.setattr(migrate, "available", lambda _dialect: [*today, more])
    with pytest.raises(SchemaError, match=rf"lacks {len(today) + 1:04}_more; run"):
        schema_version(database.connector)
    printed = migrate.script(dialect, from_version=len(today))
    assert "CREATE TABLE" not in printed
    assert "ADD remark int" in printed
    assert migrate.apply(database.connector) == [more]
    assert schema_version(database.connector) == len(today) + 1
    assert database.execute("SELECT table_name, remark FROM track_processing") == [("sales", None)]


@pytest.mark.parametrize("column", ["options", "Job_Name", "request", "claimed_at"])
def test_upgrade_names_the_team_s_column_that_is_in_the_way(
    database: Database, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    today = migrate.available(database.connector.dialect)
    for table in TABLES:
        database.execute(f"DROP TABLE {table}")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "available", lambda _dialect: today[:3])
        migrate.apply(database.connector)
    database.execute(f"ALTER TABLE track_processing ADD {column} int")
    database.execute(f"INSERT INTO track_processing (table_name, {column}) VALUES ('sales', 7)")
    # An engine may give names back in small letters.
    words = rf"(?i:track_processing\.{column}) \(int\w*\) has the name of a column of the app's: rename yours"
    with pytest.raises(SchemaError, match=rf"nothing was changed:\n  - {words}"):
        migrate.apply(database.connector)
    with pytest.raises(SchemaError, match=rf"lacks 0004_databricks.*; {words}; then run: python"):
        schema_version(database.connector)
    versions = database.execute("SELECT MAX(version) FROM orchestrator_schema")
    assert versions == [(3,)]
    if database.connector.dialect == "sqlite":
        database.execute(f"ALTER TABLE track_processing RENAME COLUMN {column} TO theirs")
        assert migrate.apply(database.connector) == list(today[3:])
        assert database.execute("SELECT table_name, theirs FROM track_processing") == [("sales", 7)]


def test_column_of_the_team_s_in_the_log_is_in_the_way_too(database: Database) -> None:
    database.execute("DELETE FROM orchestrator_schema WHERE version >= 4")
    with pytest.raises(SchemaError, match=r"process_log\.result \(\w+\) has the name"):
        migrate.apply(database.connector)


def test_two_processes_at_once_apply_once(tmp_path: Path) -> None:
    connector = SqliteConnector(tmp_path / "state.db", create=True)
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate.apply(connector), range(4)))
    assert sorted(len(migrations) for migrations in applied) == [0, 0, 0, len(migrate.available("sqlite"))]


def test_missing_schema_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"lacks 0001_initial, .*; run: python -m orchestrator init-db"):
        schema_version(SqliteConnector(tmp_path / "new.db", create=True))


def test_newer_schema_is_refused(database: Database) -> None:
    database.execute("INSERT INTO orchestrator_schema (version, name) VALUES (9999, 'from the future')")
    for use in (schema_version, migrate.apply):
        with pytest.raises(SchemaError, match="deploy the newer app"):
            use(database.connector)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check STATE_DB"):
        migrate.apply(SqliteConnector(tmp_path / "no" / "such" / "folder.db", create=True))


def test_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = SqliteConnector(tmp_path / "state.db", create=True)
    bad = migrate.Migration(
        version=1, name="bad", script="CREATE TABLE a (x int);\nCREATE TABLE a (x int);\n"
    )
    monkeypatch.setattr(migrate, "available", lambda _dialect: [bad])
    with pytest.raises(StoreError, match="already exists"):
        migrate.apply(connector)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "'SOMETHING'"),
        ("attempt", "-1"),
        ("max_attempts", "-1"),
        ("workspace", "'default '"),
        ("available_at", "'soon'"),
        ("available_at", "'2020-02-30 00:00:00'"),
        ("available_at", "'2020-99-99 99:99:99'"),
        ("available_at", "'2020-01-01 00:00:00 hello'"),
        ("created_at", "'once'"),
    ],
)
def test_database_refuses_nonsense(database: Database, column: str, value: str) -> None:
    connector: Connector = database.connector
    with pytest.raises(connector.error):
        database.execute(f"INSERT INTO track_processing (table_name, {column}) VALUES ('sales', {value})")


@pytest.mark.parametrize("value", ["'2020-02-29 23:59:59'", "'2020-02-29 23:59:59.999'"])
def test_database_takes_real_dates(database: Database, value: str) -> None:
    database.execute(f"INSERT INTO track_processing (table_name, available_at) VALUES ('sales', {value})")


def test_later_migrations_suit_a_status_of_either_type() -> None:
    """An adopted STATUS may be varchar; its filtered indexes take no nvarchar literal (error 10620)."""
    for migration in migrate.available("sqlserver")[1:]:
        assert not re.search(r"status\s*(=|IN)\s*\(?\s*N'", migration.script, re.IGNORECASE), migration.name


def test_statuses_with_blanks_lose_them_and_words_that_are_no_states_are_no_obstacle(
    sqlserver: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a load left before there was a rule: the upgrade mends what it can."""
    today = migrate.available("sqlserver")
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "available", lambda _dialect: today[:13])
        migrate.apply(sqlserver.connector)
    for name in ("status", "running", "in_flight"):
        sqlserver.execute(f"ALTER TABLE track_processing DROP CONSTRAINT ck_track_processing_{name}")
    for word, submission, run_id in (
        ("PENDING   ", 0, None),
        ("RUNNING   ", 1, 7),
        ("RUNNING   ", 1, None),
        ("QUEUED ", 0, None),
        ("NEW ", 0, None),
    ):
        sqlserver.execute(
            "INSERT INTO track_processing (table_name, status, submission, runid) VALUES ('t', ?, ?, ?)",
            *(word, submission, run_id),
        )
    migrate.apply(sqlserver.connector)
    words = [str(row[0]) for row in sqlserver.execute("SELECT status FROM track_processing ORDER BY id")]
    assert words == ["PENDING", "RUNNING", "PENDING", "PENDING", "NEW "]
