"""Adopt a table on SQL Server: add what is missing to the table in place."""

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.store.adopt import statuses
from orchestrator.adapters.store.adopt import work as shared
from orchestrator.adapters.store.adopt.ddl import mentions
from orchestrator.adapters.store.adopt.work import TABLE, Column, Columns, Report, Work
from orchestrator.adapters.store.connector import Connection

#: Types that are accepted in place of each of the schema's.
_FITTING = {
    "bigint": {"bigint"},
    "int": {"int", "bigint"},
    "bit": {"bit"},
    "datetime2": {"datetime2", "datetime"},
    "nvarchar": {"nvarchar", "varchar"},
    "uniqueidentifier": {"uniqueidentifier"},
}

_INTEGERS = frozenset({"int", "bigint"})
_TEXTS = frozenset({"varchar", "nvarchar"})
_FIXED_TEXTS = frozenset({"char", "nchar"})

#: Types whose values ALTER COLUMN converts to 64-bit numbers.
_RUN_ID_TYPES = _INTEGERS | _TEXTS | _FIXED_TEXTS | {"smallint", "numeric", "decimal"}

#: The longest state is CANCELED.
_LEAST_STATUS_LENGTH = 8

#: The name is in an index key, together with workspace; SQL Server allows 1,700 bytes in all.
_MOST_NAME_LENGTH = 700

#: ``sys.tables.temporal_type`` with system versioning, ``sys.indexes.type`` of a clustered columnstore.
_VERSIONED = 2
_COLUMNSTORE = 5

#: Columns that have their own rules below.
_SPECIAL = frozenset({"id", "status", "runid"})


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The team's table."""

    columns: Columns
    #: rows of the queries ``indexed``, ``checks`` and ``triggers`` of ``adopt.sql``
    indexed: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]
    triggers: tuple[dict[str, Any], ...]
    #: names
    statistics: tuple[str, ...]
    is_versioned: bool
    case_matters: bool

    def identity(self) -> Column | None:
        """Return the column that numbers the rows."""
        return next((column for column in self.columns.values() if column.identity), None)

    def indexes_with(self, key: str) -> list[str]:
        """Return the indexes that contain a column."""
        return [row["index_name"] for row in self.indexed if row["column_name"] == key]

    def is_unique(self, key: str) -> bool:
        """Say whether a column is unique by an index on it alone."""
        return any(
            row["is_unique"] and not row["has_filter"] and row["key_columns"] == 1 and row["key_ordinal"] == 1
            for row in self.indexed
            if row["column_name"] == key
        )


def prepare(connection: Connection) -> None:
    """Do nothing: SQL Server's DDL needs no preparation."""


def adopt(work: Work) -> Report:
    """Add what is missing. :raises SchemaError: the table cannot be adopted."""
    kinds = {row["name"]: row["kind"] for row in work.query("objects")}
    shared.refuse(shared.objects_in_the_way(kinds))
    work.query("count_rows")  # takes the lock on the table
    found = _inspect(work)
    problems = _problems(work, found)
    plan = statuses.Plan(mapped=(), problems=())
    if _is_text(found.columns.get("status")):
        plan = shared.status_plan(work, found.columns)
        problems += [*plan.problems, *shared.run_problems(work, found.columns, plan)]
    shared.refuse(problems)
    _prepare_state(work, found)
    _add_columns(work, found)
    work.query("map_status", shared.mapping(plan))
    work.query("follow_runs")
    _constrain(work, found)
    return Report(
        columns=shared.added(work, found.columns),
        rows=shared.rows_by_state(plan),
        indexes=_create_indexes(work, found),
        untouched=shared.untouched(work, found.columns),
    )


def _inspect(work: Work) -> _Found:
    return _Found(
        columns={row["name"].lower(): _column(row) for row in work.query("columns")},
        indexed=tuple(work.query("indexed")),
        checks=tuple(work.query("checks")),
        triggers=tuple(work.query("triggers")),
        statistics=tuple(row["name"] for row in work.query("hand_made_statistics")),
        is_versioned=any(row["temporal_type"] == _VERSIONED for row in work.query("versioning")),
        case_matters=bool(work.query("case_matters")[0]["case_matters"]),
    )


def _column(row: dict[str, Any]) -> Column:
    kind = str(row["type"] or "").lower()
    wide = kind.startswith("n") and row["max_length"] > 0 and kind != "numeric"
    return Column(
        name=row["name"],
        type=kind,
        length=row["max_length"] // 2 if wide else row["max_length"],
        nullable=bool(row["is_nullable"]),
        identity=bool(row["is_identity"]),
        computed=bool(row["is_computed"] or row["generated_always_type"]),
        default=row["default_name"],
    )


def _is_text(column: Column | None) -> bool:
    return column is None or column.type in _TEXTS | _FIXED_TEXTS


