"""The adopted table has the app's schema and still everything of the team's."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.adapters.store import adopt, migrate
from orchestrator.adapters.store.adopt import Adoption, Report
from tests.store.adopt.legacy import LEGACY, TEAM, Legacy, contents, shape
from tests.store.conftest import TABLES, Database

#: Our columns, except those that mirror a column of the team's and those that the team had.
COMPARED = (
    "entry_guid", "workspace", "job_id", "parameter_style", "priority", "submission", "attempt",
    "max_attempts", "available_at", "lease_expires_at", "deliveries", "cancel_requested", "last_error",
    "created_at", "updated_at", "submitted_at", "finished_at", "runid", "job_name", "options", "retry_mode",
    "run_timeout_seconds", "queue_timeout_seconds", "last_runid", "request", "claimed_at", "postponements",
    "slot_waits", "platform_failures", "queue_seconds", "stop_reason", "missing_since", "unreadable_since",
    "cancel_asked_at", "cancel_repeated_at", "run_state", "run_state_since", "doubts",
    "workspace_address", "address_submission", "resends", "vanished_at", "in_doubt",
)  # fmt: skip


def test_our_columns_are_those_of_a_new_table(empty: Database) -> None:
    migrate.apply(empty.connector)
    fresh = shape(empty)
    for table in TABLES:
        empty.execute(f"DROP TABLE {table}")
    for statement in LEGACY[empty.connector.dialect]:
        empty.execute(statement)
    adopt.apply(empty.connector, TEAM)
    migrate.apply(empty.connector)
    adopted = shape(empty)
    assert set(fresh) <= set(adopted)
    assert {name: adopted[name] for name in COMPARED} == {name: fresh[name] for name in COMPARED}
    assert "PENDING" in adopted["status"][-1]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "'SOMETHING'"),
        ("status", "'pending'"),
        ("status", "NULL"),
        ("status", "'RUNNING'"),
        ("attempt", "-1"),
        ("workspace", "'default '"),
        ("priority", "NULL"),
    ],
)
def test_adopted_table_refuses_nonsense(legacy: Legacy, column: str, value: str) -> None:
    legacy.adopt()
    with pytest.raises(legacy.database.connector.error):
        legacy.execute(f"INSERT INTO track_processing (SOURCE_TABLE, {column}) VALUES ('sales', {value})")


def test_what_the_team_made_is_still_there(legacy: Legacy) -> None:
    if legacy.database.connector.dialect == "sqlite":
        legacy.execute("INSERT INTO team_notes VALUES (1, 'before')")
    legacy.adopt()
    with pytest.raises(legacy.database.connector.error):
        legacy.execute("INSERT INTO track_processing (SOURCE_TABLE) VALUES (NULL)")
    # The rest could get lost only on SQLite, which builds a new table under the old name.
    if legacy.database.connector.dialect == "sqlserver":
        return
    [(number,)] = legacy.execute(
        "INSERT INTO track_processing (SOURCE_TABLE) VALUES ('X') RETURNING TRACK_ID"
    )
    assert legacy.execute("SELECT COUNT(*) FROM audit WHERE what = 'X'") == [(1,)]
    assert legacy.execute("SELECT STATUS FROM team_view WHERE SOURCE_TABLE = 'x'") == [("PENDING",)], "NOCASE"
    legacy.execute("INSERT INTO team_notes VALUES (?, 'after')", number)
    assert legacy.execute("SELECT note FROM team_notes ORDER BY track_id") == [("before",), ("after",)]
    for statement in (
        "INSERT INTO team_notes VALUES (99999, 'nobody')",
        "INSERT INTO track_processing (SOURCE_TABLE, [odd, (name)]) VALUES ('y', -1)",
    ):
        with pytest.raises(legacy.database.connector.error):
            legacy.execute(statement)
    plan = legacy.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM track_processing WHERE STATUS = 'X' AND LOAD_DATE = 1"
    )
    assert "IX_TEAM_STATUS" in str(plan)
    assert legacy.execute("PRAGMA foreign_key_check") == []


def test_team_s_index_stays_sqlserver(legacy: Legacy) -> None:
    """Babelfish changes the name of an index in sys.indexes, so its columns identify it."""
    if legacy.database.connector.dialect == "sqlite":
        return
    legacy.adopt()
    assert legacy.execute(
        "SELECT COUNT(*) FROM sys.index_columns AS k"
        " JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id"
        " WHERE k.object_id = OBJECT_ID(N'track_processing') AND LOWER(c.name) = N'load_date'"
    ) == [(1,)]


def test_second_adoption_changes_nothing(legacy: Legacy) -> None:
    legacy.adopt()
    before = contents(legacy)
    assert legacy.adopt() == Report()
    assert legacy.adopt(Adoption()) == Report(), "whatever the settings say by then"
    assert contents(legacy) == before
    assert Report().lines() == ["the table has been adopted already; nothing was changed"]
    assert migrate.apply(legacy.database.connector) == []


def test_report_says_what_was_done(legacy: Legacy) -> None:
    added, types, rows, indexes, untouched = legacy.adopt().lines()
    assert "entry_guid" in added
    assert "status" not in added
    expected = {  # in lower case: an engine may spell the names of columns so
        "sqlite": "types changed: status to text, runid to integer",
        "sqlserver": "types changed: runid to bigint null",
    }
    assert types.lower() == expected[legacy.database.connector.dialect]
    assert rows == "rows: 50 CANCELED, 250 DEAD, 2250 DONE, 405 PENDING, 45 RUNNING"
    assert "ux_track_processing_id, ix_track_processing_waiting" in indexes
    assert untouched.lower() == "left unchanged: track_id, source_table, load_date, payload, odd, (name)"


def test_table_of_ours_is_left_alone(database: Database) -> None:
    assert adopt.apply(database.connector, Adoption()) == Report()


def test_two_processes_at_once_adopt_once(legacy: Legacy) -> None:
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: legacy.adopt(), range(2)))
    assert sorted(len(report.columns) for report in reports) == [0, 20]
