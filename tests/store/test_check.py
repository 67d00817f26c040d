"""What ``check`` says about the store, and that its advice helps."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator import settings
from orchestrator.adapters.store import grants, migrate
from orchestrator.adapters.store.session import Session
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.bootstrap import Application
from orchestrator.checks import installation
from orchestrator.checks.finding import Finding
from orchestrator.core.errors import StoreError
from tests.conftest import ROOT
from tests.empty_store import make_empty_store
from tests.store import odbc
from tests.store.conftest import SQLSERVER, TABLES, Database, SqlServerDatabase
from tests.store.odbc import PASSWORD, changed

only_sqlserver = pytest.mark.skipif(not SQLSERVER, reason="TEST_SQLSERVER is not set")

#: Nothing of this is reached before the store has been checked.
ELSEWHERE = {
    "DATABRICKS_HOST": "http://127.0.0.1:1",
    "DATABRICKS_TOKEN": "t",
    "AzureWebJobsStorage": (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:1/a"
    ),
    "TRIGGER_SCHEDULE": "0 * * * * *",
    "MONITOR_SCHEDULE": "0 * * * * *",
}


async def check(subject: str = "store", **store: str) -> Finding:
    """Run the check up to its finding about the store, or about something else."""
    app = Application(settings.load({**ELSEWHERE, **store}))
    try:
        async with aclosing(installation.run(app, seconds=120)) as findings:
            return await anext(finding async for finding in findings if finding.subject == subject)
    finally:
        await app.close()


def place(database: Database, folder: Path) -> dict[str, str]:
    """Return the settings that name a test's database."""
    if isinstance(database, SqlServerDatabase):
        return {"SQL_CONNECTION_STRING": SQLSERVER or ""}
    return {"STATE_DB": str(folder / "state.db")}


async def test_all_is_well(database: Database, tmp_path: Path) -> None:
    found = await check(**place(database, tmp_path))
    assert found.ok, found.text
    assert found.text.startswith("answers, schema ")
    assert found.text.endswith(" UTC")