def _problems(work: Work, found: _Found) -> list[str]:
    return [
        *_kind_problems(found),
        *shared.column_problems(work, found.columns),
        *_workspace_problems(work),
        *_name_problems(work, found),
        *_id_problems(found),
        *_state_problems(found),
        *_type_problems(work, found),
        *_guard_problems(found),
    ]


def _workspace_problems(work: Work) -> list[str]:
    """Check that workspaces are told apart to the letter, as in the settings: ``EU`` is not ``eu``."""
    return [
        f"its column workspace takes names in other spellings for one ({row['collation_name']}): "
        f"ALTER TABLE {TABLE} ALTER COLUMN workspace nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL"
        for row in work.query("loose_workspace")
    ]


def _kind_problems(found: _Found) -> list[str]:
    """Check what kind of table it is."""
    problems = []
    if found.is_versioned:
        problems.append(
            "its system versioning is on, with which SQL Server refuses some columns that are added: switch "
            f"it off (ALTER TABLE {TABLE} SET (SYSTEM_VERSIONING = OFF)), and on again after the adoption"
        )
    stores = {row["index_name"] for row in found.indexed if row["index_type"] == _COLUMNSTORE}
    return problems + [
        f"its index {index} is a clustered columnstore, which is made for scans, and the app changes single "
        "rows: make it a row store (CREATE CLUSTERED INDEX … WITH (DROP_EXISTING = ON))"
        for index in sorted(stores)
    ]


def _name_problems(work: Work, found: _Found) -> list[str]:
    """Check the columns that the settings name."""
    problems = []
    name = found.columns.get(work.adoption.table_name_column.lower())
    parameters = found.columns.get(work.adoption.parameters_column.lower())
    if name and (name.type not in _TEXTS or not 0 < name.length <= _MOST_NAME_LENGTH):
        problems.append(f"{name.name} is not a varchar or nvarchar of at most {_MOST_NAME_LENGTH} characters")
    elif name:
        rows = work.query("count_without_name", column=name.name)[0]["entries"]
        if rows:
            problems.append(f"{rows} rows have no {name.name}: fill it in, or delete them")
    if parameters and parameters.type not in _TEXTS:
        problems.append(f"{parameters.name} is {parameters.type}: the app needs varchar or nvarchar")
    return problems


def _id_problems(found: _Found) -> list[str]:
    column, identity = found.columns.get("id"), found.identity()
    if column is None:
        unfit = identity is not None and identity.type not in _INTEGERS
        return [f"{identity.name} numbers the rows and is not an int or bigint"] if identity and unfit else []
    if column.type not in _INTEGERS or column.nullable:
        return [f"{column.name} is {column.type}: the app needs int or bigint NOT NULL; rename it"]
    if not found.is_unique("id"):
        return [f"{column.name} is not unique by a primary key or a unique index on it alone"]
    return []


def _state_problems(found: _Found) -> list[str]:
    """Check STATUS and RUNID, and what would prevent a change of their types."""
    problems = []
    status, run = found.columns.get("status"), found.columns.get("runid")
    if status and (not _is_text(status) or status.length < 1):
        problems.append(
            f"{status.name} is {status.type}: the app needs varchar or nvarchar of a fixed length"
        )
    if run and (run.type not in _RUN_ID_TYPES or run.length < 1):
        problems.append(f"{run.name} is {run.type}: the app needs bigint")
    unfit = (("status", _status_type(status)), ("runid", _run_type(run)))
    problems += [
        f"{found.columns[key].name} has to become {wanted}, and the index {index} contains it: "
        "drop the index first and create it again afterwards"
        for key, wanted in unfit
        if wanted
        for index in found.indexes_with(key)
    ]
    changing = [found.columns[key].name for key, wanted in unfit if wanted]
    return problems + [
        f"{' and '.join(changing)} has to get another type, and the statistics {name} may be about it: "
        f"drop them first (DROP STATISTICS {TABLE}.[{name}])"
        for name in found.statistics
        if changing
    ]


def _status_type(column: Column | None) -> str | None:
    """Return the type that the status has to get, None if it can stay."""
    if column is None or (column.type in _TEXTS and column.length >= _LEAST_STATUS_LENGTH):
        return None
    return f"nvarchar({max(column.length, 16)})"


def _run_type(column: Column | None) -> str | None:
    """Return the type that the run id has to get, None if it can stay. A waiting entry needs NULL."""
    return None if column is None or (column.type == "bigint" and column.nullable) else "bigint NULL"


def _type_problems(work: Work, found: _Found) -> list[str]:
    """Check the columns that have the name of one of ours, by chance or for the same purpose."""
    problems = []
    for key, piece in work.baseline.columns.items():
        column = found.columns.get(key)
        if column is None:
            continue
        wanted = _type_of(piece.text)
        short = key == "last_error" and 0 <= column.length < 4000
        if key not in _SPECIAL and (column.type not in _FITTING[wanted] or short or column.computed):
            problems.append(f"{column.name} is {column.type}: the app needs {wanted}; rename or change yours")
        if found.case_matters and column.name != key:
            problems.append(
                f"the database distinguishes {column.name} from {key}: rename the column to {key}"
            )
    return problems


