"""No query that runs in every pass or for every entry reads a whole table, however long its history is.

SQLite shows plans by EXPLAIN QUERY PLAN, SQL Server by SHOWPLAN_TEXT, and Babelfish by its own SHOWPLAN in
PostgreSQL's words. The assertions are the same; how a plan is requested and read differs.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.operations import _as_seen, _values
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.models import ANYTHING, NewEntry
from tests.empty_store import make_empty_store
from tests.store.conftest import Database

#: Earliest and latest change, and the place to continue from.
_CHANGES = ("2026-01-01 00:00:00.000", "2026-01-02 00:00:00.000", "2026-01-02 00:00:00.000", 17)

#: Parameters of the queries that must not read a whole table, in the queries' order.
HOT: dict[str, tuple[object, ...]] = {
    "in_flight": ("default",),
    "claimable": ("[]", "default", 3, 1, "[]", "[]", "[]", 0, "https://a", 1, 10),
    "claim": (3, 900_000, "[17]"),
    "get_entry": (17,),
    "find_entry": (17,),
    "elsewhere": ("default", "https://a", "default", "https://a"),
    "note_address": ("https://a", "default"),
    "leave_address": ("https://a", 17, 1),
    "move_strays": ("https://a", "default", "https://a"),
    "move_open": ("https://a", "default", "https://a"),
    "move": ("https://a", "default", 17, "https://a", 200),
    "begin_submission": ("{}", "https://a", 900_000, 17, 1, "https://a", "https://a", 1),
    "give_way": (17, 1),
    "open_again": (77, 17),
    "open_submission": (77, 17),
    "keep_run": (77, 17, 1),
    "give_up": (17,),
    "close_submission": (17,),
    "close_uncalled": (17,),
    "close_ownerless": ("default", 77),
    "not_kept": (500,),
    "return_not_kept": (500,),
    "put_back": (
        "QUEUED",
        1,
        "default",
        "00000000-0000-4000-8000-000000000001",
        None,
        None,
        *("QUEUED",) * 3,
        "why",
        17,
        "DONE",
        1,
        1,
        None,
    ),
    "put_in_range": (100,),
    "replace_request": ("{}", 17, 1, 1, 0),
    "record_run": (77, 77, 17, 1, 2_147_483_647),
    "unclaim": (60_000, "full", 1, None, 17, 1, 1, 0),
    "refuse": ("DEAD", 0, "bad", 1, 17, 1, 1, 0),
    "leave_open": ("DEAD", 0, "bad", 1, 17, 1, 1, 0),
    "postpone": (0, "why", 1, 1, 1, 1, 17, 1),
    "note_doubts": ("{}", 17, 1),
    "finish": ("DONE", 0, None, 0, 0, 0, "DONE", 17, 1, 77, ""),
    "note_trouble": ("why", 1, 1, 0, 17, 1, 77),
    "note_queue": (1.5, 17, 1, 77),
    "note_stop": ("RESTART", 17, 1, 77),
    "note_cancel": (17, 1, 77),
    "note_state": ("PENDING", 1, 17, 1, 77),
    "revive": (77, 77, "why", 17, 1, 77, 0, 0),
    "insert_log": (17, 9, 1, "DONE", 77, *(None,) * 6, "2026-01-01 00:00:00", None, *(1.5,) * 3, None, None),
    "not_sent": (30_000, "why", 17, 1),
    "recover": (900_000, 2, 2, 960_000, 3_660_000, 960_000, 3_660_000, 500),
    "unanswered": (10, 500),
    "calls_accepted": ("default", -1, "https://a", -1, "default", -1, "https://a"),
    "cancel_waiting": (500,),
    "return_settled": (500,),
    "stands_still": (3,),
    "begin_wait": (500,),
    "renumber": (500,),
    "count_from_now": (500,),
    "end_unclaimable": ("why", 3, 3, 500),
    "running": ("default",),
    "running_run": ("default", 77),
    "note_stray": ("default", 77, 17, 6, "https://a"),
    "stray_runs": ("default",),
    "stray_goes_on": ("why", "default", 77),
    "forget_stray": ("default", 77),
    "run_taken": ("default", 77, "default", 77, 17, "https://a", 77, "default", "https://a"),
    "ended_runs": ("default", "[77, 78]", "https://a", "[77, 78]", "default", "https://a"),
    "alive": (
        *("default", "[77, 78]", "https://a", "[77, 78]", "default", "https://a"),
        *("default", "https://a", "[77, 78]"),
    ),
    "in_doubt": ("default", "2026-01-01 00:00:00.000"),
    "refused": ("default",),
    "last_accepted": ("default", "https://a", "default", "https://a"),
    "open_jobs": ("default",),
    "last_success": ("new 1", "default"),
    "open_workspaces": (),
    "note_unknown": ("why", '["default"]', 500),
    "request_cancel": (17, *_as_seen(ANYTHING)),
    "retry": (0, None, 17, *_as_seen(ANYTHING)),
    "retry_now": (0, None, 17, *_as_seen(ANYTHING)),
    "restart": (1, None, 17, *_as_seen(ANYTHING)),
    "resolve": ("DONE", "why", 17, "DONE", *_as_seen(ANYTHING)),
    "insert_entries": _values("b19a6c46-5a5e-4d0e-9a47-4f0f6b5a3a11", NewEntry(table_name="sales")),
    "logs_of_entry": (17, 2_147_483_647, 100),
    "logs_of_run": (17, 77, 100),
    "last_logged_run": (17, 0),
    "purge": (86_400, 500),
    "claim_dead": ("message", 86_400, 10_000),
    "dead_of_message": ("message", 20),
    "claim_pass_event": ("message", "late", "trigger", "2026-01-01 00:00:00.000"),
    "late_passes": (),
    "alert_sent": ("message",),
    "release_dead": ("message",),
    "release_late": ("message",),
    "release_recovered": ("message",),
    "keep_recovered_as_late": ("message",),
    "forget_dead": (172_800, 10_000),
    **{
        f"window_{index}_{order}": (*first, *_CHANGES, 20_000)
        for index, first in (("changed", ()), ("status", ("DEAD",)), ("table", ("old",)))
        for order in ("desc", "asc")
    },
    "window_id_desc": (9_000, 20_000),
    "window_id_asc": (17, 20_000),
    "window_run": (77, 77),
    "window_without_status": (),
    "open_states": (),
    "oldest_waiting": ("2026-01-01 00:00:00.000",),
    "flying_runs": ("2026-01-01 00:00:00.000", "2026-01-01 00:00:00.000"),
    "late_runs": ("2126-01-01 00:00:00.000",),
    "ended": ("2026-01-01 00:00:00.000", "2026-01-01 00:00:00.000"),
    "waiting": ("default", 50),
    "tables_of": ('["new 1"]', "[1, 2]"),
    "waiting_jobs": ("default",),
    "overdue": ("[]", "default", "2026-01-01 00:00:00.000", 3, 1, "[]", "[]", "[]"),
    "held_by_running": ("2026-01-01 00:00:00.000", "2026-01-01 00:00:00.000"),
    "held_waiting": ('["new 1"]', "default", "2026-01-01 00:00:00.000"),
    "last_end": ("old", 300, "default"),
    "without_status": (),
    "without_slot": (),
    "failed_by_platform": (),
    "long_queued": ("2026-01-01 00:00:00.000",),
    "uncalled": ("2026-01-01 00:00:00.000",),
    "uncalled_since": (1800,),
    "troubled_runs": ("2026-01-01 00:00:00.000",),
    "long_running": ("2026-01-01 00:00:00.000", 50),
    "successes": ("old", 300, "default", 30),
    "settled_before": ("2126-01-01 00:00:00.000", 20_000),
    "history_by_hour": ("2126-01-01 00:00:00.000",),
    "history_by_day": ("2126-01-01 00:00:00.000",),
    "tables": ("2126-01-01 00:00:00.000", 100),
    "answer_of_request": ("key", 86_400),
    "forget_requests": (86_400,),
    "remember_request": ("key", "hash", "[1]"),
}

#: Ranges of an index, and joins. PostgreSQL plans them by statistics, which a new table does not have.
RANGES = {
    *("settled_before", "history_by_hour", "history_by_day", "tables"),
    *("claim_dead", "dead_of_message", "alive", "late_runs"),
} | {name for name in HOT if name.startswith("window_") and name != "window_run"}

#: What they read to its end are tables that hold only what is open, or little; never one that grows.
OTHERS: dict[str, tuple[object, ...]] = {
    "changed_by_sql": (500,),
    "close_settled": (),
    "left_open": ("2026-01-01 00:00:00.000",),
    "open_from_now": (),
    "ownerless": (),
    "pass_idle": ("timer", "trigger", 1, 900, 86_400),
    "now": (),
    "ownerless_strays": (),
    "strays": (),
    "pass_started": ("timer", "trigger"),
    "pass_first": ("timer", "trigger"),
    "pass_failed": ("why", "trigger"),
    "pass_finished": ("ok", 0, "trigger"),
    "passes": (),
    "is_silent": ("default",),
    "silence_begins": ("default", "why"),
    "silence_goes_on": ("why", "default"),
    "silence_ends": ("default",),
    "silences": (2, "2026-01-01 00:00:00.000"),
}

#: These read no table of the app.
SYSTEM = {"acquire_lock", "probe_rights", "readers_wait", "unenforced", "kinds_of_tables"}

#: Not statements without a window before them; test_search_plans.py checks the whole.
PIECES = {"entries_of_window", "whole_entries_of_window", "keys_of_window", "window_ids"}

#: Indexes with only the entries that wait or are in flight: reading one from end to end is fine.
SMALL_INDEXES = {
    "ix_track_processing_waiting",
    "ix_track_processing_in_flight",
    "ix_track_processing_lease",
    "ix_track_processing_cancel",
    "ix_track_processing_open",
    "ux_track_processing_run",
    "ix_track_processing_slot_waits",
    "ix_track_processing_platform_failures",
}

#: 2 to the power of this many entries are DONE.
DOUBLINGS = 14

_SQLITE_SCAN = re.compile(r"^SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?$")
#: Lines for subqueries: the plan also lists what the subqueries read.
_SQLITE_NO_TABLE = {
    *("ranked", "latest", "event", "reached", "parts", "first_of_table", "counted", "recent"),
    "known",
}

_SQLSERVER_SCAN = re.compile(
    r"(?:Table|Index) Scan\(OBJECT:\(\[\w+\]\.\[\w+\]\.\[(?P<table>\w+)\](?:\.\[(?P<index>\w+)\])?"
)

#: An index that no condition narrows down is read from end to end; a condition is in the next line.
_POSTGRES_SCAN = re.compile(
    r"Seq Scan on (?P<table>\w+)"
    r"|(?:Index Scan|Index Only Scan) using (?P<index>\w+) on \w+[^\n]*\n(?!\s*Index Cond:)"
    r"|Bitmap Index Scan on (?P<bitmap>\w+)[^\n]*\n(?!\s*Index Cond:)"
)


def read_by_sqlite(plan: Sequence[str]) -> set[str]:
    """Return the tables and indexes that a plan of SQLite reads from end to end."""
    scans = [match for line in plan if (match := _SQLITE_SCAN.match(line))]
    return {scan["index"] or scan["table"] for scan in scans} - _SQLITE_NO_TABLE


def read_by_sqlserver(plan: Sequence[str]) -> set[str]:
    """Return the same for SHOWPLAN_TEXT."""
    return {scan["index"] or scan["table"] for line in plan for scan in _SQLSERVER_SCAN.finditer(line)}


def read_by_postgres(plan: Sequence[str]) -> set[str]:
    """Return the same for a plan of PostgreSQL.

    Babelfish keeps 30 letters of the name of an index, and puts 32 of its own behind them.
    """
    found = {
        scan["index"] or scan["bitmap"] or scan["table"]
        for scan in _POSTGRES_SCAN.finditer("\n".join(plan) + "\n")
    }
    small = {name[:30]: name for name in SMALL_INDEXES}
    return {next((name for kept, name in small.items() if read.startswith(kept)), read) for read in found}


def is_babelfish(database: Database) -> bool:
    """Say whether the server is Babelfish."""
    if database.connector.dialect == "sqlite":
        return False
    return "Babelfish" in str(database.execute("SELECT @@VERSION")[0][0])


def whole_reads(database: Database, name: str, parameters: Sequence[object]) -> set[str]:
    """Return what a query reads from end to end on the database's engine."""
    return whole_reads_of(database, queries.load(database.connector.dialect)[name].sql, parameters)


