"""Adopt a table on SQL Server: add what is missing to the table in place."""

import re
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt import statuses
from orchestrator.adapters.store.adopt import work as shared
from orchestrator.adapters.store.adopt.ddl import mentions
from orchestrator.adapters.store.adopt.work import TABLE, Column, Columns, Report, Work
from orchestrator.adapters.store.connector import Connection
from orchestrator.core import ledger_tables
from orchestrator.core.ledger_tables import LedgerTable

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

#: Digits of a second that times have: what the app writes, what its lists are ordered by.
_TIME_SCALE = 3

#: ``sys.tables.temporal_type`` with system versioning, ``sys.indexes.type`` of a clustered columnstore.
_VERSIONED = 2
_COLUMNSTORE = 5

#: Columns that have their own rules below.
_SPECIAL = frozenset({"id", "status", "runid"})


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The team's table."""

    columns: Columns
    #: rows of the queries ``indexed``, ``checks``, ``computed``, ``schema_bound`` and ``triggers`` of
    #: ``adopt.sql``
    indexed: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]
    computed: tuple[dict[str, Any], ...]
    schema_bound: tuple[dict[str, Any], ...]
    triggers: tuple[dict[str, Any], ...]
    #: names
    statistics: tuple[str, ...]
    is_versioned: bool
    ledger: LedgerTable | None
    case_matters: bool

    def identity(self) -> Column | None:
        """Return the column that numbers the rows."""
        return next((column for column in self.columns.values() if column.identity), None)

    def indexes_with(self, key: str) -> list[str]:
        """Return the indexes that contain a column, or whose filter does."""
        found = {
            row["index_name"]
            for row in self.indexed
            if row["column_name"] == key or mentions(row["filter_definition"] or "", key)
        }
        return sorted(found)

    def new_types(self) -> dict[str, str]:
        """Return the columns whose type has to change, each with the type that it gets."""
        wanted = {
            "status": _status_type(self.columns.get("status")),
            "runid": _run_type(self.columns.get("runid")),
            "updated_at": _update_time_type(self.columns.get("updated_at")),
        }
        return {key: kind for key, kind in wanted.items() if kind}

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
    changed = _prepare_update_time(work, found.columns.get("updated_at"))
    _add_columns(work, found)
    work.query("map_status", shared.mapping(plan))
    work.query("follow_runs")
    _constrain(work, {**found.columns, **changed})
    return Report(
        columns=shared.added(work, found.columns),
        types={found.columns[key].name: kind for key, kind in found.new_types().items()},
        rows=shared.rows_by_state(plan),
        indexes=_create_indexes(work, found),
        untouched=shared.untouched(work, found.columns),
    )


def _inspect(work: Work) -> _Found:
    [kind] = work.query("kind_of_table")
    return _Found(
        columns={row["name"].lower(): _column(row) for row in work.query("columns")},
        indexed=tuple(work.query("indexed")),
        checks=tuple(work.query("checks")),
        computed=tuple(work.query("computed")),
        schema_bound=tuple(work.query("schema_bound")),
        triggers=tuple(work.query("triggers")),
        statistics=tuple(row["name"] for row in work.query("hand_made_statistics")),
        is_versioned=kind["temporal_type"] == _VERSIONED,
        ledger=migrate.ledger_table(kind),
        case_matters=bool(work.query("case_matters")[0]["case_matters"]),
    )


