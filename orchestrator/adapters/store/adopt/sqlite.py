"""Adopt a table on SQLite: rebuild it with its rows, since ALTER TABLE cannot add what is needed."""

from dataclasses import dataclass

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt import work as shared
from orchestrator.adapters.store.adopt.ddl import (
    Definition,
    definitions,
    mentions,
    quoted,
    without_primary_key,
)
from orchestrator.adapters.store.adopt.work import TABLE, Column, Columns, Report, Work
from orchestrator.adapters.store.connector import Connection
from orchestrator.core.errors import SchemaError

_NEW = "track_processing_adopted"

#: The team's times are converted to the only format that the schema allows.
_TIMES = frozenset({"available_at", "created_at", "updated_at"})

#: Columns of ours that keep the team's definition, for example UNIQUE.
_TEXTS = frozenset({"table_name", "parameters"})

#: The state that each word maps to, from JSON.
_MAPPING = (
    "SELECT json_extract(value, '$.word') AS word, json_extract(value, '$.has_run') AS has_run,"
    " json_extract(value, '$.target') AS target FROM json_each(?)"
)

#: Constraints of our columns that have another name in the team's table.
_REQUIRED = {"table_name": " NOT NULL"}

#: A unique key over an ``id`` that is computed from the team's own key.
_UNIQUE_ID = f"CREATE UNIQUE INDEX ux_track_processing_id ON {TABLE} (id)"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The team's table."""

    columns: Columns
    #: the columns of its primary key
    key: tuple[str, ...]
    definitions: tuple[Definition, ...]
    strict: bool
    without_rowid: bool

    def rowid_alias(self) -> str | None:
        """Return the column that is an alias of the rowid."""
        if self.without_rowid or len(self.key) != 1:
            return None
        column = self.columns[self.key[0].lower()]
        return column.name if column.type == "integer" else None


def prepare(connection: Connection) -> None:
    """Keep references to the table unchanged while it is rebuilt under its own name."""
    migrate.execute(connection, "PRAGMA foreign_keys = OFF")  # has no effect inside a transaction
    migrate.execute(connection, "PRAGMA legacy_alter_table = ON")  # renaming ignores views


def adopt(work: Work) -> Report:
    """Rebuild the table with its rows. :raises SchemaError: it cannot be adopted."""
    kinds = {row["name"]: row["kind"] for row in work.query("objects")}
    shared.refuse(shared.objects_in_the_way(kinds))
    found = _inspect(work)
    plan = shared.status_plan(work, found.columns)
    shared.refuse([*_problems(work, found), *plan.problems, *shared.run_problems(work, found.columns, plan)])
    indexes = _rebuild(work, found, shared.mapping(plan))
    return Report(
        columns=shared.added(work, found.columns),
        types=_new_types(work, found),
        rows=shared.rows_by_state(plan),
        indexes=indexes,
        untouched=shared.untouched(work, found.columns),
    )


def _inspect(work: Work) -> _Found:
    rows = work.query("columns")
    columns = {
        row["name"].lower(): Column(
            name=row["name"],
            type=row["type"].lower(),
            length=-1,
            nullable=not row["required"],
            computed=row["hidden"] > 1,
            default=row["dflt_value"],
        )
        for row in rows
    }
    parsed = definitions(work.query("create_statement")[0]["sql"])
    if [piece.name for piece in parsed if piece.name is not None] != [row["name"] for row in rows]:
        raise SchemaError(
            f"the CREATE TABLE of {TABLE} cannot be read; create the table again with plainly quoted names"
        )
    features = work.query("features")[0]
    return _Found(
        columns=columns,
        key=tuple(row["name"] for row in sorted(rows, key=lambda row: row["pk"]) if row["pk"]),
        definitions=tuple(parsed),
        strict=bool(features["strict"]),
        without_rowid=bool(features["without_rowid"]),
    )


