"""Connections to SQLite: the embedded store, for one machine."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.adapters.store.connector import STATEMENT_TIMEOUT_SECONDS, Connection, Cursor, Opened
from orchestrator.adapters.store.turns import Turns
from orchestrator.core.errors import StoreError

#: How long a transaction waits for its turn before it asks SQLite all the same, which waits longer. The one
#: before it takes milliseconds.
_TURN_SECONDS = 5.0

#: The pauses between the tries to switch a new file to a write-ahead log.
_PAUSES_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def _system_clock() -> datetime:
    return datetime.now(UTC)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Let readers and one writer work at the same time; the file keeps this setting.

    SQLite does not wait for another connection that switches the same new file: it refuses at once.
    """
    for pause in _PAUSES_SECONDS:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(pause)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


class SqliteConnector:
    """Connections to one SQLite file.

    :param create: create the file if it does not exist. By default a mistyped name is an error, not a new
        database.
    :param now: the database's clock, behind ``utc_now()`` and ``utc_after(milliseconds)`` in the queries.
    """

    dialect = "sqlite"
    error: type[Exception] = sqlite3.Error

    def __init__(
        self, path: Path, *, create: bool = False, now: Callable[[], datetime] = _system_clock
    ) -> None:
        self._path = path
        self._mode = "rwc" if create else "rw"
        self._now = now
        self._turns = Turns(patience=_TURN_SECONDS)

    def connect(self) -> Opened:
        """Open the file. :raises StoreError: it cannot be opened."""
        try:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={self._mode}",
                uri=True,
                timeout=STATEMENT_TIMEOUT_SECONDS,
                isolation_level=None,  # the app begins its transactions; the driver never does
                check_same_thread=False,  # one thread uses it; another one may close it
            )
        except sqlite3.Error as error:
            raise StoreError(self.explain(error)) from error
        # Other programs may write text that is not UTF-8. The driver would raise an error that quotes it and
        # stops every entry that is read together with it.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            # "Deterministic": a statement asks once what time it is, as in SQL Server, and not for each row.
            connection.create_function("utc_now", 0, lambda: _text(self._now()), deterministic=True)
            connection.create_function(
                "utc_after",
                1,
                lambda ms: _text(self._now() + timedelta(milliseconds=ms)),
                deterministic=True,
            )
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power failure
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(self.explain(error)) from error
        return Opened(connection=connection)

    def is_transient(self, error: Exception) -> bool:  # noqa: ARG002 - the same for every error
        """Say no: the driver has waited for locks itself, and no other error of a file is transient."""
        return False

    def turn(self) -> AbstractContextManager[None]:
        """Let this process's transactions that write follow each other without a pause, in order.

        SQLite lets one that waits look again after pauses, which grow to a tenth of a second, and meanwhile
        others come first. Its own lock still decides, also between processes.
        """
        return self._turns.turn()

    def begin_write(self, connection: Connection) -> None:
        """Take the write lock at once, so that what the transaction reads stays true until its end."""
        connection.cursor().execute("BEGIN IMMEDIATE")

    def declare(self, cursor: Cursor, parameters: Sequence[Any]) -> None:
        """Do nothing: each value has its type."""

    def read(self, cursor: Cursor) -> tuple[list[str], list[Any]]:
        """Return the names of the columns and the rows of a statement."""
        return [column[0] for column in cursor.description], cursor.fetchall()

    def changed(self, cursor: Cursor) -> int:
        """Return how many rows a statement has changed; SQLite does not count what triggers change."""
        return cursor.rowcount

    def split(self, script: str) -> list[str]:
        """Split a script at the semicolons that end a statement."""
        statements: list[str] = []
        pending = ""
        for line in script.splitlines(keepends=True):
            pending += line
            if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
                statements.append(pending.strip())
                pending = ""
        return statements

    def to_database(self, value: datetime) -> str:
        """Return UTC text with milliseconds, as the columns hold it."""
        return _text(value)

    def explain(self, error: Exception) -> str:
        """Return the driver's text with the file's name and, where it is known, what to do."""
        text = str(error)
        advice = ""
        if "no such table" in text or "no such column" in text:
            advice = "; run: python -m orchestrator init-db"
        elif "unable to open" in text:
            advice = "; check STATE_DB, and for a new file run: python -m orchestrator init-db"
        elif "locked" in text:
            advice = "; another process holds the file in a long transaction"
        return f"SQLite ({self._path}): {text}{advice}"
