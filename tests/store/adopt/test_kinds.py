"""Kinds of tables that only SQL Server itself has: what an adoption says of what the catalogue tells."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.adopt import Adoption, Report, baseline, sqlserver
from orchestrator.adapters.store.adopt.sqlserver import _Found
from orchestrator.adapters.store.adopt.work import Column, Work
from orchestrator.adapters.store.sqlserver import SqlServerConnector
from orchestrator.core.errors import SchemaError


@dataclass
class _Server:
    """A server whose catalogue knows a team's table, and which notes what changes it."""

    answers: dict[str, list[dict[str, Any]]]
    changes: list[str] = field(default_factory=list)

    def cursor(self) -> "_Cursor":
        return _Cursor(self)

    def adopt(self) -> Report:
        """Adopt the table."""
        connector = SqlServerConnector("SERVER=127.0.0.1")
        return sqlserver.adopt(
            Work(
                connection=self,  # type: ignore[arg-type]  # all that an adoption uses of one
                dialect="sqlserver",
                adoption=Adoption(),
                baseline=baseline.read(connector),
            )
        )


class _Cursor:
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._rows: list[dict[str, Any]] = []
        #: as DB-API has it
        self.description: list[tuple[str]] = []

    def execute(self, sql: str, _parameters: Any = ()) -> None:
        written = sql.replace("[table_name]", "[the_column]")
        known = queries.load_adoption("sqlserver").items()
        self._rows = next(
            (self._server.answers.get(name, []) for name, query in known if query.sql == written), []
        )
        self.description = [(name,) for name in self._rows[0]] if self._rows else []
        if not sql.startswith("SELECT"):
            self._server.changes.append(sql)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._rows]

    def close(self) -> None:
        pass


def _row(name: str, kind: str, **changed: Any) -> dict[str, Any]:
    """Return what the catalogue says of a column."""
    row = {"name": name, "type": kind, "max_length": 20, "scale": 0, "is_nullable": 1, "default_name": None}
    flags = dict.fromkeys(("is_identity", "is_computed", "generated_always_type"), 0)
    return {**row, **flags, **changed}


def _column(name: str, kind: str, **changed: Any) -> Column:
    return sqlserver._column(_row(name, kind, **changed))


#: What ``sys.tables`` says of a plain table before SQL Server 2022, but for what nobody asks.
_OLDER = {"name": "track_processing", "temporal_type": 0}


def _server(updated_at: dict[str, Any], **answers: list[dict[str, Any]]) -> _Server:
    """Return a server with a table that fits but for the time of the last change."""
    columns = [
        _row("table_name", "nvarchar", max_length=200, is_nullable=0),
        _row("STATUS", "varchar"),
        updated_at,
    ]
    known: dict[str, list[dict[str, Any]]] = {
        "objects": [{"name": "track_processing", "kind": "table"}],
        "columns": columns,
        "case_matters": [{"case_matters": 0}],
        "count_without_name": [{"entries": 0}],
        "kind_of_table": [_OLDER],
    }
    return _Server({**known, **answers})


#: A table that fits as it is.
_PLAIN = _Found(
    columns={"status": _column("STATUS", "varchar"), "runid": _column("RUNID", "bigint")},
    indexed=(),
    checks=(),
    computed=(),
    schema_bound=(),
    triggers=(),
    statistics=("by_hand",),
    is_versioned=False,
    ledger=None,
    case_matters=False,
)


def test_a_plain_table_has_no_problem() -> None:
    assert sqlserver._kind_problems(_PLAIN) == []
    assert sqlserver._state_problems(_PLAIN) == []
    assert sqlserver._change_problems(_PLAIN) == []


def test_a_temporal_table_is_adopted_without_its_versioning() -> None:
    [problem] = sqlserver._kind_problems(replace(_PLAIN, is_versioned=True))
    assert "ALTER TABLE track_processing SET (SYSTEM_VERSIONING = OFF)" in problem


@pytest.mark.parametrize("temporal_type", [0, 2])
@pytest.mark.parametrize(
    ("ledger_type", "problem"),
    [
        (2, "track_processing is a ledger table: SQL Server keeps each change of it for ever"),
        (3, "track_processing is an append-only ledger table, where SQL Server refuses each UPDATE"),
    ],
)
def test_a_ledger_is_no_table_for_the_app(ledger_type: int, problem: str, temporal_type: int) -> None:
    kind = {**_OLDER, "temporal_type": temporal_type, "ledger_type": ledger_type}
    server = _server(_row("updated_at", "datetime2", scale=3), kind_of_table=[kind])
    with pytest.raises(SchemaError, match=problem) as caught:
        server.adopt()
    assert "in another database, one that is not a ledger database" in str(caught.value)
    assert "SYSTEM_VERSIONING" not in str(caught.value), "it cannot be switched off there"
    assert not server.changes


@pytest.mark.parametrize("kind", [_OLDER, {**_OLDER, "ledger_type": 0}], ids=["2019", "2022"])
def test_a_table_that_is_no_ledger_is_adopted(kind: dict[str, Any]) -> None:
    server = _server(_row("updated_at", "datetime2", scale=3), kind_of_table=[kind])
    assert server.adopt().columns


def test_a_columnstore_is_no_store_for_single_rows() -> None:
    row = {"column_name": "runid", "index_name": "cci", "index_type": 5, "filter_definition": None}
    [problem] = sqlserver._kind_problems(replace(_PLAIN, indexed=(row, {**row, "column_name": "status"})))
    assert "cci is a clustered columnstore" in problem
    assert "DROP_EXISTING" in problem


