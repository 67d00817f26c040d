"""Each named statement is written once, and is what both databases can read."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlfluff
import sqlglot
from sqlfluff.core import FluffConfig

from orchestrator.adapters.store import dialects, queries
from orchestrator.adapters.store.queries import SQL_ROOT, _Query

SQLITE, SQLSERVER = queries.load("sqlite"), queries.load("sqlserver")

#: sp_getapplock's return value has no form that sqlglot reads; sqlfluff and a real engine do.
BATCHES = {"acquire_lock"}

#: Parsing every statement at once comes near a test's time limit.
PARTS = 8

CONFIG = FluffConfig.from_path(str(Path(__file__).parents[2]))


def test_same_names_in_the_same_order_with_the_same_purpose() -> None:
    assert list(SQLITE) == list(SQLSERVER)
    for name, query in SQLITE.items():
        assert query.purpose == SQLSERVER[name].purpose


@pytest.mark.parametrize("name", SQLITE)
def test_same_number_of_parameters(name: str) -> None:
    assert SQLITE[name].sql.count("?") == SQLSERVER[name].sql.count("?")


def test_same_migrations() -> None:
    names = {
        d: sorted(p.name for p in (SQL_ROOT / d / "migrations").iterdir()) for d in ("sqlite", "sqlserver")
    }
    assert names["sqlite"] == names["sqlserver"]


@pytest.mark.parametrize("name", sorted(set(SQLSERVER) - BATCHES))
def test_statement_parses_in_its_dialect(name: str) -> None:
    assert sqlglot.parse_one(SQLSERVER[name].sql, dialect="tsql")
    assert sqlglot.parse_one(SQLITE[name].sql, dialect="sqlite")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_rendered_tsql_parses(part: int) -> None:
    # Parsing alone: what a rule dislikes is the linter's business, in make check.
    statements = [*SQLSERVER.values(), *queries.load_adoption("sqlserver").values()][part::PARTS]
    assert sqlfluff.parse("".join(f"{query.sql};\n" for query in statements), config=CONFIG)


@pytest.mark.parametrize(
    "path", sorted((SQL_ROOT / "sqlserver/migrations").glob("*.sql")), ids=lambda path: path.name
)
def test_tsql_migration_parses(path: Path) -> None:
    assert sqlfluff.parse(path.read_text(encoding="utf-8"), config=CONFIG)


@pytest.mark.parametrize("load", [queries.load, queries.load_adoption])
@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_nothing_is_left_to_be_rendered(load: Callable[[str], dict[str, _Query]], dialect: str) -> None:
    for query in load(dialect).values():
        assert not set("{}") & set(query.sql), query.name


def test_unknown_macro_is_refused() -> None:
    with pytest.raises(ValueError, match="no macro 'tomorrow'"):
        queries._rendered(queries._parse("-- a --\n-- x\nSELECT {tomorrow}\n"), "sqlite")


def test_what_a_change_returns_stands_where_each_database_wants_it() -> None:
    sql = "UPDATE t\nSET a = ?\n{returning id, submission}\nWHERE id = ?"
    assert dialects.render(sql, "sqlite") == "UPDATE t\nSET a = ?\nWHERE id = ?\nRETURNING id, submission"
    assert dialects.render(sql, "sqlserver") == (
        "DECLARE @changed TABLE (id bigint, submission int);\n"
        "UPDATE t\nSET a = ?\nOUTPUT inserted.id, inserted.submission\nINTO @changed\nWHERE id = ?;\n"
        "SELECT id, submission FROM @changed"
    )


def test_a_batch_of_sql_server_ends_with_the_statement_s_own_count() -> None:
    sql = "-- why\nDELETE FROM t WHERE id = ?"
    assert dialects.render(sql, "sqlite") == sql
    assert dialects.render(sql, "sqlserver") == f"{sql};\nSELECT @@ROWCOUNT AS changed_rows"
    assert dialects.render("SELECT 1", "sqlserver") == "SELECT 1"


def test_no_statement_of_sql_server_returns_rows_without_into() -> None:
    """SQL Server refuses that on a table with triggers (error 334)."""
    for query in queries.load("sqlserver").values():
        assert query.sql.count("OUTPUT ") == query.sql.count("INTO @changed"), query.name


def test_a_delete_returns_nothing() -> None:
    with pytest.raises(ValueError, match="a DELETE returns nothing"):
        dialects.render("DELETE FROM t\n{returning id}\nWHERE id = ?", "sqlserver")


def test_a_shared_condition_is_given_an_alias() -> None:
    fragment = "-- due (fragment) --\n-- x\n{alias}.at <= {now}\n"
    text = fragment + "-- a --\n-- y\nSELECT 1 FROM t AS entry WHERE {due entry}"
    found = queries._rendered(queries._parse(text), "sqlserver")
    assert found["a"].sql == "SELECT 1 FROM t AS entry WHERE entry.at <= SYSUTCDATETIME()"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- a --\nSELECT 1\n", "purpose"),
        ("-- a --\n-- what for\n", "statement"),
        ("-- a --\n-- x\nSELECT 1\n-- a --\n-- y\nSELECT 2\n", "twice"),
        ("-- a (oracle) --\n-- x\nSELECT 1\n", "not a dialect"),
    ],
)
def test_broken_query_file_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        queries._rendered(queries._parse(text), "sqlite")


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("claim", "status IN ('PENDING', 'FAILED')"),
        ("recover", "OR track_processing.lease_expires_at <= SYSUTCDATETIME()"),
        ("cancel_waiting", "deliveries = 0"),
        ("purge", "status IN ('DONE', 'DEAD', 'CANCELED')"),
    ],
)
def test_conditions_stand_outside_the_subquery_too(name: str, condition: str) -> None:
    """An engine that does not lock the rows of the subquery checks them again when it writes."""
    outer = queries.load("sqlserver")[name].sql.partition("AND id IN (")[0].partition("\nWHERE ")[2]
    assert condition in " ".join(outer.split())


@pytest.mark.parametrize("name", ["recover", "purge", "move"])
def test_rows_that_are_about_to_be_changed_are_held(name: str) -> None:
    """Two processes change different rows, and neither waits for the other's. SQLite has one writer."""
    assert "WITH (UPDLOCK, READPAST, READCOMMITTEDLOCK)" in queries.load("sqlserver")[name].sql


