"""NULL where a team's own column allows it: the entry is put right, and stops no other one."""

from collections.abc import Iterator

import pytest

from orchestrator.adapters.store import adopt, migrate
from orchestrator.adapters.store.adopt import Adoption
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.reports import Reports
from orchestrator.core.models import Run
from orchestrator.core.search import EntryFilter, Sort
from orchestrator.core.states import Status
from tests.store.conftest import Database
from tests.store.test_bad_rows import App

#: Columns of the first schema that a team may have had, without NOT NULL → their type.
_COLUMNS = {
    "entry_guid": "uniqueidentifier",
    "parameter_style": "varchar(32)",
    "priority": "int",
    "submission": "int",
    "attempt": "int",
    "available_at": "datetime2(7)",
    "deliveries": "int",
    "cancel_requested": "bit",
    "created_at": "datetime2(7)",
    "updated_at": "datetime",
}

#: Columns that the app adds by itself: NULL only in a copy of the table that somebody has made.
_ADDED = ("in_doubt", "postponements", "resends", "slot_waits", "platform_failures")


def _allow_nulls(database: Database) -> None:
    """Make a table whose columns allow NULL, as an adoption and a bulk load can leave it."""
    if database.connector.dialect == "sqlite":
        database.execute("PRAGMA writable_schema = ON")
        for column in (*_COLUMNS, *_ADDED):
            for kind in ("TEXT", "INTEGER"):
                database.execute(
                    "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'track_processing'",
                    f"{column} {kind} NOT NULL",
                    f"{column} {kind}",
                )
        database.execute("PRAGMA writable_schema = RESET")
        return
    for table in ("process_log", "track_processing", "orchestrator_tick", "orchestrator_schema"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    for table in ("alert", "silence", "stray_run", "open_submission", "request"):
        database.execute(f"DROP TABLE IF EXISTS orchestrator_{table}")
    columns = ", ".join(f"{name} {kind} NULL" for name, kind in _COLUMNS.items())
    database.execute(
        "CREATE TABLE track_processing (id bigint IDENTITY(1, 1) PRIMARY KEY,"
        f" table_name nvarchar(100) NOT NULL, status varchar(20) NULL, {columns})"
    )
    adopt.apply(database.connector, Adoption())
    migrate.apply(database.connector)
    for name in _COLUMNS:
        database.execute(
            f"ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS ck_track_processing_{name}_given"
        )


@pytest.fixture
def nullable(database: Database) -> Database:
    _allow_nulls(database)
    return database


@pytest.fixture
def app(nullable: Database, store: Store) -> Iterator[App]:
    connection = nullable.connector.connect().connection
    app = App(store, connection)
    if nullable.connector.dialect == "sqlite":
        app.execute("PRAGMA ignore_check_constraints = ON")  # as a bulk load does elsewhere
    yield app
    connection.close()


@pytest.fixture
def columns(nullable: Database) -> tuple[str, ...]:
    return (*_COLUMNS, *(_ADDED if nullable.connector.dialect == "sqlite" else ()))


async def test_a_waiting_entry_is_put_right_and_stops_no_other(columns: tuple[str, ...], app: App) -> None:
    app.insert("first", {})
    for column in columns:
        app.insert(f"of_{column}", {column: None})
    app.insert("last", {})
    for _ in range(2):  # a pass puts right beside its claim, so the next one may be the first to claim it
        await app.run()
    assert app.ends() == [("DONE", None, 1)] * (len(columns) + 2)


async def test_a_claim_stops_at_none_of_them(columns: tuple[str, ...], app: App) -> None:
    """Nobody has put them right yet: they were inserted since."""
    app.insert("first", {})
    for column in columns:
        app.insert(f"of_{column}", {column: None})
    store = app.usecases.store
    claims = await store.claim(
        "default", cap=100, active=[], jobs={}, lease_seconds=900, max_attempts=3, serialize_tables=True
    )
    assert 1 in [claim.entry_id for claim in claims]


@pytest.mark.parametrize("status", ["FAILED", "QUEUED", "RUNNING", "DONE", "DEAD"])
async def test_entries_in_any_state_are_shown_and_stop_no_other(
    columns: tuple[str, ...], app: App, status: str
) -> None:
    for number, column in enumerate(columns):
        run = 5000 + number if status == "RUNNING" else None
        if run:
            app.runs.runs[run] = Run(run_id=run, life_cycle_state="RUNNING")
        row = {"submission": 1, "attempt": 1, "status": status, "runid": run, "finished_at": "2026-01-01"}
        app.insert(f"of_{column}", {**row, column: None})
    app.insert("last", {})
    shown = await Reports(app.usecases.store.pool).entries(EntryFilter(), sort=Sort.OLDEST, limit=100)
    assert [entry.table_name for entry in shown.entries] == [*(f"of_{each}" for each in columns), "last"]
    assert await app.usecases.trigger() == []
    await app.run()
    assert app.ends()[-1] == ("DONE", None, 1)
    if status in {"FAILED", "RUNNING"}:
        assert {end[0] for end in app.ends()} == {"DONE"}
    begun_anew = len(columns) if status in {"FAILED", "QUEUED"} else 0
    assert len(app.runs.requests) == 1 + begun_anew


async def test_the_priority_of_none_is_that_of_zero(app: App) -> None:
    app.insert("low", {"priority": -1})
    app.insert("none", {"priority": None})
    app.insert("high", {"priority": 1})
    assert await app.usecases.trigger() == []
    assert [claim.entry_id for claim in app.queue.sent] == [3, 2, 1]


async def test_health_and_reports_read_them(columns: tuple[str, ...], app: App) -> None:
    for column in columns:
        app.insert(f"of_{column}", {column: None})
    reports = Reports(app.usecases.store.pool)
    [report] = await reports.status()
    assert report.open == {Status.PENDING: len(columns)}
    assert (await reports.open_workspaces())[0].waiting == len(columns)
    assert len((await reports.candidates("default", 100)).candidates) == len(columns)