def test_statistics_by_hand_are_in_the_way_of_another_type() -> None:
    columns = {**_PLAIN.columns, "runid": _column("RUNID", "varchar")}
    [problem] = sqlserver._change_problems(replace(_PLAIN, columns=columns))
    assert "RUNID has to get another type" in problem
    assert "DROP STATISTICS track_processing.[by_hand]" in problem


def test_a_period_column_counts_as_computed() -> None:
    assert _column("updated_at", "datetime2", generated_always_type=1).computed


_DEFAULT = (
    "ALTER TABLE track_processing ADD CONSTRAINT df_track_processing_updated_at"
    " DEFAULT SYSUTCDATETIME() FOR updated_at"
)
_FILLED = "UPDATE track_processing SET updated_at = SYSUTCDATETIME() WHERE updated_at IS NULL"
_GIVEN = (
    "ALTER TABLE track_processing ADD CONSTRAINT ck_track_processing_updated_at_given"
    " CHECK (updated_at IS NOT NULL)"
)


@pytest.mark.parametrize(
    ("column", "new_type", "others"),
    [
        (_row("updated_at", "datetime", scale=3), "datetime2(3)", [_FILLED, _DEFAULT, _GIVEN]),
        (_row("updated_at", "datetime", scale=3, is_nullable=0), "datetime2(3) NOT NULL", [_DEFAULT]),
        (_row("updated_at", "datetime2", scale=7, is_nullable=0), "datetime2(3) NOT NULL", [_DEFAULT]),
        (_row("updated_at", "datetime2", scale=0), "datetime2(3)", [_FILLED, _DEFAULT, _GIVEN]),
        (_row("updated_at", "datetime2", scale=3), None, [_FILLED, _DEFAULT, _GIVEN]),
    ],
)
def test_the_time_of_the_last_change_gets_milliseconds(
    column: dict[str, Any], new_type: str | None, others: list[str]
) -> None:
    server = _server(column)
    report = server.adopt()
    altered = [f"ALTER TABLE track_processing ALTER COLUMN updated_at {new_type}"] if new_type else []
    assert _about_updates(server) == [*altered, *others]
    assert report.types == ({"updated_at": new_type} if new_type else {})


def _about_updates(server: _Server) -> list[str]:
    """Return what is done to the column, in order."""
    about = ("updated_at", "DF_TEAM")
    changes = (change for change in server.changes if any(word in change for word in about))
    return [change for change in changes if not change.startswith("CREATE")]


def test_a_default_of_the_team_s_makes_room_where_the_type_changes() -> None:
    """SQL Server refuses the change as long as it is there; a local time would be none of UTC, besides."""
    server = _server(_row("updated_at", "datetime", scale=3, is_nullable=0, default_name="DF_TEAM"))
    server.adopt()
    dropped, altered, added = _about_updates(server)
    assert dropped == "ALTER TABLE track_processing DROP CONSTRAINT IF EXISTS [DF_TEAM]"
    assert altered.endswith("ALTER COLUMN updated_at datetime2(3) NOT NULL")
    assert added == _DEFAULT
    fits = _server(_row("updated_at", "datetime2", scale=3, is_nullable=0, default_name="DF_TEAM"))
    fits.adopt()
    assert _about_updates(fits) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"indexed": [{"column_name": "updated_at"}]}, "the index IX_TEAM contains it: drop the index first"),
        (
            {"indexed": [{"column_name": "load_date", "filter_definition": "([UPDATED_AT]>'2020')"}]},
            "the index IX_TEAM contains it",
        ),
        (
            {"checks": [{"name": "CK_TEAM", "definition": "([updated_at]>=[created_at])"}]},
            "the constraint CK_TEAM contains it: drop it first",
        ),
        (
            {"computed": [{"name": "AGE", "definition": "(datediff(day,[updated_at],getdate()))"}]},
            "the computed column AGE contains it: drop the column first",
        ),
        (
            {
                "schema_bound": [
                    {"name": "V_TEAM", "definition": "… SELECT updated_at FROM dbo.TRACK_PROCESSING"},
                    {"name": "V_OTHER", "definition": "… SELECT updated_at FROM dbo.another_table"},
                    {"name": "V_SECRET", "definition": None},
                ]
            },
            "V_TEAM, which is made WITH SCHEMABINDING, contains it: drop it first",
        ),
        ({"hand_made_statistics": [{"name": "by_hand"}]}, "DROP STATISTICS track_processing.[by_hand]"),
    ],
    ids=["index", "filter", "check", "computed", "view", "statistics"],
)
def test_what_keeps_it_as_it_is_is_named(found: dict[str, list[dict[str, Any]]], problem: str) -> None:
    index = {"index_name": "IX_TEAM", "index_type": 2, "filter_definition": None}
    found = {**found, "indexed": [{**index, **row} for row in found.get("indexed", [])]}
    server = _server(_row("updated_at", "datetime2", scale=7), **found)
    with pytest.raises(SchemaError) as caught:
        server.adopt()
    assert problem in str(caught.value)
    assert str(caught.value).count("  - ") == 1
    assert not server.changes
    fitting = _server(_row("updated_at", "datetime2", scale=3), **found)
    fitting.adopt()
    assert not any("ALTER COLUMN" in change for change in fitting.changes)


def test_a_period_column_is_called_computed() -> None:
    server = _server(_row("updated_at", "datetime2", scale=7, generated_always_type=1))
    with pytest.raises(SchemaError, match=r"updated_at is computed \(datetime2\): the app needs datetime2"):
        server.adopt()