def test_a_claim_locks_no_entry_but_those_that_it_changes() -> None:
    """What waits is read without locks that stay; what is changed is named by its id."""
    found = queries.load("sqlserver")
    assert "AS waiting WITH (READPAST, READCOMMITTEDLOCK)" in found["claimable"].sql
    assert "UPDLOCK" not in found["claimable"].sql
    _, _, condition = found["claim"].sql.partition("\nWHERE ")
    assert "AND id IN (SELECT chosen.value FROM (SELECT CAST(value AS bigint)" in condition


def test_no_statement_passes_by_rows_without_the_lock_that_a_snapshot_needs() -> None:
    """READPAST is refused under READ_COMMITTED_SNAPSHOT; ROWLOCK and READCOMMITTEDLOCK exclude each other."""
    for name, query in queries.load("sqlserver").items():
        for hints in re.findall(r"WITH \(([A-Z, ]+)\)", query.sql):
            given = set(hints.split(", "))
            assert ("READPAST" in given) == ("READCOMMITTEDLOCK" in given), name
            assert not {"ROWLOCK", "READCOMMITTEDLOCK"} <= given, name


def test_the_lock_of_sql_server_ends_with_its_transaction() -> None:
    """A session's lock would outlive a rollback, in a connection of the pool."""
    sql = queries.load("sqlserver")["acquire_lock"].sql
    before, _, call = sql.partition("EXEC @result = sp_getapplock")
    assert "@LockOwner = N'Transaction'" in call
    assert "@LockMode = N'Exclusive'" in call
    assert "FROM sys.schemas" in before, "with implicit transactions, only reading a table begins one"


@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_what_is_in_flight_holds_a_slot_and_its_table(dialect: str) -> None:
    found = queries.load(dialect)
    assert "status IN ('QUEUED', 'RUNNING')" in found["in_flight"].sql
    assert "busy.status IN ('QUEUED', 'RUNNING')" in found["claimable"].sql


#: Change of an entry in flight → the state that it must be in.
FROM_STATE = {
    **dict.fromkeys(
        ("begin_submission", "record_run", "unclaim", "refuse", "leave_open", "postpone", "not_sent"),
        "QUEUED",
    ),
    **dict.fromkeys(("replace_request", "note_doubts", "leave_address"), "QUEUED"),
    **dict.fromkeys(("finish", "note_trouble", "note_queue", "note_stop", "note_cancel"), "RUNNING"),
}


@pytest.mark.parametrize("name", FROM_STATE)
@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_a_change_names_the_submission_and_the_state_that_it_comes_from(dialect: str, name: str) -> None:
    condition = queries.load(dialect)[name].sql.partition("\nWHERE ")[2].partition("\n")[0]
    assert condition.startswith("id = ? AND submission = ? AND ")
    assert f" AND status = '{FROM_STATE[name]}'" in condition


def test_a_state_that_is_bound_is_of_the_type_that_no_column_is_converted_for() -> None:
    """``nvarchar`` would be the higher type: under an SQL collation, a varchar column is scanned for it."""
    for name in ("window_status_asc", "window_status_desc"):
        assert " status = CAST(? AS varchar(16)) " in queries.load("sqlserver")[name].sql
        assert " status = ? " in queries.load("sqlite")[name].sql
