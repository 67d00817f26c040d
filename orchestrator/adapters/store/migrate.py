"""The schema: its numbered migrations, the version that a database has, and the rights that the app needs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.store.connector import Connection, Connector, own_connection
from orchestrator.adapters.store.queries import SQL_ROOT
from orchestrator.adapters.store.session import Session
from orchestrator.core.errors import SchemaError
from orchestrator.core.ledger_tables import LedgerTable

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")

#: A column that a migration adds: its table and its name.
_ADDED_COLUMN = re.compile(r"^ALTER TABLE (\w+) ADD (?:COLUMN )?(?!CONSTRAINT\b)(\w+) ", re.MULTILINE)

#: The columns of a table and their types; none if there is no such table.
_COLUMNS = {
    "sqlite": "SELECT name, type FROM pragma_table_xinfo(?)",
    "sqlserver": (
        "SELECT c.name, t.name AS type FROM sys.columns AS c"
        " INNER JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(?)"
    ),
}

#: Records which migrations a database has. The same in both dialects.
CREATE_LEDGER = (
    "CREATE TABLE orchestrator_schema (version int NOT NULL PRIMARY KEY, name nvarchar(200) NOT NULL)"
)

#: Lets one process at a time change the schema.
_SCHEMA_LOCK = "databricks-job-orchestrator/schema"
_SCHEMA_LOCK_TIMEOUT_MS = 30_000


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file of ``sql/<dialect>/migrations``."""

    version: int
    name: str
    script: str


