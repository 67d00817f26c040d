"""One transaction, and the named queries that run in it."""

from datetime import datetime
from typing import Any

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.connector import Connection, Connector
from orchestrator.core.errors import StoreError, StoreUnavailable


class Session:
    """One transaction: runs named queries on its connection."""

    def __init__(self, connection: Connection, connector: Connector) -> None:
        self._connection = connection
        self._connector = connector
        self._queries = queries.load(connector.dialect)

    def rows(self, name: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name."""
        return self.select(self._queries[name].sql, *parameters)

    @property
    def dialect(self) -> str:
        """Which SQL the database speaks."""
        return self._connector.dialect

    def select(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run SQL from another of our files and return its rows by column name."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, [self._adapt(value) for value in parameters])
            # In lower case: an adopted table may have its own spelling.
            columns = [column[0].lower() for column in cursor.description]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def change(self, name: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it changed.

        :raises StoreError: the server does not count rows (SET NOCOUNT ON as its default).
        """
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._queries[name].sql, [self._adapt(value) for value in parameters])
            count = int(cursor.rowcount)
        finally:
            cursor.close()
        if count < 0:
            raise StoreError(f"{name}: the database did not say how many rows were changed")
        return count

    def changed_one(self, name: str, *parameters: Any) -> bool:
        """Run a statement on one row and say whether it changed it."""
        return self.change(name, *parameters) == 1

    def _adapt(self, value: Any) -> Any:
        return self._connector.to_database(value) if isinstance(value, datetime) else value


def acquire_lock(session: Session, lock: str, timeout_ms: int) -> None:
    """Wait for a lock, which is then held until the transaction ends.

    The results are sp_getapplock's:
    https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql

    :raises StoreUnavailable: this transaction was chosen as a deadlock's victim.
    :raises StoreError: another process held it for the whole time, or there is no transaction to hold it.
    """
    result = session.rows("acquire_lock", timeout_ms, lock)[0]["result"]
    if result == _DEADLOCK_VICTIM:
        raise StoreUnavailable(f"{lock}: given up in a deadlock")
    if result == _TIMED_OUT:
        raise StoreError(f"{lock} was held by another process for {timeout_ms} ms")
    if result < 0:
        raise StoreError(f"{lock} could not be taken (sp_getapplock returned {result})")


_TIMED_OUT = -1
_DEADLOCK_VICTIM = -3
