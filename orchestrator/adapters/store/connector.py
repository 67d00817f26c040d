"""Ports to the database drivers: what the store needs of one beyond DB-API 2.0, and the times it returns."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from orchestrator.core.errors import StoreError, StoreUnavailable

#: Time limit of a login. A closed port does not fail fast: SQL Server's driver waits for all of it.
LOGIN_TIMEOUT_SECONDS = 15

#: Time limit of a statement, including its wait for locks; far below the functions' time-out.
STATEMENT_TIMEOUT_SECONDS = 30


class Cursor(Protocol):
    """The part of a DB-API cursor that is used."""

    @property
    def description(self) -> Any:
        """The columns, each with its name first; None when the statement returns no rows."""
        ...

    @property
    def rowcount(self) -> int:
        """Rows changed by the last statement."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run one statement."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...

    def close(self) -> None:
        """Release the cursor."""
        ...


class Connection(Protocol):
    """The part of a DB-API connection that is used."""

    def cursor(self) -> Any:
        """Return a new cursor."""
        ...

    def commit(self) -> None:
        """End the transaction and keep its effect."""
        ...

    def rollback(self) -> None:
        """End the transaction and undo its effect."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A new connection."""

    connection: Connection
    #: how long it may be used; a connection keeps its access token for its whole life
    seconds: float = math.inf
    #: by named statement: cursors that are kept, so that none is prepared again; None = the driver sees to it
    cursors: dict[str, Cursor] | None = None


class Connector(Protocol):
    """One database: how to connect to it, and which SQL it speaks."""

    #: the folder of its files under ``sql/``
    dialect: str

    @property
    def error(self) -> type[Exception]:
        """Base class of the driver's exceptions."""
        ...

    def connect(self) -> Opened:
        """Open a connection. Blocks, for a bounded time.

        :raises StoreUnavailable: it may work later.
        :raises StoreError: it will not; the text says what to do about it.
        """
        ...

    def is_transient(self, error: Exception) -> bool:
        """Say whether a statement that failed with one of the driver's errors may succeed later."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Return what a transaction that will change the database runs in, from before its beginning."""
        ...

    def begin_write(self, connection: Connection) -> None:
        """Begin a transaction that will change the database."""
        ...

    def declare(self, cursor: Cursor, parameters: Sequence[Any]) -> None:
        """Set the types by which the next statement of a cursor tells the database of its parameters."""
        ...

    def read(self, cursor: Cursor) -> tuple[list[str], list[Any]]:
        """Return the names of the columns and the rows of the statement that a cursor has just run.

        :raises StoreUnavailable: it ended without any, although it has some.
        """
        ...

    def changed(self, cursor: Cursor) -> int:
        """Return how many rows the named statement that a cursor has just run has changed itself.

        What the triggers of a team's table changed does not count. Negative: the database does not say it.
        """
        ...

    def split(self, script: str) -> list[str]:
        """Split a migration into the pieces that the driver runs one at a time."""
        ...

    def to_database(self, value: datetime) -> Any:
        """Convert an aware time to what the driver takes."""
        ...

    def explain(self, error: Exception) -> str:
        """Say what is wrong and what to do about it, without the values of the statement."""
        ...


def store_error(connector: Connector, error: Exception) -> StoreError:
    """Convert a driver's error to one of ours.

    Raise it ``from None``: the driver's own text may hold an entry's values.
    """
    kind = StoreUnavailable if connector.is_transient(error) else StoreError
    return kind(connector.explain(error))


@contextmanager
def own_connection(connector: Connector) -> Iterator[Connection]:
    """Lend a new connection, and close it: what was not committed is undone.

    :raises StoreError: the database refused, or cannot be reached.
    """
    connection = connector.connect().connection
    try:
        yield connection
    except connector.error as error:
        raise store_error(connector, error) from None  # the driver's text may hold values
    finally:
        connection.close()


def as_utc(value: object) -> datetime | None:
    """Return a time of the database (naive UTC, or text) as an aware datetime in UTC.

    None: it is NULL, or text that Python cannot read as a time. Third parties write text into SQLite, which
    accepts some that Python does not: year 0, hour 24, blanks at the end.
    """
    if value is None:
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: in UTC it is outside the years 1 to 9999
        return None