def _guard_problems(found: _Found) -> list[str]:
    """Check what would refuse or prevent the app's changes."""
    problems = [
        f"the constraint {row['name']} refers to STATUS, whose values change: drop it"
        for row in found.checks
        if mentions(row["definition"], "status")
    ]
    return problems + [
        f"the trigger {row['name']} runs instead of {row['event']}: make it an AFTER trigger; the app has to "
        "know that what it changes is changed"
        for row in found.triggers
        if row["is_instead_of_trigger"]
    ]


def _prepare_state(work: Work, found: _Found) -> None:
    """Prepare STATUS and RUNID for our values."""
    status, run = found.columns.get("status"), found.columns.get("runid")
    for column in (status, run):
        if column and column.default:
            work.query("drop_default", column=column.default)
    if run and run.type in _TEXTS | _FIXED_TEXTS:
        if not run.nullable:  # without NOT NULL, the column allows NULL
            work.execute(f"ALTER TABLE {TABLE} ALTER COLUMN runid {run.type}({run.length})")
        work.query("empty_blank_runs")
    if _run_type(run):
        work.query("widen_runs")
    if wanted := _status_type(status):
        work.execute(f"ALTER TABLE {TABLE} ALTER COLUMN status {wanted}")


def _add_columns(work: Work, found: _Found) -> None:
    renamed = work.adoption.renamed()
    for name, piece in work.baseline.columns.items():
        if name in found.columns:
            continue
        if name in renamed:
            work.query(f"show_{name}", column=found.columns[renamed[name].lower()].name)
        elif name == "id":
            identity = found.identity()
            work.query("show_id" if identity else "add_id", column=identity.name if identity else "")
        else:
            work.execute(f"ALTER TABLE {TABLE} ADD {piece.text}")


def _constrain(work: Work, found: _Found) -> None:
    """Give columns that were there what the schema's have: default, checks, no NULL."""
    for name, piece in work.baseline.columns.items():
        column = found.columns.get(name)
        if column and name != "id":
            _constrain_column(work, name, column, piece.text)
    name_column = found.columns[work.adoption.table_name_column.lower()]
    if name_column.nullable:
        work.query("require_table_name", column=name_column.name)
    for text in work.baseline.constraints:
        work.execute(f"ALTER TABLE {TABLE} ADD {text}")


def _constrain_column(work: Work, name: str, column: Column, definition: str) -> None:
    head, *constraints = re.split(r"\s*\bCONSTRAINT\s+", definition)
    for constraint in constraints:
        constraint_name, rule = constraint.split(maxsplit=1)
        if rule.startswith("DEFAULT"):
            _fill(work, name, column, constraint_name, rule)
        elif rule.startswith("UNIQUE"):
            work.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT {constraint_name} UNIQUE ({name})")
        else:
            work.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT {constraint_name} {_to_the_letter(rule)}")
    if "NOT NULL" in head and column.nullable and name != "table_name":
        work.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT ck_{TABLE}_{name}_given CHECK ({name} IS NOT NULL)")


def _fill(work: Work, name: str, column: Column, constraint: str, rule: str) -> None:
    """Give a column our default, unless the team's may stay, and replace its NULLs by our default."""
    value = rule.removeprefix("DEFAULT ")
    if column.nullable:
        work.execute(f"UPDATE {TABLE} SET {name} = {value} WHERE {name} IS NULL")  # noqa: S608 - our own text
    if column.default is None or name == "status":
        work.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT {constraint} DEFAULT {value} FOR {name}")


def _to_the_letter(rule: str) -> str:
    """Compare states case-sensitively even if the team's column does not: ``pending`` is not a state."""
    return rule.replace("status IN (", "status COLLATE Latin1_General_100_BIN2 IN (")


def _create_indexes(work: Work, found: _Found) -> tuple[str, ...]:
    status = found.columns.get("status")
    narrow = status is not None and status.type == "varchar" and _status_type(status) is None
    for statement in work.baseline.indexes.values():
        # A filtered index does not take an nvarchar literal for a varchar column (error 10620).
        work.execute(statement.replace("N'", "'") if narrow else statement)
    for statement in work.baseline.tables.values():
        work.execute(_referring(statement, found.columns.get("id")))
    made = tuple(work.baseline.indexes)
    return made if "id" in found.columns else ("ux_track_processing_id", *made)


def _referring(statement: str, column: Column | None) -> str:
    """Give a table's foreign key the type of the team's id, as SQL Server requires."""
    return statement if column is None else statement.replace("entry_id bigint", f"entry_id {column.type}")


def _type_of(definition: str) -> str:
    """Return the type in a column's definition, without its length."""
    return re.split(r"[\s(]+", definition)[1].lower()
