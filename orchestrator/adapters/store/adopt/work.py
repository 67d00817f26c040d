"""What both dialects need to adopt a table: settings, inspection, problems and report."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from orchestrator.adapters.store import dialects, migrate, queries
from orchestrator.adapters.store.adopt import statuses
from orchestrator.adapters.store.adopt.baseline import Baseline
from orchestrator.adapters.store.adopt.ddl import with_column
from orchestrator.adapters.store.connector import Connection
from orchestrator.core.errors import SchemaError
from orchestrator.core.models import Entry
from orchestrator.core.states import Status

TABLE = "track_processing"

#: The tables that the app makes beside it.
_OWN_TABLES = (
    "process_log",
    "orchestrator_tick",
    "orchestrator_request",
    "orchestrator_alert",
    "orchestrator_silence",
    "orchestrator_stray_run",
    "orchestrator_open_submission",
)


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What the settings say about a team's table."""

    #: the column with the source table's name
    table_name_column: str = "table_name"
    #: the column with the run's parameters as JSON
    parameters_column: str = "parameters"
    #: the team's words → states
    status_map: Mapping[str, str] = field(default_factory=dict)

    def renamed(self) -> dict[str, str]:
        """Return our columns that have another name in the table: ours → the team's."""
        names = {"table_name": self.table_name_column, "parameters": self.parameters_column}
        return {ours: theirs for ours, theirs in names.items() if theirs.lower() != ours}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What adopting did. All empty: the table had been adopted already, and nothing was changed."""

    #: columns that were added
    columns: tuple[str, ...] = ()
    #: columns that got another type → that type
    types: Mapping[str, str] = field(default_factory=dict)
    #: number of rows by their new state
    rows: Mapping[Status, int] = field(default_factory=dict)
    #: indexes of ``track_processing`` that were created
    indexes: tuple[str, ...] = ()
    #: the team's own columns, which were left unchanged
    untouched: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as lines of text for a person."""
        if not self.columns and not self.indexes:
            return ["the table has been adopted already; nothing was changed"]
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.rows.items()))
        types = ", ".join(f"{name} to {kind}" for name, kind in self.types.items())
        return [
            f"columns added: {', '.join(self.columns) or 'none'}",
            f"types changed: {types or 'none'}",
            f"rows: {counts or 'none'}",
            f"indexes created: {', '.join(self.indexes)}",
            f"left unchanged: {', '.join(self.untouched) or 'none'}",
        ]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the team's table."""

    #: as the team spells it
    name: str
    #: the base type in lower case, without a length
    type: str
    #: in characters, -1 for ``max``
    length: int
    nullable: bool
    #: digits behind the second, of a time; SQL Server only
    scale: int = 0
    #: numbers the rows: an identity, SQLite's rowid
    identity: bool = False
    computed: bool = False
    #: name (SQL Server) or text (SQLite) of the default
    default: str | None = None