def whole_reads_of(database: Database, sql: str, parameters: Sequence[object]) -> set[str]:
    """Return the same for a statement."""
    if database.connector.dialect == "sqlite":
        plan = [str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", *parameters)]
        return read_by_sqlite(plan)
    if is_babelfish(database):
        return read_by_postgres(show_plan(database, "SET BABELFISH_SHOWPLAN_ALL ON", sql, parameters))
    return read_by_sqlserver(show_plan(database, "SET SHOWPLAN_TEXT ON", with_variables(sql, parameters)))


def with_variables(sql: str, parameters: Sequence[object]) -> str:
    """Return a batch that declares the parameters: SQL Server shows no plan for a driver's parameters."""
    declared = "".join(
        f"DECLARE @p{number} {_TYPES[type(value)]} = {_literal(value)};\n"
        for number, value in enumerate(parameters)
    )
    numbers = iter(range(len(parameters)))
    return declared + re.sub(r"\?", lambda _: f"@p{next(numbers)}", sql)


_TYPES = {int: "int", float: "float", str: "nvarchar(4000)", type(None): "nvarchar(4000)"}


def _literal(value: object) -> str:
    return "NULL" if value is None else f"N'{value}'" if isinstance(value, str) else str(value)


def show_plan(database: Database, setting: str, batch: str, parameters: Sequence[object] = ()) -> list[str]:
    """Return the lines that a server sends instead of running a batch: its text, then the plan."""
    connection = database.connector.connect().connection
    try:
        cursor = connection.cursor()
        cursor.execute(setting)
        cursor.execute(batch, parameters)
        lines: list[str] = []
        while True:
            if cursor.description:
                lines += [str(row[0]) for row in cursor.fetchall()]
            if not cursor.nextset():
                assert len(lines) > 1, "the engine showed no plan"
                return lines
    finally:
        connection.close()


def fill(database: Database) -> None:
    """Insert thousands of DONE entries, each with its log, and a few that wait or are in flight."""
    database.execute(
        "INSERT INTO track_processing (table_name, status, submission, runid, finished_at)"
        " VALUES ('old', 'DONE', 1, 1, '2026-01-01 00:00:00')"
    )
    for _ in range(DOUBLINGS):
        database.execute(
            "INSERT INTO track_processing (table_name, status, submission, runid, finished_at)"
            " SELECT table_name, status, submission, runid, finished_at FROM track_processing"
        )
    database.execute(
        "INSERT INTO process_log (entry_id, submission, attempt, status)"
        " SELECT id, 1, 1, status FROM track_processing"
    )
    for number in range(10):
        database.execute("INSERT INTO track_processing (table_name) VALUES (?)", f"new {number}")
        database.execute(
            "INSERT INTO track_processing (table_name, status, submission, runid)"
            " VALUES (?, 'RUNNING', 1, ?)",
            f"running {number}",
            number,
        )


def test_no_hot_query_reads_a_whole_table(database: Database) -> None:
    fill(database)
    looked_at = HOT.keys() - (RANGES if is_babelfish(database) else set())
    reads = {name: whole_reads(database, name, HOT[name]) for name in looked_at}
    assert {name: read - SMALL_INDEXES for name, read in reads.items() if read - SMALL_INDEXES} == {}
    # The check does find a scan where there is one.
    counts = "SELECT workspace, status, COUNT(*) FROM track_processing GROUP BY workspace, status"
    assert "track_processing" in {read.replace("pk_", "") for read in whole_reads_of(database, counts, ())}


def test_no_other_query_reads_a_table_that_grows(database: Database) -> None:
    """Whatever has been, the tables of what is open are small."""
    fill(database)
    if is_babelfish(database):
        pytest.skip("it reads a table to its end by statistics")
    growing = re.compile(
        "track_processing|process_log|orchestrator_alert|entry|owner|dead|reported|late|other"
    )
    reads = {name: whole_reads(database, name, OTHERS[name]) - SMALL_INDEXES for name in OTHERS}
    assert {name: read for name, read in reads.items() if any(map(growing.search, read))} == {}


@pytest.mark.parametrize("name", ["elsewhere", "begin_submission"])
def test_what_is_open_elsewhere_is_not_looked_for_among_all_that_wait(tmp_path: Path, name: str) -> None:
    with closing(SqliteConnector(make_empty_store(tmp_path / "state.db")).connect().connection) as connection:
        cursor = connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {queries.load('sqlite')[name].sql}", HOT[name])
        plan = " ".join(str(row[3]) for row in cursor.fetchall())
    assert "ix_track_processing_address" in plan
    assert "ix_track_processing_open" not in plan
    assert "ix_track_processing_waiting" not in plan


def test_every_query_is_checked() -> None:
    assert HOT.keys() | OTHERS.keys() | SYSTEM | PIECES == queries.load("sqlite").keys()


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("  |--Table Scan(OBJECT:([db].[dbo].[process_log] AS [settled]))", {"process_log"}),
        (
            "  |--Clustered Index Scan(OBJECT:([db].[dbo].[track_processing].[pk_track_processing]),"
            " WHERE:([db].[dbo].[track_processing].[runid]=[@p0]))",
            {"pk_track_processing"},
        ),
        (
            "  |--Index Scan(OBJECT:([db].[dbo].[track_processing].[ix_track_processing_lease] AS [late]))",
            {"ix_track_processing_lease"},
        ),
        (
            "  |--Clustered Index Seek(OBJECT:([db].[dbo].[track_processing].[pk_track_processing]),"
            " SEEK:([db].[dbo].[track_processing].[id]=[@p0]) ORDERED FORWARD)",
            set(),
        ),
        ("  |--Clustered Index Update(OBJECT:([db].[dbo].[track_processing].[pk_track_processing]))", set()),
    ],
)
def test_reading_a_plan_of_sql_server(line: str, read: set[str]) -> None:
    """Read the format that Microsoft documents for SHOWPLAN_TEXT."""
    assert read_by_sqlserver([line]) == read