def _column(row: dict[str, Any]) -> Column:
    kind = str(row["type"] or "").lower()
    wide = kind.startswith("n") and row["max_length"] > 0 and kind != "numeric"
    return Column(
        name=row["name"],
        type=kind,
        length=row["max_length"] // 2 if wide else row["max_length"],
        scale=row["scale"],
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
        *_change_problems(found),
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
    if found.ledger:  # which is versioned as well, and cannot be without
        return [ledger_tables.problem(found.ledger)]
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
    """Check whether STATUS and RUNID can hold our values."""
    problems = []
    status, run = found.columns.get("status"), found.columns.get("runid")
    if status and (not _is_text(status) or status.length < 1):
        problems.append(
            f"{status.name} is {status.type}: the app needs varchar or nvarchar of a fixed length"
        )
    if run and (run.type not in _RUN_ID_TYPES or run.length < 1):
        problems.append(f"{run.name} is {run.type}: the app needs bigint")
    return problems


def _change_problems(found: _Found) -> list[str]:
    """Check what keeps columns from getting another type.

    SQL Server names what is not foreseen here, and changes nothing:
    https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql#alter-column
    """
    unfit = found.new_types()
    problems = [
        f"{found.columns[key].name} has to become {wanted}, and {what} contains it: {remedy} first and "
        "create it again afterwards"
        for key, wanted in unfit.items()
        for what, remedy in _bound_to(found, key)
    ]
    names = " and ".join(found.columns[key].name for key in unfit)
    return problems + [
        f"{names} {'has' if len(unfit) == 1 else 'have'} to get another type, and the statistics {name} may "
        f"be about it: drop them first (DROP STATISTICS {TABLE}.[{name}])"
        for name in found.statistics
        if unfit
    ]


def _bound_to(found: _Found, key: str) -> list[tuple[str, str]]:
    """Return what is bound to a column as it is, and what to do about it; computed columns of it, too."""
    texts = [(f"the computed column {row['name']}", "drop the column", row) for row in found.computed]
    texts += [
        (f"{row['name']}, which is made WITH SCHEMABINDING,", "drop it", row)
        for row in found.schema_bound
        if mentions(row["definition"] or "", TABLE)
    ]
    if key != "status":  # its values change as well, so its constraints have a problem of their own
        texts += [(f"the constraint {row['name']}", "drop it", row) for row in found.checks]
    indexes = [(f"the index {name}", "drop the index") for name in found.indexes_with(key)]
    return indexes + [(what, remedy) for what, remedy, row in texts if mentions(row["definition"] or "", key)]


def _status_type(column: Column | None) -> str | None:
    """Return the type that the status has to get, None if it can stay."""
    if column is None or (column.type in _TEXTS and column.length >= _LEAST_STATUS_LENGTH):
        return None
    return f"nvarchar({max(column.length, 16)})"


def _run_type(column: Column | None) -> str | None:
    """Return the type that the run id has to get, None if it can stay. A waiting entry needs NULL."""
    return None if column is None or (column.type == "bigint" and column.nullable) else "bigint NULL"


def _update_time_type(column: Column | None) -> str | None:
    """Return the type that the time of the last change has to get, None if it can stay.

    Lists are ordered by it, and each page begins behind the last time of the one before.
    """
    if column is None or column.computed or column.type not in _FITTING["datetime2"]:
        return None
    fits = column.type == "datetime2" and column.scale == _TIME_SCALE
    if fits:
        return None
    return f"datetime2({_TIME_SCALE})" if column.nullable else f"datetime2({_TIME_SCALE}) NOT NULL"


def _type_problems(work: Work, found: _Found) -> list[str]:
    """Check the columns that have the name of one of ours, by chance or for the same purpose."""
    problems = []
    for key, piece in work.baseline.columns.items():
        column = found.columns.get(key)
        if column is None:
            continue
        wanted = _type_of(piece.text)
        short = key == "last_error" and 0 <= column.length < 4000
        kind = f"computed ({column.type})" if column.computed else column.type
        if key not in _SPECIAL and (column.type not in _FITTING[wanted] or short or column.computed):
            problems.append(f"{column.name} is {kind}: the app needs {wanted}; rename or change yours")
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


def _prepare_update_time(work: Work, column: Column | None) -> Columns:
    """Give the time of the last change our precision; return the column as it is then, if it has changed."""
    wanted = _update_time_type(column)
    if column is None or wanted is None:
        return {}
    if column.default:  # with it, no column gets another type
        work.query("drop_default", column=column.default)
    work.execute(f"ALTER TABLE {TABLE} ALTER COLUMN updated_at {wanted}")
    return {"updated_at": replace(column, default=None)}


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


def _constrain(work: Work, columns: Columns) -> None:
    """Give columns that were there what the schema's have: default, checks, no NULL."""
    for name, piece in work.baseline.columns.items():
        column = columns.get(name)
        if column and name != "id":
            _constrain_column(work, name, column, piece.text)
    name_column = columns[work.adoption.table_name_column.lower()]
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