async def test_whether_readers_wait_for_writers_is_said(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.rows

    def rows(session: Session, name: str, *parameters: Any) -> list[dict[str, Any]]:
        """Answer as a server does whose option is off, as it is by default outside Azure SQL."""
        found = real(session, name, *parameters)
        return [{"readers_wait": 1}] if name == "readers_wait" and found else found

    monkeypatch.setattr(Session, "rows", rows)
    found = await check(**place(database, tmp_path))
    assert found.ok, "it is slower, and no fault"
    assert "READ_COMMITTED_SNAPSHOT is off, so who reads waits for who writes" in found.text
    assert "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON" in found.text


async def test_rules_that_a_load_has_passed_by_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite keeps no record of it, so the answer is SQL Server's."""
    make_empty_store(tmp_path / "state.db")
    rules = ["ck_track_processing_attempt", "ck_track_processing_status"]
    monkeypatch.setattr(migrate, "unenforced_rules", lambda _session: rules)
    found = await check("rules of track_processing", STATE_DB=str(tmp_path / "state.db"))
    assert not found.ok
    assert found.text.endswith(
        "run: ALTER TABLE track_processing WITH CHECK CHECK CONSTRAINT ck_track_processing_attempt, "
        "ck_track_processing_status"
    )


async def test_tables_that_are_ledgers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has none, so the answer is SQL Server's."""
    make_empty_store(tmp_path / "state.db")
    real = Session.rows

    def rows(session: Session, name: str, *parameters: Any) -> list[dict[str, Any]]:
        kinds = [("track_processing", 3), ("process_log", 2), ("orchestrator_tick", 0)]
        answer = [{"name": table, "temporal_type": 0, "ledger_type": kind} for table, kind in kinds]
        return answer if name == "kinds_of_tables" else real(session, name, *parameters)

    monkeypatch.setattr(Session, "rows", rows)
    found = await check("kinds of tables", STATE_DB=str(tmp_path / "state.db"))
    assert not found.ok
    assert (
        "track_processing is an append-only ledger table, where SQL Server refuses each UPDATE" in found.text
    )
    assert "process_log is a ledger table" in found.text
    assert "orchestrator_tick" not in found.text


def test_a_database_that_knows_no_ledgers_has_none(database: Database) -> None:
    with closing(database.connector.connect().connection) as connection:
        assert migrate.ledger_tables(Session(connection, database.connector)) == []


@only_sqlserver
async def test_a_rule_that_is_switched_off_is_named(sqlserver: Database) -> None:
    migrate.apply(sqlserver.connector)
    try:
        sqlserver.execute("ALTER TABLE track_processing NOCHECK CONSTRAINT ck_track_processing_attempt")
    except sqlserver.connector.error:
        pytest.skip("this engine cannot switch a rule off")
    found = await check("rules of track_processing", SQL_CONNECTION_STRING=SQLSERVER or "")
    assert found.text.endswith("CHECK CONSTRAINT ck_track_processing_attempt")
    sqlserver.execute(found.text.partition("run: ")[2])
    with closing(sqlserver.connector.connect().connection) as connection:
        assert migrate.unenforced_rules(Session(connection, sqlserver.connector)) == []


def test_no_driver(tmp_path: Path) -> None:
    """Run the whole command: the ODBC driver manager reads its settings only once per process."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(tmp_path),
        "ODBCSYSINI": str(tmp_path),
        **ELSEWHERE,
    }
    with odbc.silent_port() as port:
        environ["SQL_CONNECTION_STRING"] = f"SERVER={odbc.HOST},{port};UID=u;PWD={PASSWORD}"
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "check"],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "store: " in line)
            process.kill()  # the other findings do not matter here
    assert line.startswith("FAIL  store: no ODBC driver for SQL Server is installed: install Microsoft's")


async def test_server_name_that_does_not_resolve() -> None:
    text = odbc.with_password(1433).replace(odbc.HOST, "no-such-server.invalid")
    found = await check(SQL_CONNECTION_STRING=text)
    assert not found.ok
    assert "the name no-such-server.invalid does not resolve: correct SERVER" in found.text


async def test_port_that_does_not_answer() -> None:
    with odbc.closed_port() as port:
        found = await check(SQL_CONNECTION_STRING=odbc.with_password(port))
    assert not found.ok
    assert f"nothing accepts a connection on port {port} of {odbc.HOST}: check SERVER" in found.text


async def test_port_of_something_else() -> None:
    async with odbc.hanging_up_port() as port:
        found = await check(SQL_CONNECTION_STRING=odbc.with_password(port))
    assert not found.ok
    assert "check S" in found.text
    assert PASSWORD not in found.text


async def test_tables_that_are_not_there(database: Database, tmp_path: Path) -> None:
    for table in TABLES:
        database.execute(f"DROP TABLE {table}")
    found = await check(**place(database, tmp_path))
    assert not found.ok
    assert "lacks 0001_initial, " in found.text
    assert "; run: python -m orchestrator init-db" in found.text


async def test_older_schema(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    today = migrate.available(database.connector.dialect)
    script = "ALTER TABLE track_processing ADD remark int;"
    newer = migrate.Migration(version=len(today) + 1, name="more", script=script)
    monkeypatch.setattr(migrate, "available", lambda _: [*today, newer])
    found = await check(**place(database, tmp_path))
    assert not found.ok
    assert f"the database lacks {newer.version:04}_more" in found.text
    assert found.text.endswith("; run: python -m orchestrator init-db")


async def test_newer_schema(database: Database, tmp_path: Path) -> None:
    database.execute("INSERT INTO orchestrator_schema (version, name) VALUES (9999, 'from the future')")
    found = await check(**place(database, tmp_path))
    assert not found.ok
    assert "the database has schema 9999" in found.text
    assert "deploy the newer app" in found.text


@only_sqlserver
async def test_sqlserver_refuses_the_login() -> None:
    found = await check(SQL_CONNECTION_STRING=changed(SQLSERVER or "", PWD=PASSWORD))
    assert not found.ok
    assert "the login was refused: check user and password" in found.text
    assert PASSWORD not in found.text


@dataclass(frozen=True, kw_only=True)
class User:
    """A login of the server with a user in the test's database."""

    name: str
    connection_string: str
    #: a connection of the database's owner
    owner: Any

    def follow(self, advice: str) -> None:
        """Run the statements that the advice names."""
        _, _, statements = advice.rpartition("run: ")
        for statement in statements.replace("[USER]", self.name).split("; "):
            self.owner.cursor().execute(statement)


@pytest.fixture
def user() -> Iterator[User]:
    """Create a user without any right on the tables, which exist."""
    direct = SQLSERVER or ""
    made = SqlServerDatabase(direct)
    migrate.apply(made.connector)
    owner: Any = SqlServerConnector(direct).connect().connection
    owner.autocommit = True
    name, password = f"u{uuid.uuid4().hex[:12]}", f"Aa1_{uuid.uuid4().hex}"
    cursor = owner.cursor()
    cursor.execute(f"CREATE LOGIN {name} WITH PASSWORD = '{password}'")
    cursor.execute(f"CREATE USER {name} FOR LOGIN {name}")
    yield User(name=name, connection_string=changed(direct, UID=name, PWD=password), owner=owner)
    for table in TABLES:  # and with them the rights on them
        cursor.execute(f"DROP TABLE {table}")
    cursor.execute(f"DROP USER {name}")
    cursor.execute(f"DROP LOGIN {name}")
    owner.close()
    made.close()


@only_sqlserver
async def test_sqlserver_user_who_may_only_read(user: User) -> None:
    for table in TABLES:
        user.owner.cursor().execute(f"GRANT SELECT ON {table} TO {user.name}")
    found = await check(SQL_CONNECTION_STRING=user.connection_string)
    assert not found.ok
    assert found.text == (
        "this login lacks rights; let an administrator run: "
        "GRANT DELETE, INSERT, UPDATE ON orchestrator_alert TO [USER]; "
        "GRANT DELETE, INSERT, UPDATE ON orchestrator_open_submission TO [USER]; "
        "GRANT DELETE, INSERT ON orchestrator_request TO [USER]; "
        "GRANT DELETE, INSERT, UPDATE ON orchestrator_silence TO [USER]; "
        "GRANT DELETE, INSERT, UPDATE ON orchestrator_stray_run TO [USER]; "
        "GRANT INSERT, UPDATE ON orchestrator_tick TO [USER]; GRANT INSERT ON process_log TO [USER]; "
        "GRANT INSERT, UPDATE ON track_processing TO [USER]"
    )
    user.follow(found.text)
    assert (await check(SQL_CONNECTION_STRING=user.connection_string)).ok


@only_sqlserver
async def test_sqlserver_user_without_any_right(user: User) -> None:
    found = await check(SQL_CONNECTION_STRING=user.connection_string)
    assert not found.ok
    assert "or, if that has been done, this login may not see the tables" in found.text
    user.follow(found.text)
    assert (await check(SQL_CONNECTION_STRING=user.connection_string)).ok


@only_sqlserver
async def test_sqlserver_user_without_rights_on_one_table(user: User) -> None:
    for table in set(TABLES) - {"process_log"}:
        user.owner.cursor().execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {user.name}")
    found = await check(SQL_CONNECTION_STRING=user.connection_string)
    assert "GRANT INSERT, SELECT ON process_log TO [USER]" in found.text


@only_sqlserver
async def test_sqlserver_user_is_granted_what_the_app_needs(user: User) -> None:
    owner = SqlServerConnector(SQLSERVER or "")
    statements = grants.apply(owner, user.name, None)
    assert f"GRANT INSERT, SELECT ON process_log TO [{user.name}]" in statements
    assert grants.apply(owner, user.name, None) == statements  # again it changes nothing
    assert (await check(SQL_CONNECTION_STRING=user.connection_string)).ok
    own = SqlServerConnector(user.connection_string)
    for refused in ("DELETE FROM process_log", "CREATE TABLE t (a int)", "DROP TABLE orchestrator_tick"):
        with closing(own.connect().connection) as connection, pytest.raises(own.error, match=r"denied|owner"):
            connection.cursor().execute(refused)


@only_sqlserver
def test_sqlserver_rights_are_granted_to_users_only(user: User) -> None:
    owner = SqlServerConnector(SQLSERVER or "")
    for name in ("public", "db_owner", "guest", "dbo", "sys"):
        for client_id in (None, uuid.UUID(int=1)):
            with pytest.raises(StoreError, match=f"{name} is not a user of one identity"):
                grants.apply(owner, name, client_id)


@only_sqlserver
def test_sqlserver_user_of_another_identity_is_not_taken_over(user: User) -> None:
    owner = SqlServerConnector(SQLSERVER or "")
    with pytest.raises(StoreError, match=f"a user {user.name} of another identity.* run DROP USER"):
        grants.apply(owner, user.name, uuid.uuid4())
    with pytest.raises(StoreError, match="the database has no user nobody: give --client-id"):
        grants.apply(owner, "nobody", None)
