"""The schema that an adopted table gets: the first migration, parsed into columns, indexes and tables."""

import re
from dataclasses import dataclass

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt.ddl import Definition, definitions
from orchestrator.adapters.store.connector import Connector

_CREATE = re.compile(r"^CREATE (TABLE|INDEX|UNIQUE INDEX) (\w+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Version 1 of the schema."""

    migration: migrate.Migration
    #: columns of ``track_processing`` by name, in order
    columns: dict[str, Definition]
    #: table constraints of ``track_processing``
    constraints: tuple[str, ...]
    #: statements that create the indexes of ``track_processing``, by the index's name
    indexes: dict[str, str]
    #: statements that create the other tables, by the table's name
    tables: dict[str, str]


def read(connector: Connector) -> Baseline:
    """Read the first migration of a connector's dialect."""
    migration = migrate.available(connector.dialect)[0]
    indexes: dict[str, str] = {}
    tables: dict[str, str] = {}
    for statement in connector.split(migration.script):
        for kind, name in _CREATE.findall(statement):
            (tables if kind == "TABLE" else indexes)[name] = statement
    pieces = definitions(tables.pop("track_processing"))
    return Baseline(
        migration=migration,
        columns={piece.name: piece for piece in pieces if piece.name},
        constraints=tuple(piece.text for piece in pieces if not piece.name),
        indexes=indexes,
        tables=tables,
    )
