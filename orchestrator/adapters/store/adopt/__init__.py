"""Adopt the ``track_processing`` table that a team already has: its rows become entries, the rest stays."""

from typing import Protocol

from orchestrator.adapters.store import migrate
from orchestrator.adapters.store.adopt import baseline, sqlite, sqlserver
from orchestrator.adapters.store.adopt.work import Adoption, Report, Work
from orchestrator.adapters.store.connector import Connection, Connector, own_connection
from orchestrator.adapters.store.session import Session

__all__ = ["Adoption", "Report", "apply"]


class _Dialect(Protocol):
    """How one dialect adopts a table."""

    def prepare(self, connection: Connection) -> None:
        """Do what must come before the transaction."""
        ...

    def adopt(self, work: Work) -> Report:
        """Inspect the table and, unless there are problems, change it."""
        ...


_DIALECTS: dict[str, _Dialect] = {"sqlite": sqlite, "sqlserver": sqlserver}


def apply(connector: Connector, adoption: Adoption) -> Report:
    """Bring a team's table to version 1 of the schema, completely or not at all.

    Later versions are migrations. A table that has been adopted already is left alone.

    :raises SchemaError: the table cannot be adopted as it is; the text lists every problem.
    :raises StoreError: the database refused, or cannot be reached.
    """
    dialect = _DIALECTS[connector.dialect]
    with own_connection(connector) as connection:
        dialect.prepare(connection)
        connector.begin_write(connection)
        version = migrate.lock_schema(Session(connection, connector))
        if version:
            return Report()
        if version is None:
            migrate.execute(connection, migrate.CREATE_LEDGER)
        wanted = baseline.read(connector)
        adopting = Work(connection=connection, dialect=connector.dialect, adoption=adoption, baseline=wanted)
        report = dialect.adopt(adopting)
        adopting.query("record_version", wanted.migration.version, wanted.migration.name)
        connection.commit()
    return report
