"""Numbered migrations: which there are, which a database has, and how it gets the rest."""

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import SchemaError, StoreError
from orchestrator.store.connector import Connection, Connector
from orchestrator.store.queries import SQL_ROOT

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")

#: Remembers which migrations a database has. The same in both dialects.
_CREATE_LEDGER = (
    "CREATE TABLE orchestrator_schema (version int NOT NULL PRIMARY KEY, name varchar(200) NOT NULL)"
)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file of ``sql/<dialect>/migrations``."""

    version: int
    name: str
    script: str


def available(dialect: str) -> list[Migration]:
    """Return the migrations of a dialect in their order, numbered 1, 2, 3 … without a gap."""
    found = []
    for path in sorted((SQL_ROOT / dialect / "migrations").glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise SchemaError(f"{path.name} is not named like 0001_what_it_does.sql")
        found.append(Migration(version=int(match[1]), name=match[2], script=path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaError(f"the migrations of {dialect} are not numbered 1, 2, 3 …")
    return found


def apply(connector: Connector) -> list[Migration]:
    """Bring a database forward and return the migrations that it got: all of them, or none.

    :raises SchemaError: the database is newer than this version of the app.
    :raises StoreError: the database does not do it.
    """
    connection = connector.connect().connection
    try:
        connector.begin_write(connection)
        if _version(connection, connector) is None:
            _execute(connection, _CREATE_LEDGER)
        missing = _missing(connector, _version(connection, connector) or 0)
        for migration in missing:
            for statement in connector.split(migration.script):
                _execute(connection, statement)
            _execute(
                connection,
                "INSERT INTO orchestrator_schema (version, name) VALUES (?, ?)",
                migration.version,
                migration.name,
            )
        connection.commit()
    except connector.error as error:
        raise StoreError(connector.explain(error)) from error
    else:
        return missing
    finally:
        connection.close()


def check(connector: Connector) -> int:
    """Return the database's schema version.

    :raises SchemaError: it is older or newer than this version of the app.
    :raises StoreError: the database does not answer.
    """
    connection = connector.connect().connection
    try:
        version = _version(connection, connector) or 0
    except connector.error as error:
        raise StoreError(connector.explain(error)) from error
    finally:
        connection.close()
    missing = _missing(connector, version)
    if missing:
        names = ", ".join(f"{migration.version:04}_{migration.name}" for migration in missing)
        raise SchemaError(f"the database lacks {names}; run: python -m orchestrator init-db")
    return version


def _missing(connector: Connector, version: int) -> list[Migration]:
    migrations = available(connector.dialect)
    if version > len(migrations):
        raise SchemaError(
            f"the database has schema {version}, this version of the app knows {len(migrations)}: "
            "deploy the newer app"
        )
    return migrations[version:]


def _version(connection: Connection, connector: Connector) -> int | None:
    """Return the newest migration applied, 0 for none, None when there is not even the ledger."""
    if not _execute(connection, _LEDGER_EXISTS[connector.dialect]):
        return None
    return int(_execute(connection, "SELECT COALESCE(MAX(version), 0) FROM orchestrator_schema")[0][0])


_LEDGER_EXISTS = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'orchestrator_schema'",
    "sqlserver": "SELECT 1 FROM sys.tables WHERE name = N'orchestrator_schema' AND schema_id = SCHEMA_ID()",
}


def _execute(connection: Connection, sql: str, *parameters: Any) -> list[Any]:
    cursor = connection.cursor()
    try:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()
