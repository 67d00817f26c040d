"""What adopting needs in both dialects: the order, the inspection and its report."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.adapters.store import migrate, queries
from orchestrator.adapters.store.adopt import statuses
from orchestrator.adapters.store.adopt.baseline import Baseline
from orchestrator.adapters.store.adopt.ddl import with_column
from orchestrator.adapters.store.connector import Connection
from orchestrator.core.errors import SchemaError
from orchestrator.core.states import Status

TABLE = "track_processing"


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What the settings say of a team's table."""

    #: the column that holds the source table's name
    table_name_column: str = "table_name"
    #: the column that holds the run's parameters as JSON
    parameters_column: str = "parameters"
    #: the team's words → states
    status_map: Mapping[str, str] = field(default_factory=dict)

    def renamed(self) -> dict[str, str]:
        """Return our columns that stand under another name: ours → the team's."""
        names = {"table_name": self.table_name_column, "parameters": self.parameters_column}
        return {ours: theirs for ours, theirs in names.items() if theirs.lower() != ours}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What adopting did. All empty: the table was ours already, and nothing was done."""

    #: columns that the table has got
    columns: tuple[str, ...] = ()
    #: rows by the state that they have now
    rows: Mapping[Status, int] = field(default_factory=dict)
    #: indexes of ``track_processing`` that were made
    indexes: tuple[str, ...] = ()
    #: the team's own columns, left as they were
    untouched: tuple[str, ...] = ()
    #: what the team should know
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return it as text for a person."""
        if not self.columns and not self.indexes:
            return ["the table is adopted already; nothing was changed"]
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.rows.items()))
        return [
            f"columns added: {', '.join(self.columns) or 'none'}",
            f"rows: {counts or 'none'}",
            f"indexes made: {', '.join(self.indexes)}",
            f"left as they were: {', '.join(self.untouched) or 'none'}",
            *self.notes,
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
    #: fills itself: an identity, SQLite's rowid
    identity: bool = False
    computed: bool = False
    #: name (SQL Server) or text (SQLite) of its default
    default: str | None = None


#: By the name in lower case.
Columns = dict[str, Column]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One adoption: its transaction and what is to be done."""

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
        """Run SQL that was put together."""
        migrate.execute(self.connection, sql, *parameters)


def refuse(problems: Iterable[str]) -> None:
    """Do nothing when there are none. :raises SchemaError: there are; it lists them all."""
    listed = list(problems)
    if listed:
        raise SchemaError(
            f"{TABLE} cannot be adopted, and nothing was changed:\n" + "\n".join(f"  - {p}" for p in listed)
        )


def objects_in_the_way(kinds: Mapping[str, str]) -> list[str]:
    """Say what is wrong with the tables that are there.

    :param kinds: names of tables and views in lower case → ``table`` or ``view``.
    """
    problems = []
    if TABLE not in kinds:
        problems.append(f"there is no table {TABLE}; for a new one run: python -m orchestrator init-db")
    elif kinds[TABLE] != "table":
        problems.append(f"{TABLE} is a {kinds[TABLE]}: the app needs the table itself under this name")
    problems += [
        f"there is a {kinds[name]} {name} already: rename it, the app makes its own"
        for name in ("process_log", "orchestrator_tick", "orchestrator_request", "orchestrator_alert")
        if name in kinds
    ]
    return problems


def column_problems(work: Work, columns: Columns) -> list[str]:
    """Say which columns of the settings are not there or are there twice."""
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
            f"set PARAMETERS_COLUMN to one of {names}, or leave it out"
        )
    problems += [
        f"there are both {ours} and {theirs}: rename {ours}, or leave {ours.upper()}_COLUMN out"
        for ours, theirs in renamed.items()
        if ours in columns
    ]
    return problems


def status_plan(work: Work, columns: Columns) -> statuses.Plan:
    """Find out where every row goes."""
    if "status" not in columns:
        rows = work.query("count_rows")[0]["entries"]
        problem = (
            f"it has {rows} rows and no column STATUS to say which of them are done: add one and fill it"
        )
        return statuses.Plan(mapped=(), problems=(problem,) if rows else ())
    told = work.query("statuses" if "runid" in columns else "statuses_without_runs")
    groups = [
        statuses.Group(word=str(row["word"]), has_run=bool(row["has_run"]), rows=int(row["entries"]))
        for row in told
    ]
    return statuses.plan(groups, work.adoption.status_map)


def run_problems(work: Work, columns: Columns, plan: statuses.Plan) -> list[str]:
    """Say which run ids are none, and which rows would follow the same run."""
    if "runid" not in columns:
        return []
    problems = [
        f"{row['entries']} rows have the run id {row['runid']!r}, no positive number: correct or empty it"
        for row in work.query("bad_run_ids")
    ]
    runs: Counter[str] = Counter()
    for mapped in plan.mapped:
        if mapped.to is Status.RUNNING and mapped.group.has_run:
            for row in work.query("runs_of_status", mapped.group.word):
                runs[str(row["runid"])] += int(row["entries"])
    problems += [
        f"{count} rows are RUNNING with the run id {run}: one row follows a run, end the others"
        for run, count in sorted(runs.items())
        if count > 1
    ]
    return problems


def mapping(plan: statuses.Plan) -> str:
    """Return the plan as JSON for the one statement that uses it: mapping in steps could map a row twice."""
    return json.dumps(
        [
            {"word": mapped.group.word, "has_run": int(mapped.group.has_run), "target": mapped.to.value}
            for mapped in plan.mapped
        ]
    )


def rows_by_state(plan: statuses.Plan) -> dict[Status, int]:
    """Count the rows by the state that they go to."""
    counts: Counter[Status] = Counter()
    for mapped in plan.mapped:
        counts[mapped.to] += mapped.group.rows
    return dict(counts)


def untouched(work: Work, columns: Columns) -> tuple[str, ...]:
    """Return the team's own columns."""
    return tuple(column.name for key, column in columns.items() if key not in work.baseline.columns)


def added(work: Work, columns: Columns) -> tuple[str, ...]:
    """Return our columns that the table has not got yet."""
    return tuple(name for name in work.baseline.columns if name not in columns)