def available(dialect: str) -> list[Migration]:
    """Return the migrations of a dialect in order, numbered 1, 2, 3 … without a gap."""
    found = []
    for path in sorted((SQL_ROOT / dialect / "migrations").glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise SchemaError(f"{path.name} is not named like 0001_what_it_does.sql")
        found.append(Migration(version=int(match[1]), name=match[2], script=path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaError(f"the migrations of {dialect} are not numbered 1, 2, 3 …")
    return found


def latest_version() -> int:
    """Return the version of the schema that this app needs, the same for both databases."""
    return len(list((SQL_ROOT / "sqlserver" / "migrations").glob("*.sql")))


def apply(connector: Connector) -> list[Migration]:
    """Apply the migrations that a database lacks, all or none, and return them.

    :raises SchemaError: the database is newer than this version of the app, or has columns of the team's own
        with names that the app needs.
    :raises StoreError: the database refused, or cannot be reached.
    """
    with own_connection(connector) as connection:
        connector.begin_write(connection)
        session = Session(connection, connector)
        version = lock_schema(session)
        missing = _missing(connector.dialect, version or 0)
        if version and (taken := _taken_columns(session, missing)):
            raise SchemaError(
                "the database cannot be upgraded, and nothing was changed:\n"
                + "\n".join(f"  - {problem}" for problem in taken)
            )
        if version is None:
            execute(connection, CREATE_LEDGER)
        for migration in missing:
            for statement in connector.split(migration.script):
                execute(connection, statement)
            execute(connection, _RECORD, migration.version, migration.name)
        connection.commit()
    return missing


def script(dialect: str, from_version: int = 0) -> str:
    """Return the SQL that a DBA runs to bring a database to this version.

    :param from_version: the version that the database has; 0 = an empty one.
    """
    opening, between, closing = _SCRIPT_FRAMES[dialect]
    pieces = [] if from_version else [CREATE_LEDGER]
    for migration in available(dialect)[from_version:]:
        pieces += [batch.strip().removesuffix(";") for batch in migration.script.split("\nGO\n")]
        recorded = f"VALUES ({migration.version}, '{migration.name}')"  # both from our own file's name
        pieces.append(_RECORD.replace("VALUES (?, ?)", recorded))
    return opening + between.join(pieces) + closing


_RECORD = "INSERT INTO orchestrator_schema (version, name) VALUES (?, ?)"

#: How a script begins, what separates its pieces, and how it ends: it is applied as a whole or not at all.
_SCRIPT_FRAMES = {
    "sqlite": (
        "-- Stop at the first error: sqlite3 -bail FILE < this script\nBEGIN IMMEDIATE;\n\n",
        ";\n\n",
        ";\n\nCOMMIT;\n",
    ),
    # An error ends the transaction (XACT_ABORT); the rest is then parsed, but not executed (NOEXEC).
    "sqlserver": (
        "-- Stop at the first error: sqlcmd -b -I -i this script\n"
        "SET XACT_ABORT ON;\nSET QUOTED_IDENTIFIER ON;\nBEGIN TRANSACTION;\nGO\n\n",
        ";\nGO\nIF @@TRANCOUNT = 0 SET NOEXEC ON;\nGO\n\n",
        ";\nGO\n\nCOMMIT TRANSACTION;\nGO\nSET NOEXEC OFF;\nGO\n",
    ),
}


def check(session: Session) -> int:
    """Return the database's schema version.

    :raises SchemaError: it is older or newer than this version of the app.
    """
    version = _ledger_version(session) or 0
    if missing := _missing(session.dialect, version):
        names = ", ".join(f"{migration.version:04}_{migration.name}" for migration in missing)
        first = "".join(f"{problem}; then " for problem in _taken_columns(session, missing))
        raise SchemaError(f"the database lacks {names}; {first}run: python -m orchestrator init-db")
    return version


def name_is_taken(column: str, kind: str) -> str:
    """Say that a column of the team's own has a name that the app needs, and what to do.

    :param kind: the column's type.
    """
    return f"{column}{f' ({kind})' if kind else ''} has the name of a column of the app's: rename yours"


def _taken_columns(session: Session, missing: Sequence[Migration]) -> list[str]:
    """Return what is wrong with columns that exist already and that a migration is about to add."""
    problems = []
    for table, column in (found for each in missing for found in _ADDED_COLUMN.findall(each.script)):
        existing = session.select(_COLUMNS[session.dialect], table)
        problems += [
            name_is_taken(f"{table}.{row['name']}", str(row["type"]).lower())
            for row in existing
            if row["name"].lower() == column.lower()
        ]
    return problems


def missing_rights(session: Session) -> dict[str, list[str]]:
    """Return, by table, the rights that the app needs and this login lacks. Changes nothing."""
    return _by_table(row for row in session.rows("probe_rights") if not row["held"])


def needed_rights(session: Session) -> dict[str, list[str]]:
    """Return, by table, the rights that the app needs. Changes nothing."""
    return _by_table(session.rows("probe_rights"))


def _by_table(rows: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], []).append(row["permission"])
    return found


def readers_wait(session: Session) -> bool:
    """Say whether who reads rows waits for who writes them: ``READ_COMMITTED_SNAPSHOT`` is off."""
    return any(row["readers_wait"] for row in session.rows("readers_wait"))


def unenforced_rules(session: Session) -> list[str]:
    """Return the CHECK constraints that are switched off, or that a bulk load has passed by."""
    return [row["name"] for row in session.rows("unenforced")]


def ledger_tables(session: Session) -> list[LedgerTable]:
    """Return the app's tables whose changes SQL Server keeps for ever, or refuses."""
    found = (ledger_table(row) for row in session.rows("kinds_of_tables"))
    return [each for each in found if each is not None]


def ledger_table(row: Mapping[str, Any]) -> LedgerTable | None:
    """Return what kind of ledger a row of ``sys.tables`` tells of; None = of none.

    https://learn.microsoft.com/sql/relational-databases/system-catalog-views/sys-tables-transact-sql
    """
    kind = row.get("ledger_type")  # from SQL Server 2022 on
    if kind not in {_UPDATABLE_LEDGER, _APPEND_ONLY_LEDGER}:
        return None
    return LedgerTable(name=row["name"], is_append_only=kind == _APPEND_ONLY_LEDGER)


def lock_schema(session: Session) -> int | None:
    """Take the lock that a change of the schema needs and return the version, None without a ledger."""
    session.acquire_lock(_SCHEMA_LOCK, _SCHEMA_LOCK_TIMEOUT_MS)
    return _ledger_version(session)


def _missing(dialect: str, version: int) -> list[Migration]:
    migrations = available(dialect)
    if version > len(migrations):
        raise SchemaError(
            f"the database has schema {version}, this version of the app knows {len(migrations)}: "
            "deploy the newer app"
        )
    return migrations[version:]


def _ledger_version(session: Session) -> int | None:
    """Return the newest migration applied: 0 = none, None = the ledger does not exist."""
    if not session.select(_LEDGER_EXISTS[session.dialect]):
        return None
    [row] = session.select("SELECT COALESCE(MAX(version), 0) AS version FROM orchestrator_schema")
    return int(row["version"])


_LEDGER_EXISTS = {
    "sqlite": "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'orchestrator_schema'",
    "sqlserver": (
        "SELECT 1 AS found FROM sys.tables WHERE name = N'orchestrator_schema' AND schema_id = SCHEMA_ID()"
    ),
}


#: ``sys.tables.ledger_type``
_UPDATABLE_LEDGER = 2
_APPEND_ONLY_LEDGER = 3


def execute(connection: Connection, sql: str, *parameters: Any) -> None:
    """Run one statement that returns no rows."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql, parameters)
