"""Every statement, snippet and figure of docs/migrating.md does what the page says."""

import datetime
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.core.new_entry import new_entry
from orchestrator.core.states import Status
from tests.cli.support import CommandLine
from tests.conftest import ROOT
from tests.empty_store import make_empty_store
from tests.store.conftest import Database
from tests.store.helpers import add, claim, entry_of, finish, running
from tests.store.sql_pages import check_statements, statements

PAGE = ROOT / "docs" / "migrating.md"
TEXT = PAGE.read_text(encoding="utf-8")
STATEMENTS = statements(PAGE)

#: A fenced block of another language than SQL.
OTHER = re.compile(r"^```(json|python|tsql|cron|csv)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What each of the four ways inserts.
NIGHTLY = (
    "INSERT INTO track_processing (table_name) SELECT table_name FROM nightly_tables WHERE is_enabled = 1"
)


def snippets(language: str) -> list[str]:
    return [text for found, text in OTHER.findall(TEXT) if found == language]


def run(database: Database, name: str) -> list[tuple[Any, ...]]:
    """Run a statement of the page unchanged; several, where the page has them together."""
    dialect = database.connector.dialect
    statement = STATEMENTS[name, dialect]
    if dialect == "sqlite" and "COMMIT;" in statement:
        connection: Any = database.connector.connect().connection
        connection.executescript(statement)
        connection.close()
        return []
    return database.execute(statement)


@pytest.fixture
def nightly(database: Database) -> Iterator[Database]:
    """A database with the table that says what runs each night."""
    database.execute("DROP TABLE IF EXISTS nightly_tables")
    database.execute("CREATE TABLE nightly_tables (table_name varchar(50), is_enabled int)")
    database.execute("INSERT INTO nightly_tables VALUES ('sales', 1), ('orders', 1), ('old', 0)")
    yield database
    database.execute("DROP TABLE nightly_tables")


@pytest.fixture
def team(database: Database) -> Iterator[Database]:
    """A database with a team's table beside the app's."""
    database.execute("DROP TABLE IF EXISTS team_processing")
    key = "integer PRIMARY KEY" if database.connector.dialect == "sqlite" else "int IDENTITY PRIMARY KEY"
    database.execute(
        f"CREATE TABLE team_processing (TRACK_ID {key}, SOURCE_TABLE varchar(128), STATUS varchar(20),"
        " PAYLOAD varchar(4000))"
    )
    yield database
    database.execute("DROP TABLE team_processing")


def insert(database: Database, table: str, status: str = "NEW", payload: str | None = None) -> None:
    database.execute(
        "INSERT INTO team_processing (SOURCE_TABLE, STATUS, PAYLOAD) VALUES (?, ?, ?)", table, status, payload
    )


def team_rows(database: Database) -> list[tuple[Any, ...]]:
    return database.execute("SELECT SOURCE_TABLE, STATUS FROM team_processing ORDER BY SOURCE_TABLE, STATUS")


def tables(database: Database) -> list[str]:
    return [row[0] for row in database.execute("SELECT table_name FROM track_processing ORDER BY id")]


def test_every_statement_has_a_name_a_test_and_both_dialects() -> None:
    names = check_statements(PAGE)
    names -= {"rename", "back-copy"}  # in tests/store/adopt/test_going_back.py
    assert [name for name in names if f"test_{name.replace('-', '_')}" not in globals()] == []


async def test_hand_over(store: Store, team: Database) -> None:
    insert(team, "crm/leads", payload='{"table_name": "crm/leads", "day": "2026-01-31"}')
    insert(team, "crm/accounts")
    insert(team, "crm/people")
    insert(team, "crm/people", "RUNNING")
    insert(team, "crm/old", "DONE")
    insert(team, "erp/orders")
    run(team, "hand-over")
    assert team_rows(team) == [
        ("crm/accounts", "IN THE APP"),
        ("crm/leads", "IN THE APP"),
        ("crm/old", "DONE"),
        ("crm/people", "NEW"),
        ("crm/people", "RUNNING"),
        ("erp/orders", "NEW"),
    ]
    first, _ = await claim(store)
    entry = await entry_of(store, first.entry_id)
    assert (entry.table_name, json.loads(entry.parameters or "")["day"]) == ("crm/leads", "2026-01-31")
    run(team, "hand-over")
    assert tables(team) == ["crm/leads", "crm/accounts"]  # in the order of their insert
    team.execute("UPDATE team_processing SET STATUS = 'DONE' WHERE STATUS = 'RUNNING'")
    run(team, "hand-over")
    assert tables(team) == ["crm/leads", "crm/accounts", "crm/people"]


async def test_who_has_what(store: Store, team: Database) -> None:
    insert(team, "erp/orders")
    await running(store, 77, "crm/leads")
    assert run(team, "who-has-what") == [("app", "RUNNING", 1), ("team", "NEW", 1)]


async def cancelled_in_the_app(store: Store, team: Database) -> None:
    """Leave a run and two waiting entries in the app, and cancel as the page says."""
    await running(store, 78, "crm/busy")
    failed = await running(store, 77, "crm/people")
    await finish(store, failed, Status.FAILED, delay_seconds=600)
    await add(store, "crm/leads", parameters='{"day": 1}')
    await add(store, "erp/orders")
    run(team, "back-cancel")
    assert await store.cancel_waiting(10) == 2


async def test_back_cancel(store: Store, team: Database) -> None:
    await cancelled_in_the_app(store, team)
    rows = team.execute("SELECT table_name, status FROM track_processing ORDER BY table_name")
    assert rows == [
        ("crm/busy", "RUNNING"),
        ("crm/leads", "CANCELED"),
        ("crm/people", "CANCELED"),
        ("erp/orders", "PENDING"),
    ]


async def test_back_give(store: Store, team: Database) -> None:
    await cancelled_in_the_app(store, team)
    team.execute("UPDATE track_processing SET finished_at = '2026-02-01 20:05:00' WHERE status = 'CANCELED'")
    team.execute(
        "INSERT INTO track_processing (table_name, status, cancel_requested, finished_at)"
        " VALUES ('crm/earlier', 'CANCELED', 1, '2026-01-31 12:00:00')"
    )
    run(team, "back-give")
    assert team_rows(team) == [("crm/leads", "NEW"), ("crm/people", "NEW")]


def test_nightly(nightly: Database) -> None:
    run(nightly, "nightly")
    run(nightly, "nightly")
    assert sorted(tables(nightly)) == ["orders", "sales"]
    nightly.execute("UPDATE track_processing SET status = 'DONE' WHERE table_name = 'sales'")
    run(nightly, "nightly")
    assert sorted(tables(nightly)) == ["orders", "sales", "sales"]


def strings(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for value in document.values():
            yield from strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from strings(value)
    elif isinstance(document, str):
        yield document


def test_three_ways_insert_by_the_same_statement(nightly: Database) -> None:
    workflow, pipeline = (json.loads(text) for text in snippets("json"))
    assert NIGHTLY in strings(workflow)
    assert NIGHTLY in strings(pipeline)
    elastic, agent = snippets("tsql")
    assert f"N'{NIGHTLY}'" in elastic
    assert f"N'SET QUOTED_IDENTIFIER ON; {NIGHTLY}'" in agent
    nightly.execute(NIGHTLY)
    assert sorted(tables(nightly)) == ["orders", "sales"]


def test_the_python_task_calls_the_api() -> None:
    received: list[tuple[str, dict[str, str | None], Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name: self.headers[name] for name in ("Idempotency-Key", "x-functions-key")}
            received.append((self.path, headers, body))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b'{"ids": ["1", "2"]}')

        def log_message(self, *_: Any) -> None:
            pass

    [source] = snippets("python")
    found: dict[str, Any] = {}
    exec(source, found)  # noqa: S102
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        api = f"http://127.0.0.1:{server.server_port}/api"
        ids = found["insert_nightly"](api, "k", ["sales", "orders"], datetime.date(2026, 2, 1))
        thread.join()
    assert ids == ["1", "2"]
    [(path, headers, body)] = received
    assert (path, headers) == (
        "/api/entries",
        {"Idempotency-Key": "nightly-2026-02-01", "x-functions-key": "k"},
    )
    assert [new_entry(entry, None).table_name for entry in body["entries"]] == ["sales", "orders"]


def test_cron_adds_the_file(tmp_path: Any) -> None:
    [line], [rows] = snippets("cron"), snippets("csv")
    make_empty_store(tmp_path / "state.db")
    (tmp_path / "nightly.csv").write_text(rows)
    command = line.rpartition("-m orchestrator ")[2].split()
    cli = CommandLine(folder=tmp_path, environment={"STATE_DB": "state.db"})
    assert cli(*command).returncode == 0
    assert cli.query("SELECT table_name, priority, parameters FROM track_processing ORDER BY id") == [
        ("sales", 10, '{"table_name": "sales", "full": false}'),
        ("orders", 0, None),
    ]


def test_the_arithmetic_is_right() -> None:
    number = r"\$?[\d.,]*\d"
    signs = {"\N{MULTIPLICATION SIGN}": "*", "\N{DIVISION SIGN}": "/", "\N{MINUS SIGN}": "-", "+": "+"}
    sums = re.findall(rf"({number}(?: [{''.join(signs)}] {number})+) = ({number})", TEXT)
    assert len(sums) > 8
    for terms, result in sums:
        python = terms.translate(str.maketrans({**signs, "$": "", ",": ""}))
        shown = result.replace("$", "").replace(",", "")
        digits = len(shown.partition(".")[2])
        assert f"{eval(python):.{digits}f}" == shown, terms  # noqa: S307


def foreign_schema(database: Database, name: str) -> None:
    """Make a schema of another framework, anew."""
    if database.connector.dialect == "sqlite":
        database.execute(f"ATTACH DATABASE ':memory:' AS {name}")
    elif not database.execute("SELECT 1 FROM sys.schemas WHERE name = ?", name):
        database.execute(f"CREATE SCHEMA {name}")


def make(database: Database, table: str, columns: str, *rows: tuple[Any, ...]) -> None:
    """Make a table of another framework with rows."""
    database.execute(f"DROP TABLE IF EXISTS {table}")
    database.execute(f"CREATE TABLE {table} ({columns})")
    for row in rows:
        database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", *row)


async def entries(store: Store) -> list[tuple[Any, ...]]:
    """Return what the app reads of the waiting entries, in the order of the claim."""
    found = [await entry_of(store, claimed.entry_id) for claimed in await claim(store)]
    return [
        (each.table_name, each.job_name, json.loads(each.parameters or ""), each.priority, each.max_attempts)
        for each in found
    ]


async def test_procfwk(store: Store, database: Database) -> None:
    foreign_schema(database, "procfwk")
    make(
        database,
        "procfwk.Stages",
        "StageId int, StageName varchar(225), Enabled int",
        (1, "a", 1),
        (2, "b", 1),
        (3, "c", 0),
    )
    make(
        database,
        "procfwk.Pipelines",
        "PipelineId int, StageId int, PipelineName nvarchar(200), Enabled int",
        (1, 2, "Merge", 1),
        (2, 1, "Load", 1),
        (3, 1, "Off", 0),
        (4, 3, "Stage off", 1),
    )
    make(
        database,
        "procfwk.PipelineParameters",
        "ParameterId int, PipelineId int, ParameterName varchar(128), ParameterValue nvarchar(4000)",
        (1, 2, "table_name", 'a "b"\n'),
        (2, 2, "empty", None),
    )
    run(database, "procfwk")
    assert await entries(store) == [
        ("Load", "Load", {"table_name": 'a "b"\n', "empty": ""}, -1, None),
        ("Merge", "Merge", {}, -2, None),
    ]


async def test_cumulus(store: Store, database: Database) -> None:
    foreign_schema(database, "transform")
    make(
        database,
        "transform.Notebooks",
        "NotebookId int, NotebookPath nvarchar(500), Enabled int",
        (1, "/Shared/dim", 1),
        (2, "/Shared/off", 0),
    )
    make(
        database,
        "transform.Datasets",
        "DatasetId int, BusinessLogicNotebookFK int, SchemaName nvarchar(100), DatasetName nvarchar(100),"
        " LoadType char(1), Enabled int",
        (1, 1, "dim", "Date", "F", 1),
        (2, 1, "dim", "Off", "F", 0),
        (3, 2, "dim", "Notebook off", "F", 1),
    )
    run(database, "cumulus")
    expected = {"schema": "dim", "dataset": "Date", "load_type": "F", "notebook": "/Shared/dim"}
    assert await entries(store) == [("dim.Date", "transform", expected, 0, None)]


async def test_ads_go_fast(store: Store, database: Database) -> None:
    make(
        database,
        "TaskGroup",
        "TaskGroupId int, TaskGroupName nvarchar(200), TaskGroupPriority int, MaximumTaskRetries int,"
        " ActiveYN int",
        (1, "Late", 9, 0, 1),
        (2, "Early", 1, 3, 1),
        (3, "Off", 1, 3, 0),
    )
    make(
        database,
        "TaskMaster",
        "TaskMasterId int, TaskMasterName nvarchar(200), TaskGroupId int, ScheduleMasterId int,"
        " TaskMasterJSON nvarchar(4000), ActiveYN int",
        (1, "Last", 1, 2, None, 1),
        (2, "First", 2, 2, '{"Source": {"Type": "Table"}}', 1),
        (3, "Other time", 2, 3, "{}", 1),
        (4, "Off", 2, 2, "{}", 0),
        (5, "Group off", 3, 2, "{}", 1),
    )
    run(database, "ads-go-fast")
    task = {"table_name": "First", "task_master_id": 2, "task": '{"Source": {"Type": "Table"}}'}
    assert await entries(store) == [
        ("First", "Early", task, -1, 4),
        ("Last", "Late", {"table_name": "Last", "task_master_id": 1}, -9, 1),
    ]
    database.execute("DROP TABLE TaskMaster")
    database.execute("DROP TABLE TaskGroup")


async def test_metadata_driven_copy(store: Store, database: Database) -> None:
    full = '{"dataLoadingBehavior": "FullLoad"}'
    delta = '{"dataLoadingBehavior": "DeltaLoad", "watermarkColumnName": "changed"}'
    two = '["Sandbox", "Manual", "At two"]'
    make(
        database,
        "MainControlTable",
        "Id int, SourceObjectSettings nvarchar(4000), TriggerName nvarchar(4000),"
        " DataLoadingBehaviorSettings nvarchar(4000), TaskId int, CopyEnabled int",
        (1, '{"schema": "dbo", "table": "sales"}', two, full, 0, 1),
        (2, '{"schema": "dbo", "table": "orders"}', two, delta, 5, 1),
        (3, '{"schema": "dbo", "table": "off"}', two, full, 0, 0),
        (4, '{"schema": "dbo", "table": "noon"}', '["At noon"]', full, 0, 1),
    )
    run(database, "metadata-driven-copy")
    orders = {"schema": "dbo", "table": "orders", "behavior": "DeltaLoad", "watermark": "changed"}
    sales = {"schema": "dbo", "table": "sales", "behavior": "FullLoad"}
    assert await entries(store) == [
        ("dbo.orders", "ingest", orders, 5, None),
        ("dbo.sales", "ingest", sales, 0, None),
    ]
    database.execute("DROP TABLE MainControlTable")


async def test_next_stage(store: Store, database: Database) -> None:
    done = await running(store, 77, "stage1/a")
    await finish(store, done, Status.DONE)
    await running(store, 78, "stage1/b")
    await running(store, 79, "stage2/a")
    assert run(database, "next-stage") == [(1,)]