def _problems(work: Work, found: _Found) -> list[str]:
    problems = shared.column_problems(work, found.columns)
    if work.adoption.table_name_column.lower() in found.columns:
        rows = work.query("count_without_name", column=work.adoption.table_name_column)[0]["entries"]
        if rows:
            problems.append(
                f"{rows} rows have no {work.adoption.table_name_column}: fill it in, or delete them"
            )
    problems += _id_problems(work, found)
    problems += [
        f"the constraint {piece.text} refers to STATUS, whose values change: create the table without it"
        for piece in found.definitions
        if piece.name is None and mentions(piece.text, "status")
    ]
    return problems


def _id_problems(work: Work, found: _Found) -> list[str]:
    if "id" not in found.columns:
        return ["it has neither a column id nor rowids: add a column id"] if found.without_rowid else []
    alias = found.rowid_alias()
    if alias and alias.lower() != "id":
        return [
            f"its key is {alias}, and it also has a column id: rename id, since the app's id follows {alias}"
        ]
    rows = work.query("bad_ids")[0]["entries"]
    return [f"{rows} rows have an id that is missing, not a whole number, or not unique"] if rows else []


def _new_types(work: Work, found: _Found) -> dict[str, str]:
    """Return the team's columns that get another type, each with the type."""
    types = {key: piece.rest.split()[0] for key, piece in work.baseline.columns.items() if key not in _TEXTS}
    return {
        column.name: types[key]
        for key, column in found.columns.items()
        if key in types and types[key].lower() != column.type
    }


def _rebuild(work: Work, found: _Found, mapping: str) -> tuple[str, ...]:
    owned = work.query("owned")
    violations = work.query("foreign_key_violations")[0]["entries"]
    last_id = [row["seq"] for row in work.query("last_id")] if _has_sequence(work) else []
    work.execute(_create_table(work, found))
    _copy(work, found, mapping)
    work.execute(f"DROP TABLE {TABLE}")
    work.execute(f"ALTER TABLE {_NEW} RENAME TO {TABLE}")
    for seq in last_id:
        work.query("remember_last_id", seq)
    made = _create_indexes(work, found)
    for statement in (*work.baseline.tables.values(), *(row["sql"] for row in owned)):
        work.execute(statement)
    if work.query("foreign_key_violations")[0]["entries"] > violations:
        raise SchemaError(f"other tables refer to {TABLE} by a key that it would lose")
    return made


def _has_sequence(work: Work) -> bool:
    return any(row["name"] == "sqlite_sequence" for row in work.query("objects"))


def _create_indexes(work: Work, found: _Found) -> tuple[str, ...]:
    for statement in work.baseline.indexes.values():
        work.execute(statement)
    if not _follows_key(found):
        return tuple(work.baseline.indexes)
    work.execute(_UNIQUE_ID)
    return ("ux_track_processing_id", *work.baseline.indexes)


def _follows_key(found: _Found) -> bool:
    """Say whether ``id`` is computed from the team's own integer key, which still numbers the rows."""
    return "id" not in found.columns and found.rowid_alias() is not None


def _generated(work: Work, found: _Found) -> dict[str, str]:
    """Return the definitions of our columns that mirror one of the team's."""
    generated = {
        ours: f"{ours} TEXT{_REQUIRED.get(ours, '')} GENERATED ALWAYS AS ({_quoted(theirs)})"
        for ours, theirs in work.adoption.renamed().items()
    }
    alias = found.rowid_alias()
    if alias and _follows_key(found):
        generated["id"] = f"id INTEGER NOT NULL GENERATED ALWAYS AS ({_quoted(alias)})"
    return generated


def _create_table(work: Work, found: _Found) -> str:
    """Return the new CREATE TABLE: the team's columns in order, then ours, then all constraints."""
    ours = {name: piece.text for name, piece in work.baseline.columns.items()} | _generated(work, found)
    pieces = [_column(piece, found, ours) for piece in found.definitions if piece.name is not None]
    pieces += [text for name, text in ours.items() if name not in found.columns]
    pieces += [_beside_our_key(piece.text, found) for piece in found.definitions if piece.name is None]
    pieces += [*work.baseline.constraints, "CHECK (table_name IS NOT NULL)"]
    # STRICT only if the team's table was: otherwise it must still take any value.
    return f"CREATE TABLE {_NEW} ({', '.join(pieces)}){' STRICT' if found.strict else ''}"


