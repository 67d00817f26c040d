"""One transaction, and the SQL that runs in it."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from orchestrator.adapters.store import queries
from orchestrator.adapters.store.connector import Connection, Connector, Cursor
from orchestrator.adapters.store.records import read_time
from orchestrator.core.errors import StoreError, StoreUnavailable

#: How long a transaction waits for a lock that another one holds.
_LOCK_TIMEOUT_MS = 10_000

# What sp_getapplock returns:
# https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql
_TIMED_OUT = -1
_DEADLOCK_VICTIM = -3


class Session:
    """One transaction: runs named queries, and SQL that was put together, on its connection.

    :param kept: the cursors that the connection keeps; None = it keeps none.
    """

    def __init__(
        self, connection: Connection, connector: Connector, kept: dict[str, Cursor] | None = None
    ) -> None:
        self._connection = connection
        self._connector = connector
        self._kept = kept
        self._queries = queries.load(connector.dialect)

    @property
    def dialect(self) -> str:
        """Which SQL the database speaks."""
        return self._connector.dialect

    def rows(self, name: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run a named query and return its rows by column name."""
        with self._prepared(name, parameters) as (cursor, sql, values):
            cursor.execute(sql, values)
            return self._by_column(cursor)

    def select(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run SQL that is not a named query and return its rows by column name."""
        with closing(self._connection.cursor()) as cursor:
            values = self._adapted(parameters)
            self._connector.declare(cursor, values)
            cursor.execute(sql, values)
            return self._by_column(cursor)

    def repeated(self, name: str, values: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        """Run a named INSERT of one row of values with several, and return what it returns for each.

        NULLs stand in the statement: the driver asks the server for the type of each NULL parameter.
        """
        row = f"VALUES ({', '.join('?' * len(values[0]))})"
        marks = ("(" + ", ".join("NULL" if value is None else "?" for value in each) + ")" for each in values)
        sql = self._queries[name].sql.replace(row, f"VALUES {', '.join(marks)}")
        return self.select(sql, *(value for each in values for value in each if value is not None))

    def change(self, name: str, *parameters: Any) -> int:
        """Run a named statement and return how many rows it changed. :raises StoreError: nobody says it."""
        with self._prepared(name, parameters) as (cursor, sql, values):
            cursor.execute(sql, values)
            return _told(name, self._connector.changed(cursor))

    def changes_one(self, name: str, *parameters: Any) -> bool:
        """Run a named statement that is meant for one row at most, and say whether it changed it.

        :raises StoreError: it changed several rows; the transaction must not be committed.
        """
        with self._prepared(name, parameters) as (cursor, sql, values):
            cursor.execute(sql, values)
            count = _told(name, self._connector.changed(cursor))
        if count > 1:
            raise StoreError(f"{name}: {count} rows were changed where one was meant, so all was undone")
        return count == 1

    def must_change_one(self, name: str, *parameters: Any) -> None:
        """Run a named statement that always concerns one row.

        :raises StoreError: it changed none or several; the transaction must not be committed.
        """
        if not self.changes_one(name, *parameters):
            raise StoreError(f"{name}: no row was changed, so all was undone")

    def now(self) -> datetime:
        """Return the database's clock."""
        return read_time(self.rows("now")[0]["now"])

    def acquire_lock(self, lock: str, timeout_ms: int = _LOCK_TIMEOUT_MS) -> None:
        """Wait for a lock and hold it until the transaction ends.

        :raises StoreUnavailable: the database chose this transaction as the victim of a deadlock.
        :raises StoreError: another process held the lock for the whole time-out, or there is no transaction
            that could hold it.
        """
        result = self.rows("acquire_lock", timeout_ms, lock)[0]["result"]
        if result == _DEADLOCK_VICTIM:
            raise StoreUnavailable(f"{lock}: given up in a deadlock")
        if result == _TIMED_OUT:
            raise StoreError(f"{lock} was held by another process for {timeout_ms} ms")
        if result < 0:
            raise StoreError(f"{lock} could not be taken (sp_getapplock returned {result})")

    @contextmanager
    def _prepared(self, name: str, parameters: Sequence[Any]) -> Iterator[tuple[Cursor, str, list[Any]]]:
        """Lend a cursor for a named statement, with its SQL and its values.

        A cursor that the connection keeps runs the statement without having it prepared again. A failure ends
        the connection, and with it all that it keeps.
        """
        kept = self._kept
        cursor = self._connection.cursor() if kept is None or name not in kept else kept[name]
        values = self._adapted(parameters)
        self._connector.declare(cursor, values)
        try:
            yield cursor, self._queries[name].sql, values
        finally:
            if kept is None:
                cursor.close()
            else:
                kept[name] = cursor

    def _adapted(self, parameters: Sequence[Any]) -> list[Any]:
        return [
            self._connector.to_database(value) if isinstance(value, datetime) else value
            for value in parameters
        ]

    def _by_column(self, cursor: Cursor) -> list[dict[str, Any]]:
        columns, rows = self._connector.read(cursor)
        # In lower case: an adopted table may spell its columns in its own way.
        names = [column.lower() for column in columns]
        return [dict(zip(names, row, strict=True)) for row in rows]


def _told(name: str, count: int) -> int:
    """Return how many rows were changed. :raises StoreError: the database does not say it."""
    if count < 0:
        raise StoreError(f"{name}: the database did not say how many rows were changed")
    return count