#: By the name in lower case.
Columns = dict[str, Column]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One adoption: its transaction, its settings and the schema to reach."""

    connection: Connection
    dialect: str
    adoption: Adoption
    baseline: Baseline

    def query(self, name: str, *parameters: Any, column: str = "") -> list[dict[str, Any]]:
        """Run a statement of ``adopt.sql`` and return its rows by lower-case column name."""
        sql = queries.load_adoption(self.dialect)[name].sql
        cursor = self.connection.cursor()
        try:
            cursor.execute(with_column(sql, column, self.dialect) if column else sql, parameters)
            if not cursor.description:
                return []
            names = [described[0].lower() for described in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def execute(self, sql: str, *parameters: Any) -> None:
        """Run SQL that was built."""
        migrate.execute(self.connection, sql, *parameters)


def refuse(problems: Iterable[str]) -> None:
    """Do nothing if there are no problems. :raises SchemaError: there are; the text lists them all."""
    listed = list(problems)
    if listed:
        raise SchemaError(
            f"{TABLE} cannot be adopted, and nothing was changed:\n" + "\n".join(f"  - {p}" for p in listed)
        )


def objects_in_the_way(kinds: Mapping[str, str]) -> list[str]:
    """Return the problems with the tables and views that exist.

    :param kinds: names in lower case → ``table`` or ``view``.
    """
    problems = []
    if TABLE not in kinds:
        problems.append(f"there is no table {TABLE}; for a new one run: python -m orchestrator init-db")
    elif kinds[TABLE] != "table":
        problems.append(f"{TABLE} is a {kinds[TABLE]}: the app needs the table itself under this name")
    problems += [
        f"there already is a {kinds[name]} {name}: rename it, the app creates its own"
        for name in _OWN_TABLES
        if name in kinds
    ]
    return problems


def column_problems(work: Work, columns: Columns) -> list[str]:
    """Return the problems with columns that the settings name, and with those that a later migration adds."""
    problems = []
    names = ", ".join(column.name for column in columns.values())
    adoption = work.adoption
    if adoption.table_name_column.lower() not in columns:
        problems.append(
            f"there is no column {adoption.table_name_column} with the source table's name: "
            f"set TABLE_NAME_COLUMN to one of {names}"
        )
    renamed = adoption.renamed()
    if "parameters" in renamed and adoption.parameters_column.lower() not in columns:
        problems.append(
            f"there is no column {adoption.parameters_column} with the parameters: "
            f"set PARAMETERS_COLUMN to one of {names}, or do not set it"
        )
    problems += [
        f"there are both {ours} and {theirs}: rename {ours}, or do not set {ours.upper()}_COLUMN"
        for ours, theirs in renamed.items()
        if ours in columns
    ]
    later = {field.name for field in fields(Entry)} - set(dialects.LENGTHS) - set(work.baseline.columns)
    problems += [
        migrate.name_is_taken(columns[name].name, columns[name].type) for name in sorted(later & set(columns))
    ]
    return problems


def status_plan(work: Work, columns: Columns) -> statuses.Plan:
    """Find the state that every row gets."""
    if "status" not in columns:
        rows = work.query("count_rows")[0]["entries"]
        problem = f"it has {rows} rows and no column STATUS that says which are done: add one and fill it in"
        return statuses.Plan(mapped=(), problems=(problem,) if rows else ())
    found = work.query("statuses" if "runid" in columns else "statuses_without_runs")
    groups = [
        statuses.Group(word=str(row["word"]), has_run=bool(row["has_run"]), rows=int(row["entries"]))
        for row in found
    ]
    return statuses.plan(groups, work.adoption.status_map)


def run_problems(work: Work, columns: Columns, plan: statuses.Plan) -> list[str]:
    """Return the problems with run ids: not a positive number, or two rows that would follow one run."""
    if "runid" not in columns:
        return []
    problems = [
        f"{row['entries']} rows have the run id {row['runid']!r}, which is not a positive number: "
        "correct it or set it to NULL"
        for row in work.query("bad_run_ids")
    ]
    runs: Counter[str] = Counter()
    for mapped in plan.mapped:
        if mapped.to is Status.RUNNING and mapped.group.has_run:
            for row in work.query("runs_of_status", mapped.group.word):
                runs[str(row["runid"])] += int(row["entries"])
    problems += [
        f"{count} rows are RUNNING with the run id {run}: only one row may follow a run, so end the others"
        for run, count in sorted(runs.items())
        if count > 1
    ]
    return problems


def mapping(plan: statuses.Plan) -> str:
    """Return the plan as JSON for a single statement, since several statements could map a row twice."""
    return json.dumps(
        [
            {"word": mapped.group.word, "has_run": int(mapped.group.has_run), "target": mapped.to.value}
            for mapped in plan.mapped
        ]
    )


def rows_by_state(plan: statuses.Plan) -> dict[Status, int]:
    """Count the rows by their new state."""
    counts: Counter[Status] = Counter()
    for mapped in plan.mapped:
        counts[mapped.to] += mapped.group.rows
    return dict(counts)


def untouched(work: Work, columns: Columns) -> tuple[str, ...]:
    """Return the team's own columns."""
    return tuple(column.name for key, column in columns.items() if key not in work.baseline.columns)


def added(work: Work, columns: Columns) -> tuple[str, ...]:
    """Return our columns that the table does not have yet."""
    return tuple(name for name in work.baseline.columns if name not in columns)