def _column(piece: Definition, found: _Found, ours: dict[str, str]) -> str:
    """Return the definition of one of the team's columns: theirs, or ours if the column is one of ours."""
    key = (piece.name or "").lower()
    if key in _TEXTS:
        return f"{key} {_beside_our_key(piece.rest, found)}"
    return ours.get(key) or _beside_our_key(piece.text, found)


def _beside_our_key(definition: str, found: _Found) -> str:
    """Return a team's definition without its primary key, unless ``id`` follows that key."""
    return definition if _follows_key(found) else without_primary_key(definition)


def _copy(work: Work, found: _Found, mapping: str) -> None:
    values = _values(work, found)
    columns = ", ".join(_quoted(name) for name in values)
    has_run = "COALESCE(trim(CAST(o.runid AS TEXT)), '') <> ''" if "runid" in found.columns else "0"
    word = "CAST(COALESCE(o.status, '') AS TEXT)" if "status" in found.columns else "''"
    # Names are quoted, the rest is our own text. A row without a state is refused (NOT NULL), never lost.
    sql = (
        f"INSERT INTO {_NEW} ({columns}) SELECT {', '.join(values.values())} FROM {TABLE} AS o"  # noqa: S608
        f" LEFT JOIN ({_MAPPING}) AS m ON m.word = {word} AND m.has_run = ({has_run})"
    )
    work.execute(sql, mapping)


def _values(work: Work, found: _Found) -> dict[str, str]:
    """Return the value of each column of the new table; a column that is left out gets its default."""
    generated = _generated(work, found)
    defaults = {row["name"]: row for row in work.query("defaults")}
    values = {}
    for key, column in found.columns.items():
        if column.computed or key in generated:
            continue
        value = f"o.{_quoted(column.name)}"
        if key in _TIMES:
            value = f"strftime('%Y-%m-%d %H:%M:%f', {value})"
        if key in work.baseline.columns and defaults[key]["required"] and defaults[key]["dflt_value"]:
            value = f"COALESCE({value}, {defaults[key]['dflt_value']})"
        values[column.name] = value
    if "id" not in found.columns and "id" not in generated:
        values["id"] = f"o.{_rowid_name(found)}"
    return values | _values_of_state(values)


def _values_of_state(values: dict[str, str]) -> dict[str, str]:
    """Return the values that depend on the state a row goes to."""
    old = {name.lower(): value for name, value in values.items()}
    names = {name.lower(): name for name in values}
    running = "CASE m.target WHEN 'RUNNING' THEN {} ELSE {} END"
    over = "CASE WHEN m.target IN ('PENDING', 'RUNNING') THEN {0} ELSE COALESCE({0}, utc_now()) END"
    state = {
        "status": "m.target",
        "submission": running.format("1", old.get("submission", "0")),
        "attempt": running.format("1", old.get("attempt", "0")),
        "submitted_at": running.format("utc_now()", old.get("submitted_at", "NULL")),
        "finished_at": over.format(old.get("finished_at", "NULL")),
        "last_error": f"CASE m.target WHEN 'DEAD' THEN m.word || ' when it was adopted' ELSE "
        f"{old.get('last_error', 'NULL')} END",
    }
    if "runid" in old:
        state["runid"] = f"CAST(NULLIF(trim(CAST({old['runid']} AS TEXT)), '') AS INTEGER)"
    return {names.get(name, name): value for name, value in state.items()}


def _rowid_name(found: _Found) -> str:
    """Return a name of the rowid that no column of the team has."""
    for name in ("rowid", "_rowid_", "oid"):
        if name not in found.columns:
            return name
    raise SchemaError("its columns use all three names of SQLite's rowid: add a column id")


def _quoted(name: str) -> str:
    return quoted(name, "sqlite")
